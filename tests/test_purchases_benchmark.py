"""The benchmark on purchases: what is known, what is asked for, how it is measured."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def purchases():
    """The script, its neighbours importable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        spec = importlib.util.spec_from_file_location("purchases", BENCHMARKS / "purchases.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "purchases", module)  # a dataclass looks for its module
        spec.loader.exec_module(module)
        yield module


@pytest.fixture
def log(purchases):
    rng = np.random.default_rng(0)
    n = 6000
    rows = {
        "week": np.sort(rng.integers(1, 53, n)),
        "household_id": rng.integers(0, 60, n),
        "product_id": rng.integers(0, 200, n),
    }
    return pd.DataFrame(rows).assign(**dict.fromkeys(purchases.HOUSEHOLD + purchases.PRODUCT, "a"))


def pairs(rows):
    return set(zip(rows["household_id"], rows["product_id"]))


def test_models_know_nothing_of_later_weeks_and_of_cold_households(purchases, log):
    cold = np.arange(6)
    task = purchases.Task.of(log, cold, 45)
    assert task.train["week"].max() == 44
    assert not task.train["household_id"].isin(cold).any()
    assert set(task.recent["household_id"]) <= set(cold)
    assert set(task.recent["week"]) == {41, 42, 43, 44}
    later = log[log["week"].between(45, 48)]
    for group, known in (("warm", task.train), ("cold", task.recent)):
        wanted = task.wanted[group]
        own = later[later["household_id"].isin(known["household_id"])]
        assert pairs(wanted) == pairs(own)
        assert len(wanted) == len(pairs(own))
        assert pairs(wanted[wanted["new"]]) == pairs(own) - pairs(known)


def test_pairs_weigh_by_age_and_repeats(purchases):
    rows = pd.DataFrame(
        {"household_id": [1, 1, 2, 1], "product_id": [7, 7, 7, 8], "week": [1, 8, 6, 8]}
    )
    kept, weight = purchases.weigh(rows, 9, half_life=2, repeats="all")
    assert kept["week"].tolist() == [8, 6, 8]
    np.testing.assert_allclose(weight, [1 + 0.5**3.5, 0.5, 1])
    assert purchases.weigh(rows, 9, half_life=2)[1].tolist() == [1, 0.5, 1]
    assert purchases.weigh(rows, 9)[1].tolist() == [1, 1, 1]
    assert purchases.weigh(rows, 9, least=2)[0]["product_id"].tolist() == [7, 7]


def test_popularity_leaves_out_or_puts_first_what_was_bought(purchases):
    rows = pd.DataFrame({"household_id": [1, 1, 2, 3, 3], "product_id": [5, 6, 5, 7, 5]})
    weight = [1.0, 3.5, 1.0, 2.5, 1.0]
    plain = purchases.Popularity().fit(rows, weight)
    own = purchases.Popularity(own=True).fit(rows, weight)
    assert plain.recommend([1, 2], 3, False)[0].tolist() == [[6, 5, 7], [6, 5, 7]]
    assert plain.recommend([1, 2], 3, True)[0].tolist() == [[7, -1, -1], [6, 7, -1]]
    assert own.recommend([1, 3, 9], 2, False)[0].tolist() == [[6, 5], [7, 5], [6, 5]]
    history = pd.DataFrame({"household_id": [9, 9, 9], "product_id": [7, 5, 5]})
    assert own.recommend([9], 3, False, history)[0].tolist() == [[5, 7, 6]]
    assert plain.recommend([9], 3, True, history)[0].tolist() == [[6, -1, -1]]


def test_recall_is_a_mean_over_households(purchases):
    wanted = pd.DataFrame({"household_id": [4, 4, 2], "product_id": [1, 2, 3]})
    found = purchases.recall(np.array([[3, 9], [2, 9]]), np.array([2, 4]), wanted)
    assert found.to_dict() == {2: 1.0, 4: 0.5}
    gain = purchases.gain(np.array([1.0, 0.5, 0.7]), np.array([0.9, 0.4, 0.6]), 50)
    assert gain == pytest.approx({"difference": 0.1, "low": 0.1, "high": 0.1})


def test_a_stopped_run_goes_on(purchases, log, tmp_path, monkeypatch):
    task = purchases.Task.of(log, np.arange(6), 45)
    path = tmp_path / "purchases.jsonl"
    setting = {"half_life": None, "repeats": "all"}
    first = purchases.Journal(path).measure(task, "popularity", setting)
    assert 0 < np.mean(first["all"]["warm"]) < 1
    monkeypatch.setattr(purchases, "measure", None)
    again = purchases.Journal(path)
    assert again.measure(task, "popularity", setting) == json.loads(json.dumps(first))
    with pytest.raises(TypeError):
        again.measure(task, "popularity", setting | {"half_life": 4})


def test_all_models_are_measured_alike(purchases, log, monkeypatch, capsys):
    monkeypatch.setattr(purchases, "K", 20)
    monkeypatch.setattr(purchases, "SEEDS", (0, 1))
    monkeypatch.setattr(purchases, "LEAST_OF_TOWERS", 1)
    spaces = {
        name: {k: v[:1] for k, v in space.items()} for name, space in purchases.SPACES.items()
    }
    spaces["TwoTower"] |= {"max_epochs": [1], "embedding_dim": [4]}
    spaces["EASE"]["least"] = [1]
    monkeypatch.setattr(purchases, "SPACES", spaces)
    monkeypatch.setattr(purchases, "NEAR", {})
    task = purchases.Task.of(log, np.arange(6), 45)
    journal = purchases.Journal(None)
    tried, best = purchases.tune(journal, task)
    assert set(tried) == set(best["new"]) == set(spaces)
    for name in purchases.MEASURES:
        found = purchases.judge(journal, task, name, best[name])
        assert set(found["TwoTower minus"]) == set(found["models"]) - {"TwoTower"}
        assert (purchases.BOUGHT_BEFORE in found["models"]) == (name == "all")
        assert len(found["models"]["TwoTower"]["by_seed"]["cold"]) == 2
        assert all(0 < one["warm"] < 1 for one in found["models"].values())
    assert "popularity" in capsys.readouterr().out
