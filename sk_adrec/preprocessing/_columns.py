"""The columns of a table, whatever library it comes from, and what their dtypes mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._validation import refuse_lazy, to_array
from ._storage import (
    N_HEAD,
    Column,
    all_missing,
    is_list,
    is_number,
    is_string,
    of_array,
    of_arrow,
    of_narwhals,
    of_objects,
    of_pandas,
    used_categories,
)

NUMERIC, CATEGORICAL, SEQUENCE = "numeric", "categorical", "sequence"

LIST_LIKE = (list, tuple, np.ndarray)
# Durations are numpy's signed integers, and complex numbers its numbers: neither is one here.
_NUMBER_LIKE = (int, float, np.integer, np.floating, np.bool_, Decimal)
# What pandas' infer_dtype says of an object column of one kind.
_INFERRED_KIND = {
    "string": CATEGORICAL,
    "integer": NUMERIC,
    "floating": NUMERIC,
    "mixed-integer-float": NUMERIC,
    "boolean": NUMERIC,
    "decimal": NUMERIC,
    "empty": NUMERIC,
}
# What DataFrame.to_numpy would turn into objects category by category, whether it occurs or not,
# round (integers of a list beside a null), or not survive (views of lists).
_BY_COLUMN = (pd.CategoricalDtype, pd.ArrowDtype)
_INFERRED_TIMES = {"datetime64", "datetime", "date", "timedelta64", "timedelta", "time", "period"}


@dataclass(frozen=True)
class Table:
    """A two-dimensional input, read by position.

    Parameters
    ----------
    names : list of str or list of int
        The column names if all are strings, else the positions 0..F-1.
    n_rows : int
    data : pandas.DataFrame, narwhals.DataFrame or ndarray of shape (n_rows, F)
    """

    names: list[str] | list[int]
    n_rows: int
    data: Any

    @property
    def named(self) -> bool:
        """Whether the columns have names."""
        return bool(self.names) and isinstance(self.names[0], str)

    def column(self, position: int) -> Column:
        """The column at a position, without copying where its storage allows."""
        if isinstance(self.data, np.ndarray):
            return of_array(self.data[:, position])
        if isinstance(self.data, pd.DataFrame):
            return of_pandas(self.data.iloc[:, position])
        return of_narwhals(self.data[:, position])

    def describe(self, position: int) -> str:
        """The column's name and dtype, for messages."""
        if isinstance(self.data, np.ndarray):
            dtype = self.data.dtype
        elif isinstance(self.data, pd.DataFrame):
            dtype = self.data.dtypes.iloc[position]
        else:
            dtype = self.data[:, position].dtype
        return f"Column {self.names[position]!r} (dtype {dtype})"

    def columns_as_objects(self) -> Iterable[Sequence[Any]]:
        """The values of each column as Python objects: cheapest for a few rows."""
        if isinstance(self.data, np.ndarray):
            # Times would become integers.
            return list(self.data.T) if self.data.dtype.kind in "mM" else self.data.T.tolist()
        if isinstance(self.data, pd.DataFrame):
            if self.n_rows == 1:  # a third of the time of to_numpy
                value = self.data.iat
                return [(value[0, position],) for position in range(len(self.names))]
            if any(isinstance(dtype, _BY_COLUMN) for dtype in self.data.dtypes):
                return [_few(self.data.iloc[:, j]) for j in range(len(self.names))]
            return self.data.to_numpy(dtype=object).T.tolist()
        return list(zip(*self.data.rows())) if self.n_rows else [()] * len(self.names)


def read_table(X: Any) -> Table:
    """Read a DataFrame (pandas, or any eager one that narwhals knows) or a 2-D array.

    Raises
    ------
    TypeError
        If X is a lazy frame, whose rows are not there yet.
    ValueError
        If X is not two-dimensional, is complex, or two columns have one name.
    """
    if not isinstance(X, pd.DataFrame):
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if not isinstance(frame, nw.DataFrame):
            refuse_lazy(X)
            return _read_array(X)
        return Table(_check_unique(frame.columns), len(frame), frame)
    names = X.columns.tolist()
    if not all(isinstance(name, str) for name in names):
        return Table(list(range(len(names))), len(X), X)
    return Table(_check_unique(names), len(X), X)


def _check_unique(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(
            f"Column names must be unique, got {repeated} more than once. Rename or drop copies."
        )
    return names


def _read_array(X: Any) -> Table:
    array = to_array(X)
    if array.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got {array.ndim}D array instead (shape {array.shape}). "
            "Reshape your data: array.reshape(-1, 1) for a single feature, "
            "array.reshape(1, -1) for a single sample."
        )
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported, got dtype {array.dtype}. Pass X.real.")
    return Table(list(range(array.shape[1])), len(array), array)


def _few(series: pd.Series) -> list[Any]:
    if isinstance(series.dtype, pd.ArrowDtype):
        values = of_pandas(series)
        return values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    values = series.array
    if not isinstance(values, pd.Categorical):
        return values.to_numpy(dtype=object).tolist()
    codes = values.codes
    found = iter(values.categories.take(codes[codes >= 0]).tolist())
    return [next(found) if code >= 0 else None for code in codes.tolist()]


def kind_of(column: Column, where: str) -> str:
    """What a column becomes: "numeric", "categorical" or "sequence".

    Parameters
    ----------
    column : Column
    where : str
        The column's name and dtype, for the error's message.

    Raises
    ------
    TypeError
        If the column holds times, bytes, dicts or anything else without a meaning here.
    """
    if isinstance(column, pd.Categorical):
        return CATEGORICAL
    if isinstance(column, np.ndarray):
        if column.dtype.kind in "biuf":
            return NUMERIC
        if column.dtype.kind == "O":
            return _object_kind(column, where)
        raise unsupported(where, column.dtype.kind in "mM")
    kind, types = column.type, pa.types
    if is_string(kind) or types.is_dictionary(kind):
        return CATEGORICAL
    if is_list(kind):
        return SEQUENCE
    if is_number(kind) or types.is_null(kind):
        return NUMERIC
    raise unsupported(where, types.is_temporal(kind))


def _object_kind(column: np.ndarray, where: str) -> str:
    # One string makes a column categorical; whatever else it holds is looked at when it is encoded.
    inferred = pd.api.types.infer_dtype(column[:N_HEAD], skipna=True)
    if inferred != "string":
        inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in _INFERRED_KIND:
        return _INFERRED_KIND[inferred]
    if inferred in _INFERRED_TIMES:
        raise unsupported(where, is_time=True)
    types = set(map(type, column[~pd.isna(column)]))
    if all(issubclass(t, LIST_LIKE) for t in types):
        return SEQUENCE
    if all(map(_is_number_type, types)):
        return NUMERIC
    for t in types:
        if not (issubclass(t, str) or _is_number_type(t)):
            raise unsupported(where, is_time=False, found=t)
    return CATEGORICAL


def _is_number_type(kind: type) -> bool:
    return issubclass(kind, _NUMBER_LIKE) and not issubclass(kind, np.timedelta64)


def unsupported(where: str, is_time: bool, found: type | None = None) -> TypeError:
    """The error for a column that holds something without a meaning here."""
    if is_time:
        return TypeError(
            f"{where}: dates and durations have no single meaning as a feature. Derive numbers or "
            'strings from them first: X["time"].dt.hour, X["time"].dt.dayofweek, seconds since...'
        )
    got = "" if found is None else f", got {found.__name__}"
    return TypeError(
        f"{where}: argument must be a string, a number, a bool, missing, or a list of strings or "
        f"numbers{got}. Convert the column or drop it."
    )


def to_float(column: Column, where: str) -> np.ndarray:
    """Numbers as float64 with NaN for missing, shape (n_rows,); inf raises.

    Categories that are numbers are numbers, and a column without any value is missing in every
    row, whatever its dtype.

    Raises
    ------
    TypeError
        If the column does not hold numbers.
    ValueError
        If it holds infinity, or an integer beyond the floats.
    """
    if all_missing(column):
        return np.full(len(column), np.nan)
    if isinstance(column, pd.Categorical):
        codes, categories = used_categories(column)
        # Code -1 reads the last entry.
        return np.append(to_float(of_pandas(categories), where), np.nan)[codes]
    if not isinstance(column, np.ndarray) and pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if kind_of(column, where) != NUMERIC:
        raise TypeError(
            f"{where} was numeric in fit and is not numeric now. Convert it with "
            "pandas.to_numeric, or fit on a column of the same dtype."
        )
    values = _numbers(column, where)
    # A finite sum proves that all is finite; the costlier test runs only where it is not.
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    if not np.isfinite(total) and np.isinf(values).any():
        raise ValueError(
            f"{where} contains infinity. Replace it by a finite number, or by NaN if it means "
            "that the value is missing."
        )
    return values


def _numbers(column: Any, where: str) -> np.ndarray:
    if not isinstance(column, np.ndarray):
        return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if column.dtype.kind == "O":
        column = np.where(pd.isna(column), np.nan, column)
    try:
        return column.astype(np.float64, copy=False)
    except OverflowError as error:
        raise ValueError(
            f"{where} holds an integer beyond the largest float, 1.8e308. If it is an id, name the "
            "column in categorical_features; or replace the number."
        ) from error


def flatten(column: Column, where: str) -> tuple[np.ndarray, Column]:
    """A list column as the length of each row, shape (n_rows,), int64, and all entries in order.

    Raises
    ------
    TypeError
        If the column holds something other than lists and missing values.
    """
    if all_missing(column):
        return np.zeros(len(column), dtype=np.int64), np.empty(0)
    if isinstance(column, pd.Categorical):
        column = np.asarray(column, dtype=object)
    if isinstance(column, np.ndarray):
        column = _object_lists(column, where)
        if isinstance(column, tuple):
            return column
    return _arrow_lists(column, where)


def _arrow_lists(column: Any, where: str) -> tuple[np.ndarray, Column]:
    if pa.types.is_dictionary(column.type):
        column = pc.cast(column, column.type.value_type)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not is_list(column.type):
        raise _not_lists(where)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return lengths, of_arrow(pc.list_flatten(column))


def _object_lists(column: np.ndarray, where: str) -> pa.Array | tuple[np.ndarray, np.ndarray]:
    if column.dtype.kind != "O" or kind_of(column, where) != SEQUENCE:
        raise _not_lists(where)
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, OverflowError, UnicodeError):
        # Entries of several types, beyond 64 bits or no UTF-8, or arrays of days: Arrow has no
        # name for them, a list of objects has.
        lists = column.copy()
        for row in np.flatnonzero(pd.isna(column)):
            lists[row] = ()
        try:
            lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
        except TypeError as error:
            raise unsupported(where, is_time=False, found=np.ndarray) from error
        return lengths, of_objects(list(chain.from_iterable(lists)))


def _not_lists(where: str) -> TypeError:
    return TypeError(
        f"{where} held lists in fit and holds single values now. Pass lists, or fit on a column "
        "of the same dtype."
    )
