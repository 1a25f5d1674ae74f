"""Histories as one table of events, whatever X is: frames of list columns, or arrays of items.

Also the adapter for plain numeric arrays, which scikit-learn's tools hand over: each row is one
history, oldest item first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..preprocessing._columns import Column, Table, flatten, read_table
from ..preprocessing._series import as_matrix
from ..preprocessing._times import Span
from ._roles import ITEM, Roles
from ._times import event_times


@dataclass(frozen=True)
class Events:
    """The events of n histories, one after the other; the newest of each is last.

    Parameters
    ----------
    offsets : ndarray of shape (n + 1,), int64
    columns : dict of str to Column
        Items first, then further fields, each of shape (n_events,).
    times : ndarray of shape (n_events, 2), float64, or None
        Seconds: when an event happened (NaN where that is missing), and when the prediction after
        it is asked for: at the next event, or the request, if `request_time` is given and the time
        known, else at the event itself.
    spans : dict of str to Span
        Where the times of "history_time" and "request_time" lie.
    """

    offsets: np.ndarray
    columns: dict[str, Any]
    times: np.ndarray | None = None
    spans: dict[str, Span] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """The columns as a data frame with one row per event."""
        return pd.DataFrame({name: _series(column) for name, column in self.columns.items()})


def read_events(X, roles: Roles, spans: dict[str, Span] | None = None) -> Events:
    """The events of X; entries without an item are left out.

    Parameters
    ----------
    X : data frame or ndarray
    roles : Roles
    spans : dict of str to Span, default=None
        Where the times of fit lie; None in fit.

    Raises
    ------
    ValueError
        If the lists of a row differ in length, a time is out of range, or the columns of times hold
        different kinds: numbers, dates with or without a time zone.
    TypeError
        If a column of times holds neither numbers nor dates, or another kind than in fit.
    """
    table = read_table(X)
    if roles.history is None:
        return _positional(table)
    columns: dict[Any, Any] = {}
    names = [roles.history, *roles.event_features]
    names += [] if roles.history_time is None else [roles.history_time]
    for name in names:
        position = table.names.index(name)
        count, columns[name] = flatten(table.column(position), table.describe(position))
        if name == roles.history:
            lengths = count
        elif (wrong := count != lengths).any():
            row = int(wrong.argmax())
            raise ValueError(
                f"{table.describe(position)} must have one entry for each item of "
                f"{roles.history!r}: row {row} has {count[row]}, and {lengths[row]} items"
            )
    keep = ~_is_missing(columns[roles.history])
    row = np.repeat(np.arange(table.n_rows), lengths)[keep]
    offsets = np.append(0, np.cumsum(np.bincount(row, minlength=table.n_rows))).astype(np.int64)
    if not keep.all():
        columns = {name: _select(column, keep) for name, column in columns.items()}
    times: np.ndarray | None = None
    found: dict[str, Span] = {}
    if roles.history_time is not None:
        happened = columns.pop(roles.history_time)
        times, found = event_times(table, roles, happened, offsets, spans or {})
    return Events(offsets, {str(name): column for name, column in columns.items()}, times, found)


def _positional(table: Table) -> Events:
    """Each row of an array as a history, its NaN being padding."""
    values = as_matrix([table.column(position) for position in range(len(table.names))])
    keep = ~pd.isna(values)
    offsets = np.append(0, np.cumsum(keep.sum(axis=1))).astype(np.int64)
    return Events(offsets, {ITEM: values[keep]})


def _series(column: Column) -> pd.Series:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return pd.Series(pd.arrays.ArrowExtensionArray(column))
    return pd.Series(column)


def _is_missing(column: Column) -> np.ndarray:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        missing = column.is_null()
        if pa.types.is_floating(column.type):
            missing = pc.or_(missing, pc.fill_null(pc.is_nan(column), True))
        return missing.to_numpy(zero_copy_only=False)
    return np.asarray(pd.isna(column))


def _select(column: Column, keep: np.ndarray) -> Column:
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column.filter(pa.array(keep))
    return column[keep]
