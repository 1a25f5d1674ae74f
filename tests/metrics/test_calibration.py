"""Normalised entropy, calibration ratio and error: by hand, with weights, on a planted log."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import log_loss

from sk_adrec.datasets import make_ad_log
from sk_adrec.metrics import (
    calibration_ratio,
    expected_calibration_error,
    normalized_entropy_score,
)

METRICS = [normalized_entropy_score, calibration_ratio, expected_calibration_error]


def draw(n=2_000, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 4, n)
    return (rng.random(n) < p).astype(int), p, rng.integers(0, 4, n)


def test_normalized_entropy_of_the_base_rate_is_one():
    y, _, weight = draw()
    for w in (None, weight):
        rate = np.average(y, weights=w)
        assert normalized_entropy_score(y, np.full(len(y), rate), sample_weight=w) == pytest.approx(
            1
        )


def test_normalized_entropy_is_a_quotient_of_log_losses():
    y, p, weight = draw()
    base = np.full(len(y), np.average(y, weights=weight))
    expected = log_loss(y, p, sample_weight=weight) / log_loss(y, base, sample_weight=weight)
    assert normalized_entropy_score(y, p, sample_weight=weight) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalized_entropy_of_certain_predictions(dtype):
    y = np.array([0, 1, 0, 1])
    assert normalized_entropy_score(y, y.astype(dtype)) == pytest.approx(0, abs=1e-6)
    wrong = normalized_entropy_score(y, (1 - y).astype(dtype))
    assert wrong == pytest.approx(-np.log(np.finfo(dtype).eps) / np.log(2), rel=1e-6)


def test_calibration_ratio_scales_with_predictions():
    y, p, weight = draw()
    ratio = calibration_ratio(y, p, sample_weight=weight)
    assert ratio == pytest.approx((weight * p).sum() / (weight * y).sum())
    assert calibration_ratio(y, p / 2, sample_weight=weight) == pytest.approx(ratio / 2)
    single = calibration_ratio(y, p.astype(np.float32))
    assert single == pytest.approx(calibration_ratio(y, p))


def slow_ece(y, p, weight, edges):
    total = 0.0
    for low, high in zip([-np.inf, *edges], [*edges, np.inf]):
        rows = (p > low) & (p <= high) & (weight > 0)
        if rows.any():
            gap = np.average(p[rows], weights=weight[rows]) - np.average(
                y[rows], weights=weight[rows]
            )
            total += weight[rows].sum() / weight.sum() * abs(gap)
    return total


def test_expected_calibration_error_equals_a_loop_over_bins():
    y, p, weight = draw()
    equal_width = np.linspace(0, 1, 8)[1:-1]
    assert expected_calibration_error(
        y, p, n_bins=7, strategy="uniform", sample_weight=weight
    ) == pytest.approx(slow_ece(y, p, weight, equal_width))
    repeated = np.repeat(p, weight)
    equal_mass = np.quantile(repeated, np.linspace(0, 1, 8)[1:-1], method="inverted_cdf")
    assert expected_calibration_error(
        y, p, n_bins=7, strategy="quantile", sample_weight=weight
    ) == pytest.approx(slow_ece(y, p, weight, equal_mass))


def test_one_bin_is_the_overall_gap():
    y, p, _ = draw()
    for strategy in ("quantile", "uniform"):
        error = expected_calibration_error(y, p, n_bins=1, strategy=strategy)
        assert error == pytest.approx(abs(p.mean() - y.mean()))


def test_equal_probabilities_share_a_bin():
    # 8 of 10 rows tie: however many bins, their mean label is compared with their probability.
    p = np.array([0.25] * 8 + [0.9, 0.95])
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0, 1, 1])
    expected = (0.1 + 0.05) / 10
    for order in (slice(None), slice(None, None, -1)):
        assert expected_calibration_error(y[order], p[order], n_bins=10) == pytest.approx(expected)


def test_the_true_probabilities_are_calibrated():
    log = make_ad_log(50_000, negative_rate=0.2, random_state=0)
    y, p, weight = log.target, log.p_click, log.sample_weight
    assert calibration_ratio(y, p, sample_weight=weight) == pytest.approx(1, abs=0.03)
    error = expected_calibration_error(y, p, sample_weight=weight)
    assert error < 0.005
    assert expected_calibration_error(y, p * 0.7, sample_weight=weight) > 5 * error
    # Without its weights a downsampled log has too many clicks.
    assert calibration_ratio(y, p) < 0.6


@pytest.mark.parametrize("metric", METRICS)
def test_weights_equal_repetition(metric):
    y, p, weight = draw()
    rows = np.repeat(np.arange(len(y)), weight)
    assert metric(y, p, sample_weight=weight) == pytest.approx(metric(y[rows], p[rows]))


@pytest.mark.parametrize("metric", METRICS)
def test_labels_and_containers(metric):
    y, p, _ = draw()
    expected = metric(y, p)
    assert metric(np.where(y, "yes", "no"), pd.Series(p)) == expected
    assert metric(pd.Series(y, dtype="Int64"), pd.Series(p, dtype="Float64")) == expected
    assert metric(1 - y, p, pos_label=0) == expected


@pytest.mark.parametrize("metric", [normalized_entropy_score, calibration_ratio])
def test_undefined_is_nan(metric):
    with pytest.warns(UndefinedMetricWarning, match="is undefined: y_true holds"):
        assert np.isnan(metric([0, 0], [0.1, 0.2]))


def test_defined_with_one_class():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert calibration_ratio([1, 1], [0.4, 0.6]) == 0.5
        assert expected_calibration_error([0, 0], [0.1, 0.3]) == pytest.approx(0.2)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([0.5, 1.5], r"probabilities in \[0, 1\], got values from 0.5 to 1.5.*not logits"),
        ([[0.5, 0.5], [0.2, 0.8]], r"got two columns: pass predict_proba\(X\)\[:, 1\]"),
        ([0.5, np.nan], "y_prob contains NaN"),
        ([0.5], "inconsistent numbers of samples"),
    ],
)
def test_messages_on_probabilities(metric, p, message):
    with pytest.raises(ValueError, match=message):
        metric([0, 1], p)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_bins": 0}, r"n_bins must be an integer in \[1, inf\), got 0"),
        ({"strategy": "equal"}, "strategy must be one of 'quantile', 'uniform', got 'equal'"),
    ],
)
def test_messages_on_bins(params, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error([0, 1], [0.2, 0.8], **params)


@pytest.mark.parametrize("labels", [[1, "a"], np.array([1, "a"], dtype=object)])
def test_labels_of_two_types(labels):
    with pytest.raises(ValueError, match=r"labels of one type, got 'a' and 1, neither.*pos_label"):
        normalized_entropy_score(labels, [0.5, 0.2])
    with pytest.raises(ValueError, match=r"pos_label must be one of \[1, 'a'\], got 'b'"):
        normalized_entropy_score(labels, [0.5, 0.2], pos_label="b")
    by_hand = -(np.log(0.5) + np.log(0.8)) / 2 / np.log(2)
    assert normalized_entropy_score(labels, [0.5, 0.2], pos_label=1) == pytest.approx(by_hand)
