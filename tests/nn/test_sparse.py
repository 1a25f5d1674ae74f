"""Operations on the touched rows, against the dense and obvious ones."""

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from sk_adrec.nn import gather_rows, sparse_matmul, take_rows, unique_rows

INDEX_TYPES = [torch.int32, torch.int64]


def table(n_rows, d, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_rows, d, dtype=torch.float64, generator=generator).requires_grad_()


def dense_matrix(index, offsets, x, n_columns):
    """The (B, n_columns) matrix whose entries `sparse_matmul` sums, one at a time."""
    matrix = torch.zeros(len(offsets) - 1, n_columns, dtype=torch.float64)
    for row in range(len(offsets) - 1):
        for j in range(int(offsets[row]), int(offsets[row + 1])):
            matrix[row, int(index[j])] += 1.0 if x is None else x[j]
    return matrix


@pytest.mark.parametrize("dtype", INDEX_TYPES)
@pytest.mark.parametrize(("size", "n_rows"), [(0, 5), (1, 5), (300, 50), (300, 1), (50, 10_000)])
def test_unique_rows_are_those_of_numpy(dtype, size, n_rows):
    index = np.random.default_rng(size).integers(0, n_rows, size)
    rows, inverse = unique_rows(torch.from_numpy(index).to(dtype), n_rows)
    assert rows.dtype == torch.int64
    np.testing.assert_array_equal(rows, np.unique(index))
    np.testing.assert_array_equal(rows[inverse.long()], index)


def test_unique_rows_does_not_remember_an_earlier_call():
    """Its scratch array is reused without being cleared."""
    unique_rows(torch.arange(100).flip(0), 100)
    rows, inverse = unique_rows(torch.tensor([7, 3, 7]), 8)
    assert rows.tolist() == [3, 7]
    assert inverse.tolist() == [1, 0, 1]


@pytest.mark.parametrize("sparse_grad", [True, False])
def test_take_rows_and_its_gradient_are_those_of_indexing(sparse_grad):
    fast, slow, rows = table(9, 3), table(9, 3), torch.tensor([1, 4, 8])
    scale = torch.arange(9.0, dtype=torch.float64).reshape(3, 3)
    out = take_rows(fast, rows, sparse_grad)
    assert_close(out, slow[rows])
    (out * scale).sum().backward()
    (slow[rows] * scale).sum().backward()
    assert fast.grad.is_sparse == sparse_grad
    assert_close(fast.grad.to_dense(), slow.grad)


@pytest.mark.parametrize("dtype", INDEX_TYPES)
@pytest.mark.parametrize("sparse_grad", [True, False])
@pytest.mark.parametrize("shape", [(6,), (4, 3), (2, 3, 2), (0,), (3, 0)])
def test_gather_rows_and_its_gradient_are_those_of_indexing(shape, sparse_grad, dtype):
    fast, slow = table(7, 2), table(7, 2)
    index = torch.randint(0, 7, shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    out = gather_rows(fast, index, sparse_grad)
    assert_close(out, slow[index.long()])
    out.pow(3).sum().backward()
    slow[index.long()].pow(3).sum().backward()
    assert fast.grad.is_sparse == sparse_grad
    assert_close(fast.grad.to_dense(), slow.grad)


def test_sparse_gradients_hold_each_touched_row_once():
    weight = table(1_000, 2)
    gather_rows(weight, torch.tensor([[5, 900], [5, 5]])).sum().backward()
    assert weight.grad._indices().tolist() == [[5, 900]]
    assert weight.grad._values().tolist() == [[3.0, 3.0], [1.0, 1.0]]


@pytest.mark.parametrize("sparse_grad", [True, False])
def test_a_table_used_twice_in_a_batch_gets_the_sum_of_both_gradients(sparse_grad):
    fast, slow = table(6, 2), table(6, 2)
    a, b, rows = torch.tensor([0, 3, 3]), torch.tensor([3, 5, 0]), torch.tensor([2, 3])
    loss = (gather_rows(fast, a, sparse_grad) * gather_rows(fast, b, sparse_grad)).sum()
    (loss + take_rows(fast, rows, sparse_grad).pow(2).sum()).backward()
    ((slow[a] * slow[b]).sum() + slow[rows].pow(2).sum()).backward()
    assert_close(fast.grad.to_dense(), slow.grad)


@pytest.mark.parametrize("dtype", INDEX_TYPES)
@pytest.mark.parametrize("weighted", [True, False])
def test_sparse_matmul_and_its_gradient_are_those_of_the_dense_product(weighted, dtype):
    rng = np.random.default_rng(0)
    offsets = torch.from_numpy(np.append(0, np.cumsum(rng.integers(0, 5, 20))))
    index = torch.from_numpy(rng.integers(0, 11, int(offsets[-1]))).to(dtype)
    x = torch.from_numpy(rng.normal(size=len(index))) if weighted else None
    fast, slow = table(11, 4), table(11, 4)
    out = sparse_matmul(fast, index, offsets, x)
    expected = dense_matrix(index, offsets, x, 11) @ slow
    assert_close(out, expected)
    scale = torch.from_numpy(rng.normal(size=(20, 4)))
    (out * scale).sum().backward()
    (expected * scale).sum().backward()
    assert_close(fast.grad, slow.grad)


def test_sparse_matmul_of_rows_without_entries_is_zero():
    out = sparse_matmul(table(3, 2), torch.empty(0, dtype=torch.int32), torch.zeros(3).long())
    assert out.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_gradients_pass_torchs_numerical_check():
    offsets, index = torch.tensor([0, 2, 2, 5]), torch.tensor([3, 3, 0, 1, 3])
    x = torch.tensor([0.5, -1.0, 2.0, 3.0, 0.1], dtype=torch.float64)
    assert gradcheck(lambda t: sparse_matmul(t, index, offsets, x), table(4, 3))
    assert gradcheck(lambda t: gather_rows(t, index, False), table(4, 3))
    assert gradcheck(lambda t: take_rows(t, torch.tensor([0, 2]), False), table(4, 3))


def test_float32_stays_float32():
    weight = table(4, 2).detach().float().requires_grad_()
    out = sparse_matmul(gather_rows(weight, torch.arange(4)), torch.arange(4), torch.tensor([0, 4]))
    out.sum().backward()
    assert out.dtype == weight.grad.dtype == torch.float32
