"""AUC within groups, averaged by impressions."""

from __future__ import annotations

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .._warnings import warn
from ._checks import check_scores, check_weights, group_codes, is_positive, sort_by_group


def gauc_score(y_true, y_score, groups, *, sample_weight=None, pos_label=None):
    r"""Average over groups of the AUC within each, weighted by the group's impressions.

    An AUC over all rows also rewards telling active users from others, which no ranking shown to
    one user can use. GAUC compares only rows of one group, in most uses of one user:

    .. math::

        \mathrm{GAUC} = \frac{\sum_g w_g \, \mathrm{AUC}_g}{\sum_g w_g}
        \qquad
        \mathrm{AUC}_g = \frac{\sum_{i \in P_g} \sum_{j \in N_g} w_i w_j
        \left([s_i > s_j] + \frac{1}{2} [s_i = s_j]\right)}
        {\sum_{i \in P_g} w_i \, \sum_{j \in N_g} w_j}

    with :math:`P_g` and :math:`N_g` the positive and negative rows of group :math:`g`, :math:`s`
    the scores and :math:`w_g` the sum of the group's weights: its number of impressions where
    there are none. Groups of one class have no AUC and are left out of both sums.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two labels.
    y_score : array-like of shape (n_samples,)
        Finite scores in any unit, higher for rows that are more probably positive.
    groups : array-like of shape (n_samples,)
        The group of each row: strings, numbers or categories. Rows whose group is missing belong
        to no group and are left out.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, not negative; on downsampled logs the reciprocal of the sampling rate.
        A row of weight k counts like k rows.
    pos_label : label, default=None
        The positive label. None is 1 where the labels are 0 and 1, or -1 and 1, else the greater.

    Returns
    -------
    float
        In [0, 1], 0.5 for random scores. NaN, with an UndefinedMetricWarning, where no group
        holds both classes.

    Raises
    ------
    ValueError
        If lengths differ, scores are not finite, weights are negative, or `y_true` holds more than
        two labels.

    See Also
    --------
    make_gauc_scorer : A scorer for model selection that reads the groups from X.
    sklearn.metrics.roc_auc_score : The same over all rows at once.

    Notes
    -----
    Rows are sorted once by score, then moved to their groups by counting; all else is sums over
    runs of rows, so a million groups cost no more than one. Equal scores share their mean rank.

    Groups count by their impressions, as the paper has it, not by their clicks.

    References
    ----------
    Zhu et al. (2017), "Optimized Cost per Click in Taobao Display Advertising", KDD, and equation
    7 of Zhou et al. (2018), "Deep Interest Network for Click-Through Rate Prediction", KDD.

    Examples
    --------
    ===== ======= =====  ====================================================
    user  clicked score  within the user
    ===== ======= =====  ====================================================
    a     1       0.9    above 0.2 (1), equal to 0.9 (1/2): AUC 0.75, weight 3
    a     0       0.2
    a     0       0.9
    b     0       0.3    the click is below: AUC 0, weight 2
    b     1       0.1
    c     1       0.8    one class only: left out
    ===== ======= =====  ====================================================

    GAUC is (3 * 0.75 + 2 * 0) / (3 + 2) = 0.45.

    >>> from sk_adrec.metrics import gauc_score
    >>> clicked = [1, 0, 0, 0, 1, 1]
    >>> score = [0.9, 0.2, 0.9, 0.3, 0.1, 0.8]
    >>> user = ["a", "a", "a", "b", "b", "c"]
    >>> round(gauc_score(clicked, score, user), 4)
    0.45
    """
    positive = is_positive(y_true, pos_label)
    score = check_scores("y_score", y_score, positive)
    weight = check_weights(sample_weight, positive)
    codes, values = group_codes(groups, positive)
    known = codes >= 0
    w_pos = np.bincount(codes[known], _class_weight(positive, weight)[known], len(values))
    w_neg = np.bincount(codes[known], _class_weight(~positive, weight)[known], len(values))
    usable = (w_pos > 0) & (w_neg > 0)
    if not usable.any():
        warn(
            f"GAUC is undefined: none of the {len(values)} groups holds rows of both classes. Pass "
            "more rows, or coarser groups.",
            UndefinedMetricWarning,
        )
        return float("nan")
    rows = np.flatnonzero(known & usable[codes])
    codes = (np.cumsum(usable) - 1)[codes[rows]]
    w_pos, w_neg = w_pos[usable], w_neg[usable]
    weight = None if weight is None else weight[rows]
    auc = _auc_by_group(positive[rows], score[rows], codes, weight, w_pos, w_neg)
    return float(np.average(auc, weights=w_pos + w_neg))


def _class_weight(member, weight):
    """The weight of the rows of one class, zero elsewhere."""
    return member.astype(np.float64) if weight is None else member * weight


def _auc_by_group(positive, score, codes, weight, w_pos, w_neg):
    """AUC of each group, shape (n_groups,); every group holds both classes, of total weight w_*."""
    order, first_row = sort_by_group(codes, len(w_pos), np.argsort(score))
    positive, score, codes = positive[order], score[order], codes[order]
    neg, pos = ~positive, positive
    if weight is not None:
        # As shares of the group's total: heavy groups would drown light ones in the running sum.
        weight = weight[order]
        neg, pos = neg * weight / w_neg[codes], pos * weight / w_pos[codes]
    # Runs of equal scores within a group: their rows share the mean rank.
    new_run = np.ones(len(score), dtype=bool)
    np.not_equal(score[1:], score[:-1], out=new_run[1:])
    new_run[first_row] = True
    run = np.flatnonzero(new_run)
    neg = np.add.reduceat(neg, run, dtype=np.float64)
    pos = np.add.reduceat(pos, run, dtype=np.float64)
    # Negatives below a run: all that come before it, less those of earlier groups.
    first_run = np.searchsorted(run, first_row)
    below = np.cumsum(neg) - neg
    below -= below[first_run][codes[run]]
    wins = np.add.reduceat(pos * (below + 0.5 * neg), first_run)
    return wins / (w_pos * w_neg) if weight is None else wins
