"""What the columns of X are to a next-item model: the history, its times, its further fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._state import stored
from .._warnings import warn
from ..preprocessing._columns import NUMERIC, SEQUENCE, Table, kind_of, read_table
from ..preprocessing._schema import hint

#: The name of the items where columns have none.
ITEM = "item"


@stored
@dataclass(frozen=True)
class Roles:
    """What the columns of X are, by name (by position where columns have no names).

    Parameters
    ----------
    history : str, int or None
        The list column of items; None where each row of an array is a history.
    history_time : str, int or None
        The list column of the events' times.
    request_time : str, int or None
        The column of the times at which the predictions are asked for.
    event_features : tuple of str or int
        List columns of further fields of each event.
    """

    history: Any = None
    history_time: Any = None
    request_time: Any = None
    event_features: tuple = ()

    @property
    def item(self) -> str:
        """The name under which items are encoded."""
        return ITEM if self.history is None else str(self.history)

    @property
    def read(self) -> tuple | None:
        """The columns that are read; None where they have no names."""
        if self.history is None:
            return None
        found = (self.history, self.history_time, self.request_time, *self.event_features)
        return tuple(name for name in found if name is not None)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names under which further fields are encoded."""
        return tuple(map(str, self.event_features))


def find_roles(X, history, history_time, request_time, event_features) -> Roles:
    """Check the columns that the parameters name, and find the history where none is named.

    Raises
    ------
    ValueError
        If a column does not exist, or it is not clear which one holds the histories.
    TypeError
        If a column is not of the kind that its role needs.
    """
    table = read_table(X)
    kinds = _kinds(table)
    lists = [name for name, kind in zip(table.names, kinds) if kind == SEQUENCE]
    given = {
        "history": history,
        "history_time": history_time,
        "request_time": request_time,
        **{f"event_features[{k}]": name for k, name in enumerate(event_features or ())},
    }
    for role, name in given.items():
        if name is None:
            continue
        if name not in table.names:
            raise ValueError(f"{role} names a column that X lacks: {hint(str(name), table.names)}")
        if role != "request_time" and name not in lists:
            raise TypeError(
                f"{role}: {table.describe(table.names.index(name))} must hold lists, one entry per "
                "event. Build them with sk_adrec.sequential.leave_last_out or make_prefixes."
            )
        if role == "request_time" and name in lists:
            raise TypeError(
                f"{role}: {table.describe(table.names.index(name))} must hold one time per row, "
                "got lists. The column of the events' times is history_time."
            )
    if history is None:
        rest = [name for name in lists if name not in (history_time, *(event_features or ()))]
        if not lists and set(kinds) <= {NUMERIC} and history_time is request_time is None:
            _warn_of_positions(table)
            return Roles()
        if len(rest) != 1:
            found = f"the list columns {rest}" if rest else "no list column"
            raise ValueError(
                f"X has {found}: name the one that holds the items with history=. To build "
                "histories from a log, use sk_adrec.sequential.leave_last_out or make_prefixes."
            )
        history = rest[0]
    return Roles(history, history_time, request_time, tuple(event_features or ()))


def _kinds(table: Table) -> list[str]:
    """What each column is; columns of times are none of the encoder's kinds."""
    kinds = []
    for position in range(len(table.names)):
        try:
            kinds.append(kind_of(table.column(position), table.describe(position)))
        except TypeError:
            kinds.append("other")
    return kinds


def _warn_of_positions(table: Table) -> None:
    if table.named:
        warn(
            f"X has no list column, so its {len(table.names)} columns are read as the items of one "
            "history per row, oldest first. If X is a log, build histories from it with "
            "sk_adrec.sequential.leave_last_out or make_prefixes.",
        )
