"""The rows of a log, collected: who they are of, what happened, and what did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ..._state import stored
from ..._target import check_two_classes
from ..._validation import is_frame
from ...preprocessing._columns import Table, read_table
from ...preprocessing._factorize import Factorized
from ...preprocessing._times import Span, Times
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from .interactions import Interactions
from .roles import as_table, check_item_ids, number_ids, read_ids, read_times, role_positions
from .weights import Unit

# Users, items and weights of pairs that did not happen.
Pairs = tuple[np.ndarray, np.ndarray, np.ndarray]


@stored
@dataclass(frozen=True)
class Log:
    """All that was learned of who did what.

    Parameters
    ----------
    users : Vocabulary
        Sorted.
    items : Vocabulary
        The most popular first; of equally popular ones as sorted.
    interactions : Interactions
        The positive pairs.
    negatives : Pairs or None
        Each pair of the negative rows once; None where there were none.
    unit : Unit
        Of all weights.
    times : Span or None
        Where the times of the rows lie; None where their order is all that is known.
    """

    users: Vocabulary
    items: Vocabulary
    interactions: Interactions
    negatives: Pairs | None
    unit: Unit
    times: Span | None

    @classmethod
    def read(
        cls, table: Table, roles: dict, positive: np.ndarray, weight: np.ndarray, before: Log | None
    ) -> Log:
        """Collect the rows of a table, after those of an earlier log.

        Parameters
        ----------
        table : Table
        roles : dict of str to str or int
            Columns of "user", "item" and, maybe, "time".
        positive : ndarray of shape (n_rows,), bool
        weight : ndarray of shape (n_rows,), float64
        before : Log or None

        Raises
        ------
        ValueError
            If no positive row has a user and an item, -1 is an item, or a time is missing or out of
            range.
        TypeError
            If times are none, or do not compare with those of the log before.
        """
        at = role_positions(table, roles)
        known = {} if before is None else {"user": before.users, "item": before.items}
        ids = [read_ids(table, at[role], known.get(role)) for role in ("user", "item")]
        times = None
        if "time" in at:
            times = read_times(table, at["time"], None if before is None else before.times)
        if before is not None and (times is None) != (before.times is None):
            raise ValueError(
                "partial_fit must read times if fit did, and none if fit did not: set the parameter"
                " time to what it was, or fit again"
            )
        keep = (ids[0].codes >= 0) & (ids[1].codes >= 0)
        if not keep.all():
            ids = [Factorized(one.codes[keep], one.values) for one in ids]
            positive, weight = positive[keep], weight[keep]
            times = None if times is None else times.take(keep)
        return cls.of_ids(ids, times, positive, weight, before)

    @classmethod
    def of_ids(cls, ids, times: Times | None, positive, weight, before: Log | None) -> Log:
        """As :meth:`read`, from users and items (Factorized) of rows that have both."""
        if before is None and not positive.any():
            raise ValueError(
                "y must have a positive row with a user and an item: without one there is "
                f"nothing to recommend. Got {len(positive)} rows with both, none of them positive"
            )
        if before is None:
            unit = Unit.of(weight[positive])
        else:
            unit = before.unit.after(weight[positive])
        weight = unit.measure(weight)
        known = (None, None) if before is None else (before.users, before.items)
        users, items = vocabularies = [_learn(one, weight, old) for one, old in zip(ids, known)]
        check_item_ids(items)
        codes = [number_ids(vocab, one) for vocab, one in zip(vocabularies, ids)]
        rows = (*codes, positive, weight, None if times is None else times.values)
        span = None if times is None else times.span
        if before is not None:
            rows = tuple(map(_join, before._rows(users, items, unit), rows))
            if span is not None and before.times is not None:
                span = before.times | span
        return cls._collect(users, items, rows, unit, span)

    @classmethod
    def _collect(cls, users, items, rows, unit, span) -> Log:
        user, item, positive, weight, times = rows
        popularity = np.bincount(item, weight * positive, items.n_codes - FIRST_KNOWN)
        order = np.argsort(-popularity, kind="stable")
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        item, items = place[item], items.in_order(order)
        shape = (users.n_codes - FIRST_KNOWN, len(order))
        if positive.all():
            pairs = Interactions.of(user, item, weight, times, shape)
            return cls(users, items, pairs, None, unit, span)
        negative = ~positive
        pair, at = np.unique(
            user[negative].astype(np.int64) * shape[1] + item[negative], return_inverse=True
        )
        negatives = (pair // shape[1], pair % shape[1], np.bincount(at, weight[negative]))
        times = None if times is None else times[positive]
        interactions = Interactions.of(
            user[positive], item[positive], weight[positive], times, shape
        )
        return cls(users, items, interactions, negatives, unit, span)

    def _rows(self, users: Vocabulary, items: Vocabulary, unit: Unit):
        """The pairs as rows, in the codes of larger vocabularies and another unit."""
        to_user, to_item = (
            mine.translate(larger) - FIRST_KNOWN
            for mine, larger in ((self.users, users), (self.items, items))
        )
        pairs = self.interactions
        user, item = to_user[pairs.users()], to_item[pairs.items]
        weight, positive = pairs.weight.astype(np.float64), np.ones(len(user), dtype=bool)
        times = pairs.times
        if self.negatives is not None:
            n = len(self.negatives[0])
            user = np.append(user, to_user[self.negatives[0]])
            item = np.append(item, to_item[self.negatives[1]])
            weight = np.append(weight, self.negatives[2])
            positive = np.append(positive, np.zeros(n, dtype=bool))
            # When something did not happen is not looked at.
            times = None if times is None else np.append(times, np.zeros(n, times.dtype))
        return user, item, positive, unit.convert(weight, self.unit), times

    @property
    def positive_rate(self) -> float:
        """Share of the positives in the log's weight; 0.5 without negatives."""
        if self.negatives is None:
            return 0.5
        total = self.interactions.weight.sum(dtype=np.float64)
        return float(total / (total + self.negatives[2].sum()))

    def popularity_of(self, items: Vocabulary) -> np.ndarray:
        """Share of items, of the log or new, in the weight of all positives, shape (n_items,)."""
        pairs = self.interactions
        total = np.bincount(pairs.items, pairs.weight, pairs.n_items)
        if items is self.items:
            return total / total.sum()
        code = items.translate(self.items) - FIRST_KNOWN
        return np.where(code >= 0, total[code], 0.0) / total.sum()


def _learn(ids: Factorized, weight: np.ndarray, known: Vocabulary | None) -> Vocabulary:
    counts = ids.counts(weight)
    if known is None:
        return Vocabulary().fit_counts(ids.values, counts)
    return known.in_order().grow_counts(ids.values, counts).in_order()


def _join(first, second):
    return None if first is None else np.append(first, second)


def read_labels(y, weight: np.ndarray, classes) -> tuple[np.ndarray, np.ndarray]:
    """The two classes, and which rows are positive, shape (n,), bool.

    Parameters
    ----------
    y : ndarray of shape (n,) or None
        Checked; None: all rows are positive.
    weight : ndarray of shape (n,)
        Classes are learned from rows of positive weight.
    classes : array-like of shape (2,) or None
        The labels, where they are known.

    Raises
    ------
    ValueError
        If there are not two classes, and not the one class 1.
    """
    if classes is not None:
        classes = np.unique(classes)
    if y is None:
        return np.array([0, 1]) if classes is None else classes, np.ones(len(weight), dtype=bool)
    used = y[weight > 0]
    if classes is None:
        classes = np.unique(used)
        if len(classes) == 1 and classes[0] == 1:
            classes = np.array([0, 1], dtype=y.dtype)
        elif len(classes) == 1:
            raise ValueError(
                f"y must have two classes, got one class: {classes.tolist()[0]!r} in all "
                f"{len(used)} rows of positive weight. Leave y out if they all are positive."
            )
    check_two_classes(classes, used)
    return classes, y == classes[1]


def _as_list(user, items) -> list[Any]:
    if isinstance(items, Mapping) or not pd.api.types.is_list_like(items, allow_sets=False):
        remedy = "[] if there are none" if items is None else "in the order in which they came"
        raise TypeError(
            f"history must hold a list of items for each user, got {items!r} for user {user!r}: "
            f"pass a list, {remedy}"
        )
    return items.to_pylist() if isinstance(items, pa.Array | pa.ChunkedArray) else list(items)


def read_histories(
    history, roles: dict[str, str | int], log: Log
) -> tuple[Vocabulary, Interactions]:
    """Users and their histories, from a mapping to lists or from a log; a row has the mean weight.

    Parameters
    ----------
    history : mapping of id to list of ids, or data frame
    roles : dict of str to str or int
        Columns of a data frame; "time" is looked for only where there is such a column.
    log : Log
        Items that it lacks are passed over, with a warning where they are of the other type.

    Raises
    ------
    TypeError
        If `history` is something else, a value of the mapping is no list, or times do not compare
        with those of the log.
    """
    known_items, times = log.items, None
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
        if "time" in at:
            times = read_times(table, at["time"], log.times).values
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
    weight = np.full(keep.sum(), log.unit.mean)
    return vocabulary, Interactions.of(user[keep], item[keep], weight, times, shape)


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
    given_users, given = read_histories(history, roles, log)
    if log.users.holds(ids.values):
        log.users.warn_of_other_type(given_users.as_factorized(), "history, as users,")
    else:
        given_users.warn_of_other_type(ids, "users", "history")
    own = number_ids(given_users, ids)
    # Those given come first; of the others, only those asked for are copied.
    asked, place = np.unique(numbers, return_inverse=True)
    row = np.where(own >= 0, own, len(given.lengths) + place)
    return given.followed_by(log.interactions.take(asked)), row
