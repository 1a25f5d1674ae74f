"""Batches as tensors, against loops over rows."""

import numpy as np
import torch
from scipy import sparse

from sk_adrec.nn import Batch, Lists
from sk_adrec.preprocessing._encoded import Encoded, Ragged


def lists_of(rows):
    offsets = np.append(0, np.cumsum([len(row) for row in rows]))
    values = [code for row in rows for code in row]
    return Lists(torch.tensor(values, dtype=torch.int32), torch.from_numpy(offsets))


def test_padded_is_right_padded_to_the_longest():
    padded = lists_of([[5], [], [2, 3, 4]]).padded()
    assert padded.tolist() == [[5, 0, 0], [0, 0, 0], [2, 3, 4]]
    assert padded.dtype == torch.int32


def test_padded_has_at_least_one_column():
    assert lists_of([[], []]).padded().tolist() == [[0], [0]]
    assert lists_of([]).padded().shape == (0, 1)


def test_padded_agrees_with_a_loop_and_with_the_arrays():
    rng = np.random.default_rng(0)
    rows = [list(rng.integers(1, 9, rng.integers(0, 6))) for _ in range(50)]
    lists = lists_of(rows)
    padded, T = lists.padded(), max(map(len, rows))
    assert padded.tolist() == [row + [0] * (T - len(row)) for row in rows]
    assert lists.lengths.tolist() == [len(row) for row in rows]
    ragged = Ragged(lists.values.numpy(), lists.offsets.numpy())
    np.testing.assert_array_equal(ragged.padded(), padded)


def test_from_encoded_shares_memory_and_keeps_types():
    encoded = Encoded(
        np.ones((2, 1), np.float32),
        np.array([[2], [3]], np.int32),
        {"h": Ragged(np.array([4, 5, 6], np.int32), np.array([0, 1, 3]))},
    )
    batch = Batch.from_encoded(encoded)
    assert len(batch) == 2
    assert batch.sparse is None
    assert batch.categorical.dtype == torch.int32
    assert batch.sequences["h"].padded().tolist() == [[4, 0], [5, 6]]
    encoded.categorical[0, 0] = 9
    assert batch.categorical[0, 0] == 9


def test_from_encoded_keeps_the_rows_of_a_scipy_matrix():
    matrix = sparse.csr_matrix([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [3.0, 0.0, 4.0]])
    encoded = Encoded(np.empty((3, 0)), np.empty((3, 0), np.int32), sparse=matrix)
    lists = Batch.from_encoded(encoded).sparse
    assert lists.values.tolist() == [1, 0, 2]
    assert lists.offsets.tolist() == [0, 1, 1, 3]
    assert lists.x.tolist() == [2.0, 3.0, 4.0]


def test_take_agrees_with_that_of_the_arrays():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 4, 20)
    offsets = np.append(0, np.cumsum(lengths))
    ragged = Ragged(
        rng.integers(1, 9, offsets[-1]).astype(np.int32), offsets, rng.random(offsets[-1])
    )
    matrix = sparse.random(20, 6, 0.3, format="csr", rng=rng)
    encoded = Encoded(
        rng.random((20, 2)), rng.integers(0, 9, (20, 3), np.int32), {"h": ragged}, histories=matrix
    )
    rows = np.array([7, 0, 7, 19, 3])
    batch = Batch.from_encoded(encoded).take(torch.from_numpy(rows))
    expected = Batch.from_encoded(encoded.take(rows))
    assert torch.equal(batch.numeric, expected.numeric)
    assert torch.equal(batch.categorical, expected.categorical)
    pairs = zip(
        (batch.sequences["h"], batch.histories), (expected.sequences["h"], expected.histories)
    )
    for found, wanted in pairs:
        for name in ("values", "offsets", "x"):
            assert torch.equal(getattr(found, name), getattr(wanted, name))
    assert batch.sparse is None
    assert len(Batch.from_encoded(encoded).take(torch.tensor([], dtype=torch.int64))) == 0
