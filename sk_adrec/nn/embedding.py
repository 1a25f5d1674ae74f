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
        Standard deviation of the initial values. Raise it where a model starts from products of
        embeddings, whose gradients vanish at 0.
    n_weights : int, default=0
        Numbers at the end of each row that are no part of the embedding, but count in `d`: weights
        of the id alone. They start at zero.

    Attributes
    ----------
    weight : Parameter of shape (n_rows, d)
        The table.
    offsets : dict of str to int
        Vocabulary -> the first row of its block.
    sparse_grad : bool
        True (default): gradients hold the rows of the batch only. An optimiser that knows no
        sparse gradients needs False.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import FusedEmbedding
    >>> table = FusedEmbedding({"user_id": 4, "item_id": 3}, d=2)
    >>> rows = table.index("item_id", torch.tensor([2, 0, 2]))
    >>> rows
    tensor([6, 4, 6])
    >>> table(rows).shape
    torch.Size([3, 2])

    The gradient holds the two rows that were used, each once:

    >>> table(rows).sum().backward()
    >>> gradient = table.weight.grad.coalesce()
    >>> gradient.indices()
    tensor([[4, 6]])
    >>> gradient.values()
    tensor([[1., 1.],
            [2., 2.]])
    """

    def __init__(
        self, cardinalities: Mapping[str, int], d: int, std: float = INIT_STD, n_weights: int = 0
    ):
        super().__init__()
        self.d, self.std, self.n_weights, self.sparse_grad = d, std, n_weights, True
        self.cardinalities = dict(cardinalities)
        self.offsets = _offsets(self.cardinalities)
        self.weight = nn.Parameter(self._new_rows(self.cardinalities))

    def _new_rows(self, cardinalities: Mapping[str, int]) -> Tensor:
        weight = torch.randn(sum(cardinalities.values()), self.d) * self.std
        for offset, size in zip(_offsets(cardinalities).values(), cardinalities.values()):
            if size:
                weight[offset] = 0.0
        weight[:, self.d - self.n_weights :] = 0.0
        return weight

    def index(self, vocabulary: str, codes: Tensor) -> Tensor:
        """Rows of the table for the codes of one vocabulary.

        Parameters
        ----------
        vocabulary : str
            One of `cardinalities`.
        codes : Tensor of any shape, int
            Codes in that vocabulary.

        Returns
        -------
        Tensor of the shape of `codes`
        """
        return codes + self.offsets[vocabulary]

    def index_columns(self, vocabularies: list[str], codes: Tensor) -> Tensor:
        """Rows of the table for several columns of codes.

        Parameters
        ----------
        vocabularies : list of str
            The vocabulary of each column.
        codes : Tensor of shape (B, F), int
            Column f holds codes in ``vocabularies[f]``.

        Returns
        -------
        Tensor of shape (B, F)
        """
        offsets = [self.offsets[name] for name in vocabularies]
        return codes + torch.tensor(offsets, dtype=codes.dtype, device=codes.device)

    def forward(self, index: Tensor) -> Tensor:
        """Embeddings of rows of the table.

        Parameters
        ----------
        index : Tensor of any shape, int
            Rows of the table, as `index` and `index_columns` return them.

        Returns
        -------
        Tensor of shape (\\*index.shape, d)
        """
        return gather_rows(self.weight, index, self.sparse_grad)

    def distinct(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct rows of a batch once, and each entry's place in them.

        Parameters
        ----------
        index : Tensor of shape (m,), int
            Rows of the table, repeated as often as the batch uses them.

        Returns
        -------
        theta : Tensor of shape (u, d)
            Embeddings of the distinct rows.
        inverse : Tensor of shape (m,), int
            ``theta[inverse]`` are the embeddings of `index`.
        """
        rows, inverse = unique_rows(index, len(self.weight))
        return take_rows(self.weight, rows, self.sparse_grad), inverse

    def rows_of(self, vocabulary: str) -> Tensor:
        """The block of one vocabulary.

        Parameters
        ----------
        vocabulary : str
            One of `cardinalities`.

        Returns
        -------
        Tensor of shape (cardinality, d)
            A view without gradient: what is written to it changes the table.
        """
        offset = self.offsets[vocabulary]
        return self.weight.detach()[offset : offset + self.cardinalities[vocabulary]]

    def vectors_of(self, vocabulary: str) -> Tensor:
        """The embeddings of one vocabulary.

        Parameters
        ----------
        vocabulary : str
            One of `cardinalities`.

        Returns
        -------
        Tensor of shape (cardinality, d - n_weights)
            A view without gradient.
        """
        return self.rows_of(vocabulary)[:, : self.d - self.n_weights]

    @torch.no_grad()
    def grow(self, cardinalities: Mapping[str, int]) -> Callable[..., Tensor]:
        """Add rows for new codes; old codes keep theirs, new ones start as the unknown row.

        Parameters
        ----------
        cardinalities : mapping of str to int
            The new number of codes of each vocabulary, not smaller than the old one, in the same
            order.

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
        """Add noise of the initial size to the rows that `grow` has added.

        Parameters
        ----------
        cardinalities : mapping of str to int
            Number of codes of each vocabulary before it grew.
        """
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
