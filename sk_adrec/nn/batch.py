"""One batch of a log as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..preprocessing._encoded import Encoded


@dataclass(frozen=True)
class Lists:
    """The lists of B rows, stored flat.

    Parameters
    ----------
    values : Tensor of shape (n_values,), integer
        Codes (list columns) or feature indices (scipy matrices), one row after the other.
    offsets : Tensor of shape (B + 1,), int64
        Row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    x : Tensor of shape (n_values, ...) or None
        The value that goes with each entry (None stands for ones), or its times.
    """

    values: Tensor
    offsets: Tensor
    x: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """Entries of each row, shape (B,), int64."""
        return self.offsets.diff()

    def padded(self) -> Tensor:
        """The lists right-padded with 0 to the longest, shape (B, T), T >= 1; 0 = padding."""
        lengths = self.lengths
        T = max(1, int(lengths.max())) if len(lengths) else 1
        codes = self.values.new_zeros(len(lengths), T)
        codes[torch.arange(T, device=codes.device) < lengths[:, None]] = self.values
        return codes


@dataclass(frozen=True)
class Batch:
    """B rows of a log.

    Parameters
    ----------
    numeric : Tensor of shape (B, n_numeric), float
    categorical : Tensor of shape (B, n_categorical), int32
    sequences : dict of str to Lists
    sparse : Lists or None
        Rows of a scipy matrix.
    """

    numeric: Tensor
    categorical: Tensor
    sequences: dict[str, Lists]
    sparse: Lists | None = None

    def __len__(self) -> int:
        return len(self.categorical)

    @classmethod
    def from_encoded(cls, encoded: Encoded, device: str | torch.device = "cpu") -> Batch:
        """Wrap encoded arrays (no copy on the CPU)."""

        def tensor(array):
            # A memory map of joblib's is read-only, which torch cannot express.
            return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)

        sparse = encoded.sparse
        return cls(
            tensor(encoded.numeric),
            tensor(encoded.categorical),
            {
                name: Lists(
                    tensor(ragged.values),
                    tensor(ragged.offsets),
                    None if ragged.x is None else tensor(ragged.x),
                )
                for name, ragged in encoded.sequences.items()
            },
            None
            if sparse is None
            else Lists(
                tensor(sparse.indices),
                tensor(sparse.indptr).long(),
                tensor(sparse.data),
            ),
        )
