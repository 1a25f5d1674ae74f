"""LocalActivationUnit and softmax_of_lists against loops over events, and by hand."""

import pytest
import torch
from torch.testing import assert_close

from sk_adrec.nn import LocalActivationUnit, attention, softmax_of_lists, sparse_matmul
from sk_adrec.nn.sparse import take_entries

LENGTHS = [3, 0, 1, 4]


def offsets_of(lengths):
    return torch.tensor([0, *lengths]).cumsum(0)


def events(d=2, lengths=LENGTHS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    e_k = torch.randn(sum(lengths), d, dtype=torch.float64, generator=generator)
    e_t = torch.randn(len(lengths), d, dtype=torch.float64, generator=generator)
    return e_k.requires_grad_(), e_t.requires_grad_(), offsets_of(lengths)


def slow_scores(unit, e_k, e_t, offsets):
    """The paper's figure 2, event by event."""
    scores = []
    for row in range(len(e_t)):
        for k in range(offsets[row], offsets[row + 1]):
            e, t = e_k[k], e_t[row]
            scores.append(unit.mlp(torch.cat([e, t, e - t, e * t]))[0])
    return torch.stack(scores)


@pytest.fixture(params=[2, 4096], ids=["blocks of 2", "one block"])
def block(request, monkeypatch):
    monkeypatch.setattr(attention, "_BLOCK", request.param)


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("hidden_dims", [(), (5,), (5, 4)])
def test_scores_and_gradients_are_those_of_the_loop(hidden_dims):
    torch.manual_seed(0)
    unit = LocalActivationUnit(2, hidden_dims).double()
    e_k, e_t, offsets = events()
    inputs = [e_k, e_t, *unit.parameters()]
    weight = torch.randn(len(e_k), dtype=torch.float64)
    expected = slow_scores(unit, e_k, e_t, offsets)
    actual = unit(e_k, e_t, offsets)
    assert_close(actual, expected)
    ours = torch.autograd.grad((actual * weight).sum(), inputs)
    for mine, theirs in zip(ours, torch.autograd.grad((expected * weight).sum(), inputs)):
        assert_close(mine, theirs)


def test_scores_by_hand():
    unit = LocalActivationUnit(1, ())
    with torch.no_grad():
        unit.mlp[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        unit.mlp[0].bias.fill_(0.5)
    e_k, e_t = torch.tensor([[2.0], [3.0]]), torch.tensor([[5.0]])
    # 2 + 50 - 300 + 10000 + 0.5 and 3 + 50 - 200 + 15000 + 0.5
    assert_close(unit(e_k, e_t, torch.tensor([0, 2])), torch.tensor([9752.5, 14853.5]))


def test_no_events_at_all():
    unit = LocalActivationUnit(2, (3,))
    e_t = torch.randn(2, 2, requires_grad=True)
    e_k = torch.empty(0, 2, requires_grad=True)
    offsets = torch.zeros(3, dtype=torch.int64)
    score = softmax_of_lists(unit(e_k, e_t, offsets), offsets)
    assert score.shape == (0,)
    score.sum().backward()
    assert not e_t.grad.any()


def test_softmax_of_each_list():
    score = torch.tensor([1.0, 2.0, 2.0, -3.0, 5e4, -5e4, 0.0, 5e4], requires_grad=True)
    offsets = offsets_of(LENGTHS)
    weights = softmax_of_lists(score, offsets)
    parts = weights.split(LENGTHS)
    assert_close(parts[0], torch.tensor([1.0, 2.0, 2.0]).softmax(0))
    assert parts[2].tolist() == [1.0]
    assert parts[3].tolist() == [0.5, 0.0, 0.0, 0.5]
    (weights * torch.arange(8.0)).sum().backward()
    assert score.grad.isfinite().all()


def test_sparse_matmul_has_a_gradient_for_x():
    torch.manual_seed(0)
    table = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    index, offsets = torch.tensor([0, 3, 3, 1, 2, 2, 0, 1]), offsets_of(LENGTHS)
    torch.autograd.gradcheck(lambda t, x: sparse_matmul(t, index, offsets, x), (table, x))
    frozen = table.detach()
    torch.autograd.gradcheck(lambda x: sparse_matmul(frozen, index, offsets, x), (x,))


def test_take_entries_is_indexing():
    table = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([[3, 0], [3, 1]], dtype=torch.int32)
    assert_close(take_entries(table, index), table[index.long()])
    torch.autograd.gradcheck(lambda t: take_entries(t, index), (table,))
