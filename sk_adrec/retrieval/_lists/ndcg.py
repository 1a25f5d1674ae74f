"""How good lists are: NDCG of what was held out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from ..._warnings import warn

#: `score` is NDCG at this rank.
SCORE_K = 10


def mean_ndcg(
    target: np.ndarray,
    user: np.ndarray,
    item: np.ndarray,
    position: np.ndarray,
    weight: np.ndarray,
    n_items: int,
    lists: Callable[[np.ndarray], np.ndarray],
) -> float:
    """Mean NDCG of the users of rows, each with the mean weight of its rows.

    Parameters
    ----------
    target : ndarray of shape (n_rows,), bool
        The rows to find; others are not looked at. Without one the result is 0, with a warning.
    user, item : ndarray of shape (n_rows,), integer
        Codes of their own, by which unknown ones differ too. Of equal pairs one counts.
    position : ndarray of shape (n_rows,)
        The item's place in the catalogue, -1 unknown.
    weight : ndarray of shape (n_rows,)
    n_items : int
    lists : callable
        ``lists(rows) -> ndarray of shape (n, k)``: positions of what is recommended to the users
        of some rows, of which each user's first is asked for.
    """
    if not target.any():
        warn(
            "score is 0: X holds no pair of user and item that fit has not seen. Pass rows that "
            "were held out.",
            UndefinedMetricWarning,
        )
        return 0.0
    rows = np.flatnonzero(target)
    _, first, group = np.unique(user[rows], return_index=True, return_inverse=True)
    item = item[rows]
    pair = np.unique(group * np.int64(item.max() + 1) + item, return_index=True)[1]
    found = ndcg(lists(rows[first]), group[pair], position[rows][pair], n_items)
    return float(np.average(found, weights=np.bincount(group, weight[rows]) / np.bincount(group)))


def ndcg(found, group, target, n_items) -> np.ndarray:
    """NDCG of each list, shape (n,), from its targets: `target[m]` belongs to list `group[m]`."""
    n, k = found.shape
    relevant = group[target >= 0] * np.int64(n_items) + target[target >= 0]
    hit = np.isin(np.arange(n)[:, None] * np.int64(n_items) + found, relevant) & (found >= 0)
    gain = 1 / np.log2(np.arange(2, k + 2))
    best = np.append(0, np.cumsum(gain))[np.minimum(np.bincount(group, minlength=n), k)]
    return hit @ gain / best
