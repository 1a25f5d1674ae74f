"""A tower for users, a tower for items, and their product.

Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data",
CIKM 2013; losses as in Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
Recommendations", RecSys 2019.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pandas as pd
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from .._base import BaseTorchEstimator
from .._hyperparameters import (
    KW_ONLY,
    Activation,
    Count,
    Part,
    PositiveOrNone,
    Share,
    Switch,
    Widths,
    hyperparameters,
    one_of,
    within,
)
from .._log_estimator import ReadsColumns
from .._target import check_target
from .._training import Parts, train_further
from .._validation import (
    check_number,
    check_weight,
    drop_zero_weight,
    in_scale,
    is_frame,
    split_rows,
    unchanged_on_error,
)
from ..preprocessing._columns import read_table
from ..preprocessing._encoded import Encoded
from ..preprocessing._log_encoder import LogEncoder
from ._base import BaseRetriever, Pairs
from ._lists.ndcg import SCORE_K
from ._lists.search import Users
from ._log.log import Log, read_labels
from ._log.roles import as_table, check_log, number_ids, read_ids
from ._towers.catalogue import Catalogue, Index, TrainedTowers
from ._towers.columns import TowerColumns, select
from ._towers.evaluation import ValidationNDCG
from ._towers.loss import LossSettings, TwoTowerLoss
from ._towers.module import TwoTowers
from ._towers.rows import LastRows, Logged, PairRows
from ._towers.task import TaskMaker

_COSINE_TEMPERATURE = 0.1
# Items up to which loss="auto" compares a user's items with all.
_MOST_FOR_SOFTMAX = 20_000
# Held-out pairs below which a curve would be noise: all rows are learned from then.
_LEAST_HELD_OUT = 5


@hyperparameters
class TwoTowerRetriever(BaseRetriever, ReadsColumns, BaseTorchEstimator):
    r"""A vector of the user, a vector of the item, and their cosine or product.

    Each tower reads any columns of its side: ids, attributes, lists, numbers. New users and items
    are served by their attributes, and the items of a catalogue are searched exactly.

    Parameters
    ----------
    user_features, item_features : list of str
        All columns that the tower reads, ids included where they should be. None is the id alone;
        with `user_items` the user's tower then reads no column, since a user's items say more than
        the id. A tower with attributes serves users or items that fit has not seen.
    user_items
        Whether the user's tower also adds up the vectors of the items that the user has in the
        log, as in SVD++. Each pass over the users then predicts some of their items from the
        others, which needs the loss "softmax" or "sampled_softmax". With ids only it is far better
        than the user's id, and serves new users by `history`.
    target_share : float in (0, 1)
        Of `user_items` only: share of a user's items that a pass predicts. Lower it where
        histories are short.
    embedding_dim
        Length of the vectors, of ids as of users and items. 32 to 256; more for long logs.
    hidden_dims
        Widths of the hidden layers of an MLP on each tower's columns, that is added to the sum of
        their vectors. Empty: the sum alone, which is hard to beat with ids only. Try (128,) with
        attributes that matter together.
    similarity
        "dot" lets the length of an item's vector hold its popularity.
    temperature : float
        Divides cosines or products in the loss; lower looks harder at the best negatives. None is
        0.1 for cosines and 1 for products. Tune it for cosines: 0.05 to 0.3.
    loss
        "auto": "in_batch"; with `user_items` "softmax", above 20,000 items "sampled_softmax".
        "in_batch": the other rows of a batch are the negatives, with `n_negatives` uniform ones.
        "softmax": all items are, exact and fast for up to some ten thousand. "sampled_softmax":
        `n_negatives` uniform ones, for larger catalogues. "bpr": pairs with each of those.
        "log_loss": each row on its own, against `negatives`.
    n_negatives
        Items drawn uniformly in each step, as negatives of all its rows. With "in_batch" they let
        items that are rare in the log be negatives as well; 0 leaves them out.
    negatives
        Of "log_loss" only: rows of the negative label, or drawn items. "auto" is "log" where y has
        negatives. Other losses learn from positives alone.
    symmetric
        Of "in_batch" only: also find the user among the batch's, and average both losses.
    logq_correction
        Of "in_batch" only: subtract from each logit the logarithm of how often its item is expected
        in a batch. Without it popular items, which are negatives more often, are under-served.
    calibrate
        Hold out `validation_fraction` of the pairs to calibrate probabilities on, also where
        nothing is stopped early. False learns from all rows, as a final fit for `recommend` may;
        probabilities are then too sure. With `X_val`, those rows are used.
    lr_schedule
        "linear" lowers `lr` to 0 over `max_epochs`: vectors then settle, and a fit needs no luck
        with where it stops, but fewer epochs must be asked for, not waited for. "auto" is "linear"
        with `user_items`, else "constant".
    batch_size
        Rows per step, or users with `user_items`. "auto" takes about 200 steps per pass, between
        64 and 1024 rows each. With "in_batch" it is the number of negatives as well.
    max_epochs
        Passes over the data, at most.
    early_stopping
        Stop when NDCG\ @10 on validation rows no longer rises, and restore the best epoch. "auto"
        is True above 1,000 rows and wherever fit gets `X_val`.
    validation_fraction : float in (0, 1)
        Share of the distinct pairs of user and item that are held out, drawn at random, with all
        their rows, where fit gets no `X_val`. A log has an order: better give later rows as
        `X_val`. Larger where lists or probabilities of few pairs are noisy.
    n_iter_no_change
        Passes without a better score on validation rows before the training stops. Lists of a few
        thousand users are noisy: with fewer passes a fit ends sooner, and short of its best.

    Attributes
    ----------
    item_embeddings_ : ndarray of shape (n_items, embedding_dim)
        Vectors of ``items_``.
    items_ : ndarray of shape (n_items,)
        Ids of the catalogue: of fit's items, or what `set_catalogue` got; the most popular first.

    See Also
    --------
    ItemCF : Items that share users; no training, and often better with ids only.

    Notes
    -----
    An item stands in the catalogue with the features of its last row, and so does a user that is
    asked for by id. `validation_scores_` are NDCG\ @10: of each held-out row on its own, or with
    `user_items` of all that was held out of a user's items, the mean over users.

    Positives (and negatives) are kept, each pair once, to leave out what users have seen.

    Arrays without column names: the first half of the columns is the user's, the rest the item's,
    and the first of each half is the id.

    References
    ----------
    Huang, He, Gao, Deng, Acero, Heck (2013), "Learning Deep Structured Semantic Models for Web
    Search using Clickthrough Data", CIKM.

    Koren (2008), "Factorization Meets the Neighborhood: a Multifaceted Collaborative Filtering
    Model", KDD, section 4.

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

    _: KW_ONLY
    user_features: Any = None
    item_features: Any = None
    user_items: Switch = False
    target_share: Part = 0.5
    embedding_dim: Count = 64
    hidden_dims: Widths = ()
    activation: Activation = "relu"
    dropout: Share = 0.0
    similarity: Annotated[str, one_of("cosine", "dot")] = "cosine"
    temperature: PositiveOrNone = None
    loss: Annotated[
        str, one_of("auto", "in_batch", "softmax", "sampled_softmax", "bpr", "log_loss")
    ] = "auto"
    n_negatives: Annotated[int, within(0, integer=True)] = 256
    negatives: Annotated[str, one_of("auto", "log", "uniform")] = "auto"
    symmetric: Switch = False
    logq_correction: Switch = True
    calibrate: Switch = True
    lr_schedule: Annotated[str, one_of("auto", "constant", "linear")] = "auto"
    max_epochs: Count = 20
    n_iter_no_change: Count = 5

    # Rows of a batch are compared with each other: their number squared is what a step costs.
    _batch_range = (64, 1024)
    _stop_metric = f"ndcg_at_{SCORE_K}"
    _rebuilt = ("_index",)

    # ---- fit -----------------------------------------------------------------------------

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
        if y is None and classes is not None and not hasattr(self, "net_"):
            y = np.full(read_table(X).n_rows, np.unique(classes)[-1])
        try:
            with unchanged_on_error(self):
                super().partial_fit(X, y, sample_weight, classes=classes)
        except BaseException:
            if hasattr(self, "net_"):
                self.net_.module_.set_log_items(self._last.items)
            raise
        return self

    # ---- hooks of BaseTorchEstimator -----------------------------------------------------

    def _check_params(self):
        super()._check_params()
        draws = self.loss in ("sampled_softmax", "bpr", "log_loss")
        if draws or (self.user_items and self.loss == "auto"):
            check_number("n_negatives", self.n_negatives, 1, integer=True)
        if self.user_items and self.loss not in ("auto", "softmax", "sampled_softmax"):
            raise ValueError(
                'user_items=True needs loss="softmax", or "sampled_softmax" for large catalogues, '
                f"got {self.loss!r}"
            )

    def _settings(self):
        linear = self.lr_schedule == "linear" or (self.lr_schedule == "auto" and self.user_items)
        return replace(super()._settings(), lr_schedule="linear" if linear else "constant")

    def _check_rows(self, X, y, sample_weight, *, reset):
        X = check_log(self, X, reset=reset, reads=() if reset else self._columns.used)
        if reset:
            self._columns = TowerColumns.find(
                X,
                self._pair_roles(),
                self.user_features,
                self.item_features,
                user_may_be_empty=self.user_items,
                categorical=self.categorical_features,
                share=self.share_vocabulary,
            )
        if y is None:
            y = np.full(X.shape[0], self.classes_[1] if hasattr(self, "classes_") else 1)
        y = check_target(y)
        X, y, weight = drop_zero_weight(X, y, check_weight(sample_weight, X, y))
        rows = PairRows(y, *self._columns.ids(X, None if reset else self.log_))
        keep = np.flatnonzero((rows.users.codes >= 0) & (rows.items.codes >= 0))
        if len(keep) < len(rows):
            X, rows, weight = _safe_indexing(X, keep), rows.take(keep), weight[keep]
        if reset and not len(rows):
            raise ValueError("X must have a row with a user and an item, got none")
        return X, rows, weight

    def _split(self, y, random_state, *, explicit):
        stop = self._stops_early(len(y))
        first, pair = y.pairs()
        enough = int(len(first) * self.validation_fraction) >= _LEAST_HELD_OUT
        if explicit or not (stop or self.calibrate) or not enough:
            return Parts()
        # A pair that is learned from tells nothing of new ones, in whichever of its rows.
        train, held_out = (
            np.flatnonzero(np.isin(pair, part))
            for part in split_rows(y.labels[first], self.validation_fraction, random_state)
        )
        return Parts(train, held_out if stop else None, held_out)

    def _make_encoder(self):
        return LogEncoder(
            categorical_features=list(self._columns.id_columns),
            share_vocabulary=self._columns.share,
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype=self.dtype,
        )

    def _fit_encoder(self, X, y, weight, parts):
        return super()._fit_encoder(self._columns.frame(X), y, weight, parts)

    def _encode(self, X):
        return super()._encode(self._columns.frame(X))

    def _encode_target(self, y, weight, *, reset):
        before = vars(self).get("log_")
        self.classes_, positive = read_labels(y.labels, weight, None if reset else self.classes_)
        self.log_ = Log.of_ids((y.users, y.items), None, positive, weight, before)
        return Logged(y.numbers(self.log_, positive), before)

    def _validation_rows(self, given):
        X, y, weight = self._check_rows(given.X, given.y, given.sample_weight, reset=False)
        _, positive = read_labels(y.labels, weight, self.classes_)
        return self._rows(self._encode(X), y.numbers(self.log_, positive), in_scale(weight))

    def _grow(self, X, y, weight):
        before = self._schema.cardinalities
        encoded, target = super()._grow(self._columns.frame(X), y, weight)
        if self._schema.cardinalities != before:
            self.net_.module_.user_tower.inputs.table.perturb_after(before)
        return encoded, target

    def _make_task(self, encoded, target, weight, parts, valid, further):
        fitted, rows = self._as_fitted(), (encoded, target.numbers, weight)
        # Of a user of whom nothing is known all columns are missing.
        nobody, sides = self._encode(pd.DataFrame(index=[0])), self._columns.sides(self._schema)
        earlier = vars(self).get("_last")
        self._last = LastRows.of(encoded, nobody, sides, target, self.log_, earlier)
        self._catalogue = Catalogue(self.log_.items, self._last.items)
        maker = TaskMaker(
            self._schema,
            self.log_,
            fitted._learns_from_negatives(),
            self._dtype,
            self._last.users if fitted.user_items else None,
            fitted.target_share,
        )
        return maker.further(*rows) if further else maker.first(*rows, parts, valid)

    def _learns_from_negatives(self) -> bool:
        if self.loss != "log_loss" or self.negatives == "uniform":
            return False
        some = self.log_.negatives is not None
        if self.negatives == "log" and not some:
            raise ValueError('negatives="log" needs rows of the negative label in y, got none')
        return some

    def _loss_to_use(self) -> str:
        if self.loss != "auto":
            return self.loss
        if not self.user_items:
            return "in_batch"
        few = self.log_.interactions.n_items <= _MOST_FOR_SOFTMAX
        return "softmax" if few else "sampled_softmax"

    def _build_module(self, schema):
        module = TwoTowers(
            schema,
            *self._columns.sides(schema),
            self.embedding_dim,
            self.similarity == "cosine",
            self.target_share if self.user_items else None,
            self._loss_to_use() == "softmax",
            hidden_dims=self.hidden_dims,
            activation=self.activation,
            dropout=self.dropout,
        )
        module.set_log_items(self._last.items)
        return module

    def _make_loss(self, task):
        temperature = self.temperature
        if temperature is None:
            temperature = _COSINE_TEMPERATURE if self.similarity == "cosine" else 1.0
        settings = LossSettings(
            self._loss_to_use(), temperature, self.n_negatives, self.symmetric,
            self.logq_correction, task.own_negatives,
        )  # fmt: skip
        return TwoTowerLoss(settings, *task.shares, task.held_out_weight, self._dtype)

    def _validation_metrics(self, task):
        metric = ValidationNDCG(self.log_, self._catalogue, task.ranked, self._rows_at_once)
        return [(self._stop_metric, metric)]

    def _train_further(self, task):
        net = self.net_
        net.module_.set_log_items(self._last.items)
        if len(task.train):
            loss = self._as_fitted()._make_loss(task)
            # The loss may have a parameter, which the optimiser learns of when it starts anew.
            net.criterion_ = loss.to(net.device)
            net.initialize_optimizer()
            train_further(net, loss, task.train, self._settings())
            self.loss_curve_.append(net.history[-1, "train_loss"])
            self.n_iter_ = len(self.loss_curve_)
        self._settle(task)

    def _settle(self, task, spread=None):
        self._make_index()
        if task.judged is not None:
            items, rng = self._index.embeddings, self._calibration_rng()
            self.score_curve_ = task.judged.curve(self._towers, items, self.log_, rng)
            self.base_rate_ = self.log_.positive_rate

    @property
    def _towers(self) -> TrainedTowers:
        return TrainedTowers(self.net_.module_, self._rows_at_once)

    def _make_index(self) -> None:
        self._index = Index.of(self._catalogue, self.log_, self._towers)

    def _rebuild(self):
        super()._rebuild()
        if "net_" in vars(self):
            self._make_index()

    # ---- hooks of BaseRetriever ----------------------------------------------------------

    def _score_users(self, block):
        return self._index.scores(block.query)

    def _score_pairs(self, pairs):
        rows = self._encode(pairs.X)
        numbers = PairRows(np.zeros(len(rows)), pairs.users, pairs.items).numbers(self.log_, False)
        return self._towers.pair_scores(rows, numbers, self.log_.interactions)

    def _similarity_to(self, items):
        return self._index.similarity_to(items)

    def _catalogue_items(self):
        return self._catalogue.items

    def _places(self):
        return self._index.places

    def _read_pairs(self, X, *, by_user=False):
        columns, encoded = self._columns, None
        reads = columns.used
        if by_user:
            encoded = columns.user_features
            reads = [columns.user, columns.item, *encoded]
        X = check_log(self, X, reset=False, reads=reads)
        return Pairs(X, *columns.ids(X, self.log_, encoded))

    def _find_users(self, ids, column, history=None):
        users = super()._find_users(ids, column, history)
        # Known users have features, if no history.
        return replace(users, is_popular=users.is_popular & (users.numbers < 0))

    def _users_of_pairs(self, pairs, rows):
        return self._users_of_frame(self._users_of_rows(pairs.X, rows))

    def _read_users(self, users, history, name):
        if history is not None and not self.net_.module_.reads_histories:
            raise ValueError(
                "history needs a model that reads the items of users: fit it with user_items=True"
            )
        if not is_frame(users):
            found = super()._read_users(users, history, name)
            return self._with_vectors(found, self._last.of_users(found.numbers))
        # The encoder warns of ids of another type in a column that the tower reads.
        is_read = self._columns.user in self._columns.user_features
        known = None if is_read or history is not None else self.log_.users
        return self._users_of_frame(users, history, known)

    def _users_of_frame(self, frame, history=None, known=None) -> Users:
        """Users by rows of their features; warns where their ids are of another type than known."""
        rows, table = self._rows_of(frame, "user"), read_table(frame)
        names, n = [str(name) for name in table.names], table.n_rows
        nobody = np.full(n, -1)
        found = Users(np.arange(n), nobody, self.log_.interactions, nobody, nobody >= 0)
        if self._columns.user in names:
            position = names.index(self._columns.user)
            ids = read_ids(table, position, known)
            found = self._find_users(ids, table.column(position), history)
            # Features tell something of anybody.
            found = replace(found, is_popular=np.zeros(n, dtype=bool))
        return self._with_vectors(found, rows)

    def _users_of_rows(self, X, rows: np.ndarray):
        """The users of some rows of a log, as `score` and scorers ask for them: by features."""
        names = dict.fromkeys((self._columns.user, *self._columns.user_features))
        return _safe_indexing(select(X, list(names)), rows)

    def _with_vectors(self, users: Users, rows: Encoded) -> Users:
        """Users with their vectors, by their columns."""
        return replace(users, query=self._towers.user_vectors(rows, users.known, users.row))

    def _rows_of(self, frame, role: str) -> Encoded:
        """One side of a frame that may lack the other side's columns."""
        encoded = self._encode(self._columns.one_side(frame, role))
        return getattr(self.net_.module_, role).part(encoded)

    # ---- vectors and catalogue -----------------------------------------------------------

    @property
    def item_embeddings_(self):
        """Vectors of the catalogue's items."""
        check_is_fitted(self)
        return self._index.embeddings

    @property
    def popularity_(self):
        """Share of each item in the positives' weight, descending."""
        check_is_fitted(self)
        return self._index.popularity

    def user_embeddings(self, X, *, history=None):
        """Vectors of users; products with ``item_embeddings_`` are scores.

        Parameters
        ----------
        X : data frame of shape (n, n_columns), or array-like of shape (n,)
            Rows with the columns of `user_features`, of any users; or ids, of which known ones have
            the features of their last row in fit, and unknown ones none.
        history : dict of user to list of items, or data frame, default=None
            As in `recommend`.

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
        return self._read_users(X, history, "X").query

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
            If a column is missing, there is no item, an item is -1, or an id without attributes is
            not known.
        """
        check_is_fitted(self)
        columns = self._columns
        if is_frame(items):
            names = [str(name) for name in read_table(items).names]
            if columns.item not in names:
                raise ValueError(f"items must have the column of item={columns.item!r}")
            known_items = None if columns.item in columns.item_features else self.log_.items
            ids = read_ids(read_table(items), names.index(columns.item), known_items)
            rows = self._rows_of(items, "item")
        else:
            ids = read_ids(as_table(items, "items", self.item), 0)
            known = number_ids(self.log_.items, ids)
            if (known < 0).any():
                raise ValueError(
                    f"items must be ids that fit has seen, got {int((known < 0).sum())} others. "
                    f"Pass new ones as a data frame with {list(columns.item_features)}."
                )
            rows = self._last.items.take(known)
        self._catalogue = Catalogue.of(ids, rows, self.log_)
        self._make_index()
        return self
