"""EASERetriever: the closed form against ridge regressions, and scores without the user."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from sk_adrec import EASERetriever


def random_log(seed=0):
    happened = np.random.default_rng(seed).random((80, 12)) < 0.4
    happened[np.arange(80), np.arange(80) % 12] = True  # no user is without items
    user, item = np.nonzero(happened)
    return pd.DataFrame({"user_id": user, "item_id": item})


def matrix_of(model, log):
    X = np.zeros((80, 12))
    X[log["user_id"], [list(model.items_).index(i) for i in log["item_id"]]] = 1
    return X


def test_weights_are_those_of_a_ridge_regression_for_each_item():
    log = random_log()
    model = EASERetriever(l2=3.0).fit(log)
    X = matrix_of(model, log)
    for i in range(12):
        others = np.arange(12) != i
        ridge = Ridge(alpha=3.0, fit_intercept=False).fit(X[:, others], X[:, i])
        np.testing.assert_allclose(model.weights_[others, i], ridge.coef_, atol=1e-5)
    assert (np.diag(model.weights_) == 0).all()


def test_scores_left_out_are_those_of_regressions_without_the_user():
    log = random_log()
    model = EASERetriever(l2=3.0).fit(log)
    X = matrix_of(model, log)
    left_out = model._learn(model.log_.interactions)
    users, items = np.repeat([0, 5, 40], 12), np.tile(np.arange(12), 3)
    for user, i, score in zip(users, items, left_out(users, items)):
        others, rows = np.arange(12) != i, np.arange(80) != user
        ridge = Ridge(alpha=3.0, fit_intercept=False).fit(X[rows][:, others], X[rows, i])
        assert score == pytest.approx(ridge.predict(X[[user]][:, others])[0], abs=1e-8)


def test_recommends_the_other_half_of_a_pair():
    log = pd.DataFrame({"user_id": np.repeat(range(20), 2), "item_id": list("abcd") * 10})
    found, scores = EASERetriever(l2=1.0).fit(log).recommend(["x"], k=2, history={"x": ["c"]})
    assert found[0, 0] == "d"
    # Ten users have both: c'c = c'd = 10 and (10 + 1) w = 10.
    assert scores[0, 0] == pytest.approx(10 / 11)


def test_l2_must_be_positive():
    with pytest.raises(ValueError, match=r"l2 must be a number in \(0, inf\), got 0"):
        EASERetriever(l2=0).fit(random_log())
