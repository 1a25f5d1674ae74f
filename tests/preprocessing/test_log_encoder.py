"""LogEncoder against a slow, obvious version, and every row of the data contract."""

import datetime
import decimal
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sk_adrec.preprocessing._columns import read_table
from sk_adrec.preprocessing._log_encoder import FEW_ROWS, LogEncoder
from sk_adrec.preprocessing._schema import ColumnSpec


def assert_same(one, other):
    np.testing.assert_array_equal(one.numeric, other.numeric)
    np.testing.assert_array_equal(one.categorical, other.categorical)
    assert one.numeric.dtype == other.numeric.dtype
    assert list(one.sequences) == list(other.sequences)
    for name, ragged in one.sequences.items():
        np.testing.assert_array_equal(ragged.values, other.sequences[name].values)
        np.testing.assert_array_equal(ragged.offsets, other.sequences[name].offsets)
        assert ragged.values.dtype == other.sequences[name].values.dtype == np.int32


def lists_of(ragged):
    return [
        ragged.values[start:end].tolist() for start, end in zip(ragged.offsets, ragged.offsets[1:])
    ]


# ------------------------------------------------------------------ a slow, obvious encoder


def slow_vocabulary(columns, weights, min_frequency):
    totals = {}
    for column in columns:
        for cell, weight in zip(column, weights):
            for value in cell if isinstance(cell, list) else [cell]:
                if value is not None:
                    totals[value] = totals.get(value, 0) + weight
    known = sorted(v for v, total in totals.items() if total > 0 and total >= min_frequency)
    return {value: code for code, value in enumerate(known, start=2)}


def slow_code(value, vocabulary):
    return 0 if value is None else vocabulary.get(value, 1)


def slow_list(cell, vocabulary, max_len):
    codes = [slow_code(value, vocabulary) for value in cell or [] if value is not None]
    return codes[-max_len:]


def slow_number(column, fitted, weights):
    known = [(x, w) for x, w in zip(fitted, weights) if x is not None]
    if not known:  # nothing is known of the numbers that come
        return [0.0] * len(column)
    total = sum(w for _, w in known)
    mean = sum(x * w for x, w in known) / total
    variance = sum(w * (x - mean) ** 2 for x, w in known) / total
    scale = variance**0.5 if variance > 1e-20 else 1.0
    return [0.0 if x is None else (x - mean) / scale for x in column]


cells = {
    "price": st.none() | st.integers(-50, 50).map(lambda x: x / 4),
    "clicks": st.none() | st.integers(0, 9),
    "ad_id": st.none() | st.sampled_from([1, 2, 3, 2**24, 2**24 + 1, 2**53 + 1, -7]),
    "site": st.none() | st.sampled_from(["a", "b", "é", "", "zz"]),
    "device": st.none() | st.sampled_from(["a", "b", "c"]),
    "history": st.none() | st.lists(st.none() | st.sampled_from(["a", "b", "q", "zz"]), max_size=5),
    "clicked": st.none() | st.lists(st.none() | st.sampled_from([1, 2, 2**53 + 1]), max_size=5),
}
rows = st.fixed_dictionaries(cells)


def to_pandas(records, backend, order):
    columns = {name: [record[name] for record in records] for name in cells}
    if backend == "arrow":
        types = {
            "price": pa.float64(),
            "clicks": pa.int16(),
            "ad_id": pa.int64(),
            "site": pa.string(),
            "device": pa.dictionary(pa.int8(), pa.string()),
            "history": pa.list_(pa.string()),
            "clicked": pa.large_list(pa.int64()),
        }
        return pd.DataFrame(
            {
                name: pd.arrays.ArrowExtensionArray(pa.array(columns[name], type=kind))
                for name, kind in types.items()
            }
        )
    site = "str" if backend == "pandas" and pd.__version__ >= "3" else object
    return pd.DataFrame(
        {
            "price": pd.Series(columns["price"], dtype="float64"),
            "clicks": pd.Series(columns["clicks"], dtype="Int64"),
            "ad_id": pd.Series(columns["ad_id"], dtype="Int64"),
            "site": pd.Series(columns["site"], dtype=site),
            "device": pd.Categorical(columns["device"], categories=list(order)),
            "history": pd.Series(columns["history"], dtype=object),
            "clicked": pd.Series(columns["clicked"], dtype=object),
        }
    )


def to_polars(records):
    schema = {
        "price": pl.Float64,
        "clicks": pl.Int16,
        "ad_id": pl.Int64,
        "site": pl.String,
        "device": pl.Categorical,
        "history": pl.List(pl.String),
        "clicked": pl.List(pl.Int64),
    }
    return pl.DataFrame(records, schema=schema)


def to_frame(records, backend, order="abc"):
    return to_polars(records) if backend == "polars" else to_pandas(records, backend, order)


@pytest.mark.filterwarnings("ignore:.* had no value in fit")
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    fitted=st.lists(rows, min_size=1, max_size=8),
    seen=st.lists(rows, min_size=1, max_size=8),
    backend=st.sampled_from(["pandas", "object", "arrow", "polars"]),
    other=st.sampled_from(["pandas", "object", "arrow", "polars"]),
    min_frequency=st.sampled_from([1, 2, 3]),
    max_len=st.integers(1, 3),
    data=st.data(),
)
def test_agrees_with_a_slow_encoder(fitted, seen, backend, other, min_frequency, max_len, data):
    weights = data.draw(
        st.lists(st.integers(1, 3), min_size=len(fitted), max_size=len(fitted)), label="weights"
    )
    encoder = LogEncoder(
        categorical_features=["ad_id"],
        share_vocabulary={"clicked": "ad_id", "history": "site"},
        min_frequency=min_frequency,
        max_len=max_len,
        dtype="float64",
    )
    # An object column of missing values only has no type; the dtypes of the contract do.
    if backend == "object" and all(row["site"] is None for row in fitted):
        backend = "pandas"
    if backend in ("pandas", "object"):
        for name in ("history", "clicked"):
            if all(row[name] is None for row in fitted):
                fitted[0][name] = []
    encoded = encoder.fit_transform(to_frame(fitted, backend), np.array(weights, dtype=float))
    copies = FEW_ROWS // len(seen) + 1
    small = encoder.transform(to_frame(seen, other, order="cab"))
    large = encoder.transform(to_frame(seen * copies, other, order="cba"))
    assert_same(small, large.take(slice(0, len(seen))))

    def column(records, name):
        return [record[name] for record in records]

    sharing = {"ad_id": ["ad_id", "clicked"], "site": ["site", "history"], "device": ["device"]}
    vocabularies = {
        owner: slow_vocabulary([column(fitted, name) for name in names], weights, min_frequency)
        for owner, names in sharing.items()
    }
    for records, actual in ((fitted, encoded), (seen, small)):
        for k, name in enumerate(["ad_id", "site", "device"]):
            codes = [slow_code(value, vocabularies[name]) for value in column(records, name)]
            assert actual.categorical[:, k].tolist() == codes
            assert encoder.cardinality(name) == len(vocabularies[name]) + 2
        for name, owner in (("history", "site"), ("clicked", "ad_id")):
            codes = [slow_list(c, vocabularies[owner], max_len) for c in column(records, name)]
            assert lists_of(actual.sequences[name]) == codes
        for k, name in enumerate(["price", "clicks"]):
            numbers = slow_number(column(records, name), column(fitted, name), weights)
            np.testing.assert_allclose(actual.numeric[:, k], numbers, atol=1e-9)
        for k, name in enumerate(encoder.indicator_names_, start=2):
            nothing_known = all(value is None for value in column(fitted, name))
            missing = [value is None or nothing_known for value in column(records, name)]
            assert actual.numeric[:, k].tolist() == missing
    assert encoder.indicator_names_ == [
        name for name in ("price", "clicks") if None in column(fitted, name)
    ]


@pytest.mark.filterwarnings("ignore:.*had no value in fit")
@settings(max_examples=50, deadline=None)
@given(fitted=st.lists(rows, min_size=1, max_size=6), data=st.data())
def test_weights_equal_repetition(fitted, data):
    weights = data.draw(
        st.lists(st.integers(0, 3), min_size=len(fitted), max_size=len(fitted)).filter(any)
    )
    repeated = [row for row, weight in zip(fitted, weights) for _ in range(weight)]
    X = to_frame(fitted, "arrow")

    def make():
        return LogEncoder(categorical_features=["ad_id"], min_frequency=2, dtype="float64")

    weighted = make().fit(X, np.array(weights, dtype=float))
    plain = make().fit(to_frame(repeated, "arrow"))
    assert weighted.indicator_names_ == plain.indicator_names_
    one, other = weighted.transform(X), plain.transform(X)
    np.testing.assert_allclose(one.numeric, other.numeric, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(one.categorical, other.categorical)


# ------------------------------------------------------------------ the data contract


def test_first_category_gets_code_two_and_ids_are_sorted():
    X = pd.DataFrame({"s": ["b", "a", "b"], "i": pd.Categorical([10, 9, 9])})
    encoder = LogEncoder()
    np.testing.assert_array_equal(encoder.fit_transform(X).categorical, [[3, 3], [2, 2], [3, 2]])
    assert encoder.vocabularies_["s"].values.tolist() == ["a", "b"]
    assert encoder.vocabularies_["i"].values.tolist() == [9, 10]
    assert encoder.columns_ == [
        ColumnSpec("s", "categorical", "s"),
        ColumnSpec("i", "categorical", "i"),
    ]


@pytest.mark.parametrize("n_copies", [1, 100])
def test_ids_above_two_to_the_24_and_53_stay_apart(n_copies):
    ids = [2**24, 2**24 + 1, 2**53, 2**53 + 1]
    encoder = LogEncoder(categorical_features=["id"]).fit(pd.DataFrame({"id": ids}))
    encoded = encoder.transform(pd.DataFrame({"id": ids * n_copies}))
    assert encoded.categorical[:4, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("n_copies", [1, 100])
def test_large_ids_stay_exact_next_to_a_missing_entry_of_an_arrow_list(n_copies):
    # pandas turns this cell into an array of floats.
    lists = pa.array([[None, 2**53 + 1]] * n_copies, type=pa.list_(pa.int64()))
    X = pd.DataFrame({"h": pd.arrays.ArrowExtensionArray(lists)})
    encoder = LogEncoder().fit(X)
    assert encoder.vocabularies_["h"].values.tolist() == [2**53 + 1]
    assert lists_of(encoder.transform(X).sequences["h"])[0] == [2]


@pytest.mark.parametrize("n_copies", [1, 100])
def test_unsigned_hashes_beyond_int64_are_exact(n_copies):
    ids = np.array([2**63 + 1, 2**64 - 1, 5, 2**64 - 2] * n_copies, dtype=np.uint64)
    X = pd.DataFrame({"id": ids})
    encoder = LogEncoder(categorical_features=["id"]).fit(X)
    assert encoder.transform(X).categorical[:4, 0].tolist() == [3, 5, 2, 4]


@pytest.mark.parametrize("n_copies", [1, 100])
@pytest.mark.parametrize(
    "same",
    [
        np.array([5, 7], dtype=np.int8),
        np.array([5.0, 7.0], dtype=np.float32),
        pd.array([5, 7], dtype="Int32"),
        pd.array([5.0, 7.0], dtype="Float64"),
        pd.array([5, 7], dtype="int64[pyarrow]"),
        pd.Categorical([5, 7], categories=[7, 6, 5]),
        pd.Categorical([5.0, 7.0]),
        np.array([5, 7.0], dtype=object),
    ],
    ids=lambda values: str(values.dtype)[:12],
)
def test_one_id_in_many_dtypes_has_one_code(same, n_copies):
    encoder = LogEncoder(categorical_features=["id"]).fit(pd.DataFrame({"id": [7, 5, 6]}))
    X = pd.concat([pd.DataFrame({"id": same})] * n_copies, ignore_index=True)
    assert encoder.transform(X).categorical[:2, 0].tolist() == [2, 4]


def test_category_maps_by_value_and_ignores_categories_that_do_not_occur():
    X = pd.DataFrame({"c": pd.Categorical(["x", "z"], categories=["w", "x", "y", "z"])})
    encoder = LogEncoder().fit(X)
    assert encoder.vocabularies_["c"].values.tolist() == ["x", "z"]
    other = pd.DataFrame({"c": pd.Categorical(["z", "x", "w", None], categories=["z", "x", "w"])})
    for n_copies in (1, 100):
        codes = encoder.transform(pd.concat([other] * n_copies)).categorical[:4, 0]
        assert codes.tolist() == [3, 2, 1, 0]


def test_categories_of_any_type():
    X = pd.DataFrame(
        {
            "interval": pd.cut([1, 2, 3, np.nan], 2),
            "tuple": pd.Series([("a", 1), ("b", 2), None, ("a", 1)], dtype="category"),
            "bool": pd.Categorical([True, False, None, True]),
            "day": pd.Categorical(pd.to_datetime(["2020-01-02", "2020-01-01", None, None])),
        }
    )
    encoder = LogEncoder()
    codes = [[2, 2, 3, 3], [2, 3, 2, 2], [3, 0, 0, 0], [0, 2, 3, 0]]
    np.testing.assert_array_equal(encoder.fit_transform(X).categorical, codes)
    np.testing.assert_array_equal(encoder.transform(X).categorical, codes)
    large = encoder.transform(pd.concat([X] * 30)).categorical
    np.testing.assert_array_equal(large[:4], codes)


def test_few_rows_of_a_column_with_many_categories():
    X = pd.DataFrame({"c": pd.Categorical([f"{i:04d}" for i in range(2000)])})
    with pytest.warns(UserWarning, match="2000 different ids in 2000 rows"):
        encoder = LogEncoder().fit(X)
    rows_seen = [7, 1500, 3] * 30
    expected = np.array(rows_seen)[:, None] + 2
    np.testing.assert_array_equal(encoder.transform(X.iloc[rows_seen]).categorical, expected)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("n_copies", [1, 100])
def test_every_missing_value_is_code_zero(missing, n_copies):
    X = pd.DataFrame({"s": pd.Series(["a", missing], dtype=object)})
    encoder = LogEncoder().fit(X)
    encoded = encoder.transform(pd.concat([X] * n_copies))
    assert encoded.categorical[:2, 0].tolist() == [2, 0]


def test_numbers_are_standardised_with_an_indicator():
    X = pd.DataFrame({"x": [1.0, np.nan, 3.0], "flag": [True, False, True], "constant": 0.1})
    encoder = LogEncoder(dtype="float64")
    encoded = encoder.fit_transform(X)
    mean, scale = 2 / 3, np.sqrt(2) / 3
    expected = [
        [-1, (1 - mean) / scale, 0, 0],
        [0, (0 - mean) / scale, 0, 1],
        [1, (1 - mean) / scale, 0, 0],
    ]
    np.testing.assert_allclose(encoded.numeric, expected, atol=1e-15)
    assert encoder.indicator_names_ == ["x"]
    # A column without missing values in fit has no indicator later; it takes the mean.
    later = encoder.transform(pd.DataFrame({"x": [2.0], "flag": [None], "constant": [np.nan]}))
    np.testing.assert_array_equal(later.numeric, [[0, 0, 0, 0]])


def test_a_column_of_missing_numbers_is_fine():
    X = pd.DataFrame({"x": [np.nan, np.nan]})
    np.testing.assert_array_equal(LogEncoder().fit_transform(X).numeric, [[0, 1], [0, 1]])


@pytest.mark.parametrize("n_copies", [1, 100])
def test_lists_drop_missing_entries_then_keep_the_last(n_copies):
    cells_given = [["a", None, "b", "c", None], None, [], ("b",), np.array(["c", "a"]), [np.nan]]
    X = pd.DataFrame({"h": pd.Series(cells_given * n_copies, dtype=object)})
    encoder = LogEncoder(max_len=2).fit(X)
    expected = [[3, 4], [], [], [3], [4, 2], []]
    assert lists_of(encoder.transform(X).sequences["h"])[:6] == expected
    assert lists_of(encoder.fit_transform(X).sequences["h"])[:6] == expected
    assert lists_of(LogEncoder(max_len=None).fit_transform(X).sequences["h"])[0] == [2, 3, 4]


@pytest.mark.parametrize("n_copies", [1, 100])
def test_lists_of_mixed_types_and_fixed_size_lists(n_copies):
    mixed = pd.Series([["a", 1], [None, 2**53 + 1]] * n_copies, dtype=object)
    fixed = pa.array([[1, 2], None] * n_copies, type=pa.list_(pa.int64(), 2))
    X = pd.DataFrame({"mixed": mixed, "fixed": pd.arrays.ArrowExtensionArray(fixed)})
    encoder = LogEncoder().fit(X)
    encoded = encoder.transform(X)
    # By their text: "1" < "9007199254740993" < "a".
    assert lists_of(encoded.sequences["mixed"])[:2] == [[4, 2], [3]]
    assert lists_of(encoded.sequences["fixed"])[:2] == [[2, 3], []]


def test_plain_array_is_numeric_and_has_positions_for_names():
    X = np.array([[1.0, 5.0], [3.0, 7.0]])
    encoder = LogEncoder().fit(X)
    assert encoder.numeric_names_ == [0, 1]
    encoder = LogEncoder(categorical_features=[False, True])
    encoded = encoder.fit_transform(X)
    assert (encoder.numeric_names_, encoder.categorical_names_) == ([0], [1])
    assert encoded.categorical[:, 0].tolist() == [2, 3]


def test_object_array_is_typed_by_values():
    X = np.array([[1, "a", [1, 2], True], [np.nan, None, [3], 2.5]], dtype=object)
    encoder = LogEncoder().fit(X)
    kinds = [spec.kind for spec in encoder.columns_]
    assert kinds == ["numeric", "categorical", "sequence", "numeric"]


def test_strings_and_numbers_in_one_column_are_ids():
    X = pd.DataFrame({"x": pd.Series(["5", 5, "a", 10, None, 2.5], dtype=object)})
    encoder = LogEncoder()
    assert encoder.fit_transform(X).categorical[:, 0].tolist() == [5, 4, 6, 2, 0, 3]
    assert encoder.vocabularies_["x"].values.tolist() == [10, 2.5, 5, "5", "a"]


def test_frame_of_other_labels_is_read_by_position():
    X = pd.DataFrame([[1, "a"], [2, "b"]], columns=[10, 20])
    encoder = LogEncoder().fit(X)
    assert (encoder.numeric_names_, encoder.categorical_names_) == ([0], [1])


def test_empty_frame_encodes_to_nothing():
    X = pd.DataFrame({"x": [1.0], "s": ["a"], "h": [["a"]]})
    encoder = LogEncoder().fit(X)
    for empty in (X.iloc[:0], pl.DataFrame(X).head(0)):
        encoded = encoder.transform(empty)
        assert (encoded.numeric.shape, encoded.categorical.shape) == ((0, 1), (0, 1))
        assert len(encoded.sequences["h"]) == 0


@pytest.mark.parametrize(
    "backend", ["boolean", "decimal", "string[python]", "dictionary", "sparse"]
)
def test_other_storage(backend):
    column, expected = {
        "boolean": (pd.array([True, None, False], dtype="boolean"), [3, 0, 2]),
        "decimal": (
            pd.arrays.ArrowExtensionArray(
                pa.array([decimal.Decimal("1.5"), None, decimal.Decimal(1)])
            ),
            [3, 0, 2],
        ),
        "string[python]": (pd.array(["b", None, "a"], dtype="string[python]"), [3, 0, 2]),
        # Two chunks, each with a dictionary of its own.
        "dictionary": (
            pd.arrays.ArrowExtensionArray(
                pa.chunked_array([pa.array([x]).dictionary_encode() for x in ("b", None, "a")][::2])
            ),
            [3, 2],
        ),
        "sparse": (pd.arrays.SparseArray([1.0, np.nan, 0.0]), [3, 0, 2]),
    }[backend]
    X = pd.DataFrame({"x": column})
    encoder = LogEncoder(categorical_features=["x"]).fit(X)
    for n_copies in (1, 100):
        codes = encoder.transform(pd.concat([X] * n_copies)).categorical[: len(X), 0]
        assert codes.tolist() == expected


def test_arrow_table():
    X = pa.table({"s": ["b", None, "a"], "x": [1, 2, 3]})
    encoder = LogEncoder()
    assert encoder.fit_transform(X).categorical[:, 0].tolist() == [3, 0, 2]
    assert encoder.transform(X).categorical[:, 0].tolist() == [3, 0, 2]


@pytest.mark.parametrize("later", [{"b": 1}, ["b"], b"b"])
def test_strings_and_other_objects_are_refused(later):
    with pytest.raises(TypeError, match=r"Column 's' .*argument must be a string"):
        LogEncoder().fit(pd.DataFrame({"s": pd.Series(["a", later], dtype=object)}))


# ------------------------------------------------------------------ sharing, growing, state


def test_shared_vocabulary_is_learned_from_all_columns():
    X = pd.DataFrame({"item_id": [10, 20], "hist_item_id": [[20, 30], [40]]})
    encoder = LogEncoder(share_vocabulary={"hist_item_id": "item_id"})
    encoded = encoder.fit_transform(X)
    assert list(encoder.vocabularies_) == ["item_id"]
    assert encoder.vocabularies_["item_id"].values.tolist() == [10, 20, 30, 40]
    assert encoder.cardinality("hist_item_id") == encoder.cardinality("item_id") == 6
    assert encoded.categorical[:, 0].tolist() == [2, 3]
    assert lists_of(encoded.sequences["hist_item_id"]) == [[3, 4], [5]]


def test_shared_vocabulary_counts_together():
    X = pd.DataFrame({"item": ["a", "b"], "hist": [["a"], ["c", "c"]]})
    encoder = LogEncoder(share_vocabulary={"hist": "item"}, min_frequency=2).fit(X)
    assert encoder.vocabularies_["item"].values.tolist() == ["a", "c"]


def test_grow_appends_and_never_changes_old_codes():
    X = pd.DataFrame({"x": [1.0, 3.0], "s": ["b", "d"], "h": [["b"], []]})
    encoder = LogEncoder(share_vocabulary={"h": "s"}).fit(X)
    before = encoder.transform(X)
    new = pd.DataFrame({"x": [9.0, 2.0], "s": ["c", "a"], "h": [["e", "d"], None]})
    encoded = encoder.grow(new)
    assert encoder.vocabularies_["s"].values.tolist() == ["b", "d", "a", "c", "e"]
    assert encoded.categorical[:, 0].tolist() == [5, 4]
    assert lists_of(encoded.sequences["h"]) == [[6, 3], []]
    assert_same(encoder.transform(X), before)
    assert_same(encoder.transform(new), encoded)
    assert encoded.numeric[1, 0] == 0.0


@pytest.mark.parametrize("n_copies", [1, 100])
def test_grow_with_another_type_of_id(n_copies):
    encoder = LogEncoder().fit(pd.DataFrame({"c": pd.Categorical([1, 2])}))
    new = pd.DataFrame({"c": pd.Categorical(["a", 2] * n_copies)})
    assert encoder.grow(new).categorical[:2, 0].tolist() == [4, 3]
    assert encoder.transform(new).categorical[:2, 0].tolist() == [4, 3]


def test_grow_that_raises_changes_nothing():
    X = pd.DataFrame({"x": [1.0, 3.0], "s": ["b", "d"]})
    encoder = LogEncoder().fit(X)
    with pytest.raises(ValueError, match="infinity"):
        encoder.grow(pd.DataFrame({"x": [np.inf], "s": ["a"]}))
    assert encoder.vocabularies_["s"].values.tolist() == ["b", "d"]


def mixed_frame(n_rows=30, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 10, n_rows)
    return pd.DataFrame(
        {
            "x": np.where(ids < 2, np.nan, ids / 3),
            "site": pd.Series([f"site é {i}" for i in ids]),
            "id": ids + 2**60,
            "mixed": pd.Series([i if i % 2 else f"m{i}" for i in ids], dtype=object),
            "hash": ids.astype(np.uint64) + np.uint64(2**63),
            "h": [[f"site é {j}" for j in range(i)] for i in ids],
        }
    )


def is_plain(state):
    if isinstance(state, dict):
        return all(isinstance(key, str) and is_plain(value) for key, value in state.items())
    if isinstance(state, list):
        return all(map(is_plain, state))
    if isinstance(state, np.ndarray):
        return state.dtype != object
    return state is None or type(state) in (str, int, float, bool)


@pytest.mark.parametrize("route", ["state", "pickle"])
def test_state_is_plain_and_transforms_alike(route):
    X = mixed_frame()
    encoder = LogEncoder(
        categorical_features=["id", "hash"], share_vocabulary={"h": "site"}, dtype="float64"
    ).fit(X)
    expected = encoder.transform(pd.concat([X] * 4))
    if route == "state":
        state = encoder.to_state()
        assert is_plain(state)
        again = LogEncoder.from_state(pickle.loads(pickle.dumps(state)))
    else:
        again = pickle.loads(pickle.dumps(encoder))
    assert_same(again.transform(pd.concat([X] * 4)), expected)
    assert_same(again.transform(X), encoder.transform(X))
    assert again.columns_ == encoder.columns_
    assert again.cardinality("h") == encoder.cardinality("site")


def test_state_is_small():
    ids = [f"user_{i:06d}" for i in range(20_000)]
    with pytest.warns(UserWarning, match="20000 different ids in 20000 rows"):
        encoder = LogEncoder().fit(pd.DataFrame({"user": ids}))
    encoder.transform(pd.DataFrame({"user": ids[:3]}))  # builds the dictionary
    size = sum(map(len, ids)) + 4 * len(ids)
    assert len(pickle.dumps(encoder)) < 1.05 * size + 2000


def test_strings_that_are_no_utf8_survive():
    X = pd.DataFrame({"s": pd.Series(["a", "\ud800"], dtype=object)})
    encoder = LogEncoder().fit(X)
    again = LogEncoder.from_state(encoder.to_state())
    assert again.transform(pd.concat([X] * 40)).categorical[:2, 0].tolist() == [2, 3]


def test_small_frames_take_the_dictionary_route():
    X = mixed_frame()
    encoder = LogEncoder(categorical_features=["id", "hash"]).fit(X)
    for frame in (X, X.iloc[[3]], pl.DataFrame(X.drop(columns="mixed"))):
        if len(frame.columns) < X.shape[1]:
            encoder = LogEncoder(categorical_features=["id", "hash"]).fit(frame)
        assert encoder._encode_few_rows(read_table(frame)) is not None


def test_min_frequency_as_a_share():
    X = pd.DataFrame({"s": ["a"] * 6 + ["b"] * 3 + ["c"] + [None] * 10})
    encoder = LogEncoder(min_frequency=0.3).fit(X)
    assert encoder.vocabularies_["s"].values.tolist() == ["a", "b"]


def test_rows_without_weight_teach_nothing():
    X = pd.DataFrame({"x": [1.0, 3.0, np.nan], "s": ["a", "b", "c"]})
    encoder = LogEncoder().fit(X, np.array([1.0, 1.0, 0.0]))
    assert encoder.indicator_names_ == []
    assert encoder.vocabularies_["s"].values.tolist() == ["a", "b"]


# ------------------------------------------------------------------ warnings and errors


def test_integers_that_look_like_ids_warn():
    X = pd.DataFrame({"user_id": np.arange(2000), "age": np.arange(2000) % 90})
    for frame in (X, X.astype("Int64"), pl.DataFrame(X)):
        with pytest.warns(UserWarning, match=r"'user_id'.*categorical_features=\['user_id'\]"):
            LogEncoder().fit(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogEncoder().fit(X.to_numpy())
        LogEncoder().fit(X.astype("float64"))
        LogEncoder(categorical_features=["user_id"]).fit(X)


@pytest.mark.parametrize("n_copies", [1, 100])
def test_numbers_where_strings_were_warn_and_are_unknown(n_copies):
    encoder = LogEncoder().fit(pd.DataFrame({"s": ["5", "6"]}))
    later = pd.DataFrame({"s": [5, 6] * n_copies})
    with pytest.warns(UserWarning, match=r"Column 's' \(dtype int64\) holds numbers.*astype"):
        encoded = encoder.transform(later)
    assert set(encoded.categorical[:, 0]) == {1}


def test_strings_where_numbers_were_warn_before_they_grow():
    encoder = LogEncoder(categorical_features=["x"]).fit(pd.DataFrame({"x": [5, 6]}))
    later = pd.DataFrame({"x": ["5", "6"]})
    message = (
        r"'x' .* holds strings where fit saw numbers: .* \(\"5\" is not 5\).*pandas.to_numeric"
    )
    for method in (encoder.transform, encoder.grow):
        with pytest.warns(UserWarning, match=message):
            method(later)
    assert encoder.cardinality("x") == 6


@pytest.mark.parametrize("n_copies", [1, 100])
@pytest.mark.parametrize(
    ("fitted", "later", "message"),
    [
        ([1.0, 2.0], ["1", "2"], "Column 'x' .*was numeric in fit.*to_numeric"),
        ([[1], [2]], [1, 2], "Column 'x' .*held lists in fit"),
        (["a", "b"], [["a"], ["b"]], "Column 'x' .*argument must be a string, a number"),
    ],
)
def test_a_column_that_changed_its_kind(fitted, later, message, n_copies):
    encoder = LogEncoder().fit(pd.DataFrame({"x": fitted}))
    with pytest.raises(TypeError, match=message):
        encoder.transform(pd.DataFrame({"x": later * n_copies}))


@pytest.mark.parametrize(
    "column",
    [
        pd.to_datetime(["2020-01-01", "2020-01-02"]),
        pd.to_timedelta([1, 2], unit="s"),
        pd.array(["2020-01", "2020-02"], dtype="period[M]"),
        pd.array([datetime.datetime(2020, 1, 1), None], dtype=pd.ArrowDtype(pa.timestamp("s"))),
        np.array([datetime.date(2020, 1, 1), None], dtype=object),
    ],
    ids=["datetime", "timedelta", "period", "arrow", "object"],
)
def test_times_are_refused_with_the_remedy(column):
    with pytest.raises(TypeError, match=r"Column 'when' .*Derive numbers.*dt\.hour"):
        LogEncoder().fit(pd.DataFrame({"when": column}))


@pytest.mark.parametrize("value", [{"foo": "bar"}, b"x", {1, 2}, 1j, object()])
def test_other_objects_are_refused(value):
    X = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=object)
    X[0, 0] = value
    with pytest.raises(TypeError, match=r"Column 0 .*argument must be .* string.* number"):
        LogEncoder().fit(X)


@pytest.mark.parametrize("n_copies", [1, 100])
def test_infinity_is_refused(n_copies):
    encoder = LogEncoder().fit(pd.DataFrame({"x": [1.0, 2.0]}))
    bad = pd.DataFrame({"x": [1.0, -np.inf] * n_copies})
    for call in (encoder.transform, LogEncoder().fit, LogEncoder(categorical_features=["x"]).fit):
        with pytest.raises(ValueError, match=r"Column 'x' .* contains infinity"):
            call(bad)


def test_wrong_names_get_the_likely_spelling():
    X = pd.DataFrame({"item_id": [1], "hist": [[1]]})
    with pytest.raises(ValueError, match=r"features .*'itemid'. Did you mean 'item_id'"):
        LogEncoder(categorical_features=["itemid"]).fit(X)
    with pytest.raises(ValueError, match=r"share_vocabulary .*'hst'. Did you mean 'hist'"):
        LogEncoder(share_vocabulary={"hst": "item_id"}).fit(X)
    with pytest.raises(ValueError, match=r"positions below 2, .* got 2"):
        LogEncoder(categorical_features=[2]).fit(X)
    with pytest.raises(ValueError, match=r"mask must have one entry for each of the 2 columns"):
        LogEncoder(categorical_features=[True]).fit(X)
    with pytest.raises(ValueError, match=r"must be \"from_dtype\" or a list"):
        LogEncoder(categorical_features="auto").fit(X)
    with pytest.raises(ValueError, match=r"vocabulary is called 'price'; the columns are"):
        LogEncoder().fit(X).cardinality("price")


def test_sharing_must_make_sense():
    X = pd.DataFrame({"a": ["x"], "b": ["x"], "c": ["x"], "n": [[1]]})
    with pytest.raises(ValueError, match="Name the owner directly"):
        LogEncoder(share_vocabulary={"a": "b", "b": "c"}).fit(X)
    with pytest.raises(ValueError, match=r"some hold strings and some numbers.*astype\(str\)"):
        LogEncoder(share_vocabulary={"n": "a"}).fit(X)


def test_other_columns_than_in_fit():
    encoder = LogEncoder().fit(pd.DataFrame({"a": [1.0], "b": [2.0]}))
    with pytest.raises(ValueError, match="X has 1 columns, but the encoder was fitted on 2"):
        encoder.transform(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(ValueError, match="Column 0 of X is 'b', but was 'a' in fit"):
        encoder.transform(pd.DataFrame({"b": [1.0], "a": [2.0]}))


def test_malformed_tables():
    with pytest.raises(ValueError, match="Reshape your data"):
        LogEncoder().fit(np.ones(3))
    with pytest.raises(ValueError, match="Complex data not supported"):
        LogEncoder().fit(np.ones((2, 2), dtype=complex))
    with pytest.raises(ValueError, match=r"unique, got \['a'\] more than once"):
        LogEncoder().fit(pd.DataFrame([[1, 2]], columns=["a", "a"]))
