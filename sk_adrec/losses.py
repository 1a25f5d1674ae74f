"""Losses on logits, one value per row: the trainer weights and averages them.

A loss with ``is_proper = True`` is least where predictions are the true probabilities; after
training with it the level of predictions is settled.
"""

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
    >>> from sk_adrec.losses import LogLoss
    >>> LogLoss()(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([0.6931, 0.1269])
    """

    is_proper = True

    def forward(self, logit: Tensor, y: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        logit : Tensor of shape (B,)
            z, log odds of y = 1.
        y : Tensor of shape (B,), float
            0 or 1.

        Returns
        -------
        Tensor of shape (B,)
        """
        return F.binary_cross_entropy_with_logits(logit, y, reduction="none")


class FocalLoss(nn.Module):
    """Cross-entropy that counts rows less the surer the model already is (Lin et al. 2017).

    .. math:: l(z, y) = -(1 - p_y)^\\gamma \\log p_y

    It moves probabilities away from the observed rates: calibrate them before bidding.

    Parameters
    ----------
    gamma : float, default=2.0
        How much less; 0 is the log loss. Lower it where probabilities matter more than order.

    References
    ----------
    Lin, Goyal, Girshick, He, Dollar (2017), "Focal Loss for Dense Object Detection", section 3.2.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import FocalLoss
    >>> FocalLoss()(torch.tensor([0.0, 2.0]), torch.tensor([1.0, 1.0]))
    tensor([0.1733, 0.0018])
    """

    def __init__(self, gamma: float = 2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logit: Tensor, y: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        logit : Tensor of shape (B,)
            z, log odds of y = 1.
        y : Tensor of shape (B,), float
            0 or 1.

        Returns
        -------
        Tensor of shape (B,)
        """
        margin = (2 * y - 1) * logit
        log_p_y, log_rest = F.logsigmoid(margin), F.logsigmoid(-margin)
        return -torch.exp(self.gamma * log_rest) * log_p_y


class SoftmaxLoss(nn.Module):
    """Cross-entropy of the softmax over a whole catalogue.

    .. math:: l(u, y) = \\log \\sum_i e^{\\langle u, e_i \\rangle} - \\langle u, e_y \\rangle

    The (n, n_items) matrix of logits is never held as a whole: gradients are taken block by block
    on the way forward.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import SoftmaxLoss
    >>> items = torch.tensor([[0.0], [1.0]])
    >>> SoftmaxLoss()(torch.tensor([[0.0], [2.0]]), items, torch.tensor([0, 1]))
    tensor([0.6931, 0.1269])
    """

    def forward(self, u: Tensor, items: Tensor, y: Tensor) -> Tensor:
        """Loss of each state.

        Parameters
        ----------
        u : Tensor of shape (n, d)
            States, such that ``u @ items.T`` are logits.
        items : Tensor of shape (n_items, d)
            Vectors e of the whole catalogue.
        y : Tensor of shape (n,), int64
            Rows of `items`.

        Returns
        -------
        Tensor of shape (n,)
        """
        return _CatalogueCrossEntropy.apply(u, items, y)


class SampledSoftmaxLoss(nn.Module):
    """Cross-entropy of the positive among itself and some items that were drawn uniformly.

    .. math:: l = \\log (e^{z_y} + \\sum_{i \\in S, i \\neq y} e^{z_i}) - z_y

    A drawn item that is the positive itself (an accidental hit) does not count. The draws being
    uniform, the minimum is at the logits of the full softmax, up to a constant per state.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import SampledSoftmaxLoss
    >>> loss = SampledSoftmaxLoss()
    >>> u, vectors = torch.tensor([[2.0]]), torch.tensor([[0.0], [1.0]])
    >>> loss(u, torch.tensor([[1.0]]), vectors, torch.tensor([1]), torch.tensor([0, 1]))
    tensor([0.1269])
    """

    def forward(
        self, u: Tensor, positive: Tensor, negatives: Tensor, y: Tensor, drawn: Tensor
    ) -> Tensor:
        """Loss of each state.

        Parameters
        ----------
        u : Tensor of shape (n, d)
            States, such that products with items' vectors are logits.
        positive : Tensor of shape (n, d)
            Vectors of the items `y`.
        negatives : Tensor of shape (R, d) or (n, R, d)
            Vectors of the items `drawn`: shared by all states, or each state's own.
        y : Tensor of shape (n,), int64
            The right items, by number.
        drawn : Tensor of shape (R,) or (n, R), int64
            The drawn items, by number: S.

        Returns
        -------
        Tensor of shape (n,)
        """
        z_y = (u * positive).sum(1, keepdim=True)  # (n, 1)
        if negatives.ndim == 2:
            z = u @ negatives.T  # (n, R)
        else:
            z = (negatives @ u[:, :, None]).squeeze(2)  # (n, R)
        z = z.masked_fill(drawn == y[:, None], -torch.inf)
        return torch.cat([z_y, z], 1).logsumexp(1) - z_y.squeeze(1)


class InBatchSoftmaxLoss(nn.Module):
    """Cross-entropy of each row's own vector among those of all rows (InfoNCE).

    .. math::

        l_i = \\log \\left( e^{z_{ii}} + \\sum_{j: y_j \\neq y_i} e^{z_{ij} + b_j} \\right)
        - z_{ii}, \\qquad z_{ij} = \\langle u_i, v_j \\rangle

    A column of another row, or a further one, that holds the row's own item (an accidental hit)
    does not count. With b minus the logarithm of how often a column is expected in a batch, the
    sum is an unbiased estimate of that over the catalogue (the logQ correction).

    NOTE[DIFF]: Yi et al. correct the row's own logit as well, since their sum also runs over the
    other rows of its item. With those left out the row's own item is there once, for certain.

    References
    ----------
    Yi et al. (2019), "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
    Recommendations", RecSys, section 3.

    Examples
    --------
    Two rows are of item 7, so the second is no negative of the first:

    >>> import torch
    >>> from sk_adrec.losses import InBatchSoftmaxLoss
    >>> u, v = torch.ones(3, 1), torch.tensor([[0.0], [5.0], [0.0]])
    >>> InBatchSoftmaxLoss()(u, v, torch.tensor([7, 7, 8]), torch.zeros(3))
    tensor([0.6931, 0.0067, 5.0134])
    """

    def forward(self, u: Tensor, v: Tensor, ids: Tensor, b: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        u : Tensor of shape (n, d)
            Scaled, so that products are logits.
        v : Tensor of shape (m, d), m >= n
            Row i's own vector is ``v[i]``; those from n on are negatives of all rows.
        ids : Tensor of shape (m,), int64
            The item of each column: y in the formula.
        b : Tensor of shape (m,)
            Added to the logits of columns as negatives.

        Returns
        -------
        Tensor of shape (n,)
        """
        n = len(u)
        z = torch.addmm(b.to(u.dtype), u, v.T)  # (n, m)
        own = (u * v[:n]).sum(1)  # (n,)
        z = z.masked_fill(ids == ids[:n, None], -torch.inf)
        return torch.logaddexp(z.logsumexp(1), own) - own


class PairwiseLoss(nn.Module):
    """How often negatives come before the positive (BPR, Rendle et al. 2009).

    .. math:: l = -\\frac{1}{R} \\sum_r \\log \\sigma (z_y - z_r)

    References
    ----------
    Rendle, Freudenthaler, Gantner, Schmidt-Thieme (2009), "BPR: Bayesian Personalized Ranking from
    Implicit Feedback", UAI, section 4.1.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import PairwiseLoss
    >>> z_y, z = torch.tensor([1.0]), torch.tensor([[1.0, 9.0]])
    >>> PairwiseLoss()(z_y, z, torch.tensor([[False, True]]))
    tensor([0.6931])
    """

    def forward(self, z_y: Tensor, z: Tensor, hit: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        z_y : Tensor of shape (n,)
            Logits of the positives.
        z : Tensor of shape (n, R)
            Logits of each row's R negatives.
        hit : Tensor of shape (n, R), bool
            Negatives that are the positive itself, and do not count.

        Returns
        -------
        Tensor of shape (n,)
            0 where no negative counts.
        """
        loss = F.softplus(z - z_y[:, None]).masked_fill(hit, 0.0)
        return loss.sum(1) / (~hit).sum(1).clamp(min=1)


# Elements of a block of logits: 1 MB in float32, so that it stays in the cache between passes.
_BLOCK = 1 << 18


class _CatalogueCrossEntropy(torch.autograd.Function):
    """Cross-entropy over a catalogue, block by block.

    The forward pass also takes the gradients of the plain sum of losses, while a block's
    exponentials are at hand. Backward scales them, where all losses count alike (rows without
    weights); otherwise it goes through the blocks again.
    """

    @staticmethod
    def forward(ctx, u, items, y):
        needed = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        loss, grads = _pass(u, items, y, u.new_ones(len(u)) if needed else None)
        ctx.save_for_backward(u, items, y, *grads)
        return loss

    @staticmethod
    def backward(ctx, grad):
        u, items, y, grad_u, grad_items = ctx.saved_tensors
        if not len(grad):
            return grad_u, grad_items, None
        if (grad == grad[0]).all():
            return grad_u * grad[0], grad_items * grad[0], None
        _, (grad_u, grad_items) = _pass(u, items, y, grad)
        return grad_u, grad_items, None


def _pass(u, items, y, scale):
    """Losses of all states and, where `scale` is given, the gradients of ``scale @ losses``."""
    loss, grads = u.new_empty(len(u)), ()
    columns = items.T.contiguous()
    if scale is not None:
        grads = torch.empty_like(u), torch.zeros_like(items)
    size = max(16, _BLOCK // max(1, len(items)))
    buffer = u.new_empty(min(size, len(u)), len(items))
    for start in range(0, len(u), size):
        rows = slice(start, start + size)
        u_, y_ = u[rows], y[rows]
        z = torch.mm(u_, columns, out=buffer[: len(u_)])  # (b, n_items)
        z_y = z.gather(1, y_[:, None])
        top = z.amax(1, keepdim=True)
        e = z.sub_(top).exp_()
        total = e.sum(1, keepdim=True)
        loss[rows] = (top + total.log() - z_y).squeeze(1)
        if scale is None:
            continue
        # d loss / d z = softmax - onehot: the onehot as part of e, since e is read twice.
        e.scatter_add_(1, y_[:, None], -total)
        share = scale[rows, None] / total
        grads[0][rows] = torch.mm(e, items).mul_(share)
        grads[1].addmm_(e.T, u_ * share)
    return loss, grads


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
        Logarithms of P(stage k) and 1 - P(stage k), over all rows.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import funnel_log_probabilities
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


class IndependentTasksLoss(nn.Module):
    """Cross-entropy of each of K tasks.

    With z_k the log odds of task k:

    .. math:: l(z, y) = \\sum_k w_k \\left[ \\log(1 + e^{z_k}) - y_k z_k \\right]

    A task whose label is NaN adds nothing to its row's loss.

    Parameters
    ----------
    weights : sequence of float, length K
        What each task counts: w_k. Raise that of a rare task which the model neglects.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import IndependentTasksLoss
    >>> loss = IndependentTasksLoss([1.0, 1.0])
    >>> loss(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [torch.nan, 1.0]]))  # 2 log 2, log 2
    tensor([1.3863, 0.6931])
    """

    is_proper = True

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        self.weights = [float(weight) for weight in weights]

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        logits : Tensor of shape (B, K)
            z, log odds of y = 1.
        y : Tensor of shape (B, K), float
            0, 1 or NaN (not known).

        Returns
        -------
        Tensor of shape (B,)
        """
        known = ~y.isnan()
        # Not NaN times 0: its gradient would be NaN.
        each = F.binary_cross_entropy_with_logits(
            logits, y.nan_to_num().to(logits.dtype), reduction="none"
        )
        return (each * known) @ logits.new_tensor(self.weights)  # (B,)


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
        What each stage counts: w_k. Raise that of a rare stage which the model neglects.

    References
    ----------
    Ma, Zhao, Huang, Wang, Hu, Zhu, Gai (2018), "Entire Space Multi-Task Model: An Effective
    Approach for Estimating Post-Click Conversion Rate", SIGIR, section 2.3.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.losses import EntireSpaceLoss
    >>> loss = EntireSpaceLoss([1.0, 1.0])
    >>> y = torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, torch.nan]])
    >>> loss(torch.zeros(3, 2), y)  # log 2 + log 4, log 2 + log 4/3, log 2
    tensor([2.0794, 0.9808, 0.6931])
    """

    is_proper = True
    is_nested = True

    def __init__(self, weights: Sequence[float]):
        super().__init__()
        self.weights = [float(weight) for weight in weights]

    def forward(self, logits: Tensor, y: Tensor) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        logits : Tensor of shape (B, K)
            z: column k holds log odds of stage k for rows that have reached the stage before it.
        y : Tensor of shape (B, K), float
            0, 1 or NaN (not known), nested: stage k has 1 only where stage k - 1 has.

        Returns
        -------
        Tensor of shape (B,)
        """
        reached, missed = funnel_log_probabilities(logits)  # (B, K), (B, K)
        known = ~y.isnan()
        log_p_y = torch.where(y == 1, reached, missed) * known  # (B, K)
        return -log_p_y @ logits.new_tensor(self.weights)  # (B,)
