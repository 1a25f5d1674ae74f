"""Rankers: one row per impression, two classes, the probability of a click."""

from .._lazy import lazy_exports

_EXPORTS = {
    "DCNv2Classifier": "._dcn_v2",
    "DINClassifier": "._din",
    "DeepFMClassifier": "._deepfm",
    "DownsampledClassifier": "._downsampled",
    "FMClassifier": "._fm",
    "GBDTLRClassifier": "._gbdt_lr",
}
# Parts of models: on matrices of numbers, not on logs.
_PARTS = {"OnlineLogisticRegression": "._online_logistic"}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, {**_EXPORTS, **_PARTS})
