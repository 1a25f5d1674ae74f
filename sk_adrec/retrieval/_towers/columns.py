"""Which columns of a log each tower reads, and frames of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from ..._state import stored
from ..._validation import is_frame
from ...nn import Batch
from ...preprocessing._columns import Table, read_table
from ...preprocessing._encoded import Encoded, Schema
from ...preprocessing._factorize import Factorized
from ...preprocessing._schema import find_columns
from .._log.log import Log
from .._log.roles import halves, read_ids, role_positions

P = TypeVar("P", Encoded, Batch)


@dataclass(frozen=True)
class Side:
    """The columns of an encoded log that one of the towers reads.

    Parameters
    ----------
    numeric, categorical : list of int
        Positions in ``Encoded.numeric`` and ``Encoded.categorical``.
    sequences : list of str
    """

    numeric: list[int]
    categorical: list[int]
    sequences: list[Any]

    @classmethod
    def of(cls, schema: Schema, features: Sequence[str]) -> Side:
        """The side of some columns."""
        names = {*features, *(f"{name}_missing" for name in features)}
        return cls(
            [k for k, name in enumerate(schema.numeric) if name in names],
            [k for k, name in enumerate(schema.categorical) if name in features],
            [name for name in schema.sequences if name in features],
        )

    def schema(self, schema: Schema) -> Schema:
        """The part of a schema; vocabularies stay, since the sides may share them."""
        columns = list(schema.categorical.items())
        return replace(
            schema,
            numeric=tuple(schema.numeric[k] for k in self.numeric),
            categorical=dict(columns[k] for k in self.categorical),
            sequences={name: schema.sequences[name] for name in self.sequences},
        )

    def part(self, rows: P) -> P:
        """The side's columns of encoded rows or of a batch."""
        return replace(
            rows,
            numeric=rows.numeric[:, self.numeric],
            categorical=rows.categorical[:, self.categorical],
            sequences={name: rows.sequences[name] for name in self.sequences},
        )


@stored
@dataclass(frozen=True)
class TowerColumns:
    """Names of the columns; those of arrays are their positions as strings.

    Parameters
    ----------
    user, item : str
        The ids.
    user_features, item_features : tuple of str
        What the towers read.
    id_columns : tuple of str
        Those of them that hold ids, whatever their type.
    share : dict of str to str
        Those that use the vocabulary of another.
    """

    user: str
    item: str
    user_features: tuple[str, ...]
    item_features: tuple[str, ...]
    id_columns: tuple[str, ...]
    share: dict[str, str]

    @classmethod
    def find(
        cls, X, roles, user_features, item_features, *, user_may_be_empty, categorical, share
    ) -> TowerColumns:
        """The columns that an estimator's parameters name; `roles` are those of the ids.

        Raises
        ------
        ValueError
            If a column is missing, named twice, or a tower has none.
        """
        table = read_table(X)
        given = {"user": user_features, "item": item_features}
        names = [str(name) for name in table.names]
        if not table.named and any(isinstance(name, str) for name in roles.values()):
            if user_features is not None or item_features is not None:
                raise ValueError(
                    "user_features and item_features need X as a DataFrame, or user and item as "
                    "positions of an array's columns"
                )
            features = [tuple(part) for part in halves(table)]
            # The columns of an array are all what they look like.
            user, item, ids = features[0][0], features[1][0], []
        else:
            at = role_positions(table, roles)
            features = [
                _features(role, given[role], at[role], table, role == "user" and user_may_be_empty)
                for role in given
            ]
            user, item = ids = [names[at[role]] for role in roles]
        if both := sorted(set(features[0]) & set(features[1])):
            raise ValueError(
                f"user_features and item_features must be different columns, got {both} in both"
            )
        read = [*features[0], *features[1]]
        ids = [*ids, *_named(categorical, table)]
        id_columns = tuple(name for name in dict.fromkeys(ids) if name in read)
        of_users, of_items = features
        return cls(user, item, of_users, of_items, id_columns, _check_share(share, read))

    @property
    def used(self) -> list[str]:
        """All columns that are read, each once."""
        names = (self.user, self.item, *self.user_features, *self.item_features)
        return list(dict.fromkeys(names))

    @property
    def encoded(self) -> list[str]:
        """The columns that a tower reads."""
        return [*self.user_features, *self.item_features]

    def sides(self, schema: Schema) -> tuple[Side, Side]:
        """The user's and the item's columns in encoded rows."""
        return Side.of(schema, self.user_features), Side.of(schema, self.item_features)

    def ids(self, X, log: Log | None = None, encoded=None) -> tuple[Factorized, Factorized]:
        """The users and items of the rows of X.

        Warns where those of a log are of another type, unless the column is among those that are
        encoded, all by default: the encoder warns then.
        """
        table = read_table(X)
        names = [str(name) for name in table.names]
        quiet = self.encoded if encoded is None else encoded
        known = (None, None) if log is None else (log.users, log.items)
        user, item = (
            read_ids(table, names.index(name), None if name in quiet else vocabulary)
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


def _features(role: str, given, own: int, table: Table, may_be_empty: bool) -> tuple[str, ...]:
    """The columns that a tower reads: those given, or the id alone."""
    name = f"{role}_features"
    if isinstance(given, str):
        raise ValueError(f"{name} must be a list of columns, got {given!r}: [{given!r}]")
    alone = [] if may_be_empty else [own]
    positions = sorted(find_columns(alone if given is None else list(given), table.names, name))
    if not positions and not may_be_empty:
        raise ValueError(f"{name} must name at least one column, got {given!r}")
    return tuple(str(table.names[j]) for j in positions)


def _named(categorical, table: Table) -> list[str]:
    """The columns that `categorical_features` names."""
    if not isinstance(categorical, str):
        positions = find_columns(categorical, table.names, "categorical_features")
        return [str(table.names[j]) for j in sorted(positions)]
    if categorical != "from_dtype":
        raise ValueError(
            'categorical_features must be "from_dtype" or a list of names, positions or bools, '
            f"got {categorical!r}."
        )
    return []


def _check_share(share, read: list[str]) -> dict[str, str]:
    """`share_vocabulary`, of columns that a tower reads."""
    share = {str(name): str(owner) for name, owner in (share or {}).items()}
    if unread := [name for name in (*share, *share.values()) if name not in read]:
        raise ValueError(
            f"share_vocabulary names {unread[0]!r}, which no tower reads: add it to "
            f"user_features or item_features. They are {read}"
        )
    return share


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
