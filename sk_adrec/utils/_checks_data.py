"""Checks of the data contract: what a row means never depends on how it arrives."""

from __future__ import annotations

import unittest
import warnings

import numpy as np
import pandas as pd

from ._check_cases import (
    FULL_BATCH,
    assert_finite,
    assert_same,
    expect_error,
    frame_and_clicks,
    list_column,
    needs,
    output,
    quick,
    replace_lists,
)

# Rows are scored in other sums when batched differently: rounding of float32, no more.
_ROUNDING = 1e-6
# Rows enough for three of an estimator's own batches, the last one short.
_N_MANY = 33_000
# The smallest integer that float32 cannot tell from its successor.
_FLOAT32_LIMIT = 2**24


def check_row_order_and_batch_size(estimator):
    """A row's prediction depends neither on the other rows nor on how many come at once."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    order = np.random.default_rng(0).permutation(len(X))
    assert_same(
        output(model, X.iloc[order]),
        expected[order],
        "Shuffled rows should get the same predictions",
        atol=_ROUNDING,
    )
    for size in (1, 2, 64, 65, 128):
        # Single rows cost most: the first few tell as much as all.
        stop = min(len(X), 40 * size)
        parts = [
            output(model, X.iloc[start : min(start + size, stop)]) for start in range(0, stop, size)
        ]
        assert_same(
            np.concatenate(parts),
            expected[:stop],
            f"Rows scored {size} at a time should get the same predictions",
            atol=_ROUNDING,
        )
    many = np.resize(np.arange(len(X)), _N_MANY)
    assert_same(
        output(model, X.iloc[many]), expected[many], f"{_N_MANY} rows at once", atol=_ROUNDING
    )


def check_one_row(estimator):
    """One row, also as a slice with another index, gets an output of one row."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    for row in (0, 199):
        one = output(model, X.iloc[[row]])
        assert_same(one, expected[[row]], f"Row {row} alone", atol=_ROUNDING)


def check_unseen_categories(estimator):
    """Ids that fit never saw are all the same unknown id, and never raise."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    unseen = [
        X.assign(user_id=f"new_user_{k}", device=pd.Categorical([f"new_{k}"] * len(X)))
        for k in range(2)
    ]
    for rows in (slice(None), slice(0, 5)):
        first, second = (output(model, frame.iloc[rows]) for frame in unseen)
        assert_finite(first, "Rows of unseen ids")
        if hasattr(estimator, "predict_proba"):
            assert_same(first, second, "Two unseen ids should get the same prediction")


def check_categories_by_value(estimator):
    """Categories are matched by value: neither their order nor unused ones matter."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    known = list(X["item_category"].cat.categories)
    reordered = X["item_category"].cat.set_categories(["unused", *reversed(known)])
    for rows in (slice(None), slice(0, 5)):
        assert_same(
            output(model, X.assign(item_category=reordered).iloc[rows]),
            output(model, X.iloc[rows]),
            "Reordered categories should get the same predictions",
        )


def check_storage_does_not_matter(estimator):
    """Values mean the same in numpy, nullable and Arrow columns, as strings or categories."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    dtypes = {
        "user_id": ("object", "string", "string[pyarrow]", "category"),
        "device": ("object", "string"),
        "position": ("Int64", "int32", "int64[pyarrow]", "float64"),
        "quality_score": ("Float64", "double[pyarrow]"),
    }
    for name, dtype in [(name, dtype) for name, several in dtypes.items() for dtype in several]:
        other = X.astype({name: dtype})
        for rows in (slice(None), slice(0, 5)):
            what = f"Column {name!r} as {dtype} instead of {X[name].dtype}"
            assert_same(output(model, other.iloc[rows]), expected[rows], what, atol=_ROUNDING)
    name = list_column(X)
    lists = X.assign(**{name: [list(value) for value in X[name]]})
    assert_same(output(model, lists), expected, "Python lists instead of Arrow's", atol=_ROUNDING)


@needs("categorical_features")
def check_numeric_ids_warn(estimator):
    """A named integer column of many values, taken for a number, warns and names the remedy."""
    n = 1_500
    X = pd.DataFrame({"ad_number": np.arange(n), "slot": np.tile(["top", "side"], n // 2)})
    y = np.arange(n) % 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quick(estimator, max_epochs=1).fit(X, y)
    found = [str(w.message) for w in caught if "ad_number" in str(w.message)]
    if not any("categorical_features" in message for message in found):
        raise AssertionError(
            "Integers with 1500 distinct values are probably ids: a warning that names the column "
            f"and categorical_features expected, got {found}"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        quick(estimator, max_epochs=1, categorical_features=["ad_number"]).fit(X, y)


def check_missing_values(estimator):
    """NaN, None and NA mean missing, in every column, also where fit saw none."""
    X, y = frame_and_clicks(300)
    X["user_id"] = X["user_id"].astype(object)
    model = quick(estimator).fit(X, y)
    for name in X:
        frame = X.copy()
        if name == list_column(X) or isinstance(X[name].dtype, pd.CategoricalDtype):
            frame[name] = pd.Series([None] * len(X), dtype=X[name].dtype)
        elif X[name].dtype == object:
            frame[name] = None
        else:
            frame[name] = np.nan
        assert_finite(output(model, frame), f"Column {name!r} missing in all rows")
    spellings = [None, np.nan, pd.NA]
    frames = [X.assign(user_id=pd.Series([value] * len(X), dtype=object)) for value in spellings]
    for rows in (slice(None), slice(0, 5)):
        expected = output(model, frames[0].iloc[rows])
        for value, frame in zip(spellings[1:], frames[1:]):
            assert_same(output(model, frame.iloc[rows]), expected, f"{value} should mean None")


def check_infinity_raises(estimator):
    """An infinite number raises ValueError that names the column, in fit and in predict."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    X.loc[3, "price"] = np.inf
    with expect_error(ValueError, "Infinity in predict", "price"):
        output(model, X)
    with expect_error(ValueError, "Infinity in fit", "price"):
        quick(estimator).fit(X, y)


def check_column_names(estimator):
    """Columns in another order or under other names, and missing ones that are read, raise."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    if list(model.feature_names_in_) != list(X.columns) or model.n_features_in_ != X.shape[1]:
        raise AssertionError("feature_names_in_ and n_features_in_ should describe fit's columns")
    wrong = {
        "Columns in another order": (X[X.columns[::-1]], "order"),
        "A column under another name": (X.rename(columns={"price": "prize"}), "prize"),
        "A column too many": (X.assign(more=1.0), "more"),
    }
    for what, (frame, pattern) in wrong.items():
        with expect_error(ValueError, what, pattern):
            output(model, frame)
    try:
        alone = output(model, X.drop(columns="price"))
    except ValueError as error:
        if "price" not in str(error):
            raise AssertionError("A missing column should be named") from error
    else:
        assert_same(alone, output(model, X), "A missing column that is not read")


def check_polars(estimator):
    """A Polars frame gives the same as the pandas frame, in fit and in predict."""
    try:
        import polars as pl
    except ImportError as error:
        raise unittest.SkipTest("polars is not installed") from error
    X, y = frame_and_clicks(300)
    X_polars = pl.from_pandas(X)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    assert_same(output(model, X_polars), expected, "Polars in predict")
    assert_same(output(model, X_polars[:5]), output(model, X[:5]), "Five Polars rows in predict")
    again = quick(estimator).fit(X_polars, y)
    assert_same(output(again, X_polars), expected, "Polars in fit and predict")


def check_empty_history(estimator):
    """An empty list, a missing one and one of missing entries are the same: no history."""
    X, y = frame_and_clicks(300)
    name = list_column(X)
    model = quick(estimator).fit(X, y)
    for rows in (slice(None), slice(0, 5)):
        empty = output(model, replace_lists(X, lambda history: []).iloc[rows])
        assert_finite(empty, "Rows with empty histories")
        for what, value in {"missing list": None, "list of missing entries": [None, None]}.items():
            lists = pd.Series([value] * len(X), dtype=X[name].dtype)
            other = output(model, X.assign(**{name: lists}).iloc[rows])
            if hasattr(estimator, "predict_proba"):
                assert_same(other, empty, f"A {what} should be an empty history", atol=_ROUNDING)
    nothing = replace_lists(X, lambda history: [])
    assert_finite(output(quick(estimator).fit(nothing, y), nothing), "Fit on empty histories only")


@needs("max_len", "predict_proba")
def check_padding_and_truncation(estimator):
    """Missing entries on either side change nothing; of a long list the newest entries count."""
    X, y = frame_and_clicks(300)
    model = quick(estimator, max_len=3, max_epochs=5).fit(X, y)
    expected = output(model, X)
    same = {
        "Entries before the newest max_len": lambda history: history[-3:],
        "Padding before the list": lambda history: [None] * 4 + history,
        "Padding after the list": lambda history: history + [None] * 4,
    }
    for what, change in same.items():
        for rows in (slice(None), slice(0, 5)):
            assert_same(
                output(model, replace_lists(X, change).iloc[rows]),
                expected[rows],
                f"{what} should not matter",
                atol=_ROUNDING,
            )
    other = replace_lists(X, lambda history: [*history[:-1], "item_0"] if history else history)
    if np.abs(output(model, other) - expected).max() < _ROUNDING:
        raise AssertionError(
            "Another newest entry should change predictions: is the history's other end kept?"
        )


def check_large_ids_stay_apart(estimator):
    """Ids 16777216 and 16777217, equal as float32, learn opposite labels."""
    ids = np.tile([_FLOAT32_LIMIT, _FLOAT32_LIMIT + 1], 100)
    y = ids - _FLOAT32_LIMIT
    noise = np.random.default_rng(0).normal(size=len(ids))
    lists = pd.Series([[value] for value in ids.tolist()])
    frames = {
        "categories": pd.DataFrame({"ad": pd.Categorical(ids), "noise": noise}),
        "lists": pd.DataFrame({"ad": lists, "noise": noise}),
    }
    listed = {}
    if "categorical_features" in estimator.get_params(deep=False):
        frames["integers"] = pd.DataFrame({"ad": ids, "noise": noise})
        frames["an integer array"] = np.column_stack([ids, np.arange(len(ids)) % 7])
        listed = {"integers": ["ad"], "an integer array": [0]}
    for what, X in frames.items():
        params = {"categorical_features": listed[what]} if what in listed else {}
        model = quick(
            estimator, **params, lr=0.1, max_epochs=20, batch_size=50, id_dropout=0.0
        ).fit(X, y)
        for rows in (slice(None), slice(0, 4)):
            part = X[rows] if isinstance(X, np.ndarray) else X.iloc[rows]
            p, label = model.predict_proba(part)[:, 1], y[rows]
            gap = p[label == 1].mean() - p[label == 0].mean()
            if gap < 0.5:
                raise AssertionError(
                    f"Ids {_FLOAT32_LIMIT} (never clicked) and {_FLOAT32_LIMIT + 1} (always), held "
                    f"as {what}, should be told apart, got probabilities {gap:.2f} apart: do they "
                    "pass through float32?"
                )


def check_string_labels(estimator):
    """Labels of any type: sorted in `classes_`, returned by predict, same probabilities as 0/1."""
    X, y = frame_and_clicks(300)
    expected = quick(estimator).fit(X, y).predict_proba(X)
    # "click" sorts before "none": the positive class is what sorts last, not what means click.
    for labels in (["none", "click"], ["a", "b"], [True, False], [7.0, -1.0]):
        negative, positive = sorted(labels)
        target = np.where(y == 1, positive, negative)
        model = quick(estimator).fit(X, target)
        if list(model.classes_) != [negative, positive]:
            raise AssertionError(
                f"classes_ should be sorted, {[negative, positive]}, got {list(model.classes_)}"
            )
        assert_same(model.predict_proba(X), expected, f"Labels {labels} instead of 0 and 1")
        predicted = model.predict(X)
        chosen = model.classes_[expected.argmax(axis=1)]
        if not (predicted == chosen).all():
            raise AssertionError("predict should return the label of the larger probability")


def check_object_array(estimator):
    """An object array without dtypes, from a ColumnTransformer, is typed by its values."""
    X, y = frame_and_clicks(300)
    objects = X.astype(object).to_numpy()
    model = quick(estimator, batch_size=FULL_BATCH).fit(X, y)
    untyped = quick(estimator, batch_size=FULL_BATCH).fit(objects, y)
    assert_same(output(untyped, objects), output(model, X), "An object array", atol=_ROUNDING)
