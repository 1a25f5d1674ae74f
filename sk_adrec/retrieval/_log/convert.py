"""Other shapes of a log, as rows of user and item."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from ...preprocessing._columns import SEQUENCE, flatten, kind_of, read_table
from ...preprocessing._schema import hint
from ...preprocessing._series import as_series


def interactions_from_matrix(matrix, *, users=None, items=None, user="user_id", item="item_id"):
    """A user x item matrix as a log with one row per entry, and the entries as weights.

    Parameters
    ----------
    matrix : scipy sparse matrix or array of shape (n_users, n_items)
        Weights of the interactions, not negative; zeros are no interactions.
    users, items : array-like of shape (n_users,) and (n_items,), default=None
        Ids of rows and columns; None = their numbers from 0.
    user, item : str, default="user_id", "item_id"
        Names of the log's columns.

    Returns
    -------
    X : DataFrame of shape (n_entries, 2)
    sample_weight : ndarray of shape (n_entries,), float64

    Raises
    ------
    ValueError
        If an entry is negative, infinite or NaN, or the ids do not fit the shape.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> from sk_adrec import ItemCF
    >>> from sk_adrec.retrieval import interactions_from_matrix
    >>> matrix = csr_matrix([[1, 1, 0], [0, 1, 2], [1, 0, 0]])
    >>> X, weight = interactions_from_matrix(matrix, users=["ann", "bob", "cy"])
    >>> X
      user_id  item_id
    0     ann        0
    1     ann        1
    2     bob        1
    3     bob        2
    4      cy        0
    >>> ids, scores = ItemCF().fit(X, sample_weight=weight).recommend(["cy"], k=1)
    >>> ids
    array([[1]])
    """
    matrix = sparse.coo_matrix(matrix)
    values = matrix.data.astype(np.float64)
    if not np.isfinite(values).all() or (values < 0).any():
        worst = values[~(values >= 0) | np.isinf(values)][0]
        raise ValueError(
            f"matrix must hold weights that are finite and not negative, got {worst:g}. "
            "Leave out what is not an interaction."
        )
    keep = values > 0
    columns = {}
    for axis, (name, given) in enumerate({user: users, item: items}.items()):
        codes = matrix.coords[axis][keep]
        if given is None:
            columns[name] = pd.Series(codes.astype(np.int64))
            continue
        ids = as_series(given).reset_index(drop=True)
        if len(ids) != matrix.shape[axis]:
            raise ValueError(
                f"{('users', 'items')[axis]} must have one id for each of the matrix's "
                f"{matrix.shape[axis]} {('rows', 'columns')[axis]}, got {len(ids)}"
            )
        columns[name] = ids.take(codes).reset_index(drop=True)
    return pd.DataFrame(columns), values[keep]


def interactions_from_lists(frame, *, user="user_id", items="items", item="item_id"):
    """A frame with one row per user and a list of items as a log with one row per item.

    Parameters
    ----------
    frame : data frame of shape (n_rows, n_columns)
        Pandas or Polars.
    user : str, default="user_id"
        Column of the user.
    items : str, default="items"
        Column of lists, the most recent item last. A missing list is an empty one, missing entries
        are left out.
    item : str, default="item_id"
        Name of the log's item column.

    Returns
    -------
    DataFrame of shape (n_entries, 2)
        The items of a user in the order of the list.

    Raises
    ------
    ValueError
        If a column is missing.
    TypeError
        If `items` does not hold lists.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec.retrieval import interactions_from_lists
    >>> frame = pd.DataFrame({"user_id": [7, 8], "items": [["a", "b"], ["b"]]})
    >>> interactions_from_lists(frame)
       user_id item_id
    0        7       a
    1        7       b
    2        8       b
    """
    table = read_table(frame)
    for name in (user, items):
        if name not in table.names:
            raise ValueError(f"frame has no column {hint(str(name), table.names)}")
    position = table.names.index(items)
    column, where = table.column(position), table.describe(position)
    if kind_of(column, where) != SEQUENCE:
        raise TypeError(f"{where} must hold lists of items: one row per user")
    lengths, entries = flatten(column, where)
    users, entries = as_series(table.column(table.names.index(user))), as_series(entries)
    kept = entries.notna().to_numpy()
    owner = np.repeat(np.arange(table.n_rows), lengths)[kept]
    log = {user: users.take(owner), item: entries[kept]}
    return pd.DataFrame({name: column.reset_index(drop=True) for name, column in log.items()})
