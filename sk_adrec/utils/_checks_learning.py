"""Checks of what a ranker learns: the planted signal, base rates, weights, the best epoch."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ._check_cases import FULL_BATCH, ad_log, assert_same, needs, output, quick, with_params

# Share of the gap between the base rate's log loss and the best one that a model has to close.
_SHARE_OF_GAP = 0.85
_N_TRAIN, _N_TEST = 40_000, 20_000


@functools.lru_cache(maxsize=1)
def _planted_log():
    """A log whose clicks need the pair of user and item, and the log losses of three models.

    Do not write into it: the next check gets the same.
    """
    log = ad_log(_N_TRAIN + _N_TEST, n_history=0, base_rate=0.3, interaction=1.5)
    train, test = slice(0, _N_TRAIN), slice(_N_TRAIN, None)
    X, y = log.data, log.target.to_numpy()
    rest = make_column_selector(dtype_include="number")
    ids = make_column_selector(dtype_exclude="number")
    additive = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ids),
            (make_pipeline(SimpleImputer(), StandardScaler()), rest),
        ),
        LogisticRegression(max_iter=200),
    ).fit(X[train], y[train])
    losses = {
        "base rate": log_loss(y[test], np.full(_N_TEST, y[train].mean())),
        "additive": log_loss(y[test], additive.predict_proba(X[test])[:, 1]),
        "best": log_loss(y[test], log.p_click[test]),
    }
    return X[train], y[train], X[test], y[test], losses


def check_learns_planted_signal(estimator):
    """Log loss on new rows closes most of the gap between the base rate and the known optimum.

    The step size and the batch are set to values at which a small log is learned in seconds.
    The model must also beat logistic regression on the same columns by half of what interactions
    are worth.
    """
    X, y, X_test, y_test, losses = _planted_log()
    model = with_params(
        estimator, lr=0.01, batch_size=1024, max_epochs=20, early_stopping=True, random_state=0
    )
    loss = log_loss(y_test, model.fit(X, y).predict_proba(X_test)[:, 1])
    share = (losses["base rate"] - loss) / (losses["base rate"] - losses["best"])
    if share < _SHARE_OF_GAP:
        raise AssertionError(
            f"The log loss {loss:.4f} closes {share:.0%} of the gap between the base rate "
            f"({losses['base rate']:.4f}) and the optimum ({losses['best']:.4f}), at least "
            f"{_SHARE_OF_GAP:.0%} expected"
        )
    halfway = (losses["additive"] + losses["best"]) / 2
    if loss > halfway:
        raise AssertionError(
            f"The log loss {loss:.4f} is not clearly below the {losses['additive']:.4f} of a model "
            f"without interactions: at most {halfway:.4f} expected"
        )


def check_parameters_as_given_learn(estimator):
    """The estimator's own parameters, only seeded, learn half of what interactions are worth."""
    X, y, X_test, y_test, losses = _planted_log()
    model = with_params(estimator, random_state=0).fit(X, y)
    loss = log_loss(y_test, model.predict_proba(X_test)[:, 1])
    halfway = (losses["additive"] + losses["best"]) / 2
    if loss > halfway:
        raise AssertionError(
            f"The log loss {loss:.4f} should be at most {halfway:.4f}, halfway from logistic "
            f"regression on the same columns ({losses['additive']:.4f}) to the optimum "
            f"({losses['best']:.4f}): choose defaults that learn {_N_TRAIN} rows"
        )


def check_mean_prediction(estimator):
    """The weighted mean of the probabilities is near the weighted base rate."""
    tolerance = 0.05
    for negative_rate in (1.0, 0.2):
        log = ad_log(4_000, base_rate=0.1, negative_rate=negative_rate)
        rate = np.average(log.target, weights=log.sample_weight)
        # Few steps: a level that nobody settled is then further off.
        model = quick(estimator, max_epochs=4).fit(
            log.data, log.target.to_numpy(), sample_weight=log.sample_weight
        )
        p = model.predict_proba(log.data)[:, 1]
        mean = np.average(p, weights=log.sample_weight)
        if abs(mean / rate - 1) > tolerance:
            raise AssertionError(
                f"The mean probability {mean:.4f} is more than {tolerance:.0%} off the base rate "
                f"{rate:.4f}, with negatives kept at rate {negative_rate:g} and weighed by its "
                "reciprocal"
            )


def check_first_category_learns(estimator):
    """No id is mistaken for padding: each id of a column learns its own click rate."""
    ids = np.array([f"ad_{k}" for k in range(4)])
    X = pd.DataFrame({"ad": np.tile(ids, 100), "slot": np.repeat(["top", "side"], 200)})
    y = (X["ad"].isin(ids[::2])).to_numpy().astype(int)
    model = quick(estimator, lr=0.1, max_epochs=20, batch_size=100, id_dropout=0.0).fit(X, y)
    rates = pd.Series(model.predict_proba(X)[:, 1]).groupby(X["ad"]).mean()
    wrong = rates[(rates > 0.5) != rates.index.isin(ids[::2])]
    if len(wrong) or rates.max() - rates.min() < 0.5:
        raise AssertionError(
            "Ids that always and never clicked should be told apart, got "
            f"{rates.round(2).to_dict()}"
        )


def check_sample_weight_equals_repetition(estimator):
    """A weight of k counts like k copies of the row, a weight of 0 like no row (DataFrame route).

    Compared in one full batch, without sampling of ids or validation rows: in float64 to the
    last digits, in float32 up to its rounding, and over few steps, since Adam makes whole steps
    of gradients that are nothing but rounding.
    """
    log = ad_log(200)
    X, y = log.data, log.target.to_numpy()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), weight)
    exact = {"batch_size": FULL_BATCH, "id_dropout": 0.0, "lr": 0.02}
    for dtype, atol, max_epochs in (("float64", 1e-9, 20), ("float32", 1e-4, 3)):
        model = quick(estimator, **exact, dtype=dtype, max_epochs=max_epochs)
        weighted = output(clone(model).fit(X, y, sample_weight=weight), X)
        copies = output(clone(model).fit(X.iloc[repeated], y[repeated]), X)
        assert_same(weighted, copies, f"Weights should equal repetition in {dtype}", atol=atol)
    effect = np.abs(weighted - output(clone(model).fit(X, y), X)).max()
    if effect < 1e-3:
        raise AssertionError(
            f"Weights from 0 to 3 should change the predictions, got a change of {effect:.2g}: is "
            "sample_weight used?"
        )


@needs("early_stopping", "max_epochs")
def check_early_stopping_restores_best_epoch(estimator):
    """After early stopping the model is that of the best epoch, not of the last one."""
    log = ad_log(1_500)
    X, y = log.data, log.target.to_numpy()
    train, valid = slice(0, 500), slice(500, None)
    weight = np.linspace(0.5, 2.0, len(y) - 500)
    model = quick(estimator, lr=0.1, max_epochs=30, early_stopping=True, n_iter_no_change=3).fit(
        X[train], y[train], X_val=X[valid], y_val=y[valid], sample_weight_val=weight
    )
    if model.validation_scores_ is None:
        raise AssertionError("validation_scores_ should score X_val after each epoch, got None")
    scores = np.asarray(model.validation_scores_)
    if not model.n_iter_ == len(model.loss_curve_) == len(scores):
        raise AssertionError("loss_curve_ and validation_scores_ should have n_iter_ entries")
    if scores.argmax() == len(scores) - 1:
        raise AssertionError(
            f"With 500 rows and lr=0.1 the model should overfit and stop, but the last of its "
            f"{len(scores)} epochs was the best"
        )
    if len(scores) > scores.argmax() + 4:
        raise AssertionError(
            f"Training should stop 3 epochs after the best one ({scores.argmax() + 1}), it ran "
            f"{len(scores)}"
        )
    stopped = clone(model).set_params(max_epochs=int(scores.argmax()) + 1, early_stopping=False)
    stopped.fit(X[train], y[train], X_val=X[valid], y_val=y[valid], sample_weight_val=weight)
    assert_same(
        output(model, X),
        output(stopped, X),
        "The model should be that of the best epoch (restore the best); its predictions",
    )
