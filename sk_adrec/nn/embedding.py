"""One table for all vocabularies of a width: one gather a batch, row-sparse gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn

from .sparse import gather_rows, take_rows, unique_rows

#: Standard deviation of a new embedding; small, so that products of two start near zero.
INIT_STD = 0.01


class FusedEmbedding(nn.Module):
    """The embeddings of several vocabularies in one (n_rows, d) table.

    Each vocabulary owns a block of rows, in the order of `cardinalities`; code ``c`` of a
    vocabulary lies in row ``offset + c``. Code 0 (padding, missing) starts at zero.

    Parameters
    ----------
    cardinalities : mapping of str to int
        Vocabulary -> number of its codes, 0 (padding, missing) and 1 (unknown) included.
    d : int
        Width of a row.
    std : float, default=0.01
        Standard deviation of the initial values.

    Attributes
    ----------
    sparse_grad : bool
        True (default): gradients hold the rows of the batch only. An optimiser that knows no
        sparse gradients needs False.
    """

    def __init__(self, cardinalities: Mapping[str, int], d: int, std: float = INIT_STD):
        super().__init__()
        self.d, self.std, self.sparse_grad = d, std, True
        self.cardinalities = dict(cardinalities)
        self.offsets = _offsets(self.cardinalities)
        self.weight = nn.Parameter(self._new_rows(self.cardinalities))

    def _new_rows(self, cardinalities: Mapping[str, int]) -> Tensor:
        weight = torch.randn(sum(cardinalities.values()), self.d) * self.std
        for offset, size in zip(_offsets(cardinalities).values(), cardinalities.values()):
            if size:
                weight[offset] = 0.0
        return weight

    def index(self, vocabulary: str, codes: Tensor) -> Tensor:
        """Rows of the table for the codes of one vocabulary, same shape."""
        return codes + self.offsets[vocabulary]

    def index_columns(self, vocabularies: list[str], codes: Tensor) -> Tensor:
        """Rows of the table for codes of shape (B, F), column f in ``vocabularies[f]``."""
        offsets = [self.offsets[name] for name in vocabularies]
        return codes + torch.tensor(offsets, dtype=codes.dtype, device=codes.device)

    def forward(self, index: Tensor) -> Tensor:
        """Embeddings of rows of the table, shape (\\*index.shape, d)."""
        return gather_rows(self.weight, index, self.sparse_grad)

    def distinct(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct rows of a batch once, shape (u, d), and each entry's place in them."""
        rows, inverse = unique_rows(index, len(self.weight))
        return take_rows(self.weight, rows, self.sparse_grad), inverse

    def rows_of(self, vocabulary: str) -> Tensor:
        """The block of one vocabulary, a view of shape (cardinality, d)."""
        offset = self.offsets[vocabulary]
        return self.weight.detach()[offset : offset + self.cardinalities[vocabulary]]

    @torch.no_grad()
    def grow(self, cardinalities: Mapping[str, int]) -> Callable[..., Tensor]:
        """Add rows for new codes; old codes keep theirs, new ones start as the unknown row.

        Returns
        -------
        callable
            ``enlarge(rows, fill)``: something else that has a row for each of the old table's,
            shape (n_rows, d), at the size of the new one; ``fill`` maps the old rows of a
            vocabulary to what its new ones hold, shape (d,).
        """
        enlarge = partial(_enlarge, before=self.cardinalities, after=dict(cardinalities))
        new = enlarge(self.weight, lambda block: block[1])
        self.cardinalities = dict(cardinalities)
        self.offsets = _offsets(self.cardinalities)
        self.weight = nn.Parameter(new)
        return enlarge

    @torch.no_grad()
    def perturb_after(self, cardinalities: Mapping[str, int]) -> None:
        """Add noise of the initial size to the rows that `grow` has added to `cardinalities`."""
        for name, size in cardinalities.items():
            new = self.rows_of(name)[size:]
            new += torch.randn_like(new) * self.std


def _enlarge(rows, fill, before, after):
    new = []
    for block, size in zip(rows.split([*before.values()]), after.values()):
        new += [block, fill(block).expand(size - len(block), -1)]
    return torch.cat(new)


def _offsets(cardinalities: Mapping[str, int]) -> dict[str, int]:
    offsets, total = {}, 0
    for name, size in cardinalities.items():
        offsets[name] = total
        total += size
    return offsets
