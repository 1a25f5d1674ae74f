"""Looking at fitted models: pictures that need matplotlib, loaded when one is drawn."""

from .._lazy import lazy_exports

_EXPORTS = {
    "AttentionDisplay": "._attention",
    "CalibrationByGroupDisplay": "._calibration_by_group",
    "TopKCurveDisplay": "._topk_curve",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
