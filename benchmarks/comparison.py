"""Rankers on small public logs: avazu-sample, census-income and a synthetic log of known truth.

    python benchmarks/comparison.py --data census_income --folder FOLDER   # the data's folder
    python benchmarks/comparison.py --data ad_log
    python benchmarks/comparison.py --data avazu --folder FOLDER --models FM --max-rows 5000

Writes ``results/comparison_<data>.json``. Peers (FM of other libraries) run in their environments,
see ``README.md``.

Protocol, for every model alike: a fixed validation part, never tested on, chooses among
``N_CANDIDATES`` settings by log loss, and the number of trees or epochs (at most ``MAX_EPOCHS``
for every network); the winner is then fitted on training and validation rows together and predicts
the test rows. census-income and the synthetic log have one split and three seeds of the fit;
avazu-sample is small, so that the rows outside the validation part are split anew 20 times
(80 % : 20 %), one seed each. Tuning trains on the first split's training rows, some of which are
test rows of later splits; it is the same for all models, and scores validation rows only. Models
already in ``.cache`` are not run again, so that the table can be made in parts (``--part``).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
from models import FM, GBDTLR, DCNv2, LightGBM, LogisticOneHot
from peer_models import MAX_EPOCHS, PEERS, Peer
from scipy import stats

from sk_adrec.datasets import make_ad_log

SPACES = {
    "logistic regression": {"C": [1.0, 0.03, 0.1, 0.3, 3.0], "min_frequency": [1, 5, 20]},
    "LightGBM": {
        "num_leaves": [31, 7, 15, 63],
        "learning_rate": [0.1, 0.03],
        "min_sum_hessian_in_leaf": [1e-3, 1, 10],
        "lambda_l2": [0, 10],
        "cat_smooth": [10, 50],
        "cat_l2": [10, 50],
    },
    "GBDT+LR": {
        "n_estimators": [200, 50, 100],
        "num_leaves": [31, 7, 15],
        "learning_rate": [0.1, 0.05],
        "min_child_weight": [1e-3, 1, 10],
        "cat_smooth": [10, 50],
        "cat_l2": [10, 50],
        "C": [0.003, 0.01, 0.03],
    },
    "FM": {
        "lr": [3e-3, 1e-3, 1e-2],
        "embedding_dim": [16, 4, 8],
        "l2": [0.0, 1e-6, 1e-5],
        "batch_size": [1024, 4096],
    },
}
SPACES[DCNv2.name] = DCNv2.space
# The same four parameters, the same values.
SPACES |= {f"{peer} FM": SPACES["FM"] for peer in PEERS}
N_CANDIDATES = 6
N_SPLITS = 20
# An epoch of NextRec takes up to a minute on the larger logs: six settings would take hours.
SLOW, SLOW_ROWS = ("nextrec FM",), 50_000


@dataclass(frozen=True)
class Task:
    """One split of a data set.

    Attributes
    ----------
    train, valid, test : Rows
    truth : ndarray of shape (n_test,) or None
        P(y = 1) of the test rows, where it is known.
    """

    train: protocol.Rows
    valid: protocol.Rows
    test: protocol.Rows
    truth: np.ndarray | None = None


def load(data, folder=None, max_rows=None):
    """Features, label, and the true probabilities or None.

    Parameters
    ----------
    data : {"avazu", "census_income", "ad_log"}
    folder : Path or None
        Where the Parquet file is; the synthetic log needs none.
    max_rows : int or None

    Returns
    -------
    X : DataFrame of category and float64 columns
    y : ndarray of int8
    truth : ndarray or None
    """
    truth = None
    if data == "ad_log":
        log = make_ad_log(max_rows or 300_000, n_users=5000, n_items=500, n_history=0,
                          random_state=0)  # fmt: skip
        X, y, truth = log.data, log.target, np.asarray(log.p_click)
    elif data == "avazu":
        frame = pd.read_parquet(Path(folder) / "impressions.parquet")
        y = frame["click"]
        # `id` names the row and `src` the file it came from; of the hour only that of the day.
        X = frame.drop(columns=["click", "id", "src"]).astype("str")
        X["hour"] = X["hour"].str[-2:]
    else:
        frame = pd.read_parquet(Path(folder) / "census_income.parquet")
        y = frame["income_50k"].str.contains("50000+", regex=False)
        # `unknown` is the weight of the survey's sampling, no attribute of a person.
        X = frame.drop(columns=["income_50k", "unknown"])
        codes = ["det_ind_code", "det_occ_code", "own_or_self", "vet_benefits", "year"]
        X = X.astype(dict.fromkeys(codes, "str"))
    numbers = X.select_dtypes("number").columns
    X = X.astype({name: "float64" if name in numbers else "category" for name in X})
    y = y.to_numpy().astype(np.int8)
    if max_rows is not None and max_rows < len(y):
        rows = np.random.default_rng(0).permutation(len(y))[:max_rows]
        X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    return X, y, truth


def make_task(X, y, truth, split, repeated):
    """Split number `split`: 15 % validation, the same in each; of the others 20 % to test on."""
    order = np.random.default_rng(0).permutation(len(y))
    n_valid = round(0.15 * len(y))
    valid, rest = order[:n_valid], order[n_valid:]
    if repeated:
        rest = np.random.default_rng(1 + split).permutation(rest)
    n_test = round(0.2 * len(rest))
    parts = {"train": rest[n_test:], "valid": valid, "test": rest[:n_test]}
    rows = {
        name: protocol.Rows(X.iloc[part].reset_index(drop=True), y[part], np.ones(len(part)))
        for name, part in parts.items()
    }
    return Task(**rows, truth=None if truth is None else truth[parts["test"]])


def contenders(names=None):
    """Name -> contender with its settings, validation being by log loss."""
    models = [LogisticOneHot, LightGBM, GBDTLR, FM, DCNv2]
    made = {model.name: model(SPACES[model.name], "log_loss") for model in models}
    made["FM"].max_epochs = made[DCNv2.name].max_epochs = MAX_EPOCHS
    for peer in PEERS:
        name = f"{peer} FM"
        made[name] = Peer(peer, "fm", name, SPACES[name], "log_loss")
    return {name: model for name, model in made.items() if names is None or name in names}


def fit_and_predict(args, name, best, split, seed, repeated):
    """A contender's winner: test probabilities and cost. Runs in a process of its own."""
    task = make_task(*load(*args), split, repeated)
    both = protocol.Rows(
        pd.concat([task.train.X, task.valid.X], ignore_index=True),
        np.concatenate([task.train.y, task.valid.y]),
        np.concatenate([task.train.weight, task.valid.weight]),
    )
    model, length = contenders()[name], best["length"]
    return protocol.timed_fit(model, best["setting"], length, both, task.test, seed)[:2]


def run_model(args, name, n_candidates, runs, repeated):
    """One contender tuned, fitted and measured: what the JSON says of it, and probabilities."""
    task = make_task(*load(*args), 0, repeated)
    model = contenders()[name]
    tried = []
    for setting in protocol.candidates(model.space, n_candidates):
        value, length = model.tune(setting, task.train, task.valid)
        tried.append({"setting": setting, "length": length, "valid_log_loss": -float(value)})
    tried.sort(key=lambda one: one["valid_log_loss"])
    fresh = (args, name, tried[0])
    wanted = runs[:1] if model.deterministic and not repeated else runs
    # Memory tells most in a fresh process; the further splits need not wait for one.
    done = [protocol.in_fresh_process(fit_and_predict, *fresh, *wanted[0], repeated)]
    done += [fit_and_predict(*fresh, *one, repeated) for one in wanted[1:]]
    X, y, _ = load(*args)
    tests = [make_task(X, y, None, split, repeated).test for split, _ in wanted]
    measured = [protocol.measure(test, p) for test, (p, _) in zip(tests, done)]
    print(name, tried[0], measured[0], done[0][1], flush=True)
    return {"tried": tried, "measured": measured, "cost": done[0][1]}, done[0][0]


def run(args, names, n_candidates, n_splits, folder):
    """All contenders of a data set: what the JSON holds. What is in the cache is not run again."""
    data = args[0]
    X, y, truth = load(*args)
    repeated = data == "avazu"
    runs = [(k, 0) for k in range(n_splits)] if repeated else [(0, s) for s in protocol.SEEDS]
    first = make_task(X, y, truth, 0, repeated)
    if names is None:
        slow = SLOW if len(first.train) > SLOW_ROWS else ()
        names = [name for name in contenders() if name not in slow]
    models, probabilities = {}, {}
    for name in names:
        path = folder / f"{data}_{name.replace(' ', '_')}.npz"
        if not path.exists():
            found, p = run_model(args, name, n_candidates, runs, repeated)
            np.savez(path, found=json.dumps(found), p=p)
        with np.load(path) as arrays:
            models[name] = json.loads(str(arrays["found"]))
            probabilities[name] = arrays["p"]
    result = {"data": data, "n_rows": len(y), "base_rate": float(y.mean()), "models": models}
    result |= {part: len(getattr(first, part)) for part in ("train", "valid", "test")}
    if truth is not None:
        result["best_possible"] = protocol.measure(first.test, first.truth)
    if repeated:
        result["log_loss_minus"] = over_splits(models, len(first.test), len(y) - len(first.test))
    else:
        result["log_loss_minus"] = over_rows(first.test, probabilities)
    versions = protocol.environment("lightgbm", "torch", "skorch")
    return result | {"candidates": n_candidates, "runs": runs} | versions


def over_splits(models, n_test, n_fit):
    """Log loss of FM and GBDT+LR minus each rival's: mean over splits with a 95 % interval.

    Test rows of different splits overlap, and so do training rows: the variance of a mean over
    independent splits is corrected by n_test / n_fit (Nadeau and Bengio 2003).
    """
    found = {}
    losses = {
        name: np.array([one["log_loss"] for one in model["measured"]])
        for name, model in models.items()
    }
    for ours in ("FM", "GBDT+LR"):
        for rival in losses:
            if ours in losses and rival != ours:
                difference = losses[ours] - losses[rival]
                n = len(difference)
                spread = np.sqrt(difference.var(ddof=1) * (1 / n + n_test / n_fit))
                margin = stats.t.ppf(0.975, n - 1) * spread
                found[f"{ours} - {rival}"] = {
                    "difference": float(difference.mean()),
                    "low": float(difference.mean() - margin),
                    "high": float(difference.mean() + margin),
                }
    return found


def over_rows(test, probabilities):
    """The same with one split: first seed against first seed, rows (or users) resampled."""
    return {
        f"{ours} - {rival}": protocol.log_loss_difference(
            test, probabilities[ours], probabilities[rival], n_resamples=300
        )
        for ours in ("FM", "GBDT+LR")
        for rival in probabilities
        if ours in probabilities and rival != ours
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=("avazu", "census_income", "ad_log"), required=True)
    parser.add_argument("--folder", type=Path, help="where the data's Parquet file is")
    parser.add_argument("--models", nargs="+", choices=sorted(SPACES))
    parser.add_argument("--candidates", type=int, default=N_CANDIDATES)
    parser.add_argument("--splits", type=int, default=N_SPLITS)
    parser.add_argument("--max-rows", type=int, help="to try the script out")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--part", action="store_true", help="keep --models in the cache, no table")
    parser.add_argument("--fresh", action="store_true", help="forget what was run before")
    args = parser.parse_args()
    if args.data != "ad_log" and args.folder is None:
        parser.error(f"--data {args.data} needs --folder, where its Parquet file is")
    output = args.output or protocol.RESULTS / f"comparison_{args.data}.json"
    where = (args.data, args.folder, args.max_rows)
    with tempfile.TemporaryDirectory() as nowhere:
        folder = Path(nowhere) if args.max_rows else protocol.CACHE / "comparison"
        folder.mkdir(parents=True, exist_ok=True)
        if args.fresh:
            for path in folder.glob(f"{args.data}_*.npz"):
                path.unlink()
        result = run(where, args.models, args.candidates, args.splits, folder)
    if args.part:
        return
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
