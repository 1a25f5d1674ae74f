"""Ratios and intervals by hand, and what is drawn."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.stats import poisson
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_adrec import CalibrationByGroupDisplay
from sk_adrec.metrics import calibration_ratio

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def campaigns(n=4_000, seed=0):
    """Calibrated probabilities, but for campaign a (promises twice the clicks) and b (half)."""
    rng = np.random.default_rng(seed)
    group = rng.choice(list("abcd"), n)
    p = rng.uniform(0.02, 0.2, n)
    y = (rng.random(n) < p).astype(int)
    factor = pd.Series(group).map({"a": 2.0, "b": 0.5, "c": 1.0, "d": 1.0}).to_numpy()
    return y, p * factor, group


def from_predictions(*args, **kwargs):
    return CalibrationByGroupDisplay.from_predictions(*args, **kwargs)


def test_ratio_of_each_group():
    y, p, group = campaigns()
    weight = np.random.default_rng(1).random(len(y))
    for w in (None, weight):
        display = from_predictions(y, p, group, sample_weight=w)
        assert sorted(display.table.index) == list("abcd")
        for name, row in display.table.iterrows():
            rows = group == name
            part = None if w is None else w[rows]
            assert row["ratio"] == pytest.approx(
                calibration_ratio(y[rows], p[rows], sample_weight=part)
            )
            assert row["low"] < row["ratio"] < row["high"]
        assert display.overall == pytest.approx(calibration_ratio(y, p, sample_weight=w))
    assert display.table["ratio"].is_monotonic_decreasing
    assert display.table.index[0] == "a"
    assert display.table.index[-1] == "b"


def test_interval_is_the_exact_poisson_one():
    # 7 of 100 rows: at the limits, 7 or fewer (or more) have a probability of 2.5 %.
    y = np.repeat([1, 0], [7, 93])
    row = from_predictions(y, np.full(100, 0.1), np.zeros(100)).table.iloc[0]
    assert row["ratio"] == pytest.approx(10 / 7)
    assert poisson.cdf(7, 10 / row["low"]) == pytest.approx(0.025)
    assert poisson.sf(6, 10 / row["high"]) == pytest.approx(0.025)
    narrow = from_predictions(y, np.full(100, 0.1), np.zeros(100), confidence_level=0.5).table
    assert narrow["high"].iloc[0] < row["high"]


def test_weights_scale_nothing():
    y, p, group = campaigns()
    plain = from_predictions(y, p, group).table
    scaled = from_predictions(y, p, group, sample_weight=np.full(len(y), 20.0)).table
    for name in ("ratio", "low", "high"):
        assert scaled[name].to_numpy() == pytest.approx(plain[name].to_numpy())
    assert scaled["weight"].sum() == pytest.approx(20 * len(y))


def test_intervals_cover():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(400), 100)
    p = rng.uniform(0.02, 0.15, len(group))
    y = rng.random(len(group)) < p
    table = from_predictions(y, p, group).table
    covered = ((table["low"] <= 1) & (table["high"] >= 1)).mean()
    assert 0.94 <= covered <= 0.995
    # Downsampled negatives with weights change the rows, not the level.
    keep = y | (rng.random(len(y)) < 0.3)
    weighted = from_predictions(
        y[keep], p[keep], group[keep], sample_weight=np.where(y, 1, 1 / 0.3)[keep]
    ).table
    covered = ((weighted["low"] <= 1) & (weighted["high"] >= 1)).mean()
    assert 0.9 <= covered <= 0.995


def test_a_group_without_positives():
    y = [0, 0, 0, 1, 0]
    display = from_predictions(y, [0.1] * 5, ["a", "a", "a", "b", "b"])
    row = display.table.loc["a"]
    assert row["ratio"] == row["high"] == np.inf
    # No click in 0.3 expected: up to -log(0.025) are possible.
    assert row["low"] == pytest.approx(0.3 / -np.log(0.025))
    assert np.isfinite(display.ax_.get_xlim()).all()
    display.figure_.canvas.draw()
    nothing = from_predictions([0, 0], [0.1, 0.2], ["a", "b"])
    assert nothing.overall == np.inf
    nothing.figure_.canvas.draw()


def test_a_group_of_which_nothing_was_expected_nor_came():
    y, p, group = [0, 0, 1, 0, 0, 1], [0, 0, 0.5, 0.2, 0, 0], ["a", "a", "b", "b", "c", "c"]
    display = from_predictions(y, p, group)
    row = display.table.loc["a"]
    assert np.isnan(row["ratio"])
    assert (row["low"], row["high"]) == (0, np.inf)
    # A click where none was expected is wrong for certain.
    assert (display.table.loc["c", ["ratio", "low", "high"]] == 0).all()
    colors = dict(zip(display.drawn_.index, [bar.get_facecolor() for bar in display.bars_]))
    assert colors["a"] == colors["b"] != colors["c"]
    assert np.isfinite(display.ax_.get_xlim()).all()
    display.figure_.canvas.draw()
    nothing = from_predictions([0, 0], [0, 0], ["a", "b"])
    assert np.isnan(nothing.overall)
    nothing.figure_.canvas.draw()


def test_a_group_named_like_the_missing_ones():
    groups = ["(missing)", "(missing)", None, "((missing))", None, None]
    table = from_predictions([0, 1, 1, 0, 0, 1], [0.5] * 6, groups).table
    assert dict(table["weight"]) == {"(missing)": 2, "((missing))": 1, "(((missing)))": 3}


def test_missing_groups_are_a_segment():
    y, p, group = campaigns()
    names = pd.Series(group, name="campaign").where(group != "c")
    display = from_predictions(y, p, names)
    assert display.table.loc["(missing)", "weight"] == (group == "c").sum()
    assert display.group_name == "campaign"
    empty = pd.Categorical(group, categories=[*"abcd", "unused"])
    assert "unused" not in from_predictions(y, p, empty).table.index


def test_what_is_drawn():
    y, p, group = campaigns()
    display = from_predictions(y, p, group, group_name="campaign")
    ax = display.ax_
    assert ax.get_xscale() == "log"
    assert [label.get_text()[0] for label in ax.get_yticklabels()] == display.table.index.tolist()
    ends = [bar.get_x() + bar.get_width() for bar in display.bars_]
    assert ends == pytest.approx(display.table["ratio"].tolist())
    assert all(bar.get_x() == 1 for bar in display.bars_)
    colors = [bar.get_facecolor() for bar in display.bars_]
    assert colors[0] == colors[-1] != colors[1] == colors[2]
    # The first bar stands on top.
    assert ax.yaxis_inverted()
    assert 1.0 in [line.get_xdata()[0] for line in ax.lines]
    assert "95% Poisson interval" in ax.get_xlabel()
    assert ax.get_ylabel().startswith("campaign")


def test_only_the_heaviest_groups_are_drawn():
    y, p, _ = campaigns()
    group = np.minimum(np.random.default_rng(0).geometric(0.1, len(y)), 40)
    display = from_predictions(y, p, group, max_groups=5)
    assert sorted(display.drawn_.index) == [1, 2, 3, 4, 5]
    assert display.drawn_["ratio"].is_monotonic_decreasing
    assert len(display.table) == len(np.unique(group))
    assert "5 largest of" in display.ax_.get_ylabel()
    _, ax = plt.subplots()
    assert display.plot(max_groups=3, ax=ax).ax_ is ax
    assert len(display.bars_) == 3


@pytest.mark.parametrize("convert", [lambda X: X, pl.from_pandas], ids=["pandas", "polars"])
def test_from_estimator_reads_raw_rows(convert):
    y, p, group = campaigns()
    X = convert(pd.DataFrame({"p": p, "campaign": group}))
    labels = np.where(y, "click", "none")
    number = FunctionTransformer(lambda X: np.asarray(X["p"])[:, None])
    model = make_pipeline(number, LogisticRegression()).fit(X, labels)
    weight = np.linspace(0.5, 1.5, len(y))
    display = CalibrationByGroupDisplay.from_estimator(
        model, X, labels, group="campaign", sample_weight=weight
    )
    expected = from_predictions(
        labels == "none", model.predict_proba(X)[:, 1], group, sample_weight=weight
    )
    assert display.table.to_numpy() == pytest.approx(expected.table.to_numpy())
    assert display.group_name == "campaign"
    by_place = CalibrationByGroupDisplay.from_estimator(model, X, labels, "campaign")
    assert by_place.table.index.tolist() == display.table.index.tolist()
    with pytest.raises(ValueError, match="did you mean 'campaign'"):
        CalibrationByGroupDisplay.from_estimator(model, X, labels, group="campain")


def test_from_estimator_takes_groups_that_are_no_column():
    y, p, group = campaigns()
    # Rows that were filtered keep their index.
    X = pd.DataFrame({"p": p}, index=np.arange(len(y)) * 2)
    model = LogisticRegression().fit(X, y)
    expected = from_predictions(y, model.predict_proba(X)[:, 1], group).table
    series = pd.Series(group, index=X.index, name="campaign")
    for groups, name in ((series, "campaign"), (np.array(group), "group"), (list(group), "group")):
        display = CalibrationByGroupDisplay.from_estimator(model, X, y, group=groups)
        pd.testing.assert_frame_equal(display.table, expected, check_names=False)
        assert display.group_name == name
    for other in (series.reset_index(drop=True), series[::-1]):
        with pytest.raises(ValueError, match=r"group has another index than X.*group.loc\[X.index"):
            CalibrationByGroupDisplay.from_estimator(model, X, y, group=other)
    with pytest.raises(ValueError, match=r"group must have one entry for each .*, got 7"):
        CalibrationByGroupDisplay.from_estimator(model, X, y, group=series[:7])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"confidence_level": 95}, r"confidence_level must be a number in \(0, 1\), got 95"),
        ({"max_groups": 0}, "max_groups must be an integer"),
        ({"y_prob": [0.5, 2.0]}, "y_prob must hold probabilities"),
    ],
)
def test_messages(params, message):
    given = {"y_true": [0, 1], "y_prob": [0.2, 0.7], "groups": ["a", "a"], **params}
    with pytest.raises(ValueError, match=message):
        from_predictions(**given)


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "sk-adrec\[plot\]"'):
        from_predictions([0, 1], [0.2, 0.7], ["a", "a"])
