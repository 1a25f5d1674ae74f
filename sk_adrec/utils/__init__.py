"""Shared helpers and the public estimator checks."""
