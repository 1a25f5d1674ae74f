"""From a log of events to rows of histories and next items."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from ..preprocessing._columns import read_table
from ..preprocessing._schema import hint
from ..preprocessing._series import as_series
from ..preprocessing._times import to_times
from ._checks import check_event_features


def leave_last_out(log, *, user="user_id", item="item_id", time=None, event_features=()):
    """Split a log by position: each user's last item is for the test, the one before to validate.

    A user with n events gives a test row of n - 1 events and the n-th item, a validation row of
    n - 2 events and the item after them, and a training row of n - 3 events and the item after
    them, as far as their histories hold one event at least. Fitted with
    ``train_positions="all"`` the training rows use every event before the held-out two. Before the
    test, a model may be fitted again on the validation rows, which hold all but the last item.

    Parameters
    ----------
    log : DataFrame of shape (n_events, n_columns)
        One row per event, pandas or Polars.
    user, item : str, default="user_id", "item_id"
        The columns of their ids.
    time : str, default=None
        The column by which a user's events are sorted, of numbers or dates; equal times keep the
        order of the log. None: the log is in order.
    event_features : sequence of str, default=()
        Columns of further fields of each event (its type, its shop), for the parameter of that
        name of the estimators.

    Returns
    -------
    train, valid, test : tuples (X, y)
        X : DataFrame with one row per user, sorted by user: ``user``, the list columns
        ``hist_<item>``, ``hist_<feature>``, and with `time` ``hist_<time>`` and ``<time>``, when
        the next event happens. y : Series, the next item.

    Raises
    ------
    ValueError
        If a column does not exist, has two roles or the name of a list column that is made, or a
        user, an item or a time is missing.
    TypeError
        If times are neither numbers nor dates, values of a column are of several kinds, or
        `event_features` is one string.

    See Also
    --------
    make_prefixes : A row per event, for splits by time.
    sk_adrec.model_selection.LeaveLastOut : The same split of a log as a scikit-learn splitter, for
        retrievers.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec.sequential import leave_last_out
    >>> log = pd.DataFrame({"user_id": [1, 1, 1, 1, 2, 2], "item_id": list("abcdab")})
    >>> (X_train, y_train), (X_valid, y_valid), (X_test, y_test) = leave_last_out(log)
    >>> X_test.assign(y=y_test)
       user_id   hist_item_id  y
    0        1  ['a' 'b' 'c']  d
    1        2          ['a']  b
    >>> X_train.assign(y=y_train)
       user_id hist_item_id  y
    0        1        ['a']  b
    """
    log, starts, ends, _ = _sorted_by_user(log, user, item, time, event_features)
    parts = []
    for back in (3, 2, 1):
        long_enough = ends - starts > back
        begin, target = starts[long_enough], ends[long_enough] - back
        X, y = _rows(log, begin, target, user, item, time, event_features)
        parts.append((X.reset_index(drop=True), y.reset_index(drop=True)))
    return tuple(parts)


def make_prefixes(
    log,
    *,
    user="user_id",
    item="item_id",
    time=None,
    event_features=(),
    min_len=1,
    max_len=50,
    rows=None,
):
    """One row per event: the user's events before it, and its item.

    For splits that leave_last_out does not make, such as by time: split the rows, and fit with
    ``train_positions="last"``, since the rows of a user are prefixes of each other.

    Parameters
    ----------
    log, user, item, time, event_features : as for :func:`leave_last_out`
    min_len : int, default=1
        Events with fewer events before them get no row; 0 keeps first events, without history.
    max_len : int, default=50
        Events kept of a history, the newest: memory grows with it. Models know no others, neither
        to read nor to leave out (`exclude_seen`): raise it to their `max_len`, whose default is
        200, and further where older items must not be recommended again.
    rows : array-like of bool of shape (n_events,), default=None
        Which events get a row, in the order of `log`; None = all. All events count as history. Of a
        long log take those after the split, to test on, or, to train on with
        ``train_positions="all"``, the last of every ``max_len + 1`` events of a user, counted from
        the newest: each event is then a target once.

    Returns
    -------
    X : DataFrame
        Columns as for :func:`leave_last_out`, sorted by user, then by time; indexed as `log`, so
        that other columns of an event can be joined.
    y : Series of shape (n_rows,)
        The item of the row's event.

    Raises
    ------
    ValueError
        If a column does not exist, has two roles or the name of a list column that is made, a user,
        an item or a time is missing, or `rows` does not fit `log`.
    TypeError
        If times are neither numbers nor dates, values of a column are of several kinds, or
        `event_features` is one string.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec.sequential import make_prefixes
    >>> log = pd.DataFrame({"user_id": [1, 2, 1, 1], "item_id": list("axbc")})
    >>> X, y = make_prefixes(log)
    >>> X.assign(y=y)
       user_id hist_item_id  y
    2        1        ['a']  b
    3        1    ['a' 'b']  c
    """
    if min_len < 0 or max_len < 1:
        raise ValueError(
            f"min_len must be at least 0 and max_len at least 1, got {min_len} and {max_len}"
        )
    wanted = np.ones(len(log), dtype=bool) if rows is None else np.asarray(rows)
    if wanted.dtype != bool or wanted.shape != (len(log),):
        raise ValueError(
            f"rows must have one bool for each of the {len(log)} events, got {wanted.dtype} of "
            f"shape {wanted.shape}"
        )
    log, starts, ends, order = _sorted_by_user(log, user, item, time, event_features)
    first = np.repeat(starts, ends - starts)
    target = np.arange(len(log))
    kept = (target - first >= min_len) & wanted[order]
    first, target = first[kept], target[kept]
    begin = np.maximum(first, target - max_len)
    return _rows(log, begin, target, user, item, time, event_features)


def _sorted_by_user(log, user, item, time, event_features):
    """The log as a frame sorted by user and time, where each user starts and ends, the order."""
    is_pandas = isinstance(log, pd.DataFrame)
    table = read_table(log)
    columns = list(log.columns) if is_pandas else table.names
    _check_names(columns, user, item, time, event_features)
    if not is_pandas:
        names = [user, item, *event_features, *([] if time is None else [time])]
        log = pd.DataFrame({name: as_series(table.column(columns.index(name))) for name in names})
    missing = {name: log[name].isna().to_numpy() for name in (user, item)}
    if time is not None:
        position = columns.index(time)
        times = to_times(table.column(position), f"Column {time!r} (dtype {log[time].dtype})")
        missing[time] = times.missing
    for name, rows in missing.items():
        if rows.any():
            raise ValueError(
                f"Column {name!r} is missing in {rows.sum()} rows, the first of them row "
                f"{rows.argmax()}. Drop them."
            )
    try:
        codes, _ = pd.factorize(log[user], sort=True)
    except TypeError as error:
        raise TypeError(
            f"Column {user!r} (dtype {log[user].dtype}) must hold the users' ids, strings or "
            f"numbers, got {_types(log[user])}. Convert it, or name the column of users."
        ) from error
    order = np.lexsort([codes] if time is None else [times.values, codes])
    counts = np.bincount(codes)
    ends = counts.cumsum()
    return log.iloc[order], ends - counts, ends, order


def _types(values: pd.Series) -> str:
    """The types of the values in a column, for messages."""
    return " and ".join(sorted({type(value).__name__ for value in values[values.notna()]})[:3])


def _check_names(columns, user, item, time, event_features):
    """Each role has its own column of the log."""
    check_event_features(event_features)
    names = [user, item, *([] if time is None else [time]), *event_features]
    for name in names:
        if name not in columns:
            raise ValueError(f"log has no column {hint(str(name), list(map(str, columns)))}")
    if len(set(names)) < len(names):
        raise ValueError(f"user, item, time, event_features must be different columns, got {names}")
    made = [f"hist_{name}" for name in names[1:]]
    for name in names:
        if name != item and name in made:
            raise ValueError(
                f"user, time and event_features must not be named as a column of histories, got "
                f"{name!r}, and {made} will be made. Rename that column of the log."
            )


def _rows(log, begin, target, user, item, time, event_features):
    """Rows whose histories are ``log[begin:target]`` and whose next events are ``log[target]``."""
    lengths = target - begin
    offsets = np.append(0, lengths.cumsum())
    source = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)
    columns = {user: log[user].iloc[target]}
    for name in (item, *event_features, *([] if time is None else [time])):
        entries = _entries(log[name].iloc[source])
        lists = pa.LargeListArray.from_arrays(pa.array(offsets, type=pa.int64()), entries)
        columns[f"hist_{name}"] = pd.Series(
            lists, index=log.index[target], dtype=pd.ArrowDtype(lists.type)
        )
    if time is not None:
        columns[time] = log[time].iloc[target]
    y = log[item].iloc[target]
    if isinstance(y.dtype, pd.CategoricalDtype):
        y = y.astype(y.cat.categories.dtype)
    return pd.DataFrame(columns), y


def _entries(values: pd.Series) -> pa.Array:
    """What lists hold, as one Arrow type."""
    column = read_table(values.to_frame()).column(0)
    try:
        entries = _as_arrow(column)
    except (pa.ArrowException, TypeError, OverflowError, UnicodeError) as error:
        raise TypeError(
            f"Column {values.name!r} (dtype {values.dtype}) must hold values of one kind, strings "
            f'or numbers of 64 bits, since lists hold one, got {_types(values)} ("5" is not 5). '
            "Convert all of them: astype(str)."
        ) from error
    if isinstance(entries, pa.ChunkedArray):
        entries = entries.combine_chunks()
    return entries.dictionary_decode() if pa.types.is_dictionary(entries.type) else entries


def _as_arrow(column):
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return column
    try:
        return pa.array(column, from_pandas=True)
    except OverflowError:  # Python's integers of 2**63 or more
        return pa.array(column, type=pa.uint64(), from_pandas=True)
