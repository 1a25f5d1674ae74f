"""Probabilities of pairs, and how good lists are."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ...preprocessing._encoded import Encoded
from ...preprocessing._vocabulary import FIRST_KNOWN
from .._base import BaseRetriever
from .._lists.calibration import N_PAIRS, fit_curve
from .._lists.ndcg import SCORE_K, mean_ndcg, ndcg
from .._lists.top_k import blocks, map_blocks, n_threads
from .._log.interactions import Interactions
from .._log.log import read_labels
from .._log.roles import check_log
from .module import ITEM, POSITIVE, USER
from .rows import N_RANKED, Judged, Ranked, without
from .search import TowerSearch


class TowerEvaluation(TowerSearch):
    """`predict_proba`, its calibration, and `score`."""

    # ---- probabilities -------------------------------------------------------------------

    predict = BaseRetriever.predict

    def predict_proba(self, X):
        """Probability that a pair of user and item is positive.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in fit; new ids and missing values are fine. A data frame may lack columns that
            neither tower reads, other than those of users and items.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            In the order of ``classes_``. With negatives in y: P(y = 1). Without: the probability
            that the pair comes from the log, and is not its user with an item drawn uniformly, one
            such pair for each of the log's. It is calibrated on pairs that were not learned from.
        """
        check_is_fitted(self)
        X = check_log(self, X, reset=False, reads=self._columns.used)
        encoded, (users, items) = self._encode(X), self._columns.ids(X, self.log_)
        target = np.zeros((len(encoded), 3), dtype=np.int64)
        target[:, USER] = self._user_codes(users)
        target[:, ITEM] = np.maximum(self.log_.items.encode(items) - FIRST_KNOWN, -1)
        scores = self._pair_scores(encoded, target, self.log_.interactions)
        p = np.interp(scores, *self.score_curve_)
        return np.column_stack([1 - p, p])

    def _pair_scores(self, encoded: Encoded, target, pairs: Interactions) -> np.ndarray:
        """Products of each row's two vectors, shape (n,), float64.

        Where the model reads histories, a row's own item is left out of its user's.
        """
        scores = np.empty(len(encoded))
        for start in range(0, len(encoded), self._rows_at_once):
            rows = slice(start, start + self._rows_at_once)
            histories = without(pairs.take(target[rows, USER]), target[rows, ITEM])
            part = self._with_items(encoded.take(rows), histories)
            u, v = np.split(self._forward_encoded(part).astype(np.float64), 2, axis=1)
            scores[rows] = (u * v).sum(axis=1)
        return scores

    def _calibrate(self, judged: Judged) -> None:
        """A curve from scores to probabilities, by rows that were held out."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        pairs, negatives = self.log_.interactions, self.log_.negatives
        label, rows = judged.target[judged.rows, POSITIVE], judged.rows
        drawn = [_draw(rng, rows[label == value]) for value in (1, 0)]
        total = pairs.weight.sum(dtype=np.float64)
        rate = 0.5 if negatives is None else total / (total + negatives[2].sum())
        self.base_rate_ = float(rate)
        if negatives is None:
            drawn[1] = drawn[0]
        scores = [
            self._pair_scores(judged.encoded.take(part), judged.target[part], judged.pairs)
            for part in drawn
        ]
        if negatives is None:
            scores[1] = self._random_pair_scores(rng, judged, drawn[0])
        n = len(scores[0]) + len(scores[1])
        weights = [
            judged.weight[part] * (n * share / judged.weight[part].sum())
            for part, share in zip(drawn, (rate, 1 - rate))
        ]
        positive = np.arange(n) < len(scores[0])
        self.score_curve_ = fit_curve(np.concatenate(scores), positive, np.concatenate(weights))

    def _random_pair_scores(self, rng, judged: Judged, rows) -> np.ndarray:
        """Scores of the users of some rows with items drawn uniformly."""
        histories = judged.pairs.take(judged.target[rows, USER])
        other = rng.integers(0, self._n_items(), len(rows))
        user = self.net_.module_.user.part(judged.encoded.take(rows))
        users = self._with_items(user, without(histories, other))
        u = self._vectors(users, "users").astype(np.float64)
        return (u * self.item_embeddings_[other]).sum(axis=1)

    # ---- evaluation ----------------------------------------------------------------------

    def _validation_ndcg(self, output, y, weight) -> float:
        """NDCG@10 of one positive each, among all items but the user's others; or of users."""
        self._refresh()
        if self._ranked is not None:
            return self._ndcg_of_users(self._ranked, output[:, : output.shape[1] // 2], weight)
        rows = np.flatnonzero((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0))
        if not len(rows):
            return 0.0
        rows = rows[:: -(-len(rows) // N_RANKED)]
        vectors, gain = output[rows, : output.shape[1] // 2], np.empty(len(rows))

        def rank(part):
            scores = vectors[part] @ self.item_embeddings_.T
            item, n = y[rows[part], ITEM], np.arange(len(scores))
            own = scores[n, item]
            self._exclude(scores, self.log_.interactions.take(y[rows[part], USER]))
            # Equal scores come before: a network that tells nothing apart gets nothing.
            place = 1 + (scores > own[:, None]).sum(axis=1)
            scores[n, item] = -np.inf
            place += (scores == own[:, None]).sum(axis=1)
            gain[part] = np.where(place <= SCORE_K, 1 / np.log2(1 + place), 0.0)

        map_blocks(rank, blocks(len(rows), self._n_items()), n_threads(None))
        return float(np.average(gain, weights=weight[rows]))

    def _ndcg_of_users(self, ranked: Ranked, vectors, weight) -> float:
        """Mean NDCG@10 of what was held out of each user's items, among all but the others."""
        if not len(ranked.item):
            return 0.0
        found, _ = self._search(vectors, ranked.histories, SCORE_K)
        return float(
            np.average(ndcg(found, ranked.user, ranked.item, self._n_items()), weights=weight)
        )

    def score(self, X, y=None, sample_weight=None):
        """NDCG@10 of held-out rows, the mean over their users.

        The positive rows of X are grouped by user, and compared with the ten best items by the
        features of the user's first row in X. Items that fit saw of the user are no target, since
        they are not recommended; users with no other item are left out. Items that are not in the
        catalogue count as missed.

        Parameters
        ----------
        X, y : as in `fit`
            Rows that fit has not seen; a data frame may lack columns other than those of users, of
            `user_features` and of items.
        sample_weight : array-like of shape (n_samples,), default=None
            A user counts with the mean weight of its rows.

        Returns
        -------
        float
            0 (with a warning) if no user is left.
        """
        check_is_fitted(self)
        columns = self._columns
        reads = (columns.user, columns.item, *columns.user_features)
        X, rows, weight = self._check_rows(X, y, sample_weight, reset=False, reads=reads)
        if columns.item in columns.item_features:
            # Nothing encodes the items of X, which would warn.
            self.log_.items.warn_of_other_type(rows.items, f"Column {columns.item!r}")
        _, target = read_labels(rows.labels, weight, self.classes_)
        users, items = self._user_codes(rows.users), self._item_codes(rows.items)
        pairs = self.log_.interactions
        logged = self.log_.items.encode(rows.items) - FIRST_KNOWN
        target &= ~pairs.contain(users, np.maximum(logged, -1))

        def lists(first):
            asked = self._read_user_rows(self._users_of_rows(X, first))
            return self._search(asked.vectors, asked.histories, SCORE_K)[0]

        user, item = rows.users.codes, rows.items.codes
        return mean_ndcg(target, user, item, items, weight, self._n_items(), lists)


def _draw(rng, rows):
    return rows if len(rows) <= N_PAIRS else np.sort(rng.choice(rows, N_PAIRS, replace=False))
