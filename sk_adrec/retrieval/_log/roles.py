"""Columns of a log: which is the user, the item and the time; ids and times as numbers.

The one place where plain arrays, whose columns have no names, are read by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

import numpy as np
import pandas as pd
from scipy import sparse

from ..._validation import check_X, is_frame
from ..._warnings import warn
from ...preprocessing._columns import Table, read_table
from ...preprocessing._factorize import Factorized, factorize
from ...preprocessing._schema import hint
from ...preprocessing._series import as_series
from ...preprocessing._times import Span, Times, check_comparable, complete_times
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary

#: What an integer id is where a list has no item.
NULL_ID = -1


def check_log(estimator, X, *, reset: bool, reads: Iterable[str | int] = ()):
    """`check_X`, and what to do with a user x item matrix, which is no log.

    Parameters
    ----------
    estimator, X, reset : as in `check_X`
    reads : iterable of str or int, default=()
        The columns that the caller reads. Unless `reset`, a frame may lack the others of fit; where
        one is given by its position it may not, since positions are those of fit.

    Raises
    ------
    TypeError
        X is sparse.
    """
    if sparse.issparse(X):
        raise TypeError(
            "X must hold a row for each interaction, got a sparse matrix. If its rows are users "
            "and its columns items, pass sk_adrec.retrieval.interactions_from_matrix(X); a dense "
            "array of it would be read as columns of ids."
        )
    reads = list(reads)
    by_name = all(isinstance(name, str) for name in reads)
    return check_X(estimator, X, reset=reset, reads=reads if by_name else None)


def role_positions(table: Table, roles: dict[str, str | int]) -> dict[str, int]:
    """Position of the column of each role.

    Parameters
    ----------
    table : Table
    roles : dict of str to str or int
        Parameter -> the column's name or position, ``{"user": "user_id", "item": "item_id"}``.

    Raises
    ------
    ValueError
        If a column is missing, or two roles read the same one.
    """
    if not table.named and any(isinstance(name, str) for name in roles.values()):
        return _by_position(table, roles)
    positions = {}
    for role, name in roles.items():
        names = table.names if isinstance(name, str) else range(len(table.names))
        if name not in names:
            raise ValueError(
                f"X must have the column of {role}={name!r}, but has no "
                f"{hint(str(name), table.names)} Name the column of X that holds it: "
                f"{role}=..."
            )
        positions[role] = list(names).index(name)
    if len(set(positions.values())) < len(positions):
        raise ValueError(f"{', '.join(roles)} must be different columns, got {roles}")
    return positions


def _by_position(table: Table, roles: dict[str, str | int]) -> dict[str, int]:
    if len(table.names) < len(roles):
        raise ValueError(
            f"X has {len(table.names)} feature(s) while a minimum of {len(roles)} is required: "
            f"columns for {', '.join(roles)}"
        )
    read = ", ".join(f"column {k} as {role}" for k, role in enumerate(roles))
    warn(
        f"X has no column names, so {read} is read by position. Pass a DataFrame with the columns "
        f"{list(roles.values())}, or the positions themselves: {next(iter(roles))}=0.",
    )
    return {role: k for k, role in enumerate(roles)}


def halves(table: Table) -> tuple[list[str], list[str]]:
    """Columns of an array that are read as the user's and the item's, as names.

    The first of each half is the id. The middle one of an odd number is the item's.
    """
    n = len(table.names)
    if n < 2:
        raise ValueError(
            f"X has {n} feature(s) while a minimum of 2 is required: columns for user, item"
        )
    names, middle = [str(j) for j in range(n)], n // 2
    warn(
        f"X has no column names, so columns 0 to {middle - 1} are read as the user's and {middle} "
        f"to {n - 1} as the item's. Pass a DataFrame with named columns, or the positions of the "
        f"ids themselves: user=0, item={middle}.",
    )
    return names[:middle], names[middle:]


def read_ids(table: Table, position: int, known: Vocabulary | None = None) -> Factorized:
    """A column of ids as distinct values and codes.

    Warns where `known` are ids of the other type, strings or numbers.

    Raises
    ------
    TypeError
        If the column holds lists, times or other objects.
    """
    where = table.describe(position)
    ids = factorize(table.column(position), where)
    if known is not None:
        known.warn_of_other_type(ids, where)
    return ids


def number_ids(vocabulary: Vocabulary, ids: Factorized) -> np.ndarray:
    """Numbers of ids, from 0 in the order of a vocabulary; -1 where they are unknown or missing."""
    return np.maximum(vocabulary.encode(ids) - np.int32(FIRST_KNOWN), -1)


def decode(vocabulary: Vocabulary, positions: np.ndarray) -> np.ndarray:
    """Ids of positions, in their own type; position -1 is the null id: -1 of integers, or None."""
    values = vocabulary.values
    if values.dtype.kind in "iu":
        return np.append(values, NULL_ID)[positions]
    with_null = np.full(len(values) + 1, None, dtype=object)
    with_null[:-1] = values
    return with_null[positions]


def check_item_ids(items: Vocabulary) -> None:
    """Raise ValueError where an item has the id that stands for no item in a list of integers."""
    if items.values.dtype.kind in "iu" and (items.values == NULL_ID).any():
        raise ValueError(
            f"An item has the id {NULL_ID}, which means no item where lists of integers end "
            f"early. If it stands for a missing item, drop those rows: X[X[item] != {NULL_ID}]; if "
            "it is an item, pass ids as strings: X[item].astype(str)."
        )


def read_times(table: Table, position: int, known: Span | None = None) -> Times:
    """A column of times, none of them missing.

    Raises
    ------
    TypeError
        If the column holds neither numbers nor dates, or does not compare with those that a log
        holds.
    ValueError
        If a time is missing or out of range.
    """
    where = table.describe(position)
    times = complete_times(table.column(position), where)
    if known is not None:
        check_comparable(times, where, known, "fit saw")
    return times


def as_table(values, name: str, column: str | int | None = None) -> Table:
    """A list, array or column of single ids as a table of one column.

    Parameters
    ----------
    values : array-like of shape (n,)
    name : str
        What the caller calls them, for messages.
    column : str or int, default=None
        Where a data frame would have them, for messages.

    Raises
    ------
    TypeError
        If it is one id instead of a list of them, or has no order or several columns.
    """
    if is_frame(values):
        names = read_table(values).names
        at = column if column in names else names[0]
        raise TypeError(
            f"{name} must be a list or column of ids, got a data frame: pass one of its columns "
            f"{names}, such as X[{at!r}]"
        )
    if isinstance(values, Mapping | Set | Iterator):
        raise TypeError(
            f"{name} must be a list or column of ids, got a {type(values).__name__}: list({name})"
        )
    if isinstance(values, str | bytes) or np.ndim(values) == 0:
        raise TypeError(f"{name} must be a list or column of ids, got {values!r}: [{values!r}]")
    if hasattr(values, "to_frame") and not isinstance(values, pd.Index):
        return read_table(values.to_frame())
    if isinstance(values, np.ndarray) and values.ndim != 1:
        raise ValueError(f"{name} must be 1-D, got an array of shape {values.shape}")
    return read_table(pd.DataFrame({name: as_series(values)}))
