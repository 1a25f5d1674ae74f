"""What each column of a log is: a number, an id or a list of ids."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from .._state import stored
from .._warnings import warn
from ._columns import CATEGORICAL, NUMERIC, SEQUENCE, Table, kind_of
from ._storage import Column, all_missing, has_values

Name: TypeAlias = str | int

# An integer column with more distinct values among its first rows is probably an id.
_MANY_DISTINCT, _N_LOOKED_AT = 1000, 100_000


@stored
@dataclass(frozen=True)
class ColumnSpec:
    """What a column of X is to the encoder.

    Parameters
    ----------
    name : str or int
        The column's name, or its position where columns have no names.
    kind : {"numeric", "categorical", "sequence"}
    vocabulary : str, int or None
        Key into ``vocabularies_``; None for numbers.
    seen : bool
        Whether fit saw a value. Where all were missing the column has its kind by its dtype, or by
        the user's word, and holds a place; what type of values belongs there nobody knows yet.
    """

    name: Name
    kind: str
    vocabulary: Name | None = None
    seen: bool = True


def specify(
    table: Table,
    columns: list[Column],
    categorical_features: str | Iterable[Any],
    share_vocabulary: Mapping[Name, Name],
    sample_weight: np.ndarray | None = None,
) -> list[ColumnSpec]:
    """Decide what each column is, by its dtype and the user's word.

    Parameters
    ----------
    table : Table
    columns : list of Column
        The table's columns.
    categorical_features : "from_dtype" or iterable of str, int or bool
        Columns whose numbers are ids, besides those of strings and categories.
    share_vocabulary : mapping of name to name
        Column -> the column whose vocabulary it uses; all of them hold ids.
    sample_weight : ndarray of shape (n_rows,) or None
        Rows of weight 0 show no value.

    Raises
    ------
    TypeError
        If a column holds something without a meaning here.
    ValueError
        If a parameter names a column that does not exist.
    """
    names: list[Any] = list(table.names)
    declared = _declared(categorical_features, table.names)
    owners = _owners(table, share_vocabulary)
    shared = [*owners, *owners.values()]
    declared |= find_columns(shared, table.names, "share_vocabulary")
    rows = None
    if sample_weight is not None and not sample_weight.all():
        rows = np.flatnonzero(sample_weight)
    specs = []
    for position, column in enumerate(columns):
        name = names[position]
        kind = kind_of(column, table.describe(position))
        seen = has_values(column, rows)
        if kind == NUMERIC and position not in declared:
            if table.named:
                _warn_if_id(column, name)
            specs.append(ColumnSpec(name, NUMERIC, seen=seen))
        else:
            if kind == NUMERIC:
                # What shares the ids of another column and has no type yet is its history.
                kind = SEQUENCE if name in owners and _is_untyped(column) else CATEGORICAL
            specs.append(ColumnSpec(name, kind, owners.get(name, name), seen))
    return specs


def _is_untyped(column: Column) -> bool:
    """Whether neither the dtype nor any value says what the column is."""
    if isinstance(column, pd.Categorical) or not all_missing(column):
        return False
    return (
        column.dtype == object if isinstance(column, np.ndarray) else pa.types.is_null(column.type)
    )


def refuse_ids_in_sparse(
    categorical_features: str | Iterable[Any],
    share_vocabulary: Mapping[Name, Name] | None,
    n_columns: int,
) -> None:
    """Raise ValueError where parameters name ids among the columns of a scipy matrix."""
    declared = _declared(categorical_features, range(n_columns))
    for parameter, value, default in (
        ("categorical_features", categorical_features if declared else None, '"from_dtype"'),
        ("share_vocabulary", share_vocabulary, "None"),
    ):
        if value is not None and len(list(value)):
            raise ValueError(
                f"{parameter} must be {default} where X is a scipy matrix, whose columns are "
                f"numbers as they are, got {value!r}. Pass ids as columns of a data frame or "
                "array, or one-hot encoded."
            )


def _declared(
    categorical_features: str | Iterable[Any], names: Sequence[str] | Sequence[int]
) -> set[int]:
    if not isinstance(categorical_features, str):
        return find_columns(categorical_features, names, "categorical_features")
    if categorical_features != "from_dtype":
        raise ValueError(
            'categorical_features must be "from_dtype" or a list of names, positions or bools, '
            f"got {categorical_features!r}."
        )
    return set()


def _owners(table: Table, share_vocabulary: Mapping[Name, Name]) -> dict[Name, Name]:
    owners = dict(share_vocabulary)
    find_columns([*owners, *owners.values()], table.names, "share_vocabulary")
    by_position = [name for name in (*owners, *owners.values()) if name not in table.names]
    if by_position:
        raise ValueError(
            f"share_vocabulary must give columns by their names, got the position {by_position[0]}"
        )
    for name, owner in owners.items():
        if owner in owners:
            raise ValueError(
                f"share_vocabulary: {name!r} shares with {owner!r}, which shares with "
                f"{owners[owner]!r} itself. Name the owner directly: "
                f"{{{name!r}: {owners[owner]!r}}}, and no column as its own owner."
            )
    return owners


def _warn_if_id(column: Column, name: Name) -> None:
    """Warn where numbers are probably ids: many different integers in a named column."""
    if isinstance(column, pd.Categorical):
        return
    if not isinstance(column, np.ndarray) and not (
        pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    ):
        return
    head = column[:_N_LOOKED_AT]
    if not isinstance(head, np.ndarray):
        head = head.to_numpy(zero_copy_only=False)
    quantity = "float64"
    if head.dtype.kind == "f":
        # A reader of files makes float64 of integers where one is missing.
        missing = np.isnan(head)
        head, quantity = head[~missing], "float32"
        is_id = head.dtype != np.float32 and np.isfinite(head).all() and not (head % 1).any()
        if not (is_id and missing.any()):
            return
    elif head.dtype.kind not in "iu":
        return
    n_distinct = len(pd.unique(head))
    if n_distinct > _MANY_DISTINCT:
        warn(
            f"Column {name!r} holds integers with at least {n_distinct} distinct values and is "
            f"treated as a number. If it is an id, list it: categorical_features=[{name!r}]. If it "
            f'is a quantity, make that explicit: X[{name!r}] = X[{name!r}].astype("{quantity}").',
        )


def find_columns(
    selection: Iterable[Any], names: Sequence[str] | Sequence[int], parameter: str
) -> set[int]:
    """The positions of columns given by name, by position or by a boolean mask.

    Raises
    ------
    ValueError
        If a name does not exist (with the likely spelling), a position is out of range, or the
        mask has another length than there are columns.
    """
    entries = list(selection)
    if entries and all(isinstance(entry, bool | np.bool_) for entry in entries):
        if len(entries) != len(names):
            raise ValueError(
                f"{parameter} as a mask must have one entry for each of the {len(names)} columns, "
                f"got {len(entries)}."
            )
        return {position for position, chosen in enumerate(entries) if chosen}
    return {_find_column(entry, names, parameter) for entry in entries}


def _find_column(entry: Any, names: Sequence[str] | Sequence[int], parameter: str) -> int:
    if isinstance(entry, str):
        if entry in names:
            return list(names).index(entry)
        raise ValueError(f"{parameter} names a column that X does not have: {hint(entry, names)}")
    if isinstance(entry, int | np.integer) and not isinstance(entry, bool):
        if -len(names) <= entry < len(names):
            return int(entry) % len(names)
        raise ValueError(
            f"{parameter} must hold positions below {len(names)}, the number of columns, "
            f"got {entry}."
        )
    raise ValueError(
        f"{parameter} must hold column names, positions or one bool per column, got {entry!r}."
    )


def hint(name: str, names: Sequence[str] | Sequence[int]) -> str:
    """A wrong name with the likely spelling, or the names to choose from."""
    if not names or not isinstance(names[0], str):
        return f"{name!r}; the columns have no names, use positions 0 to {len(names) - 1}."
    close = difflib.get_close_matches(name, names, n=1)  # type: ignore[type-var]
    if close:
        return f"{name!r}. Did you mean {close[0]!r}?"
    shown = ", ".join(repr(known) for known in names[:10])
    return f"{name!r}; the columns are {shown}{', ...' if len(names) > 10 else ''}."
