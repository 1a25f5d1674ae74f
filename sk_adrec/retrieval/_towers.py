"""The two towers as a torch module, and the loss that they learn by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..losses import InBatchSoftmaxLoss, LogLoss, PairwiseLoss, SampledSoftmaxLoss, SoftmaxLoss
from ..nn import MLP, Batch, FieldInputs, FusedEmbedding
from ..preprocessing._encoded import Encoded, Schema
from ..samplers import log_expected_counts, uniform_negatives

# Least length of a vector that is normalised.
_NORM_EPS = 1e-6
# Initial embeddings: their cosines differ from the start, and still move fast.
_STD = 0.1

#: Columns of an encoded target: numbers of the user and of the item, and whether it is positive.
USER, ITEM, POSITIVE = 0, 1, 2

P = TypeVar("P", Encoded, Batch)


@dataclass(frozen=True)
class Side:
    """The columns of an encoded log that one of the towers reads.

    Parameters
    ----------
    numeric, categorical : list of int
        Positions in ``Encoded.numeric`` and ``Encoded.categorical``.
    sequences : list of str
    """

    numeric: list[int]
    categorical: list[int]
    sequences: list[Any]

    @classmethod
    def of(cls, schema: Schema, features: Sequence[str]) -> Side:
        """The side of some columns."""
        names = {*features, *(f"{name}_missing" for name in features)}
        return cls(
            [k for k, name in enumerate(schema.numeric) if name in names],
            [k for k, name in enumerate(schema.categorical) if name in features],
            [name for name in schema.sequences if name in features],
        )

    def schema(self, schema: Schema) -> Schema:
        """The part of a schema; vocabularies stay, since the sides may share them."""
        columns = list(schema.categorical.items())
        return replace(
            schema,
            numeric=tuple(schema.numeric[k] for k in self.numeric),
            categorical=dict(columns[k] for k in self.categorical),
            sequences={name: schema.sequences[name] for name in self.sequences},
        )

    def part(self, rows: P) -> P:
        """The side's columns of encoded rows or of a batch."""
        return replace(
            rows,
            numeric=rows.numeric[:, self.numeric],
            categorical=rows.categorical[:, self.categorical],
            sequences={name: rows.sequences[name] for name in self.sequences},
        )


class Tower(nn.Module):
    """A vector from one side's columns: the sum of their embeddings plus, if deep, an MLP's.

    NOTE[DIFF]: a tower of DSSM is the MLP alone. The sum, as in LightFM (Kula 2015), makes an id
    learn fast and leaves a row with an unknown id the vectors of its attributes.

    Parameters
    ----------
    schema : Schema
        The side's columns.
    table : FusedEmbedding
        Of both towers.
    hidden_dims : sequence of int
        None makes the tower a sum.
    activation : str
    dropout : float
    """

    def __init__(self, schema: Schema, table: FusedEmbedding, hidden_dims, activation, dropout):
        super().__init__()
        self.inputs = FieldInputs(schema, table.d, table=table)
        self.numbers = nn.Linear(len(schema.numeric), table.d) if schema.numeric else None
        self.deep = None
        if hidden_dims:
            self.deep = MLP(
                self.inputs.out_dim,
                hidden_dims,
                activation=activation,
                dropout=dropout,
                out_dim=table.d,
            )

    def forward(self, batch: Batch) -> Tensor:
        theta, places = self.inputs.look_up(batch)
        fields = self.inputs.embed(batch, theta, places)  # (B, F, d)
        out = fields.sum(1)  # (B, d)
        if self.numbers is not None:
            out = out + self.numbers(batch.numeric)
        if self.deep is not None:
            out = out + self.deep(torch.cat([fields.flatten(1), batch.numeric], 1))
        return out


class TwoTowers(nn.Module):
    """Vectors u of users and v of items, side by side: (B, 2 d).

    Parameters
    ----------
    schema : Schema
        Of the whole log.
    user, item : Side
    d : int
    normalize : bool
        Vectors of length 1: products are cosines.
    **tower
        Of :class:`Tower`.
    """

    def __init__(self, schema: Schema, user: Side, item: Side, d: int, normalize: bool, **tower):
        super().__init__()
        self.user, self.item, self.normalize = user, item, normalize
        table = FusedEmbedding(schema.cardinalities, d, std=_STD)
        self.user_tower = Tower(user.schema(schema), table, **tower)
        self.item_tower = Tower(item.schema(schema), table, **tower)

    def users(self, batch: Batch) -> Tensor:
        """Vectors of users, shape (B, d), from a batch of the user's columns."""
        return self._finish(self.user_tower(batch))

    def items(self, batch: Batch) -> Tensor:
        """Vectors of items, shape (B, d), from a batch of the item's columns."""
        return self._finish(self.item_tower(batch))

    def forward(self, batch: Batch) -> Tensor:
        u, v = self.users(self.user.part(batch)), self.items(self.item.part(batch))
        return torch.cat([u, v], 1)  # (B, 2 d)

    def _finish(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1, eps=_NORM_EPS) if self.normalize else x


@dataclass(frozen=True)
class LossSettings:
    """Hyper-parameters of :class:`TwoTowerLoss`; see the estimator."""

    loss: str
    temperature: float
    n_negatives: int
    symmetric: bool
    logq_correction: bool
    own_negatives: bool


class TwoTowerLoss(nn.Module):
    """The loss of each row from the two vectors of all rows of a batch.

    Parameters
    ----------
    settings : LossSettings
    user_share, item_share : ndarray of shape (n_users,) and (n_items,)
        Share of each in the weight of the positive training rows.
    items : callable
        ``items(numbers) -> Tensor (n, d)``: vectors of items of the catalogue.
    dtype : {"float32", "float64"}
    """

    compares_rows = True
    user_share: Tensor
    item_share: Tensor
    drawable: Tensor
    place: Tensor

    def __init__(
        self,
        settings: LossSettings,
        user_share: np.ndarray,
        item_share: np.ndarray,
        items: Callable[[Tensor], Tensor],
        dtype: str,
    ):
        super().__init__()
        self.settings, self.items = settings, items
        self.register_buffer("user_share", torch.from_numpy(user_share.astype(dtype)))
        self.register_buffer("item_share", torch.from_numpy(item_share.astype(dtype)))
        # Items without a training row would all train the vector of unknown ids.
        drawable = np.flatnonzero(item_share > 0)
        place = np.zeros(len(item_share), dtype=np.int64)
        place[drawable] = np.arange(len(drawable))
        self.register_buffer("drawable", torch.from_numpy(drawable))
        self.register_buffer("place", torch.from_numpy(place))
        self.in_batch = InBatchSoftmaxLoss()
        # Cosines alone could not say how rare positives are.
        self.bias = (
            nn.Parameter(torch.zeros((), dtype=getattr(torch, dtype)))
            if settings.loss == "log_loss"
            else None
        )

    def forward(self, output: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        """Loss of each row, shape (B,).

        Parameters
        ----------
        output : Tensor of shape (B, 2 d)
            Of :class:`TwoTowers`.
        y : Tensor of shape (B, 3), int64
            Columns `USER`, `ITEM` and `POSITIVE`; numbers below 0 are unknown.
        weight : Tensor of shape (B,)
        """
        u, v = output.chunk(2, 1)
        u = u / self.settings.temperature
        if self.settings.own_negatives:
            return LogLoss()((u * v).sum(1) + self.bias, y[:, POSITIVE].to(u.dtype))
        # Other losses compare positives: of known items, whose frequency is known.
        rows = ((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0) & (y[:, USER] >= 0)).nonzero().squeeze(1)
        if len(rows) < len(y):
            u, v, y, weight = u[rows], v[rows], y[rows], weight[rows]
            loss = self._of_positives(u, v, y, weight)
            return loss.new_zeros(len(output)).index_copy(0, rows, loss)
        return self._of_positives(u, v, y, weight)

    def _of_positives(self, u, v, y, weight):
        settings, item = self.settings, y[:, ITEM]
        if settings.loss == "softmax":
            seen = (self.item_share[item] > 0).to(u.dtype)
            return SoftmaxLoss()(u, self.items(self.drawable), self.place[item]) * seen
        place = uniform_negatives(len(self.drawable), (settings.n_negatives,), u.device)
        drawn = self.drawable[place]
        others = self.items(drawn) if len(drawn) else v[:0]
        if settings.loss == "in_batch":
            return self._in_batch(u, v, y, weight, others, drawn)
        if settings.loss == "sampled_softmax":
            return SampledSoftmaxLoss()(u, v, others, item, drawn)
        z_y, z = (u * v).sum(1), u @ others.T  # (B,), (B, R)
        hit = drawn == item[:, None]
        if settings.loss == "bpr":
            return PairwiseLoss()(z_y, z, hit)
        return F.softplus(-(z_y + self.bias)) + _mean_where(F.softplus(z + self.bias), ~hit)

    def _in_batch(self, u, v, y, weight, others, drawn):
        user, item = y[:, USER], y[:, ITEM]
        R, log_weight = len(drawn), weight.log()
        ids, vectors = torch.cat([item, drawn]), torch.cat([v, others])
        log_weights = torch.cat([log_weight, log_weight.new_zeros(R)])
        log_q = self._log_q(self.item_share, len(self.drawable), ids, len(u), R)
        loss = self.in_batch(u, vectors, ids, log_weights - log_q)
        if self.settings.symmetric:
            log_q = self._log_q(self.user_share, len(self.user_share), user, len(u), 0)
            loss = (loss + self.in_batch(v, u, user, log_weight - log_q)) / 2
        return loss

    def _log_q(self, share, n, ids, B, R):
        if not self.settings.logq_correction:
            return share.new_zeros(len(ids))
        # A held-out row may be of one that no training row has.
        return log_expected_counts(share[ids].clamp(min=share[share > 0].min()), n, B, R)


def _mean_where(values: Tensor, keep: Tensor) -> Tensor:
    """Means of the kept entries of each row, shape (B,); 0 where there is none."""
    return (values * keep).sum(1) / keep.sum(1).clamp(min=1)
