"""The loops of item-item similarity and of scoring, compiled; imported only where numba is."""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import sparse

from ._top_k import map_blocks

_compiled = njit(nogil=True, cache=True)
# Items whose neighbours a thread looks for before it takes the next ones.
_CHUNK = 32


@_compiled
def _worse(score, item, other_score, other_item):
    """Whether a neighbour ranks below another: a smaller score, or the larger number."""
    return score < other_score or (score == other_score and item > other_item)


@_compiled
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


@_compiled
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


@_compiled
def _count_all(indptr, users, x, ends, items, x_of_user, i, binary, c):
    """Add co-occurrence of item i with the items after it to c.

    Rows are sorted by item, so that each is read from its end down to i.
    """
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


@_compiled
def _count_few(indptr, users, x, ends, items, x_of_user, i, c, touched):
    """As :func:`_count_all`, and list the items that occur with i; how many they are."""
    n = 0
    for at in range(indptr[i], indptr[i + 1]):
        entry = ends[users[at] + 1] - 1
        while items[entry] > i:
            j = items[entry]
            added = x[at] * x_of_user[entry]
            # A product may underflow: counted as none, or the item would be listed again.
            if added > 0:
                if c[j] == 0:
                    touched[n] = j
                    n += 1
                c[j] += added
            entry -= 1
    return n


@_compiled
def _neighbours(
    by_item, by_user, binary, work, a, b, shrinkage, jaccard, start, stop, c, touched, ptr, items,
    scores, sizes, least,
):  # fmt: skip
    """Put all pairs (i, j > i) with i in start..stop into the heaps of both.

    ``least[j]`` is the score that a neighbour of j has to reach, 0 while its heap has room: read
    far more often than the heaps, it stays in the cache. Where the additions for i, ``work[i]``,
    are as many as there are items, looking at all items is cheaper than to list those that occur.
    """
    n_items = len(a)
    for i in range(start, stop):
        all_items = work[i] > n_items - i
        if all_items:
            _count_all(*by_item, *by_user, i, binary, c)
            n = n_items - i - 1
        else:
            n = _count_few(*by_item, *by_user, i, c, touched)
        for at in range(n):
            j = i + 1 + at if all_items else touched[at]
            if c[j] == 0:
                continue
            if jaccard:
                forth = back = c[j] / (a[i] + b[j] - c[j] + shrinkage)
            else:
                forth = c[j] / (a[i] * b[j] + shrinkage)
                back = c[j] / (a[j] * b[i] + shrinkage)
            c[j] = 0
            if forth >= least[i]:
                _offer(forth, j, i, ptr, items, scores, sizes, least)
            if back >= least[j]:
                _offer(back, i, j, ptr, items, scores, sizes, least)


@_compiled
def _offer(score, item, row, ptr, items, scores, sizes, least):
    heap, room = slice(ptr[row], ptr[row + 1]), ptr[row + 1] - ptr[row]
    sizes[row] = _push(score, item, items[heap], scores[heap], sizes[row], room)
    if sizes[row] == room:
        least[row] = scores[ptr[row]]


@_compiled
def _merge(ptr, start, stop, items, scores, sizes, more_items, more_scores, more_sizes):
    """Add another thread's heaps of items start..stop to the first one's."""
    for i in range(start, stop):
        room = ptr[i + 1] - ptr[i]
        mine = slice(ptr[i], ptr[i + 1])
        for at in range(ptr[i], ptr[i] + more_sizes[i]):
            sizes[i] = _push(
                more_scores[at], more_items[at], items[mine], scores[mine], sizes[i], room
            )


@_compiled
def _sort_heap(items, scores, size):
    """A heap to a list, best first: its top, the worst, goes to the last place, and so on."""
    for last in range(size - 1, 0, -1):
        score, item = scores[last], items[last]
        scores[last], items[last] = scores[0], items[0]
        _replace_top(score, item, items, scores, last)


@_compiled
def _sort(ptr, start, stop, items, scores, sizes):
    for i in range(start, stop):
        _sort_heap(items[ptr[i] : ptr[i + 1]], scores[ptr[i] : ptr[i + 1]], sizes[i])


def nearest(by_item, similarity, a, b, n_neighbors, threads) -> sparse.csr_matrix:
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
    work = others / 2  # one of two orders
    ptr = np.append(0, np.cumsum(room))
    settings = (a, b, np.float32(similarity.shrinkage), similarity.kind == "jaccard")
    starts = iter(range(0, n_items, _CHUNK))

    def search(_):
        found = (
            np.empty(ptr[-1], np.int32),
            np.empty(ptr[-1], np.float32),
            np.zeros(n_items, np.int64),
        )
        c, least = np.zeros((2, n_items), np.float32)
        touched = np.empty(n_items, np.int32)
        for start in starts:
            stop = min(start + _CHUNK, n_items)
            part = (start, stop, c, touched, ptr)
            _neighbours(rows, columns, binary, work, *settings, *part, *found, least)
        return found

    first, *rest = map_blocks(search, iter(range(threads)), threads)

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


@_compiled
def _add(added, i, total, touched, n_touched):
    """Add to an item's score, and list the item if it had none; how many are listed."""
    if added > 0:
        if total[i] == 0:
            touched[n_touched] = i
            n_touched += 1
        total[i] += added
    return n_touched


@_compiled
def _best(profile, similarity, own, seen, k, items, scores):
    """Lists of the k items of the largest scores, for each row of the profile."""
    ptr, history, weight = profile
    row_ptr, linked, links = similarity
    seen_ptr, seen_items = seen
    n_items = len(row_ptr) - 1
    total = np.zeros(n_items, np.float32)
    touched = np.empty(n_items, np.int32)
    for u in range(len(ptr) - 1):
        n_touched = 0
        for at in range(ptr[u], ptr[u + 1]):
            j = history[at]
            n_touched = _add(weight[at] * own[j], j, total, touched, n_touched)
            for link in range(row_ptr[j], row_ptr[j + 1]):
                added = weight[at] * links[link]
                n_touched = _add(added, linked[link], total, touched, n_touched)
        for at in range(seen_ptr[u], seen_ptr[u + 1]):
            total[seen_items[at]] = 0
        size = 0
        for at in range(n_touched):
            i = touched[at]
            if total[i] > 0 and (size < k or total[i] >= scores[u, 0]):
                size = _push(total[i], i, items[u], scores[u], size, k)
            total[i] = 0
        _sort_heap(items[u], scores[u], size)


def best_linked(profile, similarity, own, seen, k) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`sk_adrec.retrieval._similarity.best_linked`."""
    n = profile.shape[0]
    items, scores = np.full((n, k), -1), np.full((n, k), -np.inf, np.float32)
    _best(
        (profile.indptr, profile.indices, profile.data),
        (similarity.indptr, similarity.indices, similarity.data),
        own,
        (seen.indptr, seen.indices),
        k,
        items,
        scores,
    )
    return items, scores
