"""Deep interest network (Zhou et al., "Deep Interest Network for Click-Through Rate Prediction",
KDD 2018)."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._batches import forward_batches
from .._validation import check_choice, check_dims, check_number, check_X
from .._warnings import warn
from ..nn import (
    MLP,
    Batch,
    FieldInputs,
    LocalActivationUnit,
    softmax_of_lists,
    sparse_matmul,
    take_entries,
)
from ..nn.mlp import ACTIVATIONS
from ..preprocessing._encoded import Schema
from ..utils._docs import shared_docs
from ._base import BaseRanker

_ATTENTION = ("softmax", "sum", "mean")
# Events are told apart by the products of their vectors with the candidate's: from FM's small
# vectors, attention found a planted event in half of the rows, from these in all.
_INIT_STD = 0.05
# Rows whose attention is read at once.
_WEIGHT_BATCH = 16_384


class DIN(nn.Module):
    """Figure 2 of the paper, right: an MLP on all columns and on what the history says of the ad.

    v_U(A) = sum_k a(e_k, e_t) e_k, equation 1, where e_k joins the embeddings of the attributes
    of event k and e_t those of the candidate, A.

    NOTE[DIFF]: the softmax over a row's events, by default, is not in the paper, which keeps the
    sum of raw weights: on planted histories it names the right event far more surely.
    NOTE[DIFF]: ReLU by default, not Dice, whose batch statistics know no sample weights.
    """

    def __init__(
        self,
        schema: Schema,
        d: int,
        hidden_dims,
        activation: str,
        dropout: float,
        attention: str,
        attention_hidden_dims,
    ):
        super().__init__()
        self.events = {} if attention == "mean" else events_of(schema)
        self.softmax = attention == "softmax"
        columns = list(schema.categorical)
        self.candidate = [columns.index(target) for target in self.events.values()]
        self.inputs = FieldInputs(schema, d, exclude=self.events, std=_INIT_STD)
        width = len(self.events) * d
        if self.events:
            self.a = LocalActivationUnit(width, attention_hidden_dims)
        self.mlp = MLP(
            self.inputs.out_dim + width,
            hidden_dims,
            activation=activation,
            dropout=dropout,
            out_dim=1,
        )
        # Start at the base rate: with rare clicks, half of the training would go into it.
        *_, bias = self.mlp.parameters()
        nn.init.constant_(bias, 0.0 if schema.prior is None else float(schema.prior))

    @property
    def output_biases(self):
        *_, bias = self.mlp.parameters()
        return (bias,)

    def forward(self, batch: Batch) -> Tensor:
        theta, places, e_k = self._look_up(batch)
        fields = self.inputs.embed(batch, theta, places)  # (B, F, d)
        parts = [fields.flatten(1), batch.numeric]
        if self.events:
            offsets = self._offsets(batch)
            weights = self._weights(e_k, fields, offsets)  # (n_events,)
            each = torch.arange(len(e_k), dtype=torch.int32, device=e_k.device)
            parts.append(sparse_matmul(e_k, each, offsets, weights))  # v_U, (B, A d)
        return self.mlp(torch.cat(parts, 1)).squeeze(1)  # (B,)

    def attention_weights(self, batch: Batch) -> Tensor:
        """The weight of each event of each row, shape (n_events,)."""
        theta, places, e_k = self._look_up(batch)
        return self._weights(e_k, self.inputs.embed(batch, theta, places), self._offsets(batch))

    def _look_up(self, batch: Batch):
        """What `FieldInputs` looks up, and e_k of shape (n_events, A d), attributes joined."""
        table = self.inputs.table
        rows = [
            table.index(target, batch.sequences[name].values)
            for name, target in self.events.items()
        ]
        if not rows:
            return *self.inputs.look_up(batch), None
        attributes = torch.stack(rows, 1)  # (n_events, A)
        theta, (*places, events) = self.inputs.look_up(batch, [attributes.reshape(-1)])
        return theta, places, take_entries(theta, events.view_as(attributes)).flatten(1)

    def _weights(self, e_k: Tensor, fields: Tensor, offsets: Tensor) -> Tensor:
        e_t = fields[:, self.candidate].flatten(1)  # (B, A d)
        score = self.a(e_k, e_t, offsets)
        return softmax_of_lists(score, offsets) if self.softmax else score

    def _offsets(self, batch: Batch) -> Tensor:
        return batch.sequences[next(iter(self.events))].offsets


def events_of(schema: Schema) -> dict:
    """List column -> the candidate's column whose vocabulary it shares: an event's attributes."""
    return {
        name: target for name, target in schema.sequences.items() if target in schema.categorical
    }


@shared_docs
class DINClassifier(BaseRanker):
    """Click probability from the part of a user's history that concerns the candidate.

    A deep interest network: a small network compares each event of the history with the candidate
    and says how much it counts; the weighted sum of the events, and all other columns, go through
    a multi-layer perceptron. The same user so looks different to a tent and to a lipstick.

    Parameters
    ----------
    %(embedding_dim)s
    hidden_dims : tuple of int, default=(200, 80)
        Widths of the hidden layers on top, the paper's by default. Narrower layers are faster and
        overfit less.
    %(activation)s
    %(dropout)s
    attention : {"softmax", "sum", "mean"}, default="softmax"
        How the events are weighed. "softmax": the weights of a row sum to 1, so that only their
        proportions count. "sum": the network's own numbers, as in the paper, which can also say
        how strong an interest is; better scaled on short histories. "mean": all alike, without
        attention: the model to compare with.
    attention_hidden_dims : tuple of int, default=(80, 40)
        Widths of the hidden layers of the network that compares event and candidate. They cost
        most of the time: (32,) is twice as fast.
    %(categorical_features)s
    share_vocabulary : dict of str to str, default=None
        Columns that use the ids, and the vectors, of another. List columns named here are the
        history: ``{"hist_item_id": "item_id", "hist_category": "category"}`` is one history of
        events with two attributes, each compared with the candidate's. Other list columns are
        averaged. Without a history the model is a multi-layer perceptron on embeddings.
    %(min_frequency)s
    %(id_dropout)s
    %(max_len)s
    %(l2)s
    %(loss)s
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
    %(classes_)s
    %(torch)s

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

    def __init__(
        self,
        embedding_dim=16,
        *,
        hidden_dims=(200, 80),
        activation="relu",
        dropout=0.0,
        attention="softmax",
        attention_hidden_dims=(80, 40),
        categorical_features="from_dtype",
        share_vocabulary=None,
        min_frequency=1,
        id_dropout=0.1,
        max_len=50,
        l2=0.0,
        loss="log_loss",
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
        self.attention = attention
        self.attention_hidden_dims = attention_hidden_dims
        self.categorical_features = categorical_features
        self.share_vocabulary = share_vocabulary
        self.min_frequency = min_frequency
        self.id_dropout = id_dropout
        self.max_len = max_len
        self.l2 = l2
        self.loss = loss
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

    def attention_weights(self, X):
        """How much each event of a row's history counts for that row's candidate.

        Parameters
        ----------
        X : data frame of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        list of n_samples ndarrays
            Row ``i``'s has one entry for each of its last `max_len` events that are not missing,
            in their order. They sum to 1 with ``attention="softmax"``, and are what the
            comparing network says with "sum".

        Raises
        ------
        ValueError
            If the model has no attention.
        """
        check_is_fitted(self)
        module = self.net_.module_
        if not module.events:
            raise ValueError(
                "attention_weights needs a model with attention: fit it with attention='softmax' "
                "or 'sum', and name the history in share_vocabulary, such as "
                "{'hist_item_id': 'item_id'}"
            )
        encoded = self._encode(check_X(self, X, reset=False))
        offsets = encoded.sequences[next(iter(module.events))].offsets
        weights = forward_batches(
            AttentionWeights(module), encoded, self.net_.device, _WEIGHT_BATCH
        )
        return np.split(weights, offsets[1:-1])

    def _check_params(self):
        super()._check_params()
        check_number("embedding_dim", self.embedding_dim, 1, integer=True)
        check_dims("hidden_dims", self.hidden_dims)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 1)
        check_choice("attention", self.attention, _ATTENTION)
        check_dims("attention_hidden_dims", self.attention_hidden_dims)

    def _build_module(self, schema):
        return DIN(
            schema,
            self.embedding_dim,
            self.hidden_dims,
            self.activation,
            self.dropout,
            self.attention,
            self.attention_hidden_dims,
        )

    def _fit_encoder(self, X, y, weight, train, valid):
        encoded = super()._fit_encoder(X, y, weight, train, valid)
        schema = Schema.of(self.encoder_)
        if self.attention != "mean":
            _check_history(schema)
        return encoded

    def _make_encoder(self):
        encoder = super()._make_encoder()
        encoder.parallel_lists = self.attention != "mean"
        return encoder


class AttentionWeights(nn.Module):
    """A module whose output is the attention of a :class:`DIN`."""

    def __init__(self, din: DIN):
        super().__init__()
        self.din = din

    def forward(self, batch: Batch) -> Tensor:
        return self.din.attention_weights(batch)


def _check_history(schema: Schema) -> None:
    """Raise where lists cannot be attributes of one event; warn where none is a history."""
    events = events_of(schema)
    for name, target in events.items():
        others = [other for other in events if other != name and events[other] == target]
        if others:
            raise ValueError(
                f"share_vocabulary gives both {name!r} and {others[0]!r} the ids of {target!r}, "
                "but an event has one value of an attribute, so they are two histories. Join them "
                "into one list column, or leave one of them out of share_vocabulary: it is "
                "averaged then."
            )
    if schema.sequences and not events:
        name = next(iter(schema.sequences))
        warn(
            f"No list column shares its ids with a column of the candidate, so {name!r} is "
            "averaged without attention. Name the column that the history's ids belong to: "
            f"share_vocabulary={{{name!r}: 'item_id'}}; or set attention='mean'.",
        )
