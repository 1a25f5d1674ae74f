"""FM against LightGBM and logistic regression on real impressions, all by ``protocol.py``.

    python benchmarks/impressions.py                              # the headline label
    python benchmarks/impressions.py --label converted_any_store  # that of published anchors
    python benchmarks/impressions.py --max-rows 20000 --candidates 2 --output out.json  # a trial

Writes ``results/impressions_<label>.json``. About 20 minutes a label on two cores.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
import time
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


def category_codes(X):
    """Integer codes of categorical columns, shape (n, F), -1 = missing: one-hot's fast route."""
    return np.column_stack([X[name].cat.codes for name in X])


class LogisticOneHot:
    """Logistic regression on one-hot columns."""

    name = "logistic regression"
    space = {
        # Weights sum to about 50 times the rows, and C is measured against that sum.
        "C": [1e-2, 1e-4, 3e-4, 1e-3, 3e-3, 3e-2, 1e-1, 1.0],
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
            LogisticRegression(C=setting["C"], max_iter=200, tol=1e-3),
        )
        return model.fit(rows.X, rows.y, logisticregression__sample_weight=rows.weight)

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict_proba(X)[:, 1]


class LightGBM:
    """LightGBM with native categories."""

    name = "LightGBM"
    space = {
        "num_leaves": [31, 15, 63, 127],
        "learning_rate": [0.1, 0.05, 0.03],
        "min_child_samples": [20, 100, 500],
        "cat_smooth": [10, 50, 200],
        "cat_l2": [10, 50, 200],
        "max_cat_to_onehot": [4, 16],
        "colsample_bytree": [1.0, 0.7, 0.4],
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
            callbacks=[lightgbm.early_stopping(self.patience, verbose=False)],
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
        "l2": [0.0, 1e-7, 1e-6, 1e-5],
        "id_dropout": [0.1, 0.0, 0.5],
        "min_frequency": [1, 250, 1000],
        "batch_size": [4096, 8192],
    }
    max_epochs, patience = 15, 2
    deterministic = False

    def tune(self, setting, train, valid):
        """Validation AUC of a setting, and the number of epochs at its best."""
        stop = EarlyStopping(monitor="valid_auc", lower_is_better=False, patience=self.patience)
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


MODELS = (LogisticOneHot(), LightGBM(), FM())


def tune(model, train, valid, n_candidates):
    """All settings of a model with their validation AUC, best first."""
    tried = []
    for number, setting in enumerate(protocol.candidates(model.space, n_candidates), 1):
        began = time.perf_counter()
        auc, length = model.tune(setting, train, valid)
        tried.append({"setting": setting, **length, "valid_auc": float(auc)})
        seconds = time.perf_counter() - began
        print(
            f"{model.name} {number}/{n_candidates}: AUC {auc:.4f} {length} {setting}"
            f" ({seconds:.0f} s)",
            flush=True,
        )
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


def run(label, n_candidates, max_rows):
    """Tune, fit again, test; the results as a dict."""
    train = protocol.load_rows(label, protocol.TRAIN_WEEKS, max_rows=max_rows)
    valid = protocol.load_rows(label, protocol.VALIDATION_WEEKS, max_rows=max_rows)
    print(f"{len(train):,} rows in weeks 1-40, {len(valid):,} in weeks 41-44", flush=True)
    tried = {model.name: tune(model, train, valid, n_candidates) for model in MODELS}

    # Everything is decided: from here on nothing looks back.
    both = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    train = protocol.load_rows(label, both, max_rows=max_rows)
    test = protocol.load_rows(label, protocol.TEST_WEEKS, max_rows=max_rows)
    print(f"{len(train):,} rows in weeks 1-44, {len(test):,} in weeks 45-53", flush=True)
    probabilities = {
        model.name: predict_test(model, tried[model.name][0], train, test) for model in MODELS
    }
    return {
        "label": label,
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
    args = parser.parse_args()
    output = args.output or protocol.RESULTS / f"impressions_{args.label}.json"
    result = run(args.label, args.candidates, args.max_rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    for name, model in result["models"].items():
        print(name, model["mean_of_seeds"])
    print("FM minus", json.dumps(result["FM_minus"], indent=2))


if __name__ == "__main__":
    main()
