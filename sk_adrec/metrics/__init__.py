"""The field's metrics: AUC within groups, normalised entropy, calibration, top k; with weights."""

from .._lazy import lazy_exports

_EXPORTS = {
    "calibration_ratio": "._calibration",
    "coverage_at_k": "._catalogue",
    "expected_calibration_error": "._calibration",
    "gauc_score": "._gauc",
    "hit_rate_at_k": "._topk",
    "make_expected_calibration_error_scorer": "._scorers",
    "make_funnel_scorer": "._funnel_scorers",
    "make_gauc_scorer": "._scorers",
    "make_normalized_entropy_scorer": "._scorers",
    "make_topk_scorer": "._topk_scorer",
    "map_at_k": "._topk",
    "mrr_at_k": "._topk",
    "ndcg_at_k": "._topk",
    "normalized_entropy_score": "._calibration",
    "novelty_at_k": "._catalogue",
    "precision_at_k": "._topk",
    "recall_at_k": "._topk",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
