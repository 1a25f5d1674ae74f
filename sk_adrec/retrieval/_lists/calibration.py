"""A probability from a score: a monotone curve through the rates of groups of pairs."""

from __future__ import annotations

import numpy as np
from sklearn.isotonic import isotonic_regression

# Groups of the curve, and the weight that each should have: more would follow noise.
_MAX_GROUPS, _GROUP_WEIGHT = 20, 50
# Pairs of each class that a curve is learned from.
_MOST_PAIRS = 2_000


def draw(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """As many of some rows as a curve is learned from, in their order."""
    if len(rows) <= _MOST_PAIRS:
        return rows
    return np.sort(rng.choice(rows, _MOST_PAIRS, replace=False))


def balance(positives, negatives, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of the pairs of two classes are positive, and weights.

    Parameters
    ----------
    positives, negatives : ndarray of shape (n_1,) and (n_0,)
        Weights within each class.
    rate : float
        Share of the positives in the log.

    Returns
    -------
    positive : ndarray of shape (n_1 + n_0,), bool
    weight : ndarray of shape (n_1 + n_0,)
        Sums to n_1 + n_0; each class has its share in the log.
    """
    n = len(positives) + len(negatives)
    weights = [
        weight * (n * share / weight.sum())
        for weight, share in ((positives, rate), (negatives, 1 - rate))
    ]
    return np.arange(n) < len(positives), np.concatenate(weights)


def fit_curve(score, positive, weight) -> tuple[np.ndarray, np.ndarray]:
    """Knots of P(positive | score), which rises with the score.

    Pairs are grouped by score, equal ones together; each group's rate is drawn towards the base
    rate as by one more pair, made monotone, and interpolated between the groups' mean scores.

    Parameters
    ----------
    score : ndarray of shape (n,)
    positive : ndarray of shape (n,), bool
    weight : ndarray of shape (n,)

    Returns
    -------
    knots, probability : ndarray of shape (n_groups,), float64
        For :func:`numpy.interp`.
    """
    values, at = np.unique(np.asarray(score, dtype=np.float64), return_inverse=True)
    total = np.bincount(at, weights=weight)
    hits = np.bincount(at, weights=weight * positive)
    share = (np.cumsum(total) - total / 2) / total.sum()
    n_groups = int(np.clip(total.sum() // _GROUP_WEIGHT, 1, _MAX_GROUPS))
    # Where nearly all scores are equal, the few others still make groups of their own.
    group = np.unique(np.floor(share * n_groups), return_inverse=True)[1]
    mass, positives, moment = (np.bincount(group, w) for w in (total, hits, total * values))
    base = positives.sum() / mass.sum()
    rate = isotonic_regression((positives + base) / (mass + 1), sample_weight=mass)
    return moment / mass, rate
