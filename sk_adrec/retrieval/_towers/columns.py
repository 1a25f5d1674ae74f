"""Which columns of a log each tower reads, and frames of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from ..._validation import is_frame
from ...preprocessing._columns import Table, read_table
from ...preprocessing._encoded import Encoded, Ragged
from ...preprocessing._factorize import Factorized
from ...preprocessing._schema import find_columns
from ...preprocessing._vocabulary import FIRST_KNOWN
from .._log.ids import read_ids
from .._log.log import Log
from .._log.roles import halves, role_positions


@dataclass(frozen=True)
class TowerColumns:
    """Names of the columns; those of arrays are their positions as strings.

    Parameters
    ----------
    user, item : str
        The ids.
    user_features, item_features : tuple of str
        What the towers read.
    ids_are_numbers : bool
        Whether X is an array without named roles, whose columns all are what they look like.
    """

    user: str
    item: str
    user_features: tuple[str, ...]
    item_features: tuple[str, ...]
    ids_are_numbers: bool

    @classmethod
    def find(cls, X, user, item, user_features, item_features, user_may_be_empty) -> TowerColumns:
        """The columns that an estimator's parameters name.

        Raises
        ------
        ValueError
            If a column is missing, named twice, or a tower has none.
        """
        table = read_table(X)
        roles = {"user": user, "item": item}
        if not table.named and any(isinstance(name, str) for name in roles.values()):
            return cls._of_halves(table, user_features, item_features)
        at = role_positions(table, roles)
        features: list[tuple[str, ...]] = []
        for role, given in (("user", user_features), ("item", item_features)):
            name = f"{role}_features"
            if isinstance(given, str):
                raise ValueError(f"{name} must be a list of columns, got {given!r}: [{given!r}]")
            alone = [] if role == "user" and user_may_be_empty else [at[role]]
            chosen = alone if given is None else list(given)
            positions = sorted(find_columns(chosen, table.names, name))
            if not positions and not (role == "user" and user_may_be_empty):
                raise ValueError(f"{name} must name at least one column, got {given!r}")
            features.append(tuple(str(table.names[j]) for j in positions))
        if both := sorted(set(features[0]) & set(features[1])):
            raise ValueError(
                f"user_features and item_features must be different columns, got {both} in both"
            )
        user_id, item_id = (str(table.names[at[role]]) for role in roles)
        return cls(user_id, item_id, features[0], features[1], False)

    @classmethod
    def _of_halves(cls, table: Table, user_features, item_features) -> TowerColumns:
        if user_features is not None or item_features is not None:
            raise ValueError(
                "user_features and item_features need X as a DataFrame, or user and item as "
                "positions of an array's columns"
            )
        users, items = halves(table)
        return cls(users[0], items[0], tuple(users), tuple(items), True)

    @property
    def used(self) -> list[str]:
        """All columns that are read, each once."""
        names = (self.user, self.item, *self.user_features, *self.item_features)
        return list(dict.fromkeys(names))

    @property
    def encoded(self) -> list[str]:
        """The columns that a tower reads."""
        return [*self.user_features, *self.item_features]

    def ids(self, X, log: Log | None = None) -> tuple[Factorized, Factorized]:
        """The users and items of the rows of X.

        Warns where those of a log are of another type, unless a tower reads the column: the encoder
        warns then.
        """
        table = read_table(X)
        names = [str(name) for name in table.names]
        known = (None, None) if log is None else (log.users, log.items)
        user, item = (
            read_ids(table, names.index(name), None if name in self.encoded else vocabulary)
            for name, vocabulary in zip((self.user, self.item), known)
        )
        return user, item

    def frame(self, X) -> Any:
        """X with the columns that towers read, all missing where X lacks a column."""
        return select(X, self.encoded)

    def one_side(self, X, role: str) -> Any:
        """A frame of users or items, its columns checked.

        Raises
        ------
        ValueError
            If a column of that side is missing.
        """
        wanted = self.user_features if role == "user" else self.item_features
        names = [str(name) for name in read_table(X).names]
        if missing := [name for name in wanted if name not in names]:
            raise ValueError(
                f"A frame of {role}s must have the columns {list(wanted)}, but lacks {missing}"
            )
        return X

    def as_vocabularies(self, categorical_features, share_vocabulary, X):
        """Both parameters in the names of :meth:`frame`; the ids, where they are read, are ids."""
        names = read_table(X).names
        ids = [] if self.ids_are_numbers else [self.user, self.item]
        if not isinstance(categorical_features, str):
            positions = find_columns(categorical_features, names, "categorical_features")
            ids += [str(names[j]) for j in sorted(positions)]
        elif categorical_features != "from_dtype":
            raise ValueError(
                'categorical_features must be "from_dtype" or a list of names, positions or bools, '
                f"got {categorical_features!r}."
            )
        share = {str(name): str(owner) for name, owner in (share_vocabulary or {}).items()}
        if unread := [n for n in (*share, *share.values()) if n not in self.encoded]:
            raise ValueError(
                f"share_vocabulary names {unread[0]!r}, which no tower reads: add it to "
                f"user_features or item_features. They are {self.encoded}"
            )
        return [name for name in dict.fromkeys(ids) if name in self.encoded], share


def select(X, names: list[str]) -> Any:
    """Some columns of a frame or array, by name; of one that X lacks all values are missing."""
    if isinstance(X, pd.DataFrame) or not is_frame(X):
        frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
        if not read_table(frame).named:
            frame = frame.set_axis([str(j) for j in range(frame.shape[1])], axis=1)
        lacking = {name: None for name in names if name not in frame.columns}
        return (frame.assign(**lacking) if lacking else frame)[names]
    table = nw.from_native(X, eager_only=True)
    columns = [
        nw.col(name) if name in table.columns else nw.lit(None).alias(name) for name in names
    ]
    return table.select(columns).to_native()


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


def to_state(rows: Encoded) -> list[Any]:
    """Encoded rows as lists, dicts and plain arrays."""
    lists = {name: [ragged.values, ragged.offsets] for name, ragged in rows.sequences.items()}
    return [rows.numeric, rows.categorical, lists]


def from_state(state: list[Any]) -> Encoded:
    """The rows that `to_state` described."""
    numeric, categorical, lists = state
    return Encoded(numeric, categorical, {name: Ragged(*parts) for name, parts in lists.items()})
