"""What the encoders return can be stored and read back, and says the same to a model then."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sk_adrec import FeatureEncoder, FMClassifier, HistoryEncoder
from sk_adrec.preprocessing._log_encoder import LogEncoder

BIG = 2**53 + 1


def log(n=40):
    rng = np.random.default_rng(0)
    ids = [BIG, BIG + 1, 5, 7]
    return pd.DataFrame(
        {
            "ad": pd.array([None if k % 7 == 3 else ids[k % 4] for k in range(n)], dtype="Int64"),
            "hash": np.array([2**63 + k % 3 for k in range(n)], dtype="uint64"),
            "mixed": pd.Series([5 if k % 2 else "5" for k in range(n)], dtype=object),
            "fraction": [0.5 * (k % 3) for k in range(n)],
            "flag": [k % 2 == 0 for k in range(n)],
            "site": pd.Categorical(rng.choice(["a", "b"], n)),
            "price": np.where(np.arange(n) % 5 == 0, np.nan, rng.normal(size=n)),
        }
    )


IDS = ["ad", "hash", "mixed", "fraction", "flag", "site"]
WAYS = {
    "ids": {"categorical_features": IDS},
    "frequent ids": {"categorical_features": IDS, "min_frequency": 8},
    "buckets": {"categorical_features": IDS, "n_buckets": 16},
    "bins": {"categorical_features": ["ad"], "numeric": "bins", "n_bins": 4},
    "ranks": {"categorical_features": ["ad"], "numeric": "quantile"},
}
FILES = {
    "parquet": (pd.DataFrame.to_parquet, pd.read_parquet),
    "feather": (pd.DataFrame.to_feather, pd.read_feather),
}


def features(way, output="pandas"):
    return FeatureEncoder(**WAYS[way]).set_output(transform=output).fit_transform(log())


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("way", WAYS)
def test_features_come_back_from_files_as_they_were(tmp_path, way, file):
    write, read = FILES[file]
    out, path = features(way), tmp_path / file
    write(out, path)
    pd.testing.assert_frame_equal(read(path), out)
    # A reader that asks for Arrow's types gives the same features to a model.
    expected, again = LogEncoder().fit(out), read(path, dtype_backend="pyarrow")
    assert LogEncoder().fit(again).columns_ == expected.columns_
    np.testing.assert_array_equal(
        expected.transform(again).categorical, expected.transform(out).categorical
    )


@pytest.mark.parametrize("way", WAYS)
def test_polars_takes_the_features_as_they_are(tmp_path, way):
    out, polars = features(way), features(way, "polars")
    taken = pl.from_pandas(out)
    for name in out.columns:
        assert taken[name].cast(polars[name].dtype).to_list() == [
            None if value != value else value for value in polars[name]
        ]
    polars.write_parquet(tmp_path / "features")
    assert pl.read_parquet(tmp_path / "features").equals(polars)
    out.to_parquet(tmp_path / "pandas")
    read = pl.read_parquet(tmp_path / "pandas")
    encoder = LogEncoder().fit(out)
    for other in (taken, polars, read):
        np.testing.assert_array_equal(
            encoder.transform(other).categorical, encoder.transform(out).categorical
        )


def test_every_output_writes_the_same_text():
    for way in WAYS:
        encoder = FeatureEncoder(**WAYS[way]).fit(log())
        array = encoder.transform(log())
        out = encoder.set_output(transform="pandas").transform(log()).astype(object)
        missing = pd.isna(array.astype(object))
        np.testing.assert_array_equal(out.isna().to_numpy(), missing)
        np.testing.assert_array_equal(out.to_numpy()[~missing], array.astype(object)[~missing])


def test_numbers_and_text_that_read_alike_are_one_category():
    X = pd.DataFrame({"id": pd.Series([5, "5", "x", None], dtype=object)})
    for output in ("pandas", "polars"):
        out = FeatureEncoder().set_output(transform=output).fit_transform(X)["id"]
        assert [None if one != one else one for one in out.to_list()] == ["5", "5", "x", None]
    unseen = FeatureEncoder().set_output(transform="pandas").fit(X)
    assert (
        unseen.transform(pd.DataFrame({"id": ["y", 6.0]}, dtype=object))["id"].tolist()
        == ["<unknown>"] * 2
    )


def test_a_model_says_the_same_of_features_from_a_file(tmp_path):
    y = np.arange(40) % 2
    out = features("frequent ids")
    model = FMClassifier(max_epochs=2, random_state=0).fit(out, y)
    out.to_parquet(tmp_path / "features")
    for read in (
        pd.read_parquet(tmp_path / "features"),
        pd.read_parquet(tmp_path / "features", dtype_backend="pyarrow"),
        pl.read_parquet(tmp_path / "features"),
    ):
        np.testing.assert_array_equal(model.predict_proba(read), model.predict_proba(out))


def histories(output="pandas"):
    ids = [BIG, None, BIG + 1, 5]
    events = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "ann", "bob"] * 10,
            "item_id": pd.array(ids * 10, dtype="Int64"),
            "shop": ["x", "y", None, "x"] * 10,
            "timestamp": pd.date_range("2024-01-01", periods=40),
        }
    )
    encoder = HistoryEncoder(
        attributes=["item_id", "shop"], counts=["shop"], ages=True, drop=["timestamp"]
    )
    return encoder.set_output(transform=output).fit_transform(events)


@pytest.mark.parametrize("file", FILES)
def test_lists_come_back_by_the_reader_that_the_docs_name(tmp_path, file):
    write, read = FILES[file]
    out, path = histories(), tmp_path / file
    write(out, path)
    again = read(path, dtype_backend="pyarrow")
    for name in out.columns:
        expected = pa.array(out[name].array).to_pylist()
        found = pa.array(again[name].array).to_pylist()
        assert [None if x != x else x for x in found] == [None if x != x else x for x in expected]
    for doc in (HistoryEncoder.__doc__, FeatureEncoder.__doc__):
        assert 'dtype_backend="pyarrow"' in doc


def test_a_model_says_the_same_of_histories_from_a_file(tmp_path):
    y, out = np.arange(40) % 2, histories().drop(columns="hist_age")
    share = {"hist_item_id": "item_id", "hist_shop": "shop"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = FMClassifier(share_vocabulary=share, max_epochs=2, random_state=0).fit(out, y)
        p = model.predict_proba(out)
        out.to_parquet(tmp_path / "histories")
        for read in (
            pd.read_parquet(tmp_path / "histories", dtype_backend="pyarrow"),
            pl.read_parquet(tmp_path / "histories"),
            histories("polars").drop("hist_age"),
        ):
            np.testing.assert_array_equal(model.predict_proba(read), p)
            np.testing.assert_allclose(model.predict_proba(read[:1]), p[:1], rtol=1e-6)


def test_views_of_lists_are_written_as_lists(tmp_path):
    lists = pa.array([["a"], None, [], ["b", None]], pa.list_view(pa.string_view()))
    X = pd.DataFrame({"h": pd.arrays.ArrowExtensionArray(lists)})
    out = FeatureEncoder().set_output(transform="pandas").fit_transform(X)
    out.to_parquet(tmp_path / "lists")
    assert pl.read_parquet(tmp_path / "lists")["h"].to_list() == [["a"], None, [], ["b", None]]
