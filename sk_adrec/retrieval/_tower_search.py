"""What a fitted two-tower model does: vectors, lists, probabilities, a score."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._validation import check_number, check_X, is_frame
from ..nn import Batch
from ..preprocessing._columns import read_table
from ..preprocessing._encoded import Encoded
from ..preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from ._base import _SCORE_K, BaseRetriever, _ndcg
from ._calibration import N_PAIRS, fit_curve
from ._log import read_labels, user_column
from ._roles import as_table, read_ids
from ._search import CatalogueSearch, lists_as_frame
from ._top_k import blocks, decode, map_blocks, n_threads, top_k
from ._tower_columns import select
from ._towers import ITEM, POSITIVE

# Validation rows that are ranked after an epoch; more would not tell more.
_N_RANKED = 5_000


class TowerSearch(CatalogueSearch):
    """Exact search among the vectors of a catalogue.

    It needs ``net_``, ``log_``, ``_columns``, ``_user_rows``, ``_item_rows`` and the encoder.
    """

    # ---- vectors -------------------------------------------------------------------------

    def _vectors(self, rows: Encoded, role: str) -> np.ndarray:
        """Vectors of encoded rows of one side ("users" or "items"), shape (n, d)."""
        net = self.net_
        net.module_.eval()
        tower, parts = getattr(net.module_, role), []
        with torch.inference_mode():
            for start in range(0, max(1, len(rows)), self._rows_at_once):
                part = rows.take(slice(start, start + self._rows_at_once))
                parts.append(tower(Batch.from_encoded(part, net.device)).cpu().numpy())
        return np.concatenate(parts)

    def _rows_of(self, frame, role: str) -> Encoded:
        """One side of a frame that may lack the other side's columns."""
        encoded = self._encode(self._columns.one_side(frame, role))
        return getattr(self.net_.module_, role).part(encoded)

    def user_embeddings(self, X):
        """Vectors of users; products with ``item_embeddings_`` are scores.

        Parameters
        ----------
        X : data frame of shape (n, n_columns), or array-like of shape (n,)
            Rows with the columns of `user_features`, of any users; or ids, of which known ones have
            the features of their last row in fit, and unknown ones none.

        Returns
        -------
        ndarray of shape (n, embedding_dim)
            Of length 1 with cosines.

        Raises
        ------
        ValueError
            If a column of the user's is missing.
        """
        check_is_fitted(self)
        if is_frame(X):
            return self._vectors(self._rows_of(X, "user"), "users")
        ids = as_table(X, "X")
        codes = self._user_codes(read_ids(ids, 0))
        frame = select(pd.DataFrame({self._columns.user: user_column(ids)}), self._columns.used)
        vectors = self._vectors(self.net_.module_.user.part(self._encode(frame)), "users")
        known = codes >= 0
        vectors[known] = self._vectors(self._user_rows.take(codes[known]), "users")
        return vectors

    def set_catalogue(self, items):
        """Say which items there are from now on, new ones by their attributes.

        Nothing is learned. `recommend`, `similar_items`, ``items_`` and ``item_embeddings_`` are
        of this catalogue until the next `fit` or `partial_fit`.

        Parameters
        ----------
        items : data frame, or array-like of shape (n,)
            One row per item with its id and the columns of `item_features`; of several rows the
            last one counts. Or ids that fit has seen, to choose among those.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column is missing, there is no item, or an id without attributes is not known.
        """
        check_is_fitted(self)
        columns = self._columns
        if is_frame(items):
            names = [str(name) for name in read_table(items).names]
            if columns.item not in names:
                raise ValueError(f"items must have the column of item={columns.item!r}")
            ids = read_ids(read_table(items), names.index(columns.item))
            rows = self._rows_of(items, "item")
        else:
            ids = read_ids(as_table(items, "items"), 0)
            known = self.log_.items.encode(ids) - FIRST_KNOWN
            if (known < 0).any():
                raise ValueError(
                    f"items must be ids that fit has seen, got {int((known < 0).sum())} others. "
                    f"Pass new ones as a data frame with {list(columns.item_features)}."
                )
            rows = self._item_rows.take(known)
        vocabulary = Vocabulary().fit_counts(ids.values, ids.counts(None))
        if vocabulary.n_codes == FIRST_KNOWN:
            raise ValueError("items must hold at least one id, got none")
        share = self._share_of(vocabulary)
        order = np.argsort(-share, kind="stable")
        vocabulary = vocabulary.in_order(order)
        at = vocabulary.encode(ids) - FIRST_KNOWN
        last = np.empty(len(order), dtype=np.int64)
        kept = np.flatnonzero(at >= 0)
        last[at[kept]] = kept
        self._use_catalogue(vocabulary, rows.take(last))
        return self

    def _share_of(self, items: Vocabulary) -> np.ndarray:
        """Share of items in the weight of all positives of the log."""
        pairs = self.log_.interactions
        total = np.bincount(pairs.items, pairs.weight, pairs.n_items)
        code = items.translate(self.log_.items) - FIRST_KNOWN
        return np.where(code >= 0, total[code], 0.0) / total.sum()

    def _use_catalogue(self, items: Vocabulary, rows: Encoded) -> None:
        self._items, self._catalogue_rows = items, rows
        self.popularity_ = self._share_of(items)
        self._refresh()

    def _refresh(self) -> None:
        """Anew what follows from the catalogue and the network."""
        self._place = self.log_.items.translate(self._items) - FIRST_KNOWN
        self.item_embeddings_ = self._vectors(self._catalogue_rows, "items")

    def _catalogue(self):
        return self._items

    @property
    def items_(self):
        """Ids of the catalogue's items, the most popular first."""
        check_is_fitted(self)
        return self._items.values

    @property
    def users_(self):
        """Ids of the users that fit has seen, sorted."""
        check_is_fitted(self)
        return self.log_.users.values

    # ---- lists ---------------------------------------------------------------------------

    def recommend(self, users, k=10, exclude_seen=True, candidates=None, as_frame=False):
        """The k best items of each user.

        Parameters
        ----------
        users : array-like of shape (n,), or data frame
            Ids, which stand for the features of their last row in fit; or rows with the columns of
            `user_features`: new users, or new features of known ones. A frame with the column of
            `user` tells whose items have been seen.
        k : int, default=10
            Items per user.
        exclude_seen : bool, default=True
            Leave out the positives of fit. False where items are bought again.
        candidates : array-like, default=None
            Ids of the items to choose from; unknown ones are passed over. None = all.
        as_frame : bool, default=False
            Return one data frame, with the ids of users and items, instead of two arrays.

        Returns
        -------
        ids : ndarray of shape (n, k)
            In the items' own type. Where fewer than k items are left to choose from, the rest is a
            null id (-1 for integers, None otherwise) with score -inf.
        scores : ndarray of shape (n, k), float64
            Cosines or products, descending. Ids that fit has not seen (see `has_history`) get the
            most popular items, with their share of all positives as score.

        Or, with `as_frame`, a DataFrame with the columns ``user`` (the row number where there is
        no id), ``item``, ``score``, ``rank`` (from 1) and ``is_popular`` (whether it is
        popularity), without null ids.

        Raises
        ------
        ValueError
            If k is not a positive integer, or a column of the user's is missing.
        TypeError
            If `users` or `candidates` is a single id instead of a list.
        """
        check_is_fitted(self)
        check_number("k", k, 1, integer=True)
        owner, codes, popular = self._read_users(users)
        allowed = None
        if candidates is not None:
            found = self._item_codes(read_ids(as_table(candidates, "candidates"), 0))
            allowed = np.unique(found[found >= 0])
        vectors = self.user_embeddings(users)
        seen = codes if exclude_seen else np.full(len(codes), -1)
        positions, scores = self._search(vectors, seen, k, allowed, popular)
        if not as_frame:
            return decode(self._items, positions), scores
        return lists_as_frame(owner, self._items, positions, scores, popular)

    def _read_users(self, users):
        """Ids for a frame, codes (-1 unknown), and who can only be served by popularity."""
        if not is_frame(users):
            table = as_table(users, "users")
            codes = self._user_codes(read_ids(table, 0))
            return user_column(table), codes, codes < 0
        table = read_table(users)
        names, n = [str(name) for name in table.names], table.n_rows
        if self._columns.user not in names:
            return np.arange(n), np.full(n, -1), np.zeros(n, dtype=bool)
        position = names.index(self._columns.user)
        column = table.column(position)
        owner = column.to_pandas() if hasattr(column, "to_pandas") else column
        return owner, self._user_codes(read_ids(table, position)), np.zeros(n, dtype=bool)

    def has_history(self, users):
        """Whether fit has seen users; `recommend` falls back on popularity for other ids.

        Parameters
        ----------
        users : array-like of shape (n,)
            Ids.

        Returns
        -------
        ndarray of shape (n,), bool
        """
        check_is_fitted(self)
        return self._user_codes(read_ids(as_table(users, "users"), 0)) >= 0

    def _search(self, vectors, seen, k, allowed=None, popular=None):
        """Positions and scores of the k best items by user vectors, shape (n, k) each.

        `seen` holds the users whose items are left out, -1 none.
        """
        positions = np.empty((len(vectors), k), dtype=np.int64)
        best = np.empty((len(vectors), k))
        columns = self.item_embeddings_.T

        def search(part):
            scores = vectors[part] @ columns
            if popular is not None:
                scores[popular[part]] = self.popularity_
            self._exclude(scores, seen[part])
            if allowed is None:
                positions[part], best[part] = top_k(scores, k)
            else:
                found, best[part] = top_k(scores[:, allowed], k)
                positions[part] = np.append(allowed, -1)[found]

        map_blocks(search, blocks(len(vectors), self._n_items()), n_threads(None))
        return positions, best

    def _exclude(self, scores, users) -> None:
        """Set the scores of what users have seen to -inf, in place."""
        histories = self.log_.interactions.take(users)
        place = self._place[histories.items]
        row = histories.users()
        scores[row[place >= 0], place[place >= 0]] = -np.inf

    def _similarity_to(self, items):
        vectors = self.item_embeddings_
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(length, np.finfo(vectors.dtype).tiny)
        return vectors[items] @ vectors.T

    # ---- probabilities -------------------------------------------------------------------

    predict = BaseRetriever.predict

    def predict_proba(self, X):
        """Probability that a pair of user and item is positive.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in fit; new ids and missing values are fine.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            In the order of ``classes_``. With negatives in y: P(y = 1). Without: the probability
            that the pair comes from the log, and is not its user with an item drawn uniformly, one
            such pair for each of the log's. It is calibrated on pairs that were not learned from.
        """
        check_is_fitted(self)
        encoded = self._encode(check_X(self, X, reset=False))
        p = np.interp(self._pair_scores(encoded), *self.score_curve_)
        return np.column_stack([1 - p, p])

    def _pair_scores(self, encoded: Encoded) -> np.ndarray:
        """Products of each row's two vectors, shape (n,), float64."""
        output = self._forward_encoded(encoded).astype(np.float64)
        u, v = np.split(output, 2, axis=1)
        return (u * v).sum(axis=1)

    def _calibrate(self, encoded: Encoded, target, weight, rows) -> None:
        """A curve from scores to probabilities, by rows that were held out."""
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        pairs, negatives = self.log_.interactions, self.log_.negatives
        drawn = [_draw(rng, rows[target[rows, POSITIVE] == label]) for label in (1, 0)]
        total = pairs.weight.sum(dtype=np.float64)
        rate = 0.5 if negatives is None else total / (total + negatives[2].sum())
        self.base_rate_ = float(rate)
        if negatives is None:
            drawn[1] = drawn[0]
        scores = [self._pair_scores(encoded.take(part)) for part in drawn]
        if negatives is None:
            u = self._vectors(self.net_.module_.user.part(encoded.take(drawn[0])), "users")
            other = rng.integers(0, self._n_items(), len(u))
            scores[1] = (u.astype(np.float64) * self.item_embeddings_[other]).sum(axis=1)
        n = len(scores[0]) + len(scores[1])
        weights = [
            weight[part] * (n * share / weight[part].sum())
            for part, share in zip(drawn, (rate, 1 - rate))
        ]
        positive = np.arange(n) < len(scores[0])
        self.score_curve_ = fit_curve(np.concatenate(scores), positive, np.concatenate(weights))

    # ---- evaluation ----------------------------------------------------------------------

    def _validation_ndcg(self, output, y, weight) -> float:
        """NDCG@10 of one positive each, among all items but the user's others."""
        self._refresh()
        rows = np.flatnonzero((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0))
        if not len(rows):
            return 0.0
        rows = rows[:: -(-len(rows) // _N_RANKED)]
        vectors, gain = output[rows, : output.shape[1] // 2], np.empty(len(rows))

        def rank(part):
            scores = vectors[part] @ self.item_embeddings_.T
            item, n = y[rows[part], ITEM], np.arange(len(scores))
            own = scores[n, item]
            self._exclude(scores, y[rows[part], 0])
            # Equal scores come before: a network that tells nothing apart gets nothing.
            place = 1 + (scores > own[:, None]).sum(axis=1)
            scores[n, item] = -np.inf
            place += (scores == own[:, None]).sum(axis=1)
            gain[part] = np.where(place <= _SCORE_K, 1 / np.log2(1 + place), 0.0)

        map_blocks(rank, blocks(len(rows), self._n_items()), n_threads(None))
        return float(np.average(gain, weights=weight[rows]))

    def score(self, X, y=None, sample_weight=None):
        """NDCG@10 of held-out rows, the mean over their users.

        The positive rows of X are grouped by user, and compared with the ten best items by the
        features of the user's first row in X. Items that fit saw of the user are no target, since
        they are not recommended; users with no other item are left out. Items that are not in the
        catalogue count as missed.

        Parameters
        ----------
        X, y : as in `fit`
            Rows that fit has not seen.
        sample_weight : array-like of shape (n_samples,), default=None
            A user counts with the mean weight of its rows.

        Returns
        -------
        float
            0 (with a warning) if no user is left.
        """
        check_is_fitted(self)
        X, rows, weight = self._check_rows(X, y, sample_weight, reset=False)
        _, target = read_labels(rows.labels, weight, self.classes_)
        users, items = self._user_codes(rows.users), self._item_codes(rows.items)
        pairs = self.log_.interactions
        logged = self.log_.items.encode(rows.items) - FIRST_KNOWN
        both = target & (users >= 0) & (logged >= 0)
        target[both] = pairs.weight_of(users[both], logged[both]) == 0
        if not target.any():
            warnings.warn(
                "score is 0: X holds no pair of user and item that fit has not seen. Pass rows "
                "that were held out.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return 0.0
        user, item = rows.users.codes[target], rows.items.codes[target]
        _, first, group = np.unique(user, return_index=True, return_inverse=True)
        first = np.flatnonzero(target)[first]
        part = self.net_.module_.user.part(self._encode(X).take(first))
        found, _ = self._search(self._vectors(part, "users"), users[first], _SCORE_K)
        pair = np.unique(group * np.int64(len(rows.items.values)) + item, return_index=True)[1]
        ndcg = _ndcg(found, group[pair], items[target][pair], self._n_items())
        mean = np.bincount(group, weight[target]) / np.bincount(group)
        return float(np.average(ndcg, weights=mean))


def _draw(rng, rows):
    return rows if len(rows) <= N_PAIRS else np.sort(rng.choice(rows, N_PAIRS, replace=False))
