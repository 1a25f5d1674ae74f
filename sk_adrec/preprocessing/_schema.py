"""What a module must know of the columns to lay out its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Schema:
    """The columns of an encoded log.

    Parameters
    ----------
    numeric : tuple of str
        Names of the columns of ``Batch.numeric`` (numbers, then indicators of missing values).
    categorical : dict of str to str
        Column -> its vocabulary, in the order of ``Batch.categorical``.
    sequences : dict of str to str
        List column -> its vocabulary.
    cardinalities : dict of str to int
        Vocabulary -> number of codes, 0 (padding, missing) and 1 (unknown) included.
    n_sparse : int, default=0
        Columns of the scipy matrix; 0 for frames and arrays.
    prior : ndarray or None, default=None
        What the output should be before anything is learned from the columns: for rankers the
        log odds of the (weighted) base rate.
    """

    numeric: tuple[str, ...]
    categorical: dict[str, str]
    sequences: dict[str, str]
    cardinalities: dict[str, int]
    n_sparse: int = 0
    prior: np.ndarray | None = None
