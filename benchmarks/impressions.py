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

import numpy as np
import protocol
from models import FM, GBDTLR, LightGBM, LogisticOneHot

MODELS = (FM(), LightGBM(), GBDTLR(), LogisticOneHot())


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
        setting = json.loads(json.dumps(setting))
        lines = [json.loads(line) for line in self.path.read_text().splitlines()]
        found = [one for one in lines if one["model"] == name and one["setting"] == setting]
        return {k: v for k, v in found[-1].items() if k != "model"} if found else None

    def add(self, name, one):
        """Keep a line."""
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps({"model": name, **one}) + "\n")


def tune(model, train, valid, n_candidates, journal):
    """All settings of a model with their validation score, best first."""
    tried, key = [], f"valid_{model.metric}"
    for number, setting in enumerate(protocol.candidates(model.space, n_candidates), 1):
        one = journal.find(model.name, setting)
        if one is None:
            score, length = model.tune(setting, train, valid)
            one = {"setting": setting, **length, key: float(score)}
            journal.add(model.name, one)
        tried.append(one)
        print(f"{model.name} {number}/{n_candidates}: {one}", flush=True)
    return sorted(tried, key=lambda one: -one[key])


def fit_and_predict(name, best, label, max_rows, seed):
    """The winner of a contender fitted on weeks 1-44: test probabilities and what they cost."""
    model = next(model for model in MODELS if model.name == name)
    train, test = load_both(label, max_rows)
    length = {key: best[key] for key in ("n_trees", "n_epochs") if key in best}
    p, cost, fitted = protocol.timed_fit(model, best["setting"], length, train, test, seed)
    # Of boosted trees with a linear layer also what the trees alone would say.
    trees = model.predict_by_trees(fitted, test.X) if hasattr(model, "predict_by_trees") else None
    return p, cost, trees


def default_of(model):
    """The first setting of a contender's space."""
    return {name: values[0] for name, values in model.space.items()}


def against_own_trees(test, probabilities, trees):
    """Measures of both, one dict a seed, and the difference of their normalised entropies."""
    return [
        {
            "with_linear_layer": protocol.measure(test, p),
            "trees_alone": protocol.measure(test, alone),
            "entropy_minus_trees": protocol.entropy_difference(test, p, alone),
        }
        for p, alone in zip(probabilities, trees)
    ]


def load_both(label, max_rows):
    """Weeks 1-44 and the test weeks."""
    both = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    train = protocol.load_rows(label, both, max_rows=max_rows)
    return train, protocol.load_rows(label, protocol.TEST_WEEKS, max_rows=max_rows)


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


def tune_all(label, n_candidates, max_rows, journal):
    """Model -> its settings tried on weeks 1-40 and judged on weeks 41-44, best first."""
    train = protocol.load_rows(label, protocol.TRAIN_WEEKS, max_rows=max_rows)
    valid = protocol.load_rows(label, protocol.VALIDATION_WEEKS, max_rows=max_rows)
    print(f"{len(train):,} rows in weeks 1-40, {len(valid):,} in weeks 41-44", flush=True)
    return {model.name: tune(model, train, valid, n_candidates, journal) for model in MODELS}


def test_all(label, tried, max_rows, names):
    """Fit the best settings on weeks 1-44 and read the test weeks; the results as a dict."""
    train, test = load_both(label, max_rows)
    n_train = len(train)
    del train
    print(f"{n_train:,} rows in weeks 1-44, {len(test):,} in weeks 45-53", flush=True)
    probabilities, models, own_trees = {}, {}, {}
    for model in MODELS:
        if model.name not in names:
            continue
        done = []
        for seed in protocol.SEEDS[: 1 if model.deterministic else None]:
            best = tried[model.name][0]
            args = (model.name, best, label, max_rows, seed)
            done.append(protocol.in_fresh_process(fit_and_predict, *args))
            print(f"{model.name} seed {seed}: {done[-1][1]}", flush=True)
        p, costs, trees = zip(*done)
        probabilities[model.name] = np.stack(p)
        models[model.name] = {
            "tried": tried[model.name],
            "by_seed": [protocol.measure(test, one) for one in p],
            "mean_of_seeds": protocol.measure(test, np.mean(p, axis=0)),
            "cost": list(costs),
        }
        if trees[0] is not None:
            own_trees["chosen setting"] = against_own_trees(test, p, trees)
            default = next(one for one in tried[model.name] if one["setting"] == default_of(model))
            args = (model.name, default, label, max_rows, protocol.SEEDS[0])
            p, _, trees = protocol.in_fresh_process(fit_and_predict, *args)
            own_trees["default setting"] = against_own_trees(test, [p], [trees])
    return {
        "selection": protocol.SELECTION_METRIC,
        "seeds": list(protocol.SEEDS),
        "n_train": n_train,
        "n_test": len(test),
        "models": models,
        "FM_minus": compare(probabilities, test),
        "against_own_trees": own_trees,
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
    parser.add_argument(
        "--again",
        nargs="+",
        choices=[model.name for model in MODELS],
        help="measure these models once more, after they changed, and FM, which all are compared "
        "with; keep the results of the others",
    )
    parser.add_argument("--tune-only", action="store_true", help="leave the test weeks unread")
    args = parser.parse_args()
    output = args.output or protocol.RESULTS / f"impressions_{args.label}.json"
    if args.settings_of:
        source = json.loads(args.settings_of.read_text())
        tuned_on, tried = source["label"], {k: v["tried"] for k, v in source["models"].items()}
    else:
        name = None if args.max_rows else protocol.CACHE / f"tried_{args.label}.jsonl"
        journal = Journal(name, args.fresh)
        tuned_on, tried = args.label, tune_all(args.label, args.candidates, args.max_rows, journal)
    if args.tune_only:
        return
    result = {"label": args.label, "tuned_on": tuned_on}
    names = {"FM", *args.again} if args.again else {model.name for model in MODELS}
    result |= test_all(args.label, tried, args.max_rows, names)
    if args.again:
        before = json.loads(output.read_text())
        for part in ("models", "FM_minus", "against_own_trees"):
            result[part] = before[part] | result[part]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")
    for name, model in result["models"].items():
        print(name, model["mean_of_seeds"])
    print("FM minus", json.dumps(result["FM_minus"], indent=2))


if __name__ == "__main__":
    main()
