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
from .ranking._base import BaseRanker
from .ranking._history import BaseHistoryRanker
from .sequential._base import BaseNextItem

__all__ = [
    "KW_ONLY",
    "Activation",
    "BaseHistoryRanker",
    "BaseMultiTask",
    "BaseNextItem",
    "BaseRanker",
    "Count",
    "CountOrAuto",
    "CountOrNone",
    "NotNegative",
    "Part",
    "Positive",
    "PositiveOrNone",
    "Probability",
    "Rule",
    "Share",
    "Switch",
    "Widths",
    "hyperparameters",
    "one_of",
    "within",
]
