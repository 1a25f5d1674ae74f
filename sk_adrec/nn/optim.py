"""Adam for dense parameters, lazy Adam for the touched rows of embedding tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class RowSparseAdam(Optimizer):
    """Adam (Kingma & Ba 2015) that updates only the rows a batch has touched.

    Parameters with dense gradients follow Adam. For a parameter with a sparse gradient both
    moments and the parameter move in the rows of the gradient alone; a row that a batch does not
    use stays as it is. This is NOT dense Adam, in which momentum keeps moving every row and every
    moment decays at each step. The bias correction counts all steps, as torch's SparseAdam does.

    Parameters
    ----------
    params : iterable of Parameter, or of dict
        What to optimise, or groups of it with settings of their own, as in torch.
    lr : float, default=1e-3
        Step size, the first to tune: 1e-3 to 1e-2 on logs.
    betas : tuple of two floats, default=(0.9, 0.999)
        Share of the old mean gradient, and mean squared gradient, kept in a step. Raise the first
        where batches are small and noisy.
    eps : float, default=1e-8
        Added to the root of the mean squared gradient. Raise it where rows with tiny gradients
        jump.
    l2 : float, default=0.0
        ``l2 * parameter`` is added to the gradient (of the touched rows). Raise it where rare ids
        overfit: 1e-7 to 1e-4.

    References
    ----------
    Kingma, Ba (2015), "Adam: A Method for Stochastic Optimization", ICLR, algorithm 1.

    Examples
    --------
    A row that the batch does not use does not move:

    >>> import torch
    >>> from sk_adrec.nn import FusedEmbedding, RowSparseAdam
    >>> table = FusedEmbedding({"item_id": 4}, d=1)
    >>> before = table.weight.detach().clone()
    >>> optimizer = RowSparseAdam(table.parameters(), lr=0.1)
    >>> table(torch.tensor([2, 3])).sum().backward()
    >>> _ = optimizer.step()
    >>> (table.weight.detach() - before).flatten()
    tensor([ 0.0000,  0.0000, -0.1000, -0.1000])
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, l2=0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "l2": l2})

    @torch.no_grad()
    def step(self, closure=None):
        """Make one update.

        Parameters
        ----------
        closure : callable, default=None
            Computes the loss and the gradients anew, before the update; skorch passes one.

        Returns
        -------
        Tensor or None
            What `closure` returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                (_sparse_step if p.grad.is_sparse else _dense_step)(self.state[p], p, group)
        return loss

    @torch.no_grad()
    def replace(self, old: Tensor, new: Tensor, enlarge: Callable[..., Tensor]) -> None:
        """Go on with a larger table in the place of another.

        Parameters
        ----------
        old, new : Parameter
            The table so far, and the one to optimise from now on.
        enlarge : callable
            What :meth:`FusedEmbedding.grow` returned.
        """
        for group in self.param_groups:
            group["params"] = [new if p is old else p for p in group["params"]]
        state = self.state.pop(old, None)
        if state:
            state["m"] = enlarge(state["m"], lambda block: torch.zeros_like(block[0]))
            state["v"] = enlarge(state["v"], _mean_of_touched)
            self.state[new] = state

    def memory(self) -> list[dict[str, Any]]:
        """What a later optimiser needs in order to go on with steps of the same size.

        Of the second moments of a matrix only the means of its rows and columns are kept, whose
        product stands for them (Adafactor: Shazeer & Stern 2018): a file grows by 1 / d.

        Returns
        -------
        list of dict
            One per parameter, empty for one that has not moved, with numpy arrays.
        """
        return [_factorise(self.state.get(p)) for g in self.param_groups for p in g["params"]]

    @torch.no_grad()
    def remember(self, memory: list[dict[str, Any]]) -> None:
        """Go on where another optimiser of the same parameters ended.

        Parameters
        ----------
        memory : list of dict
            What its `memory` returned.
        """
        parameters = [p for group in self.param_groups for p in group["params"]]
        for p, kept in zip(parameters, memory):
            if kept:
                v = _product([torch.tensor(mean).to(p) for mean in kept["v"]])
                self.state[p] = {"step": kept["step"], "m": torch.zeros_like(p), "v": v}


def _factorise(state) -> dict[str, Any]:
    if not state:
        return {}
    v = state["v"]
    means = [v.mean(1), v.mean(0)] if v.ndim == 2 and len(v) else [v]
    return {"step": state["step"], "v": [mean.cpu().numpy() for mean in means]}


def _product(means: list[Tensor]) -> Tensor:
    if len(means) == 1:
        return means[0].clone()
    rows, columns = means
    return torch.outer(rows, columns / columns.mean().clamp(min=torch.finfo(rows.dtype).tiny))


def _mean_of_touched(v: Tensor) -> Tensor:
    """The mean second moments of the rows that have ever moved."""
    touched = v[(v > 0).any(1)]
    return touched.mean(0) if len(touched) else v[0]


def _dense_step(state, p, group):
    if not state:
        state["step"] = 0
        state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
    state["step"] += 1
    beta1, beta2 = group["betas"]
    g = p.grad.add(p, alpha=group["l2"]) if group["l2"] else p.grad
    m = state["m"].lerp_(g, 1 - beta1)
    v = state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
    m_hat, v_hat = m / (1 - beta1 ** state["step"]), v / (1 - beta2 ** state["step"])
    p.addcdiv_(m_hat, v_hat.sqrt_().add_(group["eps"]), value=-group["lr"])


def _distinct_rows(gradient):
    """Rows and values of a sparse gradient, each row once."""
    rows = gradient._indices()[0]
    # autograd forgets that ours are sorted and distinct; sorting again costs more than the look.
    if (rows[1:] > rows[:-1]).all():
        return rows, gradient._values()
    gradient = gradient.coalesce()
    return gradient.indices()[0], gradient.values()


def _sparse_step(state, p, group):
    if not state:
        state["step"] = 0
        state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
    state["step"] += 1
    beta1, beta2 = group["betas"]
    rows, g = _distinct_rows(p.grad)
    if group["l2"]:
        g = g.add(p.index_select(0, rows), alpha=group["l2"])
    m = state["m"].index_select(0, rows).lerp_(g, 1 - beta1)
    v = state["v"].index_select(0, rows).mul_(beta2).addcmul_(g, g, value=1 - beta2)
    state["m"].index_copy_(0, rows, m)
    state["v"].index_copy_(0, rows, v)
    m /= 1 - beta1 ** state["step"]
    v /= 1 - beta2 ** state["step"]
    # rows are distinct, so a copy is the sum
    moved = p.index_select(0, rows).addcdiv_(m, v.sqrt_().add_(group["eps"]), value=-group["lr"])
    p.index_copy_(0, rows, moved)
