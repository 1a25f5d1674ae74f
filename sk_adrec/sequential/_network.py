"""What next-item networks share: events in, a state per event, items scored against states."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import SampledSoftmaxLoss, SoftmaxLoss
from ..nn import Batch, FusedEmbedding, PackedLists
from ..preprocessing._encoded import Schema
from ..preprocessing._vocabulary import FIRST_KNOWN
from ..samplers import uniform_negatives

# As in the reference code of Zhai et al.: initial items, and the least norm of what is normalised.
_ITEM_STD, _NORM_EPS = 0.02, 1e-6


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of the parts that all next-item networks share.

    Parameters
    ----------
    item : str
        The history column.
    event_features : tuple of str
        List columns of further fields of each event.
    d : int
        Width of embeddings and states.
    max_len : int
        Newest events of a history that are read.
    dropout : float
    normalize : bool
        Cosines instead of dot products.
    temperature : float
        Divides cosines or dot products.
    all_positions : bool
        Whether each event of a history is a target in training, or only what follows it.
    """

    item: str
    event_features: tuple[str, ...]
    d: int
    max_len: int
    dropout: float
    normalize: bool
    temperature: float
    all_positions: bool


@dataclass(frozen=True)
class Predictions:
    """What a network says in training: M states of B rows, and the item that follows each.

    Parameters
    ----------
    states : Tensor of shape (M, d)
        Scaled, so that their products with item vectors are logits.
    row : Tensor of shape (M,), int64
    code : Tensor of shape (M,), int64
        Code of the item that follows; that of the last state of each row is y's.
    last : Tensor of shape (B,), int64
        Where each row's last state is.
    """

    states: Tensor
    row: Tensor
    code: Tensor
    last: Tensor


class NextItemNetwork(nn.Module):
    """Embeddings, a stack of causal blocks, and the state after each event.

    An event is the embedding of its item, times sqrt(d), plus those of its further fields, plus
    one of its position; an item is scored by its product (or cosine) with the state.

    NOTE[DIFF]: SASRec has no further fields, and section 2.1 of HSTU's paper makes them entries of
    the series; added to the item's embedding they do not lengthen it.

    Parameters
    ----------
    schema : Schema
    settings : Settings
    blocks : list of Module
        ``block(x, packed, context) -> x``, with x of shape (N, d), see :class:`PackedLists`.
    context : Module or None
        ``context(packed, times)`` is computed once per batch, for all blocks.
    norm : Module or None
        Applied to the last block's output.
    """

    def __init__(self, schema: Schema, settings: Settings, blocks, context=None, norm=None):
        super().__init__()
        self.settings = settings
        d = settings.d
        self.table = FusedEmbedding(schema.cardinalities, d, std=_ITEM_STD)
        self.position = nn.Parameter(torch.empty(settings.max_len, d))
        nn.init.trunc_normal_(self.position, std=d**-0.5, a=-2 * d**-0.5, b=2 * d**-0.5)
        self.start = nn.Parameter(torch.randn(d) * _ITEM_STD)
        self.blocks = nn.ModuleList(blocks)
        self.context, self.norm = context, norm

    @property
    def n_items(self) -> int:
        """Known items."""
        return self.table.cardinalities[self.settings.item] - FIRST_KNOWN

    def items(self, codes: Tensor | None = None) -> Tensor:
        """Vectors of items by code, shape (\\*codes.shape, d); without codes, of all known ones."""
        name = self.settings.item
        if codes is None:
            first = self.table.offsets[name] + FIRST_KNOWN
            vectors = self.table.weight[first : first + self.n_items]
        else:
            vectors = self.table(self.table.index(name, codes))
        return F.normalize(vectors, dim=-1, eps=_NORM_EPS) if self.settings.normalize else vectors

    def forward(self, batch: Batch) -> Tensor | Predictions:
        """States after the last event (B, d) in evaluation, in training :class:`Predictions`."""
        history = batch.sequences[self.settings.item]
        # A prediction must not depend, by rounding, on the rows that it is asked for with.
        packed = PackedLists.of(history.offsets, self.settings.max_len, alike=not self.training)
        context = None if self.context is None else self.context(packed, history.x)
        x = self._events(batch, packed)  # (N, d)
        for block in self.blocks:
            x = block(x, packed, context)  # (N, d)
        if self.norm is not None:
            x = self.norm(x)
        if self.training and self.settings.all_positions:
            return self._all_positions(x, packed, history)
        states, last = self._last(x, packed, len(batch))
        if not self.training:
            return states
        rows = torch.arange(len(batch), device=x.device)
        return Predictions(states, rows, torch.zeros_like(rows), last)

    def _events(self, batch: Batch, packed: PackedLists) -> Tensor:
        rows = [
            self.table.index(name, packed.pack(batch.sequences[name].values))
            for name in (self.settings.item, *self.settings.event_features)
        ]
        x = self.table(torch.stack(rows)).sum(0)  # (N, d)
        step = packed.pack_steps()
        x = x * math.sqrt(self.settings.d) + self.position[step]
        return F.dropout(x, self.settings.dropout, self.training)

    def _scaled(self, x: Tensor) -> Tensor:
        if self.settings.normalize:
            x = F.normalize(x, dim=-1, eps=_NORM_EPS)
        return x / self.settings.temperature

    def _last(self, x: Tensor, packed: PackedLists, B: int) -> tuple[Tensor, Tensor]:
        """The state after each row's last event, or the start where it has none."""
        rows = torch.arange(B, device=x.device)
        place = rows.new_full((B,), len(x))
        place[packed.row] = packed.place  # ascending within a row: the last one stays
        x = torch.cat([x, self.start[None]])
        return self._scaled(x[place]), rows

    def _all_positions(self, x: Tensor, packed: PackedLists, history) -> Predictions:
        """A state before the first event of each row, and one after each event.

        NOTE[DIFF]: the papers have no state before the first event. It learns what comes first,
        so that a row without history gets a prediction. Where the oldest events of a history are
        not read, it has no target: what is read begins in the middle.
        """
        lengths, m = history.offsets.diff(), len(packed.row)
        B = len(lengths)
        rows = torch.arange(B, device=x.device)
        states = self._scaled(torch.cat([x[packed.place], self.start.expand(B, -1)]))
        kept = torch.bincount(packed.row, minlength=B)
        end = kept.cumsum(0)
        codes = history.values[packed.entry].long()
        code = codes.new_zeros(m + B)
        code[: max(m - 1, 0)] = codes[1:]
        whole = (kept > 0) & (kept == lengths)
        code[m + rows[whole]] = codes[(end - kept)[whole]]
        last = torch.where(kept > 0, end - 1, m + rows)
        return Predictions(states, torch.cat([packed.row, rows]), code, last)


class NextItemLoss(nn.Module):
    """Cross-entropy of the items that follow, summed over the states of a row.

    Parameters
    ----------
    n_negatives : int or None
        Items drawn for a sampled softmax; None for the full one.
    shared : bool
        Draw once for all states of a batch, or for each of them.
    states_per_row : float
        Divides the sums, so that their mean over the training rows is a mean over states, and
        each state counts alike, whatever batch it is in.
    """

    reads = ("module",)

    def __init__(self, n_negatives, shared, states_per_row):
        super().__init__()
        self.n_negatives, self.shared = n_negatives, shared
        self.states_per_row = states_per_row

    def forward(self, output: Tensor | Predictions, y: Tensor, module: NextItemNetwork) -> Tensor:
        """Loss of each row, shape (B,), for y of codes: rows with an unknown y lose nothing."""
        if isinstance(output, Tensor):
            return self._evaluate(output, y, module)
        code = output.code.index_copy(0, output.last, y)
        known = (code >= FIRST_KNOWN).nonzero().squeeze(1)
        u, code = output.states[known], code[known]
        if self.n_negatives is None:
            loss = SoftmaxLoss()(u, module.items(), code - FIRST_KNOWN)
        else:
            size = (self.n_negatives,) if self.shared else (len(u), self.n_negatives)
            drawn = FIRST_KNOWN + uniform_negatives(module.n_items, size, u.device)
            items = module.items
            loss = SampledSoftmaxLoss()(u, items(code), items(drawn), code, drawn)
        total = loss.new_zeros(len(y)).index_add(0, output.row[known], loss)
        return total / self.states_per_row

    def _evaluate(self, states: Tensor, y: Tensor, module: NextItemNetwork) -> Tensor:
        known = y >= FIRST_KNOWN
        loss = states.new_zeros(len(y))
        loss[known] = SoftmaxLoss()(states[known], module.items(), y[known] - FIRST_KNOWN)
        return loss
