"""Losses on logits, one value per row: the trainer weights and averages them."""

from __future__ import annotations

from collections.abc import Sequence

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


def funnel_log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities that each stage of a funnel is reached, and that it is not.

    Sums of log-sigmoids only: no probability is ever rounded to 0 or 1 before its logarithm.

    Parameters
    ----------
    logits : Tensor of shape (B, K)
        Column k: log odds of stage k for rows that have reached the stage before it.

    Returns
    -------
    reached, missed : Tensor of shape (B, K)
        log P(stage k) and log(1 - P(stage k)), over all rows.

    Examples
    --------
    >>> import torch
    >>> reached, missed = funnel_log_probabilities(torch.tensor([[0.0, 0.0]]))
    >>> reached.exp(), missed.exp()
    (tensor([[0.5000, 0.2500]]), tensor([[0.5000, 0.7500]]))
    """
    reached = F.logsigmoid(logits).cumsum(1)  # (B, K)
    stopped = F.logsigmoid(-logits)  # (B, K)
    missed = [stopped[:, 0]]
    for k in range(1, logits.shape[1]):
        # Missed before, or reached the stage before and stopped there.
        missed.append(torch.logaddexp(missed[-1], reached[:, k - 1] + stopped[:, k]))
    return reached, torch.stack(missed, 1)


class EntireSpaceLoss(nn.Module):
    """Cross-entropy of each stage of a funnel over all rows (Ma et al. 2018, equation 3).

    With z_k the log odds of stage k given the stage before it:

    .. math::

        l(z, y) = -\\sum_k w_k \\left[ y_k \\log p_k + (1 - y_k) \\log (1 - p_k) \\right], \\qquad
        p_k = \\prod_{j \\le k} \\frac{1}{1 + e^{-z_j}}

    A stage whose label is NaN adds nothing to its row's loss.

    Parameters
    ----------
    weights : sequence of float, length K
        w_k.

    References
    ----------
    Ma, Zhao, Huang, Wang, Hu, Zhu, Gai (2018), "Entire Space Multi-Task Model: An Effective
    Approach for Estimating Post-Click Conversion Rate", SIGIR, section 2.3.

    Examples
    --------
    >>> import torch
    >>> loss = EntireSpaceLoss([1.0, 1.0])
    >>> y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, torch.nan]])
    >>> loss(torch.zeros(3, 2), y)  # log 2 + log 4, log 2 + log 4/3, log 2
    tensor([2.0794, 0.9808, 0.6931])
    """

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        self.weights = [float(weight) for weight in weights]

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        reached, missed = funnel_log_probabilities(logits)  # (B, K), (B, K)
        known = ~y.isnan()
        log_p_y = torch.where(y == 1, reached, missed) * known  # (B, K)
        return -log_p_y @ logits.new_tensor(self.weights)  # (B,)
