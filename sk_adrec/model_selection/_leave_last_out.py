"""The last rows of each user as test rows."""

from __future__ import annotations

from .._validation import check_number
from ._base import BaseSplitter, order_within_users, row_times, user_codes


class LeaveLastOut(BaseSplitter):
    """Train on the past of each user, test on the user's last rows.

    The protocol of most papers on recommendation. It never shows a user's later rows, but other
    users' rows may be later than a test row: what is popular in the future leaks. Take
    :class:`TimeSplit` where that matters.

    Parameters
    ----------
    user : str or int, default="user_id"
        Column of users, by its name in a frame or its position in an array; not read where `split`
        gets `groups`.
    time : str or int, default=None
        Column of times: numbers or datetimes. None takes the order of the rows, for logs that are
        sorted.
    n_last : int, default=1
        Test rows per user and split. More rows make scores steadier and leave less to train on.
    n_splits : int, default=1
        More splits step back in time: the last but one tests the `n_last` rows before the last
        ones, and leaves out what comes after them. Comes first what is earliest.

    See Also
    --------
    TimeSplit : One date for all users.
    UserSplit : Users that training has not seen, or only the beginning of.
    sk_adrec.sequential.leave_last_out : The same cut, as rows of histories for next-item models;
        this class splits the log of retrievers and rankers.
    sk_adrec.metrics.make_topk_scorer : The scorer for it.

    Notes
    -----
    A user with no more rows than the test would take is not tested: nobody is without a past. In
    the last split all such rows train, as do rows whose user is missing in each split.

    **Earlier splits.** Each is what a single split makes of the log as it was, without the last
    `n_last` rows of every user for each split that follows: those of users too short for a test go
    too, so that no split trains on what a later one tests, and a short user may be absent from
    earlier ones.

    **Ties.** Among rows of one user with the same time, the one further down in X is the later
    one. Where many times are equal (days, imports in bulk) the order of X decides on the test
    rows, so sort X by something that means something, and shuffle it by no means.

    All rows count, whatever their label. To test on the last click, split the clicks.

    Examples
    --------
    ===== ===== ===== ==========
    row   user  time  with n_last=1
    ===== ===== ===== ==========
    0     ann   3     test
    1     ann   1     training
    2     bob   5     test
    3     bob   4     training
    4     cat   9     training, her only row
    ===== ===== ===== ==========

    >>> import pandas as pd
    >>> from sk_adrec.model_selection import LeaveLastOut
    >>> log = pd.DataFrame(
    ...     {"user_id": ["ann", "ann", "bob", "bob", "cat"], "time": [3, 1, 5, 4, 9]}
    ... )
    >>> for train, test in LeaveLastOut(time="time").split(log):
    ...     print(train, test)
    [1 3 4] [0 2]
    """

    # The name is scikit-learn's: `groups` goes to the splitter wherever it is given.
    __metadata_request__split = {"groups": True}
    _hint = "it needs users with more than n_last * n_splits rows, lower one of them"

    def __init__(self, user="user_id", time=None, n_last=1, n_splits=1):
        self.user = user
        self.time = time
        self.n_last = n_last
        self.n_splits = n_splits

    def _masks(self, X, groups, n_splits):
        check_number("n_last", self.n_last, 1, integer=True)
        codes, n_users = user_codes(X, self.user, groups)
        times = None if self.time is None else row_times(X, self.time)
        before, after = order_within_users(codes, n_users, times)
        for later in range((n_splits - 1) * self.n_last, -1, -self.n_last):
            # Users that keep a past when all from the test rows on is gone.
            tested = before + after + 1 > later + self.n_last
            known = codes >= 0
            test = known & tested & (after >= later) & (after < later + self.n_last)
            yield ~test & (~known | (after >= later)), test
