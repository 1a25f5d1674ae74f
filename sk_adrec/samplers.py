"""Draws of negatives for sampled losses."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform_negatives(n_items: int, size: tuple[int, ...], device=None) -> Tensor:
    """Items drawn uniformly with replacement, by torch's current generator.

    Parameters
    ----------
    n_items : int
    size : tuple of int
        ``(R,)`` draws that all positives share, or ``(n, R)``.
    device : torch device, default=None

    Returns
    -------
    Tensor of shape `size`, int64
        Numbers in ``[0, n_items)``. Positives may be among them: a loss has to leave them out.

    Examples
    --------
    >>> from sk_adrec.samplers import uniform_negatives
    >>> uniform_negatives(1, (2, 3))
    tensor([[0, 0, 0],
            [0, 0, 0]])
    """
    return torch.randint(n_items, size, device=device)
