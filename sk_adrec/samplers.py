"""Draws of negatives for sampled losses, and how often each item is expected among them."""

from __future__ import annotations

import torch
from torch import Tensor

from .nn.random import generator


def uniform_negatives(n_items: int, size: tuple[int, ...], device=None) -> Tensor:
    """Items drawn uniformly with replacement, by the generator of the fit.

    Outside of a fit that is torch's own.

    Parameters
    ----------
    n_items : int
        Size of the catalogue.
    size : tuple of int
        ``(R,)`` draws that all positives share, or ``(n, R)``.
    device : torch.device or str, default=None
        Where the tensor lies; None is torch's default device. Give that of the model.

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
    return torch.randint(n_items, size, device=device, generator=generator(device))


def log_expected_counts(share: Tensor, n_items: int, n_rows: int, n_drawn: int = 0) -> Tensor:
    """How often items are expected among the negatives of a batch, as logarithms.

    .. math:: \\log q_j = \\log (B p_j + R / n)

    An item comes with the B rows of a batch by its share p of the log, and with the R uniform
    draws that are mixed in by chance. Subtracted from the logits of a sampled softmax, it makes
    frequent items no worse for having been compared more often.

    Parameters
    ----------
    share : Tensor of shape (m,)
        Shares p of the items in the rows of the log.
    n_items : int
        Items that are drawn from, n.
    n_rows : int
        Rows of a batch, B.
    n_drawn : int, default=0
        Uniform draws mixed in, R.

    Returns
    -------
    Tensor of shape (m,)
        log q, what to subtract from the logits.

    References
    ----------
    Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations", RecSys, section 4.

    Yang et al. (2020), "Mixed Negative Sampling for Learning Two-tower Neural Networks in
    Recommendations", WWW Companion.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.samplers import log_expected_counts
    >>> log_expected_counts(torch.tensor([0.5, 0.1]), 10, n_rows=4, n_drawn=10).exp()
    tensor([3.0000, 1.4000])
    """
    return (share * n_rows + n_drawn / n_items).log()
