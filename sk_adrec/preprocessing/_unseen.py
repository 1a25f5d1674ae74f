"""Columns of which fit saw no value: what they hold later is unknown, whatever its type.

Such a column has a place in the output by its dtype or the user's word, but no type yet: a fold, or
the months before a field was introduced, must not say what its values are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._columns import CATEGORICAL, LIST_LIKE, NUMERIC, SEQUENCE, Table, flatten, kind_of, to_float
from ._factorize import factorize
from ._schema import ColumnSpec
from ._storage import Column, all_missing
from ._vocabulary import MISSING, UNKNOWN


def unreadable(
    table: Table, columns: Sequence[Column], specs: Sequence[ColumnSpec]
) -> dict[int, np.ndarray]:
    """Which columns cannot be read at their places, by position: whether each row has a value.

    A number at the place of numbers is among them: without a mean and a scale it means nothing.

    Raises
    ------
    TypeError, ValueError
        If a column holds what no column may hold: times, dicts, infinity.
    """
    found = {}
    for position, (column, spec) in enumerate(zip(columns, specs)):
        if spec.seen or all_missing(column):
            continue
        where = table.describe(position)
        has_value, lists = np.zeros(len(column), dtype=bool), []
        for rows, part in _lists_and_others(column):
            if all_missing(part):
                continue
            kind = kind_of(part, where)
            has_value[rows] = _has_value(part, kind, where)
            lists.append(kind == SEQUENCE)
        if spec.kind == NUMERIC or any(is_list != (spec.kind == SEQUENCE) for is_list in lists):
            found[position] = has_value
    return found


def _lists_and_others(column: Column) -> list[tuple[slice | np.ndarray, Column]]:
    """The rows of lists and those of single values: objects may be both, a seen column is not."""
    if isinstance(column, np.ndarray) and column.dtype == object:
        is_list = np.fromiter((isinstance(cell, LIST_LIKE) for cell in column), bool, len(column))
        if is_list.any():
            return [(is_list, column[is_list]), (~is_list, column[~is_list])]
    return [(slice(None), column)]


def _has_value(column: Column, kind: str, where: str) -> np.ndarray:
    if kind == NUMERIC:
        return ~np.isnan(to_float(column, where))
    if kind == CATEGORICAL:
        return factorize(column, where).codes >= 0
    lengths, entries = flatten(column, where)
    row = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(row[factorize(entries, where).codes >= 0], minlength=len(lengths)) > 0


def codes_of_unreadable(has_value: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes of such a column at a place of ids; at one of lists also the length of each list."""
    if kind == CATEGORICAL:
        return np.where(has_value, UNKNOWN, MISSING).astype(np.int32), None
    return np.full(has_value.sum(), UNKNOWN, dtype=np.int32), has_value.astype(np.int64)


def doubt_of_unseen(table: Table, unread: dict[int, np.ndarray]) -> str | None:
    """What to warn of, once for all columns, where some hold what cannot be read."""
    names = [table.describe(position) for position, has_value in unread.items() if has_value.any()]
    if not names:
        return None
    have, columns = ("has", "column") if len(names) == 1 else ("have", "columns")
    return (
        f"{', '.join(names)} had no value in fit and {have} some now: nothing is known of them, so "
        f"they count as unknown. Fit on rows that have some, or drop the {columns}."
    )
