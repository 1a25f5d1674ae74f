"""The checks themselves: each fails on an estimator that is broken in the way it looks for."""

import importlib
import time
import unittest
import warnings
from dataclasses import replace
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from sk_adrec import FMClassifier
from sk_adrec._net import RestoreBest
from sk_adrec.ranking._fm import FactorizationMachine
from sk_adrec.utils import estimator_checks as ec


class IgnoresWeight(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        return super().fit(X, y, **validation)


class CastsIds(FMClassifier):
    """Integer ids, wherever they are held, pass through float32."""

    @staticmethod
    def _cast(X):
        if isinstance(X, np.ndarray):
            return X.astype(np.float32).astype(np.int64)

        def rounded(value):
            if isinstance(value, list):
                return [rounded(entry) for entry in value]
            return int(np.float32(value))

        return X.assign(ad=[rounded(value) for value in X["ad"]]).astype(
            {"ad": "category"} if not isinstance(X["ad"].iloc[0], list) else {}
        )

    def fit(self, X, y, **rest):
        return super().fit(self._cast(X), y, **rest)

    def _forward(self, X, function=None):
        return super()._forward(self._cast(X), function)


class SeesPosition(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        return logit + 0.01 * np.arange(len(logit))


class CentresEachBatch(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        return logit - logit.mean()


class UnreadParameter(FMClassifier):
    def __init__(self, temperature=1.0, random_state=None):
        super().__init__(random_state=random_state)
        self.temperature = temperature


class Undocumented(FMClassifier):
    """A model.

    Parameters
    ----------
    embedding_dim : int, default=16
        Documented.
    width : int, default=2
        Not in the signature.
    """


class KeepsData(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        super().fit(X, y, sample_weight, **validation)
        self.seen_ = X.copy()
        return self


class Bloated(FMClassifier):
    def __getstate__(self):
        return {**super().__getstate__(), "padding": bytes(10**6)}


class PicklesTorch(FMClassifier):
    def __getstate__(self):
        return {**super().__getstate__(), "extra_": torch.zeros(2)}


class Note:
    pass


class HoldsObject(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        super().fit(X, y, sample_weight, **validation)
        self.note_ = Note()
        return self


class LosesBias(FMClassifier):
    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "net_"):
            self.net_.module_.w0.data += 1e-3


class SwallowsInterrupt(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        try:
            return super().fit(X, y, sample_weight, **validation)
        except KeyboardInterrupt:
            return self


class SwallowsInterruptLater(FMClassifier):
    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        try:
            return super().partial_fit(X, y, sample_weight, classes=classes)
        except KeyboardInterrupt:
            return self


class SpoiltByFailure(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        try:
            return super().fit(X, y, sample_weight, **validation)
        except BaseException:
            if hasattr(self, "net_"):
                self.net_.module_.w0.data += 1
            raise


class OneForAll(FMClassifier):
    latest = None

    def fit(self, X, y, sample_weight=None, **validation):
        super().fit(X, y, sample_weight, **validation)
        type(self).latest = self.net_
        return self

    def _forward_encoded(self, encoded, function=None, rows=None):
        # With rows it is called in fit.
        if rows is None:
            self.net_ = type(self).latest
        return super()._forward_encoded(encoded, function, rows)


class DrawsFromNumpy(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        np.random.rand()  # noqa: NPY002
        return super().fit(X, y, sample_weight, **validation)


class DrawsFromTorch(FMClassifier):
    def predict_proba(self, X):
        torch.rand(1)
        return super().predict_proba(X)


class Unseeded(FMClassifier):
    n_fits = 0

    def fit(self, X, y, sample_weight=None, **validation):
        super().fit(X, y, sample_weight, **validation)
        type(self).n_fits += 1
        self.net_.module_.w0.data += self.n_fits
        return self


class CountsCalls(FMClassifier):
    def predict_proba(self, X):
        self.n_calls_ = getattr(self, "n_calls_", 0) + 1
        return super().predict_proba(X)


class SharesBuffer(FMClassifier):
    def predict_proba(self, X):
        self._buffer = X
        time.sleep(0.002)
        return super().predict_proba(self._buffer)


class DoubleSigmoid(FMClassifier):
    def predict_proba(self, X):
        p = expit(super().predict_proba(X)[:, 1])
        return np.column_stack([1 - p, p])


class BaseRate(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        return np.full_like(logit, -0.85)


class LinearModule(FactorizationMachine):
    def forward(self, batch):
        with torch.no_grad():
            self.table.weight[:, :-1] = 0
            self.numeric[:, :-1] = 0
        return super().forward(batch)


class Linear(FMClassifier):
    def _build_module(self, schema):
        return LinearModule(schema, self.embedding_dim)


class FirstIdIsPadding(FMClassifier):
    def _encode(self, X):
        encoded = super()._encode(X)
        encoded.categorical[encoded.categorical == 2] = 0
        return encoded


class KeepsLastEpoch(FMClassifier):
    def _learn(self, rows, validation, classes):
        with mock.patch.object(RestoreBest, "on_train_end", return_value=None):
            super()._learn(rows, validation, classes)


class DropsValidation(FMClassifier):
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        return super().fit(X, y, sample_weight)


class KeepsOldest(FMClassifier):
    def _forward(self, X, function=None):
        lists = [value[: self.max_len] for value in X["hist_item_id"]]
        column = pd.Series(lists, index=X.index, dtype=X["hist_item_id"].dtype)
        return super()._forward(X.assign(hist_item_id=column), function)


class ReadsCodes(FMClassifier):
    @staticmethod
    def _codes(X):
        return X.assign(item_category=X["item_category"].cat.codes.astype(str))

    def fit(self, X, y, sample_weight=None, **validation):
        return super().fit(self._codes(X), y, sample_weight, **validation)

    def _forward(self, X, function=None):
        return super()._forward(self._codes(X), function)


class ReadsNumpyOnly(FMClassifier):
    def _forward(self, X, function=None):
        for name in X:
            if isinstance(X[name].dtype, pd.Int64Dtype):
                X = X.assign(**{name: np.nan})
        return super()._forward(X, function)


class SilentOnIds(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return super().fit(X, y, sample_weight, **validation)


class LosesLastRows(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        logit[30_000:] = 0.0
        return logit


class SortsColumns(FMClassifier):
    def _forward(self, X, function=None):
        return super()._forward(X[list(self.feature_names_in_)], function)


class AcceptsInfinity(FMClassifier):
    def _forward(self, X, function=None):
        return super()._forward(X.assign(price=X["price"].replace(np.inf, 0.0)), function)


class NaNForMissing(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        logit[X["device"].isna().to_numpy()] = np.nan
        return logit


class RaisesOnUnseen(FMClassifier):
    def _forward(self, X, function=None):
        known = self.encoder_.vocabularies_["user_id"].values
        if not X["user_id"].isin(known).all():
            raise AssertionError("unseen")
        return super()._forward(X, function)


class NaNForEmpty(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        logit[[value is None or len(value) == 0 for value in X["hist_item_id"]]] = np.nan
        return logit


class ReversesPolars(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        return logit if hasattr(X, "iloc") else logit[::-1]


class NeedsFrames(FMClassifier):
    def _forward(self, X, function=None):
        logit = super()._forward(X, function)
        return 0 * logit if isinstance(X, np.ndarray) else logit


class ForgetsParameter(FMClassifier):
    def set_params(self, **params):
        params.pop("l2", None)
        return super().set_params(**params)


class ReversesClassesLater(FMClassifier):
    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        super().partial_fit(X, y, sample_weight, classes=classes)
        self.classes_ = np.sort(self.classes_)[::-1]
        return self


class FrozenByFile(FMClassifier):
    frozen = False

    def __setstate__(self, state):
        super().__setstate__(state)
        self.frozen = True

    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        return self if self.frozen else super().partial_fit(X, y, sample_weight)


class ReversesClasses(FMClassifier):
    def fit(self, X, y, sample_weight=None, **validation):
        super().fit(X, y, sample_weight, **validation)
        self.classes_ = self.classes_[::-1]
        return self


class RefitsOnMore(FMClassifier):
    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        return self.fit(X, y, sample_weight)


class IgnoresMore(FMClassifier):
    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        return self if hasattr(self, "net_") else self.fit(X, y, sample_weight)


class ForgetsOnBadInput(FMClassifier):
    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        try:
            return super().partial_fit(X, y, sample_weight, classes=classes)
        except ValueError:
            self.net_.module_.w0.data += 1
            raise


class IgnoresCallbacks(FMClassifier):
    def _settings(self):
        return replace(super()._settings(), callbacks=())


class FixedStep(FMClassifier):
    def _settings(self):
        return replace(super()._settings(), lr=1e-3)


class Silent(FMClassifier):
    def _settings(self):
        return replace(super()._settings(), verbose=0)


class Undeclared(FMClassifier):
    lr: float = 0.5


FAILURES = [
    (IgnoresWeight, "check_sample_weight_equals_repetition", "Weights should equal repetition"),
    (CastsIds, "check_large_ids_stay_apart", "float32"),
    (SeesPosition, "check_row_order_and_batch_size", "Shuffled rows"),
    (CentresEachBatch, "check_row_order_and_batch_size", "1 at a time"),
    (CentresEachBatch, "check_one_row", "alone"),
    (Undeclared, "check_parameters_are_declared", r"declares \['lr'\].*@hyperparameters"),
    (UnreadParameter, "check_parameters_are_read", "temperature"),
    (UnreadParameter, "check_parameters_are_documented", "missing: .'temperature'"),
    (Undocumented, "check_parameters_are_documented", "missing.*'lr'.*unknown: .'width'"),
    (KeepsData, "check_pickle_size", "training data"),
    (Bloated, "check_pickle_size", "The pickle takes"),
    (PicklesTorch, "check_pickle_size", "torch"),
    (HoldsObject, "check_skops_round_trip", "Note"),
    (LosesBias, "check_pickle_round_trip", "After pickle"),
    (SwallowsInterrupt, "check_keyboard_interrupt", "KeyboardInterrupt expected"),
    (SpoiltByFailure, "check_keyboard_interrupt", "earlier model"),
    (SpoiltByFailure, "check_failed_fit", "earlier model"),
    (SpoiltByFailure, "check_failed_training", "earlier model"),
    (OneForAll, "check_instances_share_nothing", "its clone is fitted"),
    (DrawsFromNumpy, "check_global_generators_untouched", r"fit moved .*numpy\.random"),
    (DrawsFromTorch, "check_global_generators_untouched", "predict moved .*torch"),
    (Unseeded, "check_refit_equals_fit", "second instance"),
    (CountsCalls, "check_predict_changes_nothing", "attributes"),
    (SharesBuffer, "check_threads", "parallel threads"),
    (DoubleSigmoid, "check_mean_prediction", "base rate"),
    (DoubleSigmoid, "check_learns_planted_signal", "closes"),
    (BaseRate, "check_parameters_as_given_learn", "choose defaults"),
    (BaseRate, "check_first_category_learns", "told apart"),
    (BaseRate, "check_cross_val_predict", "AUC"),
    (BaseRate, "check_calibrated_classifier", "AUC"),
    (BaseRate, "check_permutation_importance", "ids should cost"),
    (BaseRate, "check_padding_and_truncation", "newest entry should change"),
    (Linear, "check_learns_planted_signal", "closes"),
    (FirstIdIsPadding, "check_first_category_learns", "told apart"),
    (KeepsLastEpoch, "check_early_stopping_restores_best_epoch", "restore the best"),
    (DropsValidation, "check_early_stopping_restores_best_epoch", "restore"),
    (DropsValidation, "check_validation_rows_in_pipeline", "got None"),
    (KeepsOldest, "check_padding_and_truncation", "newest max_len"),
    (ReadsCodes, "check_categories_by_value", "Reordered"),
    (ReadsNumpyOnly, "check_storage_does_not_matter", "'position' as Int64"),
    (SilentOnIds, "check_numeric_ids_warn", "probably ids"),
    (LosesLastRows, "check_row_order_and_batch_size", "33000 rows at once"),
    (SortsColumns, "check_column_names", "another order"),
    (AcceptsInfinity, "check_infinity_raises", "nothing was raised"),
    (NaNForMissing, "check_missing_values", "missing in all rows"),
    (RaisesOnUnseen, "check_unseen_categories", "unseen"),
    (NaNForEmpty, "check_empty_history", "empty histories"),
    (ReversesPolars, "check_polars", "Polars in predict"),
    (NeedsFrames, "check_object_array", "An object array"),
    (ForgetsParameter, "check_clone_and_set_params", r"set_params\(l2="),
    (ReversesClassesLater, "check_partial_fit_classes", "sorted"),
    (FrozenByFile, "check_partial_fit_after_loading", "should change"),
    (SwallowsInterruptLater, "check_partial_fit_interrupted", "KeyboardInterrupt expected"),
    (ReversesClasses, "check_string_labels", "sorted"),
    (RefitsOnMore, "check_partial_fit_new_ids", "one unknown id"),
    (IgnoresMore, "check_partial_fit_new_ids", "told apart"),
    (IgnoresMore, "check_partial_fit_first_call_is_fit", "should change"),
    (ForgetsOnBadInput, "check_partial_fit_bad_input", "After partial_fit"),
    (IgnoresCallbacks, "check_callbacks_and_net_params", "A callback should"),
    (FixedStep, "check_grid_search_in_pipeline", "different scores"),
    (Silent, "check_verbose_shows_progress", "train loss"),
]


@pytest.mark.parametrize(
    ("Broken", "check", "message"), FAILURES, ids=lambda value: getattr(value, "__name__", value)
)
def test_check_fails_on_a_broken_estimator(Broken, check, message):
    with pytest.raises(AssertionError, match=message):
        getattr(ec, check)(Broken())


def test_checks_are_public_and_documented():
    checks = [name for name in ec.__all__ if name.startswith("check_")]
    assert {check.__name__ for check in ec.yield_checks(FMClassifier())} <= set(checks)
    assert all(getattr(ec, name).__doc__ for name in checks)


NEEDS_ITS_DEVICE = """
from sk_adrec import FMClassifier

class NeedsItsDevice(FMClassifier):
    def __setstate__(self, state):
        if state["device"] == "cuda":
            raise RuntimeError("no such device here")
        super().__setstate__(state)
"""


def test_check_fails_on_a_model_that_needs_its_training_device(tmp_path, monkeypatch):
    # In a file of its own, which the new process can import.
    (tmp_path / "needs_its_device.py").write_text(NEEDS_ITS_DEVICE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = importlib.import_module("needs_its_device")
    with pytest.raises(AssertionError, match="no such device here"):
        ec.check_predicts_in_fresh_process(module.NeedsItsDevice())


def test_each_check_is_proved_to_fail():
    proved = {"check_predicts_in_fresh_process", *(check for _, check, _ in FAILURES)}
    assert {check.__name__ for check in ec.yield_checks(FMClassifier())} == proved


def test_kind_of_estimators():
    assert ec.estimator_kind(FMClassifier()) == "ranker"
    assert ec.estimator_kind(StandardScaler()) == "transformer"
    with pytest.raises(TypeError, match="BaseEstimator should be a classifier"):
        ec.estimator_kind(BaseEstimator())


def test_checks_depend_on_what_an_estimator_offers():
    def names(estimator):
        return {check.__name__ for check in ec.yield_checks(estimator)}

    assert "check_pickle_round_trip" in names(StandardScaler())
    assert "check_string_labels" not in names(StandardScaler())
    assert "check_string_labels" in names(LogisticRegression())
    assert "check_keyboard_interrupt" not in names(LogisticRegression())
    assert "check_keyboard_interrupt" in names(FMClassifier())


def test_check_estimator_raises_at_the_first_failure_and_warns_about_skips(monkeypatch):
    def skip(estimator):
        raise unittest.SkipTest("no polars")

    def fail(estimator):
        raise AssertionError("broken")

    monkeypatch.setattr(ec, "yield_checks", lambda estimator: [skip])
    with pytest.warns(match="no polars"):
        ec.check_estimator(FMClassifier())
    monkeypatch.setattr(ec, "yield_checks", lambda estimator: [fail])
    with pytest.raises(AssertionError, match="broken"):
        ec.check_estimator(FMClassifier())
