"""scikit-learn estimators for advertising and recommendation.

From a raw log to candidates, click and conversion probabilities, and the next item, with
``fit`` / ``predict_proba``, inside ``Pipeline`` and ``GridSearchCV``. Public names are loaded on
first use: ``import sk_adrec`` imports neither torch nor lightgbm.
"""

from . import (
    datasets,
    inspection,
    metrics,
    model_selection,
    multitask,
    preprocessing,
    ranking,
    retrieval,
    sequential,
    utils,
)
from ._lazy import lazy_exports

__version__ = "0.1.0.dev0"

_PACKAGES = (
    datasets, inspection, metrics, model_selection, multitask,
    preprocessing, ranking, retrieval, sequential, utils,
)  # fmt: skip
# Estimators, transformers, splitters and displays; functions stay in their package.
_CLASSES = {
    name: package.__name__ for package in _PACKAGES for name in package.__all__ if name[0].isupper()
}
__all__ = [package.__name__.split(".")[1] for package in _PACKAGES]
__all__ += [*_CLASSES, "__version__"]
__getattr__, __dir__ = lazy_exports(__name__, _CLASSES)
