"""When events happened and predictions are asked for, in seconds, and whether that can be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._warnings import warn
from ..preprocessing._columns import Column, Table
from ..preprocessing._times import LOCAL, NOTHING, ZONED, Span, check_comparable, to_times
from ._roles import Roles

# Share of the rows whose times may be out of order before that is pointed out.
_FEW_ROWS = 0.01


def event_times(
    table: Table, roles: Roles, column: Column, offsets: np.ndarray, known: dict[str, Span]
) -> tuple[np.ndarray, dict[str, Span]]:
    """Times of `Events`, shape (n_events, 2), for the column of the events' times.

    Also where they lie, by role; `known` is what fit has found so.
    """
    where = table.describe(table.names.index(roles.history_time))
    happened, span = seconds(column, f"history_time: {where}", known.get("history_time"))
    if roles.request_time is None:
        _warn_of_disorder(roles, happened, happened, offsets)
        return np.column_stack([happened, happened]), {"history_time": span}
    position = table.names.index(roles.request_time)
    where = f"request_time: {table.describe(position)}"
    request, asked_span = seconds(table.column(position), where, known.get("request_time"))
    kind, request_kind = span.kind, asked_span.kind
    kinds = {kind, request_kind} - {NOTHING}
    if len(kinds) > 1:
        remedy = "make both numbers (seconds), or both dates, with pandas.to_datetime"
        if kinds == {LOCAL, ZONED}:
            remedy = "give both a time zone, with dt.tz_localize, or none"
        raise ValueError(
            f"{roles.history_time!r} (history_time) holds {kind}, {roles.request_time!r} "
            f"(request_time) {request_kind}: {remedy}."
        )
    asked = np.append(happened[1:], np.nan)[: len(happened)]
    filled = np.diff(offsets) > 0
    asked[offsets[1:][filled] - 1] = request[filled]
    asked = np.where(np.isnan(asked), happened, asked)
    _warn_of_disorder(roles, happened, asked, offsets)
    return np.column_stack([happened, asked]), {"history_time": span, "request_time": asked_span}


def _warn_of_disorder(
    roles: Roles, happened: np.ndarray, asked: np.ndarray, offsets: np.ndarray
) -> None:
    """Differences of times are read without their sign, so that later ones look like earlier."""
    n_rows = len(offsets) - 1
    row = np.repeat(np.arange(n_rows), np.diff(offsets))
    descends, early = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
    # Neither the running maximum nor the maximum knows of missing times.
    known = pd.Series(happened).groupby(row)
    descends[row[happened < known.cummax().to_numpy()]] = True
    last = offsets[1:][np.diff(offsets) > 0] - 1
    requested = asked[last] != happened[last]
    early[row[last][requested & (asked[last] < known.max().to_numpy())]] = True
    found = [
        f"{what} in {rows.sum()} (the first is row {rows.argmax()})"
        for rows, what in (
            (descends, f"the times in {roles.history_time!r} descend"),
            (early, f"{roles.request_time!r} is before the latest event"),
        )
        if rows.any()
    ]
    if (descends | early).sum() > _FEW_ROWS * len(last):
        warn(
            f"Of {len(last)} histories, {' and '.join(found)}; a later time counts as one as much "
            "earlier. Sort events by time, the newest last, and see that both columns of times "
            "have one unit.",
        )


def seconds(column: Column, where: str, known: Span | None = None) -> tuple[np.ndarray, Span]:
    """Times as float64 seconds since 1970 UTC, NaN where missing, and where they lie.

    Numbers are taken for seconds, dates without a time zone for UTC.

    Parameters
    ----------
    column : Column
    where : str
        The column's role, name and dtype, for messages.
    known : Span, default=None
        Where those of fit lie.

    Returns
    -------
    values : ndarray of shape (n,), float64
    span : Span

    Raises
    ------
    TypeError
        If the column holds neither numbers nor dates, or numbers where fit saw dates, or the other
        way round.
    ValueError
        If a number is infinite, or a date outside the years 1678 to 2261.
    """
    times = to_times(column, where)
    if known is not None:
        check_comparable(times, where, known, "fit saw")
    values = times.values.astype(np.float64)
    if times.kind in (LOCAL, ZONED):
        values /= 1e9  # from nanoseconds
    values[times.missing] = np.nan
    return values, times.span
