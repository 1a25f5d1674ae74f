"""The values of the curves, and what is drawn."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning

from sk_adrec import TopKCurveDisplay, metrics

matplotlib.use("Agg")

METRICS = ["hit_rate", "map", "mrr", "ndcg", "precision", "recall"]


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    good, bad = (np.array([rng.permutation(40)[:12] for _ in range(60)]) for _ in range(2))
    relevant = [top[rng.integers(0, 12, 2)].tolist() for top in good]
    relevant[3] = []
    return {"good": good, "bad": bad}, relevant, rng.random(60)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("empty", ["skip", "zero"])
def test_values_are_those_of_the_metric(case, metric, empty):
    recommended, relevant, weight = case
    display = TopKCurveDisplay.from_predictions(
        recommended, relevant, metric=metric, sample_weight=weight, empty=empty
    )
    assert display.table.index.tolist() == list(range(1, 13))
    assert display.table.columns.tolist() == ["good", "bad"]
    assert display.n_rows == (59 if empty == "skip" else 60)
    score = getattr(metrics, f"{metric}_at_k")
    for name, ids in recommended.items():
        for k in (1, 5, 12):
            expected = score(ids, relevant, k, sample_weight=weight, empty=empty)
            assert display.table.loc[k, name] == pytest.approx(expected)


def test_what_is_drawn(case):
    recommended, relevant, _ = case
    figure, ax = plt.subplots()
    display = TopKCurveDisplay.from_predictions(recommended, relevant, ks=[10, 1, 5], ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert [line.get_label() for line in display.lines_] == ["good", "bad"]
    for line, name in zip(display.lines_, display.table):
        assert line.get_xdata().tolist() == [1, 5, 10]
        assert line.get_ydata().tolist() == display.table[name].tolist()
    assert ax.get_xlabel() == "k"
    assert ax.get_ylabel() == "recall at k, 59 rows"
    assert ax.get_ylim()[0] == 0
    assert display.plot().ax_ is not ax
    ndcg = TopKCurveDisplay.from_predictions(recommended, relevant, metric="ndcg")
    assert ndcg.ax_.get_ylabel() == "NDCG at k, 59 rows"


def test_ks_without_saying():
    lists = {"a": [[1, 2, 3], [1]], "b": pd.Series([[4, 5], None])}
    display = TopKCurveDisplay.from_predictions(lists, [2, 2])
    assert display.table["a"].tolist() == [0.0, 0.5]
    assert display.table["b"].tolist() == [0.0, 0.0]


class Fixed(BaseEstimator):
    """Recommends items in a given order to everybody."""

    def __init__(self, order, user="user_id", item="item_id"):
        self.order = order
        self.user = user
        self.item = item

    def recommend(self, users, k=10, exclude_seen=True):
        order = self.order if exclude_seen else self.order[::-1]
        return np.tile(order[:k], (len(users), 1)), None


def test_from_estimators():
    log = pd.DataFrame({"user_id": [1, 1, 2], "item_id": [5, 6, 6]})
    models = {"first": Fixed([5, 6, 7, 8]), "last": Fixed([8, 7, 6, 5])}
    display = TopKCurveDisplay.from_estimators(models, log, ks=4)
    # User 1 wants 5 and 6, user 2 wants 6.
    assert display.table["first"].tolist() == [0.25, 1, 1, 1]
    assert display.table["last"].tolist() == [0, 0, 0.75, 1]
    assert display.n_rows == 2
    turned = TopKCurveDisplay.from_estimators(models, log, ks=[2, 4], exclude_seen=False)
    assert turned.table["last"].tolist() == [1, 1]
    weighted = TopKCurveDisplay.from_estimators(models, log, ks=1, sample_weight=[1, 1, 0])
    assert weighted.table["first"].tolist() == [0.5]
    labelled = TopKCurveDisplay.from_predictions({"a": [[5]]}, [5], metric="mrr")
    assert labelled.ax_.get_ylabel() == "MRR at k, 1 rows"


class Forgetful(Fixed):
    """Has seen some pairs."""

    def __init__(self, order, seen, user="user_id", item="item_id"):
        super().__init__(order, user, item)
        self.seen = seen

    def has_seen(self, users, items):
        return np.array([pair in self.seen for pair in zip(users, items)], dtype=bool)


def test_curves_are_of_the_same_rows():
    log = pd.DataFrame({"user_id": [1, 1, 2, 3], "item_id": [5, 6, 6, 5]})
    models = {
        "one": Forgetful([6, 5, 7], {(1, 5)}),
        "all": Fixed([6, 5, 7]),
        "two": Forgetful([5, 6, 7], {(3, 5)}),
    }
    # User 1 wants 6, user 2 wants 6, and user 3 nothing.
    for names in (["one", "all", "two"], ["two", "all", "one"]):
        display = TopKCurveDisplay.from_estimators({n: models[n] for n in names}, log, ks=2)
        assert display.n_rows == 2
        assert display.table[["one", "all", "two"]].to_numpy().tolist() == [[1, 1, 0], [1, 1, 1]]
    again = TopKCurveDisplay.from_estimators(models, log, ks=2, exclude_seen=False)
    assert again.n_rows == 3
    alone = TopKCurveDisplay.from_estimators({"all": models["all"]}, log, ks=1)
    assert alone.table["all"].tolist() == [0.5]
    other = Fixed([6, 5, 7], user="household")
    with pytest.raises(ValueError, match=r"different numbers of rows, \{'all': 3, 'other': 1\}"):
        TopKCurveDisplay.from_estimators(
            {"all": models["all"], "other": other}, log.assign(household=1), ks=2
        )


def test_one_warning_where_nothing_counts():
    log = pd.DataFrame({"user_id": [1, 2], "item_id": [5, 6]})
    model = Forgetful([5, 6, 7], {(1, 5), (2, 6)})
    with pytest.warns(UndefinedMetricWarning, match="the curves are 0: X holds no pair") as caught:
        display = TopKCurveDisplay.from_estimators({"a": model, "b": Fixed([5, 6, 7])}, log, ks=3)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert display.table.to_numpy().tolist() == [[0, 0]] * 3
    assert display.table.index.name == "k"
    assert display.n_rows == 0
    with pytest.warns(UndefinedMetricWarning, match="recall at 1 to 3 is undefined") as caught:
        display = TopKCurveDisplay.from_predictions({"a": [[1, 2, 3]], "b": [[3, 2, 1]]}, [[]])
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert display.table.isna().all(axis=None)


def test_errors(case):
    recommended, relevant, _ = case
    draw = TopKCurveDisplay.from_predictions
    with pytest.raises(TypeError, match=r"recommended must be a dict of model.*got ndarray"):
        draw(recommended["good"], relevant)
    with pytest.raises(TypeError, match="at least one model"):
        draw({}, relevant)
    with pytest.raises(TypeError, match=r"estimators must be a dict of model.*got Fixed"):
        TopKCurveDisplay.from_estimators(Fixed([1]), None)
    with pytest.raises(ValueError, match="k is 13, but recommended has 12 columns"):
        draw(recommended, relevant, ks=[1, 13])
    with pytest.raises(ValueError, match="each of ks must be an integer in"):
        draw(recommended, relevant, ks=[0, 1])
    with pytest.raises(ValueError, match="ks is empty"):
        draw(recommended, relevant, ks=[])
    with pytest.raises(ValueError, match="metric must be one of 'hit_rate'"):
        draw(recommended, relevant, metric="auc")
    with pytest.raises(ValueError, match="one entry per row, got 60 and 2 rows"):
        draw(recommended, relevant[:2])


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    message = "TopKCurveDisplay draws with matplotlib, which is not installed"
    with pytest.raises(ImportError, match=message):
        TopKCurveDisplay.from_predictions({"a": [[1]]}, [1])


def test_later_curves_on_the_same_axes_fit_in():
    _, ax = plt.subplots()
    for recommended in ([["x", "y"]], [["a", "b"]]):
        TopKCurveDisplay.from_predictions({"m": recommended}, [["a", "b"]], ks=[1, 2], ax=ax)
    assert ax.get_ylim()[0] == 0
    assert ax.get_ylim()[1] >= 1  # the second list is right
