"""What test rows ask of an estimator's `recommend`, and which items of them would be right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.pipeline import Pipeline
from sklearn.utils import check_consistent_length

from .._validation import read_column
from .._warnings import warn
from ._checks import check_weights, group_codes
from ._hits import Items, read_items


class Case(NamedTuple):
    """Recommendations of one estimator, and what would have been right.

    Parameters
    ----------
    recommended : array-like of shape (n, k), or None where nothing is relevant
    relevant : Items or array-like of shape (n,)
    weight : ndarray of shape (n,) or None
    """

    recommended: Any
    relevant: Any
    weight: np.ndarray | None

    @property
    def is_empty(self) -> bool:
        """Whether fit has seen all that the rows ask for."""
        return self.recommended is None


def recommend_for_rows(
    estimators: Sequence, X, y, sample_weight, k, recommend_params
) -> list[Case]:
    """Recommendations of estimators for the same test rows, by user or by row.

    A row is a target of all retrievers, or of none: pairs that one of them has seen are left out.

    Parameters
    ----------
    estimators : sequence of fitted estimators or Pipelines with `recommend`
    X, y, sample_weight : the test rows
    k : int
    recommend_params : dict
    """
    asked = [_last_step(estimator, X) for estimator in estimators]
    logs = [
        _LogRows(model, rows, y, sample_weight) if _is_retriever(model) else None
        for model, rows in asked
    ]
    retrievers = [log for log in logs if log is not None]
    if retrievers:
        keep = np.all([log.keep for log in retrievers], axis=0)
        if recommend_params.get("exclude_seen", True):
            keep &= ~np.any([log.seen(recommend_params) for log in retrievers], axis=0)
        for log in retrievers:
            log.keep = keep
    return [
        _recommend_by_row(model, rows, y, sample_weight, k, recommend_params)
        if log is None
        else log.recommend(k, recommend_params)
        for (model, rows), log in zip(asked, logs)
    ]


def warn_all_seen(what: str) -> None:
    """Warn that there is nothing to find in the rows."""
    warn(
        f"{what}: X holds no pair of user and item that fit has not seen. Pass rows that were held "
        "out, or exclude_seen=False.",
        UndefinedMetricWarning,
    )


def _last_step(estimator, X):
    """The estimator that recommends, and X as it gets it: what a Pipeline makes of X."""
    name = type(estimator).__name__
    while isinstance(estimator, Pipeline):
        for _, step in estimator.steps[:-1]:
            if step is not None and not isinstance(step, str):  # "passthrough"
                X = step.transform(X)
        estimator = estimator.steps[-1][1]
        name = f"{name} of {type(estimator).__name__}"
    if not hasattr(estimator, "recommend"):
        raise TypeError(
            f"top-k metrics need an estimator with a method recommend, and {name} has none: pass a "
            "retriever or a next-item estimator"
        )
    return estimator, X


def _is_retriever(model) -> bool:
    return "user" in model.get_params(deep=False)


def _recommend_by_row(model, X, y, sample_weight, k, recommend_params) -> Case:
    if y is None:
        raise ValueError(
            f"{type(model).__name__} has no parameter user, so each row is a history and y "
            "holds its next item, but y is None: pass y"
        )
    return Case(model.recommend(X, k=k, **recommend_params)[0], y, sample_weight)


class _LogRows:
    """Test rows as a retriever reads them.

    Attributes
    ----------
    items : Items
        One per row.
    users : Index of shape (n_users,)
    codes : ndarray of shape (n_samples,)
        The user of each row among `users`, -1 missing.
    keep : ndarray of shape (n_samples,), bool
        Rows whose item is to be found.
    """

    def __init__(self, model, X, y, sample_weight):
        self.model, self.X = model, X
        user = read_column(X, model.user, "user", "of users")
        items = read_column(X, model.item, "item", "of items")
        self.items = read_items(items, "the column of items")
        self.codes, self.users = group_codes(user, self.items.codes)
        self.keep = (self.codes >= 0) & (self.items.codes >= 0)
        if y is not None:
            check_consistent_length(X, y)
            self.keep &= np.asarray(y) == model.classes_[1]
        self.weight = check_weights(sample_weight, self.items.codes)
        if self.weight is not None:
            self.keep &= self.weight > 0
        if not self.keep.any():
            raise ValueError(
                f"none of the {len(self.keep)} test rows names a user and a relevant item (label "
                "classes_[1] where there is y, a positive weight): score rows that do"
            )

    def seen(self, recommend_params) -> np.ndarray:
        """Which rows hold a pair that the model will not recommend, bool of shape (n_samples,)."""
        seen = np.zeros(len(self.keep), dtype=bool)
        if hasattr(self.model, "has_seen"):
            rows = np.flatnonzero(self.keep)
            history = {
                name: recommend_params[name] for name in recommend_params if name == "history"
            }
            users = self.users.to_numpy()[self.codes[rows]]
            ids = np.asarray(self.items.values)[self.items.codes[rows]]
            seen[rows] = self.model.has_seen(users, ids, **history)
        return seen

    def recommend(self, k, recommend_params) -> Case:
        """Of each user with a row to be found."""
        rows = np.flatnonzero(self.keep)
        users, first, counts = np.unique(self.codes[rows], return_index=True, return_counts=True)
        # Rows by user, in the order of the users.
        order = rows[np.argsort(self.codes[rows], kind="stable")]
        relevant = Items(counts, self.items.codes[order], self.items.values)
        if not len(users):
            return Case(None, relevant, None)
        weight = None
        if self.weight is not None:
            weight = np.bincount(self.codes[rows], self.weight[rows])[users] / counts
        if hasattr(self.model, "_users_of_rows"):
            asked = self.model._users_of_rows(self.X, rows[first])
        else:
            asked = self.users[users].to_numpy()
        return Case(self.model.recommend(asked, k=k, **recommend_params)[0], relevant, weight)
