"""Times of events and of rows: dates or numbers, as integers that compare exactly."""

from __future__ import annotations

import math
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
NANOSECONDS_PER_DAY = 86_400 * 10**9
# Times are 64-bit integers: from -_BEYOND to _BEYOND - 1.
_BEYOND = 2**63
# Times that are looked at before all are.
_N_HEAD = 1000


@dataclass(frozen=True)
class Times:
    """A column of times.

    Parameters
    ----------
    values : ndarray of shape (n_rows,), int64 or float64
        Nanoseconds since 1970 for dates (UTC where they have a zone), numbers as they are: int64
        if all are whole, whatever held them; 0 where missing.
    missing : ndarray of shape (n_rows,), bool
    kind : str
        NUMBERS, LOCAL, ZONED or NOTHING.
    """

    values: np.ndarray
    missing: np.ndarray
    kind: str


def to_times(column: Column, where: str) -> Times:
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
        If a number is infinite or an integer of 2**63 or more, or a date outside the years 1678 to
        2261.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind == "O":
        column = _typed(column, where)
    if isinstance(column, np.ndarray) and column.dtype.kind in "Miuf":
        column = pa.array(column, from_pandas=True)
    if not isinstance(column, pa.Array | pa.ChunkedArray):
        raise _no_times(where)
    kind = column.type
    if pa.types.is_null(kind):
        return Times(np.zeros(len(column), np.int64), np.ones(len(column), bool), NOTHING)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zoned = pa.types.is_timestamp(kind) and kind.tz is not None
        nanoseconds = _cast(column, pa.timestamp("ns", kind.tz if zoned else None), where)
        return _times(pc.cast(nanoseconds, pa.int64()), ZONED if zoned else LOCAL)
    if not is_number(kind) or pa.types.is_boolean(kind):
        raise _no_times(where)
    number = pa.int64() if pa.types.is_integer(kind) else pa.float64()
    times = _times(_cast(column, number, where))
    if np.isinf(times.values).any():
        raise ValueError(f"{where} contains infinity, which is no time. Replace it by NaN.")
    return times


def _times(column: pa.Array | pa.ChunkedArray, kind: str = NUMBERS) -> Times:
    missing = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    if missing.any():
        values = np.where(missing, 0, values)
    # Missing values make integers floats: as floats, they would lose digits of those beside them.
    is_float = values.dtype.kind == "f"
    if is_float and ((values == np.floor(values)) & (np.abs(values) < _BEYOND)).all():
        values = values.astype(np.int64)
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
    except OverflowError as error:
        raise _out_of_range(where, pa.int64(), error) from error
    except (ValueError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise _no_times(where) from error
    raise _no_times(where)


def _cast(column: Column, kind: pa.DataType, where: str) -> Column:
    try:
        return pc.cast(column, kind)
    except pa.ArrowInvalid as error:
        raise _out_of_range(where, kind, error) from error


def _out_of_range(where: str, kind: pa.DataType, error: Exception) -> ValueError:
    bad = "dates outside the years 1678 to 2261"
    if not pa.types.is_timestamp(kind):
        bad = "integers of 2**63 or more"
    return ValueError(
        f"{where} holds {bad}, which are no times here: {error}. Replace what stands for no time "
        "(9999-12-31, 2**64 - 1) by missing values."
    )


def _no_times(where: str) -> TypeError:
    return TypeError(
        f"{where} must hold times: dates (datetime64, of one time zone or none) or numbers. "
        "Convert text with pandas.to_datetime, or with utc=True where zones differ."
    )


def are_days(times: np.ndarray) -> bool:
    """Whether dates, in nanoseconds, are all at 00:00."""
    return not any((part % NANOSECONDS_PER_DAY).any() for part in (times[:_N_HEAD], times))


def read_gap(gap: Any, kind: str, name: str = "gap") -> int | float:
    """A gap, or another duration by its `name`, in the unit of ``Times.values`` of a kind.

    Raises
    ------
    ValueError
        If it is negative or 2**63 or more, a number where times are dates, or the other way round,
        or has no unit.
    """
    is_a_number = isinstance(gap, Real) and not isinstance(gap, bool | np.timedelta64)
    if is_a_number and (kind in (NUMBERS, NOTHING) or gap == 0):
        value = gap
    elif is_a_number or kind == NUMBERS:
        unit = (
            "a number, in the unit of the times" if kind == NUMBERS else "a duration such as '1D'"
        )
        raise ValueError(f"{name} must be {unit}, since the times are {kind}, got {gap!r}")
    else:
        value = _nanoseconds(gap, name)
    if not 0 <= value < np.inf:
        raise ValueError(f"{name} must be finite and not negative, got {gap!r}")
    if value >= _BEYOND:
        raise ValueError(f"{name} must be below 2**63, got {gap!r}")
    # 0.0 is the one float that is taken between dates, which are integers.
    return int(value) if value == 0 or isinstance(value, Integral) else float(value)


def _nanoseconds(gap: Any, name: str) -> int:
    number = gap
    if isinstance(gap, np.timedelta64) and np.datetime_data(gap.dtype)[0] == "generic":
        number = str(gap.astype(np.int64))
    if isinstance(number, str) and _is_positive_number(number):
        number = number.strip()
        raise ValueError(
            f"{name} must be a duration with a unit, got {gap!r}: give a unit: '{number}D' between "
            f"dates, or the number {number} between numbers"
        )
    try:
        return int(pd.Timedelta(gap).as_unit("ns").value)  # of NaT, a negative number
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name} must be a duration such as '1D' or a number, got {gap!r}"
        ) from error


def _is_positive_number(text: str) -> bool:
    try:
        return 0 <= float(text) < np.inf
    except ValueError:
        return False


def subtract_gap(times: np.ndarray, gap: int | float, *, whole: bool) -> np.ndarray:
    """``times - gap``, to find the events before it.

    Where the times of all events are `whole`, it is rounded up: an integer lies before a number
    exactly if it lies before the next integer, and int64 compares every digit. What would lie
    before the first integer becomes the first integer.
    """
    if not whole:
        return times.astype(np.float64) - gap
    fraction: np.ndarray | float = 0.0
    if times.dtype.kind == "f":
        floor = np.floor(times)
        fraction = times - floor
        inside = np.clip(floor, -_BEYOND, np.nextafter(float(_BEYOND), 0)).astype(np.int64)
        times = np.where(floor < _BEYOND, inside, _BEYOND - 1)
    whole_gap = math.floor(gap)
    earlier = np.maximum(times, whole_gap - _BEYOND) - whole_gap
    return earlier + (fraction > gap - whole_gap)


def ages(now: np.ndarray, then: np.ndarray, kind: str) -> np.ndarray:
    """``now - then`` as float64: days between dates, the numbers' own unit between numbers.

    Parameters
    ----------
    now, then : ndarrays of shape (n,), int64 or float64
        `then` is not after `now`.
    kind : str
        As ``Times.kind``.
    """
    if now.dtype.kind == then.dtype.kind == "i":
        # The difference of two int64 may need the 64th bit, which unsigned integers have.
        now, then = now.view(np.uint64), then.view(np.uint64)
    return (now - then) / (1.0 if kind == NUMBERS else float(NANOSECONDS_PER_DAY))
