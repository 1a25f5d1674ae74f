"""Held-out users, whose first rows may stay in training."""

from __future__ import annotations

import numbers

import numpy as np
from sklearn.utils import check_random_state

from .._validation import check_number
from ._base import BaseSplitter, order_within_users, row_times, user_codes


class UserSplit(BaseSplitter):
    """Hold out users: all rows of the others train, with the first part of the held-out users'.

    Each user is held out in one of the splits. With ``fold_in=0`` training sees nothing of them:
    how well does a model serve new users, by their attributes? Else their first rows stay in
    training, and the test asks for the rest.

    Parameters
    ----------
    user : str or int, default="user_id"
        Column of users, by its name in a frame or its position in an array; not read where `split`
        gets `groups`.
    time : str or int, default=None
        Column of times, by which a user's rows are ordered: numbers or datetimes. None takes the
        order of the rows.
    n_splits : int, default=5
        Parts into which the users are divided, each held out once; at least 2. More train on more
        users, and cost a fit each.
    fold_in : float in [0, 1) or int, default=0.8
        The first part of each held-out user's rows, which stays in training: a share, rounded
        down, or a number of rows. 0 tests on users of whom nothing is known; a high share on
        what comes next.
    random_state : int, RandomState instance or None, default=None
        Divides the users. An int gives the same splits each time, whatever the order of the rows.

    See Also
    --------
    LeaveLastOut : All users, the last rows of each.
    sklearn.model_selection.GroupKFold : ``fold_in=0`` with parts of like numbers of rows.

    Notes
    -----
    A held-out user with a single row is tested on it, without a past, where `fold_in` is a share;
    where it is a number, users with no more rows than that stay in training whole. So do rows
    whose user is missing. Rows of equal time keep the order in which they stand in X.

    Training rows of other users may be later than test rows.

    References
    ----------
    Liang et al. (2018), "Variational Autoencoders for Collaborative Filtering", WWW, hold out
    users with 80 % of their items given; they are not trained on those.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec.model_selection import UserSplit
    >>> log = pd.DataFrame({"user_id": [*"aaaabbbb"]})
    >>> for train, test in UserSplit(n_splits=2, fold_in=0.5, random_state=0).split(log):
    ...     print(train, test)
    [0 1 2 3 4 5] [6 7]
    [0 1 4 5 6 7] [2 3]
    """

    # The name is scikit-learn's: `groups` goes to the splitter wherever it is given.
    __metadata_request__split = {"groups": True}
    _hint = "the held-out users have no more rows than fold_in, lower it"

    def __init__(self, user="user_id", time=None, n_splits=5, *, fold_in=0.8, random_state=None):
        self.user = user
        self.time = time
        self.n_splits = n_splits
        self.fold_in = fold_in
        self.random_state = random_state

    def _masks(self, X, groups, n_splits):
        check_number("n_splits", n_splits, 2, integer=True)
        codes, n_users = user_codes(X, self.user, groups)
        if n_splits > n_users:
            raise ValueError(
                f"n_splits must be at most the number of users, {n_users}, got {n_splits}"
            )
        times = None if self.time is None else row_times(X, self.time)
        before, after = order_within_users(codes, n_users, times)
        asked = (codes >= 0) & (before >= self._n_first(before + after + 1))
        part = check_random_state(self.random_state).permutation(n_users) % n_splits
        for number in range(n_splits):
            test = asked & (part[codes] == number)
            yield ~test, test

    def _n_first(self, n_rows):
        """Rows that stay in training, of users with so many rows."""
        if isinstance(self.fold_in, numbers.Integral):
            check_number("fold_in", self.fold_in, 0, integer=True)
            return self.fold_in
        check_number("fold_in", self.fold_in, 0, 1)
        # 0.29 * 100 is 28.999...
        return np.floor(self.fold_in * n_rows + 1e-9)
