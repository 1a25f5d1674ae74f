"""A column as it is stored: whatever frames hold, brought to the few layouts that are read here."""

from __future__ import annotations

from typing import Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

# A column as stored: numbers, bools or objects; categories; or Arrow data of any type.
Column: TypeAlias = np.ndarray | pd.Categorical | pa.Array | pa.ChunkedArray

# Rows that are looked at before a whole column is.
N_HEAD = 1000
# What Arrow has no type for; of Polars objects it would take the addresses.
_NOT_IN_ARROW = (nw.Int128, nw.UInt128, nw.Object)
_NO_ARROW = (pa.ArrowException, OverflowError, UnicodeError)


def of_array(column: np.ndarray) -> np.ndarray:
    """A column of an array: text as objects, numbers in the machine's order of bytes."""
    if column.dtype.kind == "U":
        return column.astype(object)
    return column if column.dtype.isnative else column.astype(column.dtype.newbyteorder("="))


def of_pandas(series: pd.Series | pd.Index) -> Column:
    """A pandas Series or Index, without copying where its storage allows."""
    values, dtype = series.array, series.dtype
    if isinstance(values, pd.Categorical):
        return values
    if isinstance(dtype, np.dtype):
        return of_array(series.to_numpy())
    if isinstance(dtype, pd.SparseDtype):
        return np.asarray(values)
    if not isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype):
        try:
            # Of dates with a zone, a million objects take half a minute.
            if isinstance(dtype, pd.DatetimeTZDtype) or hasattr(values, "__arrow_array__"):
                return of_arrow(pa.array(values))
        except _NO_ARROW:
            pass  # lone surrogates, for one, are text to pandas and none to Arrow
    return np.asarray(values, dtype=object)


def of_narwhals(series: Any) -> Column:
    """A column of a data frame that narwhals knows."""
    if series.dtype not in _NOT_IN_ARROW:
        try:
            return of_arrow(series.to_arrow())
        except _NO_ARROW:
            pass
    return of_objects(series.to_list())


def of_objects(values: list[Any]) -> np.ndarray:
    """Python objects as an array of shape (n_rows,), lists among them as they are."""
    return np.fromiter(values, dtype=object, count=len(values))


def of_arrow(column: pa.Array | pa.ChunkedArray) -> Column:
    """Arrow data without its rarer layouts: extensions, runs, views, unions, maps."""
    kind, types = column.type, pa.types
    if _is_plain(kind):
        return column
    if isinstance(kind, pa.BaseExtensionType):
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        stored = [chunk.storage for chunk in chunks]
        return of_arrow(pa.chunked_array(stored, type=kind.storage_type))
    if types.is_string_view(kind):
        return pc.cast(column, pa.large_string())
    if types.is_run_end_encoded(kind):
        return of_arrow(pc.run_end_decode(column))
    if types.is_dictionary(kind):
        return of_arrow(pc.cast(column, kind.value_type))
    if is_list(kind):
        entries = of_arrow(pc.list_flatten(column))
        if is_arrow(entries):
            return _as_lists(column, entries)
    return of_objects(column.to_pylist())


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _is_plain(kind.value_type)
    return not (
        isinstance(kind, pa.BaseExtensionType)
        or types.is_string_view(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
        or types.is_run_end_encoded(kind)
        or types.is_union(kind)
        or types.is_map(kind)
    )


def _as_lists(column: pa.Array | pa.ChunkedArray, entries: pa.Array | pa.ChunkedArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    missing = pc.is_null(column)
    entries, missing = (
        part.combine_chunks() if isinstance(part, pa.ChunkedArray) else part
        for part in (entries, missing)
    )
    offsets = pa.array(np.append(0, np.cumsum(lengths)))
    return pa.LargeListArray.from_arrays(offsets, entries, mask=missing)


def is_list(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a list of any layout."""
    types = pa.types
    return (
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def is_string(kind: pa.DataType) -> bool:
    """Whether an Arrow type is a string of any layout."""
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether an Arrow type is an integer, a float, a bool or a decimal."""
    types = pa.types
    return (
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
    )


def take(column: Column, rows: np.ndarray) -> Column:
    """Some rows of a column."""
    return column.take(pa.array(rows)) if is_arrow(column) else column[rows]


def is_arrow(column: Column) -> bool:
    """Whether a column is Arrow data."""
    return isinstance(column, pa.Array | pa.ChunkedArray)


def all_missing(column: Column) -> bool:
    """Whether no row has a value, whatever the column's type; an empty list is a value."""
    return _all_missing(column[:N_HEAD]) and (len(column) <= N_HEAD or _all_missing(column))


def has_values(column: Column, rows: np.ndarray | None = None) -> bool:
    """Whether a row has a value, of all rows or of those with these numbers."""
    if rows is None:
        return not all_missing(column)
    if _all_missing(take(column, rows[:N_HEAD])):
        return not all_missing(column) and not _all_missing(take(column, rows))
    return True


def _all_missing(column: Any) -> bool:
    if isinstance(column, pd.Categorical):
        return bool((column.codes < 0).all())
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "biu":
            return not len(column)
        is_missing = np.isnan if column.dtype.kind == "f" else pd.isna
        return bool(is_missing(column).all())
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if not pa.types.is_floating(column.type):
        return column.null_count == len(column)
    return bool(pc.all(pc.is_null(column, nan_is_null=True), min_count=0).as_py())


def used_categories(column: pd.Categorical) -> tuple[np.ndarray, pd.Index]:
    """The codes of the rows, -1 = missing, and the categories that occur in them."""
    codes, used = used_values(column.codes, len(column.categories))
    return codes, column.categories if used is None else column.categories.take(used)


def used_values(codes: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes of the values that occur, and the positions of these; None: all of them do.

    What no row has says nothing: whether it is valid must not depend on the number of rows.
    """
    if len(codes) < n_values:
        codes, used = pd.factorize(np.where(codes < 0, np.nan, codes))
        return codes, used.astype(np.intp)
    occurs = np.bincount(codes.astype(np.intp) + 1, minlength=n_values + 1)[1:] > 0
    if occurs.all():
        return codes, None
    # Code -1 reads the last entry.
    return np.append(np.cumsum(occurs) - 1, -1)[codes], np.flatnonzero(occurs)
