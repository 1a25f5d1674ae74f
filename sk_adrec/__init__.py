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
    "model_selection": ".model_selection",
    "multitask": ".multitask",
    "preprocessing": ".preprocessing",
    "ranking": ".ranking",
    "retrieval": ".retrieval",
    "sequential": ".sequential",
    "utils": ".utils",
    # estimators and transformers
    "AttentionDisplay": ".inspection._attention",
    "CalibrationByGroupDisplay": ".inspection._calibration_by_group",
    "DeepFMClassifier": ".ranking._deepfm",
    "DINClassifier": ".ranking._din",
    "DownsampledClassifier": ".ranking._downsampled",
    "EASERetriever": ".retrieval._ease",
    "ESMMEstimator": ".multitask._esmm",
    "FeatureEncoder": ".preprocessing._feature_encoder",
    "FMClassifier": ".ranking._fm",
    "GBDTLRClassifier": ".ranking._gbdt_lr",
    "HistoryEncoder": ".preprocessing._history_encoder",
    "HSTUNextItem": ".sequential._hstu",
    "ItemCF": ".retrieval._item_cf",
    "LeaveLastOut": ".model_selection._leave_last_out",
    "SASRecNextItem": ".sequential._sasrec",
    "TimeSplit": ".model_selection._time_split",
    "TopKCurveDisplay": ".inspection._topk_curve",
    "TwoTowerRetriever": ".retrieval._two_tower",
    "UserSplit": ".model_selection._user_split",
}
__all__ = [*_EXPORTS, "__version__"]
__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
