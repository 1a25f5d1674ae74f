"""Batches of an encoded log: slices of arrays, no call per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from .nn.batch import Batch
from .preprocessing._encoded import Encoded


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from: encoded columns, target, weights.

    Parameters
    ----------
    encoded : Encoded
    y : ndarray of shape (n_encoded, ...)
        What the loss compares the output with.
    weight : ndarray of shape (n_encoded,)
        Sample weights of mean 1 over the training rows.
    rows : ndarray of int or None
        The rows of `encoded` that belong to this part; None = all.
    """

    encoded: Encoded
    y: np.ndarray
    weight: np.ndarray
    rows: np.ndarray | None = None

    @classmethod
    def of(cls, encoded: Encoded, y, weight, rows, dtype: str) -> TrainingRows:
        """Rows with weights of mean 1, so that a batch's loss is an unbiased part of the whole."""
        mean = weight.mean() if rows is None else weight[rows].mean()
        if y.dtype.kind == "f":
            y = y.astype(dtype, copy=False)
        return cls(encoded, y, (weight / mean).astype(dtype), rows)

    def __len__(self) -> int:
        return len(self.encoded) if self.rows is None else len(self.rows)

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """y and weight of the rows of this part."""
        rows = slice(None) if self.rows is None else self.rows
        return self.y[rows], self.weight[rows]


class BatchIterator:
    """Batches of encoded rows, shuffled anew in each pass when a generator is given.

    Parameters
    ----------
    data : TrainingRows
    batch_size : int
    device : str
    rng : numpy Generator or None, default=None
        Shuffles the rows, and drops ids; None keeps the order.
    id_dropout : float, default=0.0
        How often in a pass each id is shown as unknown (code 1) in one of its rows, so that the
        unknown row of its vocabulary learns what an average id means: average over ids, since a
        new id is a draw from those, not from the rows of the most frequent.
    """

    def __init__(self, data, batch_size, device="cpu", rng=None, id_dropout=0.0):
        self.data, self.batch_size, self.device = data, batch_size, device
        self.rng, self.id_dropout = rng, id_dropout if rng is not None else 0.0
        if self.id_dropout:
            self._frequency = _id_frequencies(data)

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Batch, tuple[torch.Tensor, torch.Tensor]]]:
        data, n = self.data, len(self.data)
        order = data.rows
        if self.rng is not None and n > self.batch_size:
            order = self.rng.permutation(n if order is None else order)
        for start in range(0, n, self.batch_size):
            rows = slice(start, min(start + self.batch_size, n))
            if order is not None:
                rows = order[rows]
            encoded = data.encoded.take(rows)
            if self.id_dropout:
                encoded = self._drop_ids(encoded)
            y, weight = (
                torch.from_numpy(part[rows]).to(self.device) for part in (data.y, data.weight)
            )
            yield Batch.from_encoded(encoded, self.device), (y, weight)

    def _drop_ids(self, encoded: Encoded) -> Encoded:
        columns, lists = self._frequency
        n, n_columns = encoded.categorical.shape
        categorical, sequences = encoded.categorical, dict(encoded.sequences)
        if n_columns:
            cell = self._candidates(n * n_columns)
            codes = categorical.reshape(-1)[cell]
            hit = cell[self._is_hit(columns.of(codes, cell % n_columns))]
            categorical = categorical.copy()
            flat = categorical.reshape(-1)
            flat[hit] = np.minimum(flat[hit], 1)
        for name, frequency in lists.items():
            values = sequences[name].values.copy()
            cell = self._candidates(len(values))
            values[cell[self._is_hit(frequency[values[cell]])]] = 1
            sequences[name] = replace(sequences[name], values=values)
        return replace(encoded, categorical=categorical, sequences=sequences)

    def _candidates(self, size: int) -> np.ndarray:
        """Entries that a drop of probability `id_dropout` hits, as if every id were seen once."""
        return self.rng.integers(0, max(size, 1), self.rng.binomial(size, self.id_dropout))

    def _is_hit(self, frequency: np.ndarray) -> np.ndarray:
        return self.rng.random(len(frequency)) * frequency < 1


class _ColumnFrequencies:
    """Rows of each code of each column, in one array."""

    def __init__(self, codes: np.ndarray, rows: np.ndarray | None):
        counts = [np.bincount(column if rows is None else column[rows]) for column in codes.T]
        self.offsets = np.cumsum([0, *map(len, counts)])[:-1]
        self.counts = np.concatenate([np.empty(0, dtype=np.int64), *counts])

    def of(self, codes: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self.counts[codes + self.offsets[columns]]


def _id_frequencies(data: TrainingRows) -> tuple[_ColumnFrequencies, dict[str, np.ndarray]]:
    """How many rows each code of the training rows has, by column and by list column."""
    lists = {
        name: np.bincount((ragged if data.rows is None else ragged.take(data.rows)).values)
        for name, ragged in data.encoded.sequences.items()
    }
    return _ColumnFrequencies(data.encoded.categorical, data.rows), lists


def forward_batches(
    module: torch.nn.Module,
    encoded: Encoded,
    device: str | torch.device,
    batch_size: int,
    function: Callable[[torch.Tensor], torch.Tensor] | None = None,
    rows: np.ndarray | None = None,
    method: str | None = None,
) -> np.ndarray:
    """The module's outputs, batch by batch, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
    encoded : Encoded
    device : str or torch.device
    batch_size : int
    function : callable or None
        Applied to each batch's output.
    rows : ndarray of int or None
        Which rows; None for all.
    method : str or None
        Of the module, called in place of ``forward``.

    Returns
    -------
    ndarray of shape (n_rows, ...)
    """
    module.eval()
    call = module if method is None else getattr(module, method)
    parts = []
    with torch.inference_mode():
        n_rows = len(encoded) if rows is None else len(rows)
        # Of no rows, too, the outputs have a shape.
        for start in range(0, max(n_rows, 1), batch_size):
            batch = slice(start, start + batch_size)
            if rows is not None:
                part = encoded.take(rows[batch])
            else:
                part = encoded if len(encoded) <= batch_size else encoded.take(batch)
            output = call(Batch.from_encoded(part, device))
            parts.append((output if function is None else function(output)).cpu().numpy())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
