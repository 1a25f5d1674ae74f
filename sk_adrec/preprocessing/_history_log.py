"""Events as HistoryEncoder keeps them, and what was known of them before a row's time."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import pyarrow as pa

from .._state import stored
from ._factorize import Factorized
from ._history_index import Runs, TimeIndex, latest
from ._history_times import ages, are_days
from ._times import LOCAL, NOTHING, ZONED, Span, Times
from ._vocabulary import FIRST_KNOWN, MISSING, Vocabulary

# Entries of the lists that are gathered at once: bounds the memory beside the lists themselves,
# and is what the processor's caches hold.
_ENTRIES_AT_ONCE = 2**20


@stored
@dataclass(frozen=True)
class EventLog:
    """Events by time, those of equal time in the order in which they came.

    Parameters
    ----------
    users : Vocabulary
    attributes : dict of str to Vocabulary
        The ids of each attribute.
    user : ndarray of shape (n_events,), int32
        Codes of `users`, none of them missing.
    times : ndarray of shape (n_events,), int64 or float64
        Ascending.
    kind : str
        As ``Times.kind``.
    codes : dict of str to ndarray of shape (n_events,), int32
        Codes of each attribute, MISSING where an event has none.
    """

    users: Vocabulary
    attributes: dict[str, Vocabulary]
    user: np.ndarray
    times: np.ndarray
    kind: str
    codes: dict[str, np.ndarray]

    @classmethod
    def empty(cls, names: Iterable[str]) -> Self:
        """A log of events with these attributes, before the first event."""
        names = list(names)
        return cls(
            Vocabulary(),
            {name: Vocabulary() for name in names},
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            NOTHING,
            {name: np.empty(0, np.int32) for name in names},
        )

    @cached_property
    def by_day(self) -> bool:
        """Whether events are known by their day only: all dates are at 00:00."""
        return len(self.times) > 0 and self.kind in (LOCAL, ZONED) and are_days(self.times)

    @property
    def span(self) -> Span:
        """Where the times of events lie."""
        return Span.of(self.times, self.kind)

    def append(
        self, user: Factorized, times: Times, ids: dict[str, Factorized], entering: np.ndarray
    ) -> Self:
        """A log that goes on with the events that enter and have a user and a time."""
        users, attributes = copy(self.users), {k: copy(v) for k, v in self.attributes.items()}
        keep = entering & (user.codes >= 0) & ~times.missing

        def codes_of(vocabulary: Vocabulary, factorized: Factorized) -> np.ndarray:
            kept = Factorized(factorized.codes[keep], factorized.values)
            vocabulary.grow_counts(kept.values, kept.counts(None))
            return vocabulary.encode(kept)

        together = np.concatenate([self.times, times.values[keep]])
        order = np.argsort(together, kind="stable")
        return replace(
            self,
            users=users,
            attributes=attributes,
            user=np.concatenate([self.user, codes_of(users, user)])[order],
            times=together[order],
            kind=self.kind if times.kind == NOTHING else times.kind,
            codes={
                name: np.concatenate([self.codes[name], codes_of(attributes[name], new)])[order]
                for name, new in ids.items()
            },
        )


@dataclass(frozen=True)
class Rows:
    """Whose past is wanted, and when.

    Parameters
    ----------
    user : ndarray of shape (n_rows,), int64
        Codes of the log's users; MISSING where the user or the time is.
    now : ndarray of shape (n_rows,), int64 or float64
        The time of each row.
    limit : ndarray of shape (n_rows,), int64 or float64
        Events before it are known: the row's time minus the gap.
    since : ndarray of shape (n_rows,), int64 or float64, or None
        Events before it are forgotten; None forgets none.
    """

    user: np.ndarray
    now: np.ndarray
    limit: np.ndarray
    since: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)


class PastLists:
    """The last known events of a row's user, one list per attribute.

    Parameters
    ----------
    log : EventLog
    names : list of str
        Events that miss all of these attributes are left out.
    distinct : bool
        Whether repetitions that follow each other are listed once, as the most recent of them.

    Raises
    ------
    TypeError
        If an attribute holds text and numbers.
    """

    def __init__(self, log: EventLog, names: list[str], distinct: bool) -> None:
        events = np.arange(len(log.times))
        if names:
            events = np.flatnonzero(sum(log.codes[name] != MISSING for name in names))
        self.index = TimeIndex.build(log.user[events], log.times[events])
        events = events[self.index.order]
        self.codes = {name: log.codes[name][events] for name in names}
        self.values = {name: _arrow(name, log.attributes[name]) for name in names}
        self.runs = Runs.find(self.index, list(self.codes.values())) if distinct else None
        self.kind = log.kind

    def before(
        self, rows: Rows, max_len: int, with_ages: bool
    ) -> tuple[dict[str, pa.ChunkedArray], pa.ChunkedArray]:
        """Lists of each attribute by its name, and of the ages (empty unless `with_ages`)."""
        first, stop = self.index.before(rows.user, rows.limit, rows.since)
        parts: dict[str, list[pa.Array]] = {name: [] for name in self.codes}
        age_parts: list[pa.Array] = []
        step = max(1, _ENTRIES_AT_ONCE // max_len)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            lengths, positions = latest(first[part], stop[part], max_len, self.runs)
            offsets = pa.array(np.append(0, np.cumsum(lengths)), pa.int32())
            for name, codes in self.codes.items():
                entries = _decode(self.values[name], codes[positions])
                parts[name].append(pa.ListArray.from_arrays(offsets, entries))
            if with_ages:
                now = np.repeat(rows.now[part], lengths)
                since = ages(now, self.index.times[positions], self.kind).astype(np.float32)
                age_parts.append(pa.ListArray.from_arrays(offsets, pa.array(since)))
        lists = {name: pa.chunked_array(part) for name, part in parts.items()}
        return lists, pa.chunked_array(age_parts, pa.list_(pa.float32()))


class PastCounts:
    """How often, and how recently, a row's user had the row's own value of an attribute.

    Parameters
    ----------
    log : EventLog
    name : str
        The attribute.
    """

    def __init__(self, log: EventLog, name: str) -> None:
        self.n_codes = log.attributes[name].n_codes
        codes = log.codes[name]
        events = np.flatnonzero(codes != MISSING)
        self.index = TimeIndex.build(self._pair(log.user, codes)[events], log.times[events])
        self.kind = log.kind

    def before(self, rows: Rows, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of known events with the row's value, and the age of the latest (NaN: none)."""
        first, stop = self.index.before(self._pair(rows.user, codes), rows.limit, rows.since)
        age = np.full(len(rows), np.nan)
        seen = stop > first
        age[seen] = ages(rows.now[seen], self.index.times[stop[seen] - 1], self.kind)
        return (stop - first).astype(np.float64), age

    def _pair(self, user: np.ndarray, codes: np.ndarray) -> np.ndarray:
        return user.astype(np.int64) * self.n_codes + codes


def _arrow(name: str, vocabulary: Vocabulary) -> pa.Array:
    """The ids in the order of their codes, as one Arrow type."""
    ids = vocabulary.values
    try:
        try:
            values = pa.array(ids)
        except OverflowError:  # hashes, perhaps
            values = pa.array(ids, pa.uint64())
        # 32-bit offsets would bound the text of a column to 2 GB.
        return values.cast(pa.large_string()) if pa.types.is_string(values.type) else values
    except (pa.ArrowException, OverflowError, UnicodeError) as error:
        raise TypeError(
            f"Attribute {name!r} of events must hold ids of one type to be listed, but holds text "
            "and numbers, integers that no type of 64 bits holds together, or text with lone "
            f"surrogates. Convert it: events[{name!r}].astype(str)."
        ) from error


def _decode(values: pa.Array, codes: np.ndarray) -> pa.Array:
    """The id of each code, null where it is MISSING."""
    missing = codes == MISSING
    return values.take(pa.array(codes - FIRST_KNOWN, mask=missing if missing.any() else None))
