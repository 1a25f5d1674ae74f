"""RowSparseAdam is torch's Adam on dense gradients and torch's SparseAdam on sparse ones."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from sk_adrec.nn import FusedEmbedding, RowSparseAdam, gather_rows

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


# ---- what is kept beyond an optimiser's life --------------------------------------------------


def moved(optimizer, p, rows, n_steps=30):
    for _ in range(n_steps):
        optimizer.zero_grad()
        (gather_rows(p, torch.tensor(rows), True) - 1.0).pow(2).sum().backward()
        optimizer.step()


def test_memory_gives_back_moments_that_are_a_product():
    """All entries of a row have the same gradient here, so rows and columns tell everything."""
    p = nn.Parameter(torch.zeros(6, 3, dtype=torch.float64))
    first = RowSparseAdam([p], lr=0.01)
    moved(first, p, [1, 2, 2])
    later = RowSparseAdam([p], lr=0.01)
    later.remember(first.memory())
    assert_close(later.state[p]["v"], first.state[p]["v"], rtol=1e-12, atol=0)
    assert later.state[p]["step"] == 30
    assert not later.state[p]["m"].any()


def test_memory_is_small_and_plain():
    p, bias = nn.Parameter(torch.zeros(600, 20)), nn.Parameter(torch.zeros(7))
    optimizer = RowSparseAdam([p, bias, nn.Parameter(torch.zeros(5))])
    (gather_rows(p, torch.arange(600), True).sum() + bias.sum()).backward()
    optimizer.step()
    table, vector, unmoved = optimizer.memory()
    assert [part.shape for part in table["v"]] == [(600,), (20,)]
    assert [part.shape for part in vector["v"]] == [(7,)]
    assert unmoved == {}


def row_one(gradient):
    values = torch.full((1, 1), gradient, dtype=torch.float64)
    return torch.sparse_coo_tensor([[1]], values, (2, 1), check_invariants=True)


def test_first_steps_with_a_memory_are_no_longer_than_before():
    """A fresh optimiser moves by lr whatever the gradient's size."""
    steps = {}
    for name in ("fresh", "remembering"):
        p = nn.Parameter(torch.zeros(2, 1, dtype=torch.float64))
        first = RowSparseAdam([p], lr=0.01)
        for sign in [1.0, -1.0] * 500:
            p.grad = row_one(sign)
            first.step()
        later = RowSparseAdam([p], lr=0.01)
        if name == "remembering":
            later.remember(first.memory())
        before = p.detach().clone()
        p.grad = row_one(0.01)
        later.step()
        steps[name] = float((p.detach() - before)[1].abs())
    assert steps["fresh"] == pytest.approx(0.01, rel=1e-4)
    assert steps["remembering"] < 1e-4


def test_replaced_table_keeps_moments_and_new_rows_get_the_mean():
    table = FusedEmbedding({"a": 3, "b": 4}, d=2)
    optimizer = RowSparseAdam(table.parameters(), lr=0.01)
    moved(optimizer, table.weight, [1, 2, 3, 4])
    old, state = table.weight, dict(optimizer.state[table.weight])
    enlarge = table.grow({"a": 5, "b": 4})
    optimizer.replace(old, table.weight, enlarge)
    assert optimizer.param_groups[0]["params"] == [table.weight]
    kept, new = [0, 1, 2, 5, 6, 7, 8], [3, 4]
    now = optimizer.state[table.weight]
    assert_close(now["v"][kept], state["v"])
    assert_close(now["m"][kept], state["m"])
    # Row 0 of "a" has never moved.
    assert_close(now["v"][new], state["v"][1:3].mean(0).expand(2, -1))
    assert not now["m"][new].any()
    assert old not in optimizer.state
    moved(optimizer, table.weight, new)
    assert (table.weight[new] != 0).all()
