"""Time GBDTLRClassifier against the same trees, one-hot encoded, under scikit-learn's solvers.

    python benchmarks/gbdt_lr_speed.py                # 3 minutes, most of it saga's
    python benchmarks/gbdt_lr_speed.py --rows 20000 --output out.json  # a trial

The rivals are what one writes by hand: LightGBM leaves -> OneHotEncoder -> hstack with the scaled
numbers -> LogisticRegression (C=1), by (a) saga with at most 300 iterations and (b) lbfgs. All have
the same LightGBM parameters; ours is timed with the same rows and C for trees and linear layer, and
as it comes (trees on 90 % of the rows, linear layer on the others, C=0.003). Its linear layer also
sees one-hot ids, the rivals' does not. Seconds are of the whole fit, trees included. Writes
``results/gbdt_lr_speed.json``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
import time
import warnings
from pathlib import Path

import lightgbm as lgb
import numpy as np
import protocol
from scipy import sparse
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sk_adrec import GBDTLRClassifier
from sk_adrec.datasets import make_ad_log
from sk_adrec.ranking import OnlineLogisticRegression

TREES = {
    "n_estimators": 100, "num_leaves": 31, "random_state": 0, "n_jobs": 2, "verbosity": -1,
    "deterministic": True, "force_col_wise": True,
}  # fmt: skip
OURS = {
    "same rows, C=1": {"linear": OnlineLogisticRegression(C=1.0), "tree_fraction": 1.0},
    "as it comes": {},
}
SOLVERS = {"saga": {"solver": "saga", "max_iter": 300}, "lbfgs": {"max_iter": 1000}}


def by_hand(X, y, X_test, **solver):
    """Seconds of the trees, seconds of the rest, probabilities of X_test, iterations."""
    begin = time.perf_counter()
    ids = X.select_dtypes(exclude="number").columns
    known = {name: X[name].astype("category").dtype for name in ids}
    gbdt = lgb.LGBMClassifier(**TREES).fit(X.astype(known), y)
    trees = time.perf_counter() - begin
    encoder = OneHotEncoder(handle_unknown="ignore")
    numbers = make_column_transformer(
        (
            make_pipeline(SimpleImputer(), StandardScaler()),
            make_column_selector(dtype_include="number"),
        )
    )
    leaves = encoder.fit_transform(gbdt.predict(X.astype(known), pred_leaf=True))
    features = sparse.hstack([leaves, numbers.fit_transform(X)], format="csr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        linear = LogisticRegression(random_state=0, **solver).fit(features, y)
    total = time.perf_counter() - begin
    leaves = encoder.transform(gbdt.predict(X_test.astype(known), pred_leaf=True))
    p = linear.predict_proba(sparse.hstack([leaves, numbers.transform(X_test)], format="csr"))
    return trees, total - trees, p[:, 1], int(linear.n_iter_[0])


def ours(X, y, X_test, **params):
    """Seconds of the whole fit, probabilities of X_test, and the model."""
    trees = lgb.LGBMClassifier(**TREES)
    model = GBDTLRClassifier(trees, early_stopping=False, random_state=0, **params)
    begin = time.perf_counter()
    model.fit(X, y)
    total = time.perf_counter() - begin
    return total, model.predict_proba(X_test)[:, 1], model


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "gbdt_lr_speed.json")
    args = parser.parse_args()
    log = make_ad_log(args.rows + 50_000, n_history=0, random_state=0)
    X, y = log.data, log.target.to_numpy()
    train, test = slice(0, args.rows), slice(args.rows, None)
    result = {"best_possible_log_loss": log_loss(y[test], log.p_click[test]), "ours": {}}
    for name, params in OURS.items():
        seconds, p, model = ours(X[train], y[train], X[test], **params)
        trees = model.booster_.predict(model._tree_input(model._encode(X[test])))
        result["ours"][name] = {
            "fit_seconds": seconds,
            "log_loss": log_loss(y[test], p),
            "log_loss_of_trees": log_loss(y[test], trees),
            "iterations": model.linear_.n_iter_,
        }
    million = X.iloc[np.resize(np.arange(len(X)), 1_000_000)]
    begin = time.perf_counter()
    model.transform(million)
    result["transform_1M_rows_seconds"] = time.perf_counter() - begin
    for name in args.solvers:
        seconds_trees, rest, p, n_iter = by_hand(X[train], y[train], X[test], **SOLVERS[name])
        result[name] = {
            "fit_seconds": seconds_trees + rest,
            "of_which_trees": seconds_trees,
            "log_loss": log_loss(y[test], p),
            "iterations": n_iter,
        }
    result |= {"n_train": args.rows, "n_test": len(p), **protocol.environment("lightgbm", "scipy")}
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
