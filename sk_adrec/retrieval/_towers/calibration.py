"""From products of vectors to probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import TrainingRows
from ...preprocessing._encoded import Encoded
from .._lists.calibration import balance, draw, fit_curve
from .._log.interactions import Interactions
from .._log.log import Log
from .rows import POSITIVE, USER, with_histories, without
from .trained import TrainedTowers


@dataclass(frozen=True)
class Judged:
    """Rows to calibrate on, and the histories without them.

    Parameters
    ----------
    encoded : Encoded
    target : ndarray of shape (n, 3)
    weight : ndarray of shape (n,)
    rows : ndarray of int
        The rows of those arrays that were held out.
    pairs : Interactions
        What was learned from.
    """

    encoded: Encoded
    target: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    pairs: Interactions

    @classmethod
    def of(cls, encoded, target, weight, rows, held_out, pairs: Interactions) -> Judged:
        """The held-out rows; those that are learned from where there are none of each label."""
        if held_out is None or len(np.unique(target[held_out, POSITIVE])) < len(
            np.unique(target[:, POSITIVE])
        ):
            held_out = rows
        return cls(encoded, target, weight, held_out, pairs)

    @classmethod
    def of_given(cls, valid: TrainingRows | None, log: Log, pairs: Interactions) -> Judged | None:
        """The rows that fit got to stop on; None where they lack a label that the log has."""
        if valid is None:
            return None
        label = valid.y[:, POSITIVE]
        if not (label == 1).any() or (log.negatives is not None and not (label == 0).any()):
            return None
        every = np.arange(len(valid))
        return cls(valid.encoded, valid.y, valid.weight.astype(np.float64), every, pairs)

    def curve(
        self, towers: TrainedTowers, items: np.ndarray, log: Log, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A curve from scores to probabilities.

        Without negatives in the log, the users of positives are paired with random items.

        Parameters
        ----------
        towers : TrainedTowers
        items : ndarray of shape (n_items, d)
            Vectors of the log's items.
        log : Log
        rng : numpy Generator

        Returns
        -------
        knots, probability : ndarray of shape (n_groups,)
            As of :func:`fit_curve`.
        """
        label = self.target[self.rows, POSITIVE]
        rows, others = (draw(rng, self.rows[label == value]) for value in (1, 0))
        of_rows = self._scores(towers, rows)
        if log.negatives is None:
            others, of_others = rows, self._random_scores(towers, items, rows, rng)
        else:
            of_others = self._scores(towers, others)
        positive, weight = balance(self.weight[rows], self.weight[others], log.positive_rate)
        return fit_curve(np.concatenate([of_rows, of_others]), positive, weight)

    def _scores(self, towers, rows) -> np.ndarray:
        return towers.pair_scores(self.encoded.take(rows), self.target[rows], self.pairs)

    def _random_scores(self, towers, items, rows, rng) -> np.ndarray:
        """Scores of the users of some rows with items drawn uniformly."""
        other, module = rng.integers(0, len(items), len(rows)), towers.module
        users = module.user.part(self.encoded.take(rows))
        if module.reads_histories:
            own = self.pairs.take(self.target[rows, USER])
            users = with_histories(users, without(own, other))
        u = towers.vectors("users", users).astype(np.float64)
        return (u * items[other]).sum(axis=1)
