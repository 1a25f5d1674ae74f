"""Deep interest network (Zhou et al., "Deep Interest Network for Click-Through Rate Prediction",
KDD 2018)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from .._hyperparameters import KW_ONLY, Activation, Count, Share, Widths, hyperparameters, one_of
from ..nn import (
    MLP,
    Batch,
    EventInputs,
    LocalActivationUnit,
    LogOdds,
    softmax_of_lists,
    sparse_matmul,
)
from ..nn.events import Events
from ..preprocessing._encoded import Schema
from ._history import BaseHistoryRanker

# Events are told apart by the products of their vectors with the candidate's: from FM's small
# vectors, attention found a planted event in half of the rows, from these in all.
_INIT_STD = 0.05


class DIN(nn.Module):
    """Figure 2 of the paper, right: an MLP on all columns and on what the history says of the ad.

    v_U(A) = sum_k a(e_k, e_t) e_k, equation 1, where e_k joins the embeddings of the attributes
    of event k and e_t those of the candidate, A.

    NOTE[DIFF]: the softmax over a row's events, by default, is not in the paper, which keeps the
    sum of raw weights: on planted histories it names the right event far more surely.
    NOTE[DIFF]: ReLU by default, not Dice, whose batch statistics know no sample weights.
    """

    def __init__(
        self, schema: Schema, d, hidden_dims, activation, dropout, attention, attention_hidden_dims
    ):
        super().__init__()
        self.softmax = attention == "softmax"
        self.inputs = EventInputs(schema, d, std=_INIT_STD, averaged=attention == "mean")
        if self.inputs.events:
            self.a = LocalActivationUnit(self.inputs.event_dim, attention_hidden_dims)
        D = self.inputs.out_dim + self.inputs.event_dim
        self.mlp = MLP(D, hidden_dims, activation=activation, dropout=dropout)
        self.head = LogOdds(self.mlp.out_dim, schema.prior)

    @property
    def output_biases(self):
        return (self.head.bias,)

    def forward(self, batch: Batch) -> Tensor:
        if not self.inputs.events:
            return self.head(self.mlp(self.inputs(batch))).squeeze(1)  # (B,)
        events = self.inputs.read(batch)
        each = torch.arange(len(events.e_k), dtype=torch.int32, device=events.e_k.device)
        v_U = sparse_matmul(events.e_k, each, events.offsets, self._weights(events))  # (B, A d)
        x = torch.cat([events.fields.flatten(1), batch.numeric, v_U], 1)  # (B, D)
        return self.head(self.mlp(x)).squeeze(1)  # (B,)

    def attention_weights(self, batch: Batch) -> Tensor:
        """The weight of each event of each row, shape (n_events,)."""
        return self._weights(self.inputs.read(batch))

    def _weights(self, events: Events) -> Tensor:
        score = self.a(events.e_k, events.e_t, events.offsets)  # (n_events,)
        return softmax_of_lists(score, events.offsets) if self.softmax else score


@hyperparameters
class DINClassifier(BaseHistoryRanker):
    """Click probability from the part of a user's history that concerns the candidate.

    A deep interest network: a small network compares each event of the history with the candidate
    and says how much it counts; the weighted sum of the events, and all other columns, go through
    a multi-layer perceptron. The same user so looks different to a tent and to a lipstick.

    Parameters
    ----------
    hidden_dims
        Widths of the hidden layers on top, the paper's by default. Narrower layers are faster and
        overfit less.
    attention
        How the events are weighed, see `attention_weights`. "softmax": the weights of a row sum to
        1, so that only their proportions count. "sum": the network's own numbers, as in the paper,
        which can also say how strong an interest is; better scaled on short histories. "mean": all
        alike, without attention: the model to compare with. Without a history the model is a
        multi-layer perceptron on embeddings.
    attention_hidden_dims
        Widths of the hidden layers of the network that compares event and candidate. They cost
        most of the time: (32,) is twice as fast.

    See Also
    --------
    DeepFMClassifier : Averages histories.
    sk_adrec.inspection.AttentionDisplay : Draws the weights of a few rows.

    Notes
    -----
    The default activation is ReLU and not the paper's Dice, whose batch statistics cannot take
    sample weights into account and tie a row's loss to the other rows of its batch.

    Histories are kept flat, without padding: their length costs what its events cost.

    References
    ----------
    Zhou, Zhu, Song, Fan, Zhu, Ma, Yan, Jin, Li, Gai (2018), "Deep Interest Network for
    Click-Through Rate Prediction", KDD.

    Examples
    --------
    >>> from sk_adrec import DINClassifier
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = DINClassifier(share_vocabulary={"hist_item_id": "item_id"}, random_state=0)
    >>> model.fit(log.data[:1500], log.target[:1500]).predict_proba(log.data[1500:]).shape
    (500, 2)
    >>> weights = model.attention_weights(log.data[1500:])
    >>> len(weights[0]) == len(log.data["hist_item_id"].iloc[1500])
    True
    """

    embedding_dim: Count = 16
    _: KW_ONLY
    hidden_dims: Widths = (200, 80)
    activation: Activation = "relu"
    dropout: Share = 0.0
    attention: Annotated[str, one_of("softmax", "sum", "mean")] = "softmax"
    attention_hidden_dims: Widths = (80, 40)

    _to_attend = "fit it with attention='softmax' or 'sum', and "
    _not_to_attend = "; or set attention='mean'"

    def _reads_events(self):
        return self.attention != "mean"

    def _build_module(self, schema):
        return DIN(
            schema, self.embedding_dim, self.hidden_dims, self.activation, self.dropout,
            self.attention, self.attention_hidden_dims,
        )  # fmt: skip
