"""Histories that a caller gives for users."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from ..._validation import is_frame
from ...preprocessing._columns import read_table
from ...preprocessing._factorize import Factorized
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from .ids import as_table, number_ids, read_ids, times_as_numbers
from .interactions import Interactions
from .log import Log
from .roles import role_positions


def _as_list(user, items) -> list[Any]:
    if isinstance(items, Mapping) or not pd.api.types.is_list_like(items, allow_sets=False):
        remedy = "[] if there are none" if items is None else "in the order in which they came"
        raise TypeError(
            f"history must hold a list of items for each user, got {items!r} for user {user!r}: "
            f"pass a list, {remedy}"
        )
    return list(items)


def read_histories(
    history, roles: dict[str, str | int], known_items: Vocabulary
) -> tuple[Vocabulary, Interactions]:
    """Users and their histories, from a mapping to lists or from a log.

    Parameters
    ----------
    history : mapping of id to list of ids, or data frame
    roles : dict of str to str or int
        Columns of a data frame; "time" is looked for only where there is such a column.
    known_items : Vocabulary
        Other items are passed over, with a warning where they are of the other type.

    Raises
    ------
    TypeError
        If `history` is something else, or a value of the mapping is no list.
    """
    times = None
    if isinstance(history, Mapping):
        lists = [_as_list(user, items) for user, items in history.items()]
        keys = read_ids(as_table(list(history), "history"), 0)
        owner = np.repeat(np.arange(len(lists)), list(map(len, lists)))
        users = Factorized(keys.codes[owner], keys.values)
        items = read_ids(as_table(list(chain(*lists)), "history"), 0, known_items)
        vocabulary = Vocabulary().fit_counts(keys.values, keys.counts(None))
    elif is_frame(history):
        table = read_table(history)
        if "time" in roles and roles["time"] not in table.names:
            roles = {role: name for role, name in roles.items() if role != "time"}
        at = role_positions(table, roles)
        users, items = read_ids(table, at["user"]), read_ids(table, at["item"], known_items)
        times = times_as_numbers(table, at["time"]) if "time" in at else None
        vocabulary = Vocabulary().fit_counts(users.values, users.counts(None))
    else:
        raise TypeError(
            "history must be a dict of user to list of items, or a log with the columns of fit, "
            f"got {type(history).__name__}"
        )
    user, item = number_ids(vocabulary, users), number_ids(known_items, items)
    keep = (user >= 0) & (item >= 0)
    shape = (vocabulary.n_codes - FIRST_KNOWN, known_items.n_codes - FIRST_KNOWN)
    times = None if times is None else times[keep]
    return vocabulary, Interactions.of(user[keep], item[keep], np.ones(keep.sum()), times, shape)


def find_histories(
    log: Log, ids: Factorized, numbers: np.ndarray, history, roles: dict[str, str | int]
) -> tuple[Interactions, np.ndarray]:
    """Histories, and which of them each user has; -1 = none.

    Warns where the users of `history` are of another type than those that are asked for: whichever
    of them is of another type than the log's.

    Parameters
    ----------
    log : Log
    ids : Factorized
        Users that are asked for.
    numbers : ndarray of shape (n,)
        Theirs in the log; -1 = not in it.
    history : mapping, data frame or None
        Given ones stand in place of the log's.
    roles : dict of str to str or int
        As of :func:`read_histories`.
    """
    if history is None:
        return log.interactions, numbers
    given_users, given = read_histories(history, roles, log.items)
    if log.users.holds(ids.values):
        log.users.warn_of_other_type(given_users.as_factorized(), "history, as users,")
    else:
        given_users.warn_of_other_type(ids, "users", "history")
    own = number_ids(given_users, ids)
    # Those given come first; of the others, only those asked for are copied.
    asked, place = np.unique(numbers, return_inverse=True)
    row = np.where(own >= 0, own, len(given.lengths) + place)
    return given.followed_by(log.interactions.take(asked)), row
