"""TwoTowerRetriever: accuracy on a fixed split.

    python benchmarks/two_tower.py ml-1m-lcfn --data DATA   # grid on validation, then the test

DATA (or the variable SK_ADREC_BENCHMARK_DATA) is a folder with ``ml-1m-lcfn``; the README says
where it comes from. Results go to ``results/two_tower_<what>.json``.

ml-1m-lcfn: the test rows of UltraGCN's split, ids only; a tenth of the training rows, drawn at
random, is the validation. The best recall@20 + NDCG@20 on it wins; the winner is fitted again on
all training rows, with three seeds. ``--setting`` names the winner of an earlier grid; its
``user_power`` p weighs the rows of a user with n rows by n^-p. The last row are the defaults.
Purchases are in ``purchases.py``, the time of an epoch in ``two_tower_epoch.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import protocol
from item_cf import fit_weighted, ranked, read_lcfn

from sk_adrec import TwoTowerRetriever

IDS_ONLY = {
    "user": "user", "item": "item", "user_items": True, "loss": "softmax", "batch_size": 256,
    "lr": 0.01, "early_stopping": False, "calibrate": False,
}  # fmt: skip
GRID = [
    {"embedding_dim": embedding_dim, "temperature": temperature, "user_power": 0.3}
    for embedding_dim in (128, 256)
    for temperature in (0.1, 0.12)
]
SEEDS, K = (0, 1, 2), 20


def lcfn(data, setting):
    """The best setting on validation, and its recall@20 and NDCG@20 on the test rows."""
    train, is_valid, test = read_lcfn(data)
    tried = []
    for candidate in [] if setting else GRID:
        model = fit(train[~is_valid], random_state=0, **candidate)
        found = ranked(model, train["user"][is_valid], train["item"][is_valid], K)
        tried.append({"setting": candidate, **found})
    if tried:
        setting = max(tried, key=lambda one: one[f"recall@{K}"] + one[f"ndcg@{K}"])["setting"]
    rows = []
    for seed in SEEDS:
        start = time.process_time()
        model = fit(train, random_state=seed, **setting)
        seconds = time.process_time() - start
        rows.append({**ranked(model, test["user"], test["item"], K), "fit_cpu_seconds": seconds})
        print(rows[-1], flush=True)
    mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    start = time.process_time()
    model = TwoTowerRetriever(user="user", item="item", user_items=True, random_state=0).fit(train)
    seconds = time.process_time() - start
    defaults = {
        **ranked(model, test["user"], test["item"], K), "fit_cpu_seconds": seconds,
        "epochs": model.n_iter_,
    }  # fmt: skip
    return {
        "setting": {**IDS_ONLY, **setting}, "tried": tried, "test": rows, "mean": mean,
        "defaults": defaults,
    }  # fmt: skip


def fit(train, user_power=0.0, max_epochs=40, **setting):
    """Two towers; a row of a user with n rows weighs n^-user_power."""
    model = TwoTowerRetriever(**IDS_ONLY, max_epochs=max_epochs, **setting)
    return fit_weighted(model, train, user_power)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("ml-1m-lcfn",))
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_ADREC_BENCHMARK_DATA"))
    parser.add_argument("--setting", type=json.loads, help="JSON, skips the grid")
    parser.add_argument("--output", type=Path, help="default: results/two_tower_<what>.json")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data, or SK_ADREC_BENCHMARK_DATA, must name the folder of the data sets")
    found = lcfn(Path(args.data), args.setting)
    found |= protocol.environment("torch")
    target = args.output or protocol.RESULTS / f"two_tower_{args.what}.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
