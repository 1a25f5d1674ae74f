"""A row's fields and the events of its history, from one look-up."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..preprocessing._encoded import Schema
from .batch import Batch
from .embedding import INIT_STD
from .inputs import FieldInputs
from .sparse import take_entries


class Events(NamedTuple):
    """Fields of B rows, and their histories of n events of A attributes in all.

    Parameters
    ----------
    fields : Tensor of shape (B, F, d)
    e_k : Tensor of shape (n, A d)
        Events: the embeddings of their attributes side by side, one row's after the other's.
    e_t : Tensor of shape (B, A d)
        The candidates: the same attributes of the row's own item.
    offsets : Tensor of shape (B + 1,), int64
        Row ``i`` has the events ``e_k[offsets[i]:offsets[i + 1]]``, the most recent last.
    """

    fields: Tensor
    e_k: Tensor
    e_t: Tensor
    offsets: Tensor


class EventInputs(FieldInputs):
    """Fields of a row, and events of its history beside the candidate that they are compared with.

    List columns that share their ids with a categorical column are attributes of the events; the
    categorical columns are those of the candidate. Other lists are fields, averaged.

    Parameters
    ----------
    schema : Schema
        The columns of a batch and their vocabularies, as `_build_module` gets them.
    d : int
        Width of an embedding.
    std : float, default=0.01
        Standard deviation of the initial embeddings. Raise it where events are told apart by
        products of them.
    averaged : bool, default=False
        Treat histories as fields too: there are no events then.

    Attributes
    ----------
    events : dict of str to str
        The list columns of the history -> the candidate's column; empty where there is none.
    event_dim : int
        A d, the width of an event.
    out_dim : int
        F d + n_numeric, the width of fields and numbers.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import Batch, EventInputs, Lists
    >>> from sk_adrec.preprocessing._encoded import Schema
    >>> schema = Schema((), {"item_id": "item_id"}, {"hist_item_id": "item_id"}, {"item_id": 5})
    >>> inputs = EventInputs(schema, d=4)
    >>> inputs.events
    {'hist_item_id': 'item_id'}
    >>> history = Lists(torch.tensor([2, 3, 2]), torch.tensor([0, 2, 3]))
    >>> ids = torch.tensor([[2], [1]], dtype=torch.int32)
    >>> batch = Batch(torch.zeros(2, 0), ids, {"hist_item_id": history})
    >>> [tuple(part.shape) for part in inputs.read(batch)]
    [(2, 1, 4), (3, 4), (2, 4), (3,)]
    """

    def __init__(self, schema: Schema, d: int, *, std: float = INIT_STD, averaged: bool = False):
        events = {} if averaged else events_of(schema)
        super().__init__(schema, d, exclude=events, std=std)
        self.events = events
        self.event_dim = len(self.events) * d
        columns = list(schema.categorical)
        self.candidate = [columns.index(target) for target in self.events.values()]

    def read(self, batch: Batch) -> Events:
        """Fields, events and candidates of a batch, where there are events.

        Parameters
        ----------
        batch : Batch
            B rows with the columns of the schema.

        Returns
        -------
        Events
        """
        lists = [batch.sequences[name] for name in self.events]
        rows = [
            self.table.index(target, one.values) for one, target in zip(lists, self.events.values())
        ]
        attributes = torch.stack(rows, 1)  # (n, A)
        theta, (*places, events) = self.look_up(batch, [attributes.reshape(-1)])
        e_k = take_entries(theta, events.view_as(attributes)).flatten(1)  # (n, A d)
        fields = self.embed(batch, theta, places)  # (B, F, d)
        e_t = fields[:, self.candidate].flatten(1)  # (B, A d)
        return Events(fields, e_k, e_t, lists[0].offsets)


def events_of(schema: Schema) -> dict[Any, Any]:
    """List column -> the candidate's column whose vocabulary it shares: an event's attributes."""
    return {
        name: target for name, target in schema.sequences.items() if target in schema.categorical
    }
