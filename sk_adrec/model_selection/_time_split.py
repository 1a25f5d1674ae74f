"""Windows of time as test rows, and what came before them as training rows."""

from __future__ import annotations

import math
import numbers
from fractions import Fraction

import numpy as np
import pandas as pd

from .._warnings import warn
from ..preprocessing._times import NUMBERS, Times
from ._base import BaseSplitter, row_times


class TimeSplit(BaseSplitter):
    """Test on a window of time, train on all rows before it: what deployment will meet.

    Windows are cut by time and not by numbers of rows (as in scikit-learn's TimeSeriesSplit), so
    that rows need not be sorted and rows of one instant stay together. No training row is as late
    as a test row.

    Parameters
    ----------
    time : str or int, default="time"
        Column of times, by its name in a frame or its position in an array: numbers in any unit
        (days, seconds), or datetimes.
    n_splits : int, default=5
        Test windows, which follow each other without overlap; the last one ends with the last row.
        More of them show how scores vary over time, and cost a fit each.
    test_size : number, str or timedelta, default=None
        Length of a test window: a number in the unit of numeric times, for datetimes a duration
        such as ``"7D"``. None divides the whole span by ``n_splits + 1``. Take the time for which
        a fitted model will serve.
    gap : number, str or timedelta, default=0
        Time left out between the last training row and the window: as long as labels take to
        arrive, or a fit takes to go into service.
    max_train_size : number, str or timedelta, default=None
        Length of the training window; None takes all the past. Set it where old rows mislead, or
        to compare splits of like size.

    See Also
    --------
    LeaveLastOut : The last rows of each user, whenever they were.
    sklearn.model_selection.TimeSeriesSplit : By numbers of rows.

    Notes
    -----
    With end e of the times and test_size s, window j of n covers e - (n - j) s < t <=
    e - (n - 1 - j) s for j = 0, ..., n - 1, and training takes t <= e - (n - j) s - gap.

    **Ties.** A row that lies exactly on a border belongs to the time before it, so that with
    whole days or weeks, ``test_size=4`` is the last four of them. To cut at midnight, pass a
    column of days: ``X["time"].dt.tz_localize(None).dt.floor("D")``.

    Rows may be in any order. Times with a zone are compared, and windows measured, in UTC.

    Examples
    --------
    ===== ==== =============== ===============
    row   week split 0         split 1
    ===== ==== =============== ===============
    0     1    training        training
    1     5    test
    2     3    (gap)           training
    3     2    training        training
    4     7                    test
    5     4    test            training
    6     6                    test
    ===== ==== =============== ===============

    Two windows of two weeks, with a gap of one; week 5 is the gap of the second split.

    >>> import pandas as pd
    >>> from sk_adrec.model_selection import TimeSplit
    >>> log = pd.DataFrame({"week": [1, 5, 3, 2, 7, 4, 6]})
    >>> for train, test in TimeSplit("week", n_splits=2, test_size=2, gap=1).split(log):
    ...     print(train, test)
    [0 3] [1 5]
    [0 2 3 5] [4 6]
    """

    _hint = "pass a longer test_size, fewer n_splits, or a shorter gap"

    def __init__(self, time="time", n_splits=5, *, test_size=None, gap=0, max_train_size=None):
        self.time = time
        self.n_splits = n_splits
        self.test_size = test_size
        self.gap = gap
        self.max_train_size = max_train_size

    def _masks(self, X, groups, n_splits):
        if groups is not None:
            warn("TimeSplit does not look at groups: all users are cut at the same time")
        times = row_times(X, self.time)
        values = times.values
        # Python's numbers: the difference of two int64 may need a bit more.
        end, begin = values.max().item(), values.min().item()
        if self.test_size is None:
            size = (Fraction(end) - Fraction(begin)) / (n_splits + 1)
        else:
            size = _duration("test_size", self.test_size, times)
        gap = _duration("gap", self.gap, times, zero=True)
        longest = None
        if self.max_train_size is not None:
            longest = _duration("max_train_size", self.max_train_size, times)
        borders = [end - (n_splits - j) * size for j in range(n_splits)]
        for start, stop in zip(borders, [*borders[1:], end]):
            last = start - gap
            train = _is_until(values, last)
            if longest is not None:
                train &= ~_is_until(values, last - longest)
            yield train, ~_is_until(values, start) & _is_until(values, stop)


def _is_until(times: np.ndarray, border) -> np.ndarray:
    """Which times are not after a border; integers are compared to the last digit."""
    if times.dtype.kind == "f":
        return times <= float(border)
    return times <= (math.floor(border) if math.isfinite(border) else border)


def _duration(name, value, times: Times, zero=False):
    """A duration in the unit of the times: a number, nanoseconds where they are dates."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool | np.timedelta64)
    if times.kind == NUMBERS:
        if not is_number:
            raise TypeError(
                f"{name} must be a number in the unit of the times, which are numbers, got "
                f"{value!r}: pass a number, or times as datetimes"
            )
        # Of numpy, a number would wrap around.
        duration = value.item() if isinstance(value, np.generic) else value
    elif is_number and value != 0:
        raise TypeError(
            f"{name} must say its unit where times are datetimes, got {value!r}: pass for instance "
            f'"{value}D" for days'
        )
    else:
        try:
            span = pd.Timedelta(value)
            duration = math.nan if span is pd.NaT else int(span.as_unit("ns").value)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f'{name} must be a duration such as "7D", below 292 years, got {value!r}'
            ) from error
    if not (duration > 0 or (zero and duration == 0)):  # NaN is above no zero
        raise ValueError(f"{name} must be {'at least' if zero else 'above'} 0, got {value!r}")
    return duration
