"""DCN V2 (Wang, Shivanna, Cheng, Jain, Lin, Hong & Chi, "DCN V2: Improved Deep & Cross Network and
Practical Lessons for Web-scale Learning to Rank Systems", WWW 2021)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from .._hyperparameters import (
    KW_ONLY,
    Activation,
    Count,
    CountOrNone,
    Share,
    Widths,
    hyperparameters,
    one_of,
)
from ..nn import MLP, Batch, CrossLayer, FieldInputs, LogOdds
from ..preprocessing._encoded import Schema
from ._base import BaseRanker

# Products of vectors as small as FM's are too small to learn from.
_INIT_STD = 0.05


class DCNv2(nn.Module):
    """Figure 1 of the paper: cross layers, then a deep network on them (stacked) or beside them.

    NOTE[DIFF]: numbers enter as they are, next to the embeddings; the paper's data have none.
    """

    def __init__(
        self, schema: Schema, d, n_cross_layers, rank, structure, hidden_dims, activation, dropout
    ):
        super().__init__()
        self.inputs = FieldInputs(schema, d, std=_INIT_STD)
        D = self.inputs.out_dim
        self.cross = nn.ModuleList(CrossLayer(D, rank) for _ in range(n_cross_layers))
        self.deep = MLP(D, hidden_dims, activation=activation, dropout=dropout)
        self.stacked = structure == "stacked"
        self.head = LogOdds(self.deep.out_dim + (0 if self.stacked else D), schema.prior)

    @property
    def output_biases(self):
        return (self.head.bias,)

    def forward(self, batch: Batch) -> Tensor:
        x = x_0 = self.inputs(batch)  # (B, D)
        for layer in self.cross:
            x = layer(x_0, x)  # (B, D)
        h = self.deep(x) if self.stacked else torch.cat([x, self.deep(x_0)], 1)
        return self.head(h).squeeze(1)  # (B,)


@hyperparameters
class DCNv2Classifier(BaseRanker):
    """Click probability from explicit products of all columns, layer by layer, and a deep network.

    Each cross layer multiplies what came before by a linear map of all columns, element by element:
    l layers hold products of up to l + 1 columns, with weights that a multi-layer perceptron would
    have to find from sums.

    Parameters
    ----------
    n_cross_layers
        Layers of products. Rarely more than 4.
    rank
        Rank of a layer's matrix of weights; None is full. Set a quarter of the width of the input
        (columns times `embedding_dim`) or less where that is wide: faster, and often as good.
    structure
        Whether the deep network reads the columns, and works beside the products, or reads the
        products. The paper finds no constant winner: try both.

    See Also
    --------
    DeepFMClassifier : Products of pairs only, without weights: faster.

    Notes
    -----
    A list is one field: the mean of its vectors.

    References
    ----------
    Wang, Shivanna, Cheng, Jain, Lin, Hong, Chi (2021), "DCN V2: Improved Deep & Cross Network and
    Practical Lessons for Web-scale Learning to Rank Systems", WWW.

    Examples
    --------
    >>> from sk_adrec import DCNv2Classifier
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = DCNv2Classifier(share_vocabulary={"hist_item_id": "item_id"}, random_state=0)
    >>> model.fit(log.data[:1500], log.target[:1500]).predict_proba(log.data[1500:]).shape
    (500, 2)
    """

    embedding_dim: Count = 16
    _: KW_ONLY
    n_cross_layers: Count = 3
    rank: CountOrNone = None
    structure: Annotated[str, one_of("parallel", "stacked")] = "parallel"
    hidden_dims: Widths = (256, 128)
    activation: Activation = "relu"
    dropout: Share = 0.0

    def _build_module(self, schema):
        return DCNv2(
            schema, self.embedding_dim, self.n_cross_layers, self.rank, self.structure,
            self.hidden_dims, self.activation, self.dropout,
        )  # fmt: skip
