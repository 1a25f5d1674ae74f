"""The unit of sample weights means nothing; a weight counts like that many repetitions of a row."""

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit

from sk_adrec import (
    DCNv2Classifier,
    DeepFMClassifier,
    DINClassifier,
    DownsampledClassifier,
    ESMMEstimator,
    FMClassifier,
    GBDTLRClassifier,
    HSTUNextItem,
    SASRecNextItem,
    metrics,
)
from sk_adrec.datasets import make_ad_log
from sk_adrec.ranking import OnlineLogisticRegression

UNITS = [1e-50, 1e30]
LOG = make_ad_log(700, n_users=30, n_items=20, base_rate=0.3, random_state=0)
X, Y, FUNNEL = LOG.data, LOG.target.to_numpy(), LOG.funnel.to_numpy()
RNG = np.random.default_rng(0)
WEIGHT = RNG.uniform(0.1, 3, len(X))
WEIGHT[::17] = 0
FIRST, LATER = slice(0, 500), slice(500, None)
NET = {"max_epochs": 1, "random_state": 0}
TREES = {"n_estimators": 15, "num_leaves": 8, "n_jobs": 1}
SHARED = {"share_vocabulary": {"hist_item_id": "item_id"}}

MODELS = {
    "fm": lambda: FMClassifier(**NET),
    "deepfm": lambda: DeepFMClassifier(hidden_dims=(8,), **NET),
    "dcn": lambda: DCNv2Classifier(hidden_dims=(8,), **NET),
    "din": lambda: DINClassifier(hidden_dims=(8,), **NET, **SHARED),
    "esmm": lambda: ESMMEstimator(hidden_dims=(8,), **NET),
    "gbdt": lambda: gbdt(),
    "gbdt, rare ids by share": lambda: gbdt(min_frequency=0.01),
    "fm, rare ids by share": lambda: FMClassifier(min_frequency=0.01, **NET),
    "downsampled": lambda: DownsampledClassifier(gbdt(), negative_rate=0.5, random_state=0),
}


def gbdt(**params):
    return GBDTLRClassifier(LGBMClassifier(**TREES), **{"random_state": 0, **params})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MODELS)
def test_a_unit_of_weights_changes_nothing(name):
    y = FUNNEL if name == "esmm" else Y

    def learn(unit):
        weight = WEIGHT * unit
        model = MODELS[name]().fit(X[FIRST], y[FIRST], weight[FIRST])
        found = [model.predict_proba(X[LATER])]
        if name != "downsampled":
            model.partial_fit(X[LATER], y[LATER], weight[LATER])
            found.append(model.predict_proba(X[LATER]))
            validation = {"X_val": X[LATER], "y_val": y[LATER], "sample_weight_val": weight[LATER]}
            model.fit(X[FIRST], y[FIRST], weight[FIRST], **validation)
            found += [model.predict_proba(X[LATER]), model.validation_scores_]
        return [*found, model.score(X[LATER], y[LATER], weight[LATER])]

    expected = learn(1.0)
    for unit in UNITS:
        for value, wanted in zip(learn(unit), expected, strict=True):
            assert_allclose(value, wanted, atol=1e-6)


@pytest.mark.parametrize("model", [SASRecNextItem, HSTUNextItem])
def test_of_next_items_too(model):
    histories = pd.DataFrame({"h": [list(RNG.choice(list("abcdef"), 4)) for _ in range(100)]})
    y, weight = RNG.choice(list("abcdef"), 100), RNG.uniform(0.1, 3, 100)

    def learn(unit):
        fitted = model(embedding_dim=4, early_stopping=True, exclude_seen=False, **NET)
        fitted.fit(histories, y, weight * unit)
        return fitted.predict_proba(histories), fitted.score(histories, y, weight * unit)

    expected = learn(1.0)
    for unit in UNITS:
        for value, wanted in zip(learn(unit), expected):
            assert_allclose(value, wanted, atol=1e-6)


@pytest.mark.parametrize("model", [gbdt, FMClassifier])
def test_a_weight_is_so_many_rows_to_min_frequency(model):
    """Of a column of 20 ids with 1 to 20 rows each; the weights of half of the rows are 3."""
    ids = np.repeat(np.arange(20), np.arange(1, 21))
    X = pd.DataFrame({"id": ids.astype(str), "x": RNG.normal(size=len(ids))})
    y = (RNG.random(len(ids)) < expit(X["x"])).to_numpy().astype(int)
    weight = np.where(np.arange(len(ids)) % 2, 3, 1)
    repeated = np.repeat(np.arange(len(ids)), weight)
    params = {"random_state": 0, "early_stopping": False, "min_frequency": 10}
    if model is FMClassifier:
        params["max_epochs"] = 1
    weighted = model(**params).fit(X, y, weight).encoder_.vocabularies_["id"].values
    whole = model(**params).fit(X.iloc[repeated], y[repeated]).encoder_.vocabularies_["id"].values
    assert_array_equal(weighted, whole)
    total = np.bincount(ids, weight)
    assert set(weighted) == set(np.arange(20)[total >= 10].astype(str))
    # The default knows every id, whatever the unit; a share goes by shares.
    for unit in UNITS:
        known = model(**params | {"min_frequency": 1}).fit(X, y, weight * unit)
        assert len(known.encoder_.vocabularies_["id"].values) == 20
        share = model(**params | {"min_frequency": 10 / total.sum()}).fit(X, y, weight * unit)
        assert_array_equal(share.encoder_.vocabularies_["id"].values, weighted)


@pytest.mark.parametrize("unit", UNITS)
def test_the_linear_layer_alone(unit):
    """Its penalty is per unit of weight, as in scikit-learn's LogisticRegression."""
    rows = sparse.random(500, 20, 0.3, random_state=0, format="csr")
    y, weight = (RNG.random(500) < 0.05).astype(int), RNG.uniform(0.1, 3, 500)
    exact = {"tol": 1e-12, "max_iter": 1000}
    plain = OnlineLogisticRegression(C=0.5, **exact).fit(rows, y, weight)
    other = OnlineLogisticRegression(C=0.5 / unit, **exact).fit(rows, y, weight * unit)
    assert_allclose(other.predict_proba(rows), plain.predict_proba(rows), atol=1e-5)
    # However strong the penalty, the intercept is free.
    p = OnlineLogisticRegression().fit(rows, y, weight * unit).predict_proba(rows)[:, 1]
    assert np.average(p, weights=weight) == pytest.approx(np.average(y, weights=weight), rel=1e-3)


@pytest.mark.filterwarnings("error")
def test_metrics():
    n = 300
    y, p, groups = RNG.integers(0, 2, n), RNG.uniform(0.01, 0.99, n), RNG.choice(list("abcde"), n)
    recommended = [list(RNG.permutation(10)[:5]) for _ in range(n)]
    relevant = [list(RNG.permutation(10)[:2]) for _ in range(n)]
    weight = WEIGHT[:n]
    funnel = np.column_stack([y, y * RNG.integers(0, 2, n)]).astype(float)
    funnel[::11, 1] = np.nan
    model = Predicts(np.column_stack([p, p * RNG.uniform(0.1, 1, n)]))

    def all_of(weight):
        w = {"sample_weight": weight}
        values = [
            metrics.normalized_entropy_score(y, p, **w),
            metrics.calibration_ratio(y, p, **w),
            metrics.expected_calibration_error(y, p, **w),
            metrics.gauc_score(y, p, groups, **w),
            metrics.novelty_at_k(recommended, relevant, 3, **w),
        ]
        for name in ("hit_rate", "recall", "precision", "ndcg", "map", "mrr"):
            values.append(getattr(metrics, f"{name}_at_k")(recommended, relevant, 3, **w))
        for name in ("ctr_auc", "cvr_auc", "ctcvr_auc", "joint_log_loss"):
            scorer = metrics.make_funnel_scorer(name)
            values.append(scorer(model, np.zeros((n, 1)), funnel, **w))
        return values

    expected = all_of(weight)
    assert np.isfinite(expected).all()
    for unit in UNITS:
        assert_allclose(all_of(weight * unit), expected, rtol=1e-9)


class Predicts:
    classes_ = np.arange(2)

    def __init__(self, p):
        self.p = p

    def predict_proba(self, X):
        return self.p
