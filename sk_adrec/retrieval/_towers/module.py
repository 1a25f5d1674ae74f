"""The two towers as a torch module."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn import MLP, Batch, FieldInputs, FusedEmbedding, sparse_matmul
from ...nn.batch import Lists
from ...nn.sparse import unique_rows
from ...preprocessing._encoded import Encoded, Schema
from ...preprocessing._vocabulary import UNKNOWN
from .columns import Side

# Least length of a vector that is normalised.
_NORM_EPS = 1e-6
# Initial embeddings: their cosines differ from the start, and still move fast.
_STD = 0.1


class Tower(nn.Module):
    """A vector from one side's columns: the sum of their embeddings plus, if deep, an MLP's.

    NOTE[DIFF]: a tower of DSSM is the MLP alone. The sum, as in LightFM (Kula 2015), makes an id
    learn fast and leaves a row with an unknown id the vectors of its attributes.

    Parameters
    ----------
    schema : Schema
        The side's columns.
    table : FusedEmbedding
        Of both towers.
    hidden_dims : sequence of int
        None makes the tower a sum.
    activation : str
    dropout : float
    """

    def __init__(self, schema: Schema, table: FusedEmbedding, hidden_dims, activation, dropout):
        super().__init__()
        self.inputs = FieldInputs(schema, table.d, table=table)
        self.numbers = nn.Linear(len(schema.numeric), table.d) if schema.numeric else None
        self.deep = None
        if hidden_dims:
            self.deep = MLP(
                self.inputs.out_dim,
                hidden_dims,
                activation=activation,
                dropout=dropout,
                out_dim=table.d,
            )

    def forward(self, batch: Batch) -> Tensor:
        theta, places = self.inputs.look_up(batch)
        fields = self.inputs.embed(batch, theta, places)  # (B, F, d)
        out = fields.sum(1)  # (B, d)
        if self.numbers is not None:
            out = out + self.numbers(batch.numeric)
        if self.deep is not None:
            out = out + self.deep(torch.cat([fields.flatten(1), batch.numeric], 1))
        return out


class LogItems(nn.Module):
    """The items of a log, by number, on the device of the module that holds them.

    Parameters
    ----------
    rows : Encoded
        The item's columns.
    """

    numeric: Tensor
    categorical: Tensor

    def __init__(self, rows: Encoded):
        super().__init__()
        batch = Batch.from_encoded(rows)
        self.lists = list(batch.sequences)
        tensors = {"numeric": batch.numeric, "categorical": batch.categorical}
        for k, each in enumerate(batch.sequences.values()):
            tensors |= {f"values{k}": each.values, f"offsets{k}": each.offsets}
        for name, tensor in tensors.items():
            # Files hold the rows, not the module's copy.
            self.register_buffer(name, tensor, persistent=False)

    def __len__(self) -> int:
        return len(self.categorical)

    def forward(self, numbers: Tensor | None = None) -> Batch:
        """A batch of some items, or of all."""
        lists = {
            name: Lists(getattr(self, f"values{k}"), getattr(self, f"offsets{k}"))
            for k, name in enumerate(self.lists)
        }
        batch = Batch(self.numeric, self.categorical, lists)
        return batch if numbers is None else batch.take(numbers)


class Split(NamedTuple):
    """What :class:`TwoTowers` gives out in training on users with their items.

    Parameters
    ----------
    u : Tensor of shape (B, d)
        Vectors of users by a part of their items.
    v : Tensor of shape (n_items, d), or of one row for each entry of `held_out`
        Vectors of all items, or of those that are to be predicted.
    kept, held_out : Lists
        Numbers of the items that u has seen, and of the others.
    """

    u: Tensor
    v: Tensor
    kept: Lists
    held_out: Lists


class TwoTowers(nn.Module):
    r"""Vectors u of users and v of items, side by side: (B, 2 d).

    With histories, a user's tower also adds up the item tower's outputs y of the user's items N,
    as in SVD++ (Koren 2008, section 4):

    .. math:: u = x + |N|^{-1/2} \sum_{j \in N} y_j

    NOTE[DIFF]: SVD++ has vectors y apart from those of the scored items. The same ones learn
    faster, and exist for items with attributes that no user has had.

    Parameters
    ----------
    schema : Schema
        Of the whole log.
    user, item : Side
    d : int
    normalize : bool
        Vectors of length 1: products are cosines.
    held_out : float or None
        Share of a user's items that training predicts from the others; None for a model that reads
        no histories.
    all_items : bool
        Whether that training needs the vectors of all items. If not, items that no user of a batch
        has are not encoded, which a large catalogue makes worth while.
    **tower
        Of :class:`Tower`.
    """

    def __init__(
        self, schema: Schema, user: Side, item: Side, d: int, normalize: bool,
        held_out: float | None, all_items: bool, **tower
    ):  # fmt: skip
        super().__init__()
        self.user, self.item, self.normalize = user, item, normalize
        self.held_out, self.all_items = held_out, all_items
        table = FusedEmbedding(schema.cardinalities, d, std=_STD)
        # Losses over the catalogue show known items alone: an id that is new must not add noise
        # to its attributes.
        for name in table.cardinalities:
            table.rows_of(name)[UNKNOWN] = 0.0
        self.user_tower = Tower(user.schema(schema), table, **tower)
        self.item_tower = Tower(item.schema(schema), table, **tower)

    @property
    def device(self) -> torch.device:
        """Where the module lies."""
        return self.item_tower.inputs.table.weight.device

    @property
    def reads_histories(self) -> bool:
        """Whether batches should hold what users have had."""
        return self.held_out is not None

    def set_log_items(self, rows: Encoded) -> None:
        """The items that histories and softmax are of, by number."""
        self.logged = LogItems(rows).to(self.device)

    def log_items(self, numbers: Tensor | None = None) -> Tensor:
        """Outputs y of the item tower for items of the log by number, or for all, shape (n, d)."""
        return self.item_tower(self.logged(numbers))

    def log_vectors(self, numbers: Tensor | None = None) -> Tensor:
        """Vectors of the same items."""
        return self.finish(self.log_items(numbers))

    def users(self, batch: Batch) -> Tensor:
        """Vectors of users, shape (B, d), from a batch of the user's columns."""
        x = self.user_tower(batch)
        if batch.histories is not None:
            history, y = self._outputs_of(batch.histories)
            x = x + add_up(history, y)
        return self.finish(x)

    def items(self, batch: Batch) -> Tensor:
        """Vectors of items, shape (B, d), from a batch of the item's columns."""
        return self.finish(self.item_tower(batch))

    def forward(self, batch: Batch) -> Tensor | Split:
        if self.training and batch.histories is not None:
            return self._predict_held_out(batch, batch.histories)
        u, v = self.users(self.user.part(batch)), self.items(self.item.part(batch))
        return torch.cat([u, v], 1)  # (B, 2 d)

    def _predict_held_out(self, batch: Batch, history: Lists) -> Split:
        assert self.held_out is not None
        hidden = torch.rand(len(history.values), device=history.values.device) < self.held_out
        rows, y = (history, self.log_items()) if self.all_items else self._outputs_of(history)
        u = self.finish(self.user_tower(batch) + add_up(select(rows, ~hidden), y))
        v = self.finish(y if self.all_items else y[rows.values[hidden].long()])
        return Split(u, v, select(history, ~hidden), select(history, hidden))

    def _outputs_of(self, history: Lists) -> tuple[Lists, Tensor]:
        """Histories as rows of y, and the outputs y of the item tower for the items in them."""
        numbers, rows = unique_rows(history.values, len(self.logged))
        return replace(history, values=rows), self.log_items(numbers)

    def finish(self, x: Tensor) -> Tensor:
        """Outputs of a tower as vectors of users or items."""
        return F.normalize(x, dim=1, eps=_NORM_EPS) if self.normalize else x


def select(lists: Lists, keep: Tensor) -> Lists:
    """The entries of a mask, shape (n_values,)."""
    before = F.pad(keep.cumsum(0), (1, 0))
    x = None if lists.x is None else lists.x[keep]
    return Lists(lists.values[keep], before[lists.offsets], x)


def add_up(history: Lists, y: Tensor) -> Tensor:
    """Sums of the vectors of each row's items over the root of their number, shape (B, d)."""
    lengths = history.lengths
    scale = torch.repeat_interleave(lengths.to(y.dtype).rsqrt(), lengths)
    return sparse_matmul(y, history.values, history.offsets, scale)
