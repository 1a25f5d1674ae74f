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
    """

    N: int
    shapes: list[tuple[int, int]]
    entry: Tensor
    place: Tensor
    step: Tensor
    row: Tensor

    @classmethod
    def of(cls, offsets: Tensor, max_len: int, alike: bool = False) -> PackedLists:
        """Pack lists, given by their offsets (B + 1,), keeping the last `max_len` entries.

        With `alike` a list is padded to the next multiple of ``ROW_MULTIPLE``, whatever the lists
        beside it are: what comes out for it then never depends on its batch, for a little more
        padding.
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
        """Spread ``Lists.values`` (or what goes with them) over the packed axis, shape (N, ...)."""
        packed = values.new_zeros(self.N, *values.shape[1:])
        packed[self.place] = values[self.entry]
        return packed

    def pack_steps(self) -> Tensor:
        """`step` over the packed axis, shape (N,); 0 at padding."""
        steps = self.step.new_zeros(self.N)
        steps[self.place] = self.step
        return steps

    def blocks(self, packed: Tensor) -> Iterator[Tensor]:
        """Views (rows, T, ...) of each block of a packed tensor (N, ...)."""
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
