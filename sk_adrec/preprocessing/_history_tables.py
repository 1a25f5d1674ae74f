"""Frames in and out of HistoryEncoder: columns by name, ids and times that match the events'."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from .._validation import is_frame
from ._columns import NUMERIC, Column, Table, kind_of, read_table, to_float
from ._factorize import Factorized, factorize
from ._schema import hint
from ._times import Span, Times, check_comparable, to_times
from ._vocabulary import Vocabulary, kind_of_values


def read_frame(data: Any, what: str) -> Table:
    """Read a data frame whose columns have names; `what` ("X", "events") names it in messages."""
    if not is_frame(data):
        raise TypeError(
            f"{what} must be a pandas or Polars DataFrame, since user, time and attributes are "
            f"found by name, got {type(data).__name__}. Name the columns: pandas.DataFrame({what}, "
            "columns=[...])."
        )
    table = read_table(data)
    if not table.named:
        raise TypeError(
            f"{what} must have strings as column names, since user, time and attributes are found "
            f"by name, got {list(data.columns)[:5]}. Rename them."
        )
    return table


def read_events(events: Any) -> Table:
    """Read the log given as a data frame, as a list of one or as a callable that returns one."""
    if callable(events):
        events = events()
    if isinstance(events, list | tuple) and any(is_frame(part) for part in events):
        if len(events) > 1:
            raise TypeError(
                f"events must be one data frame, as it is or in a list, got a list of "
                f"{len(events)}. Join them first: [pandas.concat(frames)]."
            )
        (events,) = events
    return read_frame(events, "events")


def column_of(table: Table, name: str, what: str, parameter: str) -> tuple[Column, str]:
    """A column, and its description for messages; `parameter` is where its name comes from."""
    if name not in table.names:
        raise ValueError(
            f"{parameter} names a column that {what} does not have: {hint(name, table.names)}"
        )
    position = table.names.index(name)  # type: ignore[arg-type]
    return table.column(position), f"{table.describe(position)} of {what}"


def matching_times(table: Table, name: str, what: str, known: Span) -> Times:
    """Times of a column; TypeError where they do not compare with those of events."""
    column, where = column_of(table, name, what, "time")
    times = to_times(column, where)
    check_comparable(times, where, known, "events held")
    return times


def matching_ids(
    table: Table, name: str, what: str, parameter: str, known: Vocabulary
) -> Factorized:
    """Ids of a column; TypeError where they are text and those of events numbers, or vice versa."""
    column, where = column_of(table, name, what, parameter)
    ids = factorize(column, where)
    found = kind_of_values(ids.values)
    if not known.holds_type(found):
        words = ["numbers", "text"] if found == "number" else ["text", "numbers"]
        raise TypeError(
            f"{where} holds {words[0]}, but events held {words[1]}, so none would match ('5' is "
            f"not 5). Convert one of them with astype."
        )
    return ids


def is_true(table: Table, name: str) -> np.ndarray:
    """A column of true and false (1 and 0) as bool, missing values being false."""
    column, where = column_of(table, name, "events", "on")
    if kind_of(column, where) != NUMERIC:
        raise TypeError(f"{where} must hold true and false for on={name!r}. Convert it to bool.")
    values = to_float(column, where)
    wrong = values[~np.isin(values, (0.0, 1.0)) & ~np.isnan(values)]
    if len(wrong):
        raise ValueError(
            f"{where} must hold true and false (1 and 0) for on={name!r}, got {wrong[0]:g}. "
            f"Compare first: events[{name!r}] > 0."
        )
    return values == 1.0


def assemble(
    table: Table, new: dict[str, np.ndarray | pa.ChunkedArray], drop: list[str], output: str
) -> Any:
    """The table's frame without the columns of `drop` and with new ones.

    Parameters
    ----------
    table : Table
    new : dict of str to ndarray or ChunkedArray of shape (n_rows,)
    drop : list of str
    output : {"default", "pandas", "polars"}
        "default" is the library of the table.

    Returns
    -------
    DataFrame
    """
    frame = table.data
    if output == "pandas" and not isinstance(frame, pd.DataFrame):
        frame = frame.to_pandas()
    if isinstance(frame, pd.DataFrame):
        columns = {
            name: values
            if isinstance(values, np.ndarray)
            else pd.arrays.ArrowExtensionArray(values)
            for name, values in new.items()
        }
        frame = frame.drop(columns=drop).assign(**columns)
        if output != "polars":
            return frame
        import polars as pl

        return pl.from_pandas(frame)
    if output == "polars":
        frame = nw.from_native(frame.to_polars(), eager_only=True)
    added = nw.from_arrow(pa.table(new), backend=frame.implementation)
    return frame.drop(drop).with_columns(*added.iter_columns()).to_native()
