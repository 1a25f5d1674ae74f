"""What the splitters share: parameters, columns of users and times, order within users."""

from __future__ import annotations

import inspect
from abc import abstractmethod

import numpy as np
from sklearn.model_selection import BaseCrossValidator
from sklearn.utils import check_consistent_length

from .._validation import check_number, read_column
from ..metrics._checks import group_codes, sort_by_group
from ..preprocessing._columns import read_table
from ..preprocessing._times import Times, complete_times


class BaseSplitter(BaseCrossValidator):
    """A splitter that knows its parameters: `clone` works, and grids reach ``cv__gap``."""

    def split(self, X, y=None, groups=None):
        """Yield the positions of the training and of the test rows.

        Parameters
        ----------
        X : data frame or array-like of shape (n_samples, n_features)
            The log, in any order and with any index.
        y : array-like of shape (n_samples,), default=None
            Not looked at, but for its length.
        groups : array-like of shape (n_samples,), default=None
            The user of each row, where X has no such column.

        Yields
        ------
        train, test : ndarray of int
            Positions, ascending, to be used with ``iloc``.

        Raises
        ------
        ValueError
            If X lacks a column, lengths differ, a time is missing or out of range, or a split would
            have no test or training rows.
        TypeError
            For a column of times that holds neither numbers nor dates.
        """
        check_consistent_length(X, y, groups)
        for number, (train, test) in enumerate(self._masks(X, groups, self.get_n_splits())):
            for name, mask in (("training", train), ("test", test)):
                if not mask.any():
                    raise ValueError(f"split {number} of {self!r} has no {name} rows: {self._hint}")
            yield np.flatnonzero(train), np.flatnonzero(test)

    #: What to do where a split has no rows.
    _hint: str

    @abstractmethod
    def _masks(self, X, groups, n_splits):
        """Yield two bool arrays of shape (n_samples,) per split: training and test rows."""

    def get_n_splits(self, X=None, y=None, groups=None):
        """The number of splits.

        Parameters
        ----------
        X, y, groups : object, default=None
            Not looked at; they are here as in scikit-learn's splitters.

        Returns
        -------
        int
            The parameter `n_splits`.

        Raises
        ------
        ValueError
            If it is not a positive integer.
        """
        check_number("n_splits", self.n_splits, 1, integer=True)
        return int(self.n_splits)

    def get_params(self, deep=True):
        """The parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            As in scikit-learn; no parameter has parameters of its own.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params):
        """Set parameters by name.

        Parameters
        ----------
        **params : dict
            Parameters of the constructor.

        Returns
        -------
        splitter
            This one.

        Raises
        ------
        ValueError
            For a name that is no parameter.
        """
        known = self.get_params()
        unknown = sorted(set(params) - set(known))
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}: it has {sorted(known)}"
            )
        for name, value in params.items():
            setattr(self, name, value)
        return self


def user_codes(X, user, groups):
    """The position of each row's user among the distinct ones, sorted; -1 where it is missing.

    Parameters
    ----------
    X : data frame or array-like
    user : str or int
        The column of users; not read where there are `groups`.
    groups : array-like of shape (n_samples,) or None

    Returns
    -------
    codes : ndarray of shape (n_samples,), int64
    n_users : int
    """
    users = read_column(X, user, "user", "of users") if groups is None else groups
    codes, values = group_codes(users, X)
    if not len(values):
        raise ValueError(f"none of the {len(codes)} rows has a user: pass rows that have")
    try:
        rank = values.argsort().argsort()
    except TypeError:  # strings and numbers together have no order but that of the rows
        rank = np.arange(len(values))
    return np.where(codes >= 0, rank[codes], -1).astype(np.int64), len(values)


def row_times(X, time) -> Times:
    """The column of times, none of them missing.

    Raises
    ------
    ValueError
        For no, missing or infinite times, and dates outside the years 1678 to 2261.
    TypeError
        For anything but numbers and dates, of one time zone or none.
    """
    values = read_column(X, time, "time", "of times")
    if not len(values):
        raise ValueError(f"X has no rows, and so no times in column {time!r}: pass some")
    where = f"Column {time!r} (dtype {values.dtype})"
    frame = values.to_frame() if hasattr(values, "to_frame") else values[:, None]
    return complete_times(read_table(frame).column(0), where)


def order_within_users(codes, n_users, times):
    """How many rows of the same user come before and after each row, both of shape (n_samples,).

    Rows of equal time keep the order in which they stand in X, as all do without `times`. Rows
    without a user (code -1) get -1 in both.
    """
    known = np.flatnonzero(codes >= 0)
    if times is not None:
        known = known[np.argsort(times.values[known], kind="stable")]
    known, first = sort_by_group(codes, n_users, known)
    counts = np.diff(first, append=len(known))
    before, after = np.full(len(codes), -1), np.full(len(codes), -1)
    before[known] = np.arange(len(known)) - np.repeat(first, counts)
    after[known] = counts[codes[known]] - 1 - before[known]
    return before, after
