"""What retrievers share that score items by a user's history, and are learned in closed form."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np

from .._hyperparameters import KW_ONLY, Rule, check_parameters, hyperparameters
from .._target import check_target
from .._validation import (
    check_weight,
    drop_zero_weight,
    explain_unknown_arguments,
    unchanged_on_error,
)
from ..preprocessing._columns import read_table
from ._base import BaseRetriever
from ._lists.calibration import balance, draw, fit_curve
from ._lists.top_k import blocks, map_blocks, n_threads
from ._log.interactions import Interactions
from ._log.log import Log, read_labels
from ._log.roles import check_log, number_ids


def _check_n_jobs(name, value):
    if value is None:
        return
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value == 0:
        raise ValueError(f"{name} must be None or an integer other than 0, got {value!r}")


@hyperparameters
class BaseHistoryRetriever(BaseRetriever):
    """A retriever that scores items by a user's history of items.

    A model fills in three hooks: ``_learn``, ``_score_items`` and ``_similarity_to``; see
    :class:`BaseRetriever` for the others.

    Parameters
    ----------
    random_state : int, RandomState instance or None
        Seed of the pairs that probabilities are calibrated on. Nothing else is random. An int
        makes them reproducible.

    Attributes
    ----------
    score_curve_, popularity_curve_ : (ndarray, ndarray)
        Scores, or popularities of items for users without history, and their probabilities.
    """

    _: KW_ONLY
    n_jobs: Annotated[int | None, Rule(_check_n_jobs, "int")] = None
    random_state: Any = None

    @abstractmethod
    def _learn(self, interactions: Interactions) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Learn the model from all positives.

        Returns
        -------
        callable
            ``scores(users, items) -> ndarray of shape (n,)``: scores of pairs by a model and by
            histories that have not seen the pair, for the calibration.
        """

    @abstractmethod
    def _score_items(self, histories: Interactions) -> np.ndarray:
        """Scores of all items, as of ``_score_users``, by histories alone."""

    def _check_params(self) -> None:
        """Reject hyper-parameters out of range; extend for what binds several of them."""
        check_parameters(self)

    # ---- learning ------------------------------------------------------------------------

    @explain_unknown_arguments
    def fit(self, X, y=None, sample_weight=None):
        """Learn from a log.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            One row per interaction, with a column for each of the parameters that name one; other
            columns are not looked at. Rows without user or item are left out.
        y : array-like of shape (n_samples,), default=None
            Two labels, of which the one that sorts last is positive. 1 in all rows, or None, where
            all rows are positive.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight w counts as w rows; rows of weight 0 are left out.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X lacks a column, y has one class that is not 1, no row is positive, an item's id is
            the integer -1 (the null id of lists), or a parameter is out of range. The estimator
            stays as it was.
        TypeError
            If a column holds something that is no id, or no time.
        """
        with unchanged_on_error(self):
            self._check_params()
            for name in [name for name in vars(self) if name.endswith("_")]:
                delattr(self, name)
            self._fit(X, y, sample_weight, None, None)
        return self

    def partial_fit(self, X, y=None, sample_weight=None, *, classes=None):
        """Add interactions: the model is that of one `fit` on all rows so far, in this order.

        New users and items become known. Apart from reading rows it costs what that fit costs: one
        interaction changes the norm of its item, and so the neighbours of others.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array-like of shape (2,), default=None
            Both labels, needed in the first call if its y lacks one.

        Returns
        -------
        self
        """
        with unchanged_on_error(self):
            self._check_params()
            before = getattr(self, "log_", None)
            if before is not None:
                if classes is not None and list(np.unique(classes)) != list(self.classes_):
                    raise ValueError(
                        f"classes must be those of the first call, {self.classes_}, got {classes!r}"
                    )
                classes = self.classes_
            self._fit(X, y, sample_weight, classes, before)
        return self

    def _fit(self, X, y, sample_weight, classes, before: Log | None) -> None:
        roles = self._roles()
        X = check_log(self, X, reset=before is None, reads=roles.values())
        y = None if y is None else check_target(y)
        weight = check_weight(sample_weight, X, np.empty(X.shape[0]) if y is None else y)
        self.classes_, positive = read_labels(y, weight, classes)
        X, positive, weight = drop_zero_weight(X, positive, weight)
        self.log_ = Log.read(read_table(X), roles, positive, weight, before)
        self.popularity_ = self.log_.popularity_of(self.log_.items)
        self._calibrate(self._learn(self.log_.interactions))

    def _calibrate(self, scores_left_out) -> None:
        """Curves from scores, and from popularity, to probabilities.

        From positives of the log and its negatives; or, where it has none, as many random pairs: a
        user of a drawn positive with an item drawn uniformly. They come one to one.
        """
        rng, log, pairs = self._calibration_rng(), self.log_, self.log_.interactions
        rows = draw(rng, np.arange(len(pairs.items)))
        own = (pairs.users()[rows], pairs.items[rows], pairs.weight[rows].astype(np.float64))
        if log.negatives is None:
            others = (own[0], rng.integers(0, pairs.n_items, len(rows)), own[2])
        else:
            rows = draw(rng, np.arange(len(log.negatives[0])))
            others = tuple(part[rows] for part in log.negatives)
        self.base_rate_ = log.positive_rate
        positive, weight = balance(own[2], others[2], self.base_rate_)
        users, items = (np.concatenate(both) for both in zip(own[:2], others[:2]))
        own_weight = pairs.weight_of(users, items)
        popularity = self.popularity_[items] - own_weight / pairs.weight.sum(dtype=np.float64)
        curve = fit_curve(np.maximum(popularity, 0), positive, weight)
        self.popularity_curve_ = self.score_curve_ = curve
        known = pairs.lengths[users] > (own_weight > 0)
        if known.any():
            scores = scores_left_out(users[known], items[known])
            self.score_curve_ = fit_curve(scores, positive[known], weight[known])

    # ---- scores --------------------------------------------------------------------------

    def _score_users(self, block):
        return self._score_items(block.histories)

    def _score_pairs(self, pairs):
        users, items = (
            number_ids(vocabulary, ids)
            for vocabulary, ids in ((self.log_.users, pairs.users), (self.log_.items, pairs.items))
        )
        known = np.flatnonzero((self.log_.interactions.lengths_of(users) > 0) & (items >= 0))
        scores = np.full(len(users), np.nan)
        scores[known] = self._score_known(users[known], items[known])
        return scores

    def _search(self, users, k, exclude_seen=True, allowed=None):
        positions, scores = super()._search(users, k, exclude_seen, allowed)
        scores[~users.is_popular] /= self.log_.unit.mean
        return positions, scores

    def _n_threads_of_search(self):
        return n_threads(self.n_jobs)

    def _score_known(self, users, items) -> np.ndarray:
        """Scores of pairs of known users and items, shape (n,)."""
        distinct, row = np.unique(users, return_inverse=True)
        order = np.argsort(row, kind="stable")
        ends = np.append(0, np.cumsum(np.bincount(row, minlength=len(distinct))))
        scores = np.empty(len(users))

        def score(part):
            pairs = order[ends[part.start] : ends[part.stop]]
            found = self._score_items(self.log_.interactions.take(distinct[part]))
            scores[pairs] = found[row[pairs] - part.start, items[pairs]]

        map_blocks(score, blocks(len(distinct), self._n_items()), self._n_threads_of_search())
        return scores

    def __sklearn_is_fitted__(self):
        return hasattr(self, "log_")
