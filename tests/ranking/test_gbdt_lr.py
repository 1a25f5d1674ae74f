"""GBDTLRClassifier: leaves, the linear layer on them, online learning, nested parameters."""

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy import sparse
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_adrec import FMClassifier, GBDTLRClassifier
from sk_adrec.datasets import make_ad_log
from sk_adrec.ranking import OnlineLogisticRegression

TREES = {"n_estimators": 20, "num_leaves": 8, "random_state": 0, "n_jobs": 1}


def small(**params):
    return GBDTLRClassifier(**{"gbdt": LGBMClassifier(**TREES), "random_state": 0, **params})


@pytest.fixture(scope="module")
def log():
    return make_ad_log(3000, n_users=30, n_items=20, base_rate=0.3, random_state=0)


@pytest.fixture(scope="module")
def fitted(log):
    return small().fit(log.data, log.target)


@parametrize_with_checks([OnlineLogisticRegression(tol=1e-12, max_iter=2000)])
def test_linear_layer_passes_sklearn_checks(estimator, check):
    check(estimator)


# ---- leaves ------------------------------------------------------------------------------


def test_transform_is_the_one_hot_of_lightgbm_leaves(log, fitted):
    leaves = fitted.transform(log.data)
    names = fitted.get_feature_names_out()
    index = fitted.booster_.predict(fitted._tree_input(fitted._encode(log.data)), pred_leaf=True)
    assert leaves.shape == (len(log.data), len(names))
    for row in (0, 17, 2999):
        expected = [f"tree{t}_leaf{k}" for t, k in enumerate(index[row].astype(int))]
        assert list(names[leaves[row].indices]) == expected
    assert (leaves.data == 1).all()


def test_leaf_values_add_up_to_the_trees_logit(log, fitted):
    raw = fitted.booster_.predict(fitted._tree_input(fitted._encode(log.data)), raw_score=True)
    np.testing.assert_allclose(fitted.transform(log.data) @ fitted._leaves.logits(), raw)


def test_a_strong_penalty_gives_the_trees_alone_at_the_rate_of_the_rows(log):
    model = small(linear=OnlineLogisticRegression(C=1e-12), tree_fraction=1.0)
    model.fit(log.data, log.target)
    raw = model.booster_.predict(model._tree_input(model._encode(log.data)), raw_score=True)
    shift = model.decision_function(log.data) - raw
    np.testing.assert_allclose(shift, model.linear_.intercept_[0], atol=1e-6)
    assert model.predict_proba(log.data)[:, 1].mean() == pytest.approx(log.target.mean(), rel=1e-3)


@pytest.mark.parametrize("params", [{"linear__C": 0.003}, {"linear__lr": 0.05}])
def test_spelling_a_default_out_changes_nothing(log, params):
    plain = small().fit(log.data, log.target)
    spelled = small().set_params(**params).fit(log.data, log.target)
    np.testing.assert_array_equal(plain.predict_proba(log.data), spelled.predict_proba(log.data))


@pytest.mark.parametrize("trees", [{}, {"class_weight": "balanced"}])
def test_the_linear_layer_sets_the_level(trees):
    log = make_ad_log(4000, n_users=30, n_items=20, base_rate=0.03, n_history=0, random_state=0)
    gbdt = LGBMClassifier(**{**TREES, **trees, "n_estimators": 60})
    model = small(gbdt=gbdt, tree_fraction=1.0, early_stopping=False).fit(log.data, log.target)
    assert model.predict_proba(log.data)[:, 1].mean() == pytest.approx(log.target.mean(), rel=2e-2)


def test_hashing_keeps_the_width_and_the_number_of_ones(log):
    model = small(n_buckets=16).fit(log.data, log.target)
    leaves = model.transform(log.data)
    assert leaves.shape == (len(log.data), 16)
    assert (leaves.sum(axis=1) == TREES["n_estimators"]).all()
    assert list(model.get_feature_names_out()[:2]) == ["bucket0", "bucket1"]
    again = pickle.loads(pickle.dumps(model))
    assert (again.transform(log.data) != leaves).nnz == 0


def test_leaves_feed_another_model_in_a_pipeline(log):
    X, y = log.data, log.target
    model = make_pipeline(small(), LogisticRegression(C=0.01)).fit(X[:2000], y[:2000])
    loss = log_loss(y[2000:], model.predict_proba(X[2000:])[:, 1])
    assert loss < log_loss(y[2000:], np.full(1000, y[:2000].mean()))


def test_importances_name_the_columns_that_matter(log):
    X = log.data.assign(constant=1.0)
    model = small().fit(X, log.target)
    importance = dict(zip(model.feature_names_in_, model.feature_importances_))
    assert sum(importance.values()) == pytest.approx(1)
    assert importance["constant"] == 0
    assert max(importance["user_id"], importance["item_id"]) > 0.05


# ---- fit ---------------------------------------------------------------------------------


def test_the_linear_layer_improves_on_its_trees():
    log = make_ad_log(
        30_000, n_users=40, n_items=30, base_rate=0.3, interaction=1.5, random_state=0
    )
    X, y = log.data, log.target
    model = GBDTLRClassifier(random_state=0).fit(X[:20_000], y[:20_000])
    trees = model.booster_.predict(model._tree_input(model._encode(X[20_000:])))
    with_lr = model.predict_proba(X[20_000:])[:, 1]
    assert log_loss(y[20_000:], with_lr) < log_loss(y[20_000:], trees) - 1e-3


def test_trees_and_linear_layer_learn_on_disjoint_rows(log):
    model = small(tree_fraction=0.7, early_stopping=True)
    target = log.target.to_numpy()
    trees, linear, stop = model._split_layers(target, np.random.RandomState(0), False)
    assert not set(trees) & set(linear)
    assert sorted([*trees, *linear]) == list(range(len(target)))
    assert set(stop) <= set(linear)
    assert model.fit(log.data, target).n_iter_ >= 1


def test_early_stopping_keeps_the_best_number_of_trees(log):
    X, y = log.data, log.target
    weight = np.linspace(0.5, 2, 2500)
    gbdt = LGBMClassifier(**{**TREES, "n_estimators": 300, "learning_rate": 0.3})
    model = small(gbdt=gbdt, early_stopping=True, n_iter_no_change=5).fit(
        X[:500], y[:500], X_val=X[500:], y_val=y[500:], sample_weight_val=weight
    )
    best = int(np.argmax(model.validation_scores_)) + 1
    assert model.n_iter_ == model.booster_.num_trees() == best < 300
    assert len(model.validation_scores_) == best + 5
    trees = model.booster_.predict(model._tree_input(model._encode(X[500:])))
    loss = log_loss(y[500:], trees, sample_weight=weight)
    assert loss == pytest.approx(-max(model.validation_scores_), abs=1e-6)


def test_grids_nest(log):
    grid = {"gbdt__num_leaves": [4, 8], "linear__C": [1e-3, 1e-1]}
    search = GridSearchCV(
        small(linear=OnlineLogisticRegression()), grid, cv=2, scoring="neg_log_loss"
    ).fit(log.data[:800], log.target[:800])
    assert len(set(search.cv_results_["mean_test_score"])) == 4


@pytest.mark.parametrize("linear", [LogisticRegression(), SGDClassifier(loss="log_loss")])
def test_other_linear_layers(log, linear):
    X, y = log.data, log.target
    weight = np.ones(2000)
    model = small(linear=linear).fit(X[:2000], y[:2000], sample_weight=weight)
    p = model.predict_proba(X[2000:])
    np.testing.assert_allclose(expit(model.decision_function(X[2000:])), p[:, 1], atol=1e-6)
    assert "random_state" not in linear.get_params() or linear.random_state is None


def test_the_gbdt_given_stays_untouched(log):
    gbdt = LGBMClassifier(n_estimators=5)
    params = gbdt.get_params()
    small(gbdt=gbdt, n_jobs=1).fit(log.data[:500], log.target[:500])
    assert gbdt.get_params() == params
    assert not hasattr(gbdt, "booster_")


def test_weights_learn_the_weighted_log():
    log = make_ad_log(
        30_000, n_users=30, n_items=20, base_rate=0.1, negative_rate=0.2, random_state=0
    )
    weight = np.asarray(log.sample_weight)
    model = small().fit(log.data, log.target, sample_weight=weight)
    mean = np.average(model.predict_proba(log.data)[:, 1], weights=weight)
    assert mean == pytest.approx(np.average(log.target, weights=weight), rel=0.02)
    scaled = small().fit(log.data, log.target, sample_weight=7 * weight)
    np.testing.assert_allclose(
        scaled.predict_proba(log.data), model.predict_proba(log.data), atol=1e-6
    )


def test_silent(log, capfd):
    GBDTLRClassifier(random_state=0).fit(log.data[:30], log.target[:30]).predict(log.data)
    small().fit(log.data[:300], log.target[:300])
    assert capfd.readouterr() == ("", "")


def test_sparse_matrix_and_its_array_agree():
    X = sparse.random(300, 10, density=0.3, format="csr", random_state=0)
    y = (X @ np.arange(10) > 6).astype(int)
    model = small().fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), model.predict_proba(X.toarray()))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gbdt": "trees"}, "gbdt must be a lightgbm.LGBMClassifier or None, got 'trees'"),
        ({"linear": 3}, "linear must be a classifier with predict_proba or None, got 3"),
        ({"tree_fraction": 0}, "tree_fraction must be a number in (0, 1], got 0"),
        ({"n_buckets": 0}, "n_buckets must be an integer in [1, inf), got 0"),
        ({"passthrough": "all"}, "passthrough must be one of True, False, got 'all'"),
    ],
)
def test_parameters_out_of_range(log, params, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        small(**params).fit(log.data, log.target)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"categorical_features": ["nope"]}, "names a column that X does not have"),
        ({"categorical_features": [0]}, 'must be "from_dtype" where X is a scipy matrix'),
        ({"categorical_features": "auto"}, 'must be "from_dtype" or a list'),
        ({"share_vocabulary": {"a": "b"}}, "share_vocabulary must be None where X is a scipy"),
    ],
)
@pytest.mark.parametrize("model", [small(), FMClassifier(max_epochs=1)], ids=["gbdt", "fm"])
def test_no_ids_in_a_sparse_matrix(model, params, message):
    X, y = sparse.random(60, 3, density=0.5, format="csr", random_state=0), np.arange(60) % 2
    with pytest.raises(ValueError, match=message):
        clone(model).set_params(**params).fit(X, y)
    clone(model).set_params(categorical_features=[], share_vocabulary={}).fit(X, y)


def logistic_objective(y, raw):
    p = expit(raw)
    return p - y, p * (1 - p)


def test_an_own_objective_stops_on_the_log_loss(log):
    trees = LGBMClassifier(**TREES | {"n_estimators": 60, "metric": "auc"})
    trees.set_params(objective=logistic_objective)
    model = small(gbdt=trees, early_stopping=True, n_iter_no_change=3, tree_fraction=1.0)
    model.fit(log.data, log.target)
    _, _, stop = model._split_layers(log.target.to_numpy(), np.random.RandomState(0), False)
    X, y = log.data.iloc[stop], log.target.iloc[stop]
    raw = model.booster_.predict(model._tree_input(model._encode(X)), raw_score=True)
    assert max(model.validation_scores_) == pytest.approx(-log_loss(y, expit(raw)))
    assert model.n_iter_ == np.argmax(model.validation_scores_) + 1


@pytest.mark.parametrize("rare", [10, 1500])
@pytest.mark.parametrize(
    "params",
    [
        {"validation_fraction": 1e-4},
        {"validation_fraction": 1 - 1e-4},
        {"tree_fraction": 1e-4},
        {"tree_fraction": 1 - 1e-9},
    ],
)
def test_tiny_parts_hold_both_labels(rare, params):
    target = (np.arange(3000) < rare).astype(int)
    model = small(early_stopping=True, **params)
    for part in model._split_layers(target, np.random.RandomState(0), False):
        assert set(target[part]) == {0, 1}


def test_tiny_validation_fraction_fits(log):
    model = small(early_stopping=True, validation_fraction=1e-4).fit(log.data, log.target)
    assert np.isfinite(model.validation_scores_).all()


# ---- online ------------------------------------------------------------------------------


def drifting_log(n, rng, sign):
    """Clicks that depend on the ad; the dependence turns with `sign`."""
    X = pd.DataFrame({"ad": rng.choice([f"ad{k}" for k in range(10)], n), "x": rng.normal(size=n)})
    effect = np.where(X["ad"].isin([f"ad{k}" for k in range(5)]), sign, -sign)
    return X, (rng.random(n) < expit(effect + 0.5 * X["x"])).astype(int)


@pytest.mark.parametrize("rows", [1, 50])
def test_partial_fit_follows_drift_that_a_frozen_model_misses(rows):
    rng = np.random.default_rng(0)
    X, y = drifting_log(2000, rng, 1.0)
    frozen = small().fit(X, y)
    online = pickle.loads(pickle.dumps(frozen))
    trees = online._leaves.to_state()
    n = 20 * rows if rows > 1 else 300
    X_new, y_new = drifting_log(n, rng, -1.0)
    p = []
    for start in range(0, n, rows):
        part = X_new[start : start + rows]
        # Progressive validation: predict first, then learn.
        p.append(online.predict_proba(part))
        online.partial_fit(part, y_new[start : start + rows])
    assert log_loss(y_new, np.concatenate(p)) < log_loss(y_new, frozen.predict_proba(X_new)) - 0.1
    assert online._leaves.to_state() == trees


def test_partial_fit_on_a_steady_log_does_no_harm():
    rng = np.random.default_rng(0)
    X, y = drifting_log(4000, rng, 1.0)
    X_test, y_test = drifting_log(4000, rng, 1.0)
    model = small().fit(X[:2000], y[:2000])
    before = log_loss(y_test, model.predict_proba(X_test))
    model.partial_fit(X[2000:], y[2000:])
    assert log_loss(y_test, model.predict_proba(X_test)) < before + 0.005


def test_online_step_against_the_papers_formula():
    rng = np.random.default_rng(0)
    X = sparse.random(20, 6, density=0.5, format="csr", random_state=0)
    y, weight = rng.integers(0, 2, 20), rng.uniform(0.5, 2, 20)
    y[:2] = [0, 1]
    model = OnlineLogisticRegression(lr=0.1).fit(X, y, sample_weight=weight)
    w = np.append(model.coef_[0], model.intercept_)
    squares = model.squared_gradients_.copy()
    for x, label, s in zip(X.toarray(), y, weight):
        x1 = np.append(x, 1.0)
        gradient = s * (expit(x1 @ w) - label) * x1
        squares += gradient**2
        w -= 0.1 / (1 + np.sqrt(squares)) * gradient
    for row in range(20):
        model.partial_fit(X[row], y[[row]], sample_weight=weight[[row]])
    np.testing.assert_allclose(np.append(model.coef_[0], model.intercept_), w)


def test_partial_fit_needs_a_linear_layer_that_learns_online(log):
    model = small(linear=LogisticRegression()).fit(log.data[:500], log.target[:500])
    with pytest.raises(TypeError, match=r"LogisticRegression has none\. Use linear=None"):
        model.partial_fit(log.data[:10], log.target[:10])


# ---- the linear layer --------------------------------------------------------------------


def test_fit_finds_the_minimum():
    rng = np.random.default_rng(0)
    X = sparse.random(200, 8, density=0.4, format="csr", random_state=0)
    y, weight, prior = rng.integers(0, 2, 200), rng.uniform(0.5, 2, 200), rng.normal(size=8)

    def objective(w):
        z = X @ w[:-1] + w[-1]
        losses = np.logaddexp(0, z) - y * z
        return weight @ losses + ((w[:-1] - prior) ** 2).sum() / (2 * 0.7)

    slow = minimize(objective, np.zeros(9), tol=1e-10)
    fast = OnlineLogisticRegression(C=0.7, tol=1e-12).fit(
        X, y, sample_weight=weight, coef_prior=prior
    )
    found = np.append(fast.coef_[0], fast.intercept_)
    np.testing.assert_allclose(found, slow.x, atol=1e-4)


@pytest.mark.parametrize("offset", [0, 1e3])
def test_fit_is_not_misled_by_columns_far_from_zero_or_alike(offset):
    rng = np.random.default_rng(0)
    z = rng.normal(size=2000)
    y = rng.random(2000) < expit(2 * z)
    X = np.column_stack([offset + z, offset + z + 0.1 * rng.normal(size=2000), np.ones(2000)])
    found = OnlineLogisticRegression(C=100).fit(X, y)
    wanted = LogisticRegression(C=100, max_iter=5000, tol=1e-8).fit(X - X.mean(0), y)
    assert found.n_iter_ > 0
    assert log_loss(y, found.predict_proba(X)) == pytest.approx(
        log_loss(y, wanted.predict_proba(X - X.mean(0))), rel=1e-3
    )


def test_too_few_iterations_warn():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 20))
    with pytest.warns(ConvergenceWarning, match="has not converged after 2 iterations"):
        OnlineLogisticRegression(C=1e3, tol=1e-12, max_iter=2).fit(X, X @ rng.normal(size=20) > 0)


def test_one_label_learns_the_intercept_alone():
    X = sparse.identity(4, format="csr")
    model = OnlineLogisticRegression().fit(X, [1, 1, 1, 1], classes=[0, 1])
    assert (model.coef_ == 0).all()
    assert model.predict_proba(X)[0, 1] == pytest.approx(0.9)


@pytest.mark.parametrize("params", [{"linear__C": 0.1}, {"gbdt__num_leaves": 5}])
def test_grids_nest_into_the_default_parts(params):
    log = make_ad_log(1500, random_state=0)
    ((name, value),) = params.items()
    search = GridSearchCV(GBDTLRClassifier(random_state=0), {name: [value]}, cv=2)
    best = search.fit(log.data, log.target).best_estimator_
    assert best.get_params()[name] == value


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ({"y_val": [0, 1]}, "got y_val without X_val"),
        ({"sample_weight_val": [1.0]}, "needs X_val and y_val"),
    ],
)
def test_validation_rows_are_given_whole(validation, message):
    log = make_ad_log(500, random_state=0)
    with pytest.raises(ValueError, match=message):
        GBDTLRClassifier().fit(log.data, log.target, **validation)


def test_nested_parameters_of_a_part_set_to_none():
    model = small(linear=LogisticRegression())
    model.set_params(linear=None, linear__C=0.1, gbdt=None, gbdt__num_leaves=5)
    assert type(model.linear) is OnlineLogisticRegression
    assert model.linear.C == 0.1
    assert model.gbdt.num_leaves == 5


@pytest.mark.parametrize("linear", [None, LogisticRegression()])
def test_failing_set_params_changes_nothing(linear):
    model = small(linear=linear)
    before = {name: repr(value) for name, value in model.get_params().items()}
    other = OnlineLogisticRegression()
    for wrong in (
        {"linear__foo": 1},
        {"gbdt__num_leaves": 3, "linear__C": 0.5, "linear__foo": 1},
        {"max_len": 3, "linear": other, "linear__C": 0.5, "linear__foo": 1},
        {"max_len": 3, "foo": 1},
    ):
        with pytest.raises(ValueError, match="Invalid parameter 'foo'"):
            model.set_params(**wrong)
        assert {name: repr(value) for name, value in model.get_params().items()} == before
        assert model.linear is linear
    assert other.C == 1.0
