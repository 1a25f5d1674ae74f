"""Encoders for logs: vocabularies, numbers, lists (numpy and pandas only, no torch)."""

from .._lazy import lazy_exports

_EXPORTS = {
    "FeatureEncoder": "._feature_encoder",
    "HistoryEncoder": "._history_encoder",
}
__all__ = list(_EXPORTS)
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
