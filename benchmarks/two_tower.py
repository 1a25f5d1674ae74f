"""TwoTowerRetriever: accuracy with ids only on ml-1m-lcfn, and the time of an epoch.

    python benchmarks/two_tower.py ml-1m-lcfn --data DATA   # grid on validation, test read once
    python benchmarks/two_tower.py epoch                    # seconds per epoch, synthetic pairs

DATA (or the variable SK_ADREC_BENCHMARK_DATA) is a folder with ``ml-1m-lcfn``; the README says
where it comes from. Results go to ``results/two_tower_<what>.json``.

ml-1m-lcfn: the test rows of UltraGCN's split; a tenth of each user's training rows, drawn at
random, is the validation. The best NDCG@10 on it wins; the winner, with its number of epochs, is
fitted again on all training rows with three seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
from item_cf import ranked

from sk_adrec import TwoTowerRetriever

GRID = [
    {"loss": loss, "temperature": temperature, "l2": l2}
    for loss in ("softmax", "in_batch")
    for temperature in (0.1, 0.15, 0.2)
    for l2 in (0.0, 1e-5)
]
SEEDS, K = (0, 1, 2), 20


def lcfn(data):
    """The best setting on validation, and its recall@20 and NDCG@20 on the test rows."""
    log = pd.read_parquet(data / "ml-1m-lcfn" / "interactions.parquet")
    test = log[log["split"] == "test"]
    train = log.loc[log["split"] == "train", ["user", "item"]].reset_index(drop=True)
    is_valid = np.random.default_rng(0).random(len(train)) < 0.1
    names, tried = {"user": "user", "item": "item"}, []
    for setting in GRID:
        model = TwoTowerRetriever(**names, **setting, random_state=0, max_epochs=30)
        model.fit(train[~is_valid], X_val=train[is_valid])
        n_epochs = int(np.argmax(model.validation_scores_)) + 1
        tried.append(
            {"setting": setting, "epochs": n_epochs, "ndcg@10": max(model.validation_scores_)}
        )
    best = max(tried, key=lambda one: one["ndcg@10"])
    rows = []
    for seed in SEEDS:
        model = TwoTowerRetriever(
            **names,
            **best["setting"],
            max_epochs=best["epochs"],
            early_stopping=False,
            calibrate=False,
            random_state=seed,
        ).fit(train)
        rows.append(ranked(model, test["user"], test["item"], K))
    return {"best": best, "tried": tried, "test": rows}


def epoch(n_rows=500_000, n_users=20_000, n_items=10_000):
    """Seconds of an epoch on ids only, for each loss."""
    rng = np.random.default_rng(0)
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, n_users, n_rows).astype(str),
            "item_id": np.minimum(rng.zipf(1.3, n_rows), n_items).astype(str),
        }
    )
    seconds = {}
    for loss in ("in_batch", "softmax", "sampled_softmax", "bpr", "log_loss"):
        model = TwoTowerRetriever(loss=loss, max_epochs=2, early_stopping=False, calibrate=False)
        start = time.perf_counter()
        model.fit(log)
        durations = model.net_.history[:, "dur"]
        seconds[loss] = {"epoch": min(durations), "fit": time.perf_counter() - start}
    return {"rows": n_rows, "users": n_users, "items": n_items, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("ml-1m-lcfn", "epoch"))
    parser.add_argument("--data", type=Path, default=os.environ.get("SK_ADREC_BENCHMARK_DATA"))
    arguments = parser.parse_args()
    if arguments.data is None and arguments.what != "epoch":
        parser.error("--data, or SK_ADREC_BENCHMARK_DATA, must name the folder of the data sets")
    found = epoch() if arguments.what == "epoch" else lcfn(Path(arguments.data))
    found |= protocol.environment("torch")
    target = protocol.RESULTS / f"two_tower_{arguments.what}.json"
    target.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
