"""The last layers of networks of probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .mlp import MLP


class LogOdds(nn.Linear):
    """Linear layer to the log odds of K outputs, which start at those of the base rates.

    Where clicks are rare, half of the training would else go into the bias.

    Parameters
    ----------
    in_dim : int
        Width of the input.
    prior : float, array-like of shape (K,) or None
        Log odds of each output's base rate: ``Schema.prior``. None is one output that starts at 0.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import LogOdds
    >>> head = LogOdds(8, -3.0)
    >>> head.bias.tolist(), head(torch.zeros(2, 8)).shape
    ([-3.0], torch.Size([2, 1]))
    """

    def __init__(self, in_dim: int, prior):
        log_odds = torch.atleast_1d(torch.as_tensor(0.0 if prior is None else prior))
        super().__init__(in_dim, len(log_odds))
        with torch.no_grad():
            self.bias.copy_(log_odds)


class Towers(nn.ModuleList):
    """A multi-layer perceptron to the log odds of each of K tasks.

    Parameters
    ----------
    in_dim : int
        Width of the input.
    hidden_dims : sequence of K sequences of int
        Widths of each tower's hidden layers.
    prior : array-like of shape (K,)
        Log odds of each task's base rate: ``Schema.prior``.
    activation : {"relu", "prelu", "dice"}, default="relu"
        Of the hidden layers, see :class:`MLP`.
    dropout : float, default=0.0
        Share of each hidden layer's outputs set to zero in training.

    Attributes
    ----------
    output_biases : list of Parameter
        What is added to the log odds of each task.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import Towers
    >>> towers = Towers(8, [(4,), (4,)], [-3.0, -1.0])
    >>> towers(torch.zeros(5, 8)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dims: Sequence[Sequence[int]],
        prior,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
    ):
        super().__init__()
        for dims, log_odds in zip(hidden_dims, prior):
            mlp = MLP(in_dim, dims, activation=activation, dropout=dropout)
            self.append(nn.Sequential(*mlp, LogOdds(mlp.out_dim, float(log_odds))))

    @property
    def output_biases(self) -> list[Tensor]:
        return [[*tower.parameters()][-1] for tower in self]

    def forward(self, x: Tensor | Sequence[Tensor]) -> Tensor:
        """Log odds of the tasks.

        Parameters
        ----------
        x : Tensor of shape (B, in_dim), or a sequence of K of them
            What all towers read, or what each of them does.

        Returns
        -------
        Tensor of shape (B, K)
        """
        inputs = [x] * len(self) if isinstance(x, Tensor) else x
        return torch.cat([tower(one) for tower, one in zip(self, inputs)], 1)
