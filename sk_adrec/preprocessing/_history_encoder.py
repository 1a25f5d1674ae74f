"""What was known of a user before each row: lists of past events, counts and recency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._hyperparameters import KW_ONLY, hyperparameters
from .._state import FileState
from .._validation import unchanged_on_error
from ._columns import Table
from ._history_checks import (
    check_output_names,
    check_own_events,
    check_parameters,
    new_names,
    warn_of_events_by_day,
    warn_of_timeless_events,
)
from ._history_log import EventLog, PastCounts, PastLists, Rows
from ._history_tables import (
    assemble,
    is_true,
    matching_ids,
    matching_times,
    read_events,
    read_frame,
)
from ._history_times import read_gap, subtract_gap
from ._vocabulary import MISSING


@hyperparameters
class HistoryEncoder(TransformerMixin, FileState, BaseEstimator):
    """Add to each row what was known of its user strictly before the row's time.

    Looks back into a log of events (purchases, clicks) and appends columns: lists of the user's
    last events, and how often and how recently the user had the row's own item or category.
    An event at the very time of a row, or later, never enters. Rows stay as they are, in their
    order.

    =================  =============================  ============================================
    column             for                            holds
    =================  =============================  ============================================
    ``hist_<name>``    each of `attributes`           the user's last known events, an Arrow list
                                                      of the ids, the most recent one last
    ``hist_age``       ``ages=True``                  the time since each of them, float32
    ``n_<name>``       each of `counts`               known events of the user with the row's own
                                                      value, all of them, not only the last ones
    ``age_<name>``     each of `counts`               time since the latest of those, NaN = never
    =================  =============================  ============================================

    Ages are days where times are dates, else in the times' own unit.

    Parameters
    ----------
    user : str
        The column that says whose past it is, in X and in events.
    time : str
        The column of times, in X and in events: dates (``datetime64``; both with a time zone or
        both without) or numbers. Where only the day or the week of a row is known, its time is
        the *start* of it, so that nothing which happened in it is taken for known. Events are known
        from their time on: those of which only the day is known count from 00:00 of it, before they
        happened. Beside rows with finer times that warns; set ``gap="1D"``, or give events their
        full timestamps.
    attributes : sequence of str
        Columns of events that become lists. They describe the same events: lists of a row are
        equally long, with a null where an event misses one attribute; an event that misses all
        is not listed. Add the category for models that compare it with the candidate's, and give
        missing ones a value of their own where the model wants none missing
        (:class:`DINClassifier`); ``()`` where it takes no lists (LightGBM).
    counts : sequence of str
        Columns of X and of events to count, usually the item and its category. What helps trees
        most.
    max_len : int
        Events listed per row, the most recent ones. Longer lists cost memory and training time.
    ages : bool
        Whether to add ``hist_age``, for models that read times. Rankers take the numbers of a
        list for ids: leave it False before them.
    on : str
        A column of true and false in events: only true ones enter, such as the clicks of
        ``on="click"``; missing is false. None takes all.
    gap : number, str or timedelta
        Only events before the row's time *minus the gap* are known. Set it to the delay with
        which your events arrive in production: between dates a duration with its unit (``"1D"``,
        a timedelta), else a number in the unit of the times.
    window : number, str or timedelta
        Events longer ago than this are forgotten, in lists and counts; None forgets none. Counts
        grow as a log does, so that two purchases mean less a year after its first day than a month
        after it: where it spans many times the window, ``window="84D"`` makes them mean the same,
        and probabilities keep their level, at the price of what is forgotten.
    distinct : bool
        Whether events in a row with the same attributes are listed once, as the most recent of
        them. Set it where repetition is noise (page views); it needs `attributes`. Counts take
        all.
    drop : sequence of str
        Columns of X to leave out of the output, such as the time, which models refuse.

    Attributes
    ----------
    n_events_ : int
        Events that are kept to look back into.
    n_features_in_ : int
        Number of columns of X in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names.

    See Also
    --------
    FeatureEncoder : Ids and numbers of a row, before LightGBM and other models.

    Notes
    -----
    Missing values match nothing: a row without user or time gets empty lists and a count of 0,
    and so does a row's value that is missing. Events without a user are left out; events without
    a time too, with a warning.

    Events of equal time keep the order of the log.

    X is a pandas or Polars frame with named columns, and the output is of the same library unless
    `set_output` says otherwise. In a `Pipeline`, events are routed metadata:
    ``HistoryEncoder().set_fit_request(events=True)`` under
    ``sklearn.set_config(enable_metadata_routing=True)``, then ``pipeline.fit(X, y, events=log)``.
    The whole log may be passed when cross-validating: each row sees its own past only. With
    ``on="click"`` earlier rows' labels enter, as they would in production. When cross-validating
    with a log as long as X, such as X itself, pass ``events=[log]``: of a frame of that length,
    scikit-learn hands each fit only the training rows, and test rows would miss their past.

    After `fit`, `attributes`, `counts` and `distinct` stay what they were until the next; the other
    parameters act on `transform` at once.

    In pandas the lists are Arrow's, which round no integer beside a null. Such a frame can be
    written to Parquet and Feather; read it back by Polars or by
    ``pandas.read_parquet(path, dtype_backend="pyarrow")``: without `dtype_backend`, pandas does not
    know the type of lists. Where a frame of Polars becomes one of pandas, integers with missing
    values are ``Int64``.

    The fitted encoder holds the events themselves: 12 bytes each and 4 per attribute in a file,
    about four times that in memory.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import HistoryEncoder
    >>> log = pd.DataFrame(
    ...     {
    ...         "user_id": ["ann", "ann", "bob", "ann"],
    ...         "item_id": [7, 8, 7, 7],
    ...         "timestamp": pd.to_datetime(
    ...             ["2025-01-01", "2025-01-02", "2025-01-02", "2025-01-04"]
    ...         ),
    ...     }
    ... )
    >>> encoder = HistoryEncoder(counts=["item_id"], drop=["timestamp"])
    >>> encoder.fit_transform(log)
      user_id  item_id hist_item_id  n_item_id  age_item_id
    0     ann        7           []        0.0          NaN
    1     ann        8          [7]        0.0          NaN
    2     bob        7           []        0.0          NaN
    3     ann        7        [7 8]        1.0          3.0
    """

    _: KW_ONLY
    user: str = "user_id"
    time: str = "timestamp"
    attributes: Sequence[str] = ("item_id",)
    counts: Sequence[str] = ()
    max_len: int = 50
    ages: bool = False
    on: str | None = None
    gap: Any = 0
    window: Any = None
    distinct: bool = False
    drop: Sequence[str] = ()

    # Of the events, which are small without them.
    _rebuilt: ClassVar[tuple[str, ...]] = ("_lists", "_counts")

    def fit(self, X: Any, y: Any = None, *, events: Any = None) -> Self:
        """Keep the events to look back into.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            Rows to be encoded, with the columns `user`, `time` and `counts`.
        y : ignored
        events : DataFrame, list of one DataFrame or callable, default=None
            The log to look back into, with the columns `user`, `time`, `attributes`, `counts` and
            `on`; it may be empty, in any order, and hold events after the rows'. None = X itself.
            When cross-validating with a log as long as X, pass ``events=[log]``, or a callable
            without arguments that returns it: neither is cut to the training rows.

        Returns
        -------
        self : HistoryEncoder

        Raises
        ------
        TypeError
            If X or events is no data frame, times are no times, or ids are text in X and numbers
            in events.
        ValueError
            If a column is missing, a new column has the name of an old one, or a parameter is out
            of its range.
        """
        with unchanged_on_error(self):
            check_parameters(self.get_params(deep=False))
            self._fit(X, events, EventLog.empty(self._names()), reset=True)
        return self

    def partial_fit(self, X: Any, y: Any = None, *, events: Any = None) -> Self:
        """Append events; the first call is a fit.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            As in `fit`, with the same columns.
        y : ignored
        events : DataFrame, list of one DataFrame or callable, default=None
            The new events only. None = the rows of X.

        Returns
        -------
        self : HistoryEncoder
            As one `fit` on the old and the new events.
        """
        if not hasattr(self, "_log"):
            return self.fit(X, y, events=events)
        with unchanged_on_error(self):
            check_parameters(self.get_params(deep=False))
            self._fit(X, events, self._log, reset=False)
        return self

    def _fit(self, X: Any, events: Any, log: EventLog, *, reset: bool) -> None:
        table = self._read(X, reset=reset)
        check_output_names(
            table.names, self.drop, new_names(self.attributes, self.counts, self.ages)
        )
        if events is None:
            check_own_events(table.names, self.on, self.attributes)
        log = self._append(log, table if events is None else read_events(events))
        self._set_log(log, list(self.attributes), bool(self.distinct), list(self.counts))
        # What does not match shows now, not at the first prediction.
        self._rows(table)
        self.n_events_ = len(self._log.times)

    def transform(self, X: Any) -> Any:
        """Append the columns of the past.

        Parameters
        ----------
        X : DataFrame of shape (n_rows, n_columns)
            Rows with the columns of `fit`, in any order.

        Returns
        -------
        X_out : DataFrame of shape (n_rows, n_columns - n_dropped + n_new)
            Of the library of X, or as `set_output` says.

        Raises
        ------
        TypeError, ValueError
            As `fit` does for X and the parameters.
        """
        check_is_fitted(self)
        check_parameters(self.get_params(deep=False))
        table = self._read(X, reset=False)
        check_output_names(table.names, self.drop, self._new_names())
        rows, codes = self._rows(table)
        lists, since = self._lists.before(rows, self.max_len, self.ages)
        new: dict[str, Any] = {f"hist_{name}": values for name, values in lists.items()}
        if self.ages:
            new["hist_age"] = since
        for name, counts in self._counts.items():
            new[f"n_{name}"], new[f"age_{name}"] = counts.before(rows, codes[name])
        output = getattr(self, "_sklearn_output_config", {}).get("transform")
        return assemble(table, new, list(self.drop), output or get_config()["transform_output"])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the output's columns: those of X that stay, then the new ones.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Must be the columns of `fit`, if given.

        Returns
        -------
        ndarray of str objects

        Raises
        ------
        ValueError
            If `input_features` are others than in `fit`.
        """
        check_is_fitted(self)
        names = list(self.feature_names_in_)
        if input_features is not None and list(input_features) != names:
            raise ValueError(
                f"input_features is not equal to feature_names_in_: expected {names}, got "
                f"{list(input_features)}. Leave it out."
            )
        kept = [name for name in names if name not in set(self.drop)]
        return np.array([*kept, *self._new_names()], dtype=object)

    def _names(self) -> list[str]:
        """Attributes that are listed or counted."""
        return list(dict.fromkeys([*self.attributes, *self.counts]))

    def _new_names(self) -> list[str]:
        """Names of the columns that `transform` appends: of what was fitted."""
        return new_names(self._lists.codes, self._counts, self.ages)

    def _read(self, X: Any, *, reset: bool) -> Table:
        table = read_frame(X, "X")
        if not table.n_rows:
            raise ValueError(
                f"X is an empty frame: Found array with 0 sample(s) (shape=(0, "
                f"{len(table.names)})) while a minimum of 1 is required. Look at the filter or the "
                "split that made it; events may be empty."
            )
        validate_data(self, X, reset=reset, skip_check_array=True)
        return table

    def _append(self, log: EventLog, events: Table) -> EventLog:
        """The log with the events of a table."""
        if set(log.attributes) != set(self._names()):
            raise ValueError(
                f"partial_fit needs the attributes and counts of fit, {list(log.attributes)}, got "
                f"{self._names()}: fit again"
            )
        user = matching_ids(events, self.user, "events", "user", log.users)
        times = matching_times(events, self.time, "events", log.span)
        ids = {
            name: matching_ids(events, name, "events", parameter, log.attributes[name])
            for parameter in ("counts", "attributes")
            for name in getattr(self, parameter)
        }
        entering = np.ones(events.n_rows, dtype=bool)
        if self.on is not None:
            entering = is_true(events, self.on)
        n_timeless = int((times.missing & entering).sum())
        warn_of_timeless_events(n_timeless, int(entering.sum()), self.time)
        return log.append(user, times, ids, entering)

    def _rows(self, table: Table) -> tuple[Rows, dict[str, np.ndarray]]:
        """Users and times of X, and the codes of each column that is counted."""
        log = self._log
        user = log.users.encode(matching_ids(table, self.user, "X", "user", log.users))
        times = matching_times(table, self.time, "X", log.span)
        codes = {
            name: vocabulary.encode(matching_ids(table, name, "X", "counts", vocabulary))
            for name in self._counts
            for vocabulary in [log.attributes[name]]
        }
        gap, since = read_gap(self.gap, times.kind), None
        whole = log.times.dtype.kind == "i"
        if self.window is not None:
            window = read_gap(self.window, times.kind, "window")
            if window <= gap:
                raise ValueError(
                    f"window must be longer than gap={self.gap!r}, got {self.window!r}: no event "
                    "would be known"
                )
            since = subtract_gap(times.values, window, whole=whole)
        if log.by_day:
            warn_of_events_by_day(times.values, gap, self.time)
        user = np.where(times.missing, MISSING, user).astype(np.int64)
        limit = subtract_gap(times.values, gap, whole=whole)
        return Rows(user, times.values, limit, since), codes

    def _set_log(
        self, log: EventLog, listed: list[str], distinct: bool, counted: list[str]
    ) -> None:
        """Keep the events, and index them."""
        self._log = log
        self._indexed: list[Any] = [listed, distinct, counted]
        self._lists = PastLists(log, listed, distinct)
        self._counts = {name: PastCounts(log, name) for name in counted}

    def _rebuild(self) -> None:
        if "_log" in vars(self):
            self._set_log(self._log, *self._indexed)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Columns are found by name, which arrays do not have.
        tags.input_tags.two_d_array = False
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        return tags
