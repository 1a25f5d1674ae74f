"""Scorers inside scikit-learn's model selection."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sk_adrec.datasets import make_ad_log
from sk_adrec.metrics import (
    expected_calibration_error,
    gauc_score,
    make_expected_calibration_error_scorer,
    make_gauc_scorer,
    make_normalized_entropy_scorer,
    normalized_entropy_score,
)

N = 1_500


@pytest.fixture(scope="module")
def log():
    return make_ad_log(N, n_users=30, n_items=20, base_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def model():
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["item_id", "device"])
    )
    return make_pipeline(encoder, LogisticRegression())


def expected_gauc(model, log, weight=None):
    """Three folds by hand."""
    scores = []
    for train, test in KFold(3).split(log.data):
        params = {} if weight is None else {"logisticregression__sample_weight": weight[train]}
        fitted = clone(model).fit(log.data.iloc[train], log.target.iloc[train], **params)
        scores.append(
            gauc_score(
                log.target.iloc[test],
                fitted.predict_proba(log.data.iloc[test])[:, 1],
                log.data["user_id"].iloc[test],
                sample_weight=None if weight is None else weight[test],
            )
        )
    return scores


def test_cross_val_score_reads_the_column_of_raw_rows(log, model):
    scores = cross_val_score(model, log.data, log.target, scoring=make_gauc_scorer(), cv=KFold(3))
    assert scores == pytest.approx(expected_gauc(model, log))


def test_polars(log, model):
    X = pl.from_pandas(log.data)
    scores = cross_val_score(
        model, X, log.target.to_numpy(), scoring=make_gauc_scorer(), cv=KFold(3)
    )
    assert scores == pytest.approx(expected_gauc(model, log))


def test_arrays_by_position(log):
    codes = np.unique(log.data["user_id"], return_inverse=True)[1]
    X = np.column_stack([log.data["position"], codes])
    fitted = LogisticRegression().fit(X, log.target)
    expected = gauc_score(log.target, fitted.decision_function(X), codes)
    for group in (1, -1, np.int64(1)):
        assert make_gauc_scorer(group)(fitted, X, log.target) == expected
    with pytest.raises(ValueError, match=r"position of one of 2 columns.*got 'user_id'"):
        make_gauc_scorer()(fitted, X, log.target)


def test_probabilities_where_there_is_no_decision_function(log):
    X = log.data[["position"]].assign(top=log.data["position"] > 2)
    fitted = GaussianNB().fit(X, log.target)
    expected = gauc_score(log.target, fitted.predict_proba(X)[:, 1], X["top"])
    assert make_gauc_scorer("top")(fitted, X, log.target) == expected


def test_string_labels_and_one_class(log, model):
    y = np.where(log.target == 1, "click", "none")
    fitted = clone(model).fit(log.data, y)
    expected = gauc_score(y, fitted.decision_function(log.data), log.data["user_id"])
    assert make_gauc_scorer()(fitted, log.data, y) == expected
    none = y == "none"
    with pytest.warns(UserWarning, match="GAUC is undefined"):
        score = make_gauc_scorer()(fitted, log.data[none], y[none])
    assert np.isnan(score)


@pytest.mark.parametrize("labels", [("a", "b"), (1, 2), (False, True)])
def test_losses_of_one_class_know_which_one(labels):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1))
    y = np.where(rng.random(400) < 1 / (1 + np.exp(2 - X[:, 0])), labels[1], labels[0])
    fitted = LogisticRegression().fit(X, y)
    p = fitted.predict_proba(X)[:, 1]
    scorer = make_expected_calibration_error_scorer(n_bins=3)
    for k, rows in enumerate([y == labels[0], y == labels[1]]):
        assert scorer(fitted, X[rows], y[rows]) == pytest.approx(-abs(p[rows] - k).mean())
        with pytest.warns(UserWarning, match="entropy is undefined"):
            assert np.isnan(make_normalized_entropy_scorer()(fitted, X[rows], y[rows]))


@pytest.mark.parametrize(
    "scorer",
    [
        make_gauc_scorer(0),
        make_normalized_entropy_scorer(),
        make_expected_calibration_error_scorer(),
    ],
)
def test_labels_that_the_estimator_does_not_know(scorer):
    X = np.arange(6.0)[:, None]
    fitted = LogisticRegression().fit(X, list("ababab"))
    with pytest.raises(ValueError, match=r"labels that LogisticRegression was trained on.*got 'c'"):
        scorer(fitted, X, list("ababac"))
    with pytest.raises(ValueError, match="estimator of two classes, LogisticRegression has 3"):
        scorer(LogisticRegression().fit(X, list("abcabc")), X, list("ababab"))


def test_groups_cannot_be_read_from_a_sparse_matrix(log):
    X = sparse.csr_matrix(np.column_stack([log.data["position"], np.arange(N) % 7]))
    fitted = LogisticRegression().fit(X, log.target)
    with pytest.raises(ValueError, match=r"X is a sparse matrix, whose column 1 cannot.*metadata"):
        make_gauc_scorer(1)(fitted, X, log.target)


def test_weights_without_routing(log, model):
    weight = np.random.default_rng(0).random(N)
    fitted = clone(model).fit(log.data, log.target)
    expected = gauc_score(
        log.target,
        fitted.decision_function(log.data),
        log.data["user_id"],
        sample_weight=weight,
    )
    scorer = make_gauc_scorer()
    assert scorer(fitted, log.data, log.target, sample_weight=weight) == expected
    # A search hands its weights to scorers that take them.
    X = log.data[["position"]].assign(user_id=log.data["user_id"].astype("category").cat.codes)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, scoring=scorer, cv=KFold(3))
    search.fit(X, log.target, sample_weight=weight)
    scores = [search.cv_results_[f"split{k}_test_score"][0] for k in range(3)]
    numeric = type(log)(data=X, target=log.target)
    weighted = expected_gauc(make_pipeline(LogisticRegression()), numeric, weight)
    assert scores == pytest.approx(weighted)


def test_weights_with_routing(log, model):
    weight = np.random.default_rng(0).random(N)
    expected = expected_gauc(model, log, weight)
    with config_context(enable_metadata_routing=True):
        routed = clone(model)
        routed.named_steps["logisticregression"].set_fit_request(sample_weight=True)
        given = {"params": {"sample_weight": weight}, "cv": KFold(3)}
        scorer = make_gauc_scorer().set_score_request(sample_weight=True)
        scores = cross_val_score(routed, log.data, log.target, scoring=scorer, **given)
        assert scores == pytest.approx(expected)
        with pytest.raises(ValueError, match=r"sample_weight.* not explicitly set"):
            cross_val_score(routed, log.data, log.target, scoring=make_gauc_scorer(), **given)
        ignoring = make_gauc_scorer().set_score_request(sample_weight=False)
        unweighted = cross_val_score(routed, log.data, log.target, scoring=ignoring, **given)
        assert not np.allclose(unweighted, scores)


def test_groups_as_metadata(log, model):
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(gauc_score, response_method="predict_proba")
        scores = cross_val_score(
            model,
            log.data.drop(columns="user_id"),
            log.target,
            scoring=scorer.set_score_request(groups=True),
            params={"groups": log.data["user_id"]},
            cv=KFold(3),
        )
    assert scores == pytest.approx(expected_gauc(model, log))


def test_grid_search_over_several_metrics(log, model):
    scoring = {
        "gauc": make_gauc_scorer("user_id"),
        "ne": make_normalized_entropy_scorer(),
        "ece": make_expected_calibration_error_scorer(n_bins=5),
        "log_loss": "neg_log_loss",
    }
    search = GridSearchCV(
        model, {"logisticregression__C": [1e-6, 1.0]}, scoring=scoring, refit="ne", cv=KFold(3)
    ).fit(log.data, log.target)
    assert search.best_params_ == {"logisticregression__C": 1.0}
    best = cross_validate(search.best_estimator_, log.data, log.target, scoring=scoring, cv=3)
    assert (best["test_ne"] < 0).all()
    assert (best["test_ece"] <= 0).all()


def test_losses_are_negative(log, model):
    fitted = clone(model).fit(log.data, log.target)
    p = fitted.predict_proba(log.data)[:, 1]
    ne = make_normalized_entropy_scorer()(fitted, log.data, log.target)
    assert ne == -normalized_entropy_score(log.target, p)
    rate = log.target.mean()
    assert ne == pytest.approx(-log_loss(log.target, p) / log_loss(log.target, [rate] * N))
    ece = make_expected_calibration_error_scorer(n_bins=4, strategy="uniform")
    assert ece(fitted, log.data, log.target) == -expected_calibration_error(
        log.target, p, n_bins=4, strategy="uniform"
    )


def test_unknown_column(log, model):
    fitted = clone(model).fit(log.data, log.target)
    with pytest.raises(ValueError, match="no column 'usr_id' to group by: did you mean 'user_id'"):
        make_gauc_scorer("usr_id")(fitted, log.data, log.target)
    frame = pd.DataFrame({"a": [1], "b": [2]})
    with pytest.raises(ValueError, match=r"its columns are \['a', 'b'\]"):
        make_gauc_scorer("campaign")(fitted, frame, [1])


def test_repr():
    assert repr(make_gauc_scorer("session")) == "make_gauc_scorer(group='session')"
    assert repr(make_normalized_entropy_scorer()) == "make_normalized_entropy_scorer()"
    assert repr(make_expected_calibration_error_scorer(n_bins=5)) == (
        "make_expected_calibration_error_scorer(n_bins=5, strategy='quantile')"
    )
