"""Rankers: one row per impression, two classes, the probability of a click."""

from .._lazy import lazy_exports

_EXPORTS = {"FMClassifier": "._fm"}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
