"""What recommendations show of the catalogue: how much of it, and how far from the known."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .._warnings import warn
from ._checks import check_weights
from ._hits import Items, check_same_kind, positions_in, read_items, read_recommended


def coverage_at_k(recommended, catalogue, k=10):
    r"""Share of the catalogue that is among the first k recommendations of at least one row.

    .. math::

        \mathrm{coverage@}k = \frac{|\bigcup_u T_u|}{|C|}

    with :math:`T_u` the first k recommendations of row :math:`u` and :math:`C` the catalogue. It
    grows with the number of rows: compare models on the same rows only.

    Parameters
    ----------
    recommended : array-like of shape (n_rows, >= k), or n_rows lists
        Item ids, the best first. Where a recommender ran short: None or NaN, in integer arrays -1,
        or a shorter list.
    catalogue : array-like of shape (n_items,)
        All items that could have been recommended; repeated and missing ones count once and not at
        all, so the item column of the training log will do.
    k : int, default=10
        How many recommendations are looked at: as many as the user will be shown.

    Returns
    -------
    float
        In [0, 1]. The most popular items for everybody give about k / n_items.

    Raises
    ------
    ValueError
        If an item is recommended that the catalogue lacks, or an array has fewer than k columns.
    TypeError
        For ids that are neither strings nor numbers.

    See Also
    --------
    novelty_at_k : How little known the recommended items are.

    Examples
    --------
    ===== =============
    user  recommended
    ===== =============
    ann   a, b
    bob   a, c
    ===== =============

    Three of the five items a to e are shown to somebody.

    >>> from sk_adrec.metrics import coverage_at_k
    >>> coverage_at_k([["a", "b"], ["a", "c"]], ["a", "b", "c", "d", "e"], k=2)
    0.6
    """
    top = read_recommended(recommended, k)
    offered = read_items(catalogue, "catalogue")
    check_same_kind(top, offered, "catalogue")
    position = positions_in(offered.values, top.values)
    shown = np.flatnonzero(top.counts())
    stray = shown[position[shown] < 0]
    if len(stray):
        example = top.values[int(stray[0])]
        raise ValueError(
            f"recommended holds {len(stray)} items that are not in the catalogue, {example!s} for "
            "one: pass all items that could be recommended"
        )
    n_items = np.count_nonzero(offered.counts())
    if n_items == 0:
        raise ValueError("the catalogue holds no item: pass all items that could be recommended")
    return float(len(shown) / n_items)


def novelty_at_k(recommended, past, k=10, *, sample_weight=None):
    r"""How rare the first k recommendations were in the past, in bits (self-information).

    .. math::

        \mathrm{novelty@}k = \frac{1}{n} \sum_u \frac{1}{|T_u|} \sum_{i \in T_u}
        -\log_2 p(i)

    with :math:`T_u` the first k recommendations of row :math:`u` and :math:`p(i)` the share of
    past rows that hold item :math:`i`: 0 bits for what everybody had, one more each time an item
    is half as known. Read it beside an accuracy metric: random items are very novel.

    Parameters
    ----------
    recommended : array-like of shape (n_rows, >= k), or n_rows lists
        Item ids, the best first. Where a recommender ran short: None or NaN, in integer arrays -1,
        or a shorter list; rows without any recommendation are left out.
    past : array-like of shape (n_past,) or (n_past, m), or n_past lists
        What was consumed before. Lists, one per user: p is a share of users. One id per row, such
        as the item column of the training log: p is a share of interactions. An item that the
        past lacks counts as if one row held it.
    k : int, default=10
        How many recommendations are looked at: as many as the user will be shown.
    sample_weight : array-like of shape (n_rows,), default=None
        Weight of each row of `recommended`, not negative.

    Returns
    -------
    float
        In bits, from 0 to log2(n_past). NaN, with an UndefinedMetricWarning, where nothing is
        recommended.

    Raises
    ------
    ValueError
        If an array has fewer than k columns, weights are negative, or one side holds strings and
        the other numbers.
    TypeError
        For ids that are neither strings nor numbers.

    See Also
    --------
    coverage_at_k : How much of the catalogue is shown to somebody.

    References
    ----------
    Zhou et al. (2010), "Solving the apparent diversity-accuracy dilemma of recommender systems",
    PNAS: there p is the share of users, and the mean is called surprisal.

    Examples
    --------
    ===== ================= ===== ======
    item  users who had it  p     bits
    ===== ================= ===== ======
    a     4 of 4            1     0
    b     2 of 4            0.5   1
    c     1 of 4            0.25  2
    ===== ================= ===== ======

    The first row is shown a and b, 0.5 bits on average, the second b and c, 1.5 bits.

    >>> from sk_adrec.metrics import novelty_at_k
    >>> past = [["a", "b"], ["a", "b", "c"], ["a"], ["a"]]
    >>> novelty_at_k([["a", "b"], ["b", "c"]], past, k=2)
    1.0
    """
    top = read_recommended(recommended, k)
    weight = check_weights(sample_weight, top.lengths)
    before = read_items(past, "past")
    check_same_kind(top, before, "past")
    bits = _surprise(top, before)
    present = top.codes >= 0
    rows = top.rows[present]
    shown = np.bincount(rows, minlength=len(top.lengths))
    mean = np.bincount(rows, bits[top.codes[present]], len(shown)) / np.maximum(shown, 1)
    counted = (shown > 0) if weight is None else weight * (shown > 0)
    if not counted.any():
        warn(
            "novelty is undefined: no row of positive weight holds a recommendation",
            UndefinedMetricWarning,
        )
        return float("nan")
    return float(np.average(mean, weights=counted))


def _surprise(top: Items, past: Items) -> np.ndarray:
    """-log2 of the share of past rows that hold each of the recommended ids."""
    _, codes = past.distinct()
    counts = np.bincount(codes, minlength=len(past.values))
    # Position -1, an id that the past lacks, reads the entry appended here.
    count = np.append(counts, 1)[positions_in(past.values, top.values)]
    return np.log2(len(past.lengths) / np.maximum(count, 1))
