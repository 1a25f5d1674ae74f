"""ESMM (Ma, Zhao, Huang, Wang, Hu, Zhu & Gai, "Entire Space Multi-Task Model: An Effective
Approach for Estimating Post-Click Conversion Rate", SIGIR 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._validation import check_choice, check_dims, check_number
from ..nn import MLP, Batch, FieldInputs
from ..nn.mlp import ACTIVATIONS
from ..preprocessing._encoded import Schema
from ..utils._docs import shared_docs
from ._base import BaseMultiTask

#: Standard deviation of a new embedding: on synthetic logs towers learned more from vectors that
#: differ from the start than from nn.embedding.INIT_STD, for each stage alone as well.
INIT_STD = 0.03


class ESMM(nn.Module):
    """Figure 2 of the paper: one tower per stage, all of them on the same embeddings.

    Equation 1, pCTCVR = pCTR x pCVR, and equation 3, the loss, are in
    :class:`sk_adrec.losses.EntireSpaceLoss`.

    NOTE[DIFF]: any number of stages, each given the one before it; the paper has two.
    NOTE[DIFF]: a tower ends in one logit, which starts at its stage's log odds, instead of a
    softmax over two: the same model, but nothing is spent on learning that conversions are rare.
    NOTE[DIFF]: numbers enter the towers as they are, next to the embeddings.
    """

    def __init__(self, schema: Schema, d: int, hidden_dims, activation: str, dropout: float):
        super().__init__()
        self.inputs = FieldInputs(schema, d, std=INIT_STD)
        self.towers = nn.ModuleList(
            MLP(self.inputs.out_dim, dims, activation=activation, dropout=dropout, out_dim=1)
            for dims in hidden_dims
        )
        for tower, log_odds in zip(self.towers, torch.as_tensor(schema.prior)):
            *_, last = tower.children()
            assert isinstance(last, nn.Linear)
            nn.init.constant_(last.bias, float(log_odds))

    def forward(self, batch: Batch) -> Tensor:
        x = self.inputs(batch)  # (B, D)
        return torch.cat([tower(x) for tower in self.towers], 1)  # (B, K)


@shared_docs
class ESMMEstimator(BaseMultiTask):
    """Click and conversion probability of every impression, learned from all impressions.

    A conversion model that is trained on clicks alone sees few rows, and only those that attract
    clicks, but is asked about all impressions. ESMM learns P(conversion | click) without ever
    being shown a click on its own: it multiplies it with P(click), compares the product with the
    conversions among all impressions, and shares the vectors of ids with the click model, which
    has many more examples.

    Parameters
    ----------
    %(embedding_dim)s
    hidden_dims : tuple of int, or tuple of such tuples, default=(128, 64)
        Widths of the hidden layers of each tower, or for each stage its own:
        ``((256, 128), (64,))``. Give the rarer stage the smaller tower when it overfits.
    %(activation)s
    %(dropout)s
    stages : array-like, default=None
        For a target of columns: which columns of a data frame are the stages, in funnel order, or
        the names of an array's columns. For labels: all labels in funnel order, that of no stage
        first. None takes the columns as they are, and the labels that occur in sorted order. Set
        it where the order is not the alphabet's, or where a fold may lack the last stage.
    on_inconsistent : {"raise", "fix"}, default="raise"
        A row with a 1 in a later stage and a 0 in an earlier one raises; "fix" sets the earlier
        one to 1. Look at such rows before you fix them.
    loss_weights : array-like of shape (n_stages,), default=None
        Weight of each stage's cross-entropy in the loss; None weighs them alike. Raise a stage's
        weight when its own metric matters most, at the price of the others.
    %(categorical_features)s
    %(share_vocabulary)s
    %(min_frequency)s
    %(id_dropout)s
    %(max_len)s
    %(l2)s
    %(optimizer)s
    %(lr)s
    %(batch_size)s
    %(max_epochs)s
    %(early_stopping)s
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
    classes_ : ndarray
        For a target of columns ``arange(n_stages_)``, for labels the labels, sorted:
        `predict_proba` has a column for each.
    n_stages_ : int
        Stages after the impression.
    stage_names_ : list of str
        Their names: the columns of y, or the labels after the first.
    %(torch)s

    See Also
    --------
    funnel_target : Converts between the two kinds of target.
    sk_adrec.metrics.make_funnel_scorer : Scorers for model selection.

    Notes
    -----
    The target y is one of

    - columns of 0 and 1 in funnel order, ``log[["click", "conversion"]]``, as many as there are
      stages. NaN says that a stage is not known yet: the loss leaves it out and never reads it
      as 0. What is known has to be a fair sample of all impressions, so write NaN by time: in all
      rows too recent to have converted, clicked or not.
    - one label per row, the last stage reached: 0 impression, 1 click, 2 conversion.

    scikit-learn looks at targets before it splits them. With NaN in y give searches a splitter
    that does not, ``cv=KFold()`` or a time split; `cross_val_predict` numbers the values of each
    column, so that NaN arrives as 2 and is refused. Tools for classes, such as
    CalibratedClassifierCV, take labels only, and `cross_val_predict` numbers these too: let them
    be 0, 1, 2, as :func:`funnel_target` makes them.

    The loss is the sum of the cross-entropies of P(stage) over all rows, not that of the labels.
    Rare stages need no resampling: towers start at the base rates. For a log that keeps a share
    of its rows without clicks, give their inverse as `sample_weight`.

    References
    ----------
    Ma, Zhao, Huang, Wang, Hu, Zhu, Gai (2018), "Entire Space Multi-Task Model: An Effective
    Approach for Estimating Post-Click Conversion Rate", SIGIR.

    Examples
    --------
    >>> from sk_adrec import ESMMEstimator
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = ESMMEstimator(share_vocabulary={"hist_item_id": "item_id"}, random_state=0)
    >>> model.fit(log.data[:1500], log.funnel[:1500]).predict_proba(log.data[1500:]).shape
    (500, 2)
    >>> funnel = model.predict_funnel(log.data[1500:])
    >>> list(funnel)
    ['ctr', 'cvr', 'ctcvr']
    >>> bool((funnel["ctcvr"] <= funnel["ctr"]).all())
    True
    """

    def __init__(
        self,
        embedding_dim=16,
        *,
        hidden_dims=(128, 64),
        activation="relu",
        dropout=0.0,
        stages=None,
        on_inconsistent="raise",
        loss_weights=None,
        categorical_features="from_dtype",
        share_vocabulary=None,
        min_frequency=1,
        id_dropout=0.1,
        max_len=50,
        l2=0.0,
        optimizer="auto",
        lr=3e-3,
        batch_size="auto",
        max_epochs=10,
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
        self.embedding_dim = embedding_dim
        self.hidden_dims = hidden_dims
        self.activation = activation
        self.dropout = dropout
        self.stages = stages
        self.on_inconsistent = on_inconsistent
        self.loss_weights = loss_weights
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

    def _check_params(self):
        super()._check_params()
        check_number("embedding_dim", self.embedding_dim, 1, integer=True)
        for dims in self.hidden_dims if self._has_dims_per_tower() else [self.hidden_dims]:
            check_dims("hidden_dims", dims)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 1)

    def _build_module(self, schema):
        dims = (
            self.hidden_dims if self._has_dims_per_tower() else [self.hidden_dims] * self.n_stages_
        )
        if len(dims) != self.n_stages_:
            raise ValueError(
                f"hidden_dims must be one tuple of widths for all towers or one for each of the "
                f"{self.n_stages_} stages {self.stage_names_}, got {self.hidden_dims!r}"
            )
        return ESMM(schema, self.embedding_dim, dims, self.activation, self.dropout)

    def _has_dims_per_tower(self):
        dims = self.hidden_dims
        return isinstance(dims, (tuple, list)) and any(isinstance(d, (tuple, list)) for d in dims)
