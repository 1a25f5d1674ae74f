"""DeepFM (Guo, Tang, Ye, Li & He, "DeepFM: A Factorization-Machine based Neural Network for CTR
Prediction", IJCAI 2017)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._hyperparameters import KW_ONLY, Activation, Count, Share, Widths, hyperparameters
from ..nn import MLP, Batch, Lists, sparse_matmul, take_entries
from ..preprocessing._encoded import Schema
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


@hyperparameters
class DeepFMClassifier(BaseRanker):
    """Click probability from a factorisation machine and a deep network on the same vectors.

    The log odds are those of :class:`FMClassifier` plus the output of a multi-layer perceptron
    that sees the vectors of all columns side by side: products of pairs without having to learn
    them, and whatever else the columns have in common.

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

    embedding_dim: Count = 16
    _: KW_ONLY
    hidden_dims: Widths = (256, 128)
    activation: Activation = "relu"
    dropout: Share = 0.0

    _takes_sparse = True

    def _build_module(self, schema):
        return DeepFM(schema, self.embedding_dim, self.hidden_dims, self.activation, self.dropout)
