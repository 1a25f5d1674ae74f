"""Accuracy of ItemCF and EASERetriever on two fixed splits, and their speed beside two libraries.

    python benchmarks/item_cf.py beauty --data DATA        # grid on validation, test read once
    python benchmarks/item_cf.py ml-1m-lcfn --data DATA
    python benchmarks/item_cf.py speed --data DATA --log ml-1m
    python benchmarks/item_cf.py speed --log purchases     # Complete Journey; without DATA
    python benchmarks/item_cf.py speed --log zipf          # 20M synthetic rows; without DATA
    python benchmarks/make_envs.py implicit skrecsys       # before the first `speed`

DATA (or the variable SK_ADREC_BENCHMARK_DATA) is a folder with ``beauty-bert4rec``, ``ml-1m-lcfn``
and ``ml-1m``; the README says where they come from. Results go to ``results/item_cf_<what>.json``.

Beauty: a user's last item is the test, the one before it the validation; the best NDCG@10 on
validation wins, the winner is fitted again on all but the test items. All items are ranked but
those that the user has seen. ml-1m-lcfn: the test rows of UltraGCN's split; a tenth of the
training rows, drawn at random, is the validation, and the best recall@20 + NDCG@20 on it wins.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
from make_envs import HERE, peer_python
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, ParameterGrid

from sk_adrec import EASERetriever, ItemCF
from sk_adrec.datasets import load_complete_journey_purchases

# Library -> its interpreter and its runner; each run is a process of its own.
LIBRARIES = {
    "sk_adrec": (lambda: sys.executable, "run_sk_adrec_item_cf.py"),
    "implicit": (lambda: peer_python("implicit", HERE / ".envs"), "run_implicit.py"),
    "skrecsys": (lambda: peer_python("skrecsys", HERE / ".envs"), "run_skrecsys.py"),
}
N_NEIGHBORS, K, THREADS = 100, 10, 2

BEAUTY_GRID = [
    {"shrinkage": [20.0, 50.0, 100.0, 200.0], "decay": [0.6, 0.7, 0.8], "n_neighbors": [500]},
    {"weighting": ["tfidf", "bm25"], "shrinkage": [10.0, 50.0], "decay": [0.7]},
]
LCFN_GRID = [
    {"weighting": [None, "tfidf"], "n_neighbors": [100, 200, 400]},
    {"weighting": ["tfidf"], "inverse_user_frequency": [True], "n_neighbors": [100, 200, 400]},
    {"similarity": ["jaccard"], "n_neighbors": [100, 200]},
    {"similarity": ["conditional"], "alpha": [0.3, 0.5], "n_neighbors": [100, 200]},
]
EASE_GRID = {"l2": [100.0, 200.0, 500.0, 1000.0, 2000.0, 4000.0]}
# A row of a user with n rows weighs n^-power: offered to all models on this split.
USER_POWERS = (0.0, 0.3)


def ranked(model, users, items, k):
    """HR@k, recall@k and NDCG@k of held-out pairs, means over their users, by the definitions.

    It shares no code with the estimator's own `score`.
    """
    relevant = pd.Series(items).groupby(np.asarray(users)).agg(set)
    found, _ = model.recommend(relevant.index.to_numpy(), k=k)
    gain = 1 / np.log2(np.arange(2, k + 2))
    hits = np.array([[item in wanted for item in row] for row, wanted in zip(found, relevant)])
    n = relevant.map(len).to_numpy()
    best = np.cumsum(gain)[np.minimum(n, k) - 1]
    return {
        f"hr@{k}": float(hits.any(axis=1).mean()),
        f"recall@{k}": float((hits.sum(axis=1) / n).mean()),
        f"ndcg@{k}": float((hits @ gain / best).mean()),
        "users": len(relevant),
    }


def search(model, grid, log, train, valid):
    """The best of a grid on validation rows, fitted again on all; and what was tried."""
    found = GridSearchCV(model, grid, cv=[(train, valid)], error_score="raise").fit(log)
    tried = [
        {"setting": setting, "valid_ndcg@10": float(score)}
        for setting, score in zip(found.cv_results_["params"], found.cv_results_["mean_test_score"])
    ]
    return (
        found.best_estimator_,
        found.best_params_,
        sorted(tried, key=lambda one: -one["valid_ndcg@10"]),
    )


def beauty(data):
    """ItemCF on Amazon Beauty, leave-last-out."""
    log = pd.read_parquet(data / "beauty-bert4rec" / "interactions.parquet")
    from_last = log.groupby("user")["pos"].transform("max") - log["pos"]
    test = log[from_last == 0]
    log, from_last = log[from_last > 0].reset_index(drop=True), from_last[from_last > 0].to_numpy()
    model = ItemCF(user="user", item="item", time="pos", random_state=0)
    best, setting, tried = search(
        model, BEAUTY_GRID, log, np.flatnonzero(from_last > 1), np.flatnonzero(from_last == 1)
    )
    return {
        "ItemCF": {"setting": setting, **ranked(best, test["user"], test["item"], K)},
        "tried": tried,
    }


def read_lcfn(data):
    """UltraGCN's training rows, which of them (a tenth) are for validation, and its test rows."""
    log = pd.read_parquet(data / "ml-1m-lcfn" / "interactions.parquet")
    train = log.loc[log["split"] == "train", ["user", "item"]].reset_index(drop=True)
    is_valid = np.random.default_rng(0).random(len(train)) < 0.1
    return train, is_valid, log[log["split"] == "test"]


def lcfn(data):
    """ItemCF and EASERetriever on UltraGCN's split of MovieLens-1M."""
    log, is_valid, test = read_lcfn(data)
    names = {"user": "user", "item": "item", "random_state": 0}
    result = {}
    for name, model, grid in (
        ("ItemCF", ItemCF(**names), LCFN_GRID),
        ("EASERetriever", EASERetriever(**names), EASE_GRID),
    ):
        tried = []
        for power, setting in itertools.product(USER_POWERS, ParameterGrid(grid)):
            fitted = fit_weighted(clone(model).set_params(**setting), log[~is_valid], power)
            found = ranked(fitted, log["user"][is_valid], log["item"][is_valid], 20)
            tried.append({"setting": {**setting, "user_power": power}, **found})
        tried.sort(key=lambda one: -one["recall@20"] - one["ndcg@20"])
        best = dict(tried[0]["setting"])
        power = best.pop("user_power")
        fitted = fit_weighted(clone(model).set_params(**best), log, power)
        measured = ranked(fitted, test["user"], test["item"], 20)
        result[name] = {"setting": tried[0]["setting"], **measured, "tried": tried}
    for name, model in (
        ("ItemCF, defaults", ItemCF(**names)),
        ("EASERetriever, l2=500 as published", EASERetriever(**names, l2=500.0)),
    ):
        result[name] = ranked(model.fit(log), test["user"], test["item"], 20)
    return result


def fit_weighted(model, log, power):
    """Fit with rows of a user with n rows weighing n^-power."""
    n = log.groupby("user")["item"].transform("size").to_numpy(float)
    return model.fit(log, sample_weight=n**-power)


def zipf_log(n_rows=20_000_000, n_users=138_000, n_items=27_000, seed=0):
    """Distinct pairs of about `n_rows` draws: items by a Zipf law, users log-normally active."""
    rng = np.random.default_rng(seed)

    def draw(p):
        edges = np.cumsum(p / p.sum())
        return np.minimum(np.searchsorted(edges, rng.random(n_rows)), len(p) - 1)

    user = draw(rng.lognormal(0, 1, n_users))
    item = draw(1 / np.arange(1, n_items + 1) ** 0.8)
    pair = rng.permutation(np.unique(user * n_items + item))
    return pair // n_items, pair % n_items


def read_log(name, data):
    """Users and items of a log to time."""
    if name == "zipf":
        return zipf_log()
    if name == "purchases":
        log = load_complete_journey_purchases(weeks=range(1, 54)).data
        pairs = log[["household_id", "product_id"]].drop_duplicates()
        return tuple(pairs[column].astype("int64").to_numpy() for column in pairs)
    ratings = pd.read_parquet(data / "ml-1m" / "ratings.parquet", columns=["user_id", "movie_id"])
    return ratings["user_id"].to_numpy(), ratings["movie_id"].to_numpy()


def speed(name, data, repeats, n_users):
    """Seconds to fit from raw ids and to recommend, ours and the peers', in turns."""
    protocol.CACHE.mkdir(parents=True, exist_ok=True)
    path = protocol.CACHE / f"item_cf_{name}.npz"
    if not path.exists():
        user, item = read_log(name, data)
        np.savez(path, user=user, item=item)
    with np.load(path) as arrays:
        sizes = {name: len(np.unique(arrays[name])) for name in ("user", "item")}
        pairs = len(arrays["user"])
    runs, found = {library: [] for library in LIBRARIES}, {}
    for repeat in range(repeats):
        for library, (environment, runner) in LIBRARIES.items():
            kept = protocol.CACHE / f"neighbors_{library}.npz"
            command = [environment(), HERE / "peers" / runner, path, "--k", K]
            command += ["--neighbors", N_NEIGHBORS, "--users", n_users, "--threads", THREADS]
            command += ["--save", kept] if repeat == 0 else []
            command = list(map(str, command))
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[library].append(json.loads(done.stdout.splitlines()[-1]))
            if repeat == 0:
                found[library] = read_neighbors(kept)
                kept.unlink()
        print({library: one[-1] for library, one in runs.items()}, flush=True)
    ours = found.pop("sk_adrec")
    return {
        "pairs": pairs, "users": sizes["user"], "items": sizes["item"],
        "users_served": min(n_users, sizes["user"]), "k": K, "n_neighbors": N_NEIGHBORS,
        "runs": runs,
        "neighbors": {library: compare_neighbors(ours, one) for library, one in found.items()},
    }  # fmt: skip


def read_neighbors(path):
    """Items (numbered in the order of their ids), their neighbours, and how similar these are."""
    with np.load(path) as found:
        number = found["items"].argsort().argsort()
        rows = np.repeat(np.arange(len(number)), np.diff(found["indptr"]))
        columns, data = found["indices"], found["data"].astype(np.float32)
    keep = (rows != columns) & (data > 0)
    return number[rows[keep]], number[columns[keep]], data[keep], len(number)


def compare_neighbors(ours, peers):
    """How far a peer's lists of similarities are from ours, and how many neighbours are the same.

    Of items that are equally similar any may be kept: similarities are compared place by place.
    """
    values = [by_place(row, data, n_items) for row, _, data, n_items in (ours, peers)]
    keys = [row * np.int64(n_items) + column for row, column, _, n_items in (ours, peers)]
    return {
        "largest_difference": float(np.abs(values[0] - values[1]).max()),
        "same_neighbors": float(np.isin(keys[1], keys[0]).mean()),
        "ours": len(keys[0]), "peers": len(keys[1]),
    }  # fmt: skip


def by_place(row, data, n_items):
    """Similarities of each item, the largest first, shape (n_items, N_NEIGHBORS)."""
    order = np.lexsort((-data, row))
    row, data = row[order], data[order]
    place = np.arange(len(row)) - np.searchsorted(row, row)
    values = np.zeros((n_items, N_NEIGHBORS), dtype=np.float32)
    kept = place < N_NEIGHBORS
    values[row[kept], place[kept]] = data[kept]
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("beauty", "ml-1m-lcfn", "speed"))
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_ADREC_BENCHMARK_DATA"))
    parser.add_argument(
        "--log", choices=("ml-1m", "purchases", "zipf"), default="ml-1m", help="for speed"
    )
    parser.add_argument("--repeats", type=int, default=3, help="for speed: the least counts")
    parser.add_argument("--users", type=int, default=50_000, help="for speed: served, at most")
    parser.add_argument("--output", type=Path, help="default: results/item_cf_<what>.json")
    args = parser.parse_args()
    needs_data = args.what != "speed" or args.log == "ml-1m"
    if args.data is None and needs_data:
        parser.error("--data, or SK_ADREC_BENCHMARK_DATA, must name the folder of the data sets")
    if args.what == "speed":
        name, result = f"speed_{args.log}", speed(args.log, args.data, args.repeats, args.users)
    else:
        name, result = args.what, {"beauty": beauty, "ml-1m-lcfn": lcfn}[args.what](args.data)
    result |= protocol.environment("scipy")
    output = args.output or protocol.RESULTS / f"item_cf_{name}.json"
    output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "tried"}, indent=2)[:3000])


if __name__ == "__main__":
    main()
