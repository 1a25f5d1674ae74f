"""Multi-task models: one row per impression, the probability of each stage of a funnel."""

from .._lazy import lazy_exports

_EXPORTS = {
    "ESMMEstimator": "._esmm",
    "funnel_target": "._target",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
