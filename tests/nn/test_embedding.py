"""One table for several vocabularies: who owns which rows, and what growing keeps."""

import pytest
import torch
from torch.testing import assert_close

from sk_adrec.nn import FusedEmbedding


@pytest.fixture
def embedding():
    torch.manual_seed(0)
    return FusedEmbedding({"user": 4, "item": 3}, d=2)


def test_vocabularies_own_blocks_in_order(embedding):
    assert embedding.weight.shape == (7, 2)
    assert embedding.index("item", torch.tensor([[0, 2]])).tolist() == [[4, 6]]
    codes = torch.tensor([[3, 1], [0, 2]], dtype=torch.int32)
    index = embedding.index_columns(["user", "item"], codes)
    assert index.tolist() == [[3, 5], [0, 6]]
    assert_close(embedding.rows_of("item"), embedding.weight[4:7].detach())


def test_two_columns_may_share_a_vocabulary(embedding):
    codes = torch.tensor([[2, 2]])
    assert embedding.index_columns(["item", "item"], codes).tolist() == [[6, 6]]


def test_padding_starts_at_zero_and_other_rows_do_not(embedding):
    for name in ("user", "item"):
        rows = embedding.rows_of(name)
        assert not rows[0].any()
        assert rows[1:].all()


def test_forward_looks_rows_up(embedding):
    index = torch.tensor([[6, 0], [3, 6]])
    assert_close(embedding(index), embedding.weight[index])


def test_distinct_gives_each_row_once(embedding):
    index = torch.tensor([5, 2, 5, 6])
    rows, place = embedding.distinct(index)
    assert_close(rows, embedding.weight[[2, 5, 6]])
    assert_close(rows[place.long()], embedding.weight[index])


@pytest.mark.parametrize("sparse_grad", [True, False])
def test_sparse_grad_decides_the_kind_of_gradient(embedding, sparse_grad):
    embedding.sparse_grad = sparse_grad
    rows, _ = embedding.distinct(torch.tensor([1, 1]))
    (rows.sum() + embedding(torch.tensor([2])).sum()).backward()
    assert embedding.weight.grad.is_sparse == sparse_grad
    assert embedding.weight.grad.to_dense().sum(1).tolist() == [0, 2, 2, 0, 0, 0, 0]


def test_grow_keeps_old_rows_and_starts_new_ones_as_unknown(embedding):
    old = {name: embedding.rows_of(name).clone() for name in ("user", "item")}
    embedding.grow({"user": 6, "item": 4})
    assert embedding.weight.shape == (10, 2)
    assert embedding.weight.requires_grad
    for name, rows in old.items():
        grown = embedding.rows_of(name)
        assert_close(grown[: len(rows)], rows)
        assert_close(grown[len(rows) :], rows[1].expand(len(grown) - len(rows), 2))
    assert embedding.index("item", torch.tensor([3])).tolist() == [9]


def test_grow_keeps_the_dtype(embedding):
    embedding.double().grow({"user": 5, "item": 3})
    assert embedding.weight.dtype == torch.float64
