"""Times: the one reading of a column of dates or numbers, and whether two such columns compare.

Whatever orders events, or looks back from one time to another, reads its times here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._state import stored
from .._warnings import warn
from ._columns import Column, is_number

# What a column of times holds. Dates without and with a time zone never compare.
NUMBERS, LOCAL, ZONED, NOTHING = (
    "numbers",
    "dates without a time zone",
    "dates with a time zone",
    "missing values only",
)
# Times are 64-bit integers: from -BEYOND to BEYOND - 1.
BEYOND = 2**63
# Units of numpy that Arrow has no type for; hours and minutes are whole seconds.
_NOT_IN_ARROW = ("Y", "M", "W", "D", "h", "m")
# What is no time, as pandas and Arrow call it -> what to do with it.
_REMEDIES = {
    "period": "Convert periods with .dt.to_timestamp().",
    "time": "A time of day has no order across days: add the date with datetime.combine.",
    "timedelta": "Add a duration to the date that it counts from, or take its .dt.total_seconds().",
}
_REMEDY = "Convert text with pandas.to_datetime, or with utc=True where zones differ."
# Times that count from a fixed date lie close together, seen from there, and far from zero. In
# another unit (seconds, milliseconds, days, 20240601) they lie at least so many times elsewhere.
_LEAST, _SPREAD, _ANOTHER_UNIT = 1_000, 10, 30


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

    def take(self, rows: np.ndarray) -> Times:
        """Some of the rows, by their numbers or a mask."""
        return Times(self.values[rows], self.missing[rows], self.kind)

    @property
    def span(self) -> Span:
        """What later times are compared with."""
        return Span.of(self.values[~self.missing], self.kind)


@stored
@dataclass(frozen=True)
class Span:
    """Where the times of a column lie.

    Parameters
    ----------
    kind : str
        As ``Times.kind``.
    low, high : int or float
        The least and the greatest; 0 where there is none.
    """

    kind: str
    low: int | float
    high: int | float

    @classmethod
    def of(cls, values: np.ndarray, kind: str) -> Span:
        """The span of times of a kind."""
        if not len(values):
            return cls(kind, 0, 0)
        return cls(kind, values.min().item(), values.max().item())

    def __or__(self, other: Span) -> Span:
        """The span of both."""
        if NOTHING in (self.kind, other.kind):
            return other if self.kind == NOTHING else self
        return Span(self.kind, min(self.low, other.low), max(self.high, other.high))

    def __str__(self) -> str:
        if self.kind == NUMBERS:
            return f"{self.low:.10g} to {self.high:.10g}"
        return f"{pd.Timestamp(self.low)} to {pd.Timestamp(self.high)}"


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
    column = _as_arrow(column, where)
    kind, types = column.type, pa.types
    if types.is_null(kind):
        return Times(np.zeros(len(column), np.int64), np.ones(len(column), bool), NOTHING)
    if types.is_timestamp(kind) or types.is_date(kind):
        zoned = types.is_timestamp(kind) and kind.tz is not None
        nanoseconds = _cast(column, pa.timestamp("ns", kind.tz if zoned else None), where)
        return _times(pc.cast(nanoseconds, pa.int64()), ZONED if zoned else LOCAL)
    if not is_number(kind) or types.is_boolean(kind):
        raise _no_times(where, _name_of(kind))
    number = pa.int64() if types.is_integer(kind) else pa.float64()
    times = _times(_cast(column, number, where))
    if np.isinf(times.values).any():
        raise ValueError(f"{where} contains infinity, which is no time. Replace it by NaN.")
    return times


def complete_times(column: Column, where: str) -> Times:
    """As `to_times`; a missing time raises ValueError, since it is neither before nor after any."""
    times = to_times(column, where)
    if times.missing.any():
        raise ValueError(
            f"{where} has no time in row {int(times.missing.argmax())} and "
            f"{int(times.missing.sum()) - 1} more. Fill them or drop the rows."
        )
    return times


def check_comparable(times: Times, where: str, known: Span, held: str) -> None:
    """Raise TypeError where times do not compare with earlier ones; warn where they may not.

    Parameters
    ----------
    times : Times
    where : str
        The column's name and dtype, for messages.
    known : Span
        The earlier ones.
    held : str
        Who held them, for messages: "events held", "fit saw".
    """
    if NOTHING in (times.kind, known.kind):
        return
    if times.kind != known.kind:
        raise TypeError(
            f"{where} holds {times.kind}, but {held} {known.kind}, and they do not compare. "
            "Convert one: pandas.to_datetime makes dates, .dt.tz_localize('UTC') gives them a time "
            "zone, .dt.tz_localize(None) takes it away."
        )
    if _in_another_unit(times.span, known):
        warn(
            f"{where} holds times from {times.span}, but {held} times from {known}: as if their "
            "unit were another one. They are compared as they are. Bring both to one unit, or "
            "make dates of them: pandas.to_datetime(column, unit='s').",
        )


def _in_another_unit(new: Span, known: Span) -> bool:
    for span in (new, known):
        if span.low < _LEAST or span.high > _SPREAD * span.low:
            return False
    return new.low > _ANOTHER_UNIT * known.high or _ANOTHER_UNIT * new.high < known.low


def _times(column: pa.Array | pa.ChunkedArray, kind: str = NUMBERS) -> Times:
    missing = pc.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False)
    values = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
    if missing.any():
        values = np.where(missing, 0, values)
    # Missing values make integers floats: as floats, they would lose digits of those beside them.
    is_float = values.dtype.kind == "f"
    if is_float and ((values == np.floor(values)) & (np.abs(values) < BEYOND)).all():
        values = values.astype(np.int64)
    return Times(values, missing, NOTHING if missing.all() else kind)


def _as_arrow(column: Column, where: str) -> pa.Array | pa.ChunkedArray:
    if isinstance(column, pd.Categorical):
        raise _no_times(where, "category")
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind == "O":
        return _of_objects(column, where)
    if column.dtype.kind not in "Miuf":
        raise _no_times(where, "timedelta" if column.dtype.kind == "m" else str(column.dtype))
    if not column.dtype.isnative:
        column = column.astype(column.dtype.newbyteorder("="))
    if column.dtype.kind == "M":
        column = _in_seconds(column, where)
    elif column.dtype.kind == "f" and column.dtype.itemsize not in (4, 8):
        column = column.astype(np.float64)
    return pa.array(column, from_pandas=True)


def _in_seconds(column: np.ndarray, where: str) -> np.ndarray:
    """Dates in a unit that Arrow has: those of coarser units in seconds."""
    unit, step = np.datetime_data(column.dtype)
    if unit == "generic":  # NaT of no unit
        return column.astype("datetime64[s]")
    if unit not in _NOT_IN_ARROW:
        return column if step == 1 else column.astype(f"datetime64[{unit}]")
    seconds = column.astype("datetime64[s]")
    if not ((seconds.astype(column.dtype) == column) | np.isnat(column)).all():
        raise _out_of_range(where, pa.timestamp("ns"), OverflowError("years without a number"))
    return seconds


def _of_objects(column: np.ndarray, where: str) -> pa.Array:
    """An object column as what its objects are."""
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    try:
        if inferred in ("datetime", "datetime64", "date"):
            return pa.array(pd.to_datetime(pd.Series(column)).array)
        if inferred in ("integer", "floating", "mixed-integer-float", "decimal", "empty"):
            return pa.array(column, from_pandas=True)
    except (OverflowError, pd.errors.OutOfBoundsDatetime) as error:
        is_date = inferred.startswith("date")
        raise _out_of_range(where, pa.timestamp("ns") if is_date else pa.int64(), error) from error
    except (ValueError, TypeError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        found = "dates of several time zones" if inferred.startswith("date") else inferred
        raise _no_times(where, found) from error
    if inferred.startswith("mixed"):
        kinds = {type(value).__name__ for value in column[~pd.isna(column)]}
        raise _no_times(where, " and ".join(sorted(kinds)[:3]))
    raise _no_times(where, inferred)


def _cast(column: pa.Array | pa.ChunkedArray, kind: pa.DataType, where: str):
    try:
        return pc.cast(column, kind)
    except pa.ArrowInvalid as error:
        raise _out_of_range(where, kind, error) from error


def _name_of(kind: pa.DataType) -> str:
    """What is no time, as pandas' infer_dtype says it."""
    if pa.types.is_time(kind):
        return "time"
    return "timedelta" if pa.types.is_duration(kind) else str(kind)


def _out_of_range(where: str, kind: pa.DataType, error: Exception) -> ValueError:
    bad = "dates outside the years 1678 to 2261"
    if not pa.types.is_timestamp(kind):
        bad = "integers of 2**63 or more"
    return ValueError(
        f"{where} holds {bad}, which are no times here: {error}. Replace what stands for no time "
        "(9999-12-31, 2**64 - 1) by missing values."
    )


def _no_times(where: str, found: str) -> TypeError:
    return TypeError(
        f"{where} must hold times: dates (datetime64, of one time zone or none) or numbers, got "
        f"{found}. {_REMEDIES.get(found, _REMEDY)}"
    )
