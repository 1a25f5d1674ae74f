"""What every metric asks of its labels, scores, weights and groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from .._validation import check_length
from ..preprocessing._series import as_series

# Labels of which a single one still says whether it is the positive one.
_NUMERIC_LABELS = ({0, 1}, {-1, 1})


def is_positive(y_true, pos_label) -> np.ndarray:
    """Whether each label is the positive one, bool of shape (n_samples,).

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        At most two labels.
    pos_label : label or None
        None: 1 where the labels are 0 and 1 (or -1 and 1), else the greater of two labels.

    Raises
    ------
    ValueError
        For more than two labels, or one label that does not say which it is.
    """
    given, y_true = y_true, column_or_1d(y_true)
    if y_true.dtype.kind == "U" and not hasattr(given, "dtype"):
        # As text, 1 of [1, "a"] would no longer be told from "1".
        y_true = column_or_1d(np.asarray(given, dtype=object))
    if pos_label is None and y_true.dtype.kind == "b":
        return y_true
    labels = pd.unique(y_true)
    missing = pd.isna(labels).any()
    if len(labels) > 2 or missing:
        got = "a missing label among " if missing else f"{len(labels)}: "
        raise ValueError(
            f"y_true must hold two labels, got {got}{labels[:5].tolist()}. Turn it into 0 and 1, "
            "and leave out rows whose label is missing"
        )
    found = set(labels.tolist())
    if pos_label is None:
        pos_label = _positive_label(found)
    elif len(found) == 2 and pos_label not in found:
        labels = sorted(found, key=lambda label: (str(type(label)), label))
        raise ValueError(f"pos_label must be one of {labels}, got {pos_label!r}")
    return y_true == pos_label


def _positive_label(found: set):
    if any(found <= labels for labels in _NUMERIC_LABELS):
        return 1
    if len(found) < 2:
        raise ValueError(
            f"y_true holds one label, {next(iter(found), None)!r}, which may be the positive one "
            "or not: pass pos_label, or labels 0 and 1"
        )
    try:
        return max(found)
    except TypeError as error:
        labels = sorted(map(repr, found))
        raise ValueError(
            f"y_true must hold labels of one type, got {' and '.join(labels)}, neither of which is "
            "the greater: pass pos_label, or labels 0 and 1"
        ) from error


def check_scores(name: str, values, like) -> np.ndarray:
    """Finite floats of shape (n_samples,), as many as `like` has."""
    scores = check_array(
        column_or_1d(values), ensure_2d=False, dtype=[np.float64, np.float32], input_name=name
    )
    check_consistent_length(like, scores)
    return scores


def check_probabilities(y_prob, like) -> np.ndarray:
    """Probabilities of shape (n_samples,), float32 or float64 as they come.

    Raises
    ------
    ValueError
        For two columns, or values outside [0, 1].
    """
    if np.ndim(y_prob) == 2 and np.shape(y_prob)[1] == 2:
        raise ValueError(
            "y_prob must be the probability of the positive label, shape (n_samples,), got two "
            "columns: pass predict_proba(X)[:, 1]"
        )
    p = check_scores("y_prob", y_prob, like)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(
            f"y_prob must hold probabilities in [0, 1], got values from {p.min():g} to "
            f"{p.max():g}: pass predict_proba(X)[:, 1], not logits"
        )
    return p


def check_weights(sample_weight, like) -> np.ndarray | None:
    """float64 weights of shape (n_samples,), none of them negative; None stays None.

    Raises
    ------
    ValueError
        For negative weights, or no positive one.
    """
    if sample_weight is None:
        return None
    weight = check_array(
        column_or_1d(sample_weight), ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    check_length("sample_weight", weight, len(like))
    if weight.min() < 0:
        raise ValueError(
            f"sample_weight must not be negative, got {weight.min():g} in row {weight.argmin()}"
        )
    if not weight.any():
        raise ValueError("sample_weight is zero in all rows: at least one must be positive")
    return weight


def group_codes(groups, like) -> tuple[np.ndarray, pd.Index]:
    """The position of each row's group among the distinct ones, -1 where it is missing.

    Parameters
    ----------
    groups : array-like of shape (n_samples,)
        Strings, numbers, categories, a pandas or Polars column; None and NaN mean missing.
    like : array-like of shape (n_samples,)

    Returns
    -------
    codes : ndarray of shape (n_samples,)
    values : Index of shape (n_groups,)
    """
    if hasattr(groups, "to_pandas"):
        groups = as_series(groups)
    if not isinstance(groups, pd.Series):
        if np.ndim(groups) != 1:
            raise ValueError(
                f"groups must name one group per row, shape (n_samples,), got {np.ndim(groups)} "
                "dimensions: pass one column, or combine several into one"
            )
        groups = pd.Series(groups, dtype=None if hasattr(groups, "dtype") else object)
    check_consistent_length(like, groups)
    codes, values = pd.factorize(groups)
    return codes, pd.Index(values)


def sort_by_group(codes, n_groups, order) -> tuple[np.ndarray, np.ndarray]:
    """Move rows to their groups; within a group they keep the given order.

    Parameters
    ----------
    codes : ndarray of shape (n_samples,)
        The group of each row, from 0 to n_groups - 1.
    n_groups : int
    order : ndarray of shape (n,), n <= n_samples
        The rows to sort.

    Returns
    -------
    order : ndarray of shape (n,)
    first : ndarray of shape (n_groups,)
        Where in it each group begins.
    """
    # Building a sparse matrix by rows is a counting sort, which keeps the order within a group.
    cells = (np.broadcast_to(np.int8(1), len(order)), (codes[order], np.arange(len(order))))
    matrix = sparse.csr_array(sparse.coo_array(cells, shape=(n_groups, len(order))))
    return order[matrix.indices], matrix.indptr[:-1]
