"""Relative biases of HSTU's attention, whose gradients cost no scatter over B x T x T."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

# Initial biases, and the width of a time bucket in natural logarithms, as in the reference code.
_BIAS_STD, _LOG_WIDTH = 0.02, 0.301
#: Log-buckets of time differences: e^(128 * 0.301) seconds is beyond all time.
N_TIME_BUCKETS = 128


def time_buckets(asked: Tensor, t: Tensor) -> Tensor:
    """Logarithmic buckets of the seconds from events to predictions, shape (..., T, T), int64.

    Parameters
    ----------
    asked : Tensor of shape (..., T)
        When the prediction after each event is asked for, in seconds.
    t : Tensor of shape (..., T)
        When each event happened. NaN, an unknown time, counts as no difference.

    Notes
    -----
    NOTE[DIFF]: the reference code has no unknown times.
    """
    seconds = (asked[..., :, None] - t[..., None, :]).abs().nan_to_num(0.0)
    return (seconds.clamp(min=1.0).log() / _LOG_WIDTH).long().clamp(max=N_TIME_BUCKETS)


class _Lookup(Function):
    """``weight[buckets]``; the gradient counts into the buckets, not into a (B, T, T) scatter."""

    @staticmethod
    def forward(ctx, weight, buckets):
        ctx.save_for_backward(buckets)
        ctx.size = len(weight)
        return weight[buckets]

    @staticmethod
    def backward(ctx, grad):
        (buckets,) = ctx.saved_tensors
        counted = torch.bincount(buckets.flatten(), grad.flatten(), minlength=ctx.size)
        return counted.to(grad), None


class RelativeBias(nn.Module):
    """rab: one weight per relative offset, and one per bucket of time differences.

    Parameters
    ----------
    max_len : int
    with_time : bool
    """

    def __init__(self, max_len: int, with_time: bool):
        super().__init__()
        self.by_offset = nn.Parameter(torch.randn(max_len) * _BIAS_STD)
        by_time = nn.Parameter(torch.randn(N_TIME_BUCKETS + 1) * _BIAS_STD)
        self.by_time = by_time if with_time else None

    def offsets(self, T: int) -> Tensor:
        """Bias of query i for key j <= i, shape (T, T); computed once, sliced for each block."""
        steps = torch.arange(T, device=self.by_offset.device)
        # Further apart than the longest history are only entries that are padding.
        distance = (steps[:, None] - steps).clamp(min=0, max=len(self.by_offset) - 1)
        return self.by_offset[distance]

    def add_time(self, bias: Tensor, buckets: Tensor | None) -> Tensor:
        """`bias` (T, T), plus the time's (B, T, T) where there are `buckets`."""
        if self.by_time is None or buckets is None:
            return bias
        return bias + _Lookup.apply(self.by_time, buckets)
