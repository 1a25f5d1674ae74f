"""For models of your own: the bases of each kind, and hyper-parameters that are declared once."""

from ._hyperparameters import (
    KW_ONLY,
    Activation,
    Count,
    CountOrAuto,
    CountOrNone,
    NotNegative,
    Part,
    Positive,
    PositiveOrNone,
    Probability,
    Rule,
    Share,
    Switch,
    Widths,
    hyperparameters,
    one_of,
    within,
)
from .multitask._base import BaseMultiTask
from .multitask._relations import Funnel, Independent
from .preprocessing._encoded import Schema
from .ranking._base import BaseRanker
from .ranking._history import BaseHistoryRanker
from .retrieval._base import BaseRetriever
from .sequential._base import BaseNextItem

__all__ = [
    "KW_ONLY",
    "Activation",
    "BaseHistoryRanker",
    "BaseMultiTask",
    "BaseNextItem",
    "BaseRanker",
    "BaseRetriever",
    "Count",
    "CountOrAuto",
    "CountOrNone",
    "Funnel",
    "Independent",
    "NotNegative",
    "Part",
    "Positive",
    "PositiveOrNone",
    "Probability",
    "Rule",
    "Schema",
    "Share",
    "Switch",
    "Widths",
    "hyperparameters",
    "one_of",
    "within",
]
