"""A tower for users, a tower for items, and their product.

Huang et al., "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data",
CIKM 2013; losses as in Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
Recommendations", RecSys 2019.
"""

from __future__ import annotations

import torch

from .._net import LinearDecay
from .._validation import check_choice, check_dims, check_number
from ..nn.mlp import ACTIVATIONS
from ..utils._docs import shared_docs
from ._lists.ndcg import SCORE_K
from ._towers.learning import TowerLearning
from ._towers.loss import LossSettings, TwoTowerLoss
from ._towers.module import Side, TwoTowers

_LOSSES = ("auto", "in_batch", "softmax", "sampled_softmax", "bpr", "log_loss")
_COSINE_TEMPERATURE = 0.1
# Items up to which loss="auto" compares a user's items with all.
_MOST_FOR_SOFTMAX = 20_000
# Rows of a batch that are compared with each other: their number squared is what a step costs.
_MAX_BATCH = 1024


@shared_docs
class TwoTowerRetriever(TowerLearning):
    r"""A vector of the user, a vector of the item, and their cosine or product.

    Each tower reads any columns of its side: ids, attributes, lists, numbers. New users and items
    are served by their attributes, and the items of a catalogue are searched exactly.

    Parameters
    ----------
    %(user)s
    %(item)s
    user_features, item_features : list of str, default=None
        All columns that the tower reads, ids included where they should be. None is the id alone;
        with `user_items` the user's tower then reads no column, since a user's items say more than
        the id. A tower with attributes serves users or items that fit has not seen.
    user_items : bool, default=False
        Whether the user's tower also adds up the vectors of the items that the user has in the
        log, as in SVD++. Each pass over the users then predicts some of their items from the
        others, which needs the loss "softmax" or "sampled_softmax". With ids only it is far better
        than the user's id, and serves new users by `history`.
    target_share : float, default=0.5
        Of `user_items` only: share of a user's items that a pass predicts. Lower it where
        histories are short.
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
    loss : {"auto", "in_batch", "softmax", "sampled_softmax", "bpr", "log_loss"}, default="auto"
        "auto": "in_batch"; with `user_items` "softmax", above 20,000 items "sampled_softmax".
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
        Hold out `validation_fraction` of the pairs to calibrate probabilities on, also where
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
    lr_schedule : {"auto", "constant", "linear"}, default="auto"
        "linear" lowers `lr` to 0 over `max_epochs`: vectors then settle, and a fit needs no luck
        with where it stops, but fewer epochs must be asked for, not waited for. "auto" is "linear"
        with `user_items`, else "constant".
    batch_size : "auto" or int, default="auto"
        Rows per step, or users with `user_items`. "auto" takes about 200 steps per pass, between
        64 and 1024 rows each. With "in_batch" it is the number of negatives as well.
    max_epochs : int, default=20
        Passes over the data, at most.
    early_stopping : "auto" or bool, default="auto"
        Stop when NDCG\ @10 on validation rows no longer rises, and restore the best epoch. "auto"
        is True above 1,000 rows and wherever fit gets `X_val`.
    validation_fraction : float in (0, 1), default=0.1
        Share of the distinct pairs of user and item that are held out, drawn at random, with all
        their rows, where fit gets no `X_val`. A log has an order: better give later rows as
        `X_val`. Larger where lists or probabilities of few pairs are noisy.
    n_iter_no_change : int, default=5
        Passes without a better score on validation rows before the training stops. Lists of a few
        thousand users are noisy: with fewer passes a fit ends sooner, and short of its best.
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

    _stop_metric = f"ndcg_at_{SCORE_K}"

    def __init__(
        self,
        *,
        user="user_id",
        item="item_id",
        user_features=None,
        item_features=None,
        user_items=False,
        target_share=0.5,
        embedding_dim=64,
        hidden_dims=(),
        activation="relu",
        dropout=0.0,
        similarity="cosine",
        temperature=None,
        loss="auto",
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
        lr_schedule="auto",
        batch_size="auto",
        max_epochs=20,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=5,
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
        self.user_items = user_items
        self.target_share = target_share
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
        self.lr_schedule = lr_schedule
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
        draws = self.loss in ("sampled_softmax", "bpr", "log_loss")
        least = 1 if draws or (self.user_items and self.loss == "auto") else 0
        check_number("n_negatives", self.n_negatives, least, integer=True)
        check_choice("negatives", self.negatives, ("auto", "log", "uniform"))
        for name in ("user_items", "symmetric", "logq_correction", "calibrate"):
            check_choice(name, getattr(self, name), (True, False))
        check_number("target_share", self.target_share, 0, 1, closed="neither")
        check_choice("lr_schedule", self.lr_schedule, ("auto", "constant", "linear"))
        if self.user_items and self.loss not in ("auto", "softmax", "sampled_softmax"):
            raise ValueError(
                'user_items=True needs loss="softmax", or "sampled_softmax" for large catalogues, '
                f"got {self.loss!r}"
            )

    def _rows_per_batch(self, n_rows):
        size = super()._rows_per_batch(n_rows)
        return min(size, _MAX_BATCH) if self.batch_size == "auto" else size

    def _build_module(self, schema):
        columns = self._columns
        module = TwoTowers(
            schema,
            Side.of(schema, columns.user_features),
            Side.of(schema, columns.item_features),
            self.embedding_dim,
            self.similarity == "cosine",
            self.target_share,
            self._loss_to_use() == "softmax",
            hidden_dims=self.hidden_dims,
            activation=self.activation,
            dropout=self.dropout,
        )
        module.set_log_items(self._item_rows)
        return module

    def _make_loss(self):
        temperature = self.temperature
        if temperature is None:
            temperature = _COSINE_TEMPERATURE if self.similarity == "cosine" else 1.0
        settings = LossSettings(
            self._loss_to_use(), temperature, self.n_negatives, self.symmetric,
            self.logq_correction, self._uses_own_negatives(),
        )  # fmt: skip
        return TwoTowerLoss(
            settings,
            *self._shares,
            self._vectors_of_items,
            self._held_out_weight,
            self._params_of_fit["dtype"],
        )

    def _loss_to_use(self) -> str:
        if self.loss != "auto":
            return self.loss
        if not self.user_items:
            return "in_batch"
        few = self.log_.interactions.n_items <= _MOST_FOR_SOFTMAX
        return "softmax" if few else "sampled_softmax"

    def _make_net(self, module, valid_rows, seed, batch_size, loading=False):
        net = super()._make_net(module, valid_rows, seed, batch_size, loading)
        if self.lr_schedule == "linear" or (self.lr_schedule == "auto" and self.user_items):
            net.callbacks.append(LinearDecay())
        return net

    def _validation_metrics(self):
        return [(self._stop_metric, self._validation_ndcg)]

    def _vectors_of_items(self, numbers: torch.Tensor | None) -> torch.Tensor:
        """Vectors of items of the log by number, or of all."""
        module = self.net_.module_
        return module.finish(module.log_items(numbers))

    # ---- scikit-learn --------------------------------------------------------------------

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # What is planted in scikit-learn's checks is not in pairs of users and items.
        tags.classifier_tags.poor_score = True
        tags.target_tags.required = False
        return tags
