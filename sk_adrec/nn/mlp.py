"""Multi-layer perceptron, and DIN's data-adaptive activation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .random import Dropout


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
        Added to the variance, so that a constant channel is not divided by 0.
    momentum : float, default=0.1
        Share of the batch in an update of the running statistics. Lower it for small batches.

    References
    ----------
    Zhou, Zhu, Song, Fan, Zhu, Ma, Yan, Jin, Li, Gai (2018), "Deep Interest Network for
    Click-Through Rate Prediction", KDD, section 4.3.2.

    Examples
    --------
    Half of what lies at the mean passes, almost all of what lies far above it:

    >>> import torch
    >>> from sk_adrec.nn import Dice
    >>> Dice(1).eval()(torch.tensor([[0.0], [1.0], [9.0]]))
    tensor([[0.0000],
            [0.7311],
            [8.9989]], grad_fn=<MulBackward0>)
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
        """Activate each channel: f(s).

        Parameters
        ----------
        s : Tensor of shape (..., dim)
            Outputs of a linear layer.

        Returns
        -------
        Tensor of shape (..., dim)
        """
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
        Width of the input.
    hidden_dims : sequence of int
        Widths of the hidden layers; none makes the whole a single linear layer.
    activation : {"relu", "prelu", "dice"}, default="relu"
        "prelu" learns a slope below zero for each channel, "dice" is :class:`Dice`.
    dropout : float, default=0.0
        Share of each hidden layer's outputs set to zero in training. Raise it where the network
        overfits.
    out_dim : int or None, default=None
        Width of the linear layer at the end; None ends with the last hidden layer.

    Attributes
    ----------
    out_dim : int
        Width of the output: ``forward`` maps (..., in_dim) to (..., out_dim).

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import MLP
    >>> MLP(8, (16,), dropout=0.5, out_dim=1)
    MLP(
      (0): Linear(in_features=8, out_features=16, bias=True)
      (1): ReLU()
      (2): Dropout(p=0.5, inplace=False)
      (3): Linear(in_features=16, out_features=1, bias=True)
    )
    >>> MLP(8, (16, 4))(torch.zeros(3, 8)).shape
    torch.Size([3, 4])
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
                layers.append(Dropout(dropout))
            in_dim = dim
        if out_dim is not None:
            layers.append(nn.Linear(in_dim, out_dim))
        super().__init__(*layers)
        self.out_dim = in_dim if out_dim is None else out_dim
