"""What AttentionDisplay draws: the model's weights beside the items' names."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose

from sk_adrec import AttentionDisplay, DINClassifier, FMClassifier

matplotlib.use("Agg")

HISTORIES = [["a", "b", None, "c", "d"], [], ["c", None], None] * 10
X = pd.DataFrame({"item": list("abcd") * 10, "history": HISTORIES, "price": np.arange(40.0)})


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def model():
    params = {"share_vocabulary": {"history": "item"}, "max_len": 3, "max_epochs": 2}
    return DINClassifier(**params, random_state=0).fit(X, [0, 1] * 20)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas], ids=["pandas", "polars"])
def test_bars_are_the_weights_and_names_the_newest_entries(model, make):
    frame = make(X)
    display = AttentionDisplay.from_estimator(model, frame, names={"d": "tent"}, max_rows=4)
    assert display.events == [["b", "c", "tent"], [], ["c"], []]
    weights = model.attention_weights(frame[:4])
    assert len(display.axes_) == 4
    for ax, weight, events in zip(display.axes_, weights, display.events):
        assert_allclose([bar.get_width() for bar in ax.patches], weight)
        assert [label.get_text() for label in ax.get_yticklabels()] == events
    assert display.axes_[0].get_title() == "item: a"
    assert display.axes_[1].get_title() == "item: b (no history)"


@pytest.mark.parametrize(("weights", "n_colored"), [([0.2, 0.5, 0.3], 1), ([0.33, 0.34, 0.33], 0)])
def test_only_an_event_that_stands_out_is_in_colour(weights, n_colored):
    display = AttentionDisplay([np.array(weights)], [["a", "b", "c"]], ["d"]).plot()
    first, second, third = (bar.get_facecolor() for bar in display.axes_[0].patches)
    assert first == third
    assert (second != first) == n_colored


def test_events_that_miss_an_attribute_keep_their_place():
    frame = X.assign(
        kind=list("uv") * 20, kinds=[["u", None, None, "v", "u"], [], [None, "v"], None] * 10
    )
    shared = {"history": "item", "kinds": "kind"}
    din = DINClassifier(share_vocabulary=shared, max_epochs=1, random_state=0)
    din.fit(frame, [0, 1] * 20)
    for history, expected in (
        ("history", ["a", "b", "c", "d"]),
        ("kinds", ["u", "(missing)", "v", "u"]),
    ):
        display = AttentionDisplay.from_estimator(din, frame, history=history, max_rows=1)
        assert display.events == [expected]
        assert len(display.weights[0]) == 4


def test_given_axes(model):
    _, axes = plt.subplots(1, 2)
    display = AttentionDisplay.from_estimator(model, X, max_rows=2, axes=axes)
    assert display.axes_.tolist() == axes.tolist()
    with pytest.raises(ValueError, match="one for each of the 3 rows, got 2"):
        AttentionDisplay.from_estimator(model, X, max_rows=3, axes=axes)


def test_errors(model):
    with pytest.raises(TypeError, match=r"must have attention_weights.*got FMClassifier"):
        AttentionDisplay.from_estimator(FMClassifier(), X)
    with pytest.raises(ValueError, match=r"attended to, \['history'\], got 'item'"):
        AttentionDisplay.from_estimator(model, X, history="item")
