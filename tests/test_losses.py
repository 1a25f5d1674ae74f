"""Losses against their formulas in plain numpy."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from sk_adrec.losses import FocalLoss, LogLoss

LOGIT = np.array([-3.0, -0.2, 0.0, 0.7, 4.0] * 2)
Y = np.repeat([0.0, 1.0], 5)
# The probability that the model gives to the label that occurred.
P_Y = np.where(Y == 1, expit(LOGIT), 1 - expit(LOGIT))


def evaluate(loss, logit=LOGIT, y=Y):
    return loss(torch.from_numpy(logit), torch.from_numpy(y)).numpy()


def test_log_loss():
    np.testing.assert_allclose(evaluate(LogLoss()), -np.log(P_Y))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss(gamma):
    np.testing.assert_allclose(evaluate(FocalLoss(gamma)), -((1 - P_Y) ** gamma) * np.log(P_Y))


def test_focal_loss_with_gamma_zero_is_the_log_loss():
    np.testing.assert_allclose(evaluate(FocalLoss(0.0)), evaluate(LogLoss()))


@pytest.mark.parametrize("loss", [LogLoss(), FocalLoss(), FocalLoss(0.5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_logits_give_finite_losses_and_gradients(loss, dtype):
    logit = torch.tensor([-1e4, -100, -20, 20, 100, 1e4] * 2, dtype=dtype, requires_grad=True)
    y = torch.tensor([0.0, 1.0], dtype=dtype).repeat_interleave(6)
    values = loss(logit, y)
    values.sum().backward()
    assert values.shape == (12,)
    assert torch.isfinite(values).all()
    assert torch.isfinite(logit.grad).all()
