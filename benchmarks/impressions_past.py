"""Rankers that know the past: real impressions with the lists and counts of HistoryEncoder.

    python benchmarks/impressions_past.py  # an hour on two idle cores
    python benchmarks/impressions_past.py --max-rows 20000 --candidates 1 --output out.json

The rows of ``protocol.py`` with 1 % of the negatives instead of 2 %, and for every model the same
information: the 18 columns, and what the household had bought before the impression's week began.
Networks get it as the last 30 purchases (product and category) and four counts, trees as the
counts (LightGBM takes no lists). Counts and ages are log(1 + x) for all.

Each model tries ``N_CANDIDATES`` settings on weeks 21-40, judged on weeks 41-44: by log loss and,
in a second search of the same size, by AUC, which trains on until probabilities are far too high.
The best of each search is fitted on weeks 1-44 with three seeds and judged on weeks 45-53 by what
it was chosen for. LightGBM's Newton steps suffer from the sample's weights, so it is there a second
time without them, its odds corrected afterwards. Writes ``results/impressions_past.json``.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import protocol
from impressions import Journal, tune
from models import GBDTLR, LightGBM, Network

from sk_adrec import DeepFMClassifier, DINClassifier, FMClassifier, HistoryEncoder
from sk_adrec.datasets import load_complete_journey_purchases

LABEL, NEGATIVE_RATE, MAX_LEN, N_CANDIDATES = "converted", 0.01, 30, 6
TUNING_WEEKS = range(21, 41)
ATTRIBUTES = ("product_id", "product_category")
SHARED = {f"hist_{name}": name for name in ATTRIBUTES}
SELECTIONS = ("log_loss", "auc")
DIN = "DIN, lists and counts"
COUNTS = [f"{kind}_{name}" for kind in ("n", "age") for name in ATTRIBUTES]

TRAINING = {
    "lr": [2e-3, 1e-3, 4e-3],
    "embedding_dim": [16, 32],
    "l2": [0.0, 1e-8, 1e-7],
    "id_dropout": [0.1, 0.0],
    "batch_size": [4096, 8192],
}
DEEP = {"hidden_dims": [(200, 80), (128, 64), (64, 32)], "dropout": [0.0, 0.2]}


class Without:
    """A contender that does not see some columns."""

    hidden = ()

    def tune(self, setting, train, valid):
        """As the contender's."""
        return super().tune(setting, self._see(train), self._see(valid))

    def fit(self, setting, length, rows, seed):
        """As the contender's."""
        return super().fit(setting, length, self._see(rows), seed)

    def predict(self, model, X):
        """As the contender's."""
        return super().predict(model, X.drop(columns=[*self.hidden], errors="ignore"))

    def _see(self, rows):
        return protocol.Rows(
            rows.X.drop(columns=[*self.hidden], errors="ignore"), rows.y, rows.weight
        )


class LightGBMWithCounts(Without, LightGBM):
    """LightGBM, to which the past is counts."""

    name = "LightGBM, counts"
    hidden = SHARED


class LightGBMUnweighted(LightGBMWithCounts):
    """The same on the sample as it is; its odds times the share of negatives are the log's."""

    name = "LightGBM, counts, odds corrected"

    def predict(self, model, X):
        """Probabilities of the whole log."""
        p = super().predict(model, X)
        return NEGATIVE_RATE * p / (1 - p + NEGATIVE_RATE * p)

    def _see(self, rows):
        rows = super()._see(rows)
        return protocol.Rows(rows.X, rows.y, np.ones(len(rows)))


class GBDTLRWithCounts(Without, GBDTLR):
    """GBDT+LR, to which the past is counts."""

    name = "GBDT+LR, counts"
    hidden = SHARED


class WithoutPast(Without, Network):
    """A network that knows the 18 columns only: what the past is worth."""

    hidden = (*SHARED, *COUNTS)


def contenders(selection):
    """Name -> contender that is tuned by "log_loss" or "auc"."""
    shared = {"share_vocabulary": SHARED, "max_len": MAX_LEN}
    networks = [
        ("FM, lists and counts", FMClassifier, TRAINING, {}),
        ("DeepFM, lists and counts", DeepFMClassifier, TRAINING | DEEP, {}),
        (DIN, DINClassifier, TRAINING | DEEP, {}),
        ("DIN's network, mean of lists", DINClassifier, TRAINING | DEEP, {"attention": "mean"}),
    ]
    made = [
        Network(name, kind, space, fixed | shared, selection)
        for name, kind, space, fixed in networks
    ]
    made += [
        trees(metric=selection)
        for trees in (LightGBMWithCounts, LightGBMUnweighted, GBDTLRWithCounts)
    ]
    made.append(WithoutPast("FM, ids only", FMClassifier, TRAINING, metric=selection))
    return {model.name: model for model in made}


@cache
def purchases():
    """All purchases, with the columns that histories are made of."""
    data = load_complete_journey_purchases().data[["household_id", "timestamp", *ATTRIBUTES]]
    # An event of a history has a value of each attribute.
    category = data["product_category"].cat.add_categories("missing").fillna("missing")
    return data.assign(product_category=category)


def load_rows(weeks, max_rows=None):
    """Impressions of some weeks with lists and counts of what was bought before each week."""
    rows = protocol.load_rows(
        LABEL, weeks, max_rows=max_rows, negative_rate=NEGATIVE_RATE, with_time=True
    )
    encoder = HistoryEncoder(
        user="household_id",
        time="timestamp",
        attributes=ATTRIBUTES,
        counts=ATTRIBUTES,
        max_len=MAX_LEN,
        drop=("timestamp",),
    )
    X = encoder.fit(rows.X, events=purchases()).transform(rows.X)
    X[COUNTS] = np.log1p(X[COUNTS])
    return protocol.Rows(X, rows.y, rows.weight)


def load_both(max_rows):
    """Weeks 1-44 and the test weeks."""
    both = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    return load_rows(both, max_rows), load_rows(protocol.TEST_WEEKS, max_rows)


def fit_and_predict(name, selection, best, max_rows, seed):
    """Test probabilities and cost of a contender's winner."""
    train, test = load_both(max_rows)
    length = {key: best[key] for key in ("n_trees", "n_epochs") if key in best}
    model = contenders(selection)[name]
    return protocol.timed_fit(model, best["setting"], length, train, test, seed)[:2]


def probabilities(name, selection, best, max_rows, seed):
    """Of `fit_and_predict`, in a process of its own; what an earlier run found is read."""
    key = hashlib.sha256(json.dumps([name, best, seed, max_rows]).encode()).hexdigest()[:16]
    path = protocol.CACHE / "past" / f"{key}.npz"
    if not path.exists():
        p, cost = protocol.in_fresh_process(fit_and_predict, name, selection, best, max_rows, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, p=p, cost=json.dumps(cost))
        print(f"{name} by {selection}, seed {seed}: {cost}", flush=True)
    found = np.load(path)
    return found["p"], json.loads(str(found["cost"]))


def test_all(tried, selection, test, max_rows):
    """Fit the winners on weeks 1-44, three seeds each, and judge them on the test weeks."""
    predicted, models = {}, {}
    for name in contenders(selection):
        fits = [
            probabilities(name, selection, tried[name][0], max_rows, seed)
            for seed in protocol.SEEDS
        ]
        p = predicted[name] = np.stack([one[0] for one in fits])
        models[name] = {
            "tried": tried[name],
            "by_seed": [protocol.measure(test, one) for one in p],
            "mean_of_seeds": protocol.measure(test, np.mean(p, axis=0)),
            "cost": fits[0][1],
        }
        print(name, models[name]["by_seed"][0], flush=True)
    measure, difference = {
        "log_loss": ("normalized_entropy", protocol.entropy_difference),
        "auc": ("auc", protocol.auc_difference),
    }[selection]
    din = predicted[DIN]
    return {
        "models": models,
        "DIN_minus": {
            name: {
                measure: {
                    "first_seed": difference(test, din[0], p[0]),
                    "mean_of_seeds": difference(test, din.mean(0), p.mean(0)),
                }
            }
            for name, p in predicted.items()
            if name != DIN
        },
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=N_CANDIDATES)
    parser.add_argument("--max-rows", type=int, help="rows of each part, to try the script out")
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "impressions_past.json")
    parser.add_argument("--fresh", action="store_true", help="forget what was tried before")
    args = parser.parse_args()
    train = load_rows(TUNING_WEEKS, args.max_rows)
    valid = load_rows(protocol.VALIDATION_WEEKS, args.max_rows)
    tried = {}
    for selection in SELECTIONS:
        path = None if args.max_rows else protocol.CACHE / f"tried_past_by_{selection}.jsonl"
        journal = Journal(path, args.fresh)
        tried[selection] = {
            name: tune(model, train, valid, args.candidates, journal)
            for name, model in contenders(selection).items()
        }
    del train, valid
    train, test = load_both(args.max_rows)
    n_train = len(train)
    del train
    print(f"{n_train:,} rows in weeks 1-44, {len(test):,} in weeks 45-53", flush=True)
    result = {
        "label": LABEL,
        "candidates": args.candidates,
        "max_len": MAX_LEN,
        "n_train": n_train,
        "n_test": len(test),
        **{
            f"by_{selection}": test_all(tried[selection], selection, test, args.max_rows)
            for selection in SELECTIONS
        },
        **protocol.environment("lightgbm", "torch", "skorch"),
    }
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
