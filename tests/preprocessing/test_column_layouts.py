"""Columns in layouts that few frames have: read, or refused with the column's name and a remedy."""

import decimal

import narwhals
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from sk_adrec import (
    DownsampledClassifier,
    FeatureEncoder,
    FMClassifier,
    GBDTLRClassifier,
    HistoryEncoder,
    HSTUNextItem,
    SASRecNextItem,
)
from sk_adrec.preprocessing._log_encoder import LogEncoder

N = 40
Y = [0, 1] * (N // 2)
# The first rows are dropped: not every layout has a way to take some of its rows.
WEIGHT = [0.0] * 4 + [1.0] * (N - 4)


def of_arrow(values, kind):
    array = pa.array(values, kind) if isinstance(kind, pa.DataType) else kind(pa.array(values))
    return pd.DataFrame({"c": pd.arrays.ArrowExtensionArray(array)})


NUMBERS, TEXT = list(range(N)), list("abcd") * (N // 4)
LISTS = [["a"], ["b", "a"], None, []] * (N // 4)
READ = {
    "big-endian integers": (NUMBERS, lambda v: pd.DataFrame({"c": np.array(v, ">i4")})),
    "big-endian floats": (NUMBERS, lambda v: pd.DataFrame({"c": np.array(v, ">f8")})),
    "a big-endian array": (NUMBERS, lambda v: np.array(v, ">i4")[:, None]),
    "Int128": (NUMBERS, lambda v: pl.DataFrame({"c": pl.Series(v, dtype=pl.Int128)})),
    "UInt128": (NUMBERS, lambda v: pl.DataFrame({"c": pl.Series(v, dtype=pl.UInt128)})),
    "half floats": (NUMBERS, lambda v: pd.DataFrame({"c": np.array(v, "float16")})),
    "long doubles": (NUMBERS, lambda v: pd.DataFrame({"c": np.array(v, np.longdouble)})),
    "decimals": (NUMBERS, lambda v: of_arrow(v, pa.decimal128(9, 2))),
    "decimals of 32 bits": (NUMBERS, lambda v: of_arrow(v, pa.decimal32(9, 2))),
    "runs": (NUMBERS, lambda v: of_arrow(v, pc.run_end_encode)),
    "string_view": (TEXT, lambda v: of_arrow(v, pa.string_view())),
    "runs of text": (TEXT, lambda v: of_arrow(v, pc.run_end_encode)),
    "json": (TEXT, lambda v: of_arrow(v, pa.json_())),
    "objects of Polars": (TEXT, lambda v: pl.DataFrame({"c": pl.Series(v, dtype=pl.Object)})),
    "an Arrow table": (TEXT, lambda v: pa.table({"c": pa.array(v, pa.string_view())})),
    "a frame of narwhals": (TEXT, lambda v: narwhals.from_native(pl.DataFrame({"c": v}))),
    "list_view": (LISTS, lambda v: of_arrow(v, pa.list_view(pa.string()))),
    "large_list_view": (LISTS, lambda v: of_arrow(v, pa.large_list_view(pa.string_view()))),
    "lists of string_view": (LISTS, lambda v: of_arrow(v, pa.list_(pa.string_view()))),
    "lists of Polars' categories": (
        LISTS,
        lambda v: pl.DataFrame({"c": pl.Series(v, dtype=pl.List(pl.Categorical))}),
    ),
}


@pytest.mark.parametrize("layout", READ)
def test_a_rare_layout_is_read_as_any_other(layout):
    values, make = READ[layout]
    usual = pd.DataFrame({"c": values})
    encoder = LogEncoder(dtype="float64").fit(usual)
    for times in (1, 2, 40):
        expected = encoder.transform(pd.concat([usual] * times))
        encoded = encoder.transform(make(values * times))
        np.testing.assert_array_equal(encoded.numeric, expected.numeric)
        np.testing.assert_array_equal(encoded.categorical, expected.categorical)
        for name, ragged in expected.sequences.items():
            np.testing.assert_array_equal(encoded.sequences[name].values, ragged.values)
            np.testing.assert_array_equal(encoded.sequences[name].offsets, ragged.offsets)


@pytest.mark.parametrize("layout", READ)
def test_models_fit_on_a_rare_layout_as_on_any_other(layout):
    values, make = READ[layout]
    models = [
        FMClassifier(max_epochs=1, random_state=0),
        GBDTLRClassifier(random_state=0, early_stopping=False),
    ]
    if layout != "a frame of narwhals":  # whose rows scikit-learn cannot take
        models.append(DownsampledClassifier(models[0], negative_rate=0.5, random_state=0))
    for model in models:
        weight = None if model is models[-1] and len(models) == 3 else WEIGHT
        if layout == "a frame of narwhals":
            weight = None
        expected = model.fit(pd.DataFrame({"c": values}), Y, sample_weight=weight)
        expected = expected.predict_proba(pd.DataFrame({"c": values}))
        X = make(values)
        p = model.fit(X, Y, sample_weight=weight).predict_proba(X)
        np.testing.assert_allclose(p, expected, rtol=1e-6)


def test_ids_of_another_order_of_bytes():
    ids = np.arange(N)[:, None]
    model = FMClassifier(categorical_features=[0], max_epochs=2, random_state=0)
    expected = model.fit(ids, Y).predict_proba(ids)
    for dtype in (">i4", ">u8", ">f8"):
        np.testing.assert_array_equal(model.predict_proba(ids.astype(dtype)), expected)
        again = model.fit(ids.astype(dtype), Y)
        np.testing.assert_array_equal(again.predict_proba(ids), expected)


# ---- refused -------------------------------------------------------------------------------------

LAZY = r"A data frame with its rows was expected, got a \w+ LazyFrame.*X.collect\(\)"


@pytest.mark.parametrize("wrap", [lambda X: X, narwhals.from_native])
def test_a_lazy_frame_is_to_be_collected(wrap):
    X = pl.DataFrame({"n": NUMBERS, "user_id": 1, "item_id": 1, "timestamp": NUMBERS})
    lazy = wrap(X.lazy())
    for model in (FMClassifier(max_epochs=1), GBDTLRClassifier(), SASRecNextItem(max_epochs=1)):
        with pytest.raises(TypeError, match=LAZY):
            model.fit(lazy, Y)
        assert not hasattr(model, "n_features_in_")
    for encoder in (FeatureEncoder(), HistoryEncoder()):
        with pytest.raises(TypeError, match=LAZY):
            encoder.fit(lazy)
        with pytest.raises(TypeError, match=LAZY):
            encoder.fit(X).transform(lazy)
    with pytest.raises(TypeError, match=LAZY):
        HistoryEncoder().fit(X, events=lazy)
    with pytest.raises(TypeError, match=LAZY):
        FMClassifier(max_epochs=1).fit(X, Y).predict_proba(lazy)


RAGGED = [["a", "b"], ["c"]]


@pytest.mark.parametrize("model", [SASRecNextItem(), HSTUNextItem(), FMClassifier()])
def test_histories_as_a_list_are_to_be_a_column(model):
    remedy = r'make them a column of lists: pandas.DataFrame\({"history": X}\)'
    for X in (RAGGED, tuple(map(tuple, RAGGED)), list(map(np.array, RAGGED))):
        with pytest.raises(ValueError, match=rf"a list of 2 rows of 1 to 2 entries.*{remedy}"):
            model.fit(X, ["c", "a"])
    objects = np.array(RAGGED, dtype=object)
    for X in (objects, pd.Series(RAGGED), pl.Series(RAGGED, dtype=pl.Object)):
        with pytest.raises(ValueError, match=rf"2 lists in one dimension.*{remedy}"):
            model.fit(X, ["c", "a"])
    with pytest.raises(ValueError, match=remedy):
        FeatureEncoder().fit(RAGGED)


def test_rows_as_lists_keep_their_types():
    rows = [[1.5, "a", ["x", "y"], 2**53 + 1], [2.5, "b", ["x"], 5]] * 20
    encoder = LogEncoder(categorical_features=[3]).fit(rows)
    kinds = [spec.kind for spec in encoder.columns_]
    assert kinds == ["numeric", "categorical", "sequence", "categorical"]
    frame = pd.DataFrame(rows)
    model = FMClassifier(categorical_features=[3], max_epochs=1, random_state=0)
    expected = model.fit(frame.to_numpy(dtype=object), Y).predict_proba(rows)
    np.testing.assert_array_equal(model.fit(rows, Y).predict_proba(rows), expected)


def lone_surrogates(n=2):
    return pd.DataFrame({"s": pd.Series(["\ud83d", "b"] * n, dtype=object)})


@pytest.mark.parametrize("n_buckets", [None, 7])
def test_lone_surrogates_are_text(n_buckets):
    X, encoder = lone_surrogates(), FeatureEncoder(n_buckets=n_buckets)
    out = encoder.set_output(transform="pandas").fit_transform(X)
    assert out["s"].notna().all()
    if n_buckets is None:
        assert out["s"].tolist() == X["s"].tolist()
        assert encoder.set_output(transform="default").transform(X).tolist() == X.values.tolist()
        with pytest.raises(TypeError, match=r"Column 's' .* lone surrogates.*set_output"):
            encoder.set_output(transform="polars").transform(X)
    python = X.astype(pd.StringDtype("python"))
    known = pd.Index(["b", "\ud83d"], dtype=object)
    typed = pd.DataFrame({"s": pd.Categorical.from_codes([1, 0] * 2, categories=known)})
    lists = pd.DataFrame({"s": [["\ud83d", "b"], ["b"]] * 2})
    for frame in (X, python, typed, lists):
        encoder = LogEncoder().fit(frame)
        assert encoder.vocabularies_["s"].values.tolist() == ["b", "\ud83d"]
        model = FMClassifier(max_epochs=1, random_state=0).fit(frame, [0, 1] * 2)
        np.testing.assert_allclose(model.predict_proba(frame[:1]), model.predict_proba(frame)[:1])


def test_lone_surrogates_in_a_history():
    log = pd.DataFrame({"user_id": "a", "timestamp": range(4), "item_id": lone_surrogates()["s"]})
    with pytest.raises(TypeError, match=r"'item_id' of events .* text with lone surrogates"):
        HistoryEncoder().fit(log)


def test_what_polars_has_no_type_for():
    log = pd.DataFrame({"user_id": "a", "timestamp": [1, 2], "item_id": [1, 2]})
    log["z"] = pd.Series([1, "x"], dtype=object)
    with pytest.raises(TypeError, match=r"Column 'z' \(dtype object\) of X .* set_output"):
        HistoryEncoder().set_output(transform="polars").fit_transform(log)
    lists = pd.DataFrame({"z": [[1, "x"], []]})
    with pytest.raises(TypeError, match=r"Column 'z' \(dtype object\) .* set_output"):
        FeatureEncoder().set_output(transform="polars").fit_transform(lists)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[["x"], ["y"]], ["a"]], "a list of strings or numbers"),
        ([np.ones((2, 2)), np.ones((2, 2))], "a list of strings or numbers"),
        ([np.array(3), [1]], "got ndarray"),
        ([[{"a": 1}], []], "a list of strings or numbers"),
        ([5 + 0j, 3], "got complex"),
        ([np.timedelta64(5, "s"), 3], "got timedelta64"),
        ([10**400, 3], "an integer beyond the largest float"),
        ([decimal.Decimal("Infinity"), 3], "contains infinity"),
    ],
)
def test_odd_objects_are_refused_by_name(cells, message):
    X = pd.DataFrame({"odd": pd.Series(cells * 20, dtype=object)})
    for model in (FMClassifier(max_epochs=1), GBDTLRClassifier()):
        with pytest.raises((TypeError, ValueError), match=rf"Column 'odd' .*{message}") as error:
            model.fit(X, Y)
        assert error.type in (TypeError, ValueError)


def test_categories_that_no_row_has_say_nothing():
    X = pd.DataFrame({"c": pd.Categorical([1.0, 2.0] * 20, categories=[1.0, 2.0, np.inf])})
    encoder = LogEncoder().fit(X)
    for n in (1, 2, 40):
        assert encoder.transform(X[:n]).categorical[0].tolist() == [2]


def test_a_missing_decimal_is_missing():
    X = pd.DataFrame({"id": pd.Series([decimal.Decimal("NaN"), decimal.Decimal(3)], dtype=object)})
    encoder = LogEncoder(categorical_features=["id"]).fit(X)
    assert encoder.transform(X).categorical[:, 0].tolist() == [0, 2]
