"""Times of events and requests: what they may be, zones, missing ones, order."""

import datetime
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sk_adrec import HSTUNextItem
from sk_adrec.sequential import leave_last_out
from sk_adrec.sequential._events import read_events
from sk_adrec.sequential._roles import Roles
from sk_adrec.sequential._times import seconds

ROLES = Roles("h", "t", "now", ())
QUICK = {"embedding_dim": 8, "dropout": 0.0, "id_dropout": 0.0, "max_epochs": 2, "random_state": 0}
DAYS = pd.to_datetime(["2026-01-01", "2026-01-02"])
NOW = pd.Timestamp("2026-01-03")
DAY, START = 86_400, 1_767_225_600.0
EXPECTED = [[START, START + DAY], [START + DAY, START + 2 * DAY]]


def times(t, now, items=((1, 2),)):
    X = pd.DataFrame({"h": pd.Series(list(map(list, items))), "t": pd.Series(t), "now": now})
    return read_events(X, ROLES).times


def of_unit(unit):
    return [DAYS.to_numpy().astype(f"datetime64[{unit}]")]


DATES = pytest.mark.parametrize(
    "t",
    [
        [list(DAYS)],
        [[day.to_pydatetime() for day in DAYS]],
        [[day.date() for day in DAYS]],
        *map(of_unit, ["D", "h", "m", "s", "ms", "us", "ns"]),
        [list(of_unit("D")[0])],
    ],
)
NUMBERS = pytest.mark.parametrize("t", [[[START, START + DAY]], [[int(START), int(START) + DAY]]])


@DATES
@pytest.mark.parametrize("now", [[NOW], [NOW.to_pydatetime()], [NOW.date()]])
def test_dates_of_any_type(t, now):
    assert times(t, now).tolist() == EXPECTED


@NUMBERS
@pytest.mark.parametrize("now", [[START + 2 * DAY], [int(START) + 2 * DAY]])
def test_numbers_of_any_type(t, now):
    assert times(t, now).tolist() == EXPECTED


@DATES
def test_dates_beside_numbers(t):
    message = (
        r"'t' \(history_time\) holds dates without a time zone, 'now' \(request_time\) numbers: "
        r"make both numbers \(seconds\), or both dates, with pandas.to_datetime"
    )
    with pytest.raises(ValueError, match=message):
        times(t, [START])


@NUMBERS
@pytest.mark.parametrize("now", [NOW, NOW.tz_localize("UTC")])
def test_numbers_beside_dates(t, now):
    with pytest.raises(ValueError, match=r"holds numbers, 'now' \(request_time\) dates with"):
        times(t, [now])


@NUMBERS
def test_missing_times_go_with_any_kind(t):
    for nothing in (np.nan, pd.NaT, None):
        assert times(t, [nothing])[-1].tolist() == [START + DAY, START + DAY]
    assert times([[None, None]], [NOW])[-1, 1] == START + 2 * DAY


def test_times_of_polars():
    frame = {"h": [[1, 2]], "t": [[day.to_pydatetime() for day in DAYS]], "now": [NOW]}
    assert read_events(pl.DataFrame(frame), ROLES).times.tolist() == EXPECTED


def test_time_zones():
    # Midnight in Berlin is 23:00 of the day before in UTC.
    berlin = [list(DAYS.tz_localize("Europe/Berlin"))]
    utc = [NOW.tz_localize("UTC")]
    hour = 3_600
    expected = [[START - hour, START + DAY - hour], [START + DAY - hour, START + 2 * DAY]]
    assert times(berlin, utc).tolist() == expected
    with pytest.raises(
        ValueError,
        match=r"'t' \(history_time\) holds dates with a time zone, 'now' \(request_time\) dates "
        r"without a time zone: give both a time zone, with dt.tz_localize, or none",
    ):
        times(berlin, [NOW])
    with pytest.raises(ValueError, match="give both a time zone"):
        times([list(DAYS)], utc)


def test_a_log_with_a_time_zone_can_be_fitted():
    log = pd.DataFrame(
        {
            "user_id": np.repeat(range(5), 6),
            "item_id": np.tile(list("abcdef"), 5),
            "time": pd.date_range("2026-01-01", periods=30, tz="Europe/Berlin"),
        }
    )
    plain = log.assign(time=log["time"].dt.tz_convert("UTC").dt.tz_localize(None))
    model = HSTUNextItem(
        **QUICK, history="hist_item_id", history_time="hist_time", request_time="time"
    )
    found = []
    for one in (log, plain):
        train, _, (X, _) = leave_last_out(one, time="time")
        found.append(model.fit(*train).predict_proba(X))
    assert (found[0] == found[1]).all()


@pytest.mark.parametrize(
    ("column", "error", "message"),
    [
        (np.array(["9999-12-31"], "datetime64[s]"), ValueError, "years 1678 to 2261"),
        (pa.array([datetime.datetime(9999, 12, 31)]), ValueError, "years 1678 to 2261"),
        (np.array([5], "timedelta64[s]"), TypeError, "must hold times"),
        (pa.array([datetime.timedelta(5)]), TypeError, "must hold times"),
        (np.array(["5"], dtype=object), TypeError, "must hold times"),
        (pa.array(["5"]), TypeError, "must hold times"),
        (pd.Categorical(["5"]), TypeError, "must hold times"),
        (np.array([np.inf]), ValueError, "contains infinity"),
    ],
)
def test_what_is_no_time_is_refused_by_name(column, error, message):
    with pytest.raises(error, match=rf"^request_time: Column 'now'.* {message}"):
        seconds(column, "request_time: Column 'now' (dtype x)")


def test_messages_name_the_role_and_the_column():
    X = pd.DataFrame({"h": [["a", "b"], ["b"]], "t": [[1, 2], [3]], "now": ["4", "5"]})
    model = HSTUNextItem(**QUICK, history="h", history_time="t", request_time="now")
    with pytest.raises(
        TypeError, match=r"^request_time: Column 'now' \(dtype str\) must hold times"
    ):
        model.fit(X, ["a", "b"])
    with pytest.raises(
        TypeError, match=r"^history_time: Column 't' \(dtype object\) must hold times"
    ):
        model.fit(X.assign(t=[["x", "y"], ["z"]], now=4.0), ["a", "b"])
    with pytest.raises(
        TypeError,
        match=r"^request_time: Column 'u' .* must hold one time per row, got lists.*history_time",
    ):
        model.set_params(request_time="u").fit(X.assign(u=X["t"]), ["a", "b"])
    assert not hasattr(model, "classes_")


def test_without_the_time_of_the_request_ages_are_at_the_latest_event():
    nothing = read_events(
        pd.DataFrame({"h": [[1, 2]], "t": [[10.0, 30.0]]}), Roles("h", "t", None, ())
    )
    assert nothing.times.tolist() == [[10, 10], [30, 30]]
    assert times([[10.0, 30.0]], [np.nan]).tolist() == [[10, 30], [30, 30]]
    # As for the event before one without a time.
    got = times([[10.0, np.nan, 30.0]], [40.0], items=[[1, 2, 3]])
    np.testing.assert_array_equal(got, [[10, 10], [np.nan, 30], [30, 40]])


def test_a_request_without_a_time_is_predicted_as_one_at_the_latest_event():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "h": [rng.integers(0, 9, 4).tolist() for _ in range(40)],
            "t": [np.sort(rng.integers(0, 10**6, 4)).tolist() for _ in range(40)],
            "now": 2e6,
        }
    )
    model = HSTUNextItem(**QUICK, history="h", history_time="t", request_time="now")
    model.fit(X, rng.integers(0, 9, 40))
    latest = X.assign(now=[float(t[-1]) for t in X["t"]])
    p = model.predict_proba(X.assign(now=np.nan))
    assert (p == model.predict_proba(latest)).all()
    assert np.abs(p - model.predict_proba(X)).max() > 1e-6


def disorder(t, now, items):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        times(t, now, items)
    return [str(one.message) for one in caught]


def test_times_out_of_order_are_pointed_out_once():
    n = 300
    items, t, now = [[1, 2], []] * (n // 2), [[1.0, 9.0], []] * (n // 2), np.full(n, 10.0)
    assert disorder(t, now, items) == []
    t[4], now[6] = [9.0, 1.0], 5.0
    now[7] = 0.0  # an empty history has no latest event
    message = (
        "Of 150 histories, the times in 't' descend in 1 (the first is row 4) and 'now' is before "
        "the latest event in 1 (the first is row 6)"
    )
    (found,) = disorder(t, now, items)
    assert found.startswith(message)
    assert "Sort events by time, the newest last" in found
    now[6] = 10.0
    assert disorder(t, now, items) == []  # one of 150 may be a mistake of the log
    assert "and" not in disorder([[2.0, 1.0]], [3.0], [[1, 2]])[0].split(";")[0]


def test_equal_and_missing_times_are_in_order():
    assert disorder([[1.0, 1.0], [9.0, np.nan]], [1.0, np.nan], [[1, 2], [1, 2]]) == []


def test_missing_times_hide_no_disorder():
    nan = np.nan
    (found,) = disorder([[9.0, nan, 1.0]], [nan], [[1, 2, 3]])
    assert found.startswith("Of 1 histories, the times in 't' descend in 1 (the first is row 0);")
    (found,) = disorder([[2.0, 3.0], [9.0, nan]], [3.0, 5.0], [[1, 2], [1, 2]])
    assert "descend" not in found
    assert "'now' is before the latest event in 1 (the first is row 1)" in found
    # Each row is for itself.
    assert disorder([[9.0, nan], [nan, 1.0], [nan, nan]], [9.0, nan, 1.0], [[1, 2]] * 3) == []


def test_descending_lists_are_pointed_out_without_a_request_time_too():
    X = pd.DataFrame({"h": [[1, 2]], "t": [[9.0, 1.0]]})
    with pytest.warns(UserWarning, match=r"Of 1 histories, the times in 't' descend in 1"):
        read_events(X, Roles("h", "t", None, ()))
