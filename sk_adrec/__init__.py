"""scikit-learn estimators for advertising and recommendation.

From a raw log to candidates, click and conversion probabilities, and the next item, with
``fit`` / ``predict_proba``, inside ``Pipeline`` and ``GridSearchCV``. Public names are loaded on
first use: ``import sk_adrec`` imports neither torch nor lightgbm.
"""

from ._lazy import lazy_exports

__version__ = "0.1.0.dev0"

_EXPORTS = {
    # submodules
    "datasets": ".datasets",
    "inspection": ".inspection",
    "metrics": ".metrics",
    "multitask": ".multitask",
    "preprocessing": ".preprocessing",
    "ranking": ".ranking",
    "sequential": ".sequential",
    "utils": ".utils",
    # estimators and transformers
    "AttentionDisplay": ".inspection._attention",
    "CalibrationByGroupDisplay": ".inspection._calibration_by_group",
    "DINClassifier": ".ranking._din",
    "DeepFMClassifier": ".ranking._deepfm",
    "DownsampledClassifier": ".ranking._downsampled",
    "ESMMEstimator": ".multitask._esmm",
    "FMClassifier": ".ranking._fm",
    "FeatureEncoder": ".preprocessing._feature_encoder",
    "GBDTLRClassifier": ".ranking._gbdt_lr",
    "HistoryEncoder": ".preprocessing._history_encoder",
    "HSTUNextItem": ".sequential._hstu",
    "SASRecNextItem": ".sequential._sasrec",
}
__all__ = [*_EXPORTS, "__version__"]
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
