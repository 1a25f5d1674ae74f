"""Which column of X is the user, the item and the time.

The one place where plain arrays, whose columns have no names, are read by position.
"""

from __future__ import annotations

from collections.abc import Iterable

from scipy import sparse

from ..._validation import check_X
from ..._warnings import warn
from ...preprocessing._columns import Table
from ...preprocessing._schema import hint


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
