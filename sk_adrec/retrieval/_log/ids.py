"""Ids and times as numbers, and numbers as ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..._validation import is_frame
from ...preprocessing._columns import Column, Table, read_table
from ...preprocessing._factorize import Factorized, factorize
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary

#: What an integer id is where a list has no item.
NULL_ID = -1
# Integers of Arrow as those of pandas that may be missing.
_NULLABLE = {
    pa.from_numpy_dtype(dtype.numpy_dtype): dtype
    for dtype in (
        pd.Int8Dtype(), pd.Int16Dtype(), pd.Int32Dtype(), pd.Int64Dtype(),
        pd.UInt8Dtype(), pd.UInt16Dtype(), pd.UInt32Dtype(), pd.UInt64Dtype(),
    )
}  # fmt: skip


def read_ids(table: Table, position: int, known: Vocabulary | None = None) -> Factorized:
    """A column of ids as distinct values and codes.

    Warns where `known` are ids of the other type, strings or numbers.

    Raises
    ------
    TypeError
        If the column holds lists, times or other objects.
    """
    where = table.describe(position)
    ids = factorize(table.column(position), where)
    if known is not None:
        known.warn_of_other_type(ids, where)
    return ids


def number_ids(vocabulary: Vocabulary, ids: Factorized) -> np.ndarray:
    """Numbers of ids, from 0 in the order of a vocabulary; -1 where they are unknown or missing."""
    return np.maximum(vocabulary.encode(ids) - np.int32(FIRST_KNOWN), -1)


def decode(vocabulary: Vocabulary, positions: np.ndarray) -> np.ndarray:
    """Ids of positions, in their own type; position -1 is the null id: -1 of integers, or None."""
    values = vocabulary.values
    if values.dtype.kind in "iu":
        return np.append(values, NULL_ID)[positions]
    with_null = np.full(len(values) + 1, None, dtype=object)
    with_null[:-1] = values
    return with_null[positions]


def check_item_ids(items: Vocabulary) -> None:
    """Raise ValueError where an item has the id that stands for no item in a list of integers."""
    if items.values.dtype.kind in "iu" and (items.values == NULL_ID).any():
        raise ValueError(
            f"An item has the id {NULL_ID}, which means no item where lists of integers end "
            f"early. If it stands for a missing item, drop those rows: X[X[item] != {NULL_ID}]; if "
            "it is an item, pass ids as strings: X[item].astype(str)."
        )


def times_as_numbers(table: Table, position: int) -> np.ndarray:
    """A column of times as numbers that sort alike, shape (n_rows,): float64 or int64.

    Raises
    ------
    TypeError
        If the column holds neither numbers nor times.
    ValueError
        If a time is missing.
    """
    column, where = table.column(position), table.describe(position)
    values = _as_numbers(column)
    if values is None:
        raise TypeError(
            f"{where} should hold times: numbers or dates. Convert it with pandas.to_datetime."
        )
    missing = np.isnan(values) if values.dtype.kind == "f" else values == np.iinfo(np.int64).min
    if missing.any():
        raise ValueError(
            f"{where} has no time in row {int(missing.argmax())} and {int(missing.sum()) - 1} "
            "more. Fill them or drop the rows."
        )
    return values


def _as_numbers(column: Column) -> np.ndarray | None:
    """Numbers, or None where the column holds something else; NaT is the smallest integer."""
    if isinstance(column, pd.Categorical):
        return None
    if isinstance(column, np.ndarray):
        if column.dtype.kind == "O":
            column = pa.array(column, from_pandas=True)
        elif column.dtype.kind == "M":
            return column.astype("datetime64[ns]").astype(np.int64)
        elif column.dtype.kind in "iub":
            return column.astype(np.int64)
        else:
            return column.astype(np.float64) if column.dtype.kind == "f" else None
    kind = column.type
    if pa.types.is_temporal(kind) and not pa.types.is_duration(kind):
        column = pc.cast(pc.cast(column, pa.timestamp("ns"), safe=False), pa.int64())
        return pc.fill_null(column, np.iinfo(np.int64).min).to_numpy()
    if pa.types.is_integer(kind) and not column.null_count:
        return column.to_numpy().astype(np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
    return None


def as_table(values, name: str, column: str | int | None = None) -> Table:
    """A list, array or column of single ids as a table of one column.

    Parameters
    ----------
    values : array-like of shape (n,)
    name : str
        What the caller calls them, for messages.
    column : str or int, default=None
        Where a data frame would have them, for messages.

    Raises
    ------
    TypeError
        If it is one id instead of a list of them, or has no order or several columns.
    """
    if is_frame(values):
        names = read_table(values).names
        at = column if column in names else names[0]
        raise TypeError(
            f"{name} must be a list or column of ids, got a data frame: pass one of its columns "
            f"{names}, such as X[{at!r}]"
        )
    if isinstance(values, Mapping | Set | Iterator):
        raise TypeError(
            f"{name} must be a list or column of ids, got a {type(values).__name__}: list({name})"
        )
    if isinstance(values, str | bytes) or np.ndim(values) == 0:
        raise TypeError(f"{name} must be a list or column of ids, got {values!r}: [{values!r}]")
    if hasattr(values, "to_frame") and not isinstance(values, pd.Index):
        return read_table(values.to_frame())
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got an array of shape {values.shape}")
    return read_table(pd.DataFrame({name: as_series(values)}))


def as_series(column) -> pd.Series:
    """A column or list of ids as a Series.

    Integers beside missing ones stay integers: as float64, ids of 64 bits would collide.
    """
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column.to_pandas(types_mapper=_NULLABLE.get if column.null_count else None)
    series = pd.Series(column)
    if series.dtype.kind == "f" and not hasattr(column, "dtype"):
        return pd.Series(column, dtype=object)
    return series
