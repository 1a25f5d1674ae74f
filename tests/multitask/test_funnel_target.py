"""funnel_target against tables worked out by hand."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sk_adrec.multitask import funnel_target
from sk_adrec.multitask._target import stage_rates

COLUMNS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
STAGES = ["seen", "click", "cart", "order"]


def test_columns_become_numbers_of_stages():
    for y in (COLUMNS, COLUMNS.astype(bool), pl.DataFrame(COLUMNS), COLUMNS.tolist()):
        labels = funnel_target(y)
        assert labels.dtype == np.int64
        assert_array_equal(labels, [0, 1, 2, 3])
    frame = pd.DataFrame(COLUMNS, columns=STAGES[1:])
    assert_array_equal(
        funnel_target(frame[["order", "cart", "click"]], stages=STAGES[1:]), range(4)
    )
    assert_array_equal(funnel_target(frame, stages=["click", "order"]), [0, 1, 1, 2])


def test_labels_become_columns():
    assert_array_equal(funnel_target([0, 1, 2, 3], to="columns"), COLUMNS)
    y = funnel_target(np.array(STAGES), to="columns", stages=STAGES)
    assert y.dtype == np.int64
    assert_array_equal(y, COLUMNS)
    assert_array_equal(funnel_target(["click", "seen"], stages=STAGES), [1, 0])


def test_stages_that_do_not_occur_keep_their_place():
    assert funnel_target([0, 1], to="columns", stages=[0, 1, 2]).tolist() == [[0, 0], [1, 0]]
    assert funnel_target([0, 2], to="columns", stages=[0, 1, 2]).tolist() == [[0, 0], [1, 1]]


def test_unknown_stages_stay_unknown():
    y = np.array([[1.0, np.nan], [0.0, 0.0]])
    assert_array_equal(funnel_target(y, to="columns"), y)
    with pytest.raises(ValueError, match="1 rows hold NaN, the first is row 0: keep the columns"):
        funnel_target(y)


def test_inconsistent_rows():
    y = [[1, 0, 0], [0, 0, 1], [0, 1, 1], [1, np.nan, 1]]
    message = (
        "2 rows have not, the first is row 1, {'stage_1': '0', 'stage_2': '0', 'stage_3': '1'}"
    )
    with pytest.raises(ValueError, match=message):
        funnel_target(y)
    fixed = funnel_target(y, to="columns", on_inconsistent="fix")
    assert_array_equal(fixed, [[1, 0, 0], [1, 1, 1], [1, 1, 1], [1, 1, 1]])


def test_fixing_leaves_the_callers_array_alone():
    y = np.array([[0.0, 1.0], [0.0, 0.0]])
    funnel_target(y, on_inconsistent="fix")
    assert y.tolist() == [[0, 1], [0, 0]]
    frame = pd.DataFrame(y)
    funnel_target(frame, on_inconsistent="fix")
    assert frame.to_numpy().tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"to": "classes"}, "to must be one of 'label', 'columns', got 'classes'"),
        ({"stages": ["click", "card"]}, "stages must name the 3 columns of y"),
        ({"on_inconsistent": "ignore"}, "on_inconsistent must be one of"),
    ],
)
def test_bad_parameters(params, message):
    with pytest.raises(ValueError, match=message):
        funnel_target(COLUMNS, **params)


@given(st.lists(st.integers(0, 4), min_size=1), st.permutations("abcde"))
def test_there_and_back(stage, names):
    labels = np.array(names)[stage]
    columns = funnel_target(labels, to="columns", stages=names)
    assert (np.diff(columns, axis=1) <= 0).all()
    assert_array_equal(funnel_target(columns), stage)


def test_stage_rates_against_a_loop():
    rng = np.random.default_rng(0)
    y = (np.arange(3) < rng.integers(0, 4, 200)[:, None]).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    weight = rng.uniform(0.1, 2, 200)
    expected = []
    for k in range(3):
        hits = total = 0.0
        for row, w in zip(y, weight):
            if (k == 0 or row[k - 1] == 1) and not np.isnan(row[k]):
                hits, total = hits + w * row[k], total + w
        expected.append(hits / total)
    assert stage_rates(y, weight) == pytest.approx(expected)
    assert np.isnan(stage_rates(np.array([[0.0, 0.0]]), np.ones(1))[1])
