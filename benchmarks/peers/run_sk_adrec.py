"""Train this library's estimators on the peers' arrays; see README.md for the arguments.

With ``--max-rows N`` the model first reads all rows, so that its tables hold every id as the
peers' do, and the epochs reported are passes over the peers' N rows.
"""

import json
import time
from importlib.metadata import version

import common
import pandas as pd
import pyarrow as pa
import torch
from peer_data import load_data

import sk_adrec

# Model -> its class, and what is said of it in the report.
MODELS = {
    "fm": ("FMClassifier", "fused table"),
    "deepfm": ("DeepFMClassifier", "fused table, relu"),
    "din": ("DINClassifier", "fused table, relu, softmax over the events of flat histories"),
    "esmm": ("ESMMEstimator", "fused table, relu"),
    "dssm": ("TwoTowerRetriever", "fused table, relu, pairs of either label"),
    "dssm_in_batch": ("TwoTowerRetriever", "fused table, relu, logQ correction"),
}

# In-batch negatives alone, as the peer has them.
LOSSES = {
    "dssm": {"loss": "log_loss", "negatives": "log"},
    "dssm_in_batch": {"loss": "in_batch", "n_negatives": 0},
}


def make_frame(data, part):
    """Codes as integers, numbers as floats, lists as Arrow lists."""
    codes, numbers = getattr(data, f"X_{part}"), getattr(data, f"Z_{part}")
    frame = pd.DataFrame(codes, columns=data.names)
    if data.numbers:
        frame[data.numbers] = numbers
    for name, lists in zip(data.lists, getattr(data, f"lists_{part}").values()):
        values = pa.LargeListArray.from_arrays(lists.offsets, lists.values)
        frame[name] = pd.Series(values, dtype=pd.ArrowDtype(values.type))
    return frame


def make_model(data, args):
    """The estimator with its defaults, but the peers' sizes, batch, learning rate and seed."""
    params = {}
    if args.hidden_dims:
        params["hidden_dims"] = tuple(args.hidden_dims)
    if args.model.startswith("dssm"):
        # The peer's last layer is the vector; here that is as wide as an embedding.
        params["hidden_dims"] = tuple(args.hidden_dims[:-1])
        users, items = data.names[: data.n_user_fields], data.names[data.n_user_fields :]
        params |= {"user": users[0], "item": items[0]}
        params |= {"user_features": users, "item_features": items, "calibrate": False}
        params |= LOSSES[args.model]
    if args.model == "din":
        params["attention_hidden_dims"] = tuple(args.attention_hidden_dims)
        params["share_vocabulary"] = data.lists
        params["max_len"] = data.max_len
    return getattr(sk_adrec, MODELS[args.model][0])(
        embedding_dim=args.embedding_dim,
        categorical_features=data.names,
        batch_size=args.batch_size,
        lr=args.lr,
        l2=args.l2,
        max_epochs=1,
        early_stopping=False,
        device="cpu",
        random_state=args.seed,
        **params,
    )


def train(data, args):
    """Passes by partial_fit, the test rows being scored in between.

    Returns
    -------
    dict
        seconds_per_epoch (skorch's clock, encoding not counted), AUC, setup_seconds and more.
    """
    model, scores, seconds = make_model(data, args), common.Scores(data, args.save_scores), []
    part = args.max_rows is not None and args.max_rows < len(data.y_train)
    if part:
        model.fit(make_frame(data, "train"), data.y_train)
        data = data.sample(args.max_rows, args.seed)
    X, X_test = make_frame(data, "train"), make_frame(data, "test")
    began = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        model.partial_fit(X, data.y_train)
        seconds.append(model.net_.history[-1, "dur"])
        if epoch == 1:
            setup = time.perf_counter() - began - seconds[0]
        if epoch in args.auc_epochs and not part:
            scoring = time.perf_counter()
            probability = model.predict_proba(X_test)
            scoring = time.perf_counter() - scoring
            # Of one label the columns are no click and click, of two click and conversion.
            one_label = data.y_test.ndim == 1
            scores.add(epoch, probability[:, 1] if one_label else probability, scoring)
    return {
        **common.what_was_run(args, data),
        "n_parameters": sum(p.numel() for p in model.net_.module_.parameters()),
        "setup_seconds": setup,
        "seconds_per_epoch": seconds,
        **scores.report(),
    }


def main():
    """Train and write the report."""
    args = common.parse_args(MODELS)
    torch.set_num_threads(args.threads)
    data = load_data(args.data, args.model)
    before_fit_mb = common.memory_mb()
    name, how = MODELS[args.model]
    report = {
        "peer": "sk-adrec",
        "what": f"{name} with its defaults: {how}, row-sparse Adam, id dropout 0.1.",
        "versions": {p: version(p) for p in ("sk-adrec", "torch", "numpy", "skorch")},
        **train(data, args),
        "before_fit_mb": before_fit_mb,
        "peak_mb": common.peak_mb(),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
