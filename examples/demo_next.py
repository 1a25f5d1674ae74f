"""The demo's fifth part: from which category does a household's next visit buy?

A visit's categories, each once, are put in random order, since the log sorts them by number, and
the first one is to be found among all of them. Categories repeat from visit to visit, so what was
bought before is no less likely. Models learn from weeks 1-48 and are judged on every visit in weeks
49-52, with all that the household had bought before that visit.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from demo_pictures import STYLE, color_of
from demo_protocol import difference, left, mean_in_resamples, with_interval

from sk_adrec import HistoryEncoder, HSTUNextItem, ItemCF
from sk_adrec.inspection import TopKCurveDisplay

HOUSEHOLD, CATEGORY = "household_id", "product_category"
HISTORY = f"hist_{CATEGORY}"
FIRST_TEST_WEEK, LAST_TEST_WEEK = 49, 52
# HSTU reads this many of the last categories; the others all that are listed.
MAX_LEN, MAX_LISTED = 100, 1000
K = 30
KS = [1, 2, 3, 5, 7, *range(10, K + 1, 5)]
N_SHOWN = 4


def one_per_visit(purchases: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """The categories of each visit, once each, in random order within the visit."""
    log = purchases[[HOUSEHOLD, "basket_id", "week", "timestamp", CATEGORY]]
    log = log.dropna(subset=CATEGORY).sample(frac=1, random_state=random_state)
    log = log.drop_duplicates(["basket_id", CATEGORY]).sort_values("timestamp", kind="stable")
    return log[log["week"] <= LAST_TEST_WEEK].astype({CATEGORY: str}).reset_index(drop=True)


def split(events: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Visits to learn from and visits to judge on, with the histories of their households.

    HSTU learns from every position of a list, so that one list per MAX_LEN events is enough.
    """
    block = events.groupby(HOUSEHOLD, observed=True).cumcount() // MAX_LEN
    visits = events.assign(block=block).drop_duplicates("basket_id")
    past = visits[visits["week"] < FIRST_TEST_WEEK]
    train = past.drop_duplicates([HOUSEHOLD, "block"], keep="last")
    test = visits[visits["week"] >= FIRST_TEST_WEEK]
    encoder = HistoryEncoder(user=HOUSEHOLD, attributes=[CATEGORY], max_len=MAX_LEN)
    train = encoder.fit(train, events=events).transform(train)
    test = encoder.set_params(max_len=MAX_LISTED).transform(test)
    return tuple(rows[rows[HISTORY].map(len) > 0] for rows in (train, test))


def fit_hstu(train: pd.DataFrame) -> HSTUNextItem:
    """One block, short vectors, few passes: about a minute."""
    model = HSTUNextItem(
        embedding_dim=32,
        n_blocks=1,
        max_len=MAX_LEN,
        lr=5e-3,
        max_epochs=6,
        exclude_seen=False,
        early_stopping=False,
        random_state=0,
    )
    return model.fit(train[[HISTORY]], train[CATEGORY])


def favourites(test: pd.DataFrame, popular: pd.Index) -> np.ndarray:
    """The household's own most frequent categories; those equally frequent by popularity."""
    rank = {category: place for place, category in enumerate(popular)}
    n = np.zeros((len(test), len(popular)))
    for row, history in enumerate(test[HISTORY]):
        np.add.at(n[row], [rank[category] for category in history if category in rank], 1)
    best = np.argsort(-n, axis=1, kind="stable")[:, :K]
    return popular.to_numpy()[best]


def recommend(hstu, events: pd.DataFrame, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """Model -> K categories for each visit, the best first."""
    past = events[events["week"] < FIRST_TEST_WEEK]
    popular = past[CATEGORY].value_counts().index
    n = past.groupby([HOUSEHOLD, CATEGORY], observed=True, sort=False).size()
    pairs = n.rename("n").reset_index()
    item_cf = ItemCF(user=HOUSEHOLD, item=CATEGORY, weighting="tfidf", n_neighbors=300)
    item_cf.fit(pairs, sample_weight=pairs["n"])
    histories = dict(enumerate(test[HISTORY].map(list)))
    return {
        "popularity": np.tile(popular[:K].to_numpy(), (len(test), 1)),
        "ItemCF": item_cf.recommend(list(histories), K, False, history=histories)[0],
        "favourites": favourites(test, popular),
        "HSTU": hstu.recommend(test[[HISTORY]], k=K)[0],
    }


def measure(found: dict[str, np.ndarray], test: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Metric -> model -> its mean over visits, then resampled ones."""
    resampled: dict[str, dict[str, np.ndarray]] = {"HR@10": {}, "NDCG@10": {}}
    for name, recommended in found.items():
        hit = recommended[:, :10] == test[CATEGORY].to_numpy()[:, None]
        gain = hit @ (1 / np.log2(np.arange(2, hit.shape[1] + 2)))
        for metric, values in {"HR@10": hit.any(axis=1), "NDCG@10": gain}.items():
            resampled[metric][name] = mean_in_resamples(values, test[HOUSEHOLD])
    return resampled


def show_examples(found: dict[str, np.ndarray], test: pd.DataFrame) -> str:
    """Visits drawn at random: what was bought before, what models expect, what came; * a hit."""
    lines = []
    for row in np.random.default_rng(0).choice(len(test), N_SHOWN, replace=False):
        came = test[CATEGORY].iloc[row]
        history = [_short(category) for category in test[HISTORY].iloc[row][-3:]]
        line = {"last categories": ", ".join(history), "came": _short(came)}
        for name in ("favourites", "HSTU"):
            best = [_short(c) + "*" * (c == came) for c in found[name][row][:3]]
            line[f"{name}: first three"] = ", ".join(best)
        lines.append(line)
    return left(pd.DataFrame(lines))


def _short(category: str) -> str:
    return category.capitalize()[:10]


def draw_hit_rate(found: dict[str, np.ndarray], test: pd.DataFrame, path: Path) -> Path:
    """Hit rate at k against k."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
        display = TopKCurveDisplay.from_predictions(
            found, test[CATEGORY].to_numpy(), metric="hit_rate", ks=KS, ax=ax
        )
        for name, line in zip(display.table, display.lines_):
            line.set(color=color_of(name), markersize=3)
        ax.legend(frameon=False)
        ax.set(xlabel="categories proposed", ylabel=f"hit rate, {display.n_rows:,} visits")
        ax.set_title("Is the category of the next visit among k proposals? Weeks 49-52")
        figure.savefig(path)
        plt.close(figure)
    return path


def next_item_section(purchases: pd.DataFrame, path: Path) -> None:
    """Part 5: fit, print, draw."""
    events = one_per_visit(purchases)
    train, test = split(events)
    print(
        f"\n5. NEXT ITEM: one of {events[CATEGORY].nunique()} categories in each of {len(test):,} "
        f"visits by {test[HOUSEHOLD].nunique():,} households",
        flush=True,
    )
    start = time.perf_counter()
    hstu = fit_hstu(train)
    print(f"HSTU fitted: {len(train):,} histories, {time.perf_counter() - start:.0f} s\n")
    found = recommend(hstu, events, test)
    resampled = measure(found, test)
    columns = {
        metric: {name: with_interval(values) for name, values in by_model.items()}
        for metric, by_model in resampled.items()
    }
    print(pd.DataFrame(columns).to_string())
    print()
    best, second = sorted(found, key=lambda name: -resampled["NDCG@10"][name][0])[:2]
    for metric, by_model in resampled.items():
        print(difference(by_model, best, second, metric))
    print(f"\nVisits drawn at random; * came\n\n{show_examples(found, test)}")
    draw_hit_rate(found, test, path)
