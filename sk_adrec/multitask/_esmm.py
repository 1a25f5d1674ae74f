"""ESMM (Ma, Zhao, Huang, Wang, Hu, Zhu & Gai, "Entire Space Multi-Task Model: An Effective
Approach for Estimating Post-Click Conversion Rate", SIGIR 2018)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from .._hyperparameters import KW_ONLY, Activation, Count, Rule, Share, hyperparameters, one_of
from .._validation import check_dims
from ..nn import Batch, FieldInputs, Towers
from ..preprocessing._encoded import Schema
from ._base import BaseMultiTask
from ._relations import Funnel

#: Standard deviation of a new embedding. On synthetic logs of seeds of their own pCVR comes nearer
#: to the truth than with nn.embedding.INIT_STD: towers learn more from vectors that differ early.
INIT_STD = 0.1


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
        self.towers = Towers(
            self.inputs.out_dim, hidden_dims, schema.prior, activation=activation, dropout=dropout
        )

    @property
    def output_biases(self):
        return self.towers.output_biases

    def forward(self, batch: Batch) -> Tensor:
        return self.towers(self.inputs(batch))  # (B, K)


def _per_tower(dims) -> bool:
    return isinstance(dims, (tuple, list)) and any(isinstance(d, (tuple, list)) for d in dims)


def _check_hidden_dims(name, value):
    for dims in value if _per_tower(value) else [value]:
        check_dims(name, dims)


@hyperparameters
class ESMMEstimator(BaseMultiTask):
    """Click and conversion probability of every impression, learned from all impressions.

    A conversion model that is trained on clicks alone sees few rows, and only those that attract
    clicks, but is asked about all impressions. ESMM learns P(conversion | click) without ever
    being shown a click on its own: it multiplies it with P(click), compares the product with the
    conversions among all impressions, and shares the vectors of ids with the click model, which
    has many more examples.

    Parameters
    ----------
    hidden_dims
        Widths of the hidden layers of each tower, or for each stage its own:
        ``((256, 128), (64,))``. Give the rarer stage the smaller tower when it overfits.
    stages : array-like
        For a target of columns: which columns of a data frame are the stages, in funnel order, or
        the names of an array's columns. For labels: all labels in funnel order, that of no stage
        first. None takes the columns as they are, and the labels that occur in the order of their
        dtype (ordered categories, a Polars Enum), or else sorted. Set it where the order is not the
        alphabet's, or where a fold may lack the last stage.
    on_inconsistent
        A row with a 1 in a later stage and a 0 in an earlier one raises; "fix" sets the earlier
        one to 1. Look at such rows before you fix them.
    loss_weights : "balanced" or array-like of shape (n_stages,)
        Weight of each stage's cross-entropy in the loss. None weighs them alike, as the paper
        does: then the frequent stage decides what the shared vectors learn, and when the training
        stops. "balanced" divides each by that of its base rate (the first stage keeps weight 1):
        set it, or a larger last weight, where conversions are many times rarer than clicks.

    Attributes
    ----------
    classes_ : ndarray
        For a target of columns ``arange(n_stages_)``, for labels the labels, sorted:
        `predict_proba` has a column for each.
    n_stages_ : int
        Stages after the impression.
    stage_names_ : list of str
        Their names: the columns of y, or the labels after the first.

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

    embedding_dim: Count = 16
    _: KW_ONLY
    hidden_dims: Annotated[
        Any, Rule(_check_hidden_dims, "tuple of int, or tuple of such tuples")
    ] = (128, 64)
    activation: Activation = "relu"
    dropout: Share = 0.0
    stages: Any = None
    on_inconsistent: Annotated[str, one_of("raise", "fix")] = "raise"

    @property
    def _relation(self):
        return Funnel(self.stages, self.on_inconsistent)

    def _build_module(self, schema):
        dims, K = self.hidden_dims, len(schema.prior)
        dims = dims if _per_tower(dims) else [dims] * K
        if len(dims) != K:
            raise ValueError(
                f"hidden_dims must be one tuple of widths for all towers or one for each of the "
                f"{K} stages {self.stage_names_}, got {self.hidden_dims!r}"
            )
        return ESMM(schema, self.embedding_dim, dims, self.activation, self.dropout)

    @property
    def n_stages_(self):
        """Stages after the impression."""
        return self.n_tasks_

    @property
    def stage_names_(self):
        """Names of the stages."""
        return self.task_names_
