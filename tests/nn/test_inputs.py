"""FieldInputs against a loop over rows, and what its gradients hold."""

import pytest
import torch
from torch.testing import assert_close

from sk_adrec.nn import Batch, FieldInputs, Lists
from sk_adrec.preprocessing._encoded import Schema

SCHEMA = Schema(
    numeric=("price", "age"),
    categorical={"user": "user", "item": "item"},
    sequences={"history": "item", "tags": "tags"},
    cardinalities={"user": 5, "item": 7, "tags": 4},
)


def lists(*rows):
    lengths = torch.tensor([len(row) for row in rows])
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    return Lists(torch.tensor([c for row in rows for c in row], dtype=torch.int32), offsets)


HISTORY, TAGS = [[2, 2, 3], [], [6]], [[1], [2, 3], []]


def make_batch(rows=(0, 1, 2)):
    categorical = torch.tensor([[2, 3], [0, 6], [4, 1]], dtype=torch.int32)
    rows = list(rows)
    return Batch(
        torch.arange(6.0).reshape(3, 2)[rows],
        categorical[rows],
        {
            "history": lists(*[HISTORY[i] for i in rows]),
            "tags": lists(*[TAGS[i] for i in rows]),
        },
    )


@pytest.fixture
def inputs():
    torch.manual_seed(0)
    return FieldInputs(SCHEMA, d=3)


def slow(inputs, batch, names=("history", "tags")):
    """Row by row: a vector per id, the mean per list, the numbers."""
    block = {name: inputs.table.rows_of(name) for name in SCHEMA.cardinalities}
    out = []
    for i in range(len(batch)):
        user, item = batch.categorical[i].tolist()
        parts = [block["user"][user], block["item"][item]]
        for name in names:
            start, stop = batch.sequences[name].offsets[i : i + 2].tolist()
            codes = batch.sequences[name].values[start:stop].tolist()
            vectors = [block[SCHEMA.sequences[name]][code] for code in codes]
            parts.append(sum(vectors) / len(vectors) if vectors else torch.zeros(3))
        out.append(torch.cat([*parts, batch.numeric[i]]))
    return torch.stack(out)


def test_forward_is_the_loop_over_rows(inputs):
    batch = make_batch()
    assert inputs.out_dim == 4 * 3 + 2
    assert inputs.fields == ["user", "item", "history", "tags"]
    assert_close(inputs(batch), slow(inputs, batch))


def test_a_row_does_not_depend_on_the_others(inputs):
    full = inputs(make_batch())
    for i in range(3):
        assert_close(inputs(make_batch([i])), full[[i]])


def test_excluded_lists_keep_their_rows_in_the_table():
    torch.manual_seed(0)
    inputs = FieldInputs(SCHEMA, d=3, exclude=("history",))
    batch = make_batch()
    assert inputs.out_dim == 3 * 3 + 2
    assert len(inputs.table.weight) == 16
    assert_close(inputs(batch), slow(inputs, batch, ["tags"]))
    rows = inputs.table.index("item", batch.sequences["history"].values)
    theta, (*_, place) = inputs.look_up(batch, [rows])
    assert_close(theta[place.long()], inputs.table.weight[rows.long()])


def test_fields_as_vectors(inputs):
    batch = make_batch()
    fields = inputs.embed(batch, *inputs.look_up(batch))
    assert_close(fields.flatten(1), slow(inputs, batch)[:, :-2])


def test_gradients_are_those_of_the_loop_in_the_rows_of_the_batch(inputs):
    batch, table = make_batch(), inputs.table
    scale = torch.randn(3, inputs.out_dim)
    (inputs(batch) * scale).sum().backward()
    ours = table.weight.grad
    assert ours.is_sparse
    weight = table.weight.detach().requires_grad_()
    expected = torch.zeros_like(table.weight)
    for row in range(len(weight)):
        for k in range(3):
            with torch.no_grad():
                table.weight[row, k] += 1.0
            up = (slow(inputs, batch) * scale).sum()
            with torch.no_grad():
                table.weight[row, k] -= 2.0
            down = (slow(inputs, batch) * scale).sum()
            with torch.no_grad():
                table.weight[row, k] += 1.0
            expected[row, k] = (up - down) / 2
    assert_close(ours.to_dense(), expected.detach(), atol=1e-5, rtol=1e-4)
    assert len(ours.coalesce().indices()[0]) < len(weight)


@pytest.mark.parametrize("kinds", [("numeric",), ("categorical",), ("sequences",)])
def test_any_kind_of_column_may_be_alone(kinds):
    schema = Schema(
        SCHEMA.numeric if "numeric" in kinds else (),
        SCHEMA.categorical if "categorical" in kinds else {},
        {"tags": "tags"} if "sequences" in kinds else {},
        SCHEMA.cardinalities,
    )
    batch = make_batch()
    batch = Batch(
        batch.numeric if "numeric" in kinds else torch.empty(3, 0),
        batch.categorical if "categorical" in kinds else torch.empty(3, 0, dtype=torch.int32),
        {"tags": batch.sequences["tags"]} if "sequences" in kinds else {},
    )
    inputs = FieldInputs(schema, d=3)
    out = inputs(batch)
    assert out.shape == (3, inputs.out_dim)
    out.sum().backward()
