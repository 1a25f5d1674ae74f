"""The demo's fourth part: which hundred products may a household buy in the next four weeks?

A ranker can't look at every product, so a retriever proposes candidates: recall@100 is the share of
what was bought that a hundred candidates hold. Models learn from weeks 1-48, of nine tenths of the
households. The others are new: of them a model gets demographics, where they are known, and what
they bought in weeks 45-48. All are judged on weeks 49-52, in two ways: with everything bought, most
of which a shopper has bought before, and with what the household buys for the first time, where
products that it is known to have bought are no candidates.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from demo_pictures import STYLE, color_of, finish
from demo_protocol import difference, left, mean_in_resamples, with_interval

from sk_adrec import ItemCF, TwoTowerRetriever
from sk_adrec.inspection import TopKCurveDisplay

HOUSEHOLD, PRODUCT = "household_id", "product_id"
PAIR = [HOUSEHOLD, PRODUCT]
DEMOGRAPHICS = ["age", "income", "home_ownership", "marital_status", "household_size"]
ATTRIBUTES = [PRODUCT, "product_category", "product_type", "department", "brand"]
FIRST_TEST_WEEK, LAST_TEST_WEEK = 49, 52
FIRST_POPULAR_WEEK, FIRST_RECENT_WEEK = 41, 45
# Products that fewer households bought are hardly worth a proposal, and most of the catalogue.
MIN_HOUSEHOLDS = 10
K = 100
KS = [1, 2, 5, *range(10, K + 1, 10)]
# The two households whose candidates are printed buy at least so many products for the first time.
MIN_FIRST_PURCHASES = 10
N_SHOWN = 6
KINDS = ("known households", "new households")
WANTED = ("all they buy", "first purchases")


EXPLANATION = f"""Recall@{K}, the mean over households ± half of its 95 % interval. New: a tenth of
them, known only by demographics and what they bought in weeks 45-48. First purchases: products
bought before are neither candidates nor counted. Bought again: the household's own products, the
most frequent first, then the popular ones."""


@dataclass(frozen=True)
class Households:
    """What models may know, and of each household that buys in the test weeks what it buys.

    Attributes
    ----------
    train, recent : DataFrame
        A row per household and product, the last purchase, with `n` of them: of known households
        up to the test weeks, of new ones in the recent weeks.
    popular : ndarray of shape (n_products,)
        Products by their purchases in the last weeks before the test, the most first.
    users : DataFrame of shape (n, n_columns)
        Household and demographics.
    is_new : ndarray of shape (n,), bool
    past : list of n lists
        Products that models know the household to have bought, the most frequent first.
    wanted : dict of str to list of n lists
        What it bought in the test weeks: all, and what is not in its past.
    """

    train: pd.DataFrame
    recent: pd.DataFrame
    popular: np.ndarray
    users: pd.DataFrame
    is_new: np.ndarray
    past: list
    wanted: dict


def split(purchases: pd.DataFrame, random_state: int = 0) -> Households:
    """Purchases before the test weeks, of known and of new households, and in them."""
    everyone = np.sort(purchases[HOUSEHOLD].unique().astype(np.int64))
    new = np.random.default_rng(random_state).choice(everyone, len(everyone) // 10, replace=False)
    is_new, week = purchases[HOUSEHOLD].isin(new), purchases["week"]
    test = purchases[(week >= FIRST_TEST_WEEK) & (week <= LAST_TEST_WEEK)]
    # Of new households nothing is known before the recent weeks.
    before = purchases[(week < FIRST_TEST_WEEK) & (~is_new | (week >= FIRST_RECENT_WEEK))]
    recent = before[before[HOUSEHOLD].isin(new)]
    known = before[~before[HOUSEHOLD].isin(new)]
    n_households = known.drop_duplicates(PAIR)[PRODUCT].value_counts()
    known = known[known[PRODUCT].isin(n_households.index[n_households >= MIN_HOUSEHOLDS])]
    recent = recent[recent[PRODUCT].isin(known[PRODUCT].unique())]
    popular = known.loc[known["week"] >= FIRST_POPULAR_WEEK, PRODUCT].value_counts()
    train, recent = _pairs(known), _pairs(recent)

    # A household without any past can be served by popularity alone: it says nothing of models.
    past = pd.concat([train, recent]).sort_values("n", ascending=False, kind="stable")
    past = past.groupby(HOUSEHOLD, observed=True)[PRODUCT].agg(list)
    wanted = test.drop_duplicates(PAIR).groupby(HOUSEHOLD, observed=True)[PRODUCT].agg(list)
    wanted = wanted[wanted.index.isin(past.index)]
    past = past.loc[wanted.index].tolist()
    bought = before.groupby(HOUSEHOLD, observed=True)[PRODUCT].agg(set).loc[wanted.index]
    first = [[item for item in own if item not in old] for own, old in zip(wanted, bought)]
    users = test.drop_duplicates(HOUSEHOLD).set_index(HOUSEHOLD).loc[wanted.index, DEMOGRAPHICS]
    return Households(
        train,
        recent,
        popular[popular > 0].index.to_numpy(),
        users.reset_index(),
        wanted.index.isin(new),
        past,
        dict(zip(WANTED, (wanted.tolist(), first))),
    )


def _pairs(purchases: pd.DataFrame) -> pd.DataFrame:
    """A row per household and product, its last, with the number of purchases."""
    n = purchases.groupby(PAIR, observed=True, sort=False).size().rename("n").reset_index()
    return purchases.drop_duplicates(PAIR, keep="last").merge(n, on=PAIR)


def models() -> dict:
    """Retrievers, with settings chosen beforehand.

    Of five for ItemCF and eight for TwoTower, those whose four recalls (known and new households,
    all and first purchases) in weeks 45-48 had the greatest mean, after fits on weeks 1-44.
    ItemCF's weighting and MIN_HOUSEHOLDS were settled after a look at the test weeks as well.
    """
    names = {"user": HOUSEHOLD, "item": PRODUCT, "random_state": 0}
    return {
        "ItemCF": ItemCF(weighting="tfidf", shrinkage=10, n_neighbors=500, n_jobs=2, **names),
        "TwoTower": TwoTowerRetriever(
            user_features=DEMOGRAPHICS,
            item_features=ATTRIBUTES,
            user_items=True,
            temperature=0.15,
            loss="softmax",
            lr=0.01,
            max_epochs=5,
            **names,
        ),
    }


def propose(fitted: dict, households: Households) -> dict[str, dict[str, list]]:
    """What is asked for -> model -> K products for each household."""
    found = {}
    for wanted in WANTED:
        only_new = wanted == "first purchases"
        lists = {
            "popularity": [
                _fill([], households.popular, set(past) if only_new else set())
                for past in households.past
            ]
        }
        if not only_new:
            lists["bought again"] = [
                _fill(past, households.popular, set()) for past in households.past
            ]
        for name, model in fitted.items():
            with_attributes = isinstance(model, TwoTowerRetriever)
            users = households.users if with_attributes else households.users[HOUSEHOLD]
            lists[name], _ = model.recommend(
                users, k=K, exclude_seen=only_new, history=households.recent
            )
        found[wanted] = lists
    return found


def _fill(first: list, others: np.ndarray, excluded: set) -> list:
    """K products: the first, then others that are not among them, nor excluded."""
    excluded = excluded.union(first)
    others = others[: K + len(excluded)]
    return [*first, *(item for item in others if item not in excluded)][:K]


def recall_of_each(recommended, relevant: list) -> np.ndarray:
    """Recall of each household's list, NaN where nothing is relevant."""
    return np.array(
        [
            len(set(own).intersection(items)) / len(own) if own else np.nan
            for own, items in zip(relevant, recommended)
        ]
    )


def measure(found: dict, households: Households) -> dict[tuple, np.ndarray]:
    """(kind of households, what they buy, model) -> mean recall, then resampled ones."""
    recalls = {}
    for wanted, lists in found.items():
        for name, recommended in lists.items():
            recall = recall_of_each(recommended, households.wanted[wanted])
            for kind, is_new in zip(KINDS, (False, True)):
                chosen = (households.is_new == is_new) & ~np.isnan(recall)
                recalls[kind, wanted, name] = mean_in_resamples(
                    recall[chosen], np.flatnonzero(chosen)
                )
    return recalls


def table(recalls: dict[tuple, np.ndarray]) -> pd.DataFrame:
    """A line per model: recall with its 95 % interval."""
    cells = pd.Series({key: with_interval(values) for key, values in recalls.items()})
    lines = cells.unstack().T
    order = list(dict.fromkeys(name for *_, name in recalls))
    return lines.loc[order, [(kind, wanted) for kind in KINDS for wanted in WANTED]].fillna("-")


def compare(recalls: dict[tuple, np.ndarray]) -> list[str]:
    """Sentences: the best model of each column against the next."""
    sentences = []
    for kind in KINDS:
        for wanted in WANTED:
            column = {key[2]: v for key, v in recalls.items() if key[:2] == (kind, wanted)}
            best, second = sorted(column, key=lambda name: -column[name][0])[:2]
            what = f"{kind}, {wanted}: recall@{K}"
            sentences.append(difference(column, best, second, what))
    return sentences


def show_candidates(found: dict, households: Households, names: pd.Series, is_new: bool) -> str:
    """What a household bought last, and what models propose that it has not bought before.

    A star: it went on to buy that. The household is drawn at random.
    """
    first = households.wanted["first purchases"]
    many = np.array([len(own) >= MIN_FIRST_PURCHASES for own in first])
    row = np.random.default_rng(1).choice(np.flatnonzero(many & (households.is_new == is_new)))
    household = households.users[HOUSEHOLD].iloc[row]
    known = households.recent if is_new else households.train
    last = known[known[HOUSEHOLD] == household].sort_values("timestamp", kind="stable")[PRODUCT]
    columns = {"bought last": _named(last[::-1], names, [])}
    for name, lists in found["first purchases"].items():
        columns[f"{name} proposes"] = _named(lists[row], names, first[row])
    kind = "new" if is_new else "known"
    hits = ", ".join(
        f"{name} {len(set(first[row]).intersection(lists[row]))}"
        for name, lists in found["first purchases"].items()
    )
    return (
        f"Household {household} ({kind}). Of the {len(first[row])} products that it went on to buy "
        f"for the first time, the {K} candidates hold: {hits}.\n"
        f"{left(pd.DataFrame({name: pd.Series(c) for name, c in columns.items()}).fillna(''))}"
    )


def _named(items, names: pd.Series, hits: list) -> list[str]:
    """Names of the first items, each name once, with a star after hits."""
    marked: dict[str, str] = {}
    for item in items:
        if item in names:
            marked.setdefault(names[item], names[item] + (" *" if item in hits else ""))
    return list(marked.values())[:N_SHOWN]


def product_names(purchases: pd.DataFrame) -> pd.Series:
    """Product -> its type, short enough for a table; several share one, some have none."""
    named = purchases.drop_duplicates(PRODUCT).set_index(PRODUCT)["product_type"]
    return named.astype(object).dropna().str.capitalize().str.slice(0, 22)


def draw_recall(found: dict, households: Households, path: Path) -> Path:
    """Recall at k against k, a panel per kind of household and of purchase."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, 2, figsize=(10, 7), layout="constrained", sharex=True, sharey="row"
        )
        cases = [(kind, wanted) for wanted in WANTED for kind in KINDS]
        for ax, (kind, wanted) in zip(axes.ravel(), cases):
            rows = np.flatnonzero(households.is_new == (kind == "new households"))
            display = TopKCurveDisplay.from_predictions(
                {n: [lists[row] for row in rows] for n, lists in found[wanted].items()},
                [households.wanted[wanted][row] for row in rows],
                ks=KS,
                ax=ax,
            )
            for name, line in zip(display.table, display.lines_):
                line.set(color=color_of(name), markersize=3)
            ax.legend(frameon=False, loc="upper left")
            ax.set_title(f"{kind.capitalize()} ({display.n_rows:,}), {wanted}")
            ax.set(xlabel="", ylabel="")
        for ax in axes[:, 0]:
            ax.set_ylabel("recall")
        for ax in axes[1]:
            ax.set_xlabel("candidates per household")
        finish(
            figure,
            path,
            "How much of what households buy in weeks 49-52 do k candidates hold?",
        )
    return path


def recall_section(purchases: pd.DataFrame, path: Path) -> None:
    """Part 4: fit, print, draw."""
    households = split(purchases)
    n_new = households.is_new.sum()
    print(
        f"\n4. RECALL: {K} of {households.train[PRODUCT].nunique():,} products for "
        f"{len(households.is_new):,} households, {n_new} of them new",
        flush=True,
    )
    fitted, seconds = models(), {}
    for name, model in fitted.items():
        start = time.perf_counter()
        model.fit(households.train, sample_weight=households.train["n"])
        seconds[name] = f"{name} {time.perf_counter() - start:.0f} s"
    found = propose(fitted, households)
    recalls = measure(found, households)
    print(f"fitted: {', '.join(seconds.values())}\n")
    print(f"{table(recalls).to_string()}\n\n{EXPLANATION}\n")
    print(*compare(recalls), sep="\n")
    names = product_names(purchases)
    for is_new in (False, True):
        print(f"\n{show_candidates(found, households, names, is_new)}")
    draw_recall(found, households, path)
