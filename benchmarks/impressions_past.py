"""Rankers that know the past: real impressions with the lists and counts of HistoryEncoder.

    python benchmarks/impressions_past.py  # an hour on two idle cores
    python benchmarks/impressions_past.py --max-rows 20000 --candidates 1 --output out.json

The rows of ``protocol.py`` with 1 % of the negatives instead of 2 %, and for every model the same
information: the 18 columns, and what the household had bought before the impression's week began.
Networks get it as the last 30 purchases (product and category) and four counts, trees as the
counts (LightGBM takes no lists). Counts and ages are log(1 + x) for all.

Each model tries ``N_CANDIDATES`` settings on weeks 21-40, judged by log loss on weeks 41-44: judged
by AUC networks train on until their probabilities are far too high. The best is fitted on weeks
1-44 with three seeds, and weeks 45-53 are read once. Writes ``results/impressions_past.json``.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
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
SELECTION = "log_loss"
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


class GBDTLRWithCounts(Without, GBDTLR):
    """GBDT+LR, to which the past is counts."""

    name = "GBDT+LR, counts"
    hidden = SHARED


class WithoutPast(Without, Network):
    """A network that knows the 18 columns only: what the past is worth."""

    hidden = (*SHARED, *COUNTS)


def contenders():
    """Name -> contender."""
    shared = {"share_vocabulary": SHARED, "max_len": MAX_LEN}
    networks = [
        ("FM, lists and counts", FMClassifier, TRAINING, {}),
        ("DeepFM, lists and counts", DeepFMClassifier, TRAINING | DEEP, {}),
        ("DIN, lists and counts", DINClassifier, TRAINING | DEEP, {}),
        ("DIN's network, mean of lists", DINClassifier, TRAINING | DEEP, {"attention": "mean"}),
    ]
    made = [
        Network(name, kind, space, fixed | shared, SELECTION)
        for name, kind, space, fixed in networks
    ]
    made += [LightGBMWithCounts(metric=SELECTION), GBDTLRWithCounts(metric=SELECTION)]
    made.append(WithoutPast("FM, ids only", FMClassifier, TRAINING, metric=SELECTION))
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


def first_fit(name, best, max_rows):
    """The first seed's test probabilities and cost, in a process of its own."""
    train, test = load_both(max_rows)
    return fit_and_predict(contenders()[name], best, train, test, protocol.SEEDS[0])


def fit_and_predict(model, best, train, test, seed):
    """Test probabilities and cost of a contender's winner."""
    length = {key: best[key] for key in ("n_trees", "n_epochs") if key in best}
    return protocol.timed_fit(model, best["setting"], length, train, test, seed)[:2]


def test_all(tried, max_rows):
    """Fit the winners on weeks 1-44, three seeds each, and read the test weeks."""
    train, test = load_both(max_rows)
    print(f"{len(train):,} rows in weeks 1-44, {len(test):,} in weeks 45-53", flush=True)
    probabilities, models = {}, {}
    for name, model in contenders().items():
        best = tried[name][0]
        p, cost = protocol.in_fresh_process(first_fit, name, best, max_rows)
        p = [p] + [fit_and_predict(model, best, train, test, s)[0] for s in protocol.SEEDS[1:]]
        probabilities[name] = np.stack(p)
        models[name] = {
            "tried": tried[name],
            "by_seed": [protocol.measure(test, one) for one in p],
            "mean_of_seeds": protocol.measure(test, np.mean(p, axis=0)),
            "cost": cost,
        }
        print(name, models[name]["by_seed"][0], cost, flush=True)
    din = probabilities["DIN, lists and counts"]
    return {
        "n_train": len(train),
        "n_test": len(test),
        "models": models,
        "DIN_minus": {
            name: {
                measure: {
                    "first_seed": function(test, din[0], p[0]),
                    "mean_of_seeds": function(test, din.mean(0), p.mean(0)),
                }
                for measure, function in (
                    ("auc", protocol.auc_difference),
                    ("normalized_entropy", protocol.entropy_difference),
                )
            }
            for name, p in probabilities.items()
            if p is not din
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
    journal = Journal(None if args.max_rows else protocol.CACHE / "tried_past.jsonl", args.fresh)
    train = load_rows(TUNING_WEEKS, args.max_rows)
    valid = load_rows(protocol.VALIDATION_WEEKS, args.max_rows)
    tried = {
        name: tune(model, train, valid, args.candidates, journal)
        for name, model in contenders().items()
    }
    del train, valid
    result = {
        "label": LABEL,
        "selection": SELECTION,
        "candidates": args.candidates,
        "max_len": MAX_LEN,
        **test_all(tried, args.max_rows),
        **protocol.environment("lightgbm", "torch", "skorch"),
    }
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
