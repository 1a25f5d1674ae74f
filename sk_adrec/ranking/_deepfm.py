"""DeepFM (Guo, Tang, Ye, Li & He, "DeepFM: A Factorization-Machine based Neural Network for CTR
Prediction", IJCAI 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._validation import check_choice, check_dims, check_number
from ..nn import MLP, Batch, Lists, sparse_matmul, take_entries
from ..nn.mlp import ACTIVATIONS
from ..preprocessing._encoded import Schema
from ..utils._docs import shared_docs
from ._base import BaseRanker
from ._fm import FactorizationMachine


class DeepFM(nn.Module):
    """Equation 1 of the paper, before the sigmoid: y = y_FM + y_DNN, on the same embeddings.

    NOTE[DIFF]: numbers enter the deep part as they are; the paper gives each a field of its own,
    the number times a vector, which a linear layer can make of the number.
    """

    def __init__(self, schema: Schema, k: int, hidden_dims, activation: str, dropout: float):
        super().__init__()
        self.fm = FactorizationMachine(schema, k)
        n_fields = 1 if schema.n_sparse else len(schema.categorical) + len(schema.sequences)
        self.deep = MLP(
            n_fields * k + len(schema.numeric),
            hidden_dims,
            activation=activation,
            dropout=dropout,
            out_dim=1,
        )

    @property
    def output_biases(self):
        return self.fm.output_biases

    def forward(self, batch: Batch) -> Tensor:
        theta, features = self.fm.look_up(batch)
        y_fm = self.fm.equation_5(batch, theta, features)  # (B,)
        a_0 = self._fields(batch, theta[:, :-1], features)  # (B, F k + n_numeric)
        return y_fm + self.deep(a_0).squeeze(1)  # (B,)

    def _fields(self, batch: Batch, v: Tensor, features: list[Lists]) -> Tensor:
        """Equation 3: the embedding of each field, of a list its mean, then the numbers."""
        v = v.contiguous()
        lists = features
        parts = []
        if batch.sparse is None:
            ids, *lists = features
            parts.append(take_entries(v, ids.values).reshape(len(batch), -1))
        parts += [sparse_matmul(v, part.values, part.offsets, part.x) for part in lists]
        return torch.cat([*parts, batch.numeric], 1)


@shared_docs
class DeepFMClassifier(BaseRanker):
    """Click probability from a factorisation machine and a deep network on the same vectors.

    The log odds are those of :class:`FMClassifier` plus the output of a multi-layer perceptron
    that sees the vectors of all columns side by side: products of pairs without having to learn
    them, and whatever else the columns have in common.

    Parameters
    ----------
    %(embedding_dim)s
    %(hidden_dims)s
    %(activation)s
    %(dropout)s
    %(categorical_features)s
    %(share_vocabulary)s
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
    FMClassifier : The same without the deep part: faster, and often as good on few rows.
    DINClassifier : Looks at a history from the candidate's point of view.

    Notes
    -----
    A list is one field: the mean of its vectors. A scipy matrix is one field as well, the sum of
    its columns' vectors times their values.

    References
    ----------
    Guo, Tang, Ye, Li, He (2017), "DeepFM: A Factorization-Machine based Neural Network for CTR
    Prediction", IJCAI.

    Examples
    --------
    >>> from sk_adrec import DeepFMClassifier
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = DeepFMClassifier(share_vocabulary={"hist_item_id": "item_id"}, random_state=0)
    >>> model.fit(log.data[:1500], log.target[:1500]).predict_proba(log.data[1500:]).shape
    (500, 2)
    """

    def __init__(
        self,
        embedding_dim=16,
        *,
        hidden_dims=(256, 128),
        activation="relu",
        dropout=0.0,
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

    def _check_params(self):
        super()._check_params()
        check_number("embedding_dim", self.embedding_dim, 1, integer=True)
        check_dims("hidden_dims", self.hidden_dims)
        check_choice("activation", self.activation, ACTIVATIONS)
        check_number("dropout", self.dropout, 0, 1)

    def _build_module(self, schema):
        return DeepFM(schema, self.embedding_dim, self.hidden_dims, self.activation, self.dropout)

    def _embedding_part(self, rows):
        return rows[:, :-1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
