"""FM against LightGBM and logistic regression on real impressions, all by ``protocol.py``.

    python benchmarks/impressions.py
    python benchmarks/impressions.py --max-rows 20000 --candidates 2 --output out.json  # a trial

With the label of published anchors and the settings chosen above, for every model alike:

    python benchmarks/impressions.py --label converted_any_store \\
        --settings-of benchmarks/results/impressions_converted.json

Writes ``results/impressions_<label>.json``. Tuning takes about 20 minutes on two cores, most of it
LightGBM's; what has been tried is kept in ``.cache``, so that a run that was cut short goes on
(``--fresh`` starts anew).
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
from pathlib import Path

import lightgbm
import numpy as np
import protocol
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from skorch.callbacks import EarlyStopping

from sk_adrec import FMClassifier

# A validation AUC that rises by less, within a model's patience, is no reason to train on.
MIN_GAIN = 1e-4


def category_codes(X):
    """Integer codes of categorical columns, shape (n, F), -1 = missing: one-hot's fast route."""
    return np.column_stack([X[name].cat.codes for name in X])


class LogisticOneHot:
    """Logistic regression on one-hot columns."""

    name = "logistic regression"
    space = {
        "C": [1.0, 0.1, 0.3, 3.0],
        "min_frequency": [1, 5, 20],
    }
    deterministic = True

    def tune(self, setting, train, valid):
        """Validation AUC of a setting, and how long to train: nothing to choose here."""
        model = self.fit(setting, {}, train, 0)
        return _auc(valid, self.predict(model, valid.X)), {}

    def fit(self, setting, length, rows, seed):
        """A fitted model."""
        model = make_pipeline(
            FunctionTransformer(category_codes),
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=setting["min_frequency"],
                dtype=np.float32,
            ),
            # lbfgs is far from the optimum after 100 steps: the columns differ too much in size.
            LogisticRegression(C=setting["C"], solver="newton-cg", tol=1e-5, max_iter=50),
        )
        return model.fit(rows.X, rows.y, logisticregression__sample_weight=rows.weight)

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict_proba(X)[:, 1]


class LightGBM:
    """LightGBM with native categories."""

    name = "LightGBM"
    space = {
        "num_leaves": [31, 15, 63],
        "learning_rate": [0.1, 0.05],
        # A leaf of positives alone has almost no Hessian at this base rate, and its Newton step
        # explodes: these two are remedies.
        "min_sum_hessian_in_leaf": [1e-3, 1, 10],
        "lambda_l2": [0, 10],
        # The statistics of a category are sums of small Hessians too: less than the defaults
        # helps, more costs .01.
        "cat_smooth": [10, 2, 0.5],
        "cat_l2": [10, 2, 0.5],
        "max_cat_to_onehot": [4, 16],
    }
    max_trees, patience = 3000, 50
    deterministic = False

    def tune(self, setting, train, valid):
        """Validation AUC of a setting, and the number of trees at its best."""
        data = self._data(train)
        booster = lightgbm.train(
            self._params(setting, 0) | {"metric": "auc"},
            data,
            self.max_trees,
            valid_sets=[data.create_valid(valid.X, valid.y, weight=valid.weight)],
            callbacks=[
                lightgbm.early_stopping(self.patience, verbose=False, min_delta=MIN_GAIN),
                lightgbm.log_evaluation(100),
            ],
        )
        return booster.best_score["valid_0"]["auc"], {"n_trees": booster.best_iteration}

    def fit(self, setting, length, rows, seed):
        """A fitted model."""
        return lightgbm.train(self._params(setting, seed), self._data(rows), length["n_trees"])

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict(X)

    def _data(self, rows):
        return lightgbm.Dataset(rows.X, rows.y, weight=rows.weight)

    def _params(self, setting, seed):
        threads = int(os.environ["OMP_NUM_THREADS"])
        fixed = {"objective": "binary", "verbose": -1, "num_threads": threads, "seed": seed}
        return setting | fixed


class FM:
    """FMClassifier, from the raw frame."""

    name = "FM"
    space = {
        "lr": [3e-3, 2e-3, 5e-3],
        "embedding_dim": [16, 32, 48],
        # Gradients are small where one row in 600 converts: a penalty of 1e-6 is strong.
        "l2": [0.0, 1e-8, 1e-7],
        "id_dropout": [0.1, 0.0, 0.5],
        "min_frequency": [1, 250, 1000],
        "batch_size": [4096, 8192],
    }
    max_epochs, patience = 15, 2
    deterministic = False

    def tune(self, setting, train, valid):
        """Validation AUC of a setting, and the number of epochs at its best."""
        stop = EarlyStopping(
            monitor="valid_auc",
            lower_is_better=False,
            patience=self.patience,
            threshold=MIN_GAIN,
            threshold_mode="abs",
        )
        model = FMClassifier(
            **setting,
            max_epochs=self.max_epochs,
            early_stopping=False,
            callbacks=[stop],
            random_state=0,
        ).fit(
            train.X,
            train.y,
            sample_weight=train.weight,
            X_val=valid.X,
            y_val=valid.y,
            sample_weight_val=valid.weight,
        )
        auc = model.net_.history[:, "valid_auc"]
        return max(auc), {"n_epochs": int(np.argmax(auc)) + 1}

    def fit(self, setting, length, rows, seed):
        """A fitted model."""
        model = FMClassifier(
            **setting, max_epochs=length["n_epochs"], early_stopping=False, random_state=seed
        )
        return model.fit(rows.X, rows.y, sample_weight=rows.weight)

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict_proba(X)[:, 1]


MODELS = (FM(), LightGBM(), LogisticOneHot())


class Journal:
    """What has been tried, one JSON line each, so that a long tuning can go on where it stopped.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    fresh : bool
        Forget what the file holds.
    """

    def __init__(self, path, fresh):
        self.path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if fresh:
                path.unlink(missing_ok=True)

    def find(self, name, setting):
        """The line of a model's setting, or None."""
        if self.path is None or not self.path.exists():
            return None
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        found = [one for one in lines if one["model"] == name and one["setting"] == setting]
        return {k: v for k, v in found[-1].items() if k != "model"} if found else None

    def add(self, name, one):
        """Keep a line."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"model": name, **one}) + "\n")


def tune(model, train, valid, n_candidates, journal):
    """All settings of a model with their validation AUC, best first."""
    tried = []
    for number, setting in enumerate(protocol.candidates(model.space, n_candidates), 1):
        one = journal.find(model.name, setting)
        if one is None:
            auc, length = model.tune(setting, train, valid)
            one = {"setting": setting, **length, "valid_auc": float(auc)}
            journal.add(model.name, one)
        tried.append(one)
        print(f"{model.name} {number}/{n_candidates}: {one}", flush=True)
    return sorted(tried, key=lambda one: -one["valid_auc"])


def predict_test(model, best, train, test):
    """The winner, fitted on weeks 1-44 once per seed: test probabilities (n_seeds, n_test)."""
    length = {name: best[name] for name in ("n_trees", "n_epochs") if name in best}
    probabilities = []
    for seed in protocol.SEEDS[: 1 if model.deterministic else None]:
        fitted = model.fit(best["setting"], length, train, seed)
        probabilities.append(np.asarray(model.predict(fitted, test.X), dtype=np.float64))
        print(f"{model.name} seed {seed}: fitted on weeks 1-44", flush=True)
    return np.stack(probabilities)


def compare(probabilities, test):
    """FM against each rival on the test weeks: one fit against one, mean against mean of seeds."""
    return {
        rival: {
            "first_seed": protocol.auc_difference(test, probabilities["FM"][0], p[0]),
            "mean_of_seeds": protocol.auc_difference(test, probabilities["FM"].mean(0), p.mean(0)),
        }
        for rival, p in probabilities.items()
        if rival != "FM"
    }


def _auc(rows, probability):
    return roc_auc_score(rows.y, probability, sample_weight=rows.weight)


def tune_all(label, n_candidates, max_rows, journal):
    """Model -> its settings tried on weeks 1-40 and judged on weeks 41-44, best first."""
    train = protocol.load_rows(label, protocol.TRAIN_WEEKS, max_rows=max_rows)
    valid = protocol.load_rows(label, protocol.VALIDATION_WEEKS, max_rows=max_rows)
    print(f"{len(train):,} rows in weeks 1-40, {len(valid):,} in weeks 41-44", flush=True)
    return {model.name: tune(model, train, valid, n_candidates, journal) for model in MODELS}


def test_all(label, tried, max_rows):
    """Fit the best settings on weeks 1-44 and read the test weeks; the results as a dict."""
    both = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    train = protocol.load_rows(label, both, max_rows=max_rows)
    test = protocol.load_rows(label, protocol.TEST_WEEKS, max_rows=max_rows)
    print(f"{len(train):,} rows in weeks 1-44, {len(test):,} in weeks 45-53", flush=True)
    probabilities = {
        model.name: predict_test(model, tried[model.name][0], train, test) for model in MODELS
    }
    return {
        "selection": protocol.SELECTION_METRIC,
        "seeds": list(protocol.SEEDS),
        "n_train": len(train),
        "n_test": len(test),
        "models": {
            name: {
                "tried": tried[name],
                "by_seed": [protocol.measure(test, one) for one in p],
                "mean_of_seeds": protocol.measure(test, p.mean(0)),
            }
            for name, p in probabilities.items()
        },
        "FM_minus": compare(probabilities, test),
        **protocol.environment("lightgbm", "torch", "skorch"),
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--label", choices=protocol.LABELS, default=protocol.LABELS[0])
    parser.add_argument("--candidates", type=int, default=protocol.N_CANDIDATES)
    parser.add_argument("--max-rows", type=int, help="rows of each part, to try the script out")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--settings-of", type=Path, help="results whose settings are used untuned")
    parser.add_argument("--fresh", action="store_true", help="forget what was tried before")
    args = parser.parse_args()
    output = args.output or protocol.RESULTS / f"impressions_{args.label}.json"
    if args.settings_of:
        source = json.loads(args.settings_of.read_text())
        tuned_on, tried = source["label"], {k: v["tried"] for k, v in source["models"].items()}
    else:
        name = None if args.max_rows else protocol.CACHE / f"tried_{args.label}.jsonl"
        journal = Journal(name, args.fresh)
        tuned_on, tried = args.label, tune_all(args.label, args.candidates, args.max_rows, journal)
    result = {"label": args.label, "tuned_on": tuned_on}
    result |= test_all(args.label, tried, args.max_rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    for name, model in result["models"].items():
        print(name, model["mean_of_seeds"])
    print("FM minus", json.dumps(result["FM_minus"], indent=2))


if __name__ == "__main__":
    main()
