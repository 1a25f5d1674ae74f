"""Multi-layer perceptron, and DIN's data-adaptive activation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Names that ``MLP(activation=...)`` takes.
ACTIVATIONS = ("relu", "prelu", "dice")


class Dice(nn.Module):
    """Data-adaptive activation of Zhou et al. (2018), equation 3.

    .. math::

        f(s) = p(s) s + (1 - p(s)) \\alpha s, \\qquad
        p(s) = 1 / \\left(1 + e^{-(s - E[s]) / \\sqrt{Var[s] + \\epsilon}}\\right)

    In training E[s] and Var[s] are those of the batch, in evaluation their running means, so that
    an output does not depend on the other rows. Rows count alike: sample weights do not enter.

    Parameters
    ----------
    dim : int
        Number of channels s, each with its own alpha, which starts at 0.
    eps : float, default=1e-8
    momentum : float, default=0.1
        Share of the batch in an update of the running statistics.
    """

    mean: Tensor
    var: Tensor

    def __init__(self, dim: int, eps: float = 1e-8, momentum: float = 0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.alpha = nn.Parameter(torch.zeros(dim))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))

    def forward(self, s: Tensor) -> Tensor:
        """Activations of the same shape, (..., dim)."""
        mean, var = self.mean, self.var
        if self.training and s.numel():
            var, mean = torch.var_mean(s.flatten(0, -2), 0, correction=0)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.var.lerp_(var, self.momentum)
        p = torch.sigmoid((s - mean) * torch.rsqrt(var + self.eps))
        return s * (self.alpha + p * (1 - self.alpha))


def make_activation(name: str, dim: int) -> nn.Module:
    """An activation of `dim` channels by its name: "relu", "prelu" or "dice"."""
    if name == "relu":
        return nn.ReLU()
    return nn.PReLU(dim) if name == "prelu" else Dice(dim)


class MLP(nn.Sequential):
    """Linear, activation, dropout for each hidden layer, then a linear output.

    Parameters
    ----------
    in_dim : int
    hidden_dims : sequence of int
        Widths of the hidden layers; none makes the whole a single linear layer.
    activation : {"relu", "prelu", "dice"}, default="relu"
        "prelu" learns a slope below zero for each channel, "dice" is :class:`Dice`.
    dropout : float, default=0.0
        Share of each hidden layer's outputs set to zero in training.
    out_dim : int or None, default=None
        Width of the linear layer at the end; None ends with the last hidden layer.

    Attributes
    ----------
    out_dim : int
        Width of the output: ``forward`` maps (..., in_dim) to (..., out_dim).
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dims: Sequence[int],
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        out_dim: int | None = None,
    ):
        layers: list[nn.Module] = []
        for dim in hidden_dims:
            layers += [nn.Linear(in_dim, dim), make_activation(activation, dim)]
            if dropout:
                layers.append(nn.Dropout(dropout))
            in_dim = dim
        if out_dim is not None:
            layers.append(nn.Linear(in_dim, out_dim))
        super().__init__(*layers)
        self.out_dim = in_dim if out_dim is None else out_dim
