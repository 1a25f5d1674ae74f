"""What held-out rows say of two towers: how good their lists are, and what a score means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import TrainingRows
from ...preprocessing._encoded import Encoded
from .._lists.calibration import balance, draw, fit_curve
from .._lists.ndcg import SCORE_K, ndcg
from .._lists.search import leave_out
from .._lists.top_k import blocks, map_blocks, n_threads, top_k
from .._log.interactions import Interactions
from .._log.log import Log
from .catalogue import Catalogue, Index, TrainedTowers
from .module import TwoTowers
from .rows import ITEM, POSITIVE, USER, with_histories

# Validation rows or users that are ranked after an epoch; more would not tell more.
_MOST_RANKED = 20_000


@dataclass(frozen=True)
class Ranked:
    """What lists of items for the users of validation rows are compared with.

    Parameters
    ----------
    histories : Interactions
        What was learned of each user.
    user, item : ndarray of shape (n_pairs,)
        The held-out items, each once: the number of the list, and of the item.
    """

    histories: Interactions
    user: np.ndarray
    item: np.ndarray


@dataclass(frozen=True)
class ValidationNDCG:
    """NDCG@10 of validation rows: of each on its own, or of all that was held out of a user's.

    Parameters
    ----------
    log : Log
    items : Catalogue
        All of the log.
    ranked : Ranked or None
        Where rows are users.
    at_once : int
        Items of a batch.
    """

    log: Log
    items: Catalogue
    ranked: Ranked | None
    at_once: int

    def __call__(self, module: TwoTowers, output, y, weight) -> float:
        """The metric, from the vectors of users and items side by side, shape (n, 2 d)."""
        index = Index.of(self.items, self.log, TrainedTowers(module, self.at_once))
        u = output[:, : output.shape[1] // 2]
        if self.ranked is not None:
            return self._of_users(index, self.ranked, u, weight)
        return self._of_rows(index, u, y, weight)

    def _of_rows(self, index: Index, u, y, weight) -> float:
        """The mean of one positive each, among all items but the user's others."""
        rows = np.flatnonzero((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0))
        if not len(rows):
            return 0.0
        rows = rows[:: -(-len(rows) // _MOST_RANKED)]
        gain = np.empty(len(rows))

        def rank(part):
            scores = u[rows[part]] @ index.embeddings.T
            item, n = y[rows[part], ITEM], np.arange(len(scores))
            own = scores[n, item]
            leave_out(scores, self.log.interactions.take(y[rows[part], USER]), None)
            # Equal scores come before: a network that tells nothing apart gets nothing.
            place = 1 + (scores > own[:, None]).sum(axis=1)
            scores[n, item] = -np.inf
            place += (scores == own[:, None]).sum(axis=1)
            gain[part] = np.where(place <= SCORE_K, 1 / np.log2(1 + place), 0.0)

        map_blocks(rank, blocks(len(rows), len(index.embeddings)), n_threads(None))
        return float(np.average(gain, weights=weight[rows]))

    def _of_users(self, index: Index, ranked: Ranked, u, weight) -> float:
        """The mean of what was held out of each user's items, among all but the others."""
        if not len(ranked.item):
            return 0.0

        def best(part):
            scores = index.scores(u[part])
            leave_out(scores, ranked.histories.take(np.arange(part.start, part.stop)), None)
            return top_k(scores, SCORE_K)[0]

        n_items = len(index.embeddings)
        found = map_blocks(best, blocks(len(u), n_items), n_threads(None))
        gain = ndcg(np.concatenate(found), ranked.user, ranked.item, n_items)
        return float(np.average(gain, weights=weight))


def users_to_rank(valid: TrainingRows, pairs: Interactions) -> tuple[TrainingRows, Ranked]:
    """A row for each user of validation rows, and what its list should hold.

    Rows of users that fit has not seen stay apart.

    Parameters
    ----------
    valid : TrainingRows
    pairs : Interactions
        What is learned from.
    """
    some = np.arange(len(valid.y)) if valid.rows is None else valid.rows
    positive = some[(valid.y[some, POSITIVE] == 1) & (valid.y[some, ITEM] >= 0)]
    y, (n_users, n_items) = valid.y[positive], pairs.shape
    alone = n_users + np.arange(len(y))
    _, first, user = np.unique(
        np.where(y[:, USER] >= 0, y[:, USER], alone), return_index=True, return_inverse=True
    )
    weight = np.bincount(user, valid.weight[positive]) / np.bincount(user)
    step = max(1, -(-len(first) // _MOST_RANKED))
    asked = user % step == 0
    held_out = np.unique(user[asked] // step * np.int64(n_items) + y[asked, ITEM])
    # Where nothing can be ranked, one row stands for the loss of none.
    shown, weight = positive[first[::step]], weight[::step]
    if not len(shown):
        shown, weight = some[:1], np.zeros(1)
    histories = pairs.take(valid.y[shown, USER])
    learned = histories.users() * np.int64(n_items) + histories.items
    histories = histories.select(~np.isin(learned, held_out))
    encoded = with_histories(valid.encoded.take(shown), histories, valid.weight.dtype)
    rows = TrainingRows(encoded, valid.y[shown], weight.astype(valid.weight.dtype))
    return rows, Ranked(histories, *np.divmod(held_out, n_items))


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
        other, whose = rng.integers(0, len(items), len(rows)), self.target[rows, USER]
        users = towers.module.user.part(self.encoded.take(rows))
        u = towers.user_vectors(users, self.pairs, whose, other).astype(np.float64)
        return (u * items[other]).sum(axis=1)
