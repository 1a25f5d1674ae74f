"""The field's metrics: AUC within groups, normalised entropy, calibration; all with weights."""

from .._lazy import lazy_exports

_EXPORTS = {
    "calibration_ratio": "._calibration",
    "expected_calibration_error": "._calibration",
    "gauc_score": "._gauc",
    "make_expected_calibration_error_scorer": "._scorers",
    "make_funnel_scorer": "._funnel_scorers",
    "make_gauc_scorer": "._scorers",
    "make_normalized_entropy_scorer": "._scorers",
    "normalized_entropy_score": "._calibration",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
