"""Fitting boosted trees (LightGBM) whose leaves another layer is to weigh."""

from __future__ import annotations

from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
from sklearn.utils.validation import has_fit_parameter

from .parameters import objective_of

# With fewer rows of a label, a part of the rows tells nothing: all rows train both layers.
_LEAST_PER_LABEL = 10


class Layers(NamedTuple):
    """Rows of each layer, ascending; each part holds both labels.

    Parameters
    ----------
    trees, linear : ndarray of int
    stop : ndarray of int or None
        To stop on.
    """

    trees: np.ndarray
    linear: np.ndarray
    stop: np.ndarray | None


def split_layers(
    target: np.ndarray,
    fraction: float,
    validation_fraction: float | None,
    random_state: np.random.RandomState,
) -> Layers:
    """Rows of the trees, rows of the linear layer, and rows to stop on.

    Parameters
    ----------
    target : ndarray of shape (n,)
        0 or 1.
    fraction : float in (0, 1]
        Share of the rows that trains the trees; 1 trains the linear layer on all rows.
    validation_fraction : float or None
        Share to stop on, never among the trees' rows; None for no such rows.
    random_state : RandomState

    Returns
    -------
    Layers
    """
    everything = np.arange(len(target))
    held_out = max(1 - fraction, validation_fraction or 0.0)
    if held_out == 0 or np.bincount(target, minlength=2).min() < _LEAST_PER_LABEL:
        return Layers(everything, everything, None)
    rows = _shuffle_stratified(target, random_state)
    least, most = _part_sizes(target[rows])

    def first(share):
        return np.sort(rows[: min(max(round(share * len(rows)), least), most)])

    other = first(held_out)
    trees = np.setdiff1d(everything, other, assume_unique=True)
    stop = None if validation_fraction is None else first(validation_fraction)
    return Layers(trees, everything if fraction == 1 else other, stop)


def fit_trees(
    gbdt: lgb.LGBMClassifier,
    X,
    target: np.ndarray,
    weight: np.ndarray,
    categories: list[int],
    stop: tuple | None,
    patience: int | None,
) -> tuple[str, list[float] | None]:
    """Fit trees, and keep the best number of them.

    Parameters
    ----------
    gbdt : LGBMClassifier
        Is fitted.
    X, target, weight
        Rows, 0/1 labels, weights.
    categories : list of int
        Columns of X that hold codes.
    stop : (X, target, weight) or None
        Rows whose log loss is watched.
    patience : int or None
        Trees without improvement on `stop` before the training stops; None keeps all trees.

    Returns
    -------
    model : str
        LightGBM's text of the model.
    losses : list of float or None
        Log loss on `stop` after each tree.

    Raises
    ------
    ValueError
        If LightGBM refuses a parameter.
    """
    # What trees are kept by is the log loss: no other metric is looked at.
    own = callable(objective_of(gbdt))
    gbdt.set_params(metric="None" if own else "binary_logloss")
    rows: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    if stop is not None:
        rows = {
            **_validation_set(gbdt, *stop[:2]),
            "eval_sample_weight": [stop[2]],
            "eval_metric": _log_loss_of_logits if own else "binary_logloss",
            "callbacks": [lgb.record_evaluation(scores)],
        }
        if patience is not None:
            rows["callbacks"].append(
                lgb.early_stopping(patience, first_metric_only=True, verbose=False)
            )
    try:
        gbdt.fit(X, target, weight, categorical_feature=categories, **rows)
    except lgb.basic.LightGBMError as error:
        raise ValueError(f"LightGBM refuses the parameters of gbdt: {error}") from error
    if stop is None:
        return gbdt.booster_.model_to_string(), None
    best = None if patience is None else gbdt.best_iteration_
    losses = next(iter(scores.values()))["binary_logloss"]
    return gbdt.booster_.model_to_string(best), losses


def _shuffle_stratified(target, random_state) -> np.ndarray:
    """All rows at random, each stretch of which holds the labels in about the same shares."""
    place = np.empty(len(target))
    for label in (0, 1):
        rows = np.flatnonzero(target == label)
        place[rows] = (random_state.permutation(len(rows)) + 0.5) / len(rows)
    return np.argsort(place, kind="stable")


def _part_sizes(target: np.ndarray) -> tuple[int, int]:
    """Least and most rows of a first part, so that it and the rest hold a row of each label."""
    heads = [int((target == label).argmax()) + 1 for label in (0, 1)]
    tails = [int((target[::-1] == label).argmax()) + 1 for label in (0, 1)]
    return max(heads), len(target) - max(tails)


def _log_loss_of_logits(y, raw, weight):
    """What LightGBM's own metric is for its own objective: for another one it sees raw scores."""
    losses = np.logaddexp(0.0, raw) - y * raw
    return "binary_logloss", float(np.average(losses, weights=weight)), False


def _validation_set(gbdt, X, y) -> dict[str, Any]:
    """Rows to stop on, as this version of LightGBM wants them (before 4.7 it has no eval_X)."""
    if has_fit_parameter(gbdt, "eval_X"):
        return {"eval_X": X, "eval_y": y}
    return {"eval_set": [(X, y)]}
