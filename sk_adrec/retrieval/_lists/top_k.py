"""The k best of many scores, and what they look like to a user."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from scipy import sparse

# Scores that are held at once per thread: 16 MB of float32.
BLOCK_VALUES = 1 << 22


def n_threads(n_jobs: int | None) -> int:
    """Threads to use: `n_jobs` as in joblib, None = all cores this process may use.

    Where joblib runs several jobs side by side, None is one thread each.
    """
    if n_jobs is None:
        return 1 if get_active_backend()[0].nesting_level else joblib.cpu_count()
    return max(1, joblib.cpu_count() + 1 + n_jobs) if n_jobs < 0 else n_jobs


def blocks(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows with a bounded number of values."""
    size = max(1, BLOCK_VALUES // max(1, n_columns))
    return (slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size))


def map_blocks(function: Callable, parts: Iterator, threads: int) -> list:
    """``function`` of each part, in order, in parallel threads: numpy and scipy let others run."""
    if threads == 1:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, parts))


def top_k(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k largest values of each row, descending; of equal ones the first columns.

    Parameters
    ----------
    scores : ndarray of shape (n, m), float
    k : int
        Where it is above m, the rest is column -1 with score -inf.

    Returns
    -------
    columns, values : ndarray of shape (n, k)
        Where the value is -inf, the column is -1.
    """
    n, m = scores.shape
    columns = np.full((n, k), -1, dtype=np.int64)
    values = np.full((n, k), -np.inf, dtype=scores.dtype)
    if not m or not n:
        return columns, values
    width = min(k, m)
    found = _largest(scores, width)
    best = np.take_along_axis(scores, found, axis=1)
    order = np.lexsort((found, -best), axis=1)
    values[:, :width] = np.take_along_axis(best, order, axis=1)
    columns[:, :width] = np.take_along_axis(found, order, axis=1)
    columns[values == -np.inf] = -1
    return columns, values


def _largest(scores: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest values, in any order; of those equal to the last the first ones."""
    n, m = scores.shape
    if k == m:
        return np.broadcast_to(np.arange(m), (n, m))
    found = np.argpartition(scores, m - k, axis=1)[:, m - k :]
    best = np.take_along_axis(scores, found, axis=1)
    least = best.min(axis=1, keepdims=True)
    chosen = (best == least).sum(axis=1)
    tied = np.flatnonzero((scores == least).sum(axis=1) > chosen)
    for row in tied:
        above = np.flatnonzero(scores[row] > least[row])
        equal = np.flatnonzero(scores[row] == least[row])[: k - len(above)]
        found[row] = np.concatenate([above, equal])
    return found


def top_k_of_entries(matrix: sparse.csr_matrix, k: int) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`top_k`, of the entries that a sparse matrix has; it costs what they cost.

    Parameters
    ----------
    matrix : csr_matrix of shape (n, m)
        Its entries are put in order of their columns.
    k : int
    """
    matrix.sort_indices()
    lengths = np.diff(matrix.indptr)
    columns = np.full((len(lengths), k), -1, dtype=np.int64)
    values = np.full((len(lengths), k), -np.inf, dtype=matrix.dtype)
    # Rows of like length are padded together.
    order = np.argsort(lengths, kind="stable")
    for part in blocks(len(order), int(lengths.max(initial=1))):
        rows, width = order[part], int(lengths[order[part]].max())
        inside = np.arange(width) < lengths[rows][:, None]
        entry = (matrix.indptr[rows][:, None] + np.arange(width))[inside]
        padded = np.full((len(rows), width), -np.inf, dtype=matrix.dtype)
        padded[inside] = matrix.data[entry]
        where = np.full((len(rows), width + 1), -1, dtype=np.int64)
        where[:, :-1][inside] = matrix.indices[entry]
        place, values[rows] = top_k(padded, k)
        columns[rows] = np.take_along_axis(where, place, axis=1)
    return columns, values


def fill_up(columns, values, fallback) -> tuple[np.ndarray, np.ndarray]:
    """Lists that end early, continued with the best of a fallback.

    Parameters
    ----------
    columns, values : ndarray of shape (n, k)
        From :func:`top_k`; every value is above those of the fallback.
    fallback : ndarray of shape (n, m)
        Scores of columns 0..m-1; those in the lists are overwritten.
    """
    k = columns.shape[1]
    row, place = np.nonzero((columns >= 0) & (columns < fallback.shape[1]))
    fallback[row, columns[row, place]] = -np.inf
    more, more_values = top_k(fallback, k)
    found, best = np.append(columns, more, axis=1), np.append(values, more_values, axis=1)
    place, best = top_k(best, k)
    return np.where(place < 0, -1, np.take_along_axis(found, place, axis=1)), best
