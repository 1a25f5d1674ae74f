"""What next-item models refuse, and what they warn of."""

from __future__ import annotations

import numpy as np

from .._warnings import warn
from ..preprocessing._encoded import Ragged
from ..preprocessing._factorize import Values
from ..preprocessing._vocabulary import FIRST_KNOWN
from ._prefixes import share_of_prefixes

# A held-out item that was seen before can not be recommended: above this share something is wrong.
_MANY_REPEATS = 0.2
# Rows that are prefixes of others are learned many times: above this share they are meant.
_MANY_PREFIXES = 0.2


def check_roles(history, history_time, request_time, event_features) -> None:
    """Raise unless these parameters of an estimator name different columns."""
    check_event_features(event_features)
    given = {"history": history, "history_time": history_time, "request_time": request_time}
    given |= {f"event_features[{k}]": name for k, name in enumerate(event_features or ())}
    roles: dict = {}
    for role, name in given.items():
        if name is not None and roles.setdefault(name, role) != role:
            raise ValueError(
                f"{roles[name]} and {role} must name different columns, got {name!r} for both"
            )


def check_event_features(event_features) -> None:
    """Raise TypeError for one name instead of a list of names."""
    if isinstance(event_features, str):
        raise TypeError(
            f"event_features must be a list of column names, got {event_features!r}: "
            f"[{event_features!r}]"
        )


def check_one_kind(values: Values, where: str) -> None:
    """Raise ValueError where distinct items are strings and numbers, which have no order.

    Parameters
    ----------
    values : Values
    where : str
        The column, for the message.
    """
    if len(_kinds(values)) > 1:
        raise ValueError(
            f"{where} must hold items of one kind, got numbers and strings in one column "
            '("5" is not 5). Convert all of them to strings, or to numbers, with astype.'
        )


def check_alike(values: Values, known: Values, where: str, as_where: str) -> None:
    """Raise ValueError where items can not be among the known ones, being of another kind.

    Parameters
    ----------
    values, known : Values
    where, as_where : str
        Where both come from, for the message: "y", "column 'hist_item_id' does".
    """
    found, expected = _kinds(values), _kinds(known)
    if expected and found - expected:
        raise ValueError(
            f"{where} must hold {' and '.join(expected)} as {as_where}, got "
            f'{" and ".join(sorted(found))} ("5" is not 5). Convert one of them with astype.'
        )


def _kinds(values: Values) -> set[str]:
    if not isinstance(values, np.ndarray):
        return {"strings"} if len(values) else set()
    if values.dtype != object:
        return {"numbers"} if len(values) else set()
    return {"strings" if isinstance(value, str) else "numbers" for value in values}


def check_something_to_learn(y: np.ndarray, others: np.ndarray | tuple) -> None:
    """Raise ValueError where no next item of the training rows is known.

    Parameters
    ----------
    y : ndarray of shape (n,)
        Codes of the items that followed.
    others : array-like of shape (m,)
        Codes of the events of histories, where these are targets too.
    """
    if not (y >= FIRST_KNOWN).any() and not (np.asarray(others) >= FIRST_KNOWN).any():
        raise ValueError(
            f"y must hold an item that is known, got {len(y)} training rows without one, which "
            "teach nothing. Lower min_frequency, or pass rows whose next items are frequent enough."
        )


def warn_of_prefixes(history: Ragged, y: np.ndarray) -> None:
    """Warn where rows look like prefixes of others, though every event is a target.

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,)
        Codes of the items that followed.
    """
    if (share := share_of_prefixes(history, y)) > _MANY_PREFIXES:
        warn(
            f"{share:.0%} of the rows with 3 events or more look like prefixes of others, which "
            'hold their next items: with train_positions="all" early events are learned many '
            "times, and next items that are held out are learned too. If the rows come from "
            'make_prefixes, use train_positions="last"; else pass one row per user.',
        )


def warn_of_held_out(history: Ragged, y: np.ndarray, exclude_seen: bool) -> None:
    """Warn where validation scores can be nothing but low.

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,)
        Codes of the items that followed.
    exclude_seen : bool
        Whether items of the history are left out of the ranking.
    """
    known = y >= FIRST_KNOWN
    if not known.any():
        warn(
            f"None of the {len(y)} held-out items occurs in the training rows, so that all "
            "validation scores are 0. Check that y_val holds items as y does, and lower "
            "min_frequency if it leaves them out.",
        )
        return
    repeated = np.zeros(len(y), dtype=bool)
    row = np.repeat(np.arange(len(y)), history.lengths)
    repeated[row[history.values == y[row]]] = True
    if exclude_seen and (share := repeated[known].mean()) > _MANY_REPEATS:
        warn(
            f"{share:.0%} of the held-out items occur in their own history, and exclude_seen "
            "leaves those out of the ranking. If items repeat, pass exclude_seen=False.",
        )
