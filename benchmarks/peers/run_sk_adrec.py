"""Train this library's FMClassifier on the peers' arrays; see README.md for the arguments.

With ``--max-rows N`` the model first reads all rows, so that its tables hold every id as the
peers' do, and the epochs reported are passes over the peers' N rows.
"""

import json
import time
from importlib.metadata import version

import common
import numpy as np
import pandas as pd
import torch

from sk_adrec import FMClassifier


def make_model(data, args):
    """FMClassifier with its defaults, but the peers' width, batch, learning rate and seed."""
    return FMClassifier(
        args.embedding_dim,
        categorical_features=data.names,
        batch_size=args.batch_size,
        lr=args.lr,
        l2=args.l2,
        max_epochs=1,
        early_stopping=False,
        device="cpu",
        random_state=args.seed,
    )


def train(data, args):
    """Passes by partial_fit, the test rows being scored in between.

    Returns
    -------
    dict
        seconds_per_epoch (skorch's clock, encoding not counted), auc, setup_seconds.
    """
    X, X_test = (pd.DataFrame(codes, columns=data.names) for codes in (data.X_train, data.X_test))
    y = data.y_train
    model, seconds, auc = make_model(data, args), [], {}
    if args.max_rows is not None and args.max_rows < len(y):
        model.fit(X, y)
        rows = np.random.default_rng(args.seed).permutation(len(y))[: args.max_rows]
        X, y = X.iloc[rows].reset_index(drop=True), y[rows]
    began = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        model.partial_fit(X, y)
        seconds.append(model.net_.history[-1, "dur"])
        if epoch == 1:
            setup = time.perf_counter() - began - seconds[0]
        if epoch in args.auc_epochs and args.max_rows is None:
            scores = model.decision_function(X_test)
            auc[epoch] = common.roc_auc_score(data.y_test, scores, sample_weight=data.w_test)
    module = model.net_.module_
    return {
        "n_train": len(y),
        "n_parameters": sum(p.numel() for p in module.parameters()),
        "setup_seconds": setup,
        "seconds_per_epoch": seconds,
        "auc": auc,
    }


def main():
    """Train and write the report."""
    args = common.parse_args({"fm": train})
    torch.set_num_threads(args.threads)
    data = common.load_data(args.data)
    before_fit_mb = common.memory_mb()
    report = {
        "peer": "sk-adrec",
        "model": "fm",
        "what": "FMClassifier with its defaults: fused table, row-sparse Adam, id dropout 0.1.",
        "config": {
            name: getattr(args, name)
            for name in ("embedding_dim", "batch_size", "epochs", "lr", "l2", "seed", "threads")
        },
        "n_test": len(data.y_test),
        "versions": {p: version(p) for p in ("sk-adrec", "torch", "numpy", "skorch")},
        **train(data, args),
        "before_fit_mb": before_fit_mb,
        "peak_mb": common.peak_mb(),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
