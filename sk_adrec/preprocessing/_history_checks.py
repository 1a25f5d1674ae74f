"""What HistoryEncoder refuses, and warns of, before it looks back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .._validation import check_number
from .._warnings import warn
from ._history_times import NANOSECONDS_PER_DAY, are_days, read_gap
from ._schema import hint
from ._times import NOTHING


def new_names(listed: Iterable[str], counted: Iterable[str], ages: bool) -> list[str]:
    """Names of the columns that are appended, in their order."""
    return [
        *(f"hist_{name}" for name in listed),
        *(["hist_age"] if ages else []),
        *(f"{what}_{name}" for name in counted for what in ("n", "age")),
    ]


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise ValueError where a parameter is bad whatever the data are."""
    for parameter in ("attributes", "counts", "drop"):
        names = parameters[parameter]
        is_sequence = isinstance(names, Sequence) and not isinstance(names, str)
        if not is_sequence or not all(isinstance(name, str) for name in names):
            raise ValueError(
                f"{parameter} must be a list of column names such as ['item_id'], got {names!r}"
            )
        if len(set(names)) < len(names):
            raise ValueError(f"{parameter} must name each column once, got {names!r}")
    attributes, counts = parameters["attributes"], parameters["counts"]
    if not new_names(attributes, counts, parameters["ages"]):
        raise ValueError(
            "Nothing to add to X: attributes and counts are empty and ages is False. Name a "
            "column in one of them."
        )
    if parameters["distinct"] and not attributes:
        raise ValueError(
            "distinct=True needs attributes: without any, all events of a user are repetitions of "
            f"one. Name some, or leave distinct False; got attributes={attributes!r}"
        )
    check_number("max_len", parameters["max_len"], 1, integer=True)
    read_gap(parameters["gap"], NOTHING)
    if parameters["window"] is not None:
        read_gap(parameters["window"], NOTHING, "window")


def check_output_names(names: Sequence[Any], drop: Iterable[str], new: Iterable[str]) -> None:
    """Raise ValueError where X lacks a column to drop, or has a new one already."""
    for name in drop:
        if name not in names:
            raise ValueError(f"drop names a column that X does not have: {hint(name, names)}")
    seen = set(names) - set(drop)
    for name in new:
        if name in seen:
            raise ValueError(
                f"The new column {name!r} has the name of another column of the output. "
                "Rename that one, or leave it out by drop."
            )
        seen.add(name)


def check_own_events(names: Sequence[Any], on: str | None, attributes: Iterable[str]) -> None:
    """Raise ValueError where X, taken for its own events, lacks what is read of them."""
    wanted = [("on", name) for name in [on] if name is not None]
    for parameter, name in [*wanted, *(("attributes", name) for name in attributes)]:
        if name not in names:
            raise ValueError(
                f"{parameter} names a column that events does not have: {hint(name, names)} "
                "No events were given, so X was taken for them. Pass the log to look back "
                "into, fit(X, events=log); in a Pipeline after set_fit_request(events=True)."
            )


def warn_of_timeless_events(n_timeless: int, n_events: int, time: str) -> None:
    """Warn where events have no time."""
    if n_timeless:
        warn(
            f"{n_timeless} of {n_events} events have no {time!r}, so they are never known. Look "
            "how the column was parsed, or drop them.",
        )


def warn_of_events_by_day(times: np.ndarray, gap: int | float, time: str) -> None:
    """Warn where events known by their day are looked up at finer `times`, in nanoseconds."""
    if gap < NANOSECONDS_PER_DAY and not are_days(times):
        warn(
            f"Column {time!r} of events holds days without a time of day, but X finer times: an "
            "event counts as known from 00:00 of its day on, before it happened. Set gap='1D', "
            "or give the events' full timestamps.",
        )
