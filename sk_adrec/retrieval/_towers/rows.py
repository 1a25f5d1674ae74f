"""Rows of a log as two towers see them: whose, of what, with which columns and histories."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..._state import stored
from ...preprocessing._encoded import Encoded, Ragged
from ...preprocessing._factorize import Factorized
from ...preprocessing._vocabulary import FIRST_KNOWN
from .._log.interactions import Interactions
from .._log.log import Log
from .._log.roles import number_ids
from .columns import Side

#: Columns of an encoded target: numbers of the user and of the item, and whether it is positive.
USER, ITEM, POSITIVE = 0, 1, 2


@dataclass(frozen=True)
class PairRows:
    """What y is to a retriever: labels, and whose and of what the rows are.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    users, items : Factorized
    """

    labels: np.ndarray
    users: Factorized
    items: Factorized

    def __len__(self) -> int:
        return len(self.labels)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """The first row of each distinct pair of user and item, and the pair of each row."""
        key = self.users.codes.astype(np.int64) * len(self.items.values) + self.items.codes
        pair = pd.factorize(key)[0]
        return np.unique(pair, return_index=True)[1], pair

    def numbers(self, log: Log, positive: np.ndarray | bool) -> np.ndarray:
        """Columns `USER`, `ITEM` and `POSITIVE` of each row, shape (n, 3), int64; -1 = unknown."""
        numbers = np.empty((len(self), 3), dtype=np.int64)
        numbers[:, USER] = number_ids(log.users, self.users)
        numbers[:, ITEM] = number_ids(log.items, self.items)
        numbers[:, POSITIVE] = positive
        return numbers

    def take(self, rows: np.ndarray) -> PairRows:
        """Some of the rows."""
        users, items = (Factorized(ids.codes[rows], ids.values) for ids in (self.users, self.items))
        return PairRows(self.labels[rows], users, items)


@dataclass(frozen=True)
class Logged:
    """Rows by their numbers in a log that holds them.

    Parameters
    ----------
    numbers : ndarray of shape (n, 3)
        Columns `USER`, `ITEM` and `POSITIVE`.
    before : Log or None
        The log without them.
    """

    numbers: np.ndarray
    before: Log | None


@stored
@dataclass(frozen=True)
class LastRows:
    """The columns that users and items of a log have now: those of their last row in it.

    Parameters
    ----------
    users, items : Encoded
        A side's columns, by number in the log.
    nobody : Encoded
        One row, of a user of whom nothing is known.
    """

    users: Encoded
    items: Encoded
    nobody: Encoded

    @classmethod
    def of(
        cls, encoded: Encoded, nobody: Encoded, sides: tuple[Side, Side], logged: Logged,
        log: Log, earlier: LastRows | None,
    ) -> LastRows:  # fmt: skip
        """Of a log that the rows of `encoded` were the last to be added to.

        `sides` are the user's and the item's columns, `earlier` is that of the log before.
        """
        kept = []
        for side, which, name in zip(sides, (USER, ITEM), ("users", "items")):
            ids, rows, numbers = getattr(log, name), side.part(encoded), logged.numbers[:, which]
            last, n_before = np.empty(ids.n_codes - FIRST_KNOWN, dtype=np.int64), 0
            if logged.before is not None:
                before = getattr(earlier, name)
                n_before = len(before)
                last[getattr(logged.before, name).translate(ids) - FIRST_KNOWN] = range(n_before)
                rows = stack(before, rows)
            last[numbers] = n_before + np.arange(len(numbers))
            kept.append(rows.take(last))
        users, items = kept
        return cls(users, items, sides[0].part(nobody))

    def of_users(self, numbers: np.ndarray) -> Encoded:
        """Columns of users by number; -1 is nobody."""
        known = numbers >= 0
        if known.all():
            return self.users.take(numbers)
        place = np.cumsum(known) * known
        return stack(self.nobody, self.users.take(numbers[known])).take(place)


def with_histories(rows: Encoded, histories: Interactions, dtype=np.float32) -> Encoded:
    """Rows with what their users have had, its weights in `dtype`."""
    weight = histories.weight.astype(dtype, copy=False)
    return replace(rows, histories=histories.matrix(weight))


def without(histories: Interactions, items: np.ndarray) -> Interactions:
    """Histories, each without one item."""
    return histories.select(histories.items != np.repeat(items, histories.lengths))


def stack(first: Encoded, second: Encoded) -> Encoded:
    """The rows of both, one after the other."""

    def joined(a: Ragged, b: Ragged) -> Ragged:
        offsets = np.append(a.offsets, b.offsets[1:] + a.offsets[-1])
        return Ragged(np.append(a.values, b.values), offsets)

    return Encoded(
        np.concatenate([first.numeric, second.numeric]),
        np.concatenate([first.categorical, second.categorical]),
        {k: joined(ragged, second.sequences[k]) for k, ragged in first.sequences.items()},
    )


def nothing_known(rows: Encoded) -> np.ndarray:
    """Rows of which all ids and lists are unknown or missing, shape (n,), bool.

    A number tells something, also where it is missing.
    """
    if rows.numeric.shape[1]:
        return np.zeros(len(rows), dtype=bool)
    known = np.any(rows.categorical >= FIRST_KNOWN, axis=1)
    for ragged in rows.sequences.values():
        owner = np.repeat(np.arange(len(rows)), np.diff(ragged.offsets))
        known[owner[ragged.values >= FIRST_KNOWN]] = True
    return ~known
