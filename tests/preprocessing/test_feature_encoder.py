"""FeatureEncoder: scikit-learn's contract, and what becomes of every column."""

import os
import pickle
import subprocess
import sys
import warnings

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_adrec import FeatureEncoder
from sk_adrec.preprocessing._log_encoder import LogEncoder


@parametrize_with_checks(
    [
        FeatureEncoder(),
        FeatureEncoder(numeric="standardize"),
        FeatureEncoder(numeric="log"),
        FeatureEncoder(numeric="quantile"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture
def X():
    return pd.DataFrame(
        {
            "site": ["a", "b", "a", None],
            "ad_id": [7, 5, 7, 9],
            "price": [1.0, 3.0, np.nan, 5.0],
            "history": [["a"], None, [], ["b", "c"]],
        },
        index=[3, 1, 2, 0],
    )


def make_encoder(**parameters):
    return FeatureEncoder(categorical_features=["ad_id"], **parameters)


def test_pandas_output_has_one_dtype_for_each_kind(X):
    out = make_encoder(min_frequency=2).set_output(transform="pandas").fit_transform(X)
    assert out.index.tolist() == X.index.tolist()
    assert out.columns.tolist() == X.columns.tolist()
    assert out["site"].astype(object).tolist()[:3] == ["a", "<unknown>", "a"]
    assert out["site"].isna().tolist() == [False, False, False, True]
    assert out["ad_id"].tolist() == ["7", "<unknown>", "7", "<unknown>"]
    assert out["ad_id"].cat.categories.tolist() == ["7", "<unknown>"]
    assert out["price"].dtype == np.float64
    assert out["history"].tolist() == X["history"].tolist()


def test_unseen_and_missing_at_predict_time(X):
    encoder = make_encoder().set_output(transform="pandas").fit(X)
    later = X.assign(site=["zz", None, "b", "a"], ad_id=[5, 6, 7, 9])
    out = encoder.transform(later)
    assert out["site"].astype(object).fillna("missing").tolist() == [
        "<unknown>",
        "missing",
        "b",
        "a",
    ]
    assert out["ad_id"].tolist() == ["5", "<unknown>", "7", "9"]
    assert out.dtypes["site"] == encoder.transform(X).dtypes["site"]


def test_default_output_is_typed_by_values(X):
    out = make_encoder().fit_transform(X)
    assert out.dtype == object
    assert out[:, 1].tolist() == ["7", "5", "7", "9"]
    kinds = [spec.kind for spec in LogEncoder().fit(out).columns_]
    assert kinds == ["categorical", "categorical", "numeric", "sequence"]


def test_default_output_of_numbers_is_a_float_array():
    out = FeatureEncoder().fit_transform(pd.DataFrame({"a": [1, 2], "b": [True, False]}))
    assert out.dtype == np.float64


def test_through_a_default_column_transformer(X):
    columns = ColumnTransformer(
        [
            ("ids", make_encoder(min_frequency=2), ["site", "ad_id"]),
            ("numbers", FeatureEncoder(numeric="log"), ["price"]),
            ("lists", FeatureEncoder(), ["history"]),
        ]
    )
    kinds = [spec.kind for spec in LogEncoder().fit(columns.fit_transform(X)).columns_]
    assert kinds == ["categorical", "categorical", "numeric", "sequence"]
    frame = columns.set_output(transform="pandas").fit_transform(X)
    assert frame.columns.tolist() == [
        "ids__site",
        "ids__ad_id",
        "numbers__price",
        "lists__history",
    ]
    assert frame.dtypes["ids__ad_id"] == "category"


def test_polars_in_and_out(X):
    encoder = make_encoder(numeric="bins", n_bins=2).set_output(transform="polars")
    out = encoder.fit_transform(pl.DataFrame(X))
    assert out["site"].to_list() == ["a", "b", "a", None]
    assert out["ad_id"].to_list() == ["7", "5", "7", "9"]
    assert isinstance(out.schema["ad_id"], pl.Enum)
    assert out["price"].to_list() == ["0", "0", None, "1"]
    assert out["history"].to_list() == [["a"], None, [], ["b", "c"]]
    assert encoder.transform(X).equals(out)
    as_pandas = encoder.set_output(transform="pandas").transform(pl.DataFrame(X))
    assert as_pandas["ad_id"].tolist() == ["7", "5", "7", "9"]
    assert [spec.kind for spec in LogEncoder().fit(as_pandas).columns_][-1] == "sequence"


def test_global_configuration_and_clone_keep_the_output(X):
    with config_context(transform_output="pandas"):
        assert isinstance(make_encoder().fit_transform(X), pd.DataFrame)
    encoder = clone(make_encoder().set_output(transform="pandas"))
    assert isinstance(encoder.fit_transform(X), pd.DataFrame)


def test_max_categories_keeps_the_most_frequent():
    X = pd.DataFrame({"s": ["c", "c", "b", "b", "a", "d", "d", "d"]})
    encoder = FeatureEncoder(max_categories=2).set_output(transform="pandas").fit(X)
    # "b" and "c" tie: the smaller one is kept.
    assert encoder.transform(X)["s"].cat.categories.tolist() == ["b", "d", "<unknown>"]
    weighted = encoder.fit(X, sample_weight=[5, 5, 1, 1, 1, 1, 1, 1]).transform(X)
    assert weighted["s"].cat.categories.tolist() == ["c", "d", "<unknown>"]


def test_output_can_be_encoded_again():
    X = pd.DataFrame({"s": ["a", "a", "b"]})
    encoder = FeatureEncoder(min_frequency=2).set_output(transform="pandas")
    once = encoder.fit_transform(X)
    twice = clone(encoder).set_params(min_frequency=1).fit_transform(once)
    pd.testing.assert_frame_equal(once, twice)


def test_weights_equal_repetition():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"s": rng.choice(list("abcdef"), 40), "x": rng.normal(size=40)})
    weight = rng.integers(0, 4, 40)
    for numeric in ("standardize", "quantile", "bins"):
        encoder = FeatureEncoder(min_frequency=12, numeric=numeric, n_bins=4)
        encoder.set_output(transform="pandas")
        weighted = clone(encoder).fit(X, sample_weight=weight).transform(X)
        repeated = clone(encoder).fit(X.loc[X.index.repeat(weight)]).transform(X)
        pd.testing.assert_frame_equal(weighted, repeated, rtol=1e-12)


# ------------------------------------------------------------------ hashing


def test_buckets_are_stable():
    X = pd.DataFrame({"s": ["a", "b", None, "5"], "i": pd.Categorical([5, 5.0, None, 6])})
    encoder = FeatureEncoder(n_buckets=1000).set_output(transform="pandas")
    out = encoder.fit_transform(X)
    assert out["s"].tolist()[:2] == ["504", "975"]
    assert out["s"].isna().tolist() == [False, False, True, False]
    assert out["i"].iloc[0] == out["s"].iloc[3]
    unseen = X.assign(s=["new", "a", "b", "c"])
    assert encoder.transform(unseen)["s"].tolist()[1:3] == ["504", "975"]
    assert encoder.transform(unseen)["s"].dtype == out["s"].dtype


def test_buckets_do_not_depend_on_the_process():
    program = (
        "import pandas as pd; from sk_adrec import FeatureEncoder; "
        "e = FeatureEncoder(n_buckets=10**6).set_output(transform='pandas'); "
        "print(e.fit_transform(pd.DataFrame({'s': ['a', 'é']}))['s'].tolist())"
    )
    # Other hashes of strings than in this process.
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    elsewhere = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    encoder = FeatureEncoder(n_buckets=10**6).set_output(transform="pandas")
    here = encoder.fit_transform(pd.DataFrame({"s": ["a", "é"]}))["s"].tolist()
    assert elsewhere == f"{here}\n"


# ------------------------------------------------------------------ numbers


def numbers(numeric, values, later=None, **parameters):
    encoder = FeatureEncoder(numeric=numeric, **parameters).set_output(transform="pandas")
    encoder.fit(pd.DataFrame({"x": values}))
    return encoder.transform(pd.DataFrame({"x": values if later is None else later}))["x"]


def test_standardize_and_log_keep_missing():
    np.testing.assert_allclose(numbers("standardize", [1.0, np.nan, 3.0]), [-1, np.nan, 1])
    expected = [-np.log(2), 0, np.nan, np.log(11)]
    np.testing.assert_allclose(numbers("log", [-1.0, 0.0, np.nan, 10.0]), expected)


@pytest.mark.filterwarnings("ignore:.*had no value in fit")
def test_quantile_is_the_rank():
    values = np.arange(1001.0) ** 3
    out = numbers("quantile", values, [-5.0, 0.0, 500.0**3, 1e12, np.nan])
    np.testing.assert_allclose(out, [0, 0, 0.5, 1, np.nan], atol=1.5e-3)
    # Half of the values are 0: they stand at the middle of their levels.
    tied = numbers("quantile", [0.0] * 500 + list(range(1, 501)), [0.0])
    np.testing.assert_allclose(tied, [0.25], atol=1e-3)
    np.testing.assert_allclose(numbers("quantile", [np.nan], [np.nan, 3.0]), [np.nan, 0.5])


def test_bins_have_equal_weight():
    values = [*np.random.default_rng(0).permutation(100).astype(float), np.nan]
    out = numbers("bins", values, n_bins=4)
    assert out.value_counts().to_dict() == {"0": 25, "1": 25, "2": 25, "3": 25}
    assert out.isna().sum() == 1
    assert numbers("bins", [1.0, 1.0, 1.0, 2.0], n_bins=4).tolist() == ["0", "0", "0", "1"]


# ------------------------------------------------------------------ with others


@pytest.mark.parametrize("n_buckets", [None, 16])
def test_pandas_output_goes_straight_into_lightgbm(n_buckets):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "ad_id": rng.integers(0, 30, 2000),
            "site": rng.choice(["a", "b", None], 2000),
            "x": rng.normal(size=2000),
        }
    )
    y = X["ad_id"] % 2
    model = make_pipeline(
        FeatureEncoder(
            categorical_features=["ad_id"],
            min_frequency=1 if n_buckets else 2,
            n_buckets=n_buckets,
            numeric="quantile",
        ).set_output(transform="pandas"),
        lgb.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1),
    ).fit(X, y)
    later = X.head(20).assign(ad_id=np.arange(20, 40))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(later), model.predict_proba(later))
    if n_buckets is None:
        assert model.score(X, y) > 0.95


def test_pickle_is_small():
    ids = [f"user_{i:06d}" for i in range(20_000)]
    encoder = FeatureEncoder().set_output(transform="pandas").fit(pd.DataFrame({"user": ids}))
    expected = encoder.transform(pd.DataFrame({"user": ids}))
    dump = pickle.dumps(encoder)
    assert len(dump) < 1.05 * (sum(map(len, ids)) + 4 * len(ids)) + 2000
    pd.testing.assert_frame_equal(pickle.loads(dump).transform(expected), expected)


def test_arrow_lists_pass_unchanged():
    lists = pd.array([[1, 2], None], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
    X = pd.DataFrame({"h": lists})
    out = FeatureEncoder().set_output(transform="pandas").fit_transform(X)
    pd.testing.assert_frame_equal(out, X)
    assert FeatureEncoder().fit_transform(X).tolist() == [[[1, 2]], [None]]


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"numeric": "sqrt"}, r"numeric must be one of .*, got 'sqrt'"),
        ({"min_frequency": 0}, r"min_frequency must be an integer >= 1 or a share .*, got 0"),
        ({"min_frequency": 1.5}, r"min_frequency must be .*, got 1.5"),
        ({"max_categories": 0}, r"max_categories must be an integer >= 1 or None, got 0"),
        ({"n_buckets": 2.5}, r"n_buckets must be an integer >= 1 or None, got 2.5"),
        ({"n_buckets": 8, "min_frequency": 2}, r"n_buckets hashes every id"),
        ({"n_bins": 1}, r"n_bins must be an integer >= 2, got 1"),
        ({"categorical_features": ["sites"]}, r"'sites'. Did you mean 'site'"),
    ],
)
def test_wrong_parameters(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        FeatureEncoder(**parameters).fit(X)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0], "one entry for each of the 4 rows"),
        ([1, 1, 1, -1], "finite and not negative"),
        ([0, 0, 0, 0], "weights are zero"),
    ],
)
def test_wrong_weights(X, weight, message):
    with pytest.raises(ValueError, match=message):
        make_encoder().fit(X, sample_weight=weight)


def test_a_list_column_that_holds_values_later(X):
    encoder = make_encoder().fit(X)
    with pytest.raises(TypeError, match=r"Column 'history' .*held lists in fit"):
        encoder.transform(X.assign(history=[1, 2, 3, 4]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_ids_of_another_type_warn(library):
    X = pd.DataFrame({"user_id": [5, 6], "ad": ["5", "6"]})
    encoder = FeatureEncoder(categorical_features=["user_id"]).set_output(transform="pandas").fit(X)
    other = X.astype({"user_id": str, "ad": int})
    unknown = X.assign(user_id=[7, 8], ad=["7", None])
    if library == "polars":
        other, unknown = pl.from_pandas(other), pl.from_pandas(unknown)
    with pytest.warns(UserWarning, match="holds") as caught:
        found = encoder.transform(other)
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2
    assert "'user_id'" in said[0]
    assert "holds strings where fit saw numbers" in said[0]
    assert "Convert them with pandas.to_numeric" in said[0]
    assert "'ad'" in said[1]
    assert "holds numbers where fit saw strings" in said[1]
    assert "Convert them with .astype(str)" in said[1]
    assert (found == "<unknown>").all(axis=None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.transform(unknown)
        encoder.transform(X)
        # Buckets go by the text of ids: there both are the same.
        hashed = FeatureEncoder(n_buckets=50, categorical_features=["user_id"]).fit(X)
        np.testing.assert_array_equal(hashed.transform(other), hashed.transform(X))


@pytest.mark.parametrize("values", [["1", "2"], ["1.5", "abc"], [1.0, "2"], ["1", None]])
@pytest.mark.parametrize("numeric", ["passthrough", "standardize", "log", "quantile", "bins"])
def test_text_in_a_column_of_numbers_raises(values, numeric):
    encoder = FeatureEncoder(numeric=numeric).fit(pd.DataFrame({"price": [1.0, 2.0]}))
    for dtype in (object, None, "category"):
        column = pd.Series(values, dtype=dtype)
        with pytest.raises(TypeError, match=r"Column 'price' .*was numeric in fit.*to_numeric"):
            encoder.transform(pd.DataFrame({"price": column}))
