"""How good two towers are on validation rows, after each epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._lists.ndcg import SCORE_K, ndcg
from .._lists.search import leave_out
from .._lists.top_k import blocks, map_blocks, n_threads, top_k
from .._log.log import Log
from .catalogue import Catalogue, Index
from .module import TwoTowers
from .rows import ITEM, POSITIVE, USER
from .task import MOST_RANKED, Ranked


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
        index = Index.of(self.items, self.log, module, self.at_once)
        u = output[:, : output.shape[1] // 2]
        if self.ranked is not None:
            return self._of_users(index, self.ranked, u, weight)
        return self._of_rows(index, u, y, weight)

    def _of_rows(self, index: Index, u, y, weight) -> float:
        """The mean of one positive each, among all items but the user's others."""
        rows = np.flatnonzero((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0))
        if not len(rows):
            return 0.0
        rows = rows[:: -(-len(rows) // MOST_RANKED)]
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
