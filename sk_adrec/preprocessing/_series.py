"""Ids as a pandas Series, exact: integers beside missing ones do not become floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ._columns import read_table

# Integers of Arrow as those of pandas that may be missing.
_NULLABLE = {
    pa.from_numpy_dtype(dtype.numpy_dtype): dtype
    for dtype in (
        pd.Int8Dtype(), pd.Int16Dtype(), pd.Int32Dtype(), pd.Int64Dtype(),
        pd.UInt8Dtype(), pd.UInt16Dtype(), pd.UInt32Dtype(), pd.UInt64Dtype(),
    )
}  # fmt: skip
# Up to it, floats are all integers.
_EXACT = 2**53


def as_series(values: Any) -> pd.Series:
    """A column or list of ids as a Series; as float64, ids of 64 bits would collide.

    Parameters
    ----------
    values : array-like of shape (n,)
        A list, an array, or a column of pandas, Polars or Arrow.
    """
    if hasattr(values, "to_frame") and not isinstance(values, pd.Series | pd.Index):
        values = read_table(values.to_frame()).column(0)
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values.to_pandas(types_mapper=_NULLABLE.get if values.null_count else None)
    series = pd.Series(values)
    if series.dtype.kind == "f" and not hasattr(values, "dtype"):
        return pd.Series(values, dtype=object)
    return series


def as_matrix(columns: list[Any]) -> np.ndarray:
    """Columns of ids side by side, shape (n, n_columns): of objects, where one dtype would round.

    Parameters
    ----------
    columns : list of Column, each of shape (n,)
    """
    if all(isinstance(column, np.ndarray) and column.dtype.kind in "biuf" for column in columns):
        whole = [column for column in columns if column.dtype.kind in "iu"]
        as_floats = np.result_type(*columns).kind == "f"
        if not (as_floats and any(map(_beyond_floats, whole))):
            return np.column_stack(columns)
    series = [as_series(column).to_numpy(dtype=object) for column in columns]
    matrix = np.empty((len(series[0]), len(series)), dtype=object)
    for position, column in enumerate(series):
        matrix[:, position] = column
    return matrix


def _beyond_floats(column: np.ndarray) -> bool:
    return bool(len(column)) and max(-int(column.min()), int(column.max())) > _EXACT
