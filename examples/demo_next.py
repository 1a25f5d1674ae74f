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
from demo_pictures import STYLE, color_of, finish
from demo_protocol import difference, mean_in_resamples, with_interval

from sk_adrec import HistoryEncoder, HSTUNextItem, ItemCF
from sk_adrec.inspection import TopKCurveDisplay

HOUSEHOLD, CATEGORY = "household_id", "product_category"
HISTORY = f"hist_{CATEGORY}"
END = "(end of visit)"
FIRST_TEST_WEEK, LAST_TEST_WEEK = 49, 52
# HSTU reads this many of the last categories; the others all that are listed.
MAX_LEN, MAX_LISTED = 100, 1000
K = 30
KS = [1, 2, 3, 5, 7, *range(10, K + 1, 5)]
# Visits that are printed, and categories of each line.
N_SHOWN, N_NAMED = 3, 4


def one_per_visit(purchases: pd.DataFrame, random_state: int = 0) -> pd.DataFrame:
    """The categories of each visit, once each, in random order, and then an end of the visit.

    `chance` is that of a visit's category to be its first, the one that is asked for.
    Without the end a sequence model would learn from visits that a category just bought does not
    come again, and believe it of the next visit too.
    """
    log = purchases[[HOUSEHOLD, "basket_id", "week", "timestamp", CATEGORY]]
    log = log[log["week"] <= LAST_TEST_WEEK].dropna(subset=CATEGORY).astype({CATEGORY: str})
    log = log.sample(frac=1, random_state=random_state).drop_duplicates(["basket_id", CATEGORY])
    n = log.groupby("basket_id", observed=True)[CATEGORY].transform("size")
    log = log.assign(chance=1 / n)
    ends = log.drop_duplicates("basket_id").assign(**{CATEGORY: END, "chance": 0.0})
    return pd.concat([log, ends]).sort_values("timestamp", kind="stable", ignore_index=True)


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
        embedding_dim=64,
        n_blocks=1,
        max_len=MAX_LEN,
        temperature=0.2,
        lr=5e-3,
        batch_size=64,
        max_epochs=5,
        exclude_seen=False,
        early_stopping=False,
        random_state=0,
    )
    return model.fit(train[[HISTORY]], train[CATEGORY])


def own_shares(test: pd.DataFrame, categories: np.ndarray) -> np.ndarray:
    """How often each category came first in the household's visits, had chance its way.

    Returns
    -------
    ndarray of shape (n_visits, n_categories)
        Shares: a category of a visit with m of them counts 1 / m.
    """
    place = {category: number for number, category in enumerate(categories)}
    shares = np.zeros((len(test), len(categories)))
    for row, history in enumerate(test[HISTORY]):
        is_end = np.asarray(history) == END
        visit = np.cumsum(is_end)[~is_end]
        codes = [place[category] for category in history if category != END]
        np.add.at(shares[row], codes, 1 / np.bincount(visit)[visit] / max(is_end.sum(), 1))
    return shares


def recommend(hstu, events: pd.DataFrame, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """Model -> K categories for each visit, the best first."""
    past = events[(events["week"] < FIRST_TEST_WEEK) & (events[CATEGORY] != END)]
    pairs = past.groupby([HOUSEHOLD, CATEGORY], observed=True, sort=False)["chance"].sum()
    pairs = pairs.reset_index()
    # Other similarities than the share of j's households that buy i fall far below popularity.
    item_cf = ItemCF(
        user=HOUSEHOLD, item=CATEGORY, similarity="conditional", alpha=0, n_neighbors=300
    ).fit(pairs, sample_weight=pairs["chance"])
    histories = dict(enumerate(test[HISTORY].map(list)))
    categories = hstu.classes_
    popular = past.groupby(CATEGORY)["chance"].sum().reindex(categories, fill_value=0).to_numpy()
    own = own_shares(test, categories)

    p = hstu.predict_proba(test[[HISTORY]])

    def best(scores):
        scores = np.where(categories == END, -np.inf, scores)
        return categories[np.argsort(-scores, axis=1, kind="stable")[:, :K]]

    return {
        "popularity": best(np.tile(popular, (len(test), 1))),
        "ItemCF": item_cf.recommend(list(histories), K, False, history=histories)[0],
        # Where a household has bought two equally often, or neither, the more popular one.
        "favourites": best(own + 1e-9 * popular),
        "HSTU": best(p),
        "HSTU + favourites": best(p + own),
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
    """Visits drawn at random: what was bought before, what came, what models expected."""
    blocks = []
    for row in np.random.default_rng(0).choice(len(test), N_SHOWN, replace=False):
        came = test[CATEGORY].iloc[row]
        past = [category for category in test[HISTORY].iloc[row] if category != END]
        lines = {f"Household {test[HOUSEHOLD].iloc[row]}, bought last": past[-N_NAMED:]}
        lines["came"] = [came]
        for name, recommended in found.items():
            if name in ("favourites", "HSTU"):
                lines[name] = [c + " *" * (c == came) for c in recommended[row][:N_NAMED]]
        texts = [", ".join(_short(category) for category in line) for line in lines.values()]
        blocks.append("\n".join(f"{head:>30}: {text}" for head, text in zip(lines, texts)))
    return "\n\n".join(blocks)


def _short(category: str) -> str:
    name, star, _ = category.partition(" *")
    return name.capitalize()[:20] + star


def draw_hit_rate(found: dict[str, np.ndarray], test: pd.DataFrame, path: Path) -> Path:
    """Hit rate at k against k."""
    with plt.rc_context(STYLE):
        figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
        display = TopKCurveDisplay.from_predictions(
            found, test[CATEGORY].to_numpy(), metric="hit_rate", ks=KS, ax=ax
        )
        for name, line in zip(display.table, display.lines_):
            style = "--" if " + " in name else "-"
            line.set(color=color_of(name), markersize=3, linestyle=style)
        ax.legend(frameon=False)
        ax.set(xlabel="categories proposed", ylabel=f"hit rate, {display.n_rows:,} visits")
        ax.set_title("Is the category of the next visit among k proposals? Weeks 49-52")
        finish(figure, path)
    return path


def next_item_section(purchases: pd.DataFrame, path: Path) -> None:
    """Part 5: fit, print, draw."""
    events = one_per_visit(purchases)
    train, test = split(events)
    print(
        f"\n5. NEXT ITEM: one of {events[CATEGORY].nunique() - 1} categories in each of "
        f"{len(test):,} visits by {test[HOUSEHOLD].nunique():,} households",
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
    print(
        "\nEach visit counts alike: a category counts 1 / (number of categories in the visit). "
        "favourites: the\nhousehold's own most frequent ones. HSTU + favourites: HSTU's "
        "probability plus the share in the\nhousehold's past visits."
    )
    print()
    for metric, by_model in resampled.items():
        for model in ("HSTU", "HSTU + favourites"):
            print(difference(by_model, model, "favourites", metric))
    print(f"\nThree visits drawn at random; a star: it came\n\n{show_examples(found, test)}")
    draw_hit_rate(found, test, path)
