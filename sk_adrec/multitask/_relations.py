"""How the tasks of a model go together: a funnel of stages, or tasks of their own.

A relation says what y may be, what the loss is, and how log odds become probabilities; the base of
multi-task models and their modules know nothing of it. Modules give (B, K) log odds: of a funnel
those of each stage given the one before it, of independent tasks each task's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.special import expit, log_expit, logit
from sklearn.metrics import roc_auc_score

from .._target import check_two_classes, in_order
from .._training import Metric
from ..losses import EntireSpaceLoss, IndependentTasksLoss
from ._target import (
    column_names,
    funnel_labels,
    labels_to_columns,
    read_target,
    stage_rates,
    warn_of_assumed_order,
    warn_of_selective_labels,
)


@dataclass(frozen=True)
class Independent:
    """Any 0/1 columns, NaN where a label is not known; or two labels, of one task."""

    noun = "task"

    def columns(self, y) -> list[Any] | None:
        """Names of the columns of y; None for labels."""
        return column_names(y, None, noun=self.noun)

    def read(self, y, columns: list[Any] | None) -> np.ndarray:
        """Labels, shape (n,), or float64 columns of 0, 1 and NaN, shape (n, K)."""
        return read_target(y, columns, nested=None)

    def order(self, classes: np.ndarray, y: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        """The labels of a target of labels, that of no task first; `order` is its dtype's."""
        check_two_classes(classes, y)
        return classes if order is None else in_order(classes, order)

    def check(self, y: np.ndarray, names: list[str]) -> None:
        """Raise where a task has nothing to learn."""
        for labels, name in zip(y.T, names):
            known = labels[~np.isnan(labels)]
            if not len(known):
                raise ValueError(f"task {name!r} of y is NaN in all rows: leave it out")
            if known.min() == known.max():
                raise ValueError(
                    f"y must have two classes in each task, but {name!r} has one class: "
                    f"{known[0]:g} in all {len(known)} rows where it is known"
                )

    def strata(self, y: np.ndarray, order: np.ndarray | None) -> np.ndarray:
        """What rows are split by, shape (n,): the tasks known to be 1, as one number."""
        if y.ndim == 1:
            return y
        return (y == 1) @ (2.0 ** np.arange(y.shape[1]))

    def log_odds(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Log odds of the base rates, shape (K,), as modules give them."""
        rates = [stage_rates(labels[:, None], weight)[0] for labels in y.T]
        return logit(np.nan_to_num(rates, nan=0.5))

    def loss(self, weights):
        """The loss on (B, K) log odds."""
        return IndependentTasksLoss(weights)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """P(task k), shape (n, K)."""
        return expit(logits)

    def metrics(self, names: list[str]) -> list[tuple[str, Metric]]:
        """AUC of each task."""
        return [(f"{name}_auc", partial(_auc_of_task, k=k)) for k, name in enumerate(names)]


@dataclass(frozen=True)
class Funnel:
    """Stages that follow each other: nested 0/1 columns, or the label of the last stage reached.

    Parameters
    ----------
    stages : array-like or None
        The columns, or all labels, in funnel order.
    on_inconsistent : {"raise", "fix"}
        What becomes of a 1 after a 0.
    """

    stages: Any = None
    on_inconsistent: str = "raise"

    noun = "stage"

    def columns(self, y) -> list[Any] | None:
        return column_names(y, self.stages)

    def read(self, y, columns):
        return read_target(y, columns, nested=self.on_inconsistent)

    def order(self, classes, y, order):
        labels = funnel_labels(classes, self.stages, order)
        warn_of_assumed_order(labels, self.stages, order)
        return labels

    def check(self, y, names):
        for k, name in enumerate(names):
            known = y[~np.isnan(y[:, k]), k]
            if not len(known):
                raise ValueError(f"stage {name!r} of y is NaN in all rows: leave it out")
            # Of later stages a part of the rows may lack the 1: what is learned is their rarity.
            if k == 0 and known.min() == known.max():
                raise ValueError(
                    f"y must have two classes in its first stage, {name!r}, got one class: "
                    f"{known[0]:g} in all {len(known)} rows where it is known"
                )
        warn_of_selective_labels(y, names)

    def strata(self, y, order):
        # By the last stage known to be reached, so that both parts have their share of each.
        if y.ndim == 1:
            y = labels_to_columns(y, funnel_labels(np.unique(y), self.stages, order))
        return np.nansum(y, axis=1)

    def log_odds(self, y, weight):
        return logit(np.nan_to_num(stage_rates(y, weight), nan=0.5))

    def loss(self, weights):
        return EntireSpaceLoss(weights)

    def probabilities(self, logits):
        return np.cumprod(expit(logits), axis=1)

    def metrics(self, names):
        metrics: list[tuple[str, Metric]] = []
        for k, (given, reached) in enumerate(funnel_names(names)):
            metrics.append((f"{given}_auc", partial(_auc_given, k=k)))
            if reached != given:
                metrics.append((f"{reached}_auc", partial(_auc_reached, k=k)))
        return metrics


Relation = Funnel | Independent


def funnel_names(names: list[str]) -> list[tuple[str, str]]:
    """For each stage the names of P(stage | the one before) and of P(stage)."""
    if len(names) <= 2:
        return [("ctr", "ctr"), ("cvr", "ctcvr")][: len(names)]
    later = [(f"p_{b}_given_{a}", f"p_{b}") for a, b in pairwise(names)]
    return [(f"p_{names[0]}", f"p_{names[0]}"), *later]


def _auc_of_task(module, logits, y, weight, *, k):
    return _auc(logits[:, k], y[:, k], weight)


def _auc_given(module, logits, y, weight, *, k):
    """AUC of P(stage k | the one before) on the rows that reached the one before."""
    rows = np.ones(len(y), dtype=bool) if k == 0 else y[:, k - 1] == 1
    return _auc(logits[rows, k], y[rows, k], weight[rows])


def _auc_reached(module, logits, y, weight, *, k):
    """AUC of P(stage k) on all rows."""
    return _auc(log_expit(logits[:, : k + 1]).sum(axis=1), y[:, k], weight)


def _auc(score, y, weight):
    known = ~np.isnan(y)
    y = y[known]
    if not 0 < y.sum() < len(y):
        return np.nan
    return roc_auc_score(y, score[known], sample_weight=weight[known])
