"""Times of events and of rows: dates or numbers, as integers that compare exactly."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ._columns import Column, is_number

# What a column of times holds. Dates without and with a time zone never compare.
NUMBERS, LOCAL, ZONED, NOTHING = (
    "numbers",
    "dates without a time zone",
    "dates with a time zone",
    "missing values only",
)
_NANOSECONDS_PER_DAY = 86_400e9


@dataclass(frozen=True)
class Times:
    """A column of times.

    Parameters
    ----------
    values : ndarray of shape (n_rows,), int64 or float64
        Nanoseconds since 1970 for dates (UTC where they have a zone), numbers as they are; 0 where
        missing.
    missing : ndarray of shape (n_rows,), bool
    kind : str
        NUMBERS, LOCAL, ZONED or NOTHING.
    """

    values: np.ndarray
    missing: np.ndarray
    kind: str


def read_times(column: Column, where: str) -> Times:
    """Read a column of dates or numbers.

    Parameters
    ----------
    column : Column
    where : str
        The column's name and dtype, for messages.

    Raises
    ------
    TypeError
        If it holds text, durations or anything else that is no time.
    ValueError
        If a number is infinite, or a date outside the years 1678 to 2261.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind == "O":
        column = _typed(column, where)
    if isinstance(column, np.ndarray) and column.dtype.kind == "M":
        column = pa.array(pd.DatetimeIndex(column).as_unit("ns"))
    if isinstance(column, np.ndarray) and column.dtype.kind in "iuf":
        column = pa.array(column, from_pandas=True)
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        raise _no_times(where)
    kind = column.type
    if pa.types.is_null(kind):
        return Times(np.zeros(len(column), np.int64), np.ones(len(column), bool), NOTHING)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        nanoseconds = pc.cast(column, pa.timestamp("ns", kind.tz if zoned else None))
        return _times(pc.cast(nanoseconds, pa.int64()), ZONED if zoned else LOCAL)
    if not is_number(kind) or pa.types.is_boolean(kind):
        raise _no_times(where)
    times = _times(pc.cast(column, pa.int64() if pa.types.is_integer(kind) else pa.float64()))
    if np.isinf(times.values).any():
        raise ValueError(f"{where} contains infinity, which is no time. Replace it by NaN.")
    return times


def _times(column: pa.Array | pa.ChunkedArray, kind: str = NUMBERS) -> Times:
    missing = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    if missing.any():
        values = np.where(missing, 0, values)
    return Times(values, missing, NOTHING if missing.all() else kind)


def _typed(column: np.ndarray, where: str) -> Column:
    """An object column as what its objects are."""
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    try:
        if inferred in ("datetime", "datetime64", "date"):
            typed = pd.to_datetime(pd.Series(column))
            return pa.array(typed.array) if typed.dt.tz is not None else typed.to_numpy()
        if inferred in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
            return pa.array(column, from_pandas=True)
    except (ValueError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _no_times(where) from error
    raise _no_times(where)


def _no_times(where: str) -> TypeError:
    return TypeError(
        f"{where} must hold times: dates (datetime64, of one time zone or none) or numbers. "
        "Convert text with pandas.to_datetime, or with utc=True where zones differ."
    )


def read_gap(gap: Any, kind: str, name: str = "gap") -> int | float:
    """A gap, or another duration by its `name`, in the unit of ``Times.values`` of a kind.

    Raises
    ------
    ValueError
        If it is negative, or a number where times are dates, or the other way round.
    """
    is_a_number = isinstance(gap, Real) and not isinstance(gap, bool)
    if is_a_number and (kind in (NUMBERS, NOTHING) or gap == 0):
        value = int(gap) if isinstance(gap, Integral) else float(gap)
    elif is_a_number or kind == NUMBERS:
        unit = (
            "a number, in the unit of the times" if kind == NUMBERS else "a duration such as '1D'"
        )
        raise ValueError(f"{name} must be {unit}, since the times are {kind}, got {gap!r}")
    else:
        try:
            value = pd.Timedelta(gap).as_unit("ns").value
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{name} must be a duration such as '1D' or a number, got {gap!r}"
            ) from error
    if not 0 <= value < np.inf or gap is pd.NaT:
        raise ValueError(f"{name} must be finite and not negative, got {gap!r}")
    return value


def subtract_gap(times: np.ndarray, gap: int | float) -> np.ndarray:
    """``times - gap``; what would lie before the first integer becomes the first integer."""
    if times.dtype.kind != "i" or isinstance(gap, float):
        return times - gap
    return np.maximum(times, np.iinfo(np.int64).min + gap) - gap


def ages(now: np.ndarray, then: np.ndarray, kind: str) -> np.ndarray:
    """``now - then`` as float64: days between dates, the numbers' own unit between numbers."""
    return (now - then) / (1.0 if kind == NUMBERS else _NANOSECONDS_PER_DAY)
