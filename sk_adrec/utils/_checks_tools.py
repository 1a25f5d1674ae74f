"""Checks inside scikit-learn's tools: pipelines, searches, calibration, importance."""

from __future__ import annotations

import numpy as np
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ._check_cases import ad_log, assert_finite, assert_same, needs, output, quick

# Parallel workers use fewer threads, which sum in another order.
_OTHER_THREADS = 1e-4


def _without_position(X):
    return X.drop(columns="position")


def _pipeline(model, **params):
    return Pipeline([("drop", FunctionTransformer(_without_position)), ("model", model)], **params)


def check_grid_search_in_pipeline(estimator):
    """GridSearchCV over a Pipeline's ``model__lr`` gives with n_jobs=2 what it gives with 1."""
    log = ad_log(600)
    X, y = log.data, log.target.to_numpy()
    name = "lr" if "lr" in estimator.get_params(deep=False) else "random_state"
    values = [1e-3, 3e-2] if name == "lr" else [0, 1]
    searches = [
        GridSearchCV(
            _pipeline(quick(estimator)),
            {f"model__{name}": values},
            scoring="neg_log_loss",
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(X, y)
        for n_jobs in (1, 2)
    ]
    serial, parallel = (search.cv_results_["mean_test_score"] for search in searches)
    assert_same(parallel, serial, "Scores with n_jobs=2", atol=_OTHER_THREADS)
    if name == "lr" and len(set(serial)) == 1:
        raise AssertionError(f"lr={values} should give different scores, got {serial}")
    best = searches[1].best_estimator_.named_steps["model"]
    if getattr(best, name) != values[int(np.argmax(parallel))]:
        raise AssertionError(f"The refitted model should have the best {name}")
    assert_finite(searches[1].predict_proba(X), "The refitted pipeline")


def check_cross_val_predict(estimator):
    """cross_val_predict gives probabilities for every row, better than chance."""
    log = ad_log(1_500)
    y = np.where(log.target == 1, "yes", "no")
    p = cross_val_predict(quick(estimator, max_epochs=5), log.data, y, cv=3, method="predict_proba")
    assert_finite(p, "cross_val_predict")
    if p.shape != (len(y), 2) or np.abs(p.sum(axis=1) - 1).max() > 1e-5:
        raise AssertionError(f"Two probabilities that sum to 1 expected, got shape {p.shape}")
    auc = roc_auc_score(y, p[:, 1])
    if auc < 0.55:
        raise AssertionError(f"Cross-validated AUC {auc:.3f}, above 0.55 expected on a planted log")


def check_calibrated_classifier(estimator):
    """CalibratedClassifierCV trains on frames, with weights, and keeps the labels' order."""
    log = ad_log(600)
    y = np.where(log.target == 1, "yes", "no")
    for method in ("sigmoid", "isotonic"):
        calibrated = CalibratedClassifierCV(quick(estimator, max_epochs=5), cv=2, method=method)
        calibrated.fit(log.data, y, sample_weight=np.ones(len(y)))
        p = calibrated.predict_proba(log.data)
        assert_finite(p, f"CalibratedClassifierCV(method={method!r})")
        rate = (y == "yes").mean()
        if list(calibrated.classes_) != ["no", "yes"] or abs(p[:, 1].mean() - rate) > 0.05:
            raise AssertionError(
                f"Calibrated probabilities should average to the base rate {rate:.3f}, got "
                f"{p[:, 1].mean():.3f}"
            )
        auc = roc_auc_score(y, p[:, 1])
        if auc < 0.6:
            raise AssertionError(f"AUC {auc:.3f} on the training rows, above 0.6 expected")


def check_permutation_importance(estimator):
    """permutation_importance on a raw frame finds the ids and not a constant column."""
    log = ad_log(1_500, interaction=2.0)
    X, y = log.data.assign(constant=1.0), log.target.to_numpy()
    model = quick(estimator, max_epochs=6).fit(X, y)
    found = permutation_importance(
        model, X, y, n_repeats=2, scoring="neg_log_loss", random_state=0
    ).importances_mean
    importance = dict(zip(X.columns, found))
    if importance["constant"] != 0:
        raise AssertionError("Shuffling a constant column should change nothing")
    if max(importance["user_id"], importance["item_id"]) < 0.005:
        raise AssertionError(f"Shuffled ids should cost log loss, got {importance}")


@needs("early_stopping")
def check_validation_rows_in_pipeline(estimator):
    """X_val reaches a Pipeline's last step, transformed: transform_input and metadata routing."""
    log = ad_log(600)
    X, y = log.data, log.target.to_numpy()
    train, valid = slice(0, 400), slice(400, None)
    weight = np.linspace(0.5, 2, 200)
    with config_context(enable_metadata_routing=True):
        model = quick(estimator).set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        piped = _pipeline(model, transform_input=["X_val"])
        piped.fit(X[train], y[train], X_val=X[valid], y_val=y[valid], sample_weight_val=weight)
    direct = clone(quick(estimator)).fit(
        _without_position(X[train]),
        y[train],
        X_val=_without_position(X[valid]),
        y_val=y[valid],
        sample_weight_val=weight,
    )
    scores = piped.named_steps["model"].validation_scores_
    if scores is None or list(scores) != list(direct.validation_scores_):
        raise AssertionError(
            f"Validation scores in a Pipeline should be {direct.validation_scores_}, got {scores}"
        )
    assert_same(
        piped.predict_proba(X), output(direct, _without_position(X)), "Trained in a Pipeline"
    )
