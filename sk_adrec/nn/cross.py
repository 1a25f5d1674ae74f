"""Layers of explicit products of all inputs."""

from __future__ import annotations

from torch import Tensor, nn


class CrossLayer(nn.Module):
    """A cross layer of DCN V2: x_0 * (W x + b) + x, or with W = U V' of a low rank.

    Parameters
    ----------
    D : int
        Width of the input.
    rank : int or None, default=None
        Rank of W; None is full (equation 1 of the paper), else equation 2.

    References
    ----------
    Wang, Shivanna, Cheng, Jain, Lin, Hong, Chi (2021), "DCN V2: Improved Deep & Cross Network and
    Practical Lessons for Web-scale Learning to Rank Systems", WWW.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import CrossLayer
    >>> layer, x = CrossLayer(4), torch.zeros(2, 4)
    >>> layer(x, x).shape
    torch.Size([2, 4])
    """

    def __init__(self, D: int, rank: int | None = None):
        super().__init__()
        self.V = nn.Identity() if rank is None else nn.Linear(D, rank, bias=False)
        self.U = nn.Linear(D if rank is None else rank, D)

    def forward(self, x_0: Tensor, x: Tensor) -> Tensor:
        """One more column in each product.

        Parameters
        ----------
        x_0 : Tensor of shape (B, D)
            The input of the first layer.
        x : Tensor of shape (B, D)
            The output of the layer before.

        Returns
        -------
        Tensor of shape (B, D)
        """
        return x_0 * self.U(self.V(x)) + x
