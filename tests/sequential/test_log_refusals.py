"""What leave_last_out and make_prefixes refuse, and logs without events."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sk_adrec.sequential import leave_last_out, make_prefixes

LOG = pd.DataFrame(
    {
        "user_id": [1, 1, 1, 1, 2],
        "item_id": list("abcdx"),
        "shop": list("sstts"),
        "time": [3.0, 1.0, 4.0, 2.0, 1.0],
    }
)
HELPERS = pytest.mark.parametrize("helper", [leave_last_out, make_prefixes])


def last_item(time):
    """The test item of user 1."""
    _, _, (_, y) = leave_last_out(LOG.assign(time=time), time="time")
    return y.tolist()


@HELPERS
@pytest.mark.parametrize(
    "time",
    [
        [3.0, 1.0, np.nan, 2.0, 1.0],
        pd.to_datetime([3, 1, None, 2, 1], unit="D"),
        pd.to_datetime([3, 1, None, 2, 1], unit="D", utc=True),
        pd.array([3, 1, None, 2, 1], dtype="Int64"),
        pd.array([3, 1, float("nan"), 2, 1], dtype="double[pyarrow]"),
    ],
    ids=["nan", "NaT", "NaT-utc", "NA", "arrow-nan"],
)
def test_an_event_without_a_time_is_not_taken_for_the_newest(helper, time):
    log = LOG.assign(time=time)
    with pytest.raises(
        ValueError, match=r"'time' is missing in 1 rows, the first of them row 2\. Drop them"
    ):
        helper(log, time="time")


@HELPERS
@pytest.mark.parametrize(
    "time",
    [
        ["10", "9", "8", "7", "1"],
        pd.Categorical(["10", "9", "8", "7", "1"]),
        pd.to_timedelta([3, 1, 4, 2, 1], unit="s"),
        [[1], [2], [3], [4], [5]],
    ],
    ids=["text", "category", "duration", "list"],
)
def test_times_that_are_neither_numbers_nor_dates(helper, time):
    with pytest.raises(TypeError, match=r"Column 'time' \(dtype .*must hold times: dates"):
        helper(LOG.assign(time=time), time="time")


@pytest.mark.parametrize(
    "time",
    [
        [3, 1, 4, 2, 1],
        pd.to_datetime([3, 1, 4, 2, 1], unit="D"),
        pd.to_datetime([3, 1, 4, 2, 1], unit="D").tz_localize("Europe/Berlin"),
        [datetime.date(2026, 1, day) for day in (3, 1, 4, 2, 1)],
        np.array([3, 1, 4, 2, 1]) + 2**53,
    ],
    ids=["numbers", "dates", "dates-of-a-zone", "days", "large-integers"],
)
def test_times_that_sort(time):
    assert last_item(time) == ["c"]


def test_neighbours_beyond_2_to_the_53_stay_apart():
    log = LOG[:4].assign(time=2**60 + np.array([2, 1, 3, 0]))
    _, _, (X, y) = leave_last_out(log, time="time")
    assert (list(X["hist_item_id"][0]), y[0]) == (["d", "b", "a"], "c")


def test_polars_times():
    log = pl.from_pandas(LOG.assign(time=pd.to_datetime(LOG["time"], unit="D", utc=True)))
    _, _, (X, y) = leave_last_out(log, time="time")
    assert (list(X["hist_item_id"][0]), y[0]) == (["b", "d", "a"], "c")
    with pytest.raises(ValueError, match="'time' is missing in 1 rows"):
        leave_last_out(log.with_columns(time=pl.col("time").shift(1)), time="time")


@HELPERS
def test_names_of_columns(helper):
    with pytest.raises(TypeError, match=r"event_features must be .* got 'shop': \['shop'\]"):
        helper(LOG, event_features="shop")
    with pytest.raises(ValueError, match=r"must be different columns, got \['user_id', 'item_id'"):
        helper(LOG, event_features=["item_id"])
    with pytest.raises(ValueError, match=r"must be different columns"):
        helper(LOG, time="item_id")


@HELPERS
@pytest.mark.parametrize(
    ("old", "new", "roles"),
    [
        ("user_id", "hist_item_id", {"user": "hist_item_id"}),
        ("user_id", "hist_time", {"user": "hist_time", "time": "time"}),
        ("time", "hist_item_id", {"time": "hist_item_id"}),
        ("time", "hist_shop", {"time": "hist_shop", "event_features": ["shop"]}),
        ("shop", "hist_item_id", {"event_features": ["hist_item_id"]}),
    ],
)
def test_no_column_is_written_over_by_a_history(helper, old, new, roles):
    log = LOG.rename(columns={old: new})
    message = rf"must not be named as a column of histories, got '{new}'.* Rename that column"
    with pytest.raises(ValueError, match=message):
        helper(log, **roles)
    if old not in ("user_id", *roles):
        helper(log)  # a column without a role may have any name


@pytest.mark.parametrize("time", [None, "time"])
def test_an_empty_log_gives_no_rows(time):
    names = list(make_prefixes(LOG, time=time)[0])
    parts = [make_prefixes(LOG[:0], time=time), *leave_last_out(LOG[:0], time=time)]
    for X, y in parts:
        assert X.shape == (0, len(names))
        assert list(X) == names
        assert len(y) == 0


def test_the_last_of_every_max_len_plus_one_events_teach_each_event_once():
    log = pd.DataFrame({"user_id": np.repeat([0, 1], [12, 5]), "item_id": np.arange(17)})
    from_last = log.groupby("user_id").cumcount(ascending=False)
    X, y = make_prefixes(log, rows=(from_last % 4 == 0).to_numpy(), max_len=3, min_len=0)
    taught = [*X["hist_item_id"].explode().dropna(), *y]
    assert sorted(taught) == list(range(17))
