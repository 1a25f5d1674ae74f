"""Shared helpers: finding the public estimators, and checks for estimators of your own."""

from .._lazy import lazy_exports

_EXPORTS = {"all_estimators": "._discovery", "estimator_checks": ".estimator_checks"}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
