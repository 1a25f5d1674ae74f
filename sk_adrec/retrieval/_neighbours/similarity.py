"""Item-item similarities from co-occurrence: sums over users, and how they are normalised.

Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004, sections 4.1-4.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from .._lists.top_k import BLOCK_VALUES, map_blocks, top_k, top_k_of_entries

try:
    from . import kernels
except ImportError:  # numba is an extra: `pip install sk-adrec[fast]`
    kernels = None  # type: ignore[assignment]

# k1 and b of BM25, as usual for text: half of the limit at a weight of 1.2.
_K1, _B = 1.2, 0.75
# Above this share of entries that are not zero, a dense row is searched faster than a sparse one.
_DENSE = 0.2


@dataclass(frozen=True)
class Similarity:
    """s(j, i) = c_ij / d_ij, from co-occurrence c_ij = sum_u x_ui x_uj.

    d_ij = a_j b_i + h for "cosine" (a = b = |x|) and "conditional" (a = |x|^2,
    b = |x / unit|^(2 alpha)); d_ij = a_j + b_i - c_ij + h for "jaccard" (a = b = |x|^2).

    Parameters
    ----------
    kind : {"cosine", "jaccard", "conditional"}
    shrinkage : float
        h for entries of unit 1.
    alpha : float
    unit : float
        The entry x of a row of mean weight: a factor common to all changes nothing.
    """

    kind: str
    shrinkage: float
    alpha: float
    unit: float = 1.0

    @property
    def h(self) -> np.float32:
        """The shrinkage, in products of two entries."""
        return np.float32(self.shrinkage * self.unit**2)

    def factors(self, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """a and b of items with |x|^2 = `squares`, same shape, float32."""
        squares = squares.astype(np.float64)
        if self.kind == "cosine":
            a = b = np.sqrt(squares)
        elif self.kind == "jaccard":
            a = b = squares
        else:
            a, b = squares, (squares / self.unit**2) ** self.alpha
        return a.astype(np.float32), b.astype(np.float32)

    def of(self, c, a, b):
        """s(j, i) from c_ij, a_j and b_i; 0 where c is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.kind == "jaccard":
                s = c / (a + b - c + self.h)
            else:
                s = c / (a * b + self.h)
        return np.where(c > 0, s, np.float32(0))

    def co_occurrence(self, s, a, b):
        """c_ij from s(j, i), a_j and b_i."""
        if self.kind == "jaccard":
            return s * (a + b + self.h) / (1 + s)
        return s * (a * b + self.h)


def weigh(
    matrix: sparse.csr_matrix, weighting, inverse_user_frequency: bool, unit: float = 1.0
) -> np.ndarray:
    """The entries x_ui that co-occurrence sums, shape (nnz,), float32.

    Items are documents and users are words: "tfidf" is sqrt(w_ui) idf_u, "bm25" is
    w_ui (k1 + 1) / (w_ui + k1 (1 - b + b n_i / mean n)) idf_u, with idf_u = log(1 + n_items / n_u),
    n_u the items of a user and n_i the total weight of an item. k1 counts in the `unit`, the weight
    of a mean row. `inverse_user_frequency` divides what user u adds to any co-occurrence by
    log(1 + n_u).
    """
    x, n_of_user = matrix.data, np.diff(matrix.indptr)
    if weighting == "tfidf":
        x = np.sqrt(x)
    elif weighting == "bm25":
        length = np.bincount(matrix.indices, weights=x, minlength=matrix.shape[1])
        relative = length / length[length > 0].mean()
        x = x * (_K1 + 1) / (x + _K1 * unit * (1 - _B + _B * relative[matrix.indices]))
    factor = np.ones(matrix.shape[0])
    some = n_of_user > 0
    if weighting is not None:
        factor[some] *= np.log1p(matrix.shape[1] / n_of_user[some])
    if inverse_user_frequency:
        factor[some] /= np.sqrt(np.log1p(n_of_user[some]))
    if weighting is not None or inverse_user_frequency:
        x = x * np.repeat(factor, n_of_user)
    return x.astype(np.float32)


def unit_of_entries(weighting, unit: float) -> float:
    """What `weigh` makes of the weight of a mean row, apart from what users and items decide."""
    return {None: unit, "tfidf": unit**0.5, "bm25": 1.0}[weighting]


def nearest(matrix, similarity: Similarity, n_neighbors: int, threads: int) -> sparse.csr_matrix:
    """The `n_neighbors` most similar items of each item.

    Parameters
    ----------
    matrix : csr_matrix of shape (n_users, n_items), float32
        x; each entry once, in any order.
    similarity : Similarity
    n_neighbors : int
    threads : int

    Returns
    -------
    csr_matrix of shape (n_items, n_items), float32
        Row i holds s(j, i) > 0, descending; of equal ones the item with the smaller number wins.
    """
    by_item = matrix.T.tocsr()  # users ascending
    squares = np.bincount(matrix.indices, matrix.data.astype(np.float64) ** 2, matrix.shape[1])
    # Rows are of items i, whose factor is b.
    b, a = similarity.factors(squares)
    n_neighbors = min(n_neighbors, max(1, matrix.shape[1] - 1))
    if kernels is not None:
        return kernels.nearest(by_item, similarity, a, b, n_neighbors, threads)
    return _nearest_by_scipy(by_item, matrix, similarity, a, b, n_neighbors, threads)


def _nearest_by_scipy(by_item, matrix, similarity, a, b, n_neighbors, threads):
    n_items = matrix.shape[1]

    def block(part):
        c = by_item[part] @ matrix
        start, rows = part.start, part.stop - part.start
        row = np.repeat(np.arange(rows), np.diff(c.indptr))
        c.data = similarity.of(c.data, a[start + row], b[c.indices])
        c.data[c.indices == start + row] = 0
        if c.nnz > _DENSE * rows * n_items:
            columns, values = top_k(c.toarray(), n_neighbors)
        else:
            columns, values = top_k_of_entries(c, n_neighbors)
        keep = values > 0
        return keep.sum(axis=1), columns[keep], values[keep]

    # A row of the product has at most as many entries as its users have items.
    size = np.minimum(by_item @ np.diff(matrix.indptr).astype(float), n_items)
    parts = map_blocks(block, blocks_of(size), threads)
    lengths, columns, values = (np.concatenate(arrays) for arrays in zip(*parts))
    indptr = np.append(0, np.cumsum(lengths))
    return sparse.csr_matrix(
        (values, columns.astype(np.int32), indptr), shape=(n_items, n_items), dtype=np.float32
    )


def blocks_of(size: np.ndarray, at_once: int = BLOCK_VALUES) -> Iterator[slice]:
    """Slices of consecutive rows that have a bounded number of entries together."""
    number = np.cumsum(size) // at_once
    starts = np.append(np.flatnonzero(np.diff(number, prepend=-1)), len(size))
    return (slice(start, stop) for start, stop in pairwise(starts.tolist()))


def best_linked(profile, similarity, own, seen, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k items of the largest positive scores ``profile @ (similarity + diag(own))``.

    Parameters
    ----------
    profile : csr_matrix of shape (n, n_items)
        Weights of the items of each history.
    similarity : csr_matrix of shape (n_items, n_items)
        Without a diagonal.
    own : ndarray of shape (n_items,), float32
        Similarity of each item to itself.
    seen : csr_matrix of shape (n, n_items)
        Its entries are left out.
    k : int

    Returns
    -------
    items, scores : ndarray of shape (n, k)
        As of :func:`~sk_adrec.retrieval._lists.top_k.top_k`.
    """
    if kernels is not None:
        return kernels.best_linked(profile, similarity, own, seen, k)
    scores = profile @ similarity + profile @ sparse.diags(own, format="csr")
    n_items = np.int64(similarity.shape[0])
    scores.sort_indices()
    keys, left_out = (
        np.repeat(np.arange(m.shape[0]), np.diff(m.indptr)) * n_items + m.indices
        for m in (scores, seen)
    )
    at = np.searchsorted(keys, left_out)
    hit = at[np.append(keys, -1)[at] == left_out]
    scores.data[hit] = -np.inf
    if scores.nnz <= _DENSE * scores.shape[0] * n_items:
        return top_k_of_entries(scores, k)
    columns, values = top_k(scores.toarray(), k)
    return np.where(values > 0, columns, -1), np.where(values > 0, values, -np.inf)
