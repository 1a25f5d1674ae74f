"""The level of probabilities: what is settled after training."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.metrics import log_loss
from torch import nn

from sk_adrec import DeepFMClassifier, DINClassifier, ESMMEstimator, FMClassifier
from sk_adrec._intercept import shift_to_mean
from sk_adrec.datasets import make_ad_log

QUICK = {"max_epochs": 2, "early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def log():
    return make_ad_log(3000, n_users=100, n_items=40, base_rate=0.05, random_state=0)


@pytest.mark.parametrize("kind", [FMClassifier, DeepFMClassifier, DINClassifier])
def test_mean_probability_of_the_training_rows_is_their_rate(kind, log):
    weight = np.random.default_rng(0).exponential(size=3000)
    shared = {"hist_item_id": "item_id"}
    model = kind(share_vocabulary=shared, **QUICK).fit(log.data, log.target, weight)
    p = model.predict_proba(log.data)[:, 1]
    rate = np.average(log.target, weights=weight)
    assert np.average(p, weights=weight) == pytest.approx(rate, rel=1e-4)


def test_mean_probability_of_each_stage_is_its_rate(log):
    rng = np.random.default_rng(0)
    click = log.target.to_numpy().astype(float)
    cart = click * (rng.random(3000) < 0.6)
    buy = cart * (rng.random(3000) < 0.6)
    y = np.column_stack([click, cart, buy])
    y[rng.random(3000) < 0.3, 2] = np.nan
    model = ESMMEstimator(**QUICK).fit(log.data, y)
    p = model.predict_proba(log.data)
    for k in range(3):
        known = ~np.isnan(y[:, k])
        assert p[known, k].mean() == pytest.approx(y[known, k].mean(), rel=1e-4)


def test_focal_loss_keeps_its_level(log):
    """Its probabilities are not meant to be rates, so nothing may look like it."""
    means = []
    for loss in ("log_loss", "focal"):
        model = FMClassifier(loss=loss, **QUICK).fit(log.data, log.target)
        means.append(model.predict_proba(log.data)[:, 1].mean())
    assert means[0] == pytest.approx(log.target.mean(), rel=1e-4)
    assert means[1] > 1.5 * means[0]


class WithPenalty(nn.Module):
    """The log loss and something else, as an auxiliary term would be."""

    is_proper = True

    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, logits, y):
        return self.loss(logits, y) + 0.01 * logits**2


class FMWithPenalty(FMClassifier):
    def _make_loss(self, task):
        return WithPenalty(super()._make_loss(task))


def test_a_wrapped_loss_is_settled_if_it_says_that_it_is_proper(log):
    """The penalty pulls logits to 0, and so the mean prediction up."""
    model = FMWithPenalty(**QUICK).fit(log.data, log.target)
    p = model.predict_proba(log.data)[:, 1]
    assert p.mean() == pytest.approx(log.target.mean(), rel=1e-4)


def test_no_other_shift_has_a_lower_log_loss():
    rng = np.random.default_rng(0)
    logits = rng.normal(-1, 1, 500)
    y, weight = (rng.random(500) < expit(logits + 0.7)).astype(int), rng.exponential(size=500)
    shift = shift_to_mean(logits, y, weight)
    losses = [
        log_loss(y, expit(logits + other), sample_weight=weight)
        for other in shift + np.array([-0.01, 0.0, 0.01])
    ]
    assert np.argmin(losses) == 1
    assert shift == pytest.approx(0.7, abs=0.3)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rows_of_one_label_shift_nothing(label):
    assert shift_to_mean(np.zeros(10), np.full(10, label), np.ones(10)) == 0.0


def test_few_rows_shift_less_and_scale_of_weights_does_not_matter():
    logits, spread = np.full(1000, 0.15 - np.log(3)), 0.1
    y = np.arange(1000) % 4 == 0
    whole = shift_to_mean(logits, y, np.ones(1000))
    assert whole == pytest.approx(-0.15, abs=1e-5)
    parts = [shift_to_mean(logits[:n], y[:n], np.ones(n), spread=spread) for n in (4, 100, 1000)]
    # Variance of the log odds of a rate p in n rows: 1 / (n p (1 - p)).
    expected = [whole * spread**2 / (spread**2 + 1 / (n * 3 / 16)) for n in (4, 100, 1000)]
    assert_allclose(parts, expected, rtol=1e-4)
    assert shift_to_mean(logits, y, np.full(1000, 7.0), spread=spread) == pytest.approx(parts[2])


def test_what_chance_does_not_explain_is_shifted_whole():
    logits, y = np.full(1000, -9.0), np.arange(1000) % 4 == 0
    shift = shift_to_mean(logits, y, np.ones(1000), spread=0.1)
    assert shift == pytest.approx(9 - np.log(3), abs=1e-5)
    assert shift_to_mean(logits, y, np.zeros(1000)) == 0.0


def days(n_days, rows_per_day, **kwargs):
    """A log without histories, cut into days, with a day that no model learns from."""
    log = make_ad_log(n_days * rows_per_day, random_state=0, **kwargs)
    X = log.data.drop(columns=[name for name in log.data if name.startswith("hist")])
    y = log.target.to_numpy()
    cuts = [slice(k * rows_per_day, (k + 1) * rows_per_day) for k in range(n_days)]
    return [(X[cut], y[cut]) for cut in cuts]


@pytest.mark.parametrize("grow_vocabulary", [False, True])
def test_daily_partial_fits_do_not_drift(grow_vocabulary):
    """Fresh Adam would take whole steps for rare ids, of which most rows are no clicks."""
    parts = days(12, 2500, n_users=1500, n_items=700, base_rate=0.04)
    first = pd.concat([X for X, _ in parts[:5]]), np.concatenate([y for _, y in parts[:5]])
    model = FMClassifier(grow_vocabulary=grow_vocabulary, random_state=0).fit(*first)
    X_late = pd.concat([X for X, _ in parts[10:]])
    rate = np.concatenate([y for _, y in parts]).mean()
    loaded = model
    for X, y in parts[5:10]:
        loaded = pickle.loads(pickle.dumps(loaded))  # every day, or never
        for each in (loaded, model):
            each.partial_fit(X, y)
            assert each.predict_proba(X_late)[:, 1].mean() == pytest.approx(rate, rel=0.25)
