"""Items that share users with those of the user's history.

Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001;
similarities as in Deshpande and Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated

import numpy as np

from .._hyperparameters import (
    KW_ONLY,
    Count,
    CountOrNone,
    NotNegative,
    Probability,
    Switch,
    hyperparameters,
    one_of,
    within,
)
from ._history import BaseHistoryRetriever
from ._lists.top_k import fill_up, n_threads
from ._log.interactions import Interactions
from ._neighbours.links import links
from ._neighbours.similarity import Similarity, best_linked, nearest, unit_of_entries, weigh

# Less than this share of a co-occurrence is what rounding leaves of zero.
_ROUNDING = 1e-4


@hyperparameters
class ItemCF(BaseHistoryRetriever):
    r"""Items that share users with those of the user's history.

    The similarity of items j and i is their weighted co-occurrence in users, normalised. An item's
    score for a user sums its similarities to the items j of the history that are among its
    nearest, N_i, the `n_neighbors` most similar; recent items count more:

    .. math::

        s_{ui} = \sum_{j \in H_u \cap N_i} w_{uj} \, \delta^{\mathrm{age}(j)} \,
        \frac{c_{ij}}{d_{ij} + h}, \qquad c_{ij} = \sum_u x_{ui} x_{uj}

    with :math:`d_{ij} = |x_i| |x_j|` (cosine), :math:`|x_i|^2 + |x_j|^2 - c_{ij}` (Jaccard) or
    :math:`|x_j|^2 |x_i|^{2 \alpha}` (conditional), h the shrinkage and :math:`\delta` the decay.
    `recommend` with ``exclude_seen=False`` also counts an item of the history as a neighbour of
    itself: what was bought often, or lately, is bought again.

    Parameters
    ----------
    time : str
        Column of the time, of numbers or dates; equal times are ordered by row. None: a user's
        rows are in order. It matters where `decay` or `max_history` is set.
    n_neighbors
        Nearest items kept of each item. More find more for users of few items, at the cost of
        memory and time; 50 to 500.
    similarity
        How co-occurrence is normalised. "conditional" is the share of j's users that have i; it
        favours popular items, which `alpha` takes back. `similar_items` of j ranks the items i that
        have j in their list, by that share of j's users.
    alpha : float in [0, 1]
        Only with "conditional": how much popular items i are held back. 0 not at all.
    weighting
        Weights x of the interactions: their sample weights, or these damped, and users of many
        items counting less. Try them where some users have far more items than others.
    inverse_user_frequency
        Divide what a user adds to any co-occurrence by log(1 + its number of items).
    shrinkage
        Draws similarities of items with few users towards zero. Try 5 to 100 when rare items come
        first.
    decay : float in (0, 1]
        The m-th most recent item of a history counts ``decay ** (m - 1)``. Try 0.5 to 0.95 where
        interests change.
    max_history
        Only that many most recent items of a user are scored from; None = all. All of them still
        teach similarities, and are left out of recommendations.

    Attributes
    ----------
    similarity_ : csr_matrix of shape (n_items, n_items), float32
        Row i: N_i and its similarities, the most similar first. Items are numbered as in
        ``items_``.

    See Also
    --------
    EASERetriever : Learns the similarities by regression; better on dense data, for catalogues of
        up to some ten thousand items.

    Notes
    -----
    Ratings are not looked at: every row is an interaction of weight 1 unless `sample_weight` says
    otherwise, and a pair that occurs twice has weight 2. Where users interact with an item again
    and again, ``weighting="bm25"`` bounds what that counts.

    With numba installed (``pip install sk-adrec[fast]``) the neighbours are found several times
    faster; they are the same, but where float32 sums of unequal weights round differently.

    Positives (and negatives) are kept, each pair once, as the histories that known users are
    served by: a file holds 8 bytes for each.

    References
    ----------
    Sarwar, Karypis, Konstan and Riedl (2001), "Item-Based Collaborative Filtering Recommendation
    Algorithms", WWW.

    Deshpande and Karypis (2004), "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1).

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import ItemCF
    >>> log = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "ann", "bob", "bob", "cy", "cy", "dee"],
    ...         "item_id": ["tea", "milk", "tea", "milk", "ale", "rum", "tea"],
    ...     }
    ... )
    >>> model = ItemCF().fit(log)
    >>> ids, scores = model.recommend(["dee", "new"], k=2)
    >>> ids
    array([['milk', 'ale'],
           ['tea', 'milk']], dtype=object)
    >>> scores.round(2)
    array([[0.82, 0.  ],
           [0.43, 0.29]])
    >>> model.has_history(["dee", "new"])
    array([ True, False])
    >>> model.recommend(["new"], k=1, history={"new": ["rum"]})[0]
    array([['ale']], dtype=object)
    """

    _: KW_ONLY
    time: str | int | None = None
    n_neighbors: Count = 100
    similarity: Annotated[str, one_of("cosine", "jaccard", "conditional")] = "cosine"
    alpha: Probability = 0.5
    weighting: Annotated[str | None, one_of(None, "tfidf", "bm25")] = None
    inverse_user_frequency: Switch = False
    shrinkage: NotNegative = 0.0
    decay: Annotated[float, within(0, 1, "right")] = 1.0
    max_history: CountOrNone = None

    _rebuilt = ("_by_history_item",)

    def _roles(self):
        return super()._roles() | ({} if self.time is None else {"time": self.time})

    def _learn(self, interactions):
        x, unit = interactions.weight, self.log_.unit.mean
        if self.weighting is not None or self.inverse_user_frequency:
            x = weigh(interactions.matrix(), self.weighting, self.inverse_user_frequency, unit)
        unit = unit_of_entries(self.weighting, unit)
        similarity = Similarity(self.similarity, self.shrinkage, self.alpha, unit)
        self.similarity_ = nearest(
            interactions.matrix(x), similarity, self.n_neighbors, n_threads(self.n_jobs)
        )
        self._rebuild()
        squares = np.bincount(interactions.items, x.astype(np.float64) ** 2, interactions.n_items)
        self._own_similarity = similarity.of(
            squares.astype(np.float32), *similarity.factors(squares)
        )
        return partial(self._scores_left_out, interactions, x, similarity)

    def _profile(self, histories: Interactions) -> Interactions:
        """The items to score from, with what each counts."""
        recent = histories.newest(self.max_history)
        if self.decay == 1:
            return recent
        return replace(recent, weight=self._at_age(recent.weight, recent.ages()))

    def _at_age(self, weight: np.ndarray, age: np.ndarray) -> np.ndarray:
        """What items count that came so many before the most recent one."""
        if self.decay == 1:
            return weight
        return (weight * np.float32(self.decay) ** age).astype(np.float32)

    def _score_items(self, histories):
        return (self._profile(histories).matrix() @ self._by_history_item).toarray()

    def _add_own(self, scores, histories):
        profile = self._profile(histories)
        own = profile.weight * self._own_similarity[profile.items]
        scores[profile.users(), profile.items] += own

    def _best_items(self, block, k, exclude_seen, allowed):
        if allowed is not None:
            return super()._best_items(block, k, exclude_seen, allowed)
        histories = block.histories
        seen = histories if exclude_seen else histories.select(np.zeros(len(histories.items), bool))
        positions, scores = best_linked(
            self._profile(histories).matrix(),
            self._by_history_item,
            self._own_similarity,
            seen.matrix(),
            k,
        )
        if (positions >= 0).all():
            return positions, scores
        # Items without a link have score 0: the most popular come first, so that few are enough.
        n = min(self._n_items(), 2 * k + int(seen.lengths.max()))
        others = np.zeros((len(positions), n))
        others[block.is_popular] = self.popularity_[:n]
        near = seen.items < n
        others[seen.users()[near], seen.items[near]] = -np.inf
        return fill_up(positions, scores, others)

    def _similarity_to(self, items):
        # A share of the users of the given item, which is the other direction of a list's.
        conditional = self.similarity == "conditional"
        matrix = self._by_history_item if conditional else self.similarity_
        found = matrix[items].toarray()
        found[found == 0] = -np.inf
        return found

    def _rebuild(self):
        if "similarity_" in vars(self):
            self._by_history_item = self.similarity_.T.tocsr()

    def _scores_left_out(self, interactions, x, similarity, users, items):
        """Scores of pairs as if the pair had not happened.

        The co-occurrence of item i and the rest of u's history loses what u adds to it, and so does
        the norm of i. What falls below the last neighbour of a full list is no neighbour.
        (NOTE[DIFF] User u still counts in the idf of "tfidf" and "bm25", and the item that would
        take a place that falls free in the list does not.)
        """
        own = interactions.find(users, items)
        x_ui = np.where(own >= 0, x[own], 0).astype(np.float64)
        squares = np.bincount(interactions.items, x.astype(np.float64) ** 2, interactions.n_items)
        a, b = similarity.factors(squares)
        b_left = similarity.factors(squares[items] - x_ui**2)[1]
        last, s_last = self._last_neighbours(items)
        c_last = similarity.co_occurrence(s_last, a[last], b[items])
        # Rounded, the last one itself must not fall out.
        least = similarity.of(c_last, a[last], b_left) * (1 - _ROUNDING)
        scores = np.empty(len(users))
        for part, row, place, s in links(interactions, self.similarity_, users, items):
            # Who comes after the pair is one younger without it.
            ends = interactions.indptr[users[part] + 1]
            age = ends[row] - 1 - place - (own[part][row] > place)
            if self.max_history is not None:
                recent = age < self.max_history
                row, place, s, age = row[recent], place[recent], s[recent], age[recent]
            j = interactions.items[place]
            c_with = similarity.co_occurrence(s, a[j], b[items[part]][row])
            c = c_with - x_ui[part][row] * x[place]
            s = similarity.of(np.where(c > _ROUNDING * c_with, c, 0), a[j], b_left[part][row])
            s[s < least[part][row]] = 0
            counted = self._at_age(interactions.weight[place], age)
            scores[part] = np.bincount(row, counted * s, part.stop - part.start)
        return scores

    def _last_neighbours(self, items):
        """The last neighbour in the lists of some items, and its similarity.

        It is 0 where nothing could take a place in the list: it has room, or all items.
        """
        indptr, n_items = self.similarity_.indptr, self.similarity_.shape[0]
        last, s_last = np.zeros(len(items), dtype=np.int64), np.zeros(len(items))
        if self.n_neighbors >= n_items - 1:
            return last, s_last
        full = np.diff(indptr)[items] >= self.n_neighbors
        ends = indptr[items[full] + 1] - 1
        last[full], s_last[full] = self.similarity_.indices[ends], self.similarity_.data[ends]
        return last, s_last
