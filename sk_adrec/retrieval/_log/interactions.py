"""The interactions of a log: users x items, each row in the order in which it happened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..._state import stored

#: Pairs of histories that are taken at once, beside what a single history has.
MOST_ENTRIES = 1 << 21


@stored
@dataclass(frozen=True)
class Interactions:
    """Each pair of user and item once: its total weight, and when it happened last.

    Parameters
    ----------
    indptr : ndarray of shape (n_users + 1,)
    items : ndarray of shape (n_pairs,), int32
        Items of user u, oldest first: ``items[indptr[u]:indptr[u + 1]]``.
    weight : ndarray of shape (n_pairs,), float32
    times : ndarray of shape (n_pairs,) or None
        Time of the pair's last row; None where only the order of the rows is known.
    n_items : int
    """

    indptr: np.ndarray
    items: np.ndarray
    weight: np.ndarray
    times: np.ndarray | None
    n_items: int

    @classmethod
    def of(cls, users, items, weight, times, shape) -> Interactions:
        """Collect the rows of a log; of repeated pairs weights are added, the last one counts.

        Parameters
        ----------
        users, items : ndarray of shape (n,), integer
            Codes from 0.
        weight : ndarray of shape (n,)
        times : ndarray of shape (n,) or None
            None: later rows are later. Equal times are ordered by row.
        shape : (n_users, n_items)
        """
        order = None
        if times is not None and (times[1:] < times[:-1]).any():
            order = np.argsort(times, kind="stable")
            users, items, weight = users[order], items[order], weight[order]
        # Codes of rows as data of a matrix: scipy's counting sort is linear, and keeps the order.
        rows = _to_csr(users, items, np.arange(len(users), dtype=np.int32), shape)
        weight = weight[rows.data]
        if times is not None:
            times = (times if order is None else times[order])[rows.data]
        del order, users, items
        # As columns, the rows of a pair are neighbours.
        number = np.arange(rows.nnz, dtype=np.int32)
        columns = _as_csr(rows.indptr, rows.indices, number, shape).tocsc()
        last = np.ones(rows.nnz, dtype=bool)
        last[:-1] = columns.indices[1:] != columns.indices[:-1]
        last[columns.indptr[1:][np.diff(columns.indptr) > 0] - 1] = True
        if last.all():
            return cls(rows.indptr, rows.indices, weight.astype(np.float32), times, shape[1])
        first = np.flatnonzero(np.append(True, last[:-1]))
        total = np.zeros(rows.nnz)
        total[columns.data[last]] = np.add.reduceat(weight[columns.data].astype(float), first)
        keep = np.zeros(rows.nnz, dtype=bool)
        keep[columns.data[last]] = True
        before = np.append(0, np.cumsum(keep))
        return cls(
            before[rows.indptr].astype(rows.indptr.dtype),
            rows.indices[keep],
            total[keep].astype(np.float32),
            None if times is None else times[keep],
            shape[1],
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_users, n_items)."""
        return len(self.indptr) - 1, self.n_items

    @property
    def lengths(self) -> np.ndarray:
        """Number of items of each user, shape (n_users,)."""
        return np.diff(self.indptr)

    def lengths_of(self, users: np.ndarray) -> np.ndarray:
        """Number of items of some users, shape (n,); code -1 has none."""
        return np.append(self.lengths, 0)[users]

    def users(self) -> np.ndarray:
        """The user of each pair, shape (n_pairs,)."""
        return np.repeat(np.arange(len(self.indptr) - 1, dtype=np.int32), self.lengths)

    def matrix(self, weight=None) -> sparse.csr_matrix:
        """The pairs as a matrix; the columns of a row are in order of time, not of number."""
        return _as_csr(
            self.indptr, self.items, self.weight if weight is None else weight, self.shape
        )

    def entries(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the histories of some users start, shape (n + 1,), and the places of their pairs.

        Code -1 has none.
        """
        lengths = self.lengths_of(users)
        indptr = np.append(0, np.cumsum(lengths))
        entry = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
        entry += np.repeat(self.indptr[users], lengths)
        return indptr, entry

    def take(self, users: np.ndarray) -> Interactions:
        """The histories of some users, in their order; code -1 has none."""
        indptr, entry = self.entries(users)
        times = None if self.times is None else self.times[entry]
        return Interactions(indptr, self.items[entry], self.weight[entry], times, self.n_items)

    def parts(self, users: np.ndarray, most: int) -> Iterator[slice]:
        """Slices of some users, up to `most` in each, whose histories can be taken at once.

        They are fewer where histories are long: a user of very many items, asked for many times,
        would else take many times the memory of the log.
        """
        if not len(users):
            yield slice(0, 0)
        for start in range(0, len(users), most):
            stop = min(start + most, len(users))
            number = np.cumsum(self.lengths_of(users[start:stop])) // MOST_ENTRIES
            cuts = start + np.flatnonzero(np.diff(number, prepend=-1))
            yield from map(slice, cuts.tolist(), [*cuts[1:].tolist(), stop])

    def ages(self) -> np.ndarray:
        """How many of the user's items came after each one, shape (n_pairs,): the newest has 0."""
        ends = np.repeat(self.indptr[1:], self.lengths)
        return ends - 1 - np.arange(len(self.items))

    def followed_by(self, other: Interactions) -> Interactions:
        """The users of both, one after the other, without their times."""
        return Interactions(
            np.append(self.indptr, other.indptr[1:] + self.indptr[-1]),
            np.append(self.items, other.items),
            np.append(self.weight, other.weight),
            None,
            self.n_items,
        )

    def find(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Places of some pairs, shape (n,); -1 where a pair did not happen, or a code is -1."""
        distinct, row = np.unique(users, return_inverse=True)
        indptr, entry = self.entries(distinct)
        n_items = np.int64(self.n_items)
        own = np.repeat(np.arange(len(distinct)), np.diff(indptr)) * n_items + self.items[entry]
        order = np.argsort(own)
        own, wanted = own[order], row * n_items + items
        at = np.searchsorted(own, wanted)
        found = (np.append(own, -1)[at] == wanted) & (items >= 0)
        return np.where(found, np.append(entry[order], -1)[at], -1)

    def weight_of(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Weight of some pairs, shape (n,), float64; 0 where the pair did not happen."""
        return np.append(self.weight, np.float32(0))[self.find(users, items)].astype(np.float64)

    def contain(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Whether some pairs happened, shape (n,), bool; users and items may be -1."""
        return self.find(users, items) >= 0

    def select(self, keep: np.ndarray) -> Interactions:
        """The pairs of a mask, shape (n_pairs,)."""
        before = np.append(0, np.cumsum(keep))
        times = None if self.times is None else self.times[keep]
        indptr = before[self.indptr].astype(self.indptr.dtype)
        return Interactions(indptr, self.items[keep], self.weight[keep], times, self.n_items)

    def newest(self, n: int | None) -> Interactions:
        """The last n items of each user; None keeps all."""
        if n is None or not len(self.items) or self.lengths.max() <= n:
            return self
        return self.select(self.ages() < n)


def _as_csr(indptr, indices, data, shape) -> sparse.csr_matrix:
    matrix = sparse.csr_matrix(shape, dtype=data.dtype)
    matrix.indptr, matrix.indices, matrix.data = indptr, indices, data
    return matrix


def _to_csr(rows, columns, data, shape) -> sparse.csr_matrix:
    """A matrix that keeps repeated entries, in their order."""
    matrix = sparse.coo_matrix((data, (rows, columns)), shape=shape)
    matrix.has_canonical_format = True  # or else scipy adds up the data of repeated entries
    return matrix.tocsr()
