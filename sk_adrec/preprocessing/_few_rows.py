"""Encoding of a few rows: one dictionary look-up a value, in the time of a request.

Only quicker, never of another meaning: a value is taken here if its very type is listed below.
Whatever else comes (a subclass, a Decimal that equals an id, infinity) is left to the vectorised
encoder, which knows the right answer or the right error. Both look at values, not at the dtype that
stores them: what a dtype alone would tell (a column of categories, of dates) must not matter there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ._columns import Table
from ._encoded import Encoded, Ragged
from ._moments import Moments
from ._schema import ColumnSpec, Name
from ._vocabulary import MISSING, UNKNOWN, Vocabulary

_NUMBERS = frozenset({int, float, bool, np.bool_, *(np.dtype(c).type for c in "bBhHiIlLqQefd")})
_TEXTS = frozenset({str, np.str_})
_IDS = _NUMBERS | _TEXTS
_LISTS = frozenset({list, tuple, np.ndarray})


class _NotOrdinaryError(Exception):
    """The vectorised encoder must look at this frame."""


def encode_few_rows(
    table: Table,
    specs: Sequence[ColumnSpec],
    vocabularies: Mapping[Name, Vocabulary],
    moments: Moments,
    max_len: int | None,
    dtype: str,
) -> Encoded | None:
    """Encode a table of few rows as a fitted `LogEncoder` with these parts does, or return None."""
    try:
        columns = list(table.columns_as_objects())
    except (pa.ArrowException, ValueError, TypeError, OverflowError):
        return None  # pandas has no objects for some of Arrow's layouts
    floats: list[np.ndarray] = []
    codes: list[list[int]] = []
    sequences: dict[Any, Ragged] = {}
    try:
        for spec, column in zip(specs, columns):
            if spec.vocabulary is None:
                number = _number if spec.seen else _no_number
                floats.append(np.array([number(value) for value in column], dtype=np.float64))
                continue
            code = _coder(vocabularies[spec.vocabulary])
            if spec.kind == "categorical":
                codes.append([code(value) for value in column])
            else:
                sequences[spec.name] = _ragged(column, code, max_len)
    except (_NotOrdinaryError, TypeError, OverflowError):
        return None
    numeric = moments.standardise(floats, table.n_rows, dtype)
    categorical = np.empty((table.n_rows, len(codes)), dtype=np.int32)
    for position, column_codes in enumerate(codes):
        categorical[:, position] = column_codes
    return Encoded(numeric, categorical, sequences)


def _number(value: Any) -> float:
    if type(value) in _NUMBERS:
        number = float(value)
        if isfinite(number) or number != number:
            return number
    elif value is None or value is pd.NA:
        return np.nan
    raise _NotOrdinaryError


def _no_number(value: Any) -> float:
    """For a column without any number in fit: a value is none of this module's business."""
    number = _number(value)
    if number == number:
        raise _NotOrdinaryError
    return number


def _coder(vocabulary: Vocabulary) -> Callable[[Any], int]:
    find = vocabulary.table.get

    def code(value: Any) -> int:
        found = find(value) if type(value) in _IDS else None
        return _rare(value, vocabulary) if found is None else found

    return code


def _rare(value: Any, vocabulary: Vocabulary) -> int:
    """Code of a value that is not known: missing, unknown, or none of this module's business."""
    if value is None or value is pd.NA:
        return MISSING
    if type(value) in _NUMBERS:
        if value != value:
            return MISSING
        if isfinite(value) and vocabulary.holds_type("number"):
            return UNKNOWN
    elif type(value) in _TEXTS and vocabulary.holds_type("string"):
        return UNKNOWN
    raise _NotOrdinaryError


def _ragged(column: Sequence[Any], code: Callable[[Any], int], max_len: int | None) -> Ragged:
    values: list[int] = []
    offsets = [0]
    for cell in column:
        if type(cell) in _LISTS:
            if isinstance(cell, np.ndarray) and cell.dtype.kind == "f":
                # pandas gives an Arrow list of integers with a null as floats: ids may be rounded.
                raise _NotOrdinaryError
            entries = [found for found in map(code, cell) if found != MISSING]
            values += entries if max_len is None else entries[max(0, len(entries) - max_len) :]
        elif not (cell is None or cell is pd.NA or (isinstance(cell, float) and cell != cell)):
            raise _NotOrdinaryError
        offsets.append(len(values))
    return Ragged(np.array(values, dtype=np.int32), np.array(offsets, dtype=np.int64))
