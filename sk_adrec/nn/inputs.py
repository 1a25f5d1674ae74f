"""From a batch to the numbers a network starts from: one look-up for ids and lists together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from ..preprocessing._encoded import Schema
from .batch import Batch
from .embedding import INIT_STD, FusedEmbedding
from .sparse import sparse_matmul, take_entries


class FieldInputs(nn.Module):
    """Embeddings of a row's ids, means of its lists' embeddings, and its numbers.

    All vocabularies lie in one table. A batch looks each of its distinct ids up once, and the
    table's gradient holds just those rows. Lists are never padded.

    Parameters
    ----------
    schema : Schema
        The columns of a batch and their vocabularies, as `_build_module` gets them.
    d : int
        Width of an embedding.
    exclude : collection of str, default=()
        List columns to leave out here, since the model treats them otherwise; their ids keep
        their rows in the table.
    std : float, default=0.01
        Standard deviation of the initial embeddings. Raise it where a model starts from products
        of them, whose gradients vanish at 0.
    table : FusedEmbedding or None, default=None
        The table of another block to look up in, with all vocabularies of the schema; None makes
        one.

    Attributes
    ----------
    table : FusedEmbedding
        The embeddings of all vocabularies.
    fields : list of str
        The F embedded columns in the order of the output: ids, then lists.
    out_dim : int
        D = F d + n_numeric, the width of the output.

    Examples
    --------
    An id, a list and a number become d + d + 1 numbers of each row:

    >>> import torch
    >>> from sk_adrec.nn import Batch, FieldInputs, Lists
    >>> from sk_adrec.preprocessing._encoded import Schema
    >>> schema = Schema(("price",), {"item_id": "item_id"}, {"hist": "item_id"}, {"item_id": 5})
    >>> inputs = FieldInputs(schema, d=4)
    >>> inputs.fields, inputs.out_dim
    (['item_id', 'hist'], 9)
    >>> history = Lists(torch.tensor([2, 3, 2]), torch.tensor([0, 2, 3]))
    >>> ids = torch.tensor([[2], [1]], dtype=torch.int32)
    >>> inputs(Batch(torch.zeros(2, 1), ids, {"hist": history})).shape
    torch.Size([2, 9])
    """

    def __init__(
        self,
        schema: Schema,
        d: int,
        *,
        exclude: Collection[Any] = (),
        std: float = INIT_STD,
        table: FusedEmbedding | None = None,
    ):
        super().__init__()
        self.table = FusedEmbedding(schema.cardinalities, d, std) if table is None else table
        self.categorical = list(schema.categorical.values())
        self.lists = {k: v for k, v in schema.sequences.items() if k not in exclude}
        self.fields = [*schema.categorical, *self.lists]
        self.out_dim = len(self.fields) * d + len(schema.numeric)

    def forward(self, batch: Batch) -> Tensor:
        """All inputs of each row side by side.

        Parameters
        ----------
        batch : Batch
            B rows with the columns of the schema.

        Returns
        -------
        Tensor of shape (B, D)
        """
        return self.concatenate(batch, *self.look_up(batch))

    def look_up(
        self, batch: Batch, further: Collection[Tensor] = ()
    ) -> tuple[Tensor, list[Tensor]]:
        """The distinct embeddings that a batch uses, and which of them each entry uses.

        Parameters
        ----------
        batch : Batch
            B rows with the columns of the schema.
        further : collection of Tensor of shape (m,), default=()
            Rows of the table that the model uses besides the fields.

        Returns
        -------
        theta : Tensor of shape (u, d)
        places : list of Tensor
            Rows of `theta`: for the ids, shape (B * n_categorical,), for the entries of each
            list, and for each of `further`.
        """
        codes = self.table.index_columns(self.categorical, batch.categorical)
        parts = [codes.reshape(-1)]
        parts += [
            self.table.index(vocabulary, batch.sequences[name].values)
            for name, vocabulary in self.lists.items()
        ]
        parts += further
        theta, places = self.table.distinct(torch.cat(parts))
        return theta, list(places.split([len(part) for part in parts]))

    def embed(self, batch: Batch, theta: Tensor, places: list[Tensor]) -> Tensor:
        """The F fields of each row as vectors.

        Parameters
        ----------
        batch : Batch
            The rows that were looked up.
        theta, places : as `look_up` returned them

        Returns
        -------
        Tensor of shape (B, F, d)
        """
        B, d = len(batch), theta.shape[1]
        ids, *lists = places
        columns = [take_entries(theta, ids).reshape(B, len(self.categorical), d)]
        columns += [
            mean_of_lists(theta, place, batch.sequences[name].offsets)[:, None]
            for name, place in zip(self.lists, lists)
        ]
        return torch.cat(columns, 1) if len(columns) > 1 else columns[0]

    def concatenate(self, batch: Batch, theta: Tensor, places: list[Tensor]) -> Tensor:
        """Fields and numbers side by side.

        Parameters
        ----------
        batch : Batch
            The rows that were looked up.
        theta, places : as `look_up` returned them

        Returns
        -------
        Tensor of shape (B, D)
        """
        return torch.cat([self.embed(batch, theta, places).flatten(1), batch.numeric], 1)


def mean_of_lists(theta: Tensor, place: Tensor, offsets: Tensor) -> Tensor:
    """The mean of each row's entries, shape (B, d); zeros for an empty list.

    Parameters
    ----------
    theta : Tensor of shape (u, d)
    place : Tensor of shape (m,), integer
        Rows of `theta`, one row's entries after the other's.
    offsets : Tensor of shape (B + 1,), int64
    """
    lengths = offsets.diff()
    x = torch.repeat_interleave(1.0 / lengths.to(theta.dtype), lengths)
    return sparse_matmul(theta, place, offsets, x)
