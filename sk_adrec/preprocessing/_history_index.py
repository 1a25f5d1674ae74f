"""Events by group and time: which of a group's events lie before a row's time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class TimeIndex:
    """Events sorted by group and time; ties keep the order in which they came.

    Parameters
    ----------
    groups : ndarray of shape (n_groups,), int64
        The groups that have events, ascending; all are positive.
    bounds : ndarray of shape (n_groups + 2,), int64
        Group ``g`` has the sorted events from ``bounds[g]`` up to ``bounds[g + 1]``. The last two
        are the same: the group that does not exist has no events.
    times : ndarray of shape (n_events,), int64 or float64
        Of the sorted events.
    order : ndarray of shape (n_events,), int64
        Where each sorted event stood before.
    """

    groups: np.ndarray
    bounds: np.ndarray
    times: np.ndarray
    order: np.ndarray

    @classmethod
    def build(cls, group: np.ndarray, times: np.ndarray) -> Self:
        """Sort events, given the group (positive) and the time (ascending) of each."""
        order = np.argsort(group, kind="stable")
        group = group[order].astype(np.int64)
        first = np.flatnonzero(np.diff(group, prepend=-1))
        bounds = np.concatenate([first, [len(order), len(order)]])
        return cls(group[first], bounds, times[order], order)

    def before(
        self, group: np.ndarray, limit: np.ndarray, since: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the sorted events of a group that lie before a time begin and end.

        Parameters
        ----------
        group : ndarray of shape (n_rows,), int64
            May be a group without events.
        limit : ndarray of shape (n_rows,), int64 or float64
            Only earlier events count; those at the same time do not.
        since : ndarray of shape (n_rows,) or None
            At most `limit`: events before it do not count; those at the same time do.

        Returns
        -------
        first, stop : ndarrays of shape (n_rows,), int64
        """
        at = np.searchsorted(self.groups, group)
        # No group is -1, so what lies behind the last group is never found.
        found = np.append(self.groups, -1)[at] == group
        at = np.where(found, at, len(self.groups))
        first = self.bounds[at]
        stop = _first_not_before(self.times, first, self.bounds[at + 1], limit)
        if since is not None:
            first = _first_not_before(self.times, first, stop, since)
        return first, stop


def _first_not_before(
    times: np.ndarray, first: np.ndarray, end: np.ndarray, limit: np.ndarray
) -> np.ndarray:
    """Bisect ``times[first:end]`` of each row for its limit, all rows at once."""
    low, high = first.copy(), end.copy()
    rows = np.flatnonzero(low < high)
    while len(rows):
        middle = (low[rows] + high[rows]) // 2
        is_before = times[middle] < limit[rows]
        low[rows[is_before]] = middle[is_before] + 1
        high[rows[~is_before]] = middle[~is_before]
        rows = rows[low[rows] < high[rows]]
    return low


@dataclass(frozen=True)
class Runs:
    """Repetitions: sorted events of one group that follow each other with the same values.

    Parameters
    ----------
    number : ndarray of shape (n_events,), int64
        The run of each sorted event, ascending.
    last : ndarray of shape (n_runs,), int64
        The most recent event of each run.
    """

    number: np.ndarray
    last: np.ndarray

    @classmethod
    def find(cls, index: TimeIndex, values: list[np.ndarray]) -> Self:
        """The runs of equal `values`, each of shape (n_events,), in the order of the index."""
        begins = np.zeros(len(index.times), dtype=bool)
        begins[index.bounds[:-2]] = True
        for column in values:
            begins[1:] |= column[1:] != column[:-1]
        number = np.cumsum(begins) - 1
        return cls(number, np.append(np.flatnonzero(begins)[1:], len(begins)) - 1)


def latest(
    first: np.ndarray, stop: np.ndarray, max_len: int, runs: Runs | None
) -> tuple[np.ndarray, np.ndarray]:
    """The last `max_len` sorted events of each row's range, or of its runs the most recent ones.

    Parameters
    ----------
    first, stop : ndarrays of shape (n_rows,), int64
        As :meth:`TimeIndex.before` returns them.
    max_len : int
    runs : Runs or None
        Where given, repetitions count once, as the most recent of them that is in the range.

    Returns
    -------
    lengths : ndarray of shape (n_rows,), int64
    positions : ndarray of shape (sum of lengths,), int64
        Sorted events, oldest first.
    """
    if runs is None:
        return _last_of_ranges(first, stop, max_len)
    known = stop > first
    lengths = np.zeros(len(first), dtype=np.int64)
    lengths[known], number = _last_of_ranges(
        runs.number[first[known]], runs.number[stop[known] - 1] + 1, max_len
    )
    positions = runs.last[number]
    # The last run may go on behind the range.
    positions[np.cumsum(lengths[known]) - 1] = stop[known] - 1
    return lengths, positions


def _last_of_ranges(
    first: np.ndarray, stop: np.ndarray, max_len: int
) -> tuple[np.ndarray, np.ndarray]:
    begin = np.maximum(first, stop - max_len)
    lengths = stop - begin
    ends = np.cumsum(lengths)
    return lengths, np.arange(lengths.sum()) + np.repeat(begin - (ends - lengths), lengths)
