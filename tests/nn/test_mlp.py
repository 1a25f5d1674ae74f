"""Dice and MLP against numbers worked out by hand."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sk_adrec.nn import MLP, Dice, Dropout


def test_dice_of_a_batch_by_hand():
    dice = Dice(2, eps=0.0).double()
    with torch.no_grad():
        dice.alpha.copy_(torch.tensor([0.0, 0.5]))
    s = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64)
    # Both channels: deviations -2, 0, 2 over the standard deviation (8 / 3) ** 0.5.
    z = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64) * 1.5**0.5
    p = 1 / (1 + torch.exp(-z))
    expected = torch.stack([p * s[:, 0], p * s[:, 1] + (1 - p) * 0.5 * s[:, 1]], 1)
    assert_close(dice(s), expected)
    assert_close(dice.mean, torch.tensor([0.3, 0.4], dtype=torch.float64))
    assert_close(dice.var, 0.9 + 0.1 * torch.tensor([8 / 3, 8 / 3], dtype=torch.float64))


def test_dice_in_evaluation_does_not_look_at_the_batch():
    torch.manual_seed(0)
    dice = Dice(3)
    for _ in range(5):
        dice(torch.randn(20, 3) * 2 + 1)
    dice.eval()
    before = dice.mean.clone(), dice.var.clone()
    s = torch.randn(6, 3)
    assert_close(dice(s)[:2], dice(s[:2]))
    assert_close((dice.mean, dice.var), before)
    # With the batch's own moments nothing but the weights of old batches differs.
    for _ in range(200):
        dice.train()(s)
    moments = s.mean(0), s.var(0, correction=0)
    assert_close((dice.mean, dice.var), moments, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (2, 4, 3)])
def test_dice_of_one_row_none_or_more_axes_is_finite(shape):
    s = torch.ones(shape, requires_grad=True)
    out = Dice(3)(s)
    assert out.shape == shape
    out.sum().backward()
    assert s.grad.isfinite().all()


@pytest.mark.parametrize(
    ("activation", "kind"), [("relu", nn.ReLU), ("prelu", nn.PReLU), ("dice", Dice)]
)
def test_mlp_layers(activation, kind):
    mlp = MLP(5, (4, 3), activation=activation, dropout=0.5, out_dim=2)
    assert [type(layer) for layer in mlp] == [
        *(nn.Linear, kind, Dropout),
        *(nn.Linear, kind, Dropout),
        nn.Linear,
    ]
    assert mlp(torch.zeros(7, 5)).shape == (7, mlp.out_dim) == (7, 2)


def test_mlp_without_output_or_hidden_layers():
    hidden = MLP(5, (4, 3))
    assert hidden.out_dim == 3
    assert (hidden(torch.randn(7, 5)) >= 0).all()
    linear = MLP(5, (), out_dim=1)
    x = torch.randn(7, 5)
    assert_close(linear(x), x @ linear[0].weight.T + linear[0].bias)
    assert_close(MLP(5, ())(x), x)
