"""Torch blocks.

Shapes in comments: B rows of a batch, F fields, T entries of a list, d embedding width.

Blocks take and return tensors; nothing here knows scikit-learn.
"""

from .attention import LocalActivationUnit, softmax_of_lists
from .batch import Batch, Lists
from .cross import CrossLayer
from .embedding import FusedEmbedding
from .events import EventInputs
from .head import LogOdds, Towers
from .inputs import FieldInputs
from .mlp import MLP, Dice
from .optim import RowSparseAdam
from .packed import PackedLists
from .sparse import gather_rows, sparse_matmul, take_entries, take_rows, unique_rows

__all__ = [
    "MLP",
    "Batch",
    "CrossLayer",
    "Dice",
    "EventInputs",
    "FieldInputs",
    "FusedEmbedding",
    "Lists",
    "LocalActivationUnit",
    "LogOdds",
    "PackedLists",
    "RowSparseAdam",
    "Towers",
    "gather_rows",
    "softmax_of_lists",
    "sparse_matmul",
    "take_entries",
    "take_rows",
    "unique_rows",
]
