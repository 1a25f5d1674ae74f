"""Frames in and out of HistoryEncoder: columns by name, ids and times that match the events'."""

from __future__ import annotations

import contextlib
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa

from .._validation import is_frame
from ._columns import NUMERIC, Table, kind_of, read_table, to_float
from ._factorize import Factorized, factorize
from ._schema import hint
from ._storage import Column, is_list, of_narwhals
from ._times import Span, Times, check_comparable, to_times
from ._vocabulary import Vocabulary, kind_of_values

# Integers and bools beside missing values: as numpy's they would be floats and objects.
_NULLABLE = {
    pa.bool_(): pd.BooleanDtype(),
    **{
        getattr(pa, name.lower())(): getattr(pd, f"{name}Dtype")()
        for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")
    },
}


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
        frame = _to_pandas(frame)
    if isinstance(frame, pd.DataFrame):
        columns = {
            name: values
            if isinstance(values, np.ndarray)
            else pd.arrays.ArrowExtensionArray(values)
            for name, values in new.items()
        }
        frame = frame.drop(columns=drop).assign(**columns)
        return _to_polars(frame) if output == "polars" else frame
    if output == "polars":
        frame = nw.from_native(frame.to_polars(), eager_only=True)
    added = nw.from_arrow(pa.table(new), backend=frame.implementation)
    return frame.drop(drop).with_columns(*added.iter_columns()).to_native()


def _to_pandas(frame: nw.DataFrame) -> pd.DataFrame:
    """A frame as pandas, missing values and lists without a detour over floats."""
    columns = {}
    for name in frame.columns:
        column = of_narwhals(frame[name])
        if isinstance(column, np.ndarray):
            columns[name] = pd.Series(column)
            continue
        assert not isinstance(column, pd.Categorical)
        kind = column.type
        if is_list(kind):
            columns[name] = pd.Series(pd.arrays.ArrowExtensionArray(column))
        elif column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            columns[name] = column.to_pandas(types_mapper=_NULLABLE.get)
        else:
            columns[name] = frame[name].to_pandas()
    return pd.DataFrame(columns)


def _to_polars(frame: pd.DataFrame) -> Any:
    import polars as pl

    errors = (
        pa.ArrowException,
        pl.exceptions.PolarsError,
        OverflowError,
        TypeError,
        ValueError,
    )

    def convert(name: str) -> Any:
        column = frame[name]
        try:
            return pl.from_pandas(column)
        except errors as error:
            if pd.api.types.infer_dtype(column, skipna=True) == "integer":
                values = [None if missing else int(v) for v, missing in zip(column, column.isna())]
                for dtype in (pl.UInt64, pl.Int128):
                    with contextlib.suppress(*errors):
                        return pl.Series(name, values, dtype=dtype)
            raise TypeError(
                f"Column {name!r} (dtype {column.dtype}) of X holds what Polars has no type for, "
                "such as text beside numbers. Convert or drop it, or call "
                "set_output(transform='pandas')."
            ) from error

    try:
        return pl.from_pandas(frame)
    except errors:
        return pl.DataFrame([convert(name) for name in frame.columns])
