"""The loops of item-item similarity and of scoring, compiled; imported only where numba is."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import sparse

from ._top_k import map_blocks

_JIT = {"nogil": True, "cache": True}


@njit(**_JIT)
def _worse(score, item, other_score, other_item):
    """Whether a neighbour ranks below another: a smaller score, or the larger number."""
    return score < other_score or (score == other_score and item > other_item)


@njit(**_JIT)
def _replace_top(score, item, items, scores, size):
    """Put a neighbour in the place of the worst, of a heap of `size`."""
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        right = below + 1
        if right < size and _worse(scores[right], items[right], scores[below], items[below]):
            below = right
        if not _worse(scores[below], items[below], score, item):
            break
        scores[at], items[at] = scores[below], items[below]
        at = below
    scores[at], items[at] = score, item


@njit(**_JIT)
def _push(score, item, items, scores, size, capacity):
    """Add to a heap, the worst on top, of at most `capacity`; its new size."""
    if size < capacity:
        at = size
        while at > 0:
            above = (at - 1) >> 1
            if not _worse(score, item, scores[above], items[above]):
                break
            scores[at], items[at] = scores[above], items[above]
            at = above
        scores[at], items[at] = score, item
        return size + 1
    if _worse(scores[0], items[0], score, item):
        _replace_top(score, item, items, scores, size)
    return size


@njit(**_JIT)
def _count(indptr, users, x, ends, items, x_of_user, i, binary, c):
    """Add co-occurrence of item i with the items after it to c; rows are sorted by item."""
    for at in range(indptr[i], indptr[i + 1]):
        entry = ends[users[at] + 1] - 1
        if binary:
            while items[entry] > i:
                c[items[entry]] += np.float32(1)
                entry -= 1
        else:
            while items[entry] > i:
                c[items[entry]] += x[at] * x_of_user[entry]
                entry -= 1


@njit(**_JIT)
def _neighbours(
    by_item, by_user, binary, a, b, shrinkage, jaccard, start, stop, c, ptr, items, scores, sizes,
    least,
):  # fmt: skip
    """Put all pairs (i, j > i) with i in start..stop into the heaps of both.

    ``least[j]`` is the score that a neighbour of j has to reach, 0 while its heap has room: read
    far more often than the heaps, it stays in the cache.
    """
    n_items = len(a)
    for i in range(start, stop):
        c[i + 1 :] = 0
        _count(*by_item, *by_user, i, binary, c)
        for j in range(i + 1, n_items):
            if c[j] == 0:
                continue
            if jaccard:
                forth = back = c[j] / (a[i] + b[j] - c[j] + shrinkage)
            else:
                forth = c[j] / (a[i] * b[j] + shrinkage)
                back = c[j] / (a[j] * b[i] + shrinkage)
            if forth >= least[i]:
                _offer(forth, j, i, ptr, items, scores, sizes, least)
            if back >= least[j]:
                _offer(back, i, j, ptr, items, scores, sizes, least)


@njit(**_JIT)
def _offer(score, item, row, ptr, items, scores, sizes, least):
    heap, room = slice(ptr[row], ptr[row + 1]), ptr[row + 1] - ptr[row]
    sizes[row] = _push(score, item, items[heap], scores[heap], sizes[row], room)
    if sizes[row] == room:
        least[row] = scores[ptr[row]]


@njit(**_JIT)
def _merge(ptr, start, stop, items, scores, sizes, more_items, more_scores, more_sizes):
    """Add another thread's heaps of items start..stop to the first one's."""
    for i in range(start, stop):
        room = ptr[i + 1] - ptr[i]
        mine = slice(ptr[i], ptr[i + 1])
        for at in range(ptr[i], ptr[i] + more_sizes[i]):
            sizes[i] = _push(
                more_scores[at], more_items[at], items[mine], scores[mine], sizes[i], room
            )


@njit(**_JIT)
def _sort(ptr, start, stop, items, scores, sizes):
    """Heaps to lists, best first: the worst leaves the heap last place by last place."""
    for i in range(start, stop):
        mine = slice(ptr[i], ptr[i + 1])
        found_items, found_scores = items[mine], scores[mine]
        for size in range(sizes[i], 1, -1):
            score, item = found_scores[size - 1], found_items[size - 1]
            worst_score, worst_item = found_scores[0], found_items[0]
            _replace_top(score, item, found_items, found_scores, size - 1)
            found_scores[size - 1], found_items[size - 1] = worst_score, worst_item


def nearest(by_item, similarity, a, b, n_neighbors, threads, chunk) -> sparse.csr_matrix:
    """As :func:`sk_adrec.retrieval._similarity.nearest`, from the items' rows.

    Each pair of items is counted once; every thread has heaps of its own, merged in the end.
    """
    n_items = by_item.shape[0]
    by_user = by_item.T.tocsr()  # items ascending
    binary = bool((by_user.data == 1).all())
    rows = (by_item.indptr, by_item.indices, by_item.data)
    columns = (by_user.indptr, by_user.indices, by_user.data)
    # An item has no more neighbours than there are other items of its users.
    others = np.bincount(
        by_user.indices, np.repeat(np.diff(by_user.indptr) - 1, np.diff(by_user.indptr)), n_items
    )
    room = np.minimum(others, n_neighbors).astype(np.int64)
    ptr = np.append(0, np.cumsum(room))
    settings = (a, b, np.float32(similarity.shrinkage), similarity.kind == "jaccard")
    starts = iter(range(0, n_items, chunk))

    def work(_):
        heaps = (
            np.empty(ptr[-1], np.int32),
            np.empty(ptr[-1], np.float32),
            np.zeros(n_items, np.int64),
        )
        c, least = np.zeros((2, n_items), np.float32)
        for start in starts:
            stop = min(start + chunk, n_items)
            _neighbours(rows, columns, binary, *settings, start, stop, c, ptr, *heaps, least)
        return heaps

    first, *rest = map_blocks(work, iter(range(threads)), threads)

    def finish(start):
        part = (start, min(start + 4096, n_items))
        for heaps in rest:
            _merge(ptr, *part, *first, *heaps)
        _sort(ptr, *part, *first)

    map_blocks(finish, iter(range(0, n_items, 4096)), threads)
    items, scores, sizes = first
    kept = np.arange(ptr[-1]) - np.repeat(ptr[:-1], room) < np.repeat(sizes, room)
    indptr = np.append(0, np.cumsum(sizes))
    return sparse.csr_matrix((scores[kept], items[kept], indptr), shape=(n_items, n_items))
