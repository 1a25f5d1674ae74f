"""Checks of retrievers: what they recommend, to whom, and by what probability."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone

from ._check_cases import assert_finite, assert_same, expect_error, frame_and_clicks, output, quick


def _fitted(estimator):
    """A retriever, the log that it was fitted on, and the items of each user's positives."""
    X, y = frame_and_clicks(600)
    model = quick(estimator).fit(X, y)
    seen = X[y == 1].groupby(model.user)[model.item].agg(set)
    return model, X, seen


def check_recommend(estimator):
    """recommend gives k different items, best first, none of the user's own unless asked for."""
    model, X, seen = _fitted(estimator)
    users, items = seen.index.to_numpy(), set(X[model.item])
    for exclude_seen in (True, False):
        found, scores = model.recommend(users, k=5, exclude_seen=exclude_seen)
        if found.shape != (len(users), 5) or scores.shape != found.shape:
            raise AssertionError(f"Shapes ({len(users)}, 5) expected, got {found.shape}")
        assert_finite(scores, "Scores of recommended items")
        if (np.diff(scores, axis=1) > 0).any():
            raise AssertionError("Scores should descend")
        for user, row in zip(users, found):
            if len(set(row)) < 5 or not set(row) <= items:
                raise AssertionError(f"5 different items of the log expected, got {list(row)}")
            if exclude_seen and set(row) & seen[user]:
                raise AssertionError(f"exclude_seen=True, but user {user!r} has some of {row}")
    frame = model.recommend(users, k=5, exclude_seen=False, as_frame=True)
    expected = [model.user, model.item, "score", "rank"]
    if not {*expected} <= set(frame.columns):
        raise AssertionError(f"as_frame=True should have {expected}, got {list(frame.columns)}")
    if frame[model.item].tolist() != found.ravel().tolist():
        raise AssertionError("as_frame=True should hold the same items")


def check_recommend_shortfall(estimator):
    """Where items run out, lists end with null ids of score -inf; unknown users are served."""
    model, X, seen = _fitted(estimator)
    items = set(X[model.item])
    users = [*seen.index[:3], "nobody", None]
    found, scores = model.recommend(users, k=len(items) + 4)
    for user, row, values in zip(users, found, scores):
        expected = items - seen.get(user, set())
        if set(row[: len(expected)]) != expected or (values[len(expected) :] != -np.inf).any():
            raise AssertionError(f"User {user!r} should get all items that are new, then -inf")
        if any(item is not None for item in row[len(expected) :]):
            raise AssertionError(f"Null ids should be None, got {row[len(expected) :]}")
    found, scores = model.recommend(users, k=4, candidates=[*sorted(items)[:2], "no such item"])
    if not set(found.ravel()) <= {*sorted(items)[:2], None}:
        raise AssertionError(f"Only candidates should be recommended, got {set(found.ravel())}")


def check_retriever_integer_ids(estimator):
    """Integer ids come back as integers, 16777216 and 16777217 apart; their null id is -1."""
    rng = np.random.default_rng(0)
    X, y = frame_and_clicks(400)
    model = quick(estimator)
    codes = {model.user: rng.integers(0, 40, 400), model.item: rng.integers(0, 6, 400) + 2**24}
    X = X[[model.user, model.item]].assign(**codes)
    found, _ = model.fit(X, y).recommend([999, 0], k=8, exclude_seen=False)
    if found.dtype.kind not in "iu" or set(found[0]) != {-1, *range(2**24, 2**24 + 6)}:
        raise AssertionError(
            f"The six items 16777216 to 16777221 and -1 expected as integers, got {found[0]}"
        )


def check_positives_only(estimator):
    """y is optional: without it, or with ones only, all rows are positive."""
    X, _ = frame_and_clicks(400)
    without = quick(estimator).fit(X)
    ones = quick(estimator).fit(X, np.ones(len(X), dtype=int))
    if list(without.classes_) != [0, 1]:
        raise AssertionError(f"classes_ without y should be [0, 1], got {without.classes_}")
    assert_same(output(ones, X), output(without, X), "y of ones instead of none")
    with expect_error(ValueError, "y of one label other than 1", "class"):
        quick(estimator).fit(X, np.full(len(X), "click"))


def check_retriever_columns(estimator):
    """Rows to predict may lack columns that nobody reads; otherwise they have those of fit."""
    X, y = frame_and_clicks(400)
    model = quick(estimator).fit(X[:200], y[:200])
    if list(model.feature_names_in_) != list(X.columns) or model.n_features_in_ != X.shape[1]:
        raise AssertionError("feature_names_in_ and n_features_in_ should describe fit's columns")
    # Any column that a parameter names may be read.
    values = model.get_params().values()
    lists = [value if isinstance(value, list | tuple) else [value] for value in values]
    pairs = X[[name for name in X if any(name in named for named in lists)]]
    assert_same(output(model, pairs), output(model, X), "Rows without columns that nobody reads")
    if model.score(pairs[200:], y[200:]) != model.score(X[200:], y[200:]):
        raise AssertionError("score should not depend on columns that nobody reads")
    wrong = {
        "Columns in another order": (X[X.columns[::-1]], "order"),
        "Some columns in another order": (pairs[pairs.columns[::-1]], "order"),
        "A column under another name": (X.rename(columns={"price": "prize"}), "prize"),
        "No column of users": (X.drop(columns=model.user), model.user),
        "No column of items": (pairs.drop(columns=model.item), model.item),
        "A column too many": (X.assign(more=1.0), "more"),
    }
    for what, (frame, pattern) in wrong.items():
        for method in (model.predict_proba, model.score):
            with expect_error(ValueError, f"{what}, {method.__name__}", pattern):
                method(frame)


def check_retriever_ids_of_other_type(estimator):
    """Numbers where fit saw strings, or the reverse, are unknown, and that is said; others not."""
    X, y = frame_and_clicks(200)
    roles = (estimator.user, estimator.item)
    numbers = X.assign(**{name: X[name].astype("category").cat.codes for name in roles})
    for fitted, asked in ((X, numbers), (numbers, X)):
        model = quick(estimator).fit(fitted, y)
        for what, call, n_expected in _calls_by_id(model, asked, y):
            said = _said_of_type(call)
            if len(said) != n_expected:
                raise AssertionError(
                    f"{what} of ids of another type should warn {n_expected} times, got {said}"
                )
        unknown = fitted.assign(**{name: fitted[name] + fitted[name] for name in roles})
        for what, call, _ in _calls_by_id(model, unknown, y):
            if said := _said_of_type(call):
                raise AssertionError(f"{what} of unknown ids needs no warning, got {said}")


def _calls_by_id(model, X, y):
    """(Name, call, number of its arguments or columns that hold ids) of what reads ids."""
    users, items = X[model.user][:3], X[model.item][:3]
    return (
        ("predict_proba", lambda: model.predict_proba(X), 2),
        ("score", lambda: model.score(X, y), 2),
        ("recommend", lambda: model.recommend(users), 1),
        ("candidates", lambda: model.recommend([None], candidates=items), 1),
        ("similar_items", lambda: model.similar_items(items), 1),
        ("has_history", lambda: model.has_history(users), 1),
        ("has_seen", lambda: model.has_seen(users, items), 2),
    )


def _said_of_type(call):
    """Warnings about the type of ids in a call."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    said = [str(warning.message) for warning in caught]
    return [text for text in said if "where fit saw" in text]


def check_retriever_failed_fit(estimator):
    """A fit that raises leaves the model as it was; parameters are named in messages."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    bad = {
        "a column of dates": (X.assign(**{model.item: pd.Timestamp(0)}), y, model.item),
        "y too short": (X, y[:-1], "samples"),
        "no column of items": (X.drop(columns=model.item), y, model.item),
    }
    for what, (X_bad, y_bad, message) in bad.items():
        with expect_error((ValueError, TypeError), f"fit with {what}", message):
            model.fit(X_bad, y_bad)
        assert_same(output(model, X), expected, f"After a failed fit ({what}) the earlier model")


def check_retriever_score(estimator):
    """score is NDCG@10 of rows that were held out: 1 for the very items that are recommended."""
    model, X, _ = _fitted(estimator)
    users = X[model.user].unique()
    frame = model.recommend(users, k=10, as_frame=True)
    held_out = pd.DataFrame(
        {
            name: frame[name]
            if name in (model.user, model.item)
            else X[name].iloc[np.zeros(len(frame), dtype=int)].to_numpy()
            for name in X
        }
    )
    score = model.score(held_out)
    if abs(score - 1) > 1e-9:
        raise AssertionError(f"The recommended items as held-out rows should score 1, got {score}")
    copy = clone(model).fit(X)
    if not 0 <= copy.score(held_out) <= 1:
        raise AssertionError("score should lie in [0, 1]")
