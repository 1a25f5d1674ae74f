"""How far probabilities are from what happened: normalised entropy, ratio, calibration error."""

from __future__ import annotations

import numpy as np
from scipy.special import entr, xlogy
from sklearn.exceptions import UndefinedMetricWarning

from .._validation import check_choice, check_number
from .._warnings import warn
from ._checks import check_probabilities, check_weights, is_positive


def normalized_entropy_score(y_true, y_prob, *, sample_weight=None, pos_label=None):
    r"""Log loss divided by the log loss of predicting the base rate for every row.

    A log loss says little by itself: it falls when clicks become rarer. Normalised entropy (NE)
    is 1 for a model that knows the base rate only, and 0 for a perfect one:

    .. math::

        \mathrm{NE} = \frac{-\frac{1}{W} \sum_i w_i
        \left(y_i \log p_i + (1 - y_i) \log(1 - p_i)\right)}
        {-\left(\bar y \log \bar y + (1 - \bar y) \log(1 - \bar y)\right)}
        \qquad
        \bar y = \frac{1}{W} \sum_i w_i y_i, \quad W = \sum_i w_i

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two labels.
    y_prob : array-like of shape (n_samples,)
        Probabilities of the positive label. Those of 0 and 1 are moved inside by the float type's
        resolution, as scikit-learn's log_loss does, so that one wrong row costs much, not infinity.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, not negative; on downsampled logs the reciprocal of the sampling rate,
        without which both losses are those of another base rate.
    pos_label : label, default=None
        The positive label. None is 1 where the labels are 0 and 1, or -1 and 1, else the greater.

    Returns
    -------
    float
        0 is best, 1 as good as the base rate, more is worse. NaN, with an UndefinedMetricWarning,
        where `y_true` holds one class.

    Raises
    ------
    ValueError
        If lengths differ, values are no probabilities, or `y_true` holds more than two labels.

    References
    ----------
    He et al. (2014), "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD,
    section 3.

    Examples
    --------
    ======= =========== ==================
    clicked probability loss of the row
    ======= =========== ==================
    1       0.8         -log(0.8) = 0.2231
    0       0.4         -log(0.6) = 0.5108
    0       0.1         -log(0.9) = 0.1054
    0       0.1         -log(0.9) = 0.1054
    ======= =========== ==================

    The mean loss is 0.2362, the base rate's -(1/4) log(1/4) - (3/4) log(3/4) = 0.5623; NE is their
    quotient, 0.42.

    >>> from sk_adrec.metrics import normalized_entropy_score
    >>> round(normalized_entropy_score([1, 0, 0, 0], [0.8, 0.4, 0.1, 0.1]), 4)
    0.42
    """
    y, p, weight = _check(y_true, y_prob, sample_weight, pos_label)
    rate = np.average(y, weights=weight)
    if rate in (0.0, 1.0):
        return _undefined("Normalised entropy", "holds one class, so that its entropy is 0")
    eps = np.finfo(p.dtype).eps
    p = np.clip(p.astype(np.float64), eps, 1 - eps)
    loss = -np.average(xlogy(y, p) + xlogy(1 - y, 1 - p), weights=weight)
    return float(loss / (entr(rate) + entr(1 - rate)))


def calibration_ratio(y_true, y_prob, *, sample_weight=None, pos_label=None):
    r"""Expected over observed positives ("predicted click over click", PCOC).

    .. math::

        \mathrm{PCOC} = \frac{\sum_i w_i p_i}{\sum_i w_i y_i}

    Above 1 the model promises more clicks than come, and bids too high. It is a summary: 1 overall
    may hide campaigns at 0.5 and 2; see :class:`sk_adrec.inspection.CalibrationByGroupDisplay`.
    It is no score to maximise, hence there is no scorer.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two labels.
    y_prob : array-like of shape (n_samples,)
        Probabilities of the positive label.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, not negative; on downsampled logs the reciprocal of the sampling rate.
    pos_label : label, default=None
        The positive label. None is 1 where the labels are 0 and 1, or -1 and 1, else the greater.

    Returns
    -------
    float
        1 is calibrated. NaN, with an UndefinedMetricWarning, where no row is positive.

    Raises
    ------
    ValueError
        If lengths differ, values are no probabilities, or `y_true` holds more than two labels.

    Examples
    --------
    ======= =========== ======
    clicked probability weight
    ======= =========== ======
    1       0.5         1
    0       0.3         2
    0       0.1         2
    ======= =========== ======

    Expected clicks are 0.5 + 2 * 0.3 + 2 * 0.1 = 1.3, observed is 1: the ratio is 1.3.

    >>> from sk_adrec.metrics import calibration_ratio
    >>> round(calibration_ratio([1, 0, 0], [0.5, 0.3, 0.1], sample_weight=[1, 2, 2]), 4)
    1.3
    """
    y, p, weight = _check(y_true, y_prob, sample_weight, pos_label)
    observed = np.average(y, weights=weight)
    if observed == 0:
        return _undefined("The calibration ratio", "holds no positive row, so none is observed")
    return float(np.average(p.astype(np.float64), weights=weight) / observed)


def expected_calibration_error(
    y_true, y_prob, *, n_bins=10, strategy="quantile", sample_weight=None, pos_label=None
):
    r"""Mean distance, over bins of the probability, between predicted and observed rates.

    .. math::

        \mathrm{ECE} = \sum_{b} \frac{W_b}{W} \, \lvert \bar p_b - \bar y_b \rvert

    with :math:`W_b` the weight of bin :math:`b`, and :math:`\bar p_b` and :math:`\bar y_b` the
    weighted means of probability and label of its rows.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Two labels.
    y_prob : array-like of shape (n_samples,)
        Probabilities of the positive label.
    n_bins : int, default=10
        More bins find finer errors, and count more noise as error.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins of equal weight, or of equal width. Click probabilities crowd near 0, where bins of
        equal width put almost all rows into one. Rows of equal probability share a bin, so there
        may be fewer bins than asked for.
    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each row, not negative; on downsampled logs the reciprocal of the sampling rate.
        A row of weight k counts like k rows.
    pos_label : label, default=None
        The positive label. None is 1 where the labels are 0 and 1, or -1 and 1, else the greater.

    Returns
    -------
    float
        A probability; 0 is best.

    Raises
    ------
    ValueError
        If lengths differ, values are no probabilities, `y_true` holds more than two labels, or a
        parameter is out of range.

    Notes
    -----
    Noise alone makes it positive: with m rows a bin, a calibrated model of click rate r gets about
    sqrt(2 r (1 - r) / (pi m)). Compare models on the same rows only.

    References
    ----------
    Pakdaman Naeini et al. (2015), "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI.

    Examples
    --------
    ======= =========== === ======================== ====================
    clicked probability bin mean probability, clicks distance x share
    ======= =========== === ======================== ====================
    0       0.1         1   0.15, 0                  0.15 x 1/2
    0       0.2         1
    0       0.6         2   0.7, 0.5                 0.2 x 1/2
    1       0.8         2
    ======= =========== === ======================== ====================

    >>> from sk_adrec.metrics import expected_calibration_error
    >>> round(expected_calibration_error([0, 0, 0, 1], [0.1, 0.2, 0.6, 0.8], n_bins=2), 4)
    0.175
    """
    check_number("n_bins", n_bins, 1, integer=True)
    check_choice("strategy", strategy, ("quantile", "uniform"))
    y, p, weight = _check(y_true, y_prob, sample_weight, pos_label)
    p = p.astype(np.float64)
    weight = np.ones(len(p)) if weight is None else weight
    shares = np.arange(1, n_bins) / n_bins
    edges = shares if strategy == "uniform" else _weighted_quantiles(p, weight, shares)
    # |W_b (mean p - mean y)| is the sum of w (p - y) over the bin.
    errors = np.bincount(np.searchsorted(edges, p), weights=weight * (p - y))
    return float(np.abs(errors).sum() / weight.sum())


def _weighted_quantiles(values, weight, shares):
    """The smallest values at or below which lie these shares of the weight."""
    order = np.argsort(values)
    order = order[weight[order] > 0]
    reached = np.cumsum(weight[order])
    # A share that is reached up to rounding is reached.
    wanted = shares * reached[-1] * (1 - 1e-12)
    return values[order][np.searchsorted(reached, wanted)]


def _check(y_true, y_prob, sample_weight, pos_label):
    positive = is_positive(y_true, pos_label)
    p = check_probabilities(y_prob, positive)
    return positive.astype(np.float64), p, check_weights(sample_weight, positive)


def _undefined(metric: str, cause: str) -> float:
    message = f"{metric} is undefined: y_true {cause}. Pass rows of both classes."
    warn(message, UndefinedMetricWarning)
    return float("nan")
