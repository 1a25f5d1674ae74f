"""Scorers of funnels against scikit-learn's metrics on rows picked by hand."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_adrec import ESMMEstimator
from sk_adrec.datasets import make_ad_log
from sk_adrec.metrics import make_funnel_scorer

METRICS = ("ctr_auc", "cvr_auc", "ctcvr_auc", "joint_log_loss")
N = 400


class Fixed(ClassifierMixin, BaseEstimator):
    """Returns the rows of X as probabilities."""

    def __init__(self, classes=(0, 1)):
        self.classes = classes

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array(self.classes)
        return self

    def predict_proba(self, X):
        return np.asarray(X)


@pytest.fixture(scope="module")
def case():
    """Cumulative probabilities of three stages, stages drawn from them, weights."""
    rng = np.random.default_rng(0)
    p = np.cumprod(rng.uniform(0.2, 0.9, (N, 3)), axis=1)
    stage = (rng.random((N, 1)) < p).sum(axis=1)
    return p, (stage[:, None] > np.arange(3)).astype(float), stage, rng.uniform(0.1, 3, N)


def by_hand(p, y, weight):
    cart = y[:, 1] == 1
    each = -np.diff(np.column_stack([np.ones(N), p, np.zeros(N)]), axis=1)
    return {
        "ctr_auc": roc_auc_score(y[:, 0], p[:, 0], sample_weight=weight),
        "cvr_auc": roc_auc_score(y[cart, 2], p[cart, 2] / p[cart, 1], sample_weight=weight[cart]),
        "ctcvr_auc": roc_auc_score(y[:, 2], p[:, 2], sample_weight=weight),
        "joint_log_loss": -log_loss(y.sum(axis=1), each, sample_weight=weight),
    }


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("weighted", [False, True])
def test_columns_and_labels_against_scikit_learn(case, metric, weighted):
    p, y, stage, weight = case
    given = {"sample_weight": weight} if weighted else {}
    expected = by_hand(p, y, weight if weighted else np.ones(N))[metric]
    scorer = make_funnel_scorer(metric)
    assert scorer(Fixed().fit(p, y), p, y, **given) == pytest.approx(expected)
    frame = pd.DataFrame(y, columns=["click", "cart", "order"])
    assert scorer(Fixed().fit(p, y), p, frame, **given) == pytest.approx(expected)
    each = -np.diff(np.column_stack([np.ones(N), p, np.zeros(N)]), axis=1)
    model = Fixed(range(4)).fit(p, stage)
    assert scorer(model, each, stage, **given) == pytest.approx(expected)
    # Labels whose alphabet is not the funnel's.
    names = np.array(["seen", "click", "cart", "buy"])
    order = np.argsort(names)
    model = Fixed(tuple(names[order])).fit(p, stage)
    named = make_funnel_scorer(metric, stages=names)
    assert named(model, each[:, order], names[stage], **given) == pytest.approx(expected)


def test_unknown_stages_are_left_out(case):
    p, y, _, weight = case
    y = y.copy()
    y[::3, 2] = np.nan
    y[::6, 1] = np.nan
    y[::12, 0] = np.nan
    known = ~np.isnan(y)
    model = Fixed().fit(p, y)
    cart = (y[:, 1] == 1) & known[:, 2]
    assert make_funnel_scorer("cvr_auc")(model, p, y, weight) == pytest.approx(
        roc_auc_score(y[cart, 2], p[cart, 2] / p[cart, 1], sample_weight=weight[cart])
    )
    losses = []
    for row, probability, w in zip(y, p, weight):
        edges = [1.0, *probability, 0.0]
        reached = max([k + 1 for k in range(3) if row[k] == 1], default=0)
        missed = min([k + 1 for k in range(3) if row[k] == 0], default=4)
        if (reached, missed) != (0, 4):
            losses.append((w, -np.log(edges[reached] - edges[missed])))
    expected = np.average([loss for _, loss in losses], weights=[w for w, _ in losses])
    assert make_funnel_scorer("joint_log_loss")(model, p, y, weight) == pytest.approx(-expected)


def test_no_information_is_nan(case):
    p, y, _, _ = case
    model = Fixed().fit(p, y)
    assert np.isnan(make_funnel_scorer("ctr_auc")(model, p, np.ones_like(y)))
    assert np.isnan(make_funnel_scorer("cvr_auc")(model, p, y * 0))
    assert np.isnan(make_funnel_scorer("joint_log_loss")(model, p, np.full_like(y, np.nan)))


def test_impossible_outcomes_cost_much_but_not_everything():
    p = np.array([[0.5, 0.0]])
    score = make_funnel_scorer("joint_log_loss")(Fixed().fit(p, p), p, np.ones((1, 2)))
    assert -20 < score < -10


def test_a_fold_with_a_label_that_the_model_never_saw():
    p = np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    model = Fixed((0, 1)).fit(p, None)
    assert make_funnel_scorer("ctr_auc")(model, p, [0, 2, 1]) == 1.0
    assert make_funnel_scorer("ctcvr_auc")(model, p, [0, 2, 1]) == 0.5


def test_messages(case):
    p, y, _, _ = case
    with pytest.raises(ValueError, match=r"metric must be one of 'ctr_auc', .*, got 'auc'"):
        make_funnel_scorer("auc")
    with pytest.raises(ValueError, match="3 stages are predicted, but y has 2"):
        make_funnel_scorer()(Fixed().fit(p, y), p, y[:, :2])
    thirds = np.full((300, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"stages must hold all labels.*lacks 2"):
        make_funnel_scorer(stages=[0, 1])(Fixed(range(3)).fit(p, y), thirds, [0, 1, 2] * 100)
    with pytest.raises(ValueError, match="rise from one stage to the next"):
        make_funnel_scorer()(Fixed().fit(p, y), p[:, ::-1], y)
    assert repr(make_funnel_scorer("cvr_auc", stages=[0, 1])) == (
        "make_funnel_scorer('cvr_auc', stages=[0, 1])"
    )


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(N, 2))
    click = rng.random(N) < 1 / (1 + np.exp(-2 * X[:, 0]))
    order = click & (rng.random(N) < 1 / (1 + np.exp(-2 * X[:, 1])))
    return X, np.column_stack([click, order]).astype(float)


def test_searches_over_columns_with_nan(numbers):
    X, y = numbers
    y = y.copy()
    y[::4, 1] = np.nan
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ESMMEstimator(max_epochs=4, random_state=0)),
        {"esmmestimator__lr": [1e-9, 1e-2]},
        scoring={name: make_funnel_scorer(name) for name in METRICS},
        refit="joint_log_loss",
        cv=KFold(2),
    ).fit(X, y)
    assert search.best_params_ == {"esmmestimator__lr": 1e-2}
    assert search.cv_results_["mean_test_ctr_auc"][1] > 0.8


def test_any_classifier_of_labels(numbers):
    X, y = numbers
    stage = y.sum(axis=1).astype(int)
    for model in (LogisticRegression(), CalibratedClassifierCV(LogisticRegression(), cv=2)):
        scores = cross_validate(
            model, X, stage, scoring={m: make_funnel_scorer(m) for m in METRICS}
        )
        assert (scores["test_ctr_auc"] > 0.7).all()
    joint = cross_val_score(LogisticRegression(), X, stage, scoring=make_funnel_scorer(METRICS[3]))
    assert joint == pytest.approx(
        cross_val_score(LogisticRegression(), X, stage, scoring="neg_log_loss")
    )


def test_weights_are_routed(numbers):
    X, y = numbers
    stage = y.sum(axis=1).astype(int)
    weight = np.random.default_rng(2).uniform(0.1, 3, N)
    split = list(KFold(2).split(X))
    scorer = make_funnel_scorer("ctcvr_auc").set_score_request(sample_weight=True)
    with config_context(enable_metadata_routing=True):
        model = LogisticRegression().set_fit_request(sample_weight=True)
        params = {"sample_weight": weight}
        got = cross_val_score(model, X, stage, scoring=scorer, cv=split, params=params)
    expected = [
        make_funnel_scorer("ctcvr_auc")(
            LogisticRegression().fit(X[train], stage[train], sample_weight=weight[train]),
            X[test], stage[test], sample_weight=weight[test],
        )
        for train, test in split
    ]  # fmt: skip
    assert_array_equal(got, expected)


# ---- the order of stages -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def funnel():
    return make_ad_log(1500, n_users=20, n_items=10, base_rate=0.3, random_state=0)


@pytest.mark.parametrize("metric", METRICS)
def test_columns_of_a_frame_are_found_by_name(funnel, metric):
    model = ESMMEstimator(max_epochs=1, random_state=0).fit(funnel.data, funnel.funnel)
    scorer, turned = make_funnel_scorer(metric), funnel.funnel[["conversion", "click"]]
    expected = scorer(model, funnel.data, funnel.funnel)
    assert scorer(model, funnel.data, turned) == expected
    assert scorer(make_pipeline(model), funnel.data, turned) == expected
    stages = make_funnel_scorer(metric, stages=["click", "conversion"])
    assert stages(model, funnel.data, turned) == expected
    with pytest.raises(ValueError, match=r"y must have the stages .* as columns, got"):
        scorer(model, funnel.data, turned.rename(columns={"click": "clicked"}))


def test_labels_follow_the_model_s_stages(funnel):
    stages = ["seen", "click", "buy"]
    names = np.array(stages)[funnel.funnel.sum(axis=1)]
    model = ESMMEstimator(max_epochs=1, random_state=0, stages=stages).fit(funnel.data, names)
    found = make_funnel_scorer("ctr_auc")(model, funnel.data, names)
    p = model.predict_funnel(funnel.data)["ctr"]
    assert found == pytest.approx(roc_auc_score(funnel.funnel["click"], p))
    other = LogisticRegression().fit(np.arange(1500)[:, None], names)
    with pytest.raises(ValueError, match="stages must give the order"):
        make_funnel_scorer()(other, np.arange(1500)[:, None], names)


def test_labels_do_not_score_a_model_of_columns(funnel):
    model = ESMMEstimator(max_epochs=1, random_state=0).fit(funnel.data, funnel.funnel)
    with pytest.raises(ValueError, match="y holds labels, but the model was fitted on columns"):
        make_funnel_scorer()(model, funnel.data, funnel.funnel.sum(axis=1))
