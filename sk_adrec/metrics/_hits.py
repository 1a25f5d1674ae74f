"""Which recommended items are relevant, and at which rank: all that top-k metrics need."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from .._validation import check_number, is_frame
from ..preprocessing._columns import SEQUENCE, Column, flatten, kind_of, read_table
from ..preprocessing._factorize import Factorized, Values, factorize
from ..preprocessing._series import as_matrix

# Cells of a block in which relevant and recommended items are compared.
_BLOCK_CELLS = 2_000_000
# The code of a place without an item, and the position of an id that is not there.
MISSING = -1


@dataclass(frozen=True)
class Items:
    """Rows of items, stored flat.

    Parameters
    ----------
    lengths : ndarray of shape (n_rows,), int64
    codes : ndarray of shape (sum of lengths,), integer
        Positions in `values`; -1 = missing.
    values : Values
        Distinct ids.
    """

    lengths: np.ndarray
    codes: np.ndarray
    values: Values

    @property
    def rows(self) -> np.ndarray:
        """The row of each entry."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def counts(self) -> np.ndarray:
        """In how many places each of `values` stands."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.values))

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and codes of the items, each item once a row, sorted by row."""
        present = self.codes >= 0
        rows, codes = self.rows[present], self.codes[present].astype(np.int64)
        if self.lengths.max() <= 1:
            return rows, codes
        cells = np.sort(rows * len(self.values) + codes)
        first = np.ones(len(cells), dtype=bool)
        np.not_equal(cells[1:], cells[:-1], out=first[1:])
        return np.divmod(cells[first], max(1, len(self.values)))


@dataclass(frozen=True)
class Hits:
    """The recommended items that are relevant, one entry each, sorted by row and rank.

    Parameters
    ----------
    row, rank : ndarray of shape (n_hits,), int64
        Rank 0 is the first recommendation.
    n_relevant : ndarray of shape (n_rows,), int64
        Distinct relevant items of each row.
    """

    row: np.ndarray
    rank: np.ndarray
    n_relevant: np.ndarray

    def within(self, k: int) -> Hits:
        """Those among the first k recommendations."""
        keep = self.rank < k
        return Hits(self.row[keep], self.rank[keep], self.n_relevant)

    def sums(self, gain: np.ndarray | None = None) -> np.ndarray:
        """The sum over each row's hits, shape (n_rows,); without `gain`, their number."""
        return np.bincount(self.row, gain, len(self.n_relevant))


def find_hits(recommended, relevant, k: int) -> Hits:
    """Compare rows of recommendations with rows of relevant items.

    Parameters
    ----------
    recommended : array-like of shape (n_rows, >= k), or n_rows lists
    relevant : array-like of shape (n_rows,) or (n_rows, m), n_rows lists or sets, or Items
    k : int
        Recommendations after the k-th are not looked at.

    Raises
    ------
    ValueError
        Where the numbers of rows differ, one side holds strings and the other numbers, or an array
        of recommendations has fewer than k columns.
    TypeError
        For ids that are neither strings nor numbers.
    """
    top = read_recommended(recommended, k)
    wanted = relevant if isinstance(relevant, Items) else read_items(relevant, "relevant")
    if len(top.lengths) != len(wanted.lengths):
        raise ValueError(
            "recommended and relevant must have one entry per row, got "
            f"{len(top.lengths)} and {len(wanted.lengths)} rows: pass the recommendations of the "
            "users whose relevant items these are, in their order"
        )
    rows, codes = wanted.distinct()
    n_relevant = np.bincount(rows, minlength=len(wanted.lengths))
    check_same_kind(top, wanted, "relevant")
    codes = positions_in(top.values, wanted.values)[codes]
    there = codes != MISSING
    row, rank = _first_ranks(_as_matrix(top), rows[there], codes[there])
    order = np.lexsort((rank, row))
    return Hits(row[order], rank[order], n_relevant)


def _first_ranks(matrix, rows, codes):
    """Row and rank of each of the wanted (row, code) pairs that the matrix holds."""
    step = max(1, _BLOCK_CELLS // matrix.shape[1])
    found_rows, ranks = [], []
    for start in range(0, len(rows), step):
        row = rows[start : start + step]
        same = matrix[row] == codes[start : start + step, None]
        rank = same.argmax(axis=1)  # an item that is recommended twice counts where it is first
        found = same[np.arange(len(row)), rank]
        found_rows.append(row[found])
        ranks.append(rank[found])
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *found_rows]), np.concatenate([empty, *ranks])


def _as_matrix(items: Items) -> np.ndarray:
    """Codes of shape (n_rows, longest row), short rows filled with -1."""
    width = max(1, items.lengths.max())
    if len(items.codes) == len(items.lengths) * width:
        return items.codes.reshape(-1, width)
    matrix = np.full((len(items.lengths), width), MISSING, dtype=items.codes.dtype)
    matrix[np.arange(width) < items.lengths[:, None]] = items.codes
    return matrix


def read_recommended(recommended, k: int) -> Items:
    """The first k recommendations of each row.

    Raises
    ------
    ValueError
        For single ids instead of rows, or an array of fewer than k columns.
    TypeError
        For sets, which have no order.
    """
    check_number("k", k, 1, integer=True)
    lengths, column = _read_rows(recommended, "recommended", k)
    if lengths is None:
        raise ValueError(
            "recommended must hold one row of ids per user, shape (n_rows, k), or lists; got one "
            "dimension of single ids: for one user pass [ids], for k = 1 an array of one column"
        )
    items = _factorize(lengths, column, "recommended")
    if lengths.max() <= k:
        return items
    rank = np.arange(len(items.codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Items(np.minimum(lengths, k), items.codes[rank < k], items.values)


def read_items(values, name: str) -> Items:
    """Rows of ids: lists or sets, an array of rows, or one id per row.

    Parameters
    ----------
    values : array-like of shape (n_rows,) or (n_rows, m), or n_rows lists or sets
    name : str
        For messages.
    """
    lengths, column = _read_rows(values, name)
    if lengths is None:
        lengths = np.ones(len(column), dtype=np.int64)
    return _factorize(lengths, column, name)


def _read_rows(values, name: str, k: int | None = None) -> tuple[np.ndarray | None, Column]:
    """Length of each row and all ids in order; no lengths where there is one id per row."""
    if hasattr(values, "to_frame"):  # a pandas or Polars series
        column = read_table(values.to_frame()).column(0)
    elif isinstance(values, list | tuple):
        column = np.fromiter(values, dtype=object, count=len(values))
    elif isinstance(values, pa.Array | pa.ChunkedArray):
        column = values
    elif is_frame(values):
        table = read_table(values)
        column = as_matrix([table.column(j) for j in range(len(table.names))])
    else:
        column = np.asarray(values)
    if not 1 <= getattr(column, "ndim", 1) <= 2:
        raise ValueError(f"{name} must have one or two dimensions, got {np.ndim(column)}")
    if len(column) == 0:
        raise ValueError(f"{name} has no rows: pass at least one")
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "U":
            column = column.astype(object)
        if column.ndim == 2:
            return _read_matrix(column, k)
        if column.dtype.kind == "O":
            column = _sets_as_lists(column, name, is_ordered=k is not None)
    if kind_of(column, name) == SEQUENCE:
        return flatten(column, name)
    return None, column


def _sets_as_lists(column: np.ndarray, name: str, is_ordered: bool) -> np.ndarray:
    """Rows of objects, with lists in place of sets; TypeError where the order has a meaning."""
    sets = [kind for kind in set(map(type, column)) if issubclass(kind, Set)]
    if not sets:
        return column
    if is_ordered:
        raise TypeError(
            f"{name} must hold lists, the best id first, got a {sets[0].__name__}, which has no "
            "order: pass what recommend returns"
        )
    lists = np.empty(len(column), dtype=object)
    lists[:] = [list(row) if isinstance(row, Set) else row for row in column]
    return lists


def _read_matrix(matrix: np.ndarray, k: int | None) -> tuple[np.ndarray, np.ndarray]:
    if k is not None and matrix.shape[1] < k:
        raise ValueError(
            f"k is {k}, but recommended has {matrix.shape[1]} columns: recommend at least k items, "
            "or pass a smaller k"
        )
    matrix = matrix[:, :k]
    return np.full(len(matrix), matrix.shape[1]), np.ascontiguousarray(matrix).ravel()


def _factorize(lengths: np.ndarray, column: Column, name: str) -> Items:
    found: Factorized = factorize(column, name)
    codes = found.codes
    if isinstance(found.values, np.ndarray) and found.values.dtype.kind == "i":
        # An integer array has no other way to say that there is no item.
        for code in np.flatnonzero(found.values == -1):
            codes = np.where(codes == code, MISSING, codes)
    return Items(lengths, codes, found.values)


def positions_in(values: Values, wanted: Values) -> np.ndarray:
    """The position of each of the `wanted` ids among `values`, -1 for those it lacks."""
    position = {value: index for index, value in enumerate(values.tolist())}
    return np.array([position.get(value, MISSING) for value in wanted.tolist()], dtype=np.int64)


def check_same_kind(recommended: Items, other: Items, name: str) -> None:
    """Raise ValueError where one holds strings and the other numbers: none could be equal."""
    kinds = [_kind(recommended.values), _kind(other.values)]
    if None not in kinds and kinds[0] != kinds[1]:
        raise ValueError(
            f"recommended holds {kinds[0]} and {name} holds {kinds[1]}, so no two ids are equal: "
            "pass ids of one type"
        )


def _kind(values: Values) -> str | None:
    """What the ids are; None where there are none, or several kinds."""
    if len(values) == 0:
        return None
    if isinstance(values, np.ndarray):
        return "numbers" if values.dtype.kind == "i" else None
    return "strings"
