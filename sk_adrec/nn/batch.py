"""One batch of a log as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..preprocessing._encoded import Encoded


@dataclass(frozen=True)
class Lists:
    """The lists of B rows, stored flat.

    Parameters
    ----------
    values : Tensor of shape (n_values,), int
        Codes (list columns) or feature indices (scipy matrices), one row after the other.
    offsets : Tensor of shape (B + 1,), int64
        Row ``i`` is ``values[offsets[i]:offsets[i + 1]]``.
    x : Tensor of shape (n_values, ...) or None, default=None
        The value that goes with each entry (None stands for ones), or its times.

    Examples
    --------
    Three rows, the second without entries:

    >>> import torch
    >>> from sk_adrec.nn import Lists
    >>> lists = Lists(torch.tensor([5, 6, 7]), torch.tensor([0, 2, 2, 3]))
    >>> lists.lengths
    tensor([2, 0, 1])
    >>> lists.padded()
    tensor([[5, 6],
            [0, 0],
            [7, 0]])
    """

    values: Tensor
    offsets: Tensor
    x: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """Entries of each row, shape (B,), int64."""
        return self.offsets.diff()

    def take(self, rows: Tensor) -> Lists:
        """The lists of some rows.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
            Their numbers.

        Returns
        -------
        Lists
            Of n rows, in that order.
        """
        lengths = self.lengths[rows]
        offsets = F.pad(lengths.cumsum(0), (1, 0))
        # Entry j of the result lies (j - offsets[row]) behind its list's start.
        shift = torch.repeat_interleave(self.offsets[rows] - offsets[:-1], lengths)
        entry = torch.arange(len(shift), device=shift.device) + shift
        return Lists(self.values[entry], offsets, None if self.x is None else self.x[entry])

    def padded(self) -> Tensor:
        """Pad the lists on the right to the longest.

        Returns
        -------
        Tensor of shape (B, T), T >= 1
            0 is padding.
        """
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
        Standardised numbers, and indicators of missing ones.
    categorical : Tensor of shape (B, n_categorical), int32
        Codes of ids: 0 missing, 1 unknown, from 2 on known.
    sequences : dict of str to Lists
        Codes of list columns, by the name of the column.
    sparse : Lists or None, default=None
        Rows of a scipy matrix: the positions and values of what is not 0.
    histories : Lists or None, default=None
        Numbers of the items that each row's user has had, and their weights.

    Examples
    --------
    Two rows with a number, an id and a list; the id of the second row is unknown:

    >>> import torch
    >>> from sk_adrec.nn import Batch, Lists
    >>> history = Lists(torch.tensor([2, 3, 2]), torch.tensor([0, 2, 3]))
    >>> ids = torch.tensor([[2], [1]], dtype=torch.int32)
    >>> batch = Batch(torch.tensor([[0.5], [-0.5]]), ids, {"hist_item_id": history})
    >>> len(batch), batch.sequences["hist_item_id"].lengths.tolist()
    (2, [2, 1])
    """

    numeric: Tensor
    categorical: Tensor
    sequences: dict[str, Lists]
    sparse: Lists | None = None
    histories: Lists | None = None

    def __len__(self) -> int:
        return len(self.categorical)

    def take(self, rows: Tensor) -> Batch:
        """Some of the rows.

        Parameters
        ----------
        rows : Tensor of shape (n,), int64
            Their numbers.

        Returns
        -------
        Batch
            Of n rows, in that order.
        """
        return Batch(
            self.numeric[rows],
            self.categorical[rows],
            {name: lists.take(rows) for name, lists in self.sequences.items()},
            None if self.sparse is None else self.sparse.take(rows),
            None if self.histories is None else self.histories.take(rows),
        )

    @classmethod
    def from_encoded(cls, encoded: Encoded, device: str | torch.device = "cpu") -> Batch:
        """Wrap encoded arrays.

        Parameters
        ----------
        encoded : Encoded
            Rows as `LogEncoder` returns them.
        device : str or torch.device, default="cpu"
            Where the tensors lie. On the CPU they share the arrays' memory.

        Returns
        -------
        Batch
        """

        def tensor(array):
            # A memory map of joblib's is read-only, which torch cannot express.
            return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)

        def lists(matrix):
            if matrix is None:
                return None
            return Lists(tensor(matrix.indices), tensor(matrix.indptr).long(), tensor(matrix.data))

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
            lists(encoded.sparse),
            lists(encoded.histories),
        )
