"""Next item on two logs: Amazon Beauty, and the category of a household's next purchase.

    python benchmarks/next_item.py beauty --data DATA          # hours: each network with a refit
    python benchmarks/next_item.py category
    python benchmarks/next_item.py beauty --data DATA --models sasrec --setting '{"dropout": 0.5}'
    python benchmarks/next_item.py category --max-users 50 --max-epochs 2       # to try it out

DATA (or the variable SK_ADREC_BENCHMARK_DATA) is a folder with ``beauty-bert4rec``; the README says
where it comes from. Results go to ``results/next_item_<what>.json``.

Every model learns from the same training events and is chosen (setting, number of epochs) by
NDCG@10 on the validation events; then it is fitted once more on both, as ItemCF is, and ranks the
whole catalogue for the test events, which are read once.

beauty: a user's last item is the test, the one before it the validation; what a user has had is
left out of the ranking.

category: a purchase is a household, a basket and a product category, each once; which of a basket's
categories comes first is drawn at random. Asked is the category that comes first in a basket, from
the household's earlier baskets. Weeks 1-40 to train, 41-44 to choose, 45-53 to test. Items come
again, so that nothing is left out. All models read the newest 200 purchases; the networks also
read whether a purchase ended its basket, and one of them the times.

Stopped at any time, the same command goes on: after each epoch a checkpoint is kept in
``.cache/next_item``. A finished model is not fitted again.
"""

import argparse
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import protocol
import torch
from checkpoint import Checkpoint, epochs
from hstu_ml1m import K, measured
from sklearn.model_selection import ParameterGrid

from sk_adrec import HSTUNextItem, ItemCF, SASRecNextItem
from sk_adrec.datasets import load_complete_journey_purchases
from sk_adrec.sequential import leave_last_out, make_prefixes

CACHE = protocol.CACHE / "next_item"
MAX_LEN = 200
NETWORKS = {"hstu": HSTUNextItem, "hstu_times": HSTUNextItem, "sasrec": SASRecNextItem}
# Rows of Beauty's validation that the networks stop on: ranking all takes longer than an epoch.
N_STOP = 10_000

SHORT = {
    "embedding_dim": 64, "max_len": 50, "batch_size": 256, "loss": "sampled_softmax",
    "n_negatives": 2048, "lr": 2e-3, "dropout": 0.5,
}  # fmt: skip
BASKETS = {
    "embedding_dim": 64, "max_len": MAX_LEN, "batch_size": 32, "lr": 2e-3,
    "history": "hist_category", "event_features": ["hist_place"], "exclude_seen": False,
}  # fmt: skip
TIMES = {"history_time": "hist_timestamp", "request_time": "timestamp"}
SETTINGS = {
    "beauty": {"hstu": SHORT, "sasrec": SHORT},
    "category": {"hstu": BASKETS, "hstu_times": BASKETS | TIMES, "sasrec": BASKETS},
}
# What each network tries on validation, over its setting.
CANDIDATES = {
    "beauty": [{}, {"dropout": 0.2}],
    "category": [{}],
}
ITEM_CF_GRID = [
    {"shrinkage": [0.0, 50.0], "decay": [0.97, 1.0]},
    {"similarity": ["conditional"], "alpha": [0.0, 0.3], "decay": [0.97, 1.0]},
]
FREQUENCY_GRID = {"decay": [0.95, 0.98, 0.99, 1.0]}


@dataclass(frozen=True)
class Rows:
    """What the networks read: parts (X, y) of histories and the items that follow."""

    train: tuple[pd.DataFrame, pd.Series]
    valid: tuple[pd.DataFrame, pd.Series]
    refit: tuple[pd.DataFrame, pd.Series]
    test: tuple[pd.DataFrame, pd.Series]
    log: Any = None


def beauty_rows(data, max_users):
    """Leave-last-out; the validation rows hold all but the test items, so they are the refit's."""
    log = pd.read_parquet(data / "beauty-bert4rec" / "interactions.parquet")
    log = log.sort_values(["user", "pos"], ignore_index=True)
    log = first_users(log, "user", max_users)
    train, valid, test = leave_last_out(log, user="user", item="item")
    stop = np.sort(np.random.default_rng(0).permutation(len(valid[1]))[:N_STOP])
    return Rows(train, tuple(part.iloc[stop] for part in valid), valid, test)


def first_users(log, user, max_users):
    """The rows of the first users, to try the script out."""
    if max_users is None:
        return log
    return log[log[user].isin(log[user].unique()[:max_users])].reset_index(drop=True)


def category_rows(max_users):
    """Purchases of the grocer's households, split by weeks."""
    log = category_log(max_users)
    week, opens = log["week"].to_numpy(), log["opens"].to_numpy()
    prefixes = {"user": "household_id", "item": "category", "time": "timestamp"}
    prefixes |= {"event_features": ["place"], "max_len": MAX_LEN}

    def learnt(last_week):
        """Each event once: the last event of a household, and every (MAX_LEN + 1)-th before it."""
        past = log[week <= last_week].reset_index(drop=True)
        from_last = past.groupby("household_id", observed=True).cumcount(ascending=False)
        return make_prefixes(past, rows=(from_last % (MAX_LEN + 1) == 0).to_numpy(), **prefixes)

    def asked(weeks):
        return make_prefixes(log, rows=opens & np.isin(week, weeks), **prefixes)

    train_end, valid_end = protocol.TRAIN_WEEKS[-1], protocol.VALIDATION_WEEKS[-1]
    return Rows(
        learnt(train_end),
        asked(protocol.VALIDATION_WEEKS),
        learnt(valid_end),
        asked(protocol.TEST_WEEKS),
        log,
    )


def category_log(max_users):
    """household_id, basket_id, category (a number), place, opens, week, timestamp; in order."""
    columns = ["household_id", "basket_id", "product_category", "week", "timestamp"]
    log = load_complete_journey_purchases().data[columns].dropna()
    log = log.drop_duplicates(["household_id", "basket_id", "product_category"])
    log["category"] = log.pop("product_category").cat.codes.astype(np.int64)
    # A basket has one time: the order within is drawn, since the file's would tell the product.
    log = log.sample(frac=1.0, random_state=0)
    log = log.sort_values(["household_id", "timestamp", "basket_id"], kind="stable")
    log = first_users(log.reset_index(drop=True), "household_id", max_users)
    basket = log["basket_id"].astype(str)
    log["opens"] = basket != basket.shift()
    log["place"] = np.where(log["opens"].shift(-1, fill_value=True), "ends", "goes on")
    return log


def run_network(name, rows, args, folder):
    """Setting and epochs by validation, the refit, and both networks' rankings of the test rows."""
    torch.set_num_threads(args.threads)
    (X_val, y_val), (X_test, y_test) = rows.valid, rows.test
    tried, best, best_model = [], {"valid_ndcg": -1.0}, None
    for candidate in candidates(args):
        setting = SETTINGS[args.what][name] | candidate
        print(f"{name}: {setting}", flush=True)
        model = NETWORKS[name](
            **setting, max_epochs=args.max_epochs, n_iter_no_change=args.patience,
            random_state=args.seed, early_stopping=True,
            callbacks=[Checkpoint(folder / f"choose_{key(candidate)}")],
        )  # fmt: skip
        model.fit(*rows.train, X_val=X_val, y_val=y_val)
        n_epochs = int(np.argmax(model.validation_scores_)) + 1
        one = {
            "setting": setting,
            "n_epochs": n_epochs,
            "valid_ndcg": max(model.validation_scores_),
        }
        tried.append(one | {"epochs": epochs(model.net_)})
        if one["valid_ndcg"] > best["valid_ndcg"]:
            best, best_model = one, model
    report = best | {"seed": args.seed, "tried": tried}
    report["without_refit"] = measured(best_model.recommend(X_test, K)[0], y_test.to_numpy())
    refit = Checkpoint(folder / f"refit_{key([best['setting'], best['n_epochs']])}")
    best_model.set_params(max_epochs=best["n_epochs"], early_stopping=False, callbacks=[refit])
    best_model.fit(*rows.refit)
    report["refit_epochs"] = epochs(best_model.net_)
    return report | {"test": measured(best_model.recommend(X_test, K)[0], y_test.to_numpy())}


def candidates(args):
    """What the networks of a command try."""
    return CANDIDATES[args.what] if args.setting is None else [args.setting]


def key(told):
    """A short name for what can be told in JSON."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def run_popularity(rows):
    """The categories that most purchases are of."""
    past = rows.log[rows.log["week"] <= protocol.VALIDATION_WEEKS[-1]]
    best = past["category"].value_counts().index[:K].to_numpy()
    _, y = rows.test
    return {"test": measured(np.broadcast_to(best, (len(y), K)), y.to_numpy())}


def run_frequency(rows):
    """What the household has bought most often, each purchase counting decay^age."""

    def rank(part, last_week, decay):
        X, _ = part
        past = rows.log[rows.log["week"] <= last_week]
        lengths = X["hist_category"].list.len().to_numpy()
        row, item = np.repeat(np.arange(len(X)), lengths), flat(X["hist_category"])
        age = np.repeat(lengths.cumsum(), lengths) - 1 - np.arange(len(item))
        n = rows.log["category"].max() + 1
        counts = np.bincount(row * n + item, decay**age, len(X) * n).reshape(len(X), n)
        # Popularity decides between equal counts, and fills up.
        popularity = np.bincount(past["category"], minlength=n) / len(past)
        return np.argsort(-(counts + 1e-6 * popularity), axis=1, kind="stable")[:, :K]

    return choose(rank, FREQUENCY_GRID, rows)


def run_item_cf(rows):
    """ItemCF on households x categories, served by the same histories."""

    def rank(part, last_week, **setting):
        X, _ = part
        past = rows.log[rows.log["week"] <= last_week]
        model = ItemCF(
            user="household_id", item="category", n_neighbors=300, random_state=0, **setting
        )
        model.fit(past[["household_id", "category"]])
        lengths = X["hist_category"].list.len().to_numpy()
        histories = pd.DataFrame(
            {
                "household_id": np.repeat(np.arange(len(X)), lengths).astype(str),
                "category": flat(X["hist_category"]),
            }
        )
        users = np.arange(len(X)).astype(str)
        return model.recommend(users, K, exclude_seen=False, history=histories)[0]

    return choose(rank, ITEM_CF_GRID, rows)


def flat(lists):
    """All entries of a list column."""
    return lists.list.flatten().to_numpy()


def choose(rank, grid, rows):
    """The setting of the best NDCG@10 on validation, then the test with all weeks before it."""
    tried = []
    for setting in ParameterGrid(grid):
        ids = rank(rows.valid, protocol.TRAIN_WEEKS[-1], **setting)
        found = measured(ids, rows.valid[1].to_numpy())
        tried.append({"setting": setting, "valid_ndcg": found["ndcg"]})
    best = max(tried, key=lambda one: one["valid_ndcg"])
    ids = rank(rows.test, protocol.VALIDATION_WEEKS[-1], **best["setting"])
    return {**best, "tried": tried, "test": measured(ids, rows.test[1].to_numpy())}


OTHERS = {"popularity": run_popularity, "frequency": run_frequency, "item_cf": run_item_cf}
MODELS = {"beauty": list(SETTINGS["beauty"]), "category": [*OTHERS, *SETTINGS["category"]]}


def run(name, rows, args):
    """A model's report, from the cache where it has been finished."""
    base = SETTINGS[args.what].get(name, [ITEM_CF_GRID, FREQUENCY_GRID])
    told = [base, args.seed, args.max_epochs, args.patience, args.max_users]
    folder = CACHE / f"{args.what}_{name}_{key(told)}"
    folder.mkdir(parents=True, exist_ok=True)
    # The candidates of one folder share their checkpoints, whichever of them a command names.
    done = folder / f"done_{key(candidates(args))}.json"
    if not done.exists():
        print(f"{args.what}, {name}", flush=True)
        if name in NETWORKS:
            report = run_network(name, rows, args, folder)
        else:
            report = OTHERS[name](rows)
        done.write_text(json.dumps(report))
    report = json.loads(done.read_text())
    print(f"{name:12} HR@10 {report['test']['hr']:.4f}, NDCG@10 {report['test']['ndcg']:.4f}")
    return report


def main():
    """Parse the command line, run what is missing, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=list(MODELS))
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_ADREC_BENCHMARK_DATA"))
    parser.add_argument("--models", nargs="+", help="default: all")
    parser.add_argument("--setting", type=json.loads, help="JSON: only this, over the networks'")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-epochs", type=int, default=100)
    parser.add_argument("--patience", type=int, default=5)
    parser.add_argument("--max-users", type=int, help="to try the script out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    names = args.models or MODELS[args.what]
    if unknown := sorted(set(names) - set(MODELS[args.what])):
        parser.error(f"unknown models {unknown}; choose from {MODELS[args.what]}")
    if args.what == "beauty" and args.data is None:
        parser.error("--data, or SK_ADREC_BENCHMARK_DATA, must name the folder of the data sets")
    if args.what == "beauty":
        rows = beauty_rows(Path(args.data), args.max_users)
    else:
        rows = category_rows(args.max_users)
    result = {
        "what": args.what,
        "rows": {part: len(getattr(rows, part)[1]) for part in ("train", "valid", "test")},
        "models": {name: run(name, rows, args) for name in names},
        **protocol.environment("torch", "skorch"),
    }
    output = args.output or protocol.RESULTS / f"next_item_{args.what}.json"
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
