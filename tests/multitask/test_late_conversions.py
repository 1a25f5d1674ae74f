"""Conversions that come late: days without any, stages not known, rows known in part."""

import numpy as np
import pytest

from sk_adrec import ESMMEstimator
from sk_adrec.datasets import make_ad_log

QUICK = {"early_stopping": False, "random_state": 0}


@pytest.fixture(scope="module")
def log():
    return make_ad_log(3000, n_users=50, n_items=30, base_rate=0.3, conversion_rate=0.3,
                       random_state=0)  # fmt: skip


@pytest.mark.parametrize("target", ["columns", "labels"])
def test_level_is_found_after_a_first_day_without_conversions(log, target):
    funnel = log.funnel.to_numpy()
    day, later = slice(0, 500), slice(500, 3000)
    first = funnel[day] * [1, 0]
    model = ESMMEstimator(max_epochs=2, **QUICK)
    if target == "columns":
        model.partial_fit(log.data[day], first)
    else:
        model.partial_fit(log.data[day], first.sum(axis=1), classes=[0, 1, 2])
    assert model.predict_funnel(log.data)["ctcvr"].mean() < 0.02
    for start in range(500, 3000, 500):
        rows = slice(start, start + 500)
        y = funnel[rows] if target == "columns" else funnel[rows].sum(axis=1)
        model.partial_fit(log.data[rows], y)
    found = model.predict_funnel(log.data[later])["ctcvr"].mean()
    assert found == pytest.approx(funnel[later, 1].mean(), rel=0.25)


def test_a_day_of_which_no_conversion_is_known(log):
    y = log.funnel.to_numpy().astype(float)
    model = ESMMEstimator(max_epochs=2, **QUICK).fit(log.data[:2000], y[:2000])
    before = model.predict_funnel(log.data)["cvr"].mean()
    y[2000:, 1] = np.nan
    model.partial_fit(log.data[2000:], y[2000:])
    assert model.predict_funnel(log.data)["cvr"].mean() == pytest.approx(before, rel=0.2)


def test_all_known_rows_of_a_stage_held_out(log):
    y = log.funnel.to_numpy().astype(float)
    y[2:, 1] = np.nan
    for seed in range(3):
        model = ESMMEstimator(
            max_epochs=1, early_stopping=True, validation_fraction=0.9, random_state=seed
        ).fit(log.data, y)
        assert np.isfinite(model.predict_proba(log.data)).all()


def test_a_conversion_tells_that_its_click_happened(log):
    y = log.funnel.to_numpy().astype(float)
    partly = y.copy()
    partly[y[:, 1] == 1, 0] = np.nan
    fits = [ESMMEstimator(max_epochs=1, **QUICK).fit(log.data, target) for target in (y, partly)]
    assert np.array_equal(*(model.predict_proba(log.data) for model in fits))


def test_score_leaves_rows_out_of_which_nothing_is_known(log):
    y = log.funnel.to_numpy().astype(float)
    model = ESMMEstimator(max_epochs=1, **QUICK).fit(log.data, y)
    known = np.arange(3000) % 2 == 0
    partly = np.where(known[:, None], y, np.nan)
    assert model.score(log.data, partly) == pytest.approx(model.score(log.data[known], y[known]))
    with pytest.raises(ValueError, match="known stage in some row"):
        model.score(log.data, np.full_like(y, np.nan))
    with pytest.raises(ValueError, match="sample_weight"):
        model.score(log.data, y, sample_weight=[1, 2])


def test_text_without_an_order_is_told(log):
    names = np.array(["seen", "click", "purchase"])[log.funnel.sum(axis=1)]
    with pytest.warns(UserWarning, match="click -> purchase -> seen. Set stages"):
        ESMMEstimator(max_epochs=1, **QUICK).fit(log.data, names)
    with pytest.raises(ValueError, match="two or more columns of y"):
        ESMMEstimator(stages=["click"]).fit(log.data, log.funnel)
