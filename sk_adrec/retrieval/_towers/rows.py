"""From the rows of a log to what two towers are trained on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.utils import _safe_indexing

from ..._base import BaseTorchEstimator, _rows
from ..._batches import TrainingRows
from ..._target import check_target
from ..._validation import (
    EARLY_STOPPING_ROWS,
    check_weight,
    drop_zero_weight,
    split_rows,
)
from ...preprocessing._encoded import Encoded, Schema
from ...preprocessing._factorize import Factorized
from ...preprocessing._log_encoder import LogEncoder
from ...preprocessing._vocabulary import FIRST_KNOWN
from .._log.interactions import Interactions
from .._log.log import Log, read_labels
from .._log.roles import check_log
from .columns import TowerColumns, stack
from .module import ITEM, POSITIVE, USER, Side

# Held-out rows below which a curve would be noise: all rows are learned from then.
_LEAST_HELD_OUT = 5
# Validation rows that are ranked after an epoch; more would not tell more.
N_RANKED = 20_000


@dataclass(frozen=True)
class PairRows:
    """What y is to a retriever: labels, and whose and of what the rows are.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    users, items : Factorized
    """

    labels: np.ndarray
    users: Factorized
    items: Factorized

    def __len__(self) -> int:
        return len(self.labels)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The first row of each distinct pair of user and item, and the pair of each row."""
        key = self.users.codes.astype(np.int64) * len(self.items.values) + self.items.codes
        pair = pd.factorize(key)[0]
        return np.unique(pair, return_index=True)[1], pair


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


class TowerRows(ClassifierMixin, BaseTorchEstimator):
    """The hooks of :class:`BaseTorchEstimator` that read, split, encode and choose rows.

    ``log_`` holds all positives, held-out ones included: nobody is to be recommended what they
    have. Histories that the towers learn from hold training rows alone.
    """

    log_: Log
    _columns: TowerColumns
    _user_rows: Encoded
    _item_rows: Encoded
    _ranked: Ranked | None = None

    # ---- hooks of BaseTorchEstimator -----------------------------------------------------

    def _check_rows(self, X, y, sample_weight, *, reset, reads=None):
        if not reset and reads is None:
            reads = self._columns.used
        X = check_log(self, X, reset=reset, reads=reads or ())
        if reset:
            self._columns = TowerColumns.find(
                X, self.user, self.item, self.user_features, self.item_features, self.user_items
            )
        if y is None:
            y = np.full(X.shape[0], self.classes_[1] if hasattr(self, "classes_") else 1)
        y = check_target(y)
        X, y, weight = drop_zero_weight(X, y, check_weight(sample_weight, X, y))
        users, items = self._columns.ids(X, None if reset else self.log_)
        keep = np.flatnonzero((users.codes >= 0) & (items.codes >= 0))
        if len(keep) < len(y):
            X, y, weight = _safe_indexing(X, keep), y[keep], weight[keep]
            users, items = (Factorized(ids.codes[keep], ids.values) for ids in (users, items))
        if reset and not len(y):
            raise ValueError("X must have a row with a user and an item, got none")
        return X, PairRows(y, users, items), weight

    def _split(self, y, random_state, *, explicit):
        stop = self.early_stopping
        if stop == "auto":
            stop = len(y) > EARLY_STOPPING_ROWS
        first, pair = y.pairs()
        enough = int(len(first) * self.validation_fraction) >= _LEAST_HELD_OUT
        if explicit or not (stop or self.calibrate) or not enough:
            return None, None
        # A pair that is learned from tells nothing of new ones, in whichever of its rows.
        train, held_out = (
            np.flatnonzero(np.isin(pair, part))
            for part in split_rows(y.labels[first], self.validation_fraction, random_state)
        )
        self._held_out = held_out
        return train, held_out if stop else None

    def _make_encoder(self):
        categorical, share = self._vocabulary_params
        return LogEncoder(
            categorical_features=categorical,
            share_vocabulary=share,
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype=self.dtype,
        )

    def _fit_encoder(self, X, y, weight, train, valid):
        self._vocabulary_params = self._columns.as_vocabularies(
            self.categorical_features, self.share_vocabulary, X
        )
        return super()._fit_encoder(self._columns.frame(X), y, weight, train, self._held_out)

    def _encode(self, X):
        return super()._encode(self._columns.frame(X))

    def _encode_target(self, y, weight, *, reset):
        if not hasattr(self, "log_"):
            self.classes_, positive = read_labels(
                y.labels, weight, None if reset else self.classes_
            )
            self.log_ = Log.of_ids((y.users, y.items), None, positive, weight, None)
        else:
            _, positive = read_labels(y.labels, weight, self.classes_)
        return self._numbers(y, positive)

    def _training_rows(self, encoded, target, weight, train, valid):
        self._keep_rows(encoded, target, None)
        rows = np.arange(len(target)) if train is None else train
        used = rows[self._learned(target[rows])]
        if not len(used):
            raise ValueError(
                "y must have a positive row with a user and an item to learn from, got "
                f"{len(rows)} rows without one"
            )
        positive = used[target[used, POSITIVE] == 1]
        self._shares = self._shares_of(target[positive], weight[positive])
        self._pairs = self._pairs_of(target[positive], weight[positive])
        self._judged = self._rows_to_judge(encoded, target, weight, rows)
        if self.user_items:
            return self._users_of(self._pairs, np.flatnonzero(self._pairs.lengths))
        return _rows(encoded, target, weight, used, self.dtype)

    def _rows_to_judge(self, encoded, target, weight, rows) -> Judged:
        if self._explicit is not None:
            some = self._explicit.y[:, POSITIVE]
            if (some == 1).any() and (self.log_.negatives is None or (some == 0).any()):
                own = self._explicit
                every = np.arange(len(own))
                return Judged(own.encoded, own.y, own.weight.astype(np.float64), every, self._pairs)
        held_out = rows if self._held_out is None else self._held_out
        if len(np.unique(target[held_out, POSITIVE])) < len(np.unique(target[:, POSITIVE])):
            held_out = rows
        return Judged(encoded, target, weight, held_out, self._pairs)

    def _validation_rows(self, X_val, y_val, sample_weight_val):
        self._explicit = super()._validation_rows(X_val, y_val, sample_weight_val)
        return self._explicit

    def _make_net(self, module, valid_rows, seed, batch_size, loading=False):
        if self.user_items and valid_rows is not None:
            valid_rows = self._users_to_rank(valid_rows)
        return super()._make_net(module, valid_rows, seed, batch_size, loading)

    # ---- rows of the log -----------------------------------------------------------------

    def _numbers(self, rows: PairRows, positive) -> np.ndarray:
        """The target, shape (n, 3), int64: numbers of user and item, and whether it is positive."""
        target = np.empty((len(rows), 3), dtype=np.int64)
        target[:, USER] = np.maximum(self.log_.users.encode(rows.users) - FIRST_KNOWN, -1)
        target[:, ITEM] = np.maximum(self.log_.items.encode(rows.items) - FIRST_KNOWN, -1)
        target[:, POSITIVE] = positive
        return target

    def _keep_rows(self, encoded, target, before: Log | None) -> None:
        """The last row of each user and item of the log; of those not in it, the earlier one."""
        columns, schema = self._columns, Schema.of(self.encoder_)
        kept = []
        for features, which in ((columns.user_features, USER), (columns.item_features, ITEM)):
            rows = Side.of(schema, features).part(encoded)
            vocabulary = self.log_.users if which == USER else self.log_.items
            last = np.empty(vocabulary.n_codes - FIRST_KNOWN, dtype=np.int64)
            n_before = 0
            if before is not None:
                old = before.users if which == USER else before.items
                n_before = old.n_codes - FIRST_KNOWN
                last[old.translate(vocabulary) - FIRST_KNOWN] = np.arange(n_before)
                rows = stack(self._user_rows if which == USER else self._item_rows, rows)
            last[target[:, which]] = n_before + np.arange(len(target))
            kept.append(rows.take(last))
        self._user_rows, self._item_rows = kept
        self._items, self._catalogue_rows = self.log_.items, self._item_rows
        self.popularity_ = self._share_of(self._items)
        self._shares = self._shares_of_log()

    def _shares_of(self, target, weight) -> tuple[np.ndarray, np.ndarray]:
        shape = self.log_.interactions.shape
        users, items = (
            np.bincount(target[:, which], weight, size) for which, size in zip((USER, ITEM), shape)
        )
        return users / users.sum(), items / items.sum()

    def _shares_of_log(self):
        pairs = self.log_.interactions
        target = np.column_stack([pairs.users(), pairs.items])
        return self._shares_of(target, pairs.weight)

    def _uses_own_negatives(self) -> bool:
        if self.loss != "log_loss" or self.negatives == "uniform":
            return False
        some = self.log_.negatives is not None
        if self.negatives == "log" and not some:
            raise ValueError('negatives="log" needs rows of the negative label in y, got none')
        return some

    def _learned(self, target) -> np.ndarray:
        """The rows that the loss looks at."""
        if self._uses_own_negatives():
            return np.arange(len(target))
        return np.flatnonzero(target[:, POSITIVE] == 1)

    # ---- users with their items ----------------------------------------------------------

    def _pairs_of(self, target, weight) -> Interactions:
        shape = self.log_.interactions.shape
        return Interactions.of(target[:, USER], target[:, ITEM], weight, None, shape)

    def _users_of(self, pairs: Interactions, users: np.ndarray) -> TrainingRows:
        """A row for each of some users, with all their items, some of which it then predicts."""
        own = pairs.take(users)
        self._held_out_weight = max(float(own.weight.sum() * self.target_share / len(users)), 1e-12)
        target = np.stack([users, np.full_like(users, -1), np.ones_like(users)], axis=1)
        encoded = self._with_items(self._user_rows.take(users), own)
        return _rows(encoded, target, np.ones(len(users)), None, self._params_of_fit["dtype"])

    def _with_items(self, rows: Encoded, histories: Interactions) -> Encoded:
        """Rows of users with their histories, where the model reads those."""
        if not self._params_of_fit["user_items"]:
            return rows
        weight = histories.weight.astype(self._params_of_fit["dtype"], copy=False)
        return replace(rows, histories=histories.matrix(weight))

    def _users_to_rank(self, rows: TrainingRows) -> TrainingRows:
        """A row for each user of validation rows; sets ``_ranked``, what their lists should hold.

        Rows of users that fit has not seen stay apart.
        """
        some = np.arange(len(rows.y)) if rows.rows is None else rows.rows
        positive = some[(rows.y[some, POSITIVE] == 1) & (rows.y[some, ITEM] >= 0)]
        y, n_items = rows.y[positive], self.log_.interactions.n_items
        alone = len(self.log_.interactions.lengths) + np.arange(len(y))
        _, first, user = np.unique(
            np.where(y[:, USER] >= 0, y[:, USER], alone), return_index=True, return_inverse=True
        )
        weight = np.bincount(user, rows.weight[positive]) / np.bincount(user)
        step = max(1, -(-len(first) // N_RANKED))
        asked = user % step == 0
        held_out = np.unique(user[asked] // step * np.int64(n_items) + y[asked, ITEM])
        # Where nothing can be ranked, one row stands for the loss of none.
        shown, weight = positive[first[::step]], weight[::step]
        if not len(shown):
            shown, weight = some[:1], np.zeros(1)
        histories = self._pairs.take(rows.y[shown, USER])
        learned = histories.users() * np.int64(n_items) + histories.items
        histories = histories.select(~np.isin(learned, held_out))
        self._ranked = Ranked(histories, *np.divmod(held_out, n_items))
        encoded = self._with_items(rows.encoded.take(shown), histories)
        return TrainingRows(encoded, rows.y[shown], weight.astype(rows.weight.dtype))


def without(histories: Interactions, items: np.ndarray) -> Interactions:
    """Histories, each without one item."""
    return histories.select(histories.items != np.repeat(items, histories.lengths))
