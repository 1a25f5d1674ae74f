"""HSTU (Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers
for Generative Recommendations", ICML 2024, arXiv 2402.17152)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._hyperparameters import KW_ONLY, hyperparameters
from ..nn import PackedLists
from ..nn.hstu import RelativeBias, time_buckets
from ._base import BaseNextItem
from ._network import NextItemNetwork

# Of the reference code's layer norms, and its initial projection.
_EPS, _STD = 1e-6, 0.02


class HSTUBlock(nn.Module):
    """Equations 1 to 3 of the paper.

    U, V, Q, K = SiLU(f1(LN(X))); A V = SiLU(Q K^T + rab) V / n; Y = f2(LN(A V) * U) + X.
    No softmax: what an event adds does not shrink with the number of others. Layer norms have no
    weights of their own, as in the reference code.

    Parameters
    ----------
    d : int
    n_heads : int
        Each with queries, keys and values of width ``d // n_heads``.
    max_len : int
        n of equation 2: constant, so that a row does not depend on its batch.

        NOTE[DIFF]: in the reference code n also counts the events that may be predicted.
    dropout : float
    with_time : bool
    """

    def __init__(self, d: int, n_heads: int, max_len: int, dropout: float, with_time: bool):
        super().__init__()
        self.h, self.n, self.dropout = n_heads, max_len, dropout
        self.f1 = nn.Parameter(torch.randn(d, 4 * d) * _STD)
        self.f2 = nn.Linear(d, d)
        nn.init.xavier_uniform_(self.f2.weight)
        # NOTE[DIFF]: torch's random bias in the reference code; zero adds nothing to x at first.
        nn.init.zeros_(self.f2.bias)
        self.rab = RelativeBias(max_len, with_time)

    def forward(self, x: Tensor, packed: PackedLists, buckets: list[Tensor] | None) -> Tensor:
        d = x.shape[1]
        u, vqk = F.silu(F.layer_norm(x, (d,), eps=_EPS) @ self.f1).split([d, 3 * d], 1)
        rab = self.rab.offsets(max((T for _, T in packed.shapes), default=0))  # (T, T)
        av = [x.new_zeros(0, d)]
        for k, block in enumerate(packed.blocks(vqk)):
            T = block.shape[1]
            bias = self.rab.add_time(rab[:T, :T], None if buckets is None else buckets[k])
            av.append(self._attend(block, bias).flatten(0, 1))
        y = u * F.layer_norm(torch.cat(av), (d,), eps=_EPS)  # (N, d)
        return self.f2(F.dropout(y, self.dropout, self.training)) + x  # (N, d)

    def _attend(self, vqk: Tensor, bias: Tensor) -> Tensor:
        """A(X) V(X) of one block of rows, shape (B, T, d), for vqk (B, T, 3 d)."""
        B, T, d3 = vqk.shape
        # Heads as further rows (B h, T, d / h).
        v, q, k = vqk.reshape(B, T, 3, self.h, -1).permute(2, 0, 3, 1, 4).flatten(1, 2)
        if bias.ndim == 3:
            bias = bias.repeat_interleave(self.h, 0)
        a = F.silu(torch.baddbmm(bias, q, k.transpose(1, 2)))  # (B h, T, T)
        # Multiplied by the mask after SiLU: a mask of -inf before it would give NaN.
        av = a.tril_() @ (v / self.n)
        return av.unflatten(0, (B, self.h)).transpose(1, 2).reshape(B, T, d3 // 3)


class TimeContext(nn.Module):
    """Buckets of time differences of each block of rows: computed once, used by all layers.

    NOTE[DIFF]: where the time of the request is not known, an event's age is that at the latest
    event, not at the one that is predicted.
    """

    def forward(self, packed: PackedLists, times: Tensor) -> list[Tensor]:
        return [time_buckets(x[..., 1], x[..., 0]) for x in packed.blocks(packed.pack(times))]


@hyperparameters
class HSTUNextItem(BaseNextItem):
    """Next item from a history by hierarchical sequential transduction units (HSTU).

    A decoder over the events of a history: pointwise attention without softmax, biased by how long
    ago an event was, in events and in seconds, and a gate in place of a feed-forward part.

    Parameters
    ----------
    history_time : str
        The list column of the events' times (seconds or datetime64), as long as the history. Adds
        a bias per bucket of time differences. Set it where a log has times.
    request_time : str
        The column of the times at which predictions are asked for, of the kind of `history_time`.
        With it an event is biased by its age at the next event, as in the paper; without, by its
        age at the latest event. Set it only where the time of the request is known at prediction
        too.

    See Also
    --------
    SASRecNextItem : The same with softmax attention, the baseline that the paper compares with.
    sk_adrec.sequential.leave_last_out : Rows for training, validation and test from a log.

    Notes
    -----
    The layer, the input, the cosines over 0.05 and the defaults are those of the paper's public
    experiments (meta-recsys/generative-recommenders). Differences:

    - The full softmax for catalogues up to 20,000 items, in place of 128 negatives per position;
      above, draws that all positions of a batch share (see `negatives`).
    - No bias by time unless `history_time` is given; without `request_time` differences are to the
      latest event, not to the one that is predicted.
    - A learned state before the first event, which is a target as well.
    - ``id_dropout``: items are shown as unknown now and then, so that unknown ones mean something.
    - Adam moves only the items that a batch uses, and has betas .9 and .999; there .9 and .98,
      which is ``net_params={"optimizer__betas": (0.9, 0.98)}``.
    - n of equation 2 is `max_len`; there it also counts the events that may be predicted.
    - The outputs' bias f2 starts at zero. Further fields of events are added to the item's
      embedding.

    RecTools' HSTU has weights in its layer norms; this one, as the paper's, has none.

    Sizes of batches do not matter for predictions, nor how lists are padded.

    References
    ----------
    Zhai et al. (2024), "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers
    for Generative Recommendations", ICML.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import HSTUNextItem
    >>> X = pd.DataFrame({"hist_item_id": [["a", "b"], ["b", "c"], ["c"], ["a"]] * 8})
    >>> model = HSTUNextItem(embedding_dim=8, lr=0.03, dropout=0.0, random_state=0)
    >>> model.fit(X, ["c", "a", "a", "b"] * 8).predict(X[:4])
    array(['c', 'a', 'a', 'b'], dtype=object)
    >>> ids, scores = model.recommend(X[:2], k=2)
    >>> ids
    array([['c', None],
           ['a', None]], dtype=object)
    """

    _: KW_ONLY
    history_time: Any = None
    request_time: Any = None

    def _build_network(self, schema, settings):
        with_time = self._roles.history_time is not None
        blocks = [
            HSTUBlock(settings.d, self.n_heads, settings.max_len, settings.dropout, with_time)
            for _ in range(self.n_blocks)
        ]
        return NextItemNetwork(schema, settings, blocks, TimeContext() if with_time else None)
