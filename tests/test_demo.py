"""The pieces of the demo's recall and next-item parts, on a few made-up purchases."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from sk_adrec.metrics import hit_rate_at_k, ndcg_at_k, recall_at_k

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
import demo_next
import demo_recall
from demo_protocol import N_RESAMPLES, difference, left, mean_in_resamples, with_interval

plt.switch_backend("Agg")


@pytest.fixture(scope="module")
def purchases():
    """Of 40 households and 60 products in 6 categories; each prefers a category."""
    rng = np.random.default_rng(0)
    n = 6000
    household = rng.integers(0, 40, n)
    week = rng.integers(1, 53, n)
    taste = rng.random(n) < 0.7
    category = np.where(taste, household % 6, rng.integers(0, 6, n))
    product = 10 * category + rng.integers(0, 10, n)
    # A visit a week, on the day of the household.
    day = pd.to_timedelta(7 * week + household % 7, unit="D")
    frame = {
        "household_id": pd.Categorical(household + 1),
        "product_id": pd.Categorical(product + 100),
        "basket_id": pd.Categorical(1000 * week + household),
        "week": week.astype(np.int32),
        "timestamp": pd.Timestamp("2017-01-01") + day,
        "product_category": pd.Categorical(np.array(list("ABCDEF"))[category]),
        "product_type": pd.Categorical([f"TYPE {number}" for number in product]),
        "department": pd.Categorical(["GROCERY"] * n),
        "brand": pd.Categorical(np.where(product % 2, "National", "Private")),
        **{name: pd.Categorical(["x"] * n) for name in demo_recall.DEMOGRAPHICS},
    }
    return pd.DataFrame(frame).sort_values("timestamp", kind="stable", ignore_index=True)


@pytest.fixture(scope="module")
def households(purchases):
    return demo_recall.split(purchases)


def test_recall_learns_of_new_households_only_what_they_bought_lately(purchases, households):
    new = set(households.users["household_id"][households.is_new])
    assert len(new) == 4
    assert not new & set(households.train["household_id"])
    assert set(households.recent["household_id"]) == new
    assert households.recent["week"].between(45, 48).all()
    assert households.train["week"].max() == 48
    before = purchases["week"] < demo_recall.FIRST_TEST_WEEK
    n_known = (before & ~purchases["household_id"].isin(new)).sum()
    assert households.train["n"].sum() == n_known  # every product has its ten households


def test_recall_tells_first_purchases_from_repeats(purchases, households):
    test = purchases[purchases["week"] >= demo_recall.FIRST_TEST_WEEK]
    for row in (0, np.argmax(households.is_new)):
        household = households.users["household_id"][row]
        own = test.loc[test["household_id"] == household, "product_id"]
        every, first = (households.wanted[wanted][row] for wanted in demo_recall.WANTED)
        assert sorted(every) == sorted(own.unique())
        assert set(first) == set(every) - set(households.past[row])


def test_lists_are_filled_up_in_order_without_repeats(monkeypatch):
    monkeypatch.setattr(demo_recall, "K", 4)
    popular = np.array([1, 2, 3, 4, 5, 6])
    assert demo_recall._fill([3, 9], popular, set()) == [3, 9, 1, 2]
    assert demo_recall._fill([], popular, {1, 4}) == [2, 3, 5, 6]
    assert demo_recall._fill([7, 8, 9, 1, 2], popular, set()) == [7, 8, 9, 1]


def test_recall_of_each_averages_to_the_library_s():
    recommended, relevant = [[1, 2], [3, 4], [5, 6]], [[2, 9], [], [5]]
    each = demo_recall.recall_of_each(recommended, relevant)
    assert np.nanmean(each) == recall_at_k(recommended, relevant, k=2) == 0.75


def test_recall_section_prints_and_draws(purchases, households, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo_recall, "K", 5)
    monkeypatch.setattr(demo_recall, "KS", [1, 5])
    monkeypatch.setattr(demo_recall, "MIN_FIRST_PURCHASES", 1)
    demo_recall.recall_section(purchases, tmp_path / "recall.png")
    printed = capsys.readouterr().out
    assert "5 of 60 products for 40 households, 4 of them new" in printed
    for name in ("popularity", "bought again", "ItemCF", "TwoTower"):
        assert f"\n{name}" in printed
    assert (tmp_path / "recall.png").stat().st_size > 10_000


def test_first_purchases_are_never_of_known_products(households, monkeypatch):
    monkeypatch.setattr(demo_recall, "K", 5)
    fitted = demo_recall.models()
    for model in fitted.values():
        model.fit(households.train, sample_weight=households.train["n"])
    found = demo_recall.propose(fitted, households)
    for lists in found["first purchases"].values():
        for items, past in zip(lists, households.past):
            assert not set(items) & set(past)


@pytest.fixture(scope="module")
def visits(purchases):
    events = demo_next.one_per_visit(purchases)
    return events, *demo_next.split(events)


def test_a_visit_lists_each_category_once(purchases, visits):
    events, *_ = visits
    assert not events.duplicated(["basket_id", "product_category"]).any()
    pairs = purchases[["basket_id", "product_category"]].drop_duplicates()
    assert len(events) == len(pairs) + purchases["basket_id"].nunique()
    last = events.drop_duplicates("basket_id", keep="last")
    assert (last["product_category"] == demo_next.END).all()
    np.testing.assert_allclose(events.groupby("basket_id", observed=True)["chance"].sum(), 1)
    assert events["timestamp"].is_monotonic_increasing


def test_next_item_histories_end_before_the_visit(visits):
    events, train, test = visits
    assert train["week"].max() == 48
    assert set(test["week"]) <= {49, 50, 51, 52}
    assert not test["basket_id"].duplicated().any()
    row = test.iloc[-1]
    own = events[events["household_id"] == row["household_id"]]
    expected = own.loc[own["timestamp"] < row["timestamp"], "product_category"]
    assert list(row["hist_product_category"]) == expected.tolist()


def test_own_shares_count_each_visit_once():
    end = demo_next.END
    histories = [["C", "A", end, "C", end], [], ["B", end, "B", end]]
    test = pd.DataFrame({"hist_product_category": histories})
    found = demo_next.own_shares(test, np.array([end, "A", "B", "C"], dtype=object))
    assert found.tolist() == [[0, 0.25, 0, 0.75], [0, 0, 0, 0], [0, 0, 1, 0]]


def test_next_item_lists_hold_each_category_once_and_no_end(visits, monkeypatch):
    monkeypatch.setattr(demo_next, "K", 5)
    events, train, test = visits
    found = demo_next.recommend(demo_next.fit_hstu(train), events, test)
    for recommended in found.values():
        assert recommended.shape == (len(test), 5)
        assert all(len({*row, demo_next.END}) == 6 for row in recommended)
    # Each household prefers one of six categories.
    first = {name: recommended[:, :1] for name, recommended in found.items()}
    hits = demo_next.measure(first, test)["HR@10"]
    assert hits["favourites"][0] > hits["popularity"][0] + 0.1


def test_next_item_measures_are_the_library_s():
    rng = np.random.default_rng(0)
    recommended = np.array([rng.permutation(20)[:12] for _ in range(50)])
    test = pd.DataFrame(
        {"household_id": np.arange(50) % 7, "product_category": rng.integers(0, 20, 50)}
    )
    resampled = demo_next.measure({"m": recommended}, test)
    y = test["product_category"].to_numpy()
    assert resampled["HR@10"]["m"][0] == pytest.approx(hit_rate_at_k(recommended, y, k=10))
    assert resampled["NDCG@10"]["m"][0] == pytest.approx(ndcg_at_k(recommended, y, k=10))


def test_next_item_section_prints_and_draws(purchases, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(demo_next, "K", 3)
    monkeypatch.setattr(demo_next, "KS", [1, 3])
    demo_next.next_item_section(purchases, tmp_path / "next.png")
    printed = capsys.readouterr().out
    assert "5. NEXT ITEM: one of 6 categories" in printed
    assert (tmp_path / "next.png").stat().st_size > 10_000


def test_intervals_resample_households():
    values, households = np.array([1.0, 1.0, 0.0, 0.0]), np.array([5, 5, 5, 9])
    means = mean_in_resamples(values, households)
    assert means.shape == (1 + N_RESAMPLES,)
    assert means[0] == 0.5
    # Both households, twice the first, or twice the second.
    assert set(np.round(means[1:], 6)) == {0.5, 0.666667, 0.0}
    assert with_interval(np.array([0.5, 0.4, 0.6])).startswith("0.500 ± 0.09")
    sentence = difference({"a": means, "b": means - 0.25}, "a", "b", "recall")
    assert sentence == "recall of a minus b: +0.2500 (95 % +0.2500 to +0.2500)"


def test_left_aligns_columns():
    table = pd.DataFrame({"name": ["a", "long one"], "x": ["1", "22"]})
    assert left(table) == "name      x\na         1\nlong one  22"
