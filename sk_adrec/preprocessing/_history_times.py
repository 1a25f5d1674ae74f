"""Gaps between times of events and of rows, exact to the last digit, and ages."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from ._times import BEYOND, NOTHING, NUMBERS

NANOSECONDS_PER_DAY = 86_400 * 10**9
# Times that are looked at before all are.
_N_HEAD = 1000


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
    if value >= BEYOND:
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
        inside = np.clip(floor, -BEYOND, np.nextafter(float(BEYOND), 0)).astype(np.int64)
        times = np.where(floor < BEYOND, inside, BEYOND - 1)
    whole_gap = math.floor(gap)
    earlier = np.maximum(times, whole_gap - BEYOND) - whole_gap
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
