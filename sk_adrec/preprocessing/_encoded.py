"""A log as contiguous arrays: what every network of this library trains on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from .._state import stored


@stored
@dataclass(frozen=True)
class Ragged:
    """Lists of codes, stored flat.

    Parameters
    ----------
    values : ndarray of shape (n_values,), int32
        The codes of all rows, one row after the other, each row's most recent entry last.
        1 = unknown, >= 2 = known; 0 (padding, missing) never occurs.
    offsets : ndarray of shape (n_rows + 1,), int64
        Row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    x : ndarray of shape (n_values, ...) or None
        Numbers that go with each entry, such as the times of events.
    """

    values: np.ndarray
    offsets: np.ndarray
    x: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Number of entries of each row, shape (n_rows,), int64."""
        return np.diff(self.offsets)

    def take(self, rows: slice | np.ndarray) -> Ragged:
        """The lists of some rows (an index array, or a slice of step 1) as a new Ragged."""
        if isinstance(rows, slice):
            start, stop, _ = rows.indices(len(self))
            offsets = self.offsets[start : max(start, stop) + 1]
            entries = slice(offsets[0], offsets[-1])
            x = None if self.x is None else self.x[entries]
            return Ragged(self.values[entries], offsets - offsets[0], x)
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        # Position j of the output lies (j - offsets[row]) behind its row's start in the input.
        source = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return Ragged(self.values[source], offsets, None if self.x is None else self.x[source])

    def padded(self) -> np.ndarray:
        """The lists right-padded with 0 to the longest, shape (n_rows, L), int32; L >= 1."""
        lengths = self.lengths
        width = max(1, int(lengths.max(initial=0)))
        codes = np.zeros((len(self), width), dtype=np.int32)
        codes[np.arange(width) < lengths[:, None]] = self.values
        return codes


@stored
@dataclass(frozen=True)
class Encoded:
    """n rows of a log, encoded.

    Parameters
    ----------
    numeric : ndarray of shape (n_rows, n_numeric), float32 or float64
        Standardised numbers, then the indicators of missing values.
    categorical : ndarray of shape (n_rows, n_categorical), int32
        Codes: 0 = missing, 1 = unknown, >= 2 = known.
    sequences : dict of str to Ragged
        The list columns, by name.
    sparse : csr_matrix of shape (n_rows, n_features) or None
        The whole input where it was a scipy matrix; the other parts then have no columns.
    histories : csr_matrix of shape (n_rows, n_items) or None
        What each row's user has had, by number of the item, for models that read it.
    """

    numeric: np.ndarray
    categorical: np.ndarray
    sequences: dict[str, Ragged] = field(default_factory=dict)
    sparse: csr_matrix | None = None
    histories: csr_matrix | None = None

    def __len__(self) -> int:
        return len(self.categorical)

    @classmethod
    def of_sparse(cls, X: csr_matrix, dtype: str) -> Encoded:
        """A scipy matrix, its values in `dtype`; duplicate entries are added, zeros left out."""
        if not X.has_canonical_format or (X.data == 0).any():
            X = X.copy()
            X.sum_duplicates()
            X.eliminate_zeros()
        nothing = np.empty((X.shape[0], 0), dtype)
        return cls(nothing, nothing.astype(np.int32), sparse=X.astype(dtype, copy=False))

    def take(self, rows: slice | np.ndarray) -> Encoded:
        """Some rows (an index array, or a slice of step 1) as a new Encoded."""

        def part(array: np.ndarray) -> np.ndarray:
            return array[rows] if isinstance(rows, slice) else array.take(rows, axis=0)

        return Encoded(
            part(self.numeric),
            part(self.categorical),
            {name: ragged.take(rows) for name, ragged in self.sequences.items()},
            None if self.sparse is None else self.sparse[rows],
            None if self.histories is None else self.histories[rows],
        )

    @property
    def nbytes(self) -> int:
        """Size of all arrays in bytes."""
        arrays = [self.numeric, self.categorical]
        for ragged in self.sequences.values():
            arrays += [ragged.values, ragged.offsets]
            arrays += [] if ragged.x is None else [ragged.x]
        for matrix in (self.sparse, self.histories):
            if matrix is not None:
                arrays += [matrix.data, matrix.indices, matrix.indptr]
        return sum(array.nbytes for array in arrays)


@dataclass(frozen=True)
class Schema:
    """The columns of an encoded log: what a module must know to lay out its parameters.

    Parameters
    ----------
    numeric : tuple of str or int
        Names of the columns of ``Encoded.numeric`` (numbers, then indicators of missing values).
    categorical : dict of str to str
        Column -> its vocabulary, in the order of ``Encoded.categorical``.
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

    numeric: tuple[Any, ...]
    categorical: dict[Any, Any]
    sequences: dict[Any, Any]
    cardinalities: dict[Any, int]
    n_sparse: int = 0
    prior: np.ndarray | None = None

    @classmethod
    def of(cls, encoder: Any, prior: np.ndarray | None = None) -> Schema:
        """The columns of what a fitted encoder gives out."""
        return encoder.schema(prior)
