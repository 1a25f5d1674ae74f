"""RowSparseAdam is torch's Adam on dense gradients and torch's SparseAdam on sparse ones."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sk_adrec.nn import RowSparseAdam, gather_rows

SETTINGS = {"lr": 0.05, "betas": (0.8, 0.95)}


def parameter(n_rows=8, d=3):
    generator = torch.Generator().manual_seed(0)
    return nn.Parameter(torch.randn(n_rows, d, dtype=torch.float64, generator=generator))


def train(optimizer_class, batches, sparse_grad, **settings):
    """A table after one step per batch of row numbers, pulled towards the batch's own number."""
    p = parameter()
    optimizer = optimizer_class([p], **SETTINGS, **settings)
    for number, rows in enumerate(batches):
        optimizer.zero_grad()
        (gather_rows(p, torch.tensor(rows), sparse_grad) - number).pow(2).sum().backward()
        optimizer.step()
    return p.detach()


BATCHES = [[0, 1, 1], [1, 5], [5, 5, 5], [0], [1, 6, 0]] * 3


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_dense_gradients_follow_adam(l2):
    ours = train(RowSparseAdam, BATCHES, sparse_grad=False, l2=l2)
    theirs = train(torch.optim.Adam, BATCHES, sparse_grad=False, weight_decay=l2, foreach=False)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_sparse_gradients_follow_sparse_adam():
    # The two add eps at different places; one that does nothing leaves the same formula.
    ours = train(RowSparseAdam, BATCHES, sparse_grad=True, eps=1e-100)
    theirs = train(torch.optim.SparseAdam, BATCHES, sparse_grad=True, eps=1e-100)
    assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_rows_without_a_gradient_stay_bit_equal(l2):
    start, end = parameter().detach(), train(RowSparseAdam, BATCHES, sparse_grad=True, l2=l2)
    untouched = [2, 3, 4, 7]
    assert torch.equal(end[untouched], start[untouched])
    assert (end[[0, 1, 5, 6]] != start[[0, 1, 5, 6]]).all()


def test_a_row_rests_while_others_are_used():
    once = train(RowSparseAdam, [[1]], sparse_grad=True)
    then_others = train(RowSparseAdam, [[1], [2], [3]], sparse_grad=True)
    assert torch.equal(once[1], then_others[1])


def test_l2_is_added_to_the_gradient_of_touched_rows():
    """One step of Adam is lr * g / (|g| + eps), here with l2 alone in the gradient."""
    p = parameter()
    start = p.detach().clone()
    optimizer = RowSparseAdam([p], lr=0.1, eps=1e-8, l2=0.5)
    (gather_rows(p, torch.tensor([1, 4])) * 0.0).sum().backward()
    optimizer.step()
    expected = start.clone()
    g = 0.5 * start[[1, 4]]
    expected[[1, 4]] -= 0.1 * g / (g.abs() + 1e-8)
    assert_close(p.detach(), expected, rtol=1e-12, atol=1e-14)


def test_gradients_that_are_not_coalesced_are_summed():
    p, q = parameter(), parameter()
    values = torch.ones(2, 3, dtype=torch.float64)
    p.grad = torch.sparse_coo_tensor([[4, 4]], values, p.shape, check_invariants=True)
    q.grad = torch.sparse_coo_tensor([[4]], 2 * values[:1], q.shape, check_invariants=True)
    for one in (p, q):
        RowSparseAdam([one]).step()
    assert torch.equal(p, q)


def test_parameters_without_a_gradient_are_left_alone_and_the_closure_is_called():
    p, unused = parameter(), parameter()

    def closure():
        loss = p.sum()
        loss.backward()
        return loss

    optimizer = RowSparseAdam([p, unused])
    expected = float(p.detach().sum())
    assert optimizer.step(closure).item() == pytest.approx(expected)
    assert torch.equal(unused, parameter())
    assert not torch.equal(p, parameter())
