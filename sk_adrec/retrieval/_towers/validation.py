"""How good two towers are on validation rows, after each epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import TrainingRows
from .._lists.ndcg import SCORE_K, ndcg
from .._lists.search import leave_out
from .._lists.top_k import blocks, map_blocks, n_threads, top_k
from .._log.interactions import Interactions
from .._log.log import Log
from .catalogue import Catalogue, Index
from .module import TwoTowers
from .rows import ITEM, POSITIVE, USER, with_histories
from .trained import TrainedTowers

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
