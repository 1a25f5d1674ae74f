"""Checks of funnels of two and more stages, as 0/1 columns that may hold NaN, and as labels."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from ..metrics._funnel_scorers import make_funnel_scorer
from ._check_cases import (
    FULL_BATCH,
    ad_log,
    assert_finite,
    assert_same,
    expect_error,
    output,
    quick,
)

_ROUNDING = 1e-6


def frame_and_funnel(n: int = 400, **options) -> tuple[pd.DataFrame, pd.DataFrame]:
    """X and the columns click, conversion, free to be changed; conversions are frequent."""
    log = ad_log(n, **{"conversion_rate": 0.4, **options})
    return log.data.copy(), log.funnel.astype(float)


def check_columns_and_labels_agree(estimator):
    """Columns and stage labels train the same model; each gets probabilities of its own shape."""
    X, y = frame_and_funnel()
    labels = y.sum(axis=1).astype(int).to_numpy()
    by_column = quick(estimator, early_stopping=True).fit(X, y)
    reached = by_column.predict_proba(X)
    if list(by_column.classes_) != [0, 1] or reached.shape != (len(X), 2):
        raise AssertionError("A target of two columns should give classes_ [0, 1] and two columns")
    spellings = {
        "integers": ([0, 1, 2], None),
        "strings that sort otherwise": (["seen", "click", "purchase"], "in funnel order"),
    }
    for what, (names, stages) in spellings.items():
        model = quick(estimator, early_stopping=True, stages=stages and names)
        model.fit(X, np.array(names)[labels])
        if list(model.classes_) != sorted(names):
            raise AssertionError(f"classes_ should be {sorted(names)}, got {list(model.classes_)}")
        p = model.predict_proba(X)[:, np.searchsorted(model.classes_, names)]
        from_labels = np.column_stack([p[:, 1] + p[:, 2], p[:, 2]])
        assert_same(from_labels, reached, f"Labels ({what}), columns", atol=_ROUNDING)
        if not set(model.predict(X)) <= set(names):
            raise AssertionError("predict should return labels after a fit on labels")
    if not np.isin(by_column.predict(X), [0, 1]).all():
        raise AssertionError("predict should return 0/1 columns after a fit on columns")


def check_funnel_is_nested(estimator):
    """0 <= pCVR <= 1, pCTCVR = pCTR x pCVR <= pCTR, for known and unknown ids."""
    X, y = frame_and_funnel()
    model = quick(estimator, lr=0.1).fit(X, y)
    unseen = X.assign(user_id="new", price=1e6)
    for frame in (X, unseen, X[:3]):
        funnel, p = model.predict_funnel(frame), model.predict_proba(frame)
        assert_finite(funnel.to_numpy(), "predict_funnel")
        if list(funnel) != ["ctr", "cvr", "ctcvr"] or not funnel.index.equals(frame.index):
            raise AssertionError("predict_funnel should have ctr, cvr, ctcvr and the index of X")
        if not funnel["cvr"].between(0, 1).all() or (funnel["ctcvr"] > funnel["ctr"]).any():
            raise AssertionError("0 <= cvr <= 1 and ctcvr <= ctr expected in every row")
        assert_same(funnel[["ctr", "ctcvr"]].to_numpy(), p, "predict_funnel and predict_proba")
        product = (funnel["ctr"] * funnel["cvr"]).to_numpy()
        assert_same(product, p[:, 1], "pCTR x pCVR", atol=_ROUNDING)


def check_unknown_stages_are_masked(estimator):
    """NaN is left out of the loss: probabilities stay those of the rows whose stages are known."""
    X, y = frame_and_funnel(4_000)
    rate = y["conversion"].mean()
    y.loc[np.random.default_rng(0).random(len(y)) < 0.6, "conversion"] = np.nan
    mean = quick(estimator, max_epochs=10).fit(X, y).predict_proba(X)[:, 1].mean()
    if abs(mean / rate - 1) > 0.25:
        raise AssertionError(
            f"With 60 % of the conversions unknown the mean pCTCVR should stay near {rate:.3f}, "
            f"got {mean:.3f}: is NaN read as 0?"
        )


def check_bad_stages(estimator):
    """Values that are no funnel raise: which, where, and what to do."""
    X, y = frame_and_funnel(200)
    wrong = y.copy()
    wrong.loc[[3, 7]] = [0.0, 1.0]
    with expect_error(ValueError, "A conversion without a click", "2 rows.*first is row 3"):
        quick(estimator).fit(X, wrong)
    fixed = quick(estimator, on_inconsistent="fix").fit(X, wrong)
    mended = wrong.assign(click=np.maximum(wrong["click"], wrong["conversion"]))
    assert_same(output(fixed, X), output(quick(estimator).fit(X, mended), X), "on_inconsistent=fix")
    with expect_error(ValueError, "A 2 in a column", "got 2 in row 5.*cross_val_predict"):
        quick(estimator).fit(X, np.where(np.arange(200)[:, None] == 5, 2, y))
    with expect_error(ValueError, "No click at all", "one class"):
        quick(estimator).fit(X, y * 0)
    with expect_error(ValueError, "Labels after columns", "funnel_target"):
        quick(estimator).fit(X, y, X_val=X, y_val=y["click"])


def check_more_stages(estimator):
    """Three stages, as columns and as labels, with names of their own."""
    X, y = frame_and_funnel()
    rng = np.random.default_rng(0)
    y.insert(1, "cart", np.maximum(y["conversion"], y["click"] * (rng.random(len(y)) < 0.3)))
    model = quick(estimator).fit(X, y)
    p = model.predict_proba(X)
    if p.shape != (len(X), 3) or (np.diff(p, axis=1) > 0).any():
        raise AssertionError("Three probabilities that never rise expected")
    names = ["p_click", "p_cart_given_click", "p_cart", "p_conversion_given_cart", "p_conversion"]
    if list(model.predict_funnel(X)) != names:
        raise AssertionError(f"predict_funnel should have the columns {names}")
    reordered = quick(estimator, stages=list(y)).fit(X, y[y.columns[::-1]])
    assert_same(output(reordered, X), p, "Columns named by `stages` in another order")
    labels = quick(estimator).fit(X, y.sum(axis=1).astype(int)).predict_proba(X)
    if labels.shape != (len(X), 4) or np.abs(labels.sum(axis=1) - 1).max() > 1e-5:
        raise AssertionError("Four probabilities that sum to 1 expected after four labels")


def check_missing_last_stage(estimator):
    """Rows that lack the last stage: `stages` keeps its place, and columns need nothing."""
    X, y = frame_and_funnel()
    lacking = y["conversion"] == 0
    columns = quick(estimator).fit(X[lacking], y[lacking]).predict_proba(X)
    labels = y.sum(axis=1).astype(int)
    model = quick(estimator, stages=[0, 1, 2]).fit(X[lacking], labels[lacking])
    p = model.predict_proba(X)
    if list(model.classes_) != [0, 1, 2] or p.shape != (len(X), 3):
        raise AssertionError("stages=[0, 1, 2] should give three classes where y lacks one")
    for got in (columns[:, 1], p[:, 2]):
        if not (got >= 0).all() or got.max() > 0.01:
            raise AssertionError("A stage that no row reached should be predicted to be rare")


def check_columns_in_files(estimator):
    """A model of columns survives pickling bit by bit, its names included."""
    X, y = frame_and_funnel()
    model = quick(estimator).fit(X, y)
    loaded = pickle.loads(pickle.dumps(model))
    assert_same(output(loaded, X), output(model, X), "Columns, after pickle")
    pd.testing.assert_frame_equal(loaded.predict_funnel(X), model.predict_funnel(X))
    assert_finite(output(loaded.partial_fit(X, y), X), "partial_fit on columns after loading")


def check_column_weights_equal_repetition(estimator):
    """With columns and NaN, too, a weight of k counts like k copies of the row."""
    X, y = frame_and_funnel(200)
    y.loc[::5, "conversion"] = np.nan
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    model = quick(estimator, batch_size=FULL_BATCH, id_dropout=0.0, max_epochs=10, dtype="float64")
    weighted = clone(model).fit(X, y, sample_weight=weight)
    copies = clone(model).fit(X.iloc[rows], y.iloc[rows])
    assert_same(output(weighted, X), output(copies, X), "Weights and copies", atol=1e-9)


def check_columns_in_tools(estimator):
    """Searches take columns with NaN by a splitter; cross_val_predict takes those without."""
    X, y = frame_and_funnel(600)
    p = cross_val_predict(quick(estimator), X, y, cv=3, method="predict_proba")
    if p.shape != (600, 2) or (p[:, 1] > p[:, 0]).any():
        raise AssertionError("cross_val_predict should give pCTR and pCTCVR")
    y.loc[::5, "conversion"] = np.nan
    model = Pipeline([("same", FunctionTransformer()), ("model", quick(estimator))])
    search = GridSearchCV(
        model,
        {"model__max_epochs": [1, 4]},
        scoring=make_funnel_scorer("joint_log_loss"),
        cv=KFold(2),
        error_score="raise",
    ).fit(X, y)
    assert_finite(search.cv_results_["mean_test_score"], "A search over columns with NaN")
    with expect_error(ValueError, "cross_val_predict with NaN", "cross_val_predict"):
        cross_val_predict(quick(estimator), X, y, cv=KFold(2), method="predict_proba")


def check_calibrated_labels(estimator):
    """CalibratedClassifierCV takes labels of three stages."""
    X, y = frame_and_funnel(600)
    labels = y.sum(axis=1).astype(int)
    calibrated = CalibratedClassifierCV(quick(estimator, max_epochs=10), cv=2).fit(X, labels)
    p = calibrated.predict_proba(X)
    rates = np.bincount(labels) / len(labels)
    if p.shape != (600, 3) or np.abs(p.mean(axis=0) - rates).max() > 0.1:
        raise AssertionError(f"Calibrated probabilities should average to {rates}, got {p.mean(0)}")
