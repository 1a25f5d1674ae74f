"""The loops of item-item similarity and of scoring, compiled; imported only where numba is.

Numbers of items and entries come as unsigned integers: a signed index could be negative, which
costs a test at every access, three times as long as an addition itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from scipy import sparse

from .._lists.top_k import map_blocks


def _compiled(function):
    """Compile, once for all processes if a folder can be written to.

    Division is numpy's: python's would test each divisor.
    """
    how = {"nogil": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **how)(function)
    except RuntimeError:  # no folder for the cache
        return njit(**how)(function)


# A key is a score's bits above the complement of an item's number.
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
# The smallest positive float's bits.
_POSITIVE = np.uint64(1)
# Keys that are gathered for each that is kept, before the best are selected.
_GATHER = 4
# What it takes to list an item that occurs, in items that are looked at.
_LISTING = 4
# Histories of a block for which rows of hubs are copied.
_MANY_HISTORIES = 32
# Items whose neighbours a thread looks for before it takes the next ones.
_CHUNK = 32


@_compiled
def _keep_best(keys, n, k):
    """Bring the k largest of n keys to the front, the least of them last: quickselect."""
    first, last = 0, n - 1
    while first < last:
        pivot = keys[(first + last) >> 1]
        i, j = first, last
        while i <= j:
            while keys[i] > pivot:
                i += 1
            while keys[j] < pivot:
                j -= 1
            if i <= j:
                keys[i], keys[j] = keys[j], keys[i]
                i += 1
                j -= 1
        if k - 1 <= j:
            last = j
        elif k - 1 >= i:
            first = i
        else:
            return


@_compiled
def _gather(score, item, keys, size, least, k):
    """Add a score's bits and an item to the keys: how many they are, and what scores still count.

    Bits of floats that are not negative ascend as the floats do. Of equal ones the item with the
    smaller number makes the larger key.
    """
    keys[size] = (np.uint64(score) << _HALF) | (_LOW - item)
    size += 1
    if size == len(keys):
        _keep_best(keys, size, k)
        size, least = k, keys[k - 1] >> _HALF
    return size, least


@_compiled
def _write(keys, size, k, items, scores):
    """Put the k best of the keys in lists, the best first; how many they are."""
    if size > k:
        _keep_best(keys, size, k)
        size = k
    keys[:size].sort()
    for at in range(size):
        key = keys[size - 1 - at]
        items[at], scores[at] = _LOW - (key & _LOW), key >> _HALF
    return size


@_compiled
def _count_all(i, by_item, by_user, binary, c):
    """Add co-occurrence of item i with all items to c."""
    item_ptr, users, x = by_item
    user_ptr, items, x_of_user = by_user
    for at in range(item_ptr[i], item_ptr[i + 1]):
        u = users[at]
        if binary:
            for entry in range(user_ptr[u], user_ptr[u + 1]):
                c[items[entry]] += np.float32(1)
        else:
            for entry in range(user_ptr[u], user_ptr[u + 1]):
                c[items[entry]] += x[at] * x_of_user[entry]
    c[i] = 0


@_compiled
def _count_few(i, by_item, by_user, c, touched):
    """As :func:`_count_all`, and list the items that occur with i; how many they are."""
    item_ptr, users, x = by_item
    user_ptr, items, x_of_user = by_user
    n = 0
    for at in range(item_ptr[i], item_ptr[i + 1]):
        u = users[at]
        for entry in range(user_ptr[u], user_ptr[u + 1]):
            j = items[entry]
            added = x[at] * x_of_user[entry]
            # No branch, which nothing could predict. A product may underflow: counted as none, or
            # the item would be listed again.
            touched[n] = j
            n += (c[j] == 0) & (added > 0)
            c[j] += added
    c[i] = 0
    return n


@_compiled
def _score_all(c, a_i, b, shrinkage, jaccard):
    """Put similarities in the place of co-occurrences."""
    if jaccard:
        for j in range(len(c)):
            c[j] = c[j] / (a_i + b[j] - c[j] + shrinkage) if c[j] > 0 else np.float32(0)
    else:
        for j in range(len(c)):
            c[j] = c[j] / (a_i * b[j] + shrinkage) if c[j] > 0 else np.float32(0)


@_compiled
def _best_of_all(bits, keys, k):
    """Offer all scores, which are set to zero; how many keys there are."""
    size, least = 0, _POSITIVE
    for at in range(len(bits)):
        # Rare items first: similarities to them are large, and little is kept later.
        j = np.uint64(len(bits) - 1 - at)
        if bits[j] >= least:
            size, least = _gather(bits[j], j, keys, size, least, k)
        bits[j] = 0
    return size


@_compiled
def _best_of_few(c, bits, touched, n, a_i, b, shrinkage, jaccard, keys, k):
    """As :func:`_score_all` and :func:`_best_of_all`, of the items that are listed."""
    size, least = 0, _POSITIVE
    for at in range(n):
        j = np.uint64(touched[n - 1 - at])
        if c[j] == 0:  # item i itself
            continue
        if jaccard:
            c[j] /= a_i + b[j] - c[j] + shrinkage
        else:
            c[j] /= a_i * b[j] + shrinkage
        if bits[j] >= least:
            size, least = _gather(bits[j], j, keys, size, least, k)
        bits[j] = 0
    return size


@_compiled
def _neighbours(
    start, stop, by_item, by_user, binary, work, a, b, shrinkage, jaccard, k, c, bits, touched,
    keys, ptr, items, scores, sizes,
):  # fmt: skip
    """Find the neighbours of items start..stop.

    Where the additions for an item, ``work[i]``, are many, looking at all items is cheaper than to
    list those that occur.
    """
    for i in range(start, stop):
        if work[i] * _LISTING > len(a):
            _count_all(i, by_item, by_user, binary, c)
            _score_all(c, a[i], b, shrinkage, jaccard)
            size = _best_of_all(bits, keys, k)
        else:
            n = _count_few(i, by_item, by_user, c, touched)
            size = _best_of_few(c, bits, touched, n, a[i], b, shrinkage, jaccard, keys, k)
        row = slice(ptr[i], ptr[i + 1])
        sizes[i] = _write(keys, size, k, items[row], scores[row])


def _unsigned(indices):
    """Column numbers of a sparse matrix as unsigned integers, without a copy where that can be."""
    return indices.view(np.uint32) if indices.dtype == np.int32 else indices.astype(np.uint64)


def nearest(by_item, similarity, a, b, n_neighbors, threads) -> sparse.csr_matrix:
    """As :func:`sk_adrec.retrieval._neighbours.similarity.nearest`, from the items' rows.

    Each pair of items is counted twice, once for either: to count it once takes a heap of every
    item in every thread, which no cache holds, and was up to five times slower.
    """
    n_items = by_item.shape[0]
    by_user = by_item.T.tocsr()
    binary = bool((by_user.data == 1).all())
    lengths = np.diff(by_user.indptr)
    # An item has no more neighbours than there are other items of its users.
    others = np.bincount(by_user.indices, np.repeat(lengths - 1, lengths), n_items)
    room = np.minimum(others, n_neighbors).astype(np.int64)
    ptr = np.append(0, np.cumsum(room))
    items, scores = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    lists = (ptr, items, scores.view(np.uint32), np.zeros(n_items, np.int64))
    settings = (a, b, similarity.h, similarity.kind == "jaccard", n_neighbors)
    rows = (_arrays(by_item), _arrays(by_user), binary, others)
    starts = iter(range(0, n_items, _CHUNK))

    def search(_):
        c, touched = np.zeros(n_items, np.float32), np.empty(n_items + 1, np.uint32)
        own = (c, c.view(np.uint32), touched, np.empty(_GATHER * n_neighbors, np.uint64))
        for start in starts:
            _neighbours(start, min(start + _CHUNK, n_items), *rows, *settings, *own, *lists)

    map_blocks(search, iter(range(threads)), threads)
    sizes = lists[-1]
    kept = np.arange(ptr[-1]) - np.repeat(ptr[:-1], room) < np.repeat(sizes, room)
    indptr = np.append(0, np.cumsum(sizes))
    return sparse.csr_matrix((scores[kept], items[kept], indptr), shape=(n_items, n_items))


def _arrays(matrix):
    """Row starts, columns and values of a sparse matrix; the former two are unsigned."""
    return matrix.indptr.astype(np.uint64), _unsigned(matrix.indices), matrix.data


@_compiled
def _best(profile, similarity, own, hubs, seen, k, keys, items, scores):
    """Lists of the k items of the largest scores, for each row of the profile."""
    ptr, history, weight = profile
    seen_ptr, seen_items = seen
    row_ptr = similarity[0]
    n_items = len(row_ptr) - 1
    total = np.zeros(n_items, np.float32)
    bits = total.view(np.uint32)
    touched = np.empty(n_items + 1, np.uint32)
    for u in range(len(ptr) - 1):
        n_links = 0
        for at in range(ptr[u], ptr[u + 1]):
            n_links += np.int64(row_ptr[history[at] + 1] - row_ptr[history[at]])
        all_items = n_links * _LISTING > n_items
        n = n_items
        if all_items:
            _add_all(ptr[u], ptr[u + 1], history, weight, own, *similarity, *hubs, total)
        else:
            n = _add_few(ptr[u], ptr[u + 1], history, weight, own, *similarity, total, touched)
        for at in range(seen_ptr[u], seen_ptr[u + 1]):
            total[seen_items[at]] = 0
        size, least = 0, _POSITIVE
        for at in range(n):
            i = np.uint64(at) if all_items else np.uint64(touched[at])
            if bits[i] >= least:
                size, least = _gather(bits[i], i, keys, size, least, k)
            bits[i] = 0
        _write(keys, size, k, items[u], scores[u])


@_compiled
def _add_all(start, stop, history, weight, own, row_ptr, linked, links, hub_of, dense, total):
    """Add to each item's total what the entries of a history, start..stop, give it."""
    for at in range(start, stop):
        j = history[at]
        total[j] += weight[at] * own[j]
        if hub_of[j] >= 0:
            row = dense[hub_of[j]]
            for i in range(len(total)):
                total[i] += weight[at] * row[i]
        else:
            for link in range(row_ptr[j], row_ptr[j + 1]):
                total[linked[link]] += weight[at] * links[link]


@_compiled
def _add_few(start, stop, history, weight, own, row_ptr, linked, links, total, touched):
    """As :func:`_add_all`, and list the items that get something; how many they are."""
    n = 0
    for at in range(start, stop):
        j = history[at]
        n = _add(weight[at] * own[j], j, total, touched, n)
        for link in range(row_ptr[j], row_ptr[j + 1]):
            n = _add(weight[at] * links[link], linked[link], total, touched, n)
    return n


@_compiled
def _add(added, i, total, touched, n):
    """Add to an item's total, and list the item if it had none; how many are listed."""
    touched[n] = i
    n += (total[i] == 0) & (added > 0)
    total[i] += added
    return n


def best_linked(profile, similarity, own, seen, k) -> tuple[np.ndarray, np.ndarray]:
    """As :func:`sk_adrec.retrieval._neighbours.similarity.best_linked`."""
    n = profile.shape[0]
    items, scores = np.full((n, k), -1), np.full((n, k), -np.inf, np.float32)
    _best(
        (profile.indptr, profile.indices, profile.data),
        _arrays(similarity),
        own,
        _hubs(similarity, n),
        (seen.indptr, seen.indices),
        k,
        np.empty(_GATHER * k, np.uint64),
        items,
        scores.view(np.uint32),
    )
    return items, scores


def _hubs(similarity, n_histories):
    """Items near to most others: the place of each among them or -1, and their rows, dense.

    Such a row is added in order, several numbers at once. For few histories the copy is not worth
    it.
    """
    is_hub = np.diff(similarity.indptr) * 2 > similarity.shape[1]
    is_hub &= n_histories >= _MANY_HISTORIES
    place = np.where(is_hub, np.cumsum(is_hub) - 1, -1)
    return place, similarity[np.flatnonzero(is_hub)].toarray()
