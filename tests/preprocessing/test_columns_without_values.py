"""A column of which fit saw no value has no type yet: a fold must not say what its values are."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sk_adrec import DINClassifier, FeatureEncoder, FMClassifier, GBDTLRClassifier, TimeSplit
from sk_adrec.preprocessing._log_encoder import LogEncoder

N, LATE = 120, 30
MESSAGE = "had no value in fit and has some now: nothing is known of them"
QUICK = {"max_epochs": 1, "embedding_dim": 2, "random_state": 0}
VALUES = {
    "strings": "spring_sale",
    "integers": 5,
    "floats": 0.5,
    "bools": True,
    "lists": ["a", "b"],
    "lists of numbers": [7, 8],
    "tuples": ("a",),
}
NOTHING = {
    "objects": lambda n: pd.Series([None] * n, dtype=object),
    "floats": lambda n: pd.Series([np.nan] * n),
    "Int64": lambda n: pd.Series([None] * n, dtype="Int64"),
    "strings": lambda n: pd.Series([None] * n, dtype="str"),
    "categories": lambda n: pd.Series(pd.Categorical([None] * n)),
    "Arrow's null": lambda n: pd.Series(pd.arrays.ArrowExtensionArray(pa.nulls(n))),
    "lists of Arrow": lambda n: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.nulls(n, pa.list_(pa.string())))
    ),
}

PLACES = {"strings": "ids", "categories": "ids", "lists of Arrow": "lists"}


def objects(value, n):
    return pd.Series(np.fromiter([value] * n, dtype=object, count=n))


def frame(promo):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"price": rng.normal(size=len(promo)), "promo": promo})


def caught(call, *arguments):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        return call(*arguments), [str(one.message) for one in found]


def models(**parameters):
    return [
        FMClassifier(**QUICK, **parameters),
        GBDTLRClassifier(random_state=0, early_stopping=False, **parameters),
    ]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("nothing", NOTHING)
def test_later_values_are_unknown_with_one_warning(nothing, values):
    y = np.arange(N) % 2
    X, later = frame(NOTHING[nothing](N)), frame(objects(VALUES[values], LATE))
    expected = frame(NOTHING[nothing](LATE))
    place = PLACES.get(nothing, "numbers")
    for model in models():
        _, heard = caught(model.fit, X, y)
        assert heard == []
        p, heard = caught(model.predict_proba, later)
        assert np.isfinite(p).all()
        is_list = isinstance(VALUES[values], list | tuple)
        fits = (place == "ids" and not is_list) or (place == "lists" and is_list)
        assert len(heard) == (0 if fits else 1)  # unseen ids never warn
        assert all(re.match(f"Column 'promo' .* {MESSAGE}", text) for text in heard)
        if place == "numbers":
            np.testing.assert_array_equal(p, model.predict_proba(expected))
        for n in (1, 29):
            np.testing.assert_allclose(caught(model.predict_proba, later[:n])[0], p[:n], rtol=1e-5)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(caught(again.predict_proba, later)[0], p)


@pytest.mark.parametrize("later", [["a", "b"], ["a"], "a", 5, 2.5, True, 2**70])
def test_named_in_categorical_features_it_is_a_column_of_ids(later):
    encoder = LogEncoder(categorical_features=["promo"]).fit(frame(NOTHING["objects"](N)))
    assert encoder.categorical_names_ == ["promo"]
    X = frame(objects(later, 2))
    encoded, heard = caught(encoder.transform, X)
    assert encoded.categorical.tolist() == [[1], [1]]
    assert len(heard) == isinstance(later, list)
    assert caught(encoder.transform, pd.concat([X] * 50))[0].categorical[:2].tolist() == [[1], [1]]


def test_what_shares_the_ids_of_another_column_is_its_history():
    X = pd.DataFrame({"item_id": [5, 6, 5, 6] * 9, "hist_item_id": NOTHING["objects"](36)})
    later = X.assign(hist_item_id=[[5], [6, 7], [], None] * 9)
    encoder = LogEncoder(share_vocabulary={"hist_item_id": "item_id"}).fit(X)
    encoded, heard = caught(encoder.transform, later)
    assert heard == []
    assert encoded.sequences["hist_item_id"].values[:3].tolist() == [2, 3, 1]
    model = DINClassifier(share_vocabulary={"hist_item_id": "item_id"}, **QUICK)
    empty = X.assign(hist_item_id=[[]] * 36)
    p = model.fit(X, [0, 1, 1, 0] * 9).predict_proba(later)
    np.testing.assert_array_equal(p, model.fit(empty, [0, 1, 1, 0] * 9).predict_proba(later))


def test_a_new_attribute_of_events_has_no_past():
    X = pd.DataFrame(
        {
            "item": ["a", "b"] * 20,
            "shop": ["x", "y"] * 20,
            "hist_item": [["a", "b"], ["b"]] * 20,
            "hist_shop": NOTHING["objects"](40),
        }
    )
    share = {"hist_item": "item", "hist_shop": "shop"}
    model = DINClassifier(share_vocabulary=share, **QUICK).fit(X, [0, 1] * 20)
    later = X.assign(hist_shop=[["x", "y"], []] * 20)
    whole, heard = caught(model.predict_proba, later)
    assert heard == []
    np.testing.assert_allclose(model.predict_proba(later[:1]), whole[:1], rtol=1e-6)
    with pytest.raises(ValueError, match="equally long"):
        model.predict_proba(X.assign(hist_shop=[["x"], []] * 20))


@pytest.mark.parametrize("value", [["a", "b"], "spring_sale", 5, 0.5])
@pytest.mark.parametrize("named", [False, True])
def test_cross_validation_over_a_field_that_begins_late(value, named):
    X = frame(pd.concat([NOTHING["objects"](N), objects(value, LATE)], ignore_index=True))
    X = X.assign(day=range(len(X)))
    features = make_column_transformer(
        ("drop", ["day"]), remainder="passthrough", verbose_feature_names_out=False
    ).set_output(transform="pandas")
    y = np.arange(len(X)) % 2
    for model in models(categorical_features=["promo"] if named else "from_dtype"):
        scores, _ = caught(
            lambda model=model: cross_val_score(
                make_pipeline(features, model),
                X,
                y,
                cv=TimeSplit("day", n_splits=1, test_size=LATE),
                scoring="neg_log_loss",
                error_score="raise",
            )
        )
        assert np.isfinite(scores).all()


def test_a_value_in_held_out_rows_only_is_none():
    # Early stopping holds the last row out: a price that no training row has has no scale.
    X = pd.DataFrame({"price": [np.nan] * 9 + [1e4], "promo": ["a"] * 10})
    weight = np.array([1.0] * 9 + [0.0])
    encoder = LogEncoder()
    encoded, heard = caught(encoder.fit_transform, X, weight)
    assert heard == []
    assert encoded.numeric.tolist() == [[0.0, 1.0]] * 10
    assert not encoder.columns_[0].seen


def test_growing_gives_a_column_of_ids_its_type():
    encoder = LogEncoder(categorical_features=["promo"]).fit(frame(NOTHING["objects"](4)))
    encoder.grow(frame(objects("a", 4)))
    assert encoder.columns_[1].seen
    with pytest.raises(TypeError, match="Column 'promo'"):
        encoder.transform(frame(objects(["a"], 4)))


@pytest.mark.parametrize("later", [pd.Timestamp("2024-01-01"), b"a", {"a": 1}])
def test_what_no_column_may_hold_is_refused_here_too(later):
    X = frame(NOTHING["objects"](4))
    for encoder in (LogEncoder(), LogEncoder(categorical_features=["promo"]), FeatureEncoder()):
        encoder.fit(X)
        for n in (1, 100):
            with pytest.raises(TypeError, match="Column 'promo'"):
                encoder.transform(frame(objects(later, n)))
    with pytest.raises(ValueError, match=r"Column 'promo' .* contains infinity"):
        LogEncoder().fit(X).transform(frame(objects(np.inf, 4)))


@pytest.mark.parametrize("later", [["a", "b"], "a", 5])
@pytest.mark.parametrize(
    ("parameters", "place", "unknown"),
    [
        ({}, "objects", None),
        ({"numeric": "standardize"}, "objects", 0.0),
        ({"numeric": "quantile"}, "objects", 0.5),
        ({"numeric": "bins"}, "objects", "0"),
        ({"categorical_features": ["promo"]}, "objects", "<unknown>"),
        ({}, "strings", "<unknown>"),
        ({"n_buckets": 9}, "objects", None),
        ({}, "lists of Arrow", None),
    ],
)
def test_feature_encoder(parameters, place, unknown, later):
    encoder = FeatureEncoder(**parameters).set_output(transform="pandas")
    encoder.fit(frame(NOTHING[place](4)))
    out, heard = caught(encoder.transform, frame(objects(later, 4)))
    if later == 5 and encoder.numeric == "passthrough" and unknown is None and place == "objects":
        unknown = 5.0  # nothing had to be learned of it
    if place == "lists of Arrow" and isinstance(later, list):
        unknown = later
    values = out["promo"].astype(object)
    assert [None if missing else value for value, missing in zip(values, values.isna())] == (
        [unknown] * 4
    )
    assert len(heard) <= 1
    assert len(heard) == 1 or unknown in ("<unknown>", 5.0, later)


def test_one_warning_names_all_columns():
    nothing = pl.DataFrame({"a": [None, None], "b": [None, None], "x": [1.0, 2.0]})
    encoder = LogEncoder().fit(nothing)
    later = pl.DataFrame({"a": ["x", "y"], "b": [[1], [2]], "x": [1.0, 2.0]})
    for encode in (encoder.transform, FeatureEncoder().fit(nothing).transform):
        _, heard = caught(encode, later)
        assert len(heard) == 1
        assert heard[0].startswith("Column 'a' (dtype String), Column 'b' (dtype List(Int64)) had")


def test_missing_values_stay_quiet():
    encoder = LogEncoder().fit(frame(NOTHING["objects"](4)))
    for later in (*(make(70) for make in NOTHING.values()), objects([], 70), objects([None], 70)):
        encoded, heard = caught(encoder.transform, frame(later))
        assert heard == []
        assert encoded.numeric[:, 1].tolist() == [0.0] * 70
        assert encoded.numeric[:, 2].tolist() == [1.0] * 70
