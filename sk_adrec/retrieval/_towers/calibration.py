"""From products of vectors to probabilities."""

from __future__ import annotations

import numpy as np

from .._lists.calibration import balance, draw, fit_curve
from .._log.log import Log
from .module import TwoTowers
from .rows import POSITIVE, USER, with_histories, without
from .task import Judged
from .vectors import pair_scores, vectors


def fit_tower_curve(
    module: TwoTowers, items: np.ndarray, judged: Judged, log: Log, rng, at_once: int
) -> tuple[np.ndarray, np.ndarray]:
    """A curve from scores to probabilities, by rows that were held out.

    Without negatives in the log, the users of positives are paired with random items.

    Parameters
    ----------
    module : TwoTowers
    items : ndarray of shape (n_items, d)
        Vectors of the log's items.
    judged : Judged
    log : Log
    rng : numpy Generator
    at_once : int
        Rows of a batch.

    Returns
    -------
    knots, probability : ndarray of shape (n_groups,)
        As of :func:`fit_curve`.
    """
    label = judged.target[judged.rows, POSITIVE]
    rows, others = (draw(rng, judged.rows[label == value]) for value in (1, 0))
    of_rows = _scores(module, judged, rows, at_once)
    if log.negatives is None:
        others = rows
        of_others = _random_scores(module, items, judged, rows, rng, at_once)
    else:
        of_others = _scores(module, judged, others, at_once)
    positive, weight = balance(judged.weight[rows], judged.weight[others], log.positive_rate)
    return fit_curve(np.concatenate([of_rows, of_others]), positive, weight)


def _scores(module, judged: Judged, rows, at_once) -> np.ndarray:
    encoded, target = judged.encoded.take(rows), judged.target[rows]
    return pair_scores(module, encoded, target, judged.pairs, at_once)


def _random_scores(module, items, judged: Judged, rows, rng, at_once) -> np.ndarray:
    """Scores of the users of some rows with items drawn uniformly."""
    other = rng.integers(0, len(items), len(rows))
    users = module.user.part(judged.encoded.take(rows))
    if module.reads_histories:
        users = with_histories(users, without(judged.pairs.take(judged.target[rows, USER]), other))
    u = vectors(module, "users", users, at_once).astype(np.float64)
    return (u * items[other]).sum(axis=1)
