"""HistoryEncoder: what a slow loop finds, never the future, and scikit-learn's contract."""

import datetime
import pickle
import warnings
from fractions import Fraction

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn.utils.estimator_checks as sklearn_checks
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline

from sk_adrec import FMClassifier, GBDTLRClassifier, HistoryEncoder

DAY = pd.Timedelta("1D")


def make_encoder(**parameters):
    return HistoryEncoder(**{"time": "time", **parameters})


def slow(X, events, *, attributes, counts, max_len=50, on=None, gap=0, window=None, distinct=False):
    """The definition: for each row, look at every event."""
    events = events.reset_index(drop=True)
    if on is not None:
        events = events[[value == True for value in events[on]]]  # noqa: E712
    events = events[events["user_id"].notna() & events["time"].notna()]
    events = events.sort_values("time", kind="stable").to_dict("records")
    unit = DAY if pd.api.types.is_datetime64_dtype(X["time"]) else 1.0
    out = []
    for row in X.to_dict("records"):
        known = []
        if not pd.isna(row["user_id"]) and not pd.isna(row["time"]):
            limit = row["time"] - gap if gap else row["time"]
            known = [e for e in events if e["user_id"] == row["user_id"] and e["time"] < limit]
            if window is not None:
                known = [e for e in known if e["time"] >= row["time"] - window]
        listed = []
        for event in known:
            ids = tuple(None if pd.isna(event[name]) else event[name] for name in attributes)
            if attributes and all(value is None for value in ids):
                continue
            if distinct and listed and listed[-1][0] == ids:
                listed.pop()
            listed.append((ids, (row["time"] - event["time"]) / unit))
        listed = listed[-max_len:]
        new = {f"hist_{name}": [ids[k] for ids, _ in listed] for k, name in enumerate(attributes)}
        new["hist_age"] = [np.float32(age) for _, age in listed]
        for name in counts:
            same = [e for e in known if not pd.isna(row[name]) and e[name] == row[name]]
            times = [e["time"] for e in same]
            new[f"n_{name}"] = float(len(times))
            new[f"age_{name}"] = (row["time"] - times[-1]) / unit if times else np.nan
        out.append(new)
    return pd.DataFrame(out, index=X.index)


def as_lists(frame):
    """Cells that compare with ==: lists for list columns, None for NaN."""

    def plain(value):
        if isinstance(value, list | np.ndarray | pa.ListScalar):
            return [plain(entry) for entry in value]
        return None if pd.isna(value) else value

    return {name: [plain(value) for value in frame[name].to_list()] for name in frame}


def random_log(seed, n=150, dates=True, missing=0.1):
    """Few users, items and times: many ties; missing values everywhere; unsorted, index repeats."""
    rng = np.random.default_rng(seed)
    time = rng.integers(0, 12, n).astype(float)
    time[rng.random(n) < missing] = np.nan
    if dates:
        time = pd.Timestamp("2025-01-01") + pd.to_timedelta(time * 6, unit="h")
    frame = pd.DataFrame(
        {
            "user_id": rng.integers(0, 6, n),
            "item_id": rng.choice(["a", "b", "c"], n),
            "shop": rng.integers(10, 13, n),
            "time": time,
            "click": rng.random(n) < 0.6,
        },
        index=rng.integers(0, 5, n),
    )
    frame["user_id"] = frame["user_id"].astype("Int64").mask(rng.random(n) < missing)
    frame["item_id"] = frame["item_id"].mask(rng.random(n) < missing)
    frame["shop"] = frame["shop"].astype("Int64").mask(rng.random(n) < missing)
    return frame


ALL = {"attributes": ["item_id", "shop"], "counts": ["item_id", "shop"]}


@pytest.mark.parametrize("dates", [True, False], ids=["dates", "numbers"])
@pytest.mark.parametrize("with_gap", [False, True], ids=["", "gap"])
@pytest.mark.parametrize("with_window", [False, True], ids=["", "window"])
@pytest.mark.parametrize("distinct", [False, True], ids=["", "distinct"])
@pytest.mark.parametrize("max_len", [1, 3, 50])
@pytest.mark.filterwarnings("ignore:.*of.*events have no 'time':UserWarning")
def test_equals_a_slow_loop(dates, with_gap, with_window, distinct, max_len):
    gap = (pd.Timedelta("12h") if dates else 2) if with_gap else 0
    window = (pd.Timedelta("30h") if dates else 5) if with_window else None
    options = {**ALL, "max_len": max_len, "gap": gap, "window": window, "distinct": distinct}
    for seed, on in ((0, None), (1, "click")):
        events, X = random_log(seed, dates=dates), random_log(seed + 10, 60, dates=dates)
        encoder = make_encoder(**options, on=on, ages=True).fit(X, events=events)
        out = encoder.transform(X)
        expected = slow(X, events, **options, on=on)
        pd.testing.assert_frame_equal(out[list(X)], X)
        assert list(out) == [*X, *encoder.get_feature_names_out()[len(X.columns) :]]
        new = as_lists(out[out.columns[len(X.columns) :]])
        assert new == {name: as_lists(expected)[name] for name in new}
        assert encoder.n_events_ <= len(events)


events_of_one_user = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8), st.sampled_from("abc")), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(past=events_of_one_user, future=events_of_one_user, gap=st.integers(0, 3))
def test_what_happens_later_never_changes_a_row(past, future, gap):
    """A row at time 9 knows events before 9 - gap; all others may be anything, or nothing."""
    names = ["user_id", "time", "item_id"]
    X = pd.DataFrame({"user_id": [0, 1], "time": [9, 9], "item_id": ["a", "b"]})
    past = [event for event in past if event[1] < 9 - gap]
    future = [(user, time + 9 - gap, item) for user, time, item in future]
    frames = [
        pd.DataFrame(events, columns=names).astype({"item_id": str, "user_id": int, "time": int})
        for events in (past, past + future, future + past)
    ]
    for distinct in (False, True):
        encoder = make_encoder(counts=["item_id"], ages=True, gap=gap, distinct=distinct, max_len=4)
        outputs = [as_lists(encoder.fit(X, events=events).transform(X)) for events in frames]
        assert outputs[0] == outputs[1] == outputs[2]


@pytest.mark.filterwarnings("ignore:.*of.*events have no 'time':UserWarning")
def test_changing_a_later_event_of_the_log_itself_never_changes_an_earlier_row():
    X = random_log(0, 80)
    encoder = make_encoder(**ALL, ages=True, gap="6h")
    expected = encoder.fit_transform(X)
    rng = np.random.default_rng(1)
    for cut in pd.date_range("2025-01-01", periods=12, freq="6h"):
        changed = X.reset_index(drop=True)
        later = changed["time"] >= cut
        changed.loc[later, "item_id"] = rng.choice(["a", "z"], later.sum())
        changed.loc[later, "shop"] = 99
        keep = ~later | (rng.random(len(X)) < 0.7)
        earlier = X["time"].to_numpy() - np.timedelta64(6, "h") <= cut
        out = encoder.fit(X, events=changed[keep]).transform(X)
        assert as_lists(out[earlier]) == as_lists(expected[earlier])


def test_ties_never_leak():
    X = pd.DataFrame({"user_id": ["u"] * 3, "item_id": [1, 2, 3], "time": [5, 5, 6]})
    out = make_encoder(counts=["item_id"]).fit_transform(X)
    assert out["hist_item_id"].to_list() == [[], [], [1, 2]]
    out = make_encoder(gap=1).fit_transform(X)
    assert out["hist_item_id"].to_list() == [[], [], []]


def test_times_are_compared_to_the_nanosecond_and_the_last_digit():
    big = 2**60
    X = pd.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "time": [big, big + 1]})
    assert make_encoder().fit_transform(X)["hist_item_id"].to_list() == [[], [1]]
    dates = X.assign(time=pd.to_datetime(X["time"]))
    assert make_encoder().fit_transform(dates)["hist_item_id"].to_list() == [[], [1]]
    assert make_encoder(gap="1ns").fit_transform(dates)["hist_item_id"].to_list() == [[], []]
    first = X.assign(time=[np.iinfo(np.int64).min, np.iinfo(np.int64).min + 1])
    assert make_encoder(gap=5).fit_transform(first)["hist_item_id"].to_list() == [[], []]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_units_and_zones_of_dates_do_not_matter(unit):
    X = random_log(3, missing=0)
    expected = as_lists(make_encoder(**ALL, ages=True).fit_transform(X).drop(columns="time"))
    for time in (
        X["time"].astype(f"datetime64[{unit}]"),
        X["time"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        X["time"].astype(object),
        X["time"].astype("timestamp[us][pyarrow]"),
    ):
        other = X.assign(time=time)
        out = make_encoder(**ALL, ages=True).fit(X.assign(time=time), events=other).transform(other)
        assert as_lists(out.drop(columns="time")) == expected
    dates = X.assign(time=X["time"].dt.date)
    midnight = X.assign(time=X["time"].dt.normalize())
    for frame in (dates, midnight):
        out = make_encoder().fit(midnight).transform(frame)
        assert as_lists(out.drop(columns="time")) == as_lists(
            make_encoder().fit_transform(midnight).drop(columns="time")
        )


def test_times_of_rows_may_be_floats_and_those_of_events_integers():
    events = pd.DataFrame({"user_id": [1, 1], "item_id": [5, 6], "time": [3, 4]})
    X = pd.DataFrame({"user_id": [1, 1, 1], "time": [3.5, 4.0, np.nan]})
    out = make_encoder(ages=True).fit(X, events=events).transform(X)
    assert out["hist_item_id"].to_list() == [[5], [5], []]
    assert out["hist_age"].to_list() == [[0.5], [1.0], []]
    out = make_encoder(gap=0.5).fit(X, events=events).transform(X)
    assert out["hist_item_id"].to_list() == [[], [5], []]


def known(event, row, gap=0, window=None, **parameters):
    """Whether an event is known to a row of the same user, by their times."""
    events = pd.DataFrame({"user_id": [1], "item_id": [5], "time": [event]})
    X = pd.DataFrame({"user_id": [1], "time": [row]})
    encoder = make_encoder(gap=gap, window=window, **parameters).fit(X, events=events)
    return encoder.transform(X)["hist_item_id"].to_list() == [[5]]


@pytest.mark.parametrize("gap", [3, 3.0, np.float32(3), np.int8(3)])
def test_a_gap_is_exact_at_any_size_of_the_times(gap):
    big = 2**60 + 1
    assert known(big, big + 4, gap)
    assert not known(big, big + 3, gap)
    assert known(big, big + 3, window=gap)
    assert not known(big, big + 4, window=gap)


times_near_the_digits_of_a_float = st.builds(
    lambda base, step: base + step, st.sampled_from([0, 2**53, 2**60]), st.integers(-5, 5)
)


@pytest.mark.filterwarnings("ignore:.*as if their unit were another")
@settings(max_examples=50, deadline=None)
@given(
    event=times_near_the_digits_of_a_float,
    row=times_near_the_digits_of_a_float,
    gap=st.sampled_from([0, 0.0, 0.5, 1, 1.0, 2.25, 5]),
    window=st.sampled_from([None, 5.5, 6, 7.75, 2.0**53 + 2]),
    fraction=st.sampled_from([0, 0.25, 0.5]),
)
def test_the_bounds_of_whole_times_are_those_of_exact_arithmetic(event, row, gap, window, fraction):
    exact_row = Fraction(row)
    if fraction and abs(row) < 2**50:
        row, exact_row = row + fraction, row + Fraction(fraction)
    expected = event < exact_row - Fraction(gap)
    if window is not None:
        expected = expected and event >= exact_row - Fraction(window)
    assert known(event, row, gap, window) == expected


def test_a_float_gap_of_zero_loses_no_digit_of_a_date():
    date = pd.Timestamp("2025-01-01 10:00:00.000000001")
    assert known(date, date + pd.Timedelta("1ns"), gap=0.0)


def test_whole_times_that_missing_ones_made_floats_stay_exact():
    big = 2**60
    events = pd.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "time": [big, big + 1]})
    X = pd.DataFrame({"user_id": [1, 1], "time": [big + 1, big + 2]})
    late = pd.DataFrame({"user_id": [1, 1], "item_id": [3, 4], "time": [float(big + 512), np.nan]})
    encoder = make_encoder().fit(X, events=events)
    with pytest.warns(UserWarning, match="1 of 2 events have no 'time'"):
        encoder.partial_fit(X, events=late)
    assert encoder.transform(X)["hist_item_id"].to_list() == [[1], [1, 2]]
    with pytest.warns(UserWarning, match="1 of 2 events have no 'time'"):
        encoder = make_encoder().fit(X, events=late)
    encoder.partial_fit(X, events=events)
    assert encoder.transform(X)["hist_item_id"].to_list() == [[1], [1, 2]]


@pytest.mark.parametrize("times", [[-(2**63), 2**63 - 1], ["1700-01-01", "2100-01-01"]])
def test_ages_may_be_longer_than_half_the_range_of_times(times):
    if isinstance(times[0], str):
        times = np.array(times, dtype="datetime64[s]")
    X = pd.DataFrame({"user_id": [1, 1], "item_id": [1, 1], "time": times})
    out = make_encoder(counts=["item_id"]).fit_transform(X)
    age = 2**64 if isinstance(times, list) else (times[1] - times[0]) / np.timedelta64(1, "D")
    assert as_lists(out)["age_item_id"] == [None, pytest.approx(age, rel=1e-12)]


# Events of a day

DAYS = ["2025-01-01", "2025-01-02"]
BY_DAY = {
    "datetime.date": pd.Series([datetime.date.fromisoformat(day) for day in DAYS], dtype=object),
    "date32": pd.Series(DAYS, dtype="date32[pyarrow]"),
    "midnights": pd.Series(pd.to_datetime(DAYS)),
}
NOT_YET_KNOWN = (
    r"Column 'time' of events holds days without a time of day, but X finer times: .*"
    r"gap='1D', or give the events' full timestamps"
)


def events_by_day(kind):
    events = pd.DataFrame({"user_id": [1, 1], "item_id": [1, 2]})
    if kind == "polars":
        return pl.from_pandas(events).with_columns(time=pl.Series(DAYS).str.to_date())
    return events.assign(time=BY_DAY[kind])


@pytest.mark.parametrize("kind", [*BY_DAY, "polars"])
def test_events_known_by_their_day_warn_beside_finer_rows(kind):
    events = events_by_day(kind)
    X = pd.DataFrame({"user_id": [1], "time": [pd.Timestamp("2025-01-02 10:00")]})
    with pytest.warns(UserWarning, match=NOT_YET_KNOWN) as caught:
        encoder = make_encoder().fit(X, events=events)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match=NOT_YET_KNOWN):
        assert encoder.transform(X)["hist_item_id"].to_list() == [[1, 2]]
    with pytest.warns(UserWarning, match=NOT_YET_KNOWN):
        pickle.loads(pickle.dumps(encoder)).transform(X)
    with pytest.warns(UserWarning, match=NOT_YET_KNOWN):
        make_encoder(gap="23h").fit(X, events=events)


@pytest.mark.parametrize("kind", [*BY_DAY, "polars"])
def test_days_beside_days_or_with_a_gap_of_a_day_do_not_warn(kind):
    events = events_by_day(kind)
    X = pd.DataFrame({"user_id": [1], "time": [pd.Timestamp("2025-01-02 10:00")]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = make_encoder(gap="1D").fit(X, events=events).transform(X)
        assert out["hist_item_id"].to_list() == [[1]]
        make_encoder().fit_transform(events)
        days = X.assign(time=X["time"].dt.normalize())
        make_encoder().fit(days, events=events).transform(days)
        numbers = X.assign(time=[3.5])
        make_encoder().fit(numbers, events=numbers.assign(item_id=1, time=1)).transform(numbers)
        make_encoder().fit(X, events=events[:0]).transform(X)


# What is missing, empty or unknown


def test_missing_values_match_nothing():
    X = pd.DataFrame(
        {"user_id": ["u", None, "u", "u"], "item_id": ["a", "a", None, "a"], "time": [1, 1, 2, 3]}
    )
    rows = pd.DataFrame(
        {
            "user_id": ["u", None, "u", "new", "u"],
            "item_id": ["a", "a", "a", "a", None],
            "time": [9.0, 9.0, np.nan, 9.0, 9.0],
        }
    )
    out = make_encoder(counts=["item_id"]).fit(rows, events=X).transform(rows)
    assert out["hist_item_id"].to_list() == [["a", "a"], [], [], [], ["a", "a"]]
    assert out["n_item_id"].to_list() == [2, 0, 0, 0, 0]
    assert out["age_item_id"].isna().to_list() == [False, True, True, True, True]


def test_lists_of_one_event_stay_aligned():
    events = pd.DataFrame(
        {
            "user_id": ["u"] * 3,
            "time": [1, 2, 3],
            "item_id": [5, 6, None],
            "shop": ["x", None, None],
        }
    )
    X = pd.DataFrame({"user_id": ["u"], "time": [9]})
    encoder = make_encoder(attributes=["item_id", "shop"], ages=True)
    out = as_lists(encoder.fit(X, events=events).transform(X))
    assert out["hist_item_id"] == [[5, 6]]
    assert out["hist_shop"] == [["x", None]]
    assert out["hist_age"] == [[8, 7]]


def test_events_without_a_time_are_left_out_with_a_warning():
    X = random_log(0, 40, missing=0)
    bad = X.reset_index(drop=True)
    bad.loc[[0, 3], "time"] = pd.NaT
    with pytest.warns(UserWarning, match="2 of 40 events have no 'time', so they are never known"):
        encoder = make_encoder().fit(X, events=bad)
    assert encoder.n_events_ == 38
    expected = make_encoder().fit(X, events=bad.dropna()).transform(X)
    assert as_lists(encoder.transform(X)) == as_lists(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_encoder(on="click").fit(X, events=bad.assign(click=bad["time"].notna()))


def test_no_events_at_all():
    X = random_log(0, 20, missing=0)
    encoder = make_encoder(**ALL, ages=True).fit(X, events=X[:0])
    out = encoder.transform(X)
    assert out["hist_item_id"].to_list() == [[]] * 20
    assert (out["n_shop"] == 0).all()
    assert out["age_shop"].isna().all()
    encoder.partial_fit(X)
    assert as_lists(encoder.transform(X)) == as_lists(
        make_encoder(**ALL, ages=True).fit_transform(X)
    )


def test_ids_are_compared_by_value_whatever_holds_them():
    events, X = random_log(0, missing=0), random_log(1, 40, missing=0)
    expected = as_lists(make_encoder(**ALL).fit(X, events=events).transform(X))
    for name, dtypes in {
        "item_id": ["category", "object", "string", "string[pyarrow]"],
        "user_id": ["int32", "float64", "category", "int64[pyarrow]"],
    }.items():
        for dtype in dtypes:
            other = events.astype({name: dtype})
            assert as_lists(make_encoder(**ALL).fit(X, events=other).transform(X)) == expected
            rows = X.astype({name: dtype})
            out = make_encoder(**ALL).fit(rows, events=events).transform(rows)
            assert as_lists(out) == expected
    reordered = X.assign(item_id=pd.Categorical(X["item_id"], ["z", "c", "b", "a"]))
    assert (
        as_lists(make_encoder(**ALL).fit(reordered, events=events).transform(reordered)) == expected
    )


def test_lists_hold_the_ids_own_type():
    events = random_log(0)
    events["brand"] = pd.Categorical(np.arange(len(events)) % 3)
    encoder = make_encoder(attributes=["item_id", "shop", "brand"], ages=True)
    out = encoder.fit_transform(events.dropna())
    types = {name: out[name].dtype.pyarrow_dtype.value_type for name in out if "hist" in name}
    assert types == {
        "hist_item_id": pa.large_string(),
        "hist_shop": pa.int64(),
        "hist_brand": pa.int64(),
        "hist_age": pa.float32(),
    }
    assert out.shape[0] == len(events.dropna())


def test_long_logs_are_gathered_in_parts(monkeypatch):
    from sk_adrec.preprocessing import _history_log

    X = random_log(0, missing=0)
    expected = as_lists(make_encoder(**ALL, ages=True).fit_transform(X))
    monkeypatch.setattr(_history_log, "_ENTRIES_AT_ONCE", 70)
    assert as_lists(make_encoder(**ALL, ages=True).fit_transform(X)) == expected


# Several fits, copies, other libraries


@pytest.mark.filterwarnings("ignore:.*of.*events have no 'time':UserWarning")
def test_partial_fit_equals_one_fit():
    events, X = random_log(0), random_log(1, 50)
    events["item_id"] = events["item_id"].mask(np.arange(150) >= 100, "new")
    options = {**ALL, "ages": True, "distinct": True, "on": "click"}
    expected = as_lists(make_encoder(**options).fit(X, events=events).transform(X))
    encoder = make_encoder(**options)
    for part in (slice(0, 40), slice(40, 40), slice(40, 150)):
        before = None if part.start == 0 else as_lists(encoder.transform(X))
        assert encoder.partial_fit(X, events=events[part]) is encoder
        assert part.start != part.stop or as_lists(encoder.transform(X)) == before
    assert as_lists(encoder.transform(X)) == expected
    assert as_lists(encoder.fit(X, events=events).transform(X)) == expected


def test_partial_fit_refuses_other_attributes():
    X = random_log(0, missing=0)
    encoder = make_encoder().fit(X)
    with pytest.raises(ValueError, match=r"attributes and counts of fit, \['item_id'\], got"):
        encoder.set_params(attributes=["shop"]).partial_fit(X)


def test_pickles_hold_the_events_once():
    X = random_log(0, missing=0)
    encoder = make_encoder(**ALL, ages=True, distinct=True).fit(X)
    expected = as_lists(encoder.transform(X))
    file = pickle.dumps(encoder)
    loaded = pickle.loads(file)
    assert as_lists(loaded.transform(X)) == expected
    assert loaded.n_events_ == len(X)
    more = pickle.loads(pickle.dumps(loaded)).partial_fit(X, events=X)
    assert as_lists(more.transform(X)) == as_lists(encoder.partial_fit(X, events=X).transform(X))
    many = X.iloc[np.tile(np.arange(len(X)), 100)]
    size = len(pickle.dumps(make_encoder(**ALL).fit(many)))
    assert size < 10_000 + 20.5 * len(many)  # user 4, time 8, two codes of 4
    unfitted = pickle.loads(pickle.dumps(make_encoder()))
    with pytest.raises(NotFittedError):
        unfitted.transform(X)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_set_output_and_polars(output):
    X = random_log(0, missing=0).reset_index(drop=True)
    frames = {"pandas": X, "polars": pl.from_pandas(X)}
    expected = as_lists(make_encoder(**ALL, ages=True, drop=["shop"]).fit_transform(X))
    for library, frame in frames.items():
        encoder = make_encoder(**ALL, ages=True, drop=["shop"]).set_output(transform=output)
        out = encoder.fit_transform(frame)
        kind = library if output == "default" else output
        assert isinstance(out, pd.DataFrame if kind == "pandas" else pl.DataFrame)
        assert list(out.columns) == list(encoder.get_feature_names_out())
        if kind == "polars":
            assert out.schema["hist_item_id"] == pl.List(pl.String)
            out = out.to_pandas()
        assert as_lists(out) == expected
    both = make_encoder(**ALL, ages=True, drop=["shop"]).fit(X, events=frames["polars"])
    assert as_lists(both.transform(X)) == expected


def test_rows_index_and_frame_stay_as_they_are():
    X = random_log(0, missing=0)
    before = X.copy(deep=True)
    out = make_encoder().fit_transform(X)
    pd.testing.assert_frame_equal(X, before)
    pd.testing.assert_index_equal(out.index, X.index)


# Within scikit-learn

# Those that need no numbers in an array, in which columns have no names.
APPLICABLE = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimators_unfitted",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
)


@pytest.mark.parametrize("name", APPLICABLE)
def test_scikit_learn_checks_without_arrays(name):
    getattr(sklearn_checks, name)("HistoryEncoder", make_encoder())


@pytest.mark.xfail(strict=True, raises=TypeError, reason="the columns of an array have no names")
def test_scikit_learn_checks_on_arrays():
    sklearn_checks.check_transformer_general("HistoryEncoder", make_encoder())


def test_clone_keeps_parameters_and_forgets_events():
    encoder = make_encoder(attributes=["shop"], gap="1D", on="click").fit(random_log(0, missing=0))
    copied = clone(encoder)
    assert copied.get_params() == encoder.get_params()
    with pytest.raises(NotFittedError):
        copied.get_feature_names_out()


def planted_log(n=3000, seed=0):
    """Users come back for the item that they bought before: only the past tells who buys what."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 60, n), rng.integers(0, 8, n)
    time = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(n), unit="min")
    favourite = rng.integers(0, 8, 60)
    y = (item == favourite[user]).astype(int)
    frame = pd.DataFrame({"user_id": [f"u{k}" for k in user], "item_id": [f"i{k}" for k in item]})
    return frame.assign(time=time), y


def test_in_a_pipeline_with_routed_events():
    X, y = planted_log()
    events = X[y == 1]
    train, test = slice(0, 2000), slice(2000, None)
    fm = FMClassifier(
        share_vocabulary={"hist_item_id": "item_id"}, random_state=0, max_epochs=30, lr=0.02
    )
    with config_context(enable_metadata_routing=True):
        encoder = make_encoder(counts=["item_id"], drop=["time"]).set_fit_request(events=True)
        model = Pipeline([("past", encoder), ("fm", fm)])
        model.fit(X[train], y[train], events=events)
    past = model.named_steps["past"]
    assert past.n_events_ == len(events)
    # Known: whoever bought the item before buys it again. Best reachable: 1.
    assert roc_auc_score(y[test], model.predict_proba(X[test])[:, 1]) > 0.97
    alone = make_pipeline(clone(past), clone(fm)).fit(
        X[train], y[train], historyencoder__events=events
    )
    np.testing.assert_array_equal(alone.predict_proba(X[test]), model.predict_proba(X[test]))


@pytest.mark.parametrize("give", [lambda log: [log], lambda log: lambda: log], ids=["list", "call"])
def test_cross_validation_leaves_a_log_as_long_as_x_whole(give):
    """Of a frame as long as X, scikit-learn hands fit the training rows only."""
    X, y = planted_log(400)
    whole = make_encoder().fit_transform(X)["hist_item_id"].to_list()
    seen = []

    def remember(pipeline, X, y):
        seen.append((X.index, pipeline[:-1].transform(X)["hist_item_id"].to_list()))
        return 0.0

    with config_context(enable_metadata_routing=True):
        past = make_encoder(drop=["time"]).set_fit_request(events=True)
        cross_validate(
            make_pipeline(past, DummyClassifier()),
            X,
            y,
            cv=KFold(2),
            scoring=remember,
            params={"events": give(X)},
            error_score="raise",
        )
    assert sum(len(rows) for rows, _ in seen) == len(X)
    for rows, lists in seen:
        assert [list(ids) for ids in lists] == [list(whole[row]) for row in rows]


def test_before_trees():
    X, y = planted_log()
    events = X[y == 1]
    train, test = slice(0, 2000), slice(2000, None)
    counts = make_encoder(attributes=(), counts=["item_id"], drop=["user_id", "item_id", "time"])
    gbdt = lgb.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1)
    for model in (gbdt, GBDTLRClassifier(gbdt, random_state=0)):
        pipeline = make_pipeline(clone(counts), clone(model))
        pipeline.fit(X[train], y[train], historyencoder__events=events)
        assert roc_auc_score(y[test], pipeline.predict_proba(X[test])[:, 1]) > 0.97
    assert list(pipeline[:-1].get_feature_names_out()) == ["n_item_id", "age_item_id"]


# What is refused


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_len": 0}, r"max_len must be an integer in \[1, inf\), got 0"),
        ({"attributes": "item_id"}, r"attributes must be a list of column names .* got 'item_id'"),
        ({"counts": [3]}, r"counts must be a list of column names .* got \[3\]"),
        ({"drop": ["shop", "shop"]}, "drop must name each column once"),
        ({"attributes": ()}, "Nothing to add to X"),
        ({"gap": "a day"}, "gap must be a duration such as '1D' or a number, got 'a day'"),
        ({"gap": "-1D"}, "gap must be finite and not negative, got '-1D'"),
        ({"gap": np.nan}, "gap must be finite and not negative, got nan"),
        ({"gap": "7"}, "gap must be a duration with a unit, got '7': give a unit: '7D'"),
        ({"gap": " 1.5 "}, "gap must be a duration with a unit, got ' 1.5 ': give a unit: '1.5D'"),
        ({"window": "7"}, "window must be a duration with a unit, got '7': give a unit: '7D'"),
        ({"gap": "-7"}, "gap must be finite and not negative, got '-7'"),
        ({"gap": "nan"}, "gap must be finite and not negative, got 'nan'"),
        ({"gap": np.timedelta64(5)}, "gap must be a duration with a unit, .*: give a unit: '5D'"),
        ({"gap": np.timedelta64("NaT")}, "gap must be finite and not negative, got"),
        ({"gap": 2**70}, f"gap must be below 2..63, got {2**70}"),
        ({"window": 1e30}, r"window must be below 2..63, got 1e\+30"),
        ({"distinct": True, "attributes": (), "ages": True}, "distinct=True needs attributes: "),
        ({"gap": 3}, "gap must be a duration such as '1D', since the times are dates"),
        ({"window": 3}, "window must be a duration such as '1D', since the times are dates"),
        ({"window": "-1D"}, "window must be finite and not negative, got '-1D'"),
        ({"window": "1D", "gap": "1D"}, "window must be longer than gap='1D', got '1D'"),
        ({"user": "usr_id"}, "user names a column that events does not have: 'usr_id'. Did you"),
        ({"time": "tme"}, "time names a column that events does not have: 'tme'. Did you mean"),
        (
            {"attributes": ["itm_id"]},
            "attributes names a column that events .*Did you mean 'item_id'",
        ),
        ({"on": "clicks"}, "on names a column that events does not have: 'clicks'. Did you"),
        (
            {"on": "shop"},
            r"Column 'shop' \(dtype Int64\) of events must hold true and false .* got 1",
        ),
        ({"drop": ["prise"]}, "drop names a column that X does not have: 'prise'"),
    ],
)
def test_bad_parameters(parameters, message):
    X = random_log(0, missing=0)
    encoder = make_encoder(**parameters)
    with pytest.raises(ValueError, match=message):
        encoder.fit(X)
    assert not [name for name in vars(encoder) if name.endswith("_")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_id": "text"}, "holds text, but events held numbers"),
        ({"item_id": 5}, "holds numbers, but events held text"),
        ({"time": 5}, "holds numbers, but events held dates without a time zone"),
        ({"time": "2025-01-01"}, "must hold times: .*Convert text with pandas.to_datetime"),
        ({"time": True}, "must hold times"),
        ({"time": DAY}, "must hold times"),
        (
            {"time": pd.Timestamp("2025-01-01", tz="UTC")},
            "holds dates with a time zone, but events held dates without a time zone",
        ),
    ],
)
def test_rows_that_could_not_match_are_refused(change, message):
    events = random_log(0, missing=0)
    bad = events.assign(**change)
    column = f"Column '{next(iter(change))}' .dtype .* of"
    encoder = make_encoder(counts=["item_id"])
    with pytest.raises(TypeError, match=f"{column} X {message}"):
        encoder.fit(bad, events=events)
    assert not [name for name in vars(encoder) if name.endswith("_")]
    expected = as_lists(encoder.fit_transform(events))
    for call in (
        encoder.transform,
        encoder.partial_fit,
        lambda X: encoder.fit(X, events=events),
        lambda X: encoder.partial_fit(X, events=events),
    ):
        with pytest.raises(TypeError, match=f"{column} (X|events) {message}"):
            call(bad)
        assert as_lists(encoder.transform(events)) == expected


@pytest.mark.parametrize(
    "parameters", [{"on": "click"}, {"attributes": ["item_id", "colour"]}], ids=["on", "attributes"]
)
def test_without_events_x_must_hold_what_is_read_of_them(parameters):
    X = random_log(0, missing=0).drop(columns="click")
    events = X.assign(click=True, colour="red")
    message = (
        "names a column that events does not have: '(click|colour)'.* No events were given, so X "
        r"was taken for them\. Pass the log to look back into, fit\(X, events=log\)"
    )
    encoder = make_encoder(**parameters)
    with pytest.raises(ValueError, match=message):
        encoder.fit(X)
    assert encoder.fit(X, events=events).n_events_ == len(events)
    with pytest.raises(ValueError, match=message):
        encoder.partial_fit(X)
    assert encoder.n_events_ == len(events)


@pytest.mark.parametrize("gap", [np.timedelta64(1, "D"), datetime.timedelta(1), "1D", "24h"])
def test_durations_of_all_kinds(gap):
    X = random_log(0, missing=0)
    expected = as_lists(make_encoder(gap=DAY).fit_transform(X))
    assert as_lists(make_encoder(gap=gap).fit_transform(X)) == expected


@pytest.mark.parametrize("dtype", ["uint64", "uint64[pyarrow]", object])
def test_numbers_beyond_the_range_of_times_are_refused_by_name(dtype):
    X = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    X["time"] = pd.Series([5, 2**63 + 7]).astype(dtype)
    message = r"Column 'time' \(dtype .*\) of events holds integers of 2\*\*63 or more"
    with pytest.raises(ValueError, match=message):
        make_encoder().fit(X)


def test_parameters_set_after_fit_are_checked_and_do_not_rename_what_was_fitted():
    X = random_log(0, missing=0)
    encoder = make_encoder().fit(X)
    expected = as_lists(encoder.transform(X))
    encoder.set_params(max_len=0)
    with pytest.raises(ValueError, match=r"max_len must be an integer in \[1, inf\), got 0"):
        encoder.transform(X)
    encoder.set_params(max_len=50, drop=["prise"])
    with pytest.raises(ValueError, match="drop names a column that X does not have: 'prise'"):
        encoder.transform(X)
    encoder.set_params(drop=(), attributes=["shop", "item_id"], counts=["shop"], distinct=True)
    assert as_lists(encoder.transform(X)) == expected
    assert list(encoder.get_feature_names_out()) == list(expected)
    loaded = pickle.loads(pickle.dumps(encoder))
    assert list(loaded.get_feature_names_out()) == list(loaded.transform(X)) == list(expected)
    encoder.set_params(ages=True, drop=["shop"])
    assert list(encoder.get_feature_names_out()) == list(encoder.transform(X))


def test_infinite_and_distant_times_are_refused():
    X = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2], "time": [1.0, np.inf]})
    with pytest.raises(ValueError, match=r"'time'.* contains infinity, which is no time"):
        make_encoder().fit(X)
    far = X.assign(time=np.array(["3000-01-01", "2025-01-01"], dtype="datetime64[s]"))
    message = r"'time' .*of events holds dates outside the years 1678 to 2261, .* by missing"
    with pytest.raises(ValueError, match=message):
        make_encoder().fit(far)
    dates = pd.Series([datetime.date(9999, 12, 31), datetime.date(2025, 1, 1)], dtype=object)
    for time in (dates, dates.astype("date32[pyarrow]"), far["time"].dt.tz_localize("UTC")):
        with pytest.raises(ValueError, match=message):
            make_encoder().fit(X.assign(time=time))


def test_ids_of_several_types_are_refused_in_lists():
    X = pd.DataFrame({"user_id": [1, 2], "item_id": pd.Series([1, "a"], dtype=object), "time": 1})
    with pytest.raises(TypeError, match="'item_id' of events must hold ids of one type"):
        make_encoder().fit(X)
    make_encoder(attributes=(), counts=["item_id"]).fit(X)


def test_names_of_new_columns_must_be_new():
    X = random_log(0, missing=0).assign(hist_item_id=1)
    with pytest.raises(ValueError, match="'hist_item_id' has the name of another column"):
        make_encoder().fit(X)
    assert "hist_item_id" in make_encoder(drop=["hist_item_id"]).fit_transform(X)
    with pytest.raises(ValueError, match="'hist_age' has the name of another"):
        make_encoder(attributes=["age"], ages=True).fit(X.assign(age=1))


def test_only_frames_with_named_columns():
    X = random_log(0, missing=0)
    with pytest.raises(TypeError, match=r"X must be a pandas or Polars DataFrame.* got ndarray"):
        make_encoder().fit(X.to_numpy())
    with pytest.raises(TypeError, match=r"events must be a pandas or Polars DataFrame.* got list"):
        make_encoder().fit(X, events=[1])
    with pytest.raises(TypeError, match=r"events must be one .* got a list of 2.*pandas.concat"):
        make_encoder().fit(X, events=[X, X])
    with pytest.raises(TypeError, match=r"events must be a pandas or Polars DataFrame.* got None"):
        make_encoder().fit(X, events=lambda: None)
    with pytest.raises(TypeError, match="X must have strings as column names"):
        make_encoder().fit(X.set_axis(range(5), axis=1))
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\)"):
        make_encoder().fit(X[:0])
    encoder = make_encoder().fit(X)
    with pytest.raises(ValueError, match="feature names should match"):
        encoder.transform(X[X.columns[::-1]])
    with pytest.raises(ValueError, match="input_features is not equal to feature_names_in_"):
        encoder.get_feature_names_out(["a"])
