"""Distinct values and codes: each column is hashed once, all further work is on its few values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ._columns import unsupported
from ._storage import (
    Column,
    all_missing,
    is_number,
    is_string,
    of_array,
    of_arrow,
    of_pandas,
    used_categories,
    used_values,
)

# Ids in canonical form: strings (Arrow), integers (int64), or Python str, int and float mixed
# (object). Two ids are the same where Python's == says so: 5, 5.0 and True + 4 are one id.
Values: TypeAlias = pa.LargeStringArray | np.ndarray

_INT64_END = 2.0**63


@dataclass(frozen=True)
class Factorized:
    """A column as distinct values and, for each row, the position of its value.

    Parameters
    ----------
    codes : ndarray of shape (n_rows,), integer
        Positions in `values`; -1 = missing.
    values : Values
        Distinct ids in canonical form, in any order; some may not occur in `codes`.
    """

    codes: np.ndarray
    values: Values

    def counts(self, sample_weight: np.ndarray | None) -> np.ndarray:
        """Total weight of each value, shape (n_values,); each row counts 1 without weights."""
        # Shifted by one, so that missing rows fall into a bin of their own.
        totals = np.bincount(
            self.codes.astype(np.int64) + 1, weights=sample_weight, minlength=len(self.values) + 1
        )
        return totals[1:]


def factorize(column: Column, where: str) -> Factorized:
    """Split a column of single values into distinct values and codes.

    Parameters
    ----------
    column : Column
    where : str
        The column's name and dtype, for messages.

    Raises
    ------
    TypeError
        If the column holds something else than strings, numbers and missing values.
    ValueError
        If it holds infinity.
    """
    if isinstance(column, pd.Categorical):
        return _factorize_categorical(column, where)
    if isinstance(column, np.ndarray):
        column = of_array(column)
        if column.dtype.kind == "O":
            return _factorize_objects(column, where)
        if column.dtype.kind == "f":
            return _factorize_floats(column.astype(np.float64, copy=False), where)
        if column.dtype.kind not in "biu":
            return _nothing(column, where, column.dtype.kind in "mM")
        column = pa.array(np.ascontiguousarray(column))
    return _factorize_arrow(column, where)


def _nothing(column: Column, where: str, is_time: bool) -> Factorized:
    """Missing in every row, of a type that has no meaning here; raises where it holds a value."""
    if not all_missing(column):
        raise unsupported(where, is_time)
    return Factorized(np.full(len(column), -1, dtype=np.int32), np.empty(0, dtype=np.int64))


def _factorize_arrow(column: pa.Array | pa.ChunkedArray, where: str) -> Factorized:
    kind = column.type
    if pa.types.is_floating(kind):
        floats = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        return _factorize_floats(floats, where)
    if pa.types.is_decimal(kind):
        # Not through floats: ids of 38 digits are exact.
        return _factorize_objects(np.asarray(column.to_pylist(), dtype=object), where)
    if pa.types.is_dictionary(kind):
        encoded = _one_chunk(column)
        codes, used = used_values(_indices(encoded), len(encoded.dictionary))
        values = encoded.dictionary if used is None else encoded.dictionary.take(pa.array(used))
        return _compose(codes, factorize(of_arrow(values), where))
    if not (is_string(kind) or is_number(kind)):
        return _nothing(column, where, pa.types.is_temporal(kind))
    encoded = _one_chunk(column.dictionary_encode())
    if is_string(kind):
        return Factorized(_indices(encoded), encoded.dictionary.cast(pa.large_string()))
    values = encoded.dictionary.to_numpy(zero_copy_only=False)
    if values.dtype == np.uint64 and len(values) and values.max() >= _INT64_END:
        return Factorized(_indices(encoded), _object_array(values.tolist()))
    return Factorized(_indices(encoded), values.astype(np.int64))


def _one_chunk(column: pa.Array | pa.ChunkedArray) -> pa.DictionaryArray:
    if isinstance(column, pa.Array):
        return column
    column = column.unify_dictionaries().combine_chunks()
    # Some versions of pyarrow give a chunked array of one chunk.
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) else column


def _indices(encoded: pa.DictionaryArray) -> np.ndarray:
    indices = encoded.indices
    if indices.null_count:
        # Unsigned indices (Polars) have no -1.
        indices = pc.fill_null(indices.cast(pa.int64()), -1)
    return indices.to_numpy()


def _factorize_floats(column: np.ndarray, where: str) -> Factorized:
    missing = np.isnan(column)
    # Rows that are missing hold 0 from here on; the mask keeps them apart.
    filled = np.where(missing, 0.0, column)
    if np.isinf(filled).any():
        raise ValueError(f"{where} contains infinity, which is not an id. Replace it by NaN.")
    mask = missing if missing.any() else None
    if (np.floor(filled) == filled).all() and (np.abs(filled) < _INT64_END).all():
        return _factorize_arrow(pa.array(filled.astype(np.int64), mask=mask), where)
    encoded = pa.array(filled, mask=mask).dictionary_encode()
    inner = _canonical(encoded.dictionary.to_pylist(), where, any_type=False)
    return _compose(_indices(encoded), inner)


def _factorize_objects(column: np.ndarray, where: str) -> Factorized:
    try:
        arrow = pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, OverflowError):
        arrow = None  # several types in one column, or integers beyond 64 bits
    except UnicodeError:
        arrow = None  # lone surrogates are no UTF-8
    if arrow is not None:
        kind = arrow.type
        if is_string(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
            return _factorize_arrow(arrow, where)
    try:
        codes, values = pd.factorize(column)
    except TypeError as error:
        raise unsupported(where, is_time=False) from error
    return _compose(codes, _canonical(values.tolist(), where, any_type=False))


def _factorize_categorical(column: pd.Categorical, where: str) -> Factorized:
    codes, categories = used_categories(column)
    values = of_pandas(categories)
    if isinstance(values, np.ndarray):
        is_typed = values.dtype.kind in "biuf"
    else:
        is_typed = is_string(values.type) or is_number(values.type)
    if is_typed:
        return _compose(codes, factorize(values, where))
    return _compose(codes, _canonical(categories.tolist(), where, any_type=True))


def _compose(codes: np.ndarray, inner: Factorized) -> Factorized:
    """Replace codes of `inner`'s rows by codes of `inner`'s values."""
    if np.array_equal(inner.codes, np.arange(len(inner.codes))):
        return Factorized(codes, inner.values)
    # Code -1 reads the last entry: missing stays missing.
    return Factorized(np.append(inner.codes, -1)[codes], inner.values)


def _canonical(values: Iterable[Any], where: str, any_type: bool) -> Factorized:
    """Python objects in canonical form, equal ones merged."""
    position: dict[str | int | float, int] = {}
    codes = [
        -1
        if _is_missing(value)
        else position.setdefault(_identity(value, where, any_type), len(position))
        for value in values
    ]
    return Factorized(np.array(codes, dtype=np.int64), pack(position))


def _is_missing(value: Any) -> bool:
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float | np.floating | Decimal) and value != value)
    )


def _identity(value: Any, where: str, any_type: bool) -> str | int | float:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | np.integer | np.bool_) and not isinstance(
        value, np.timedelta64
    ):
        return int(value)
    if isinstance(value, float | np.floating | Decimal):
        if abs(value) == float("inf"):
            raise ValueError(f"{where} contains infinity, which is not an id. Replace it by NaN.")
        return int(value) if value == int(value) else float(value)
    if any_type:
        # Declared as a category by the caller: intervals, dates and tuples go by their text.
        return str(value)
    raise unsupported(where, is_time=False, found=type(value))


def pack(values: Iterable[str | int | float]) -> Values:
    """Canonical ids in the tightest array that holds them."""
    items = list(values)
    if items and all(isinstance(item, str) for item in items):
        try:
            return pa.array(items, type=pa.large_string())
        except UnicodeEncodeError:
            return _object_array(items)
    if all(isinstance(item, int) and -_INT64_END <= item < _INT64_END for item in items):
        return np.array(items, dtype=np.int64)
    return _object_array(items)


def _object_array(items: list) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array
