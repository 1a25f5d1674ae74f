"""Recall@100 of the products that households buy in the next four weeks.

    python benchmarks/purchases.py                   # about an hour of one core; resumes if stopped
    python benchmarks/purchases.py --households 300  # to try it out; nothing is kept

The purchases of the Complete Journey data, weeks 1 to 52. A tenth of the households, drawn at
random, is cold: models learn nothing of them, and are given their attributes and what they bought
in the last four weeks. Settings, `N_CANDIDATES` of each model and for ItemCF and the two towers six
more near the best of those, learn from weeks 1 to 44 and are judged on weeks 45 to 48, by the mean
of the recall over warm and over cold households. The winner is fitted again on weeks 1 to 48, and
weeks 49 to 52 are read once. Recall is judged twice, and settings are chosen for each:

new  products that the household has not bought before (of a cold one: in the weeks that are given),
     lists without those;
all  all products, lists with those that were bought before.

Rows are distinct pairs of household and product. Their weights, for every model alike, are part of
its setting: a purchase counts half after `half_life` weeks (None: always one), and `repeats` says
whether all purchases of a pair count, or its last one only. ``least`` leaves out products that
fewer households have bought; they stay in what is to be found.

What was tried is kept in ``.cache/purchases.jsonl``; the result is
``results/two_tower_purchases.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
import protocol

from sk_adrec import EASERetriever, ItemCF, TwoTowerRetriever
from sk_adrec.datasets import load_complete_journey_purchases

VALIDATION_FROM, TEST_FROM, N_WEEKS, K = 45, 49, 4, 100
SEEDS, N_CANDIDATES = (0, 1, 2), 12
GROUPS, MEASURES = ("warm", "cold"), ("new", "all")
HOUSEHOLD = ["age", "income", "home_ownership", "marital_status", "household_size"]
PRODUCT = ["product_category", "product_type", "department", "brand"]
IDS = {"user": "household_id", "item": "product_id"}
ROWS = {"half_life": [None, 16], "repeats": ["once", "all"]}
# The first value of each is the library's default; of `least`, what the catalogue holds.
SPACES = {
    "popularity": {"half_life": [None, 16, 8, 4, 2, 1], "repeats": ["once", "all"]},
    "ItemCF": {
        "weighting": [None, "tfidf", "bm25"],
        "shrinkage": [0.0, 20.0, 100.0],
        "n_neighbors": [100, 500],
        "least": [1, 10],
        **ROWS,
    },
    "TwoTower": {
        "temperature": [0.1, 0.2, 0.3],
        "embedding_dim": [64, 32],
        "target_share": [0.5, 0.8, 0.9],
        "max_epochs": [20, 10],
        **ROWS,
    },
    # Its weights are dense, and time grows with the cube: some 5,000 products are all it gets.
    "EASE": {"l2": [500.0, 30.0, 100.0, 2000.0], "least": [30]},
}
# Six more of each, near what was best among those on weeks 45 to 48.
_NEAR_CF = {
    "weighting": "bm25", "shrinkage": 0.0, "n_neighbors": 100, "least": 10, "half_life": 16,
    "repeats": "once",
}  # fmt: skip
_NEAR_TOWERS = {
    "temperature": 0.3, "embedding_dim": 32, "target_share": 0.5, "max_epochs": 20, "half_life": 16,
    "repeats": "once",
}  # fmt: skip
NEAR = {
    "ItemCF": [
        _NEAR_CF | {"half_life": 8},
        _NEAR_CF | {"n_neighbors": 50},
        _NEAR_CF | {"shrinkage": 20.0},
        _NEAR_CF | {"least": 30},
        _NEAR_CF | {"repeats": "all"},
        _NEAR_CF | {"weighting": "tfidf", "shrinkage": 20.0},
    ],
    "TwoTower": [
        _NEAR_TOWERS | {"temperature": 0.2, "max_epochs": 10},
        _NEAR_TOWERS | {"temperature": 0.2},
        _NEAR_TOWERS | {"half_life": 8},
        _NEAR_TOWERS | {"temperature": 0.2, "half_life": 8},
        _NEAR_TOWERS | {"temperature": 0.2, "embedding_dim": 16},
        _NEAR_TOWERS | {"temperature": 0.1, "embedding_dim": 64, "repeats": "all"},
    ],
}
# The towers learn of products of 10 households: fewer say little, and the softmax is over all.
LEAST_OF_TOWERS = 10
# Beside the winners: the same towers without attributes, and what was bought before, the most often
# first, then what is popular.
WITHOUT_ATTRIBUTES, BOUGHT_BEFORE = "TwoTower, ids only", "bought before, then popularity"


@dataclass(frozen=True)
class Task:
    """What is known before some week, and what is bought in the four weeks from it.

    Parameters
    ----------
    train : DataFrame
        Rows of warm households before that week.
    recent : DataFrame
        Rows of cold households in the four weeks before it.
    wanted : dict of str to DataFrame
        "warm" and "cold" -> distinct pairs of household and product, and whether they are new.
    profiles : DataFrame
        A row per household, with its attributes.
    first_week : int
    """

    train: pd.DataFrame
    recent: pd.DataFrame
    wanted: dict[str, pd.DataFrame]
    profiles: pd.DataFrame
    first_week: int

    @classmethod
    def of(cls, log, cold, first_week):
        is_cold, before = log["household_id"].isin(cold), log["week"] < first_week
        train = log[before & ~is_cold]
        recent = log[before & is_cold & (log["week"] >= first_week - N_WEEKS)]
        later = log[~before & (log["week"] < first_week + N_WEEKS)]
        later = later[[*IDS.values()]].drop_duplicates()
        wanted = {}
        for group, seen in (("warm", train), ("cold", recent)):
            own = later[later["household_id"].isin(seen["household_id"])]
            wanted[group] = own.assign(new=~np.isin(_pairs(own), _pairs(seen)))
        profiles = log.drop_duplicates("household_id").set_index("household_id", drop=False)
        return cls(train, recent, wanted, profiles[["household_id", *HOUSEHOLD]], first_week)


def _pairs(rows):
    return rows["household_id"].to_numpy() * 1_000_000 + rows["product_id"].to_numpy()


def read_log(n_households=None):
    """Purchases in order of time, ids as integers, and the cold households."""
    log = load_complete_journey_purchases(weeks=range(1, TEST_FROM + N_WEEKS)).data
    log = log.sort_values("timestamp", kind="stable", ignore_index=True)
    ids = {name: log[name].cat.codes.astype(np.int64) for name in IDS.values()}
    log = log[["week", *HOUSEHOLD, *PRODUCT]].assign(**ids)
    households = np.random.default_rng(0).permutation(log["household_id"].unique())[:n_households]
    cold = households[: len(households) // 10]
    return log[log["household_id"].isin(households)], cold


def weigh(rows, first_week, half_life=None, repeats="once", least=1):
    """Distinct pairs, each with its last row, and their weights."""
    age = first_week - 1 - rows["week"].to_numpy()
    weight = np.ones(len(rows)) if half_life is None else 0.5 ** (age / half_life)
    rows, pair = rows.assign(weight=weight), [rows[name] for name in IDS.values()]
    if repeats == "all":
        rows["weight"] = rows.groupby(pair)["weight"].transform("sum")
    rows = rows.drop_duplicates([*IDS.values()], keep="last")
    households = rows.groupby("product_id")["household_id"].transform("size")
    rows = rows[households >= least]
    return rows.drop(columns="weight"), rows["weight"].to_numpy()


class Popularity:
    """The products of the largest weight; with `own`, those of the household's history first."""

    def __init__(self, own=False):
        self.own = own

    def fit(self, rows, sample_weight):
        self.seen = rows.assign(weight=sample_weight)
        self.ranking = self.seen.groupby("product_id")["weight"].sum().sort_values(
            ascending=False, kind="stable"
        ).index.to_numpy()  # fmt: skip
        return self

    def recommend(self, households, k, exclude_seen, history=None):
        seen = self.seen if history is None else history.assign(weight=1.0)
        seen = seen.groupby([*IDS.values()])["weight"].sum().reset_index()
        seen = seen.sort_values("weight", ascending=False, kind="stable")
        own = {user: rows.to_numpy() for user, rows in seen.groupby("household_id")["product_id"]}
        lists = np.full((len(households), k), -1)
        for row, user in enumerate(households):
            mine = own.get(user, np.empty(0, dtype=np.int64))
            others = self.ranking[: k + len(mine)]
            if exclude_seen or self.own:
                others = others[~np.isin(others, mine)]
            found = np.append(mine, others)[:k] if self.own else others[:k]
            lists[row, : len(found)] = found
        return lists, None


def make(model, setting, seed):
    """An estimator that is not fitted."""
    if model in ("popularity", BOUGHT_BEFORE):
        return Popularity(own=model == BOUGHT_BEFORE)
    if model == "EASE":
        return EASERetriever(**IDS, **setting, random_state=seed)
    if model == "ItemCF":
        return ItemCF(**IDS, **setting, random_state=seed)
    features = {"user_features": HOUSEHOLD, "item_features": ["product_id", *PRODUCT]}
    if model == WITHOUT_ATTRIBUTES:
        features = {}
    return TwoTowerRetriever(
        **IDS, **features, **setting, user_items=True, loss="softmax", early_stopping=False,
        calibrate=False, random_state=seed,
    )  # fmt: skip


def measure(task, model, setting, seed=0):
    """Seconds of the fit, and the recall of each household: measure -> group -> Series."""
    setting, least = dict(setting), LEAST_OF_TOWERS if model.startswith("TwoTower") else 1
    how = {name: setting.pop(name) for name in ("half_life", "repeats", "least") if name in setting}
    rows, weight = weigh(task.train, task.first_week, **{"least": least, **how})
    start = time.process_time()
    fitted = make(model, setting, seed).fit(rows, sample_weight=weight)
    seconds = time.process_time() - start
    found = {name: {} for name in MEASURES}
    for group, wanted in task.wanted.items():
        households = np.sort(wanted["household_id"].unique())
        asked = households
        if model == "TwoTower":
            asked = task.profiles.loc[households].reset_index(drop=True)
        history = task.recent if group == "cold" else None
        for name in MEASURES:
            lists, _ = fitted.recommend(asked, k=K, exclude_seen=name == "new", history=history)
            found[name][group] = recall(lists, households, wanted[wanted["new"] | (name == "all")])
    return seconds, found


def recall(lists, households, wanted):
    """Share of each household's wanted products in its list, a Series."""
    listed = np.repeat(households, lists.shape[1]) * 1_000_000 + lists.ravel()
    hit = pd.Series(np.isin(_pairs(wanted), listed), index=wanted["household_id"])
    return hit.groupby(level=0).mean()


class Journal:
    """What has been measured, a line of JSON each, so that a run that was stopped goes on."""

    def __init__(self, path):
        self.path, self.done = path, {}
        if path is not None and path.exists():
            entries = map(json.loads, path.read_text().splitlines())
            self.done = {self._key(entry): entry for entry in entries}

    @staticmethod
    def _key(entry):
        return json.dumps([entry[name] for name in ("from", "model", "setting", "seed")])

    def measure(self, task, model, setting, seed=0):
        """As the function, but recalls are lists."""
        entry = {"from": task.first_week, "model": model, "setting": setting, "seed": seed}
        key = self._key(entry)
        if key not in self.done:
            seconds, found = measure(task, model, setting, seed)
            entry["fit_cpu_seconds"] = round(seconds, 1)
            entry |= {
                name: {group: [round(x, 6) for x in own] for group, own in groups.items()}
                for name, groups in found.items()
            }
            self.done[key] = entry
            print(model, setting, entry["fit_cpu_seconds"], *_means(entry).items(), flush=True)
            if self.path is not None:
                self.path.parent.mkdir(exist_ok=True)
                with self.path.open("a") as file:
                    file.write(json.dumps(entry) + "\n")
        return self.done[key]


def _means(entry):
    return {m: {g: float(np.mean(entry[m][g])) for g in GROUPS} for m in MEASURES}


def tune(journal, task):
    """What each model tried, and its winner for each measure."""
    tried, best = {}, {name: {} for name in MEASURES}
    for model, space in SPACES.items():
        size = int(np.prod([len(values) for values in space.values()]))
        settings = protocol.candidates(space, min(size, N_CANDIDATES)) + NEAR.get(model, [])
        entries = [journal.measure(task, model, setting) for setting in settings]
        tried[model] = [
            {"setting": e["setting"], "fit_cpu_seconds": e["fit_cpu_seconds"], **_means(e)}
            for e in entries
        ]
        for name in MEASURES:
            winner = max(tried[model], key=lambda one: sum(one[name].values()))
            best[name][model] = winner["setting"]
    return tried, best


def judge(journal, task, name, best):
    """Test recalls by one measure, and what the towers gain on each other model."""
    models = {model: (model, setting) for model, setting in best.items()}
    models[WITHOUT_ATTRIBUTES] = (WITHOUT_ATTRIBUTES, best["TwoTower"])
    if name == "all":
        models[BOUGHT_BEFORE] = (BOUGHT_BEFORE, {"half_life": None, "repeats": "all"})
    summary, recalls = {}, {}
    for model, how in models.items():
        seeds = SEEDS if model == "TwoTower" else SEEDS[:1]
        entries = [journal.measure(task, *how, seed) for seed in seeds]
        by_seed = {group: np.array([e[name][group] for e in entries]) for group in GROUPS}
        recalls[model] = {group: runs.mean(axis=0) for group, runs in by_seed.items()}
        summary[model] = {
            "setting": how[1],
            "fit_cpu_seconds": float(np.mean([e["fit_cpu_seconds"] for e in entries])),
            **{group: float(runs.mean()) for group, runs in by_seed.items()},
            "by_seed": {group: runs.mean(axis=1).tolist() for group, runs in by_seed.items()},
        }
    gains = {
        model: {group: gain(recalls["TwoTower"][group], own[group]) for group in GROUPS}
        for model, own in recalls.items()
        if model != "TwoTower"
    }
    return {"models": summary, "TwoTower minus": gains}


def gain(own, other, n_resamples=protocol.N_RESAMPLES):
    """The mean difference, and its 95 % interval over resampled households."""
    difference = own - other
    n = len(difference)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=n_resamples)
    low, high = np.quantile(counts @ difference / n, [0.025, 0.975])
    return {"difference": float(difference.mean()), "low": float(low), "high": float(high)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--households", type=int, help="some of them, to try it out")
    args = parser.parse_args()
    log, cold = read_log(args.households)
    journal = Journal(None if args.households else protocol.CACHE / "purchases.jsonl")
    tried, best = tune(journal, Task.of(log, cold, VALIDATION_FROM))
    task = Task.of(log, cold, TEST_FROM)
    found = {
        "households": int(log["household_id"].nunique()),
        "cold_households": len(cold),
        "purchases": len(log),
        "attributes": [*HOUSEHOLD, *PRODUCT],
        "n_resamples": protocol.N_RESAMPLES,
    }
    for name in MEASURES:
        wanted = {g: own[own["new"] | (name == "all")] for g, own in task.wanted.items()}
        found[name] = {
            "households": {g: int(own["household_id"].nunique()) for g, own in wanted.items()},
            "wanted": {g: len(own) for g, own in wanted.items()},
            **judge(journal, task, name, best[name]),
        }
    found |= {"tried": tried, **protocol.environment("torch")}
    text = json.dumps(found, indent=1) + "\n"
    if args.households is None:
        (protocol.RESULTS / "two_tower_purchases.json").write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
