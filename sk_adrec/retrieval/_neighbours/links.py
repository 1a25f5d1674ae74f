"""Which items of users' histories are near to given items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from .._log.interactions import Interactions
from .similarity import blocks_of

# Pairs of items that are looked up at once, beside what a single pair of user and item needs.
_AT_ONCE = 1 << 21


def links(
    interactions: Interactions, similarity: sparse.csr_matrix, users: np.ndarray, items: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray, np.ndarray]]:
    """For pairs of user and item: what the user has had among the item's neighbours.

    Of each pair the shorter of history and list of neighbours is gone through, so that a user of
    very many items costs no more than the list.

    Parameters
    ----------
    interactions : Interactions
    similarity : csr_matrix of shape (n_items, n_items)
        Row i: the neighbours of item i. Without a diagonal.
    users, items : ndarray of shape (n,)

    Yields
    ------
    part : slice
        Of the pairs.
    row : ndarray of int
        The pair of each link, by its number in the part, ascending.
    place : ndarray of int
        Where in `interactions` the linked item is, ascending within a pair.
    s : ndarray, float64
        Its similarity.
    """
    n_had, n_near = interactions.lengths_of(users), np.diff(similarity.indptr)[items]
    similarity = similarity.sorted_indices()
    for part in blocks_of(np.minimum(n_had, n_near), _AT_ONCE):
        by_history = n_had[part] <= n_near[part]
        found = []
        for look_up, rows in ((_of_history, by_history), (_of_neighbours, ~by_history)):
            row, *link = look_up(interactions, similarity, users[part][rows], items[part][rows])
            found.append((np.flatnonzero(rows)[row], *link))
        row, place, s = (np.concatenate(both) for both in zip(*found))
        order = np.lexsort((place, row))
        yield part, row[order], place[order], s[order]


def _of_history(interactions, similarity, users, items):
    starts, place = interactions.entries(users)
    row = np.repeat(np.arange(len(users)), np.diff(starts))
    s = np.zeros(0)
    if len(row):
        s = similarity[items[row], interactions.items[place]]
    s = np.asarray(s, dtype=np.float64).ravel()
    near = s > 0
    return row[near], place[near], s[near]


def _of_neighbours(interactions, similarity, users, items):
    near = similarity[items]
    row = np.repeat(np.arange(len(users)), np.diff(near.indptr))
    place = interactions.find(users[row], near.indices)
    had = place >= 0
    return row[had], place[had], near.data[had].astype(np.float64)
