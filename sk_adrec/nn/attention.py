"""Attention from a candidate to the events of a history, over flat lists: no padding, no mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .mlp import MLP
from .sparse import rows_of_entries, sparse_matmul

# Events scored at once: few enough for their hidden layers to stay in the processor's cache.
_BLOCK = 4096


class LocalActivationUnit(nn.Module):
    """DIN's a(e_k, e_t): how much event k of a history matters for the candidate.

    Zhou et al. (2018), figure 2: an MLP on [e_k, e_t, e_k - e_t, e_k * e_t] gives one number an
    event. Computed exactly, but at a third of the cost: the difference is linear in the other
    inputs, so its weights are added to theirs; and hidden layers live block by block, anew in the
    backward pass, instead of being written to and read from memory for a whole batch.

    NOTE[DIFF]: the unit's hidden layers are ReLU; the paper has PReLU or Dice, its code sigmoid.

    Parameters
    ----------
    d : int
        Width of an event's and of the candidate's embedding.
    hidden_dims : sequence of int
        Widths of the hidden layers. They cost most of DIN's time: narrower ones are faster.

    Examples
    --------
    Two events of the first row and one of the second, each compared with its row's candidate:

    >>> import torch
    >>> from sk_adrec.nn import LocalActivationUnit, softmax_of_lists
    >>> a = LocalActivationUnit(4, (8,))
    >>> e_k, e_t, offsets = torch.randn(3, 4), torch.randn(2, 4), torch.tensor([0, 2, 3])
    >>> score = a(e_k, e_t, offsets)
    >>> score.shape
    torch.Size([3])
    >>> softmax_of_lists(score, offsets)[2].item()  # alone in its row
    1.0
    """

    def __init__(self, d: int, hidden_dims: Sequence[int]):
        super().__init__()
        self.d = int(d)
        self.mlp = MLP(4 * self.d, hidden_dims, activation="relu", out_dim=1)

    def forward(self, e_k: Tensor, e_t: Tensor, offsets: Tensor) -> Tensor:
        """Scores of the events, before any normalisation.

        Parameters
        ----------
        e_k : Tensor of shape (n_events, d)
            The events of all rows, one row after the other.
        e_t : Tensor of shape (B, d)
            The candidate of each row.
        offsets : Tensor of shape (B + 1,), int
            Row ``i`` has the events ``offsets[i]:offsets[i + 1]``.

        Returns
        -------
        Tensor of shape (n_events,)
            a(e_k, e_t), any real number.
        """
        linear = [layer for layer in self.mlp if isinstance(layer, nn.Linear)]
        of_k, of_t, of_difference, of_product = linear[0].weight.split(self.d, 1)
        folded = torch.cat([of_k + of_difference, of_t - of_difference, of_product], 1)
        weights = [folded, *(layer.weight for layer in linear[1:])]
        biases = [layer.bias for layer in linear]
        return _Score.apply(e_k, e_t, offsets, *weights, *biases)  # (n_events,)


def softmax_of_lists(score: Tensor, offsets: Tensor) -> Tensor:
    """The softmax of each row's entries over that row.

    Parameters
    ----------
    score : Tensor of shape (m,)
        Scores of all rows' entries, one row after the other.
    offsets : Tensor of shape (B + 1,), int
        Row ``i`` has the entries ``offsets[i]:offsets[i + 1]``; a row may have none.

    Returns
    -------
    Tensor of shape (m,)
        The entries of a row sum to 1.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import softmax_of_lists
    >>> softmax_of_lists(torch.tensor([0.0, 0.0, 7.0]), torch.tensor([0, 2, 2, 3]))
    tensor([0.5000, 0.5000, 1.0000])
    """
    if not len(score):
        return score
    lengths = offsets.diff()
    inside = torch.arange(int(lengths.max()), device=score.device) < lengths[:, None]  # (B, T)
    # The lowest number, not -inf: a row without entries would give NaN.
    padded = score.new_full(inside.shape, torch.finfo(score.dtype).min)
    return padded.masked_scatter(inside, score).softmax(1)[inside]


def _hidden(e_k: Tensor, e_t: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor]):
    """The input [e_k, e_t, e_k * e_t] and the hidden layers of some events."""
    states = [torch.cat([e_k, e_t, e_k * e_t], 1)]
    for weight, bias in zip(weights[:-1], biases):
        states.append(torch.addmm(bias, states[-1], weight.T).relu_())
    return states


class _Score(Function):
    """The MLP on [e_k, e_t, e_k * e_t], in blocks of events that keep nothing for backward."""

    @staticmethod
    def forward(ctx, e_k, e_t, offsets, *parameters):
        row = rows_of_entries(offsets)
        ctx.save_for_backward(e_k, e_t, offsets, row, *parameters)
        weights, biases = _halves(parameters)
        score = e_k.new_empty(len(e_k))
        for block in _blocks(len(e_k)):
            h = _hidden(e_k[block], e_t.index_select(0, row[block]), weights, biases)[-1]
            torch.addmv(biases[-1].expand(len(h)), h, weights[-1][0], out=score[block])
        return score

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        e_k, e_t, offsets, row, *parameters = ctx.saved_tensors
        weights, biases = _halves(parameters)
        grad_weights = [torch.zeros_like(weight) for weight in weights]
        grad_biases = [torch.zeros_like(bias) for bias in biases]
        grad_k, grad_t = torch.empty_like(e_k), torch.empty_like(e_k)
        for block in _blocks(len(e_k)):
            k, t = e_k[block], e_t.index_select(0, row[block])
            states = _hidden(k, t, weights, biases)
            g = grad[block][:, None]
            for layer in reversed(range(len(weights))):
                grad_weights[layer].addmm_(g.T, states[layer])
                grad_biases[layer] += g.sum(0)
                g = g @ weights[layer]
                if layer:
                    g.mul_(states[layer] > 0)
            g_k, g_t, g_product = g.tensor_split(3, 1)
            torch.addcmul(g_k, g_product, t, out=grad_k[block])
            torch.addcmul(g_t, g_product, k, out=grad_t[block])
        each = torch.arange(len(e_k), device=e_k.device)
        grad_t = sparse_matmul(grad_t, each, offsets)  # (B, d)
        return grad_k, grad_t, None, *grad_weights, *grad_biases


def _halves(parameters):
    middle = len(parameters) // 2
    return parameters[:middle], parameters[middle:]


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]
