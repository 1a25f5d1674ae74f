"""What two towers learn by: each positive against other items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...losses import InBatchSoftmaxLoss, LogLoss, PairwiseLoss, SampledSoftmaxLoss, SoftmaxLoss
from ...nn.batch import Lists
from ...nn.sparse import rows_of_entries
from ...samplers import log_expected_counts, uniform_negatives
from .module import Split, TwoTowers
from .rows import ITEM, POSITIVE, USER


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
    held_out_weight : float
        What the held-out items of a user weigh on average, where the rows are users.
    dtype : {"float32", "float64"}
    """

    reads = ("weight", "module")
    bias: Any
    user_share: Tensor
    item_share: Tensor
    drawable: Tensor
    place: Tensor

    def __init__(
        self,
        settings: LossSettings,
        user_share: np.ndarray,
        item_share: np.ndarray,
        held_out_weight: float,
        dtype: str,
    ):
        super().__init__()
        self.settings, self.held_out_weight = settings, held_out_weight
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

    def forward(
        self, output: Tensor | Split, y: Tensor, *, weight: Tensor, module: TwoTowers
    ) -> Tensor:
        """Loss of each row, shape (B,).

        Parameters
        ----------
        output : Tensor of shape (B, 2 d), or Split
            Of :class:`TwoTowers`.
        y : Tensor of shape (B, 3), int64
            Columns `USER`, `ITEM` and `POSITIVE`; numbers below 0 are unknown.
        weight : Tensor of shape (B,)
        module : TwoTowers
            Which made the output: has the vectors of other items.
        """
        if isinstance(output, Split):
            return self._of_users(output, module)
        u, v = output.chunk(2, 1)
        u = u / self.settings.temperature
        if self.settings.own_negatives:
            return LogLoss()((u * v).sum(1) + self.bias, y[:, POSITIVE].to(u.dtype))
        # Other losses compare positives: of known items, whose frequency is known.
        rows = ((y[:, POSITIVE] == 1) & (y[:, ITEM] >= 0) & (y[:, USER] >= 0)).nonzero().squeeze(1)
        if len(rows) < len(y):
            u, v, y, weight = u[rows], v[rows], y[rows], weight[rows]
            loss = self._of_positives(u, v, y, weight, module)
            return loss.new_zeros(len(output)).index_copy(0, rows, loss)
        return self._of_positives(u, v, y, weight, module)

    def _of_positives(self, u, v, y, weight, module):
        settings, item = self.settings, y[:, ITEM]
        if settings.loss == "softmax":
            seen = (self.item_share[item] > 0).to(u.dtype)
            v = module.log_vectors().index_select(0, self.drawable)
            return SoftmaxLoss()(u, v, self.place[item]) * seen
        place = uniform_negatives(len(self.drawable), (settings.n_negatives,), u.device)
        drawn = self.drawable[place]
        others = module.log_vectors(drawn) if len(drawn) else v[:0]
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

    def _of_users(self, output: Split, module: TwoTowers) -> Tensor:
        """Sums over users' held-out items, against those that the user has not had."""
        u, v, kept, held_out = output
        u, values = u / self.settings.temperature, held_out.values.long()
        row = rows_of_entries(held_out.offsets)
        if self.settings.loss == "softmax":
            z = u @ v.T  # (B, n_items)
            out = (self.item_share == 0).repeat(len(u), 1)
            out[rows_of_entries(kept.offsets), kept.values.long()] = True
            z = z.masked_fill(out, -torch.inf)
            each = z.logsumexp(1)[row] - z[row, values]
        else:
            place = uniform_negatives(len(self.drawable), (self.settings.n_negatives,), u.device)
            drawn = self.drawable[place]
            had = _among(drawn, kept, held_out, len(self.item_share))
            z = (u @ module.log_vectors(drawn).T).masked_fill(had, -torch.inf)
            z_y = (u[row] * v).sum(1)
            each = torch.logaddexp(z.logsumexp(1)[row], z_y) - z_y
        assert held_out.x is not None
        each = each * held_out.x / self.held_out_weight
        return each.new_zeros(len(u)).index_add_(0, row, each)

    def _log_q(self, share, n, ids, B, R):
        if not self.settings.logq_correction:
            return share.new_zeros(len(ids))
        # A held-out row may be of one that no training row has.
        return log_expected_counts(share[ids].clamp(min=share[share > 0].min()), n, B, R)


def _mean_where(values: Tensor, keep: Tensor) -> Tensor:
    """Means of the kept entries of each row, shape (B,); 0 where there is none."""
    return (values * keep).sum(1) / keep.sum(1).clamp(min=1)


def _among(drawn: Tensor, kept: Lists, held_out: Lists, n_items: int) -> Tensor:
    """Which of the drawn items each user has had, shape (B, R), bool."""
    own = [rows_of_entries(one.offsets) * n_items + one.values.long() for one in (kept, held_out)]
    pairs = torch.arange(len(kept.lengths), device=drawn.device)[:, None] * n_items + drawn
    return torch.isin(pairs, torch.cat(own))
