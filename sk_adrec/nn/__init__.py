"""Torch blocks.

Shapes in comments: B rows of a batch, F fields, T entries of a list, d embedding width.

Blocks take and return tensors; nothing here knows scikit-learn.
"""

from .batch import Batch, Lists
from .embedding import FusedEmbedding
from .optim import RowSparseAdam
from .packed import PackedLists
from .sparse import gather_rows, sparse_matmul, take_rows, unique_rows

__all__ = [
    "Batch",
    "FusedEmbedding",
    "Lists",
    "PackedLists",
    "RowSparseAdam",
    "gather_rows",
    "sparse_matmul",
    "take_rows",
    "unique_rows",
]
