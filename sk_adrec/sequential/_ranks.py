"""Places of items in a ranking of the whole catalogue, and its top."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Place of what is not ranked: beyond the k of any list, also where the catalogue is shorter.
OUT = 2**31


def exclude(scores: Tensor, codes: Tensor, offsets: Tensor) -> None:
    """Set the scores (n, n_items) of each row's listed items to -inf, in place.

    Parameters
    ----------
    scores : Tensor of shape (n, n_items)
    codes : Tensor of shape (m,), integer
        Positions of items, row after row; negative ones are none.
    offsets : Tensor of shape (n + 1,), int64
    """
    rows = torch.repeat_interleave(torch.arange(len(scores), device=scores.device), offsets.diff())
    known = codes >= 0
    scores[rows[known], codes[known].long()] = -torch.inf


def places(scores: Tensor, y: Tensor) -> Tensor:
    """1-based place of item y (n,) in each row of scores (n, n_items).

    Of equal scores the item of the smaller position comes first, as in :func:`top`. A y below 0
    is no item, and an item of score -inf is out: their place is ``OUT``.
    """
    n_items = scores.shape[1]
    own = scores.gather(1, y.clamp(min=0)[:, None])  # (n, 1)
    place = 1 + _count(scores > own)
    ranked = own.squeeze(1) > -torch.inf
    tied = ((_count(scores >= own) > place) & ranked).nonzero().squeeze(1)
    before = torch.arange(n_items, device=scores.device) < y[tied, None]
    place[tied] += _count((scores[tied] == own[tied]) & before)
    return place.where((y >= 0) & ranked, OUT)


def _count(mask: Tensor) -> Tensor:
    """True entries of each row of a mask (n, m), shape (n,), int64."""
    if mask.device.type != "cpu":
        return mask.sum(1)
    # Several times faster than torch's sum of a mask.
    return torch.from_numpy(np.count_nonzero(mask.numpy(), axis=1))


def top(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best scores of each row and their positions, both (n, k), k <= n_items.

    Sorted; of equal scores the smaller position comes first, also across the k-th place.
    """
    values, index = scores.topk(k, dim=1)
    least = values[:, -1:]
    # Which of several items that share the k-th score topk returns is not specified.
    shared = (_count(scores >= least) > k) & (least.squeeze(1) > -torch.inf)
    for row in shared.nonzero().squeeze(1).tolist():
        better = (scores[row] > least[row]).nonzero().squeeze(1)
        equal = (scores[row] == least[row]).nonzero().squeeze(1)
        index[row] = torch.cat([better, equal])[:k]
    index = index.sort(1).values
    values = scores.gather(1, index)
    order = values.argsort(dim=1, descending=True, stable=True)
    return values.gather(1, order), index.gather(1, order)
