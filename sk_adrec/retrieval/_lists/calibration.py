"""A probability from a score: a monotone curve through the rates of groups of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import isotonic_regression

from .._log.log import Log

# Groups of the curve, and the weight that each should have: more would follow noise.
_MAX_GROUPS, _GROUP_WEIGHT = 20, 50
#: Pairs of each class that a curve is learned from.
N_PAIRS = 2_000


@dataclass(frozen=True)
class Sample:
    """Pairs of users and items to calibrate on.

    Parameters
    ----------
    users, items : ndarray of shape (n,), integer
    positive : ndarray of shape (n,), bool
    weight : ndarray of shape (n,)
        Sums to n; each class has the share that it has in the log.
    base_rate : float
        Share of the positive class.
    """

    users: np.ndarray
    items: np.ndarray
    positive: np.ndarray
    weight: np.ndarray
    base_rate: float

    @classmethod
    def draw(cls, log: Log, rng: np.random.Generator) -> Sample:
        """Positives of a log, and its negatives; or, where it has none, as many random pairs.

        A random pair is a user of a drawn positive with an item drawn uniformly: they come one to
        one.
        """
        pairs = log.interactions
        users, items, weight, total = _draw(rng, pairs.users(), pairs.items, pairs.weight)
        if log.negatives is None:
            other_users, other_weight, rate = users, weight, 0.5
            other_items = rng.integers(0, pairs.n_items, len(users))
        else:
            other_users, other_items, other_weight, other_total = _draw(rng, *log.negatives)
            rate = total / (total + other_total)
        n = len(users) + len(other_users)
        return cls(
            np.concatenate([users, other_users]),
            np.concatenate([items, other_items]),
            np.arange(n) < len(users),
            np.concatenate(
                [
                    weight * (n * rate / weight.sum()),
                    other_weight * (n * (1 - rate) / other_weight.sum()),
                ]
            ),
            rate,
        )


def _draw(rng, users, items, weight):
    total = float(weight.sum(dtype=np.float64))
    if len(users) > N_PAIRS:
        rows = np.sort(rng.choice(len(users), N_PAIRS, replace=False))
        users, items, weight = users[rows], items[rows], weight[rows]
    return users, items, weight.astype(np.float64), total


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
