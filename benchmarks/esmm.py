"""ESMM against networks of the same size that learn one thing each.

    python benchmarks/esmm.py                # both parts: most of an hour on two idle cores
    python benchmarks/esmm.py --part synthetic --seeds 0 --max-rows 50000  # a trial

synthetic: ``make_ad_log`` with selection, so that clicked impressions convert better than others
would. P(click) and P(conversion | click) are known for every impression, clicked or not, so pCVR is
judged over ALL of them: cross-entropy with the true probability, less that of the truth itself.

funnel: real impressions -> engaged (bought from the product's category) -> converted (bought the
product), 18 columns and what the household had bought before the week, all conversions and 1 % of
the other rows. Trained on weeks 1-40, stopped on weeks 41-44, judged on weeks 45-53, with weights.

Networks: ``ESMMEstimator`` on both stages; on clicks alone, on conversions alone (each all rows),
on conversions of clicked rows (one stage each: the same inputs, one tower of the same width). Each
tries six settings (two step sizes; ESMM's loss weights and dropout, the others' dropout), stops
early by its own loss, and the setting of least log loss on the first seed's validation rows wins,
for ESMM that of pCTCVR; the other seeds use it too. Writes ``results/esmm.json``.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
from pathlib import Path

import numpy as np
import protocol
from sklearn.metrics import log_loss, roc_auc_score

from sk_adrec import ESMMEstimator, HistoryEncoder
from sk_adrec.datasets import (
    load_complete_journey_impressions,
    load_complete_journey_purchases,
    make_ad_log,
)

LEARNING_RATES = (1e-3, 3e-3)
# As many settings for each: what matters to a network of several stages, and of one.
OTHER_SETTINGS = {
    "ESMM": [
        {"loss_weights": None, "dropout": 0.0},
        {"loss_weights": "balanced", "dropout": 0.0},
        {"loss_weights": "balanced", "dropout": 0.2},
    ],
    "one stage": [{"dropout": dropout} for dropout in (0.0, 0.2, 0.4)],
}
SEEDS = {"synthetic": (0, 1, 2, 3, 4), "funnel": (0, 1, 2)}
LOG = {
    "n_users": 500,
    "n_items": 200,
    "base_rate": 0.08,
    "conversion_rate": 0.15,
    "selection": 1.0,
}
N_TRAIN, N_VALID, N_TEST = 100_000, 20_000, 100_000
# What a network learns: from which rows, and which of the two columns.
ROWS_AND_STAGES = {
    "ESMM": ("all", [0, 1]),
    "clicks": ("all", 0),
    "conversions of clicks": ("clicked", 1),
    "conversions": ("all", 1),
}
ATTRIBUTES = ("product_id", "product_category")
COUNTS = [f"{kind}_{name}" for kind in ("n", "age") for name in ATTRIBUTES]
NEGATIVE_RATE = 0.01
# Probabilities of 0 or 1 would make one row's loss infinite.
CLIP = 1e-7


class Rows:
    """Impressions: features, funnel (n, 2), weights; for synthetic ones the true probabilities."""

    def __init__(self, X, funnel, weight, truth=None):
        self.X, self.funnel, self.weight, self.truth = X, funnel, weight, truth

    def __getitem__(self, rows):
        truth = None if self.truth is None else self.truth[rows]
        return Rows(self.X.iloc[rows], self.funnel[rows], self.weight[rows], truth)

    def __len__(self):
        return len(self.funnel)


def learn(name, train, valid, seed, fixed, chosen):
    """The network `name` with the setting in `chosen`, which the first call finds."""
    which, stages = ROWS_AND_STAGES[name]
    if which == "clicked":
        train, valid = (part[np.flatnonzero(part.funnel[:, 0] == 1)] for part in (train, valid))
    grid = OTHER_SETTINGS.get(name, OTHER_SETTINGS["one stage"])
    settings = [{"lr": lr, **other} for lr in LEARNING_RATES for other in grid]
    fits = [
        ESMMEstimator(random_state=seed, early_stopping=True, **setting, **fixed).fit(
            train.X,
            train.funnel[:, stages],
            sample_weight=train.weight,
            X_val=valid.X,
            y_val=valid.funnel[:, stages],
            sample_weight_val=valid.weight,
        )
        for setting in ([chosen[name]] if name in chosen else settings)
    ]
    # The last column is that of conversions, or of the one stage there is.
    y = valid.funnel[:, np.atleast_1d(stages)[-1]]
    best = min(
        fits,
        key=lambda model: log_loss(
            y, model.predict_proba(valid.X)[:, -1].astype(float), sample_weight=valid.weight
        ),
    )
    chosen[name] = {key: getattr(best, key) for key in settings[0]}
    print(f"  {name}: {chosen[name]}, {best.n_iter_} epochs", flush=True)
    return best


def predict(models, X):
    """Estimates of pCVR and of pCTCVR by the way they were made, each ndarray of shape (n,)."""
    funnel = models["ESMM"].predict_funnel(X)
    one = {
        name: model.predict_proba(X)[:, 1].astype(np.float64)
        for name, model in models.items()
        if name != "ESMM"
    }
    ctr, on_clicks, ctcvr = (
        one[name] for name in ("clicks", "conversions of clicks", "conversions")
    )
    cvr = {
        "ESMM": funnel["cvr"].to_numpy(),
        "clicked rows only": on_clicks,
        "pCTCVR / pCTR of two networks": np.clip(ctcvr / ctr, 0, 1),
    }
    return cvr, {
        "ESMM": funnel["ctcvr"].to_numpy(),
        "pCTR x pCVR of two networks": ctr * on_clicks,
        "conversions only": ctcvr,
    }


def excess(truth, p):
    """Cross-entropy of p with the true probabilities, less their own: nats per impression."""

    def cross_entropy(q):
        q = np.clip(q, CLIP, 1 - CLIP)
        return -(truth * np.log(q) + (1 - truth) * np.log1p(-q)).mean()

    return float(cross_entropy(p.astype(np.float64)) - cross_entropy(truth))


def synthetic(seed, max_rows, chosen):
    """Excess log loss of every estimate over all test impressions of one synthetic log."""
    share = 1.0 if max_rows is None else min(1.0, max_rows / N_TRAIN)
    n_train, n_valid, n_test = (int(n * share) for n in (N_TRAIN, N_VALID, N_TEST))
    log = make_ad_log(n_train + n_valid + n_test, random_state=seed, **LOG)
    truth = np.column_stack([log.p_conversion, log.p_click * log.p_conversion])
    rows = Rows(log.data, log.funnel.to_numpy(), log.sample_weight, truth)
    train, valid, test = (
        rows[np.arange(start, stop)]
        for start, stop in (
            (0, n_train),
            (n_train, n_train + n_valid),
            (n_train + n_valid, len(rows)),
        )
    )
    fixed = {"share_vocabulary": {"hist_item_id": "item_id"}}
    models = {name: learn(name, train, valid, seed, fixed, chosen) for name in ROWS_AND_STAGES}
    cvr, ctcvr = predict(models, test.X)
    rate = train.funnel[:, 1].sum() / train.funnel[:, 0].sum()
    cvr["constant"] = np.full(len(test), rate)
    return {
        "cvr_excess_log_loss": {name: excess(test.truth[:, 0], p) for name, p in cvr.items()},
        "ctcvr_excess_log_loss": {name: excess(test.truth[:, 1], p) for name, p in ctcvr.items()},
    }


def load_funnel(weeks, max_rows):
    """Impressions of some weeks with lists and counts of what was bought before each week."""
    log = load_complete_journey_impressions(
        target=["engaged", "converted"], negative_rate=NEGATIVE_RATE, weeks=weeks
    )
    X = log.data.assign(timestamp=log.timestamp)
    keep = np.arange(len(X))
    if max_rows is not None and max_rows < len(X):
        keep = np.sort(np.random.default_rng(0).permutation(len(X))[:max_rows])
    events = load_complete_journey_purchases().data[["household_id", "timestamp", *ATTRIBUTES]]
    encoder = HistoryEncoder(
        user="household_id",
        attributes=ATTRIBUTES,
        counts=ATTRIBUTES,
        max_len=30,
        drop=["timestamp"],
    )
    X = encoder.fit(X.iloc[keep], events=events).transform(X.iloc[keep])
    X[COUNTS] = np.log1p(X[COUNTS])
    return Rows(X, log.target.to_numpy()[keep], log.sample_weight.to_numpy()[keep])


def funnel(seed, parts, chosen):
    """AUC of conversion over all test impressions, and of conversion over engaged ones."""
    train, valid, test = parts
    fixed = {"share_vocabulary": {f"hist_{name}": name for name in ATTRIBUTES}, "max_len": 30}
    models = {name: learn(name, train, valid, seed, fixed, chosen) for name in ROWS_AND_STAGES}
    cvr, ctcvr = predict(models, test.X)
    engaged = test.funnel[:, 0] == 1

    def auc(p, rows):
        y, weight = test.funnel[rows, 1], test.weight[rows]
        return float(roc_auc_score(y, p[rows], sample_weight=weight))

    return {
        "cvr_auc_on_engaged": {name: auc(p, engaged) for name, p in cvr.items()},
        "ctcvr_auc": {name: auc(p, np.full(len(test), True)) for name, p in ctcvr.items()},
    }


def summarise(by_seed):
    """Mean and deviation of each number, and of ESMM minus each rival within the seeds."""
    summary = {}
    for measure in by_seed[0]:
        values = {
            name: np.array([one[measure][name] for one in by_seed]) for name in by_seed[0][measure]
        }
        spread = {"ddof": 1 if len(by_seed) > 1 else 0}
        summary[measure] = {
            name: {
                "mean": float(each.mean()),
                "sd": float(each.std(**spread)),
                "ESMM_minus": {
                    "mean": float((values["ESMM"] - each).mean()),
                    "sd": float((values["ESMM"] - each).std(**spread)),
                },
            }
            for name, each in values.items()
        }
    return summary


def run(part, seeds, max_rows):
    """All seeds of a part: numbers by seed, and their summary."""
    if part == "funnel":
        weeks = (protocol.TRAIN_WEEKS, protocol.VALIDATION_WEEKS, protocol.TEST_WEEKS)
        data = [load_funnel(some, max_rows) for some in weeks]
    by_seed, chosen = [], {}
    for seed in seeds:
        print(f"{part}, seed {seed}", flush=True)
        if part == "synthetic":
            one = synthetic(seed, max_rows, chosen)
        else:
            one = funnel(seed, data, chosen)
        print(json.dumps(one, indent=2), flush=True)
        by_seed.append(one)
    return {
        "seeds": list(seeds),
        "chosen": chosen,
        "summary": summarise(by_seed),
        "by_seed": by_seed,
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=SEEDS, help="one part; both without it")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--max-rows", type=int, help="training rows, to try the script out")
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "esmm.json")
    args = parser.parse_args()
    # A part that was measured before stays as it was.
    result = json.loads(args.output.read_text()) if args.output.exists() else {}
    for part in [args.part] if args.part else SEEDS:
        result[part] = run(part, args.seeds or SEEDS[part], args.max_rows)
    result |= {"learning_rates": LEARNING_RATES, "other_settings": OTHER_SETTINGS}
    result |= {"synthetic_log": LOG}
    result |= protocol.environment("torch", "skorch")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
