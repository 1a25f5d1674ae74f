"""A tower for users, a tower for items, and their product.

Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data",
CIKM 2013; losses as in Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
Recommendations", RecSys 2019.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils import _safe_indexing, check_random_state

from .._base import BaseTorchEstimator, _rows
from .._validation import (
    EARLY_STOPPING_ROWS,
    check_choice,
    check_dims,
    check_number,
    check_weight,
    check_X,
    drop_zero_weight,
    split_rows,
    unchanged_on_error,
)
from ..nn import Batch
from ..nn.mlp import ACTIVATIONS
from ..preprocessing._columns import read_table
from ..preprocessing._encoded import Schema
from ..preprocessing._factorize import Factorized
from ..preprocessing._log_encoder import LogEncoder
from ..preprocessing._vocabulary import FIRST_KNOWN
from ..ranking._target import check_target
from ..utils._docs import shared_docs
from ._base import _SCORE_K
from ._log import Log, read_labels
from ._tower_columns import TowerColumns, from_state, stack, to_state
from ._tower_search import TowerSearch
from ._towers import ITEM, POSITIVE, USER, LossSettings, Side, TwoTowerLoss, TwoTowers

_LOSSES = ("in_batch", "softmax", "sampled_softmax", "bpr", "log_loss")
_COSINE_TEMPERATURE = 0.1
# Rows of a batch that are compared with each other: their number squared is what a step costs.
_MAX_BATCH = 1024
# Held-out rows below which a curve would be noise: all rows are learned from then.
_LEAST_HELD_OUT = 5


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


@shared_docs
class TwoTowerRetriever(TowerSearch, ClassifierMixin, BaseTorchEstimator):
    r"""A vector of the user, a vector of the item, and their cosine or product.

    Each tower reads any columns of its side: ids, attributes, lists, numbers. New users and items
    are served by their attributes, and the items of a catalogue are searched exactly.

    Parameters
    ----------
    %(user)s
    %(item)s
    user_features, item_features : list of str, default=None
        All columns that the tower reads, ids included where they should be. None is the id alone.
        A tower with attributes serves users or items that fit has not seen.
    embedding_dim : int, default=64
        Length of the vectors, of ids as of users and items. 32 to 256; more for long logs.
    hidden_dims : tuple of int, default=()
        Widths of the hidden layers of an MLP on each tower's columns, that is added to the sum of
        their vectors. Empty: the sum alone, which is hard to beat with ids only. Try (128,) with
        attributes that matter together.
    %(activation)s
    %(dropout)s
    similarity : {"cosine", "dot"}, default="cosine"
        "dot" lets the length of an item's vector hold its popularity.
    temperature : float, default=None
        Divides cosines or products in the loss; lower looks harder at the best negatives. None is
        0.1 for cosines and 1 for products. Tune it for cosines: 0.05 to 0.3.
    loss : {"in_batch", "softmax", "sampled_softmax", "bpr", "log_loss"}, default="in_batch"
        "in_batch": the other rows of a batch are the negatives, with `n_negatives` uniform ones.
        "softmax": all items are, exact and fast for up to some ten thousand. "sampled_softmax":
        `n_negatives` uniform ones, for larger catalogues. "bpr": pairs with each of those.
        "log_loss": each row on its own, against `negatives`.
    n_negatives : int, default=256
        Items drawn uniformly in each step, as negatives of all its rows. With "in_batch" they let
        items that are rare in the log be negatives as well; 0 leaves them out.
    negatives : {"auto", "log", "uniform"}, default="auto"
        Of "log_loss" only: rows of the negative label, or drawn items. "auto" is "log" where y has
        negatives. Other losses learn from positives alone.
    symmetric : bool, default=False
        Of "in_batch" only: also find the user among the batch's, and average both losses.
    logq_correction : bool, default=True
        Of "in_batch" only: subtract from each logit the logarithm of how often its item is expected
        in a batch. Without it popular items, which are negatives more often, are under-served.
    calibrate : bool, default=True
        Hold out `validation_fraction` of the rows to calibrate probabilities on, also where
        nothing is stopped early. False learns from all rows, as a final fit for `recommend` may;
        probabilities are then too sure. With `X_val`, those rows are used.
    %(categorical_features)s
    %(share_vocabulary)s
    %(min_frequency)s
    %(id_dropout)s
    %(max_len)s
    %(l2)s
    %(optimizer)s
    %(lr)s
    batch_size : "auto" or int, default="auto"
        Rows per step. "auto" takes about 200 steps per pass, between 64 and 1024 rows each. With
        "in_batch" it is the number of negatives as well.
    max_epochs : int, default=20
        Passes over the data, at most.
    early_stopping : "auto" or bool, default="auto"
        Stop when NDCG\ @10 on validation rows no longer rises, and restore the best epoch. "auto"
        is True above 1,000 rows and wherever fit gets `X_val`.
    %(validation_fraction)s
    %(n_iter_no_change)s
    %(grow_vocabulary)s
    %(device)s
    %(dtype)s
    %(random_state)s
    %(verbose)s
    %(callbacks)s
    %(net_params)s

    Attributes
    ----------
    item_embeddings_ : ndarray of shape (n_items, embedding_dim)
        Vectors of ``items_``.
    classes_ : ndarray of shape (2,)
        The labels; ``classes_[1]`` is the positive one. [0, 1] without y.
    items_ : ndarray of shape (n_items,)
        Ids of the catalogue: of fit's items, or what `set_catalogue` got; the most popular first.
    users_ : ndarray of shape (n_users,)
        Ids of the users, sorted.
    popularity_ : ndarray of shape (n_items,)
        Share of each item in the positives' weight, descending.
    score_curve_ : (ndarray, ndarray)
        Scores and their probabilities.
    base_rate_ : float
        Share of the positive class, 0.5 without negatives.
    %(torch)s

    See Also
    --------
    ItemCF : Items that share users; no training, and often better with ids only.

    Notes
    -----
    An item stands in the catalogue with the features of its last row, and so does a user that is
    asked for by id. `validation_scores_` are NDCG\ @10.

    Positives (and negatives) are kept, each pair once, to leave out what users have seen.

    Arrays without column names: the first half of the columns is the user's, the rest the item's,
    and the first of each half is the id.

    References
    ----------
    Huang, He, Gao, Deng, Acero, Heck (2013), "Learning Deep Structured Semantic Models for Web
    Search using Clickthrough Data", CIKM.

    Yi, Yang, Hong, Cheng, Heldt, Kumthekar, Zhao, Wei, Chi (2019), "Sampling-Bias-Corrected Neural
    Modeling for Large Corpus Item Recommendations", RecSys.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import TwoTowerRetriever
    >>> log = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "bob", "cy", "dee"] * 30,
    ...         "item_id": ["tea", "tea", "ale", "rum"] * 30,
    ...         "kind": ["hot", "hot", "cold", "cold"] * 30,
    ...     }
    ... )
    >>> model = TwoTowerRetriever(item_features=["item_id", "kind"], random_state=0).fit(log)
    >>> model.recommend(["ann", "dee"], k=1, exclude_seen=False)[0]
    array([['tea'],
           ['rum']], dtype=object)
    >>> new = pd.DataFrame({"item_id": ["mate", "cola"], "kind": ["hot", "cold"]})
    >>> model.set_catalogue(new).recommend(["ann", "dee"], k=1)[0]
    array([['mate'],
           ['cola']], dtype=object)
    """

    _stop_metric = f"ndcg_at_{_SCORE_K}"

    def __init__(
        self,
        *,
        user="user_id",
        item="item_id",
        user_features=None,
        item_features=None,
        embedding_dim=64,
        hidden_dims=(),
        activation="relu",
        dropout=0.0,
        similarity="cosine",
        temperature=None,
        loss="in_batch",
        n_negatives=256,
        negatives="auto",
        symmetric=False,
        logq_correction=True,
        calibrate=True,
        categorical_features="from_dtype",
        share_vocabulary=None,
        min_frequency=1,
        id_dropout=0.1,
        max_len=50,
        l2=0.0,
        optimizer="auto",
        lr=3e-3,
        batch_size="auto",
        max_epochs=20,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=2,
        grow_vocabulary=False,
        device="auto",
        dtype="float32",
        random_state=None,
        verbose=0,
        callbacks=None,
        net_params=None,
    ):
        self.user = user
        self.item = item
        self.user_features = user_features
        self.item_features = item_features
        self.embedding_dim = embedding_dim
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.dropout = dropout
        self.similarity = similarity
        self.temperature = temperature
        self.loss = loss
        self.n_negatives = n_negatives
        self.negatives = negatives
        self.symmetric = symmetric
        self.logq_correction = logq_correction
        self.calibrate = calibrate
        self.categorical_features = categorical_features
        self.share_vocabulary = share_vocabulary
        self.min_frequency = min_frequency
        self.id_dropout = id_dropout
        self.max_len = max_len
        self.l2 = l2
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.grow_vocabulary = grow_vocabulary
        self.device = device
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose
        self.callbacks = callbacks
        self.net_params = net_params

    # ---- learning ------------------------------------------------------------------------

    def fit(self, X, y=None, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn both towers from a log.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            One row per interaction; columns that no parameter names are not looked at. Rows
            without user or item are left out.
        y : array-like of shape (n_samples,), default=None
            Two labels, of which the one that sorts last is positive. 1 in all rows, or None, where
            all rows are positive.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight w counts as w rows; rows of weight 0 are left out.
        X_val, y_val, sample_weight_val : default=None
            Rows to stop early and to calibrate on, instead of a random part of X: later rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Input or hyper-parameters out of contract. The estimator then is as it was before.
        """
        if X_val is not None and y_val is None:
            y_val = np.ones(len(X_val), dtype=int) if y is None else np.full(len(X_val), max(y))
        return super().fit(
            X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )

    def partial_fit(self, X, y=None, sample_weight=None, *, classes=None):
        """Continue with new rows: the first call is a fit, later ones are one pass over X.

        New users and items are searched and excluded like all others; their ids get vectors of
        their own only with ``grow_vocabulary=True``. The catalogue is that of all rows so far.
        Probabilities keep the curve of the first call.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array-like of shape (2,), default=None
            Both labels, needed in the first call if its y lacks one.

        Returns
        -------
        self
        """
        with unchanged_on_error(self):
            self._partial_fit(X, y, sample_weight, classes)
        return self

    def _partial_fit(self, X, y, sample_weight, classes):
        if not hasattr(self, "net_"):
            if y is None and classes is not None:
                y = np.full(read_table(X).n_rows, np.unique(classes)[-1])
            self._fit(X, y, sample_weight, None, None, None, classes)
            return
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes!r}"
            )
        self._check_params()
        X, rows, weight = self._check_rows(X, y, sample_weight, reset=False)
        if not len(rows):
            return
        _, positive = read_labels(rows.labels, weight, self.classes_)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(self.loss_curve_))
            before = self._make_schema().cardinalities
            if self.grow_vocabulary:
                self.encoder_.grow(self._columns.frame(X), sample_weight=weight)
                if self._make_schema().cardinalities != before:
                    self._grow_tables()
                    self.net_.module_.user_tower.inputs.table.perturb_after(before)
            encoded = self._encode(X)
            old = self.log_
            self._read_log(rows, positive, weight, old)
            target = self._numbers(rows, positive)
            self._keep_rows(encoded, target, old)
            used = self._learned(target)
            if len(used):
                self.net_.criterion_ = self._make_loss().to(self.net_.device)
                self.net_.initialize_optimizer()
                dtype = self._params_of_fit["dtype"]
                self._continue(_rows(encoded, target, weight, used, dtype))
        self._refresh()

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, classes=None):
        self._held_out = self._judged = None
        super()._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, classes)
        judged, self._judged = self._judged, None
        self._refresh()
        self._calibrate(*judged)

    # ---- hooks of BaseTorchEstimator -----------------------------------------------------

    def _check_params(self):
        super()._check_params()
        check_number("embedding_dim", self.embedding_dim, 1, integer=True)
        check_dims("hidden_dims", self.hidden_dims)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 1)
        check_choice("similarity", self.similarity, ("cosine", "dot"))
        if self.temperature is not None:
            check_number("temperature", self.temperature, 0, closed="neither")
        check_choice("loss", self.loss, _LOSSES)
        least = 0 if self.loss in ("in_batch", "softmax") else 1
        check_number("n_negatives", self.n_negatives, least, integer=True)
        check_choice("negatives", self.negatives, ("auto", "log", "uniform"))
        for name in ("symmetric", "logq_correction", "calibrate"):
            check_choice(name, getattr(self, name), (True, False))

    def _check_rows(self, X, y, sample_weight, *, reset):
        X = check_X(self, X, reset=reset)
        if reset:
            self._columns = TowerColumns.find(
                X, self.user, self.item, self.user_features, self.item_features
            )
        if y is None:
            y = np.full(X.shape[0], self.classes_[1] if hasattr(self, "classes_") else 1)
        y = check_target(y)
        X, y, weight = drop_zero_weight(X, y, check_weight(sample_weight, X, y))
        users, items = self._columns.ids(X)
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
        enough = int(len(y) * self.validation_fraction) >= _LEAST_HELD_OUT
        if explicit or not (stop or self.calibrate) or not enough:
            return None, None
        train, self._held_out = split_rows(y.labels, self.validation_fraction, random_state)
        return train, self._held_out if stop else None

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
            self._read_log(y, positive, weight, None)
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
        if self._judged is None:
            held_out = rows if self._held_out is None else self._held_out
            if len(np.unique(target[held_out, POSITIVE])) < len(np.unique(target[:, POSITIVE])):
                held_out = rows
            self._judged = encoded, target, weight, held_out
        positive = used[target[used, POSITIVE] == 1]
        self._shares = self._shares_of(target[positive], weight[positive])
        return _rows(encoded, target, weight, used, self.dtype)

    def _validation_rows(self, X_val, y_val, sample_weight_val):
        rows = super()._validation_rows(X_val, y_val, sample_weight_val)
        some = rows.y[:, POSITIVE]
        if (some == 1).any() and (self.log_.negatives is None or (some == 0).any()):
            weight = rows.weight.astype(np.float64)
            self._judged = rows.encoded, rows.y, weight, np.arange(len(rows))
        return rows

    def _rows_per_batch(self, n_rows):
        size = super()._rows_per_batch(n_rows)
        return min(size, _MAX_BATCH) if self.batch_size == "auto" else size

    def _build_module(self, schema):
        columns = self._columns
        return TwoTowers(
            schema,
            Side.of(schema, columns.user_features),
            Side.of(schema, columns.item_features),
            self.embedding_dim,
            self.similarity == "cosine",
            hidden_dims=self.hidden_dims,
            activation=self.activation,
            dropout=self.dropout,
        )

    def _make_loss(self):
        temperature = self.temperature
        if temperature is None:
            temperature = _COSINE_TEMPERATURE if self.similarity == "cosine" else 1.0
        settings = LossSettings(
            self.loss, temperature, self.n_negatives, self.symmetric, self.logq_correction,
            self._uses_own_negatives(),
        )  # fmt: skip
        return TwoTowerLoss(
            settings, *self._shares, self._tensors_of_items, self._params_of_fit["dtype"]
        )

    def _validation_metrics(self):
        return [(self._stop_metric, self._validation_ndcg)]

    # ---- rows of the log -----------------------------------------------------------------

    def _read_log(self, rows: PairRows, positive, weight, before) -> None:
        ids = (rows.users, rows.items)
        self.log_ = Log.of_ids(ids, None, positive, weight, before)

    def _numbers(self, rows: PairRows, positive) -> np.ndarray:
        """The target, shape (n, 3), int64: numbers of user and item, and whether it is positive."""
        target = np.empty((len(rows), 3), dtype=np.int64)
        target[:, USER] = np.maximum(self.log_.users.encode(rows.users) - FIRST_KNOWN, -1)
        target[:, ITEM] = np.maximum(self.log_.items.encode(rows.items) - FIRST_KNOWN, -1)
        target[:, POSITIVE] = positive
        return target

    def _keep_rows(self, encoded, target, before) -> None:
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

    def _tensors_of_items(self, numbers: torch.Tensor) -> torch.Tensor:
        rows = self._item_rows.take(numbers.cpu().numpy())
        net = self.net_
        return net.module_.items(Batch.from_encoded(rows, net.device))

    # ---- scikit-learn --------------------------------------------------------------------

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_saved" not in state:
            return state
        for name in ("_shares", "_place", "item_embeddings_"):
            state.pop(name)
        state["log_"] = state["log_"].to_state()
        state["_columns"] = list(astuple(state["_columns"]))
        state["_items"] = state["_items"].to_state()
        for name in ("_user_rows", "_item_rows", "_catalogue_rows"):
            state[name] = to_state(state[name])
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_saved" in state:
            state["log_"] = Log.from_state(state["log_"])
            state["_columns"] = TowerColumns(*state["_columns"])
            state["_items"] = type(state["log_"].items).from_state(state["_items"])
            for name in ("_user_rows", "_item_rows", "_catalogue_rows"):
                state[name] = from_state(state[name])
            vars(self).update({"log_": state["log_"]})
            state["_shares"] = self._shares_of_log()
        super().__setstate__(state)
        if "_saved" in state:
            self._refresh()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # What is planted in scikit-learn's checks is not in pairs of users and items.
        tags.classifier_tags.poor_score = True
        tags.target_tags.required = False
        return tags
