"""Names that come from data are drawn as they are, whatever matplotlib would make of them."""

import io
import pickle
import warnings

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

from sk_adrec import AttentionDisplay, CalibrationByGroupDisplay, TopKCurveDisplay

matplotlib.use("Agg")

NAMES = [
    "$5-$10", "$5_to_$10", "a$^$", "$a_$", "$", "$$", "US$", r"\$5 and \$6", "_baseline", "__",
    "_$_", "_nolegend_", "50 % #1 & more ~ {} \\frac", "a\nb", " padded ",
]  # fmt: skip


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def drawn(text: Text) -> str:
    """What a reader sees; None where it is math."""
    text, is_math = text._preprocess_math(text.get_text())
    return None if is_math else text


def save(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("png", "svg"):
            figure.savefig(io.BytesIO(), format=kind)
    # Once more, as a notebook that keeps the figure.
    pickle.loads(pickle.dumps(figure)).savefig(io.BytesIO())


def curves(*names):
    recommended = {name: [["a", "b", "c"]] * 9 for name in names}
    return TopKCurveDisplay.from_predictions(recommended, [["b"]] * 9)


@pytest.mark.parametrize("name", NAMES)
def test_every_curve_is_in_the_legend_under_its_name(name):
    display = curves(name, "other", "$other$")
    texts = display.ax_.get_legend().get_texts()
    assert [text.get_text() for text in texts] == [name, "other", "$other$"]
    assert [drawn(text) for text in texts] == [name, "other", "$other$"]
    save(display.figure_)


@pytest.mark.parametrize("name", NAMES)
def test_it_stays_in_a_legend_that_the_user_makes_anew(name):
    display = curves(name, "other")
    texts = display.ax_.legend(frameon=False).get_texts()
    assert [drawn(text).strip() for text in texts] == [name.strip(), "other"]
    save(display.figure_)


def test_other_curves_of_the_axes_keep_their_labels():
    _, ax = plt.subplots()
    ax.plot([1, 3], [0, 1], label=r"$\alpha$")
    TopKCurveDisplay.from_predictions({"_a$": [["a", "b", "c"]]}, [["b"]], ax=ax)
    display = TopKCurveDisplay.from_predictions({"$b$": [["a", "b", "c"]]}, [["b"]], ax=ax)
    alpha, a, b = display.ax_.get_legend().get_texts()
    assert drawn(alpha) is None
    assert [drawn(a).strip(), drawn(b)] == ["_a$", "$b$"]
    save(display.figure_)


@pytest.mark.parametrize("name", [1, ("a", "b"), 0.5, np.int64(3), ""])
def test_names_that_are_no_text(name):
    display = curves(name, "other")
    shown = [drawn(text) for text in display.ax_.get_legend().get_texts()]
    assert shown == [str(name), "other"]
    save(display.figure_)


@pytest.mark.parametrize("name", NAMES)
def test_groups(name):
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, 200), rng.uniform(0.2, 0.8, 200)
    groups = np.where(rng.random(200) < 0.5, name, "$b_$")
    display = CalibrationByGroupDisplay.from_predictions(y, p, groups, group_name=name)
    assert set(display.table.index) == {name, "$b_$"}
    labels = [drawn(text).rpartition("  (")[0] for text in display.ax_.get_yticklabels()]
    assert labels == display.drawn_.index.tolist()
    assert drawn(display.ax_.yaxis.label) == f"{name}  (observed of rows)"
    save(display.figure_)
    assert [drawn(text).rpartition("  (")[0] for text in display.ax_.get_yticklabels()] == labels


@pytest.mark.parametrize("name", NAMES)
def test_events_and_candidates(name):
    display = AttentionDisplay(
        [np.array([0.2, 0.8]), np.array([])], [[name, "$x$"], []], [f"item: {name}", name]
    ).plot()
    assert [drawn(text) for text in display.axes_[0].get_yticklabels()] == [name, "$x$"]
    titles = [drawn(ax.title) for ax in display.axes_]
    assert titles == [f"item: {name}", f"{name} (no history)"]
    save(display.figure_)


def test_characters_without_a_glyph_are_escaped():
    names = ["a\ud800", "\x00b", "tab\t"]
    escaped = ["a\\ud800", "\\x00b", "tab\\t"]
    display = AttentionDisplay([np.ones(3)], [names], ["\x07"]).plot()
    assert [drawn(text) for text in display.axes_[0].get_yticklabels()] == escaped
    save(display.figure_)
    y, p = np.array([0, 1] * 30), np.full(60, 0.5)
    groups = CalibrationByGroupDisplay.from_predictions(y, p, names * 20)
    labels = [drawn(text).rpartition("  (")[0] for text in groups.ax_.get_yticklabels()]
    assert sorted(labels) == sorted(escaped)
    save(groups.figure_)


def test_a_label_set_later_may_hold_math():
    y, p = np.array([0, 1] * 50), np.full(100, 0.5)
    display = CalibrationByGroupDisplay.from_predictions(y, p, ["a", "b"] * 50)
    display.ax_.set_ylabel(r"$\alpha$")
    assert drawn(display.ax_.yaxis.label) is None


def test_names_are_no_tex_where_other_text_is():
    with matplotlib.rc_context({"text.usetex": True}):
        display = curves("50 % of_all", "b")
        assert not any(text.get_usetex() for text in display.ax_.get_legend().get_texts())
        y, p = np.array([0, 1] * 50), np.full(100, 0.5)
        groups = CalibrationByGroupDisplay.from_predictions(y, p, ["a_1", "100%"] * 50)
        assert not any(text.get_usetex() for text in groups.ax_.get_yticklabels())


@pytest.mark.parametrize("unit", [1e-50, 1e-3, 1.0, 1e6, 1e30])
def test_a_display_is_the_same_in_any_unit_of_weights(unit):
    rng = np.random.default_rng(0)
    y, p, weight = rng.integers(0, 2, 200), rng.uniform(0.2, 0.8, 200), rng.uniform(0.5, 2, 200)
    groups = rng.choice(["a", "b"], 200)
    plain = CalibrationByGroupDisplay.from_predictions(y, p, groups, sample_weight=weight)
    other = CalibrationByGroupDisplay.from_predictions(y, p, groups, sample_weight=weight * unit)
    columns = ["ratio", "low", "high"]
    np.testing.assert_allclose(other.table[columns], plain.table[columns], rtol=1e-9)
    (label, *_), length = other.ax_.get_yticklabels(), 40
    assert len(label.get_text()) < length
    assert "(0 of" not in label.get_text()
