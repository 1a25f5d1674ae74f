"""The target of a funnel: 0/1 columns in its order, or the label of the last stage reached."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._target import check_target, in_order, order_of_labels
from .._validation import check_choice, is_frame
from .._warnings import warn


def funnel_target(y, *, to="label", stages=None, on_inconsistent="raise"):
    """Convert a funnel's target from 0/1 columns to one label per row, or back.

    Both mean the same to every multi-task estimator. Columns can say that a later stage is not
    known yet (NaN) and give :meth:`predict_proba` one column per stage. A label makes the target
    an ordinary class, for tools that take no other: stratified splits, CalibratedClassifierCV.

    Parameters
    ----------
    y : array-like or data frame of shape (n_samples, n_stages), or of shape (n_samples,)
        Columns of 0 and 1 in funnel order (impressions that were clicked, put into the cart,
        bought), or labels.
    to : {"label", "columns"}, default="label"
        What to return. What is so already is checked and returned in the same form.
    stages : array-like, default=None
        Of columns: which of a data frame's columns are the stages, in funnel order; None takes
        all. Of labels: all labels in funnel order, that of no stage first; None takes those that
        occur, in the order of their dtype (ordered categories, a Polars Enum), or else sorted.
        Give it where a part of the rows may lack a stage.
    on_inconsistent : {"raise", "fix"}, default="raise"
        A row with a 1 in a later stage and a 0 in an earlier one raises; "fix" sets the earlier
        one to 1, since what was logged has happened.

    Returns
    -------
    ndarray
        For "label", int64 of shape (n_samples,): the number of stages reached, 0 to n_stages. For
        "columns", int64 of shape (n_samples, n_stages), or float64 with NaN where labels are
        unknown.

    Raises
    ------
    ValueError
        If values are not 0, 1 or NaN, stages are inconsistent or unknown, or a label is asked of
        a row whose stages are not all known.

    Examples
    --------
    >>> from sk_adrec.multitask import funnel_target
    >>> funnel_target([[0, 0], [1, 0], [1, 1]])
    array([0, 1, 2])
    >>> stages = ["seen", "click", "purchase"]
    >>> funnel_target(["click", "seen"], to="columns", stages=stages)
    array([[1, 0],
           [0, 0]])
    """
    check_choice("to", to, ("label", "columns"))
    check_choice("on_inconsistent", on_inconsistent, ("raise", "fix"))
    names, order = column_names(y, stages), order_of_labels(y)
    y = read_target(y, names, nested=on_inconsistent)
    if names is None:
        labels = funnel_labels(np.unique(y), stages, order)
        warn_of_assumed_order(labels, stages, order)
        y = labels_to_columns(y, labels)
    if to == "columns":
        return y if np.isnan(y).any() else y.astype(np.int64)
    unknown = np.isnan(y).any(axis=1)
    if unknown.any():
        raise ValueError(
            f"a label needs all stages of its row, but {unknown.sum()} rows hold NaN, the first is "
            f"row {unknown.argmax()}: keep the columns, or leave these rows out"
        )
    return y.sum(axis=1).astype(np.int64)


def is_columns(y) -> bool:
    """Whether y has two or more columns: 0/1 stages rather than one label per row."""
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    return len(shape) == 2 and shape[1] > 1


def column_names(y, stages, noun: str = "stage") -> list | None:
    """The names of a target's columns in funnel order; None for labels.

    Columns without names are called by the `noun` and their number.

    Raises
    ------
    ValueError
        If `stages` names other columns than y has.
    """
    if y is None or not is_columns(y):
        return None
    if is_frame(y):
        columns = list(y.columns)
        missing = [name for name in ([] if stages is None else stages) if name not in columns]
        if missing:
            raise ValueError(f"stages names {missing[0]!r}, but the columns of y are {columns}")
        if stages is not None and len(stages) < 2:
            raise ValueError(
                f"stages must name two or more columns of y, got {list(stages)}: for one stage "
                "pass that column as y"
            )
        return columns if stages is None else list(stages)
    n_columns = np.shape(y)[1]
    if stages is None:
        return [f"{noun}_{k + 1}" for k in range(n_columns)]
    if len(stages) != n_columns:
        raise ValueError(
            f"stages must name the {n_columns} columns of y in funnel order, got {list(stages)}"
        )
    return list(stages)


def read_target(y, names, nested: str | None) -> np.ndarray:
    """Labels of shape (n,), or float64 columns of 0, 1 and NaN of shape (n, K).

    Parameters
    ----------
    y : array-like or data frame
    names : list or None
        As :func:`column_names` returns it, for this target or for that of `fit`.
    nested : {"raise", "fix"} or None
        What becomes of a 1 after a 0, in a funnel; None where columns may hold what they like.
    """
    if not is_columns(y):
        y = check_target(y)
        if names is not None:
            raise ValueError(
                f"y must have the columns of fit, {names}, got one label per row: "
                "funnel_target converts"
            )
        return y
    if names is None:
        raise ValueError(
            f"y must be one label per row, as in fit, got {np.shape(y)[1]} columns: "
            "funnel_target converts"
        )
    columns = _as_floats(y, names)
    _check_values(columns, names)
    return columns if nested is None else _nested(columns, names, nested)


def _as_floats(y, names) -> np.ndarray:
    if is_frame(y):
        if hasattr(y, "to_pandas"):
            y = y.to_pandas()
        missing = [name for name in names if name not in y.columns]
        if missing:
            raise ValueError(
                f"y must have the columns of fit, {names}, got {list(y.columns)}: "
                f"{missing[0]!r} is missing"
            )
        y = y[names]
    elif np.shape(y)[1] != len(names):
        raise ValueError(f"y must have the {len(names)} columns of fit, got {np.shape(y)[1]}")
    try:
        if isinstance(y, pd.DataFrame):
            return y.to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        return np.array(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"the columns {names} of y must hold 0, 1 or NaN: {error}. For labels of another kind "
            "pass one label per row"
        ) from error


def _check_values(columns, names):
    other = ~(np.isnan(columns) | (columns == 0) | (columns == 1))
    if other.any():
        row, k = np.argwhere(other)[0]
        raise ValueError(
            f"y must hold 0, 1 or NaN (not known yet) in each of its columns {names}, got "
            f"{columns[row, k]:g} in row {row}, column {names[k]!r}, and {other.sum() - 1} more. "
            "If y came from cross_val_predict: it numbers the values of each column, so that NaN "
            "becomes 2. Fit and predict on the folds of a splitter instead"
        )


def _nested(columns, names, on_inconsistent):
    """The columns, checked or mended so that a 1 follows 1s only; known where a later 1 tells."""
    # Whether a stage or one after it holds a 1.
    reached = np.maximum.accumulate((columns == 1)[:, ::-1], axis=1)[:, ::-1]
    columns[reached & np.isnan(columns)] = 1.0
    wrong = reached & (columns == 0)
    if not wrong.any():
        return columns
    if on_inconsistent == "fix":
        columns[wrong] = 1.0
        return columns
    rows = wrong.any(axis=1)
    first = rows.argmax()
    shown = {str(name): f"{value:g}" for name, value in zip(names, columns[first])}
    raise ValueError(
        f"a row of y with a 1 in a later stage must have a 1 in every earlier one: {rows.sum()} "
        f"rows have not, the first is row {first}, {shown}. Correct them, order the columns from "
        "the first stage to the last, or set on_inconsistent='fix' to set the earlier stages to 1"
    )


def funnel_labels(classes: np.ndarray, stages, order: np.ndarray | None = None) -> np.ndarray:
    """All labels in funnel order: `stages`, or the `classes`, in `order` or sorted as they are.

    Raises
    ------
    ValueError
        If `stages` lacks one of the classes, or names one twice; or `order` lacks one.
    """
    if stages is None:
        return classes if order is None else in_order(classes, order)
    labels = np.asarray(stages)
    if len(np.unique(labels)) != len(labels):
        raise ValueError(f"stages must name each stage once, got {list(stages)}")
    unknown = [label for label in classes.tolist() if label not in labels.tolist()]
    if unknown:
        raise ValueError(
            f"stages must be all labels of y in funnel order, that of no stage first: "
            f"{list(stages)} lacks {unknown[0]!r}. If y came from cross_val_predict: it numbers "
            "the sorted labels, so number the stages yourself (funnel_target does)"
        )
    return labels


def warn_of_assumed_order(labels: np.ndarray, stages, order=None) -> None:
    """Warn where the funnel is the alphabet's: text, and nothing that gives its order."""
    if stages is None and order is None and len(labels) > 2 and labels.dtype.kind in "OUS":
        warn(
            f"y holds text without an order of its own, so the funnel was taken to be "
            f"{' -> '.join(labels.tolist())}. Set stages to the labels in funnel order.",
        )


def labels_to_columns(y: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Stages reached, float64 of shape (n, len(labels) - 1), of labels in funnel order."""
    order = np.argsort(labels)
    place = order[np.searchsorted(labels, y, sorter=order)]
    return (place[:, None] > np.arange(len(labels) - 1)).astype(np.float64)


def stage_rates(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weighted share of rows that reach each stage, among those that reach the one before.

    Rows count where both are known; NaN without any. Where none or all of n rows reach a stage,
    half a row does or does not: there may be one among the next n.

    Parameters
    ----------
    y : ndarray of shape (n, K)
        0, 1 and NaN, nested.
    weight : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (K,)
    """
    rates = []
    before = np.ones(len(y), dtype=bool)
    for stage in y.T:
        known = before & ~np.isnan(stage)
        rates.append(_rate(stage[known], weight[known]) if known.any() else np.nan)
        before = stage == 1
    return np.array(rates)


def _rate(stage, weight):
    half = 0.5 / (np.count_nonzero(weight) + 1)
    return np.clip(np.average(stage, weights=weight), half, 1 - half)


def warn_of_selective_labels(y: np.ndarray, names) -> None:
    """Warn where whether a stage is known follows from the stage before it: masking then biases."""
    for before, stage, name_before, name in zip(y.T, y.T[1:], names, names[1:]):
        unknown = np.isnan(stage)
        reached, missed = unknown[before == 1], unknown[before == 0]
        if len(missed) and missed.all() and not reached.all():
            found = (
                f"NaN in every row where {name_before!r} is 0. A row without the one cannot have "
                "the other: write 0 there"
            )
        elif len(missed) and reached.any() and not missed.any():
            found = (
                f"NaN only in rows where {name_before!r} is 1. If they are too recent to know, "
                f"write NaN in all rows as recent, whatever {name_before!r} is"
            )
        else:
            continue
        warn(
            f"{name!r} is {found}, for the loss leaves unknown labels out, and the rest must be a "
            f"fair sample of all rows.",
        )
