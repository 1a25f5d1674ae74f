"""Lists of unlike lengths as few dense blocks, with little padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# A block ends before lists shorter than this share of its first one, and those few entries.
_SHARE, _SLACK = 0.85, 4
# Elements of a block's (rows, T, T) matrix: 4 MB in float32, near the cache.
_BLOCK = 1 << 20
#: What products of matrices and vectorised functions make of a row does not depend on the rows
#: around it, to the last bit, where the number of rows is a multiple of this.
ROW_MULTIPLE = 16


@dataclass(frozen=True)
class PackedLists:
    """The newest entries of each list, sorted by length and cut into blocks of like lengths.

    The entries of all blocks lie in one axis of length N: block after block, row after row, each
    row padded on the right to its block's longest. So a layer that looks at entries one by one
    takes an (N, d) tensor, and attention sees (rows, T, d) views of it. Behind each entry, and
    never before, lies padding: a causal mask alone keeps it out.

    Parameters
    ----------
    N : int
        Entries, padding included.
    shapes : list of (int, int)
        Rows and length T of each block.
    entry : Tensor of shape (m,), int64
        Positions in ``Lists.values`` of the entries that were kept.
    place : Tensor of shape (m,), int64
        Their positions in the packed axis.
    step : Tensor of shape (m,), int64
        Their positions within their lists: 0 is the oldest that was kept.
    row : Tensor of shape (m,), int64
        Their lists.

    Examples
    --------
    Of three lists, one of them empty, the newest two entries are kept: a block of two rows.

    >>> import torch
    >>> from sk_adrec.nn import PackedLists
    >>> values, offsets = torch.tensor([5, 6, 7, 8, 3]), torch.tensor([0, 3, 3, 5])
    >>> lists = PackedLists.of(offsets, max_len=2)
    >>> lists.shapes
    [(2, 2)]
    >>> [block.tolist() for block in lists.blocks(lists.pack(values))]
    [[[6, 7], [8, 3]]]
    """

    N: int
    shapes: list[tuple[int, int]]
    entry: Tensor
    place: Tensor
    step: Tensor
    row: Tensor

    @classmethod
    def of(cls, offsets: Tensor, max_len: int, alike: bool = False) -> PackedLists:
        """Plan how lists are packed.

        Parameters
        ----------
        offsets : Tensor of shape (B + 1,), int64
            List ``i`` has the entries ``offsets[i]:offsets[i + 1]``; it may have none.
        max_len : int
            Entries kept of a list, the last ones.
        alike : bool, default=False
            Pad each list to the next multiple of ``ROW_MULTIPLE``, whatever the lists beside it
            are: what comes out for it then never depends on its batch, for a little more padding.
            True in predictions.

        Returns
        -------
        PackedLists
        """
        device = offsets.device
        lengths = offsets.diff()
        kept = lengths.clamp(max=max_len)
        padded = -(-kept // ROW_MULTIPLE) * ROW_MULTIPLE if alike else kept
        by_length, order = padded.sort(descending=True, stable=True)
        share, slack = (1, 0) if alike else (_SHARE, _SLACK)
        shapes = list(_shapes(by_length.tolist(), share, slack))
        # Where each list starts in the packed axis, in the order of the batch.
        width = torch.tensor([T for n, T in shapes for _ in range(n)], dtype=torch.int64)
        start = torch.zeros(len(lengths), dtype=torch.int64)
        start[: len(width)] = width.cumsum(0) - width
        starts = torch.empty_like(start, device=device)
        starts[order] = start.to(device)
        row = torch.repeat_interleave(torch.arange(len(kept), device=device), kept)
        step = torch.arange(len(row), device=device) - (kept.cumsum(0) - kept)[row]
        entry = (offsets[1:] - kept)[row] + step
        return cls(int(width.sum()), shapes, entry, starts[row] + step, step, row)

    def pack(self, values: Tensor) -> Tensor:
        """Spread ``Lists.values``, or what goes with them, over the packed axis.

        Parameters
        ----------
        values : Tensor of shape (n_values, ...)
            One element for each entry of the lists, those that are not kept included.

        Returns
        -------
        Tensor of shape (N, ...)
            0 at padding.
        """
        packed = values.new_zeros(self.N, *values.shape[1:])
        packed[self.place] = values[self.entry]
        return packed

    def pack_steps(self) -> Tensor:
        """Spread `step` over the packed axis.

        Returns
        -------
        Tensor of shape (N,), int64
            0 at padding.
        """
        steps = self.step.new_zeros(self.N)
        steps[self.place] = self.step
        return steps

    def blocks(self, packed: Tensor) -> Iterator[Tensor]:
        """Cut a packed tensor into its blocks.

        Parameters
        ----------
        packed : Tensor of shape (N, ...)
            What `pack` returned, or a layer made of it.

        Yields
        ------
        Tensor of shape (rows, T, ...)
            A view.
        """
        for (n, T), part in zip(self.shapes, packed.split([n * T for n, T in self.shapes])):
            yield part.unflatten(0, (n, T))


def _shapes(lengths: list[int], share: float, slack: int) -> Iterator[tuple[int, int]]:
    """Rows and length of each block, for descending lengths; empty lists are in none."""
    n, T = 0, 0
    for length in lengths:
        if n and (length < share * T - slack or (n + 1) * T * T > _BLOCK):
            yield n, T
            n = 0
        if not length:
            break
        T = T if n else length
        n += 1
    if n:
        yield n, T
