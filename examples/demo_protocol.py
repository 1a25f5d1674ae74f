"""What every model of the demo has in common: rows, tuning, measures."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import get_scorer, log_loss
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from sk_adrec.datasets import load_complete_journey_impressions
from sk_adrec.metrics import calibration_ratio, gauc_score, normalized_entropy_score

LAST_TRAINING_WEEK, LAST_VALIDATION_WEEK = 40, 44
NEGATIVE_RATE = 0.01
# Tuning fits every model on the last quarter of the training weeks only: a quarter of the time.
FIRST_TUNING_WEEK = 31
N_RESAMPLES = 200
FORMATS = {f"{step} s": "{:.1f}".format for step in ("tune", "fit", "predict")}
FORMATS["log loss"] = "{:.6f}".format


@dataclass(frozen=True)
class Rows:
    """Impressions: features, stages reached, impressions that each row stands for, and times."""

    X: pd.DataFrame
    funnel: pd.DataFrame
    weight: np.ndarray
    week: np.ndarray
    timestamp: pd.Series

    @property
    def y(self) -> np.ndarray:
        """Whether each converted, 0 or 1."""
        return self.funnel["converted"].to_numpy()

    def __getitem__(self, rows: np.ndarray) -> Rows:
        return Rows(
            self.X.loc[rows],
            self.funnel.loc[rows],
            self.weight[rows],
            self.week[rows],
            self.timestamp.loc[rows],
        )

    def replace(self, X: pd.DataFrame) -> Rows:
        """The same impressions with other features."""
        return replace(self, X=X)


@dataclass(frozen=True)
class Outcome:
    """What a model did: probabilities for the test rows, its choice, seconds, and itself."""

    probability: np.ndarray
    setting: dict
    validation_loss: float
    seconds: dict
    model: Pipeline


def load() -> Rows:
    """All conversions of weeks 1-53, and 1 % of the other impressions."""
    log = load_complete_journey_impressions(
        target=["engaged", "converted"], negative_rate=NEGATIVE_RATE
    )
    week, weight = log.week.to_numpy(), log.sample_weight.to_numpy()
    return Rows(log.data, log.target, weight, week, log.timestamp)


def split(rows: Rows) -> tuple[Rows, Rows]:
    """Weeks 1-44 and weeks 45-53."""
    return rows[rows.week <= LAST_VALIDATION_WEEK], rows[rows.week > LAST_VALIDATION_WEEK]


def weighted(estimator):
    """The estimator, asking pipelines and searches for the sample weights."""
    return estimator.set_fit_request(sample_weight=True)


def tune(model: Pipeline, grid: dict, rows: Rows, y, scorer) -> tuple[dict, float]:
    """The best setting in weeks 41-44 after fits on weeks 31-40, and its loss there."""
    recent = rows.week >= FIRST_TUNING_WEEK
    rows, y = rows[recent], y[recent]
    search = GridSearchCV(
        model,
        grid,
        scoring=scorer.set_score_request(sample_weight=True),
        cv=PredefinedSplit(np.where(rows.week <= LAST_TRAINING_WEEK, -1, 0)),
        refit=False,
    ).fit(rows.X, y, sample_weight=rows.weight)
    return search.best_params_, -search.best_score_


def run(models: dict, train: Rows, test: Rows) -> dict[str, Outcome]:
    """Tune each model, fit it on all training weeks, predict the test weeks."""
    outcomes = {}
    with tqdm(total=3 * len(models), bar_format="{l_bar}{bar}| {elapsed}", leave=False) as bar:
        for name, (model, grid) in models.items():
            seconds: dict[str, float] = {}
            with _timed("tune", name, seconds, bar):
                setting, loss = tune(model, grid, train, train.y, get_scorer("neg_log_loss"))
            with _timed("fit", name, seconds, bar):
                fitted = clone(model).set_params(**setting)
                fitted.fit(train.X, train.y, sample_weight=train.weight)
            with _timed("predict", name, seconds, bar):
                probability = fitted.predict_proba(test.X)[:, 1]
            outcomes[name] = Outcome(probability, setting, loss, seconds, fitted)
            chosen = ", ".join(f"{key.split('__')[-1]} {value}" for key, value in setting.items())
            bar.write(f"{name}: chose {chosen}; log loss in weeks 41-44 {loss:.5f}")
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


def measure_segments(
    outcomes: dict[str, Outcome], test: Rows, masks: dict[str, np.ndarray]
) -> tuple[pd.DataFrame, dict]:
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


def mean_in_resamples(values: np.ndarray, households: np.ndarray) -> np.ndarray:
    """The mean of some rows' values, then in each bootstrap resample of their households.

    Returns
    -------
    ndarray of shape (1 + N_RESAMPLES,)
    """
    codes, distinct = pd.factorize(households)
    total, rows = np.bincount(codes, values), np.bincount(codes)
    n = len(distinct)
    drawn = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)
    times = np.vstack([np.ones(n), drawn])
    return (times @ total) / (times @ rows)


def with_interval(values: np.ndarray) -> str:
    """A mean and half of its 95 % interval, from the mean and resampled ones."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return f"{values[0]:.3f} ± {(high - low) / 2:.3f}"


def difference(values: dict[str, np.ndarray], one: str, other: str, what: str = "AUC") -> str:
    """A sentence: how much greater a metric of one model is, with its paired interval."""
    by = values[one] - values[other]
    low, high = np.quantile(by[1:], [0.025, 0.975])
    return f"{what} of {one} minus {other}: {by[0]:+.4f} (95 % {low:+.4f} to {high:+.4f})"


def left(table: pd.DataFrame) -> str:
    """A table of texts, with columns flush left."""
    lines = [list(table.columns), *table.astype(str).to_numpy().tolist()]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
