"""SASRec (Kang, McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv
1808.09781)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._hyperparameters import hyperparameters
from ..nn import PackedLists
from ._base import BaseNextItem
from ._network import NextItemNetwork


class SASRecBlock(nn.Module):
    """Section 3.2 of the paper: x + Dropout(g(LayerNorm(x))), g attention, then feed-forward.

    S = softmax(Q K^T / sqrt(d / h)) V, where an event sees itself and earlier ones.

    NOTE[DIFF]: no dropout on the weights of the attention, which would keep torch from its fused
    kernel; the outputs of both parts have dropout, as in the paper.

    Parameters
    ----------
    d : int
    n_heads : int
    dropout : float
    """

    def __init__(self, d: int, n_heads: int, dropout: float):
        super().__init__()
        self.h, self.dropout = n_heads, dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.w1, self.w2 = nn.Linear(d, d), nn.Linear(d, d)

    def forward(self, x: Tensor, packed: PackedLists, context: None) -> Tensor:
        qkv = self.qkv(self.norm_attention(x))  # (N, 3 d)
        parts = [self._attend(block).flatten(0, 1) for block in packed.blocks(qkv)]
        s = torch.cat([x.new_zeros(0, x.shape[1]), *parts])  # (N, d)
        x = x + self._drop(self.out(s))
        return x + self._drop(self.w2(F.relu(self.w1(self.norm_forward(x)))))  # (N, d)

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attention within each row of a block, (B, T, 3 d) -> (B, T, d)."""
        B, T, _ = qkv.shape
        q, k, v = qkv.reshape(B, T, 3, self.h, -1).permute(2, 0, 3, 1, 4)  # (B, h, T, d / h)
        s = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return s.transpose(1, 2).reshape(B, T, -1)

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


@hyperparameters
class SASRecNextItem(BaseNextItem):
    """Next item from a history by self-attention (SASRec).

    A transformer decoder over the events of a history: softmax attention and a feed-forward part
    per layer. The usual baseline for sequences.

    See Also
    --------
    HSTUNextItem : The same with pointwise attention, which can also use times.
    sk_adrec.sequential.leave_last_out : Rows for training, validation and test from a log.

    Notes
    -----
    Differences from the paper: the loss is a softmax over the catalogue, which Klenitskiy and
    Vasilev found much better than the paper's binary cross-entropy with one negative, on cosines
    (see `normalize`); a learned state before the first event; further fields of events are added
    to the item's embedding.

    References
    ----------
    Kang, McAuley (2018), "Self-Attentive Sequential Recommendation", ICDM.

    Klenitskiy, Vasilev (2023), "Turning Dross Into Gold Loss: is BERT4Rec really better than
    SASRec?", RecSys.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import SASRecNextItem
    >>> X = pd.DataFrame({"hist_item_id": [["a", "b"], ["b", "c"], ["c"], ["a"]] * 8})
    >>> model = SASRecNextItem(embedding_dim=8, lr=0.03, dropout=0.0, random_state=0)
    >>> model.fit(X, ["c", "a", "a", "b"] * 8).predict(X[:4])
    array(['c', 'a', 'a', 'b'], dtype=object)
    >>> ids, scores = model.recommend(X[:2], k=2)
    >>> ids
    array([['c', None],
           ['a', None]], dtype=object)
    """

    def _build_network(self, schema, settings):
        blocks = [
            SASRecBlock(settings.d, self.n_heads, settings.dropout) for _ in range(self.n_blocks)
        ]
        return NextItemNetwork(schema, settings, blocks, norm=nn.LayerNorm(settings.d))
