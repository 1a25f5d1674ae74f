"""Losses on logits, one value per row: the trainer weights and averages them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LogLoss(nn.Module):
    """Binary cross-entropy of a logit.

    .. math:: l(z, y) = \\log(1 + e^z) - y z

    Examples
    --------
    >>> import torch
    >>> LogLoss()(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([0.6931, 0.1269])
    """

    def forward(self, logit: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logit, y, reduction="none")


class FocalLoss(nn.Module):
    """Cross-entropy that counts rows less the surer the model already is (Lin et al. 2017).

    .. math:: l(z, y) = -(1 - p_y)^\\gamma \\log p_y

    It moves probabilities away from the observed rates: calibrate them before bidding.

    Parameters
    ----------
    gamma : float, default=2.0
        0 is the log loss.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar (2017), "Focal Loss for Dense Object Detection", section 3.2.

    Examples
    --------
    >>> import torch
    >>> FocalLoss()(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([0.1733, 0.0018])
    """

    def __init__(self, gamma: float = 2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logit: Tensor, y: Tensor) -> Tensor:
        margin = (2 * y - 1) * logit
        log_p_y, log_rest = F.logsigmoid(margin), F.logsigmoid(-margin)
        return -torch.exp(self.gamma * log_rest) * log_p_y
