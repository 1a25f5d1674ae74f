"""Splitters: nothing leaks, ties, any index and order, and their place in scikit-learn."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.utils.metadata_routing import get_routing_for_object

from sk_adrec import LeaveLastOut, TimeSplit, UserSplit

SPLITTERS = [
    LeaveLastOut(time="time", n_last=2, n_splits=2),
    TimeSplit("time", n_splits=3, gap=2),
    UserSplit(time="time", n_splits=3, fold_in=0.5, random_state=0),
]


def make_log(n=400, n_users=30, seed=0):
    """Rows in random order, under a shuffled index, with distinct times."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in rng.integers(0, n_users, n)],
            "item_id": rng.integers(0, 50, n),
            "time": rng.permutation(n),
        },
        index=rng.permutation(n) + 1000,
    )


def pairs(splitter, *args, **kwargs):
    return [(train.tolist(), test.tolist()) for train, test in splitter.split(*args, **kwargs)]


@pytest.fixture(params=SPLITTERS, ids=lambda splitter: type(splitter).__name__)
def splitter(request):
    return clone(request.param)


def test_parts_are_apart_ascending_and_as_many_as_promised(splitter):
    log = make_log()
    splits = list(splitter.split(log))
    assert len(splits) == splitter.get_n_splits() == splitter.get_n_splits(log, None, None)
    for train, test in splits:
        assert train.dtype == test.dtype == np.intp
        assert len(train)
        assert len(test)
        assert not np.intersect1d(train, test).size
        for part in (train, test):
            assert (np.diff(part) > 0).all()
            assert part[0] >= 0
            assert part[-1] < len(log)
    tested = np.concatenate([test for _, test in splits])
    assert len(np.unique(tested)) == len(tested)


def test_neither_index_nor_order_of_rows_matters(splitter):
    log = make_log()
    sorted_log = log.sort_values("time")
    reset = log.reset_index(drop=True)
    assert pairs(splitter, log) == pairs(splitter, reset)
    for (train, test), (train_, test_) in zip(splitter.split(log), splitter.split(sorted_log)):
        assert set(log["time"].iloc[train]) == set(sorted_log["time"].iloc[train_])
        assert set(log["time"].iloc[test]) == set(sorted_log["time"].iloc[test_])


def test_forms_of_X(splitter):
    log = make_log().reset_index(drop=True)
    log["user_id"] = log["user_id"].str[1:].astype(int)
    expected = pairs(splitter, log)
    assert pairs(splitter, pl.from_pandas(log)) == expected
    assert pairs(splitter, log.convert_dtypes()) == expected
    assert pairs(splitter, log.convert_dtypes(dtype_backend="pyarrow")) == expected
    positions = {"user": 0, "time": 2}
    known = splitter.get_params()
    by_position = clone(splitter).set_params(**{k: v for k, v in positions.items() if k in known})
    assert pairs(by_position, log.to_numpy()) == expected
    assert pairs(by_position, log.to_numpy(dtype=object)) == expected
    y = np.zeros(len(log))
    assert pairs(splitter, log, y) == expected
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        pairs(splitter, log, y[:-1])


@pytest.mark.parametrize("Splitter", [LeaveLastOut, UserSplit])
def test_groups_are_the_users(Splitter):
    log = make_log()
    kwargs = {"random_state": 0} if Splitter is UserSplit else {}
    expected = pairs(Splitter(time="time", **kwargs), log)
    users = log.pop("user_id")
    for groups in (users, users.to_numpy(), users.astype("category"), users.tolist()):
        assert pairs(Splitter(time="time", **kwargs), log, groups=groups) == expected
    array = log.to_numpy()
    assert pairs(Splitter(time=1, **kwargs), array, None, users) == expected
    with pytest.raises(ValueError, match="X has no column 'user_id' of users"):
        pairs(Splitter(time="time", **kwargs), log)
    with pytest.raises(ValueError, match="user must be the position of one of 2 columns"):
        pairs(Splitter(time=1, **kwargs), array)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        pairs(Splitter(time="time", **kwargs), log, groups=users[:-1])


def test_time_split_warns_of_groups():
    log = make_log()
    with pytest.warns(UserWarning, match="TimeSplit does not look at groups"):
        next(iter(TimeSplit().split(log, groups=log["user_id"])))


# LeaveLastOut


def slow_leave_last_out(log, n_last, n_splits):
    splits = []
    for skip in range((n_splits - 1) * n_last, -1, -n_last):
        train, test = [], []
        for user in log["user_id"].unique():
            rows = [i for i in range(len(log)) if log["user_id"].iloc[i] == user]
            rows.sort(key=lambda i: log["time"].iloc[i])  # stable, as ties are documented
            rows = rows[: max(0, len(rows) - skip)]
            cut = len(rows) - n_last if len(rows) > n_last else len(rows)
            train += rows[:cut]
            test += rows[cut:]
        splits.append((sorted(train), sorted(test)))
    return splits


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=30),
    n_last=st.integers(1, 3),
    n_splits=st.integers(1, 3),
)
def test_leave_last_out_equals_the_loop(rows, n_last, n_splits):
    log = pd.DataFrame(rows, columns=["user_id", "time"])
    expected = slow_leave_last_out(log, n_last, n_splits)
    splitter = LeaveLastOut(time="time", n_last=n_last, n_splits=n_splits)
    if all(test for _, test in expected) and all(train for train, _ in expected):
        assert pairs(splitter, log) == expected
    else:
        with pytest.raises(ValueError, match="it needs users with more than n_last"):
            pairs(splitter, log)


def test_no_user_trains_on_rows_after_its_test_rows():
    log = make_log()
    for train, test in LeaveLastOut(time="time", n_last=2, n_splits=3).split(log):
        first = log.iloc[test].groupby("user_id")["time"].min()
        last = log.iloc[train].groupby("user_id")["time"].max()
        assert (last[first.index] < first).all()
        assert (log.iloc[test].groupby("user_id").size() == 2).all()


def test_an_earlier_split_is_that_of_the_log_as_it_was():
    log = make_log()
    last = log.sort_values("time", kind="stable").groupby("user_id").tail(2).index
    earlier = log.drop(last)
    positions = np.flatnonzero(~log.index.isin(last))
    split, _ = LeaveLastOut(time="time", n_last=2, n_splits=2).split(log)
    ((train, test),) = LeaveLastOut(time="time", n_last=2).split(earlier)
    assert split[0].tolist() == positions[train].tolist()
    assert split[1].tolist() == positions[test].tolist()
    # Who is too short for a test has no later rows in training either: c, and the last of b.
    log = pd.DataFrame({"user_id": [*"aaabbc"], "time": [1, 2, 3, 4, 5, 9]})
    expected = [([0, 3], [1]), ([0, 1, 3, 5], [2, 4])]
    assert pairs(LeaveLastOut(time="time", n_splits=2), log) == expected


def test_leave_last_out_by_row_order_and_ties():
    log = pd.DataFrame({"user_id": [*"aabba"], "time": [7, 7, 7, 7, 1]})
    assert pairs(LeaveLastOut(), log) == [([0, 1, 2], [3, 4])]
    # Of equal times the one further down is later.
    assert pairs(LeaveLastOut(time="time"), log) == [([0, 2, 4], [1, 3])]


def test_rows_without_user_train():
    log = pd.DataFrame({"user_id": ["a", None, "a", None], "time": [1, 2, 3, 4]})
    assert pairs(LeaveLastOut(), log) == [([0, 1, 3], [2])]
    log = pd.DataFrame({"user_id": ["a", None, "b", None]})
    for train, test in UserSplit(n_splits=2, fold_in=0).split(log):
        assert {1, 3} < set(train)
        assert len(test) == 1
    with pytest.raises(ValueError, match="none of the 1 rows has a user"):
        pairs(LeaveLastOut(), pd.DataFrame({"user_id": [None]}))


# TimeSplit


def test_time_split_by_hand():
    weeks = pd.DataFrame({"time": np.arange(1, 54)})
    ((train, test),) = pairs(TimeSplit("time", n_splits=1, test_size=4, gap=2), weeks)
    assert weeks["time"].iloc[test].tolist() == [50, 51, 52, 53]
    assert weeks["time"].iloc[train].tolist() == list(range(1, 48))
    ((train, _),) = pairs(
        TimeSplit("time", n_splits=1, test_size=4, gap=2, max_train_size=3), weeks
    )
    assert weeks["time"].iloc[train].tolist() == [45, 46, 47]


def slow_time_split(times, n_splits, test_size, gap, longest):
    splits = []
    for j in range(n_splits):
        start = max(times) - (n_splits - j) * test_size
        train = [i for i, t in enumerate(times) if t <= start - gap]
        if longest is not None:
            train = [i for i in train if times[i] > start - gap - longest]
        splits.append((train, [i for i, t in enumerate(times) if start < t <= start + test_size]))
    return splits


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 40), min_size=2, max_size=40),
    n_splits=st.integers(1, 4),
    test_size=st.integers(1, 8),
    gap=st.integers(0, 4),
    longest=st.one_of(st.none(), st.integers(1, 12)),
    kind=st.sampled_from(["int", "float", "datetime"]),
)
def test_no_training_row_is_as_late_as_a_test_row(times, n_splits, test_size, gap, longest, kind):
    sizes = {"test_size": test_size, "gap": gap, "max_train_size": longest}
    column = pd.Series(times, dtype=float if kind == "float" else int)
    if kind == "datetime":
        column = pd.Timestamp("2024-01-01") + pd.to_timedelta(column, unit="D")
        sizes = {name: v if v is None else f"{v}D" for name, v in sizes.items()}
    splitter = TimeSplit("time", n_splits, **sizes)
    log = pd.DataFrame({"time": column})
    expected = slow_time_split(times, n_splits, test_size, gap, longest)
    if not all(train and test for train, test in expected):
        with pytest.raises(ValueError, match="longer test_size, fewer n_splits, or a shorter gap"):
            pairs(splitter, log)
        return
    assert pairs(splitter, log) == expected
    t = np.array(times)
    for train, test in expected:
        assert t[train].max() + gap < t[test].min()
    # Every row after the first border is tested once, ties together.
    tested = sorted(row for _, test in expected for row in test)
    assert tested == np.flatnonzero(t > t.max() - n_splits * test_size).tolist()


def test_default_test_size_divides_the_span():
    log = pd.DataFrame({"time": np.arange(101)})
    splits = pairs(TimeSplit("time", n_splits=4), log)
    assert [test[0] for _, test in splits] == [21, 41, 61, 81]
    assert [train[-1] for train, _ in splits] == [20, 40, 60, 80]


DAYS = pd.date_range("2024-03-25", periods=14, freq="D")


@pytest.mark.parametrize(
    "days",
    [
        DAYS,
        DAYS.as_unit("s"),
        DAYS.as_unit("ns"),
        DAYS.tz_localize("UTC"),
        DAYS.date,
        pd.Series(DAYS.date, dtype="date32[pyarrow]"),
        pd.Series(DAYS, dtype="timestamp[us][pyarrow]"),
        pd.Series(DAYS.tz_localize("UTC"), dtype="timestamp[us, UTC][pyarrow]"),
    ],
    ids=lambda days: str(getattr(days, "dtype", type(days))),
)
def test_kinds_of_times(days):
    log = pd.DataFrame({"time": days})
    expected = [(list(range(3)), [4, 5, 6, 7, 8]), (list(range(8)), [9, 10, 11, 12, 13])]
    for size, gap in (
        ("5D", "1D"),
        (pd.Timedelta(days=5), np.timedelta64(24, "h")),
        (datetime.timedelta(5), datetime.timedelta(1)),
    ):
        assert pairs(TimeSplit(n_splits=2, test_size=size, gap=gap), log) == expected
    if not isinstance(days, np.ndarray):
        assert (
            pairs(TimeSplit(n_splits=2, test_size="5D", gap="1D"), pl.from_pandas(log)) == expected
        )
    log["user_id"] = 1
    assert pairs(LeaveLastOut(time="time"), log[::-1]) == [(list(range(1, 14)), [0])]


def test_the_hour_that_comes_twice():
    # Clocks are set back from 3 to 2: half past two comes twice, an hour apart.
    utc = pd.to_datetime(["2024-10-27 00:30", "2024-10-27 01:30", "2024-10-27 01:40"], utc=True)
    log = pd.DataFrame({"time": utc.tz_convert("Europe/Berlin"), "user_id": 1})
    assert log["time"].dt.tz_localize(None).nunique() == 2
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0]):
        rows = log.iloc[order]
        ((train, test),) = LeaveLastOut(time="time", n_last=2).split(rows)
        assert rows.index[train] == [0]
        ((train, test),) = TimeSplit(n_splits=1, test_size="30min").split(rows)
        assert rows.index[train] == [0]
        assert sorted(rows.index[test]) == [1, 2]


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        ([1.0, np.nan, 2.0], ValueError, "'time' .* has no time in row 1 and 0 more. Fill .* drop"),
        ([1.0, np.inf, 2.0], ValueError, "'time' .* contains infinity, which is no time"),
        (["2024-01-01"] * 3, TypeError, "must hold times: .* numbers, got .*string.*to_datetime"),
        ([True, False, True], TypeError, "must hold times: .* or numbers, got bool"),
    ],
)
def test_times_that_are_none(column, error, message):
    log = pd.DataFrame({"time": column, "user_id": 1})
    for splitter in (TimeSplit(), LeaveLastOut(time="time"), UserSplit(time="time", n_splits=2)):
        if isinstance(splitter, UserSplit):
            log["user_id"] = [1, 2, 3]
        with pytest.raises(error, match=message):
            pairs(splitter, log)


@pytest.mark.parametrize(
    ("times", "params", "error", "message"),
    [
        ("int", {"test_size": "7D"}, TypeError, "test_size must be a number in the unit"),
        ("int", {"test_size": 0}, ValueError, "test_size must be above 0, got 0"),
        ("int", {"gap": -1}, ValueError, "gap must be at least 0, got -1"),
        ("int", {"gap": True}, TypeError, "gap must be a number"),
        ("int", {"test_size": float("nan")}, ValueError, "test_size must be above 0, got nan"),
        ("int", {"max_train_size": 0}, ValueError, "max_train_size must be above 0"),
        ("int", {"test_size": 100}, ValueError, r"split 0 of TimeSplit\(.*has no training rows"),
        ("int", {"n_splits": 0}, ValueError, r"n_splits must be an integer in \[1"),
        ("date", {"test_size": 7}, TypeError, 'test_size must say its unit.*got 7: pass.*"7D"'),
        ("date", {"test_size": "soon"}, ValueError, "must be a duration such as.*got 'soon'"),
        ("date", {"test_size": "-1D"}, ValueError, "test_size must be above 0"),
        ("date", {"gap": "NaT"}, ValueError, "gap must be at least 0"),
    ],
)
def test_durations(times, params, error, message):
    column = np.arange(14) if times == "int" else DAYS
    with pytest.raises(error, match=message):
        pairs(TimeSplit("time", **{"n_splits": 2, **params}), pd.DataFrame({"time": column}))


# UserSplit


@settings(max_examples=60, deadline=None)
@given(
    # More than two rows of each user, so that no split is empty.
    users=st.lists(st.integers(0, 6), min_size=4, max_size=20)
    .filter(lambda users: len(set(users)) > 2)
    .flatmap(lambda users: st.permutations(users * 3)),
    fold_in=st.one_of(st.floats(0, 0.99), st.integers(0, 2)),
)
def test_user_split_equals_the_loop(users, fold_in):
    log = pd.DataFrame({"user_id": users, "time": np.arange(len(users))[::-1]})
    splitter = UserSplit(time="time", n_splits=3, fold_in=fold_in, random_state=0)
    splits = pairs(splitter, log)
    tested = [set(log["user_id"].iloc[test]) for _, test in splits]
    assert sum(map(len, tested)) == len(set.union(*tested))
    for (train, test), held_out in zip(splits, tested):
        expected = []
        for user in held_out:
            rows = np.flatnonzero(log["user_id"] == user)[::-1]  # ascending times
            first = fold_in if isinstance(fold_in, int) else int(fold_in * len(rows) + 1e-9)
            expected += rows[first:].tolist()
        assert test == sorted(expected)
        assert train == sorted(set(range(len(log))) - set(test))


def test_cold_users_are_unknown_to_training():
    log = make_log()
    tested = []
    for train, test in UserSplit(fold_in=0, random_state=0).split(log):
        held_out = set(log["user_id"].iloc[test])
        assert not held_out & set(log["user_id"].iloc[train])
        tested += held_out
    assert sorted(tested) == sorted(set(log["user_id"]))


def test_share_of_rows_is_exact():
    log = pd.DataFrame({"user_id": np.repeat([1, 2], 100)})
    for _, test in UserSplit(n_splits=2, fold_in=0.29).split(log):
        assert len(test) == 71


def test_random_state_of_user_split():
    log = make_log()
    assert pairs(UserSplit(random_state=1), log) == pairs(UserSplit(random_state=1), log)
    assert pairs(UserSplit(random_state=1), log) != pairs(UserSplit(random_state=2), log)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    pairs(UserSplit(random_state=1), log)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_splits": 1}, r"n_splits must be an integer in \[2, inf\), got 1"),
        ({"n_splits": 31}, "n_splits must be at most the number of users, 30, got 31"),
        ({"fold_in": 1.0}, r"fold_in must be a number in \[0, 1\), got 1.0"),
        ({"fold_in": -1}, r"fold_in must be an integer in \[0, inf\), got -1"),
        ({"fold_in": "half"}, r"fold_in must be a number in \[0, 1\), got 'half'"),
        ({"fold_in": 1000}, "has no test rows: the held-out users have no more rows than fold_in"),
        ({"user": "usr_id"}, "X has no column 'usr_id' of users: did you mean 'user_id'"),
        ({"time": "tme"}, "X has no column 'tme' of times: did you mean 'time'"),
    ],
)
def test_user_split_errors(params, message):
    with pytest.raises(ValueError, match=message):
        pairs(UserSplit(**params), make_log())


def test_users_of_several_types():
    log = pd.DataFrame({"user_id": ["a", 1, "a", 1, 2.5, 2.5]})
    assert pairs(LeaveLastOut(), log) == [([0, 1, 4], [2, 3, 5])]
    assert len(pairs(UserSplit(n_splits=3, random_state=0), log)) == 3


# In scikit-learn


def test_parameters(splitter):
    params = splitter.get_params()
    assert all(getattr(splitter, name) is value for name, value in params.items())
    copy = clone(splitter)
    assert copy is not splitter
    assert copy.get_params() == params
    assert copy.set_params(n_splits=7) is copy
    assert copy.n_splits == 7
    assert all(f"{name}={value!r}" in repr(splitter) for name, value in params.items())
    with pytest.raises(ValueError, match=r"has no parameter 'n_folds': it has .*'n_splits'"):
        copy.set_params(n_folds=2)


class Counter(BaseEstimator):
    """Counts the rows that it is fitted on."""

    def __init__(self, scale=1):
        self.scale = scale

    def fit(self, X, y=None):
        self.n_rows_ = len(X)
        return self

    def score(self, X, y=None):
        return self.scale * self.n_rows_ + len(X)


def test_searches_without_y(splitter):
    log = make_log()
    sizes = [len(train) + len(test) for train, test in splitter.split(log)]
    search = GridSearchCV(Counter(), {"scale": [1, 0]}, cv=splitter).fit(log)
    assert search.best_params_ == {"scale": 1}
    assert search.best_score_ == np.mean(sizes)
    assert search.get_params()["cv__n_splits"] == splitter.n_splits
    result = cross_validate(Counter(), log, cv=splitter)
    assert result["test_score"].tolist() == sizes


@pytest.mark.parametrize("routing", [False, True])
def test_groups_reach_the_splitter_in_a_search(routing):
    log = make_log()
    sizes = [len(train) + len(test) for train, test in LeaveLastOut(time="time").split(log)]
    users = log.pop("user_id")
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(Counter(), {"scale": [1]}, cv=LeaveLastOut(time="time"))
        search.fit(log, groups=users)
    assert search.best_score_ == np.mean(sizes)


def test_metadata_requests():
    def requests(splitter):
        return get_routing_for_object(splitter).split.requests

    assert requests(LeaveLastOut()) == {"groups": True}
    assert requests(UserSplit()) == {"groups": True}
    assert requests(TimeSplit()) == {}
    with config_context(enable_metadata_routing=True):
        renamed = LeaveLastOut().set_split_request(groups="household")
    assert requests(renamed) == {"groups": "household"}
