"""What retrievers on interactions share: the log, the probability, the score.

A model derives from :class:`BaseRetriever` and says how it learns from the interactions
(``_learn``), how it scores all items for a history (``_score_items``), and which items are
similar (``_similarity_to``).
"""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._target import check_target
from .._validation import (
    check_weight,
    drop_zero_weight,
    explain_unknown_arguments,
    unchanged_on_error,
)
from ..preprocessing._columns import read_table
from ._lists.calibration import Sample, fit_curve
from ._lists.ndcg import SCORE_K, mean_ndcg
from ._lists.search import HistorySearch
from ._lists.top_k import blocks, map_blocks, n_threads
from ._log.ids import read_ids
from ._log.interactions import Interactions
from ._log.log import Log, read_labels
from ._log.roles import check_log, role_positions


class BaseRetriever(ClassifierMixin, HistorySearch, BaseEstimator):
    """A retriever that scores items by a user's history of items.

    A subclass declares ``user``, ``item``, ``n_jobs`` and ``random_state`` in its ``__init__``,
    and fills in the hooks. Items are numbered by popularity, the most popular first: of equal
    scores the more popular item wins.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; ``classes_[1]`` is the positive one. [0, 1] without y.
    items_, users_ : ndarray of shape (n_items,) and (n_users,)
        Their ids; items by popularity, the most popular first, users sorted.
    popularity_ : ndarray of shape (n_items,)
        Share of each item in the positives' weight, descending.
    """

    # ---- hooks ---------------------------------------------------------------------------

    @abstractmethod
    def _learn(self, interactions: Interactions) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Learn the model from all positives.

        Returns
        -------
        callable
            ``scores(users, items) -> ndarray of shape (n,)``: scores of pairs by a model and by
            histories that have not seen the pair, for the calibration.
        """

    def _check_params(self) -> None:
        """Reject hyper-parameters out of range; extend for a model's own."""
        jobs = self.n_jobs
        if jobs is None:
            return
        if not isinstance(jobs, numbers.Integral) or isinstance(jobs, bool) or jobs == 0:
            raise ValueError(f"n_jobs must be None or an integer other than 0, got {jobs!r}")

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

    def _fit(self, X, y, sample_weight, classes, before) -> None:
        X, self.classes_, positive, weight = self._check_rows(
            X, y, sample_weight, classes, self._roles(), reset=before is None
        )
        X, positive, weight = drop_zero_weight(X, positive, weight)
        self.log_ = Log.read(read_table(X), self._roles(), positive, weight, before)
        pairs = self.log_.interactions
        total = np.bincount(pairs.items, pairs.weight, pairs.n_items)
        self.popularity_ = total / total.sum()
        self._calibrate(self._learn(pairs))

    def _check_rows(self, X, y, sample_weight, classes, roles, *, reset):
        """X, the two classes, and of each row whether it is positive and its weight."""
        X = check_log(self, X, reset=reset, reads=roles.values())
        y = None if y is None else check_target(y)
        weight = check_weight(sample_weight, X, np.empty(X.shape[0]) if y is None else y)
        return X, *read_labels(y, weight, classes), weight

    def _calibrate(self, scores_left_out) -> None:
        """Curves from scores, and from popularity, to probabilities."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        sample = Sample.draw(self.log_, np.random.default_rng(seed))
        pairs = self.log_.interactions
        own = pairs.weight_of(sample.users, sample.items)
        others = self.popularity_[sample.items] - own / pairs.weight.sum(dtype=np.float64)
        curve = fit_curve(np.maximum(others, 0), sample.positive, sample.weight)
        self.base_rate_, self.popularity_curve_, self.score_curve_ = sample.base_rate, curve, curve
        known = pairs.lengths[sample.users] > (own > 0)
        if known.any():
            scores = scores_left_out(sample.users[known], sample.items[known])
            self.score_curve_ = fit_curve(scores, sample.positive[known], sample.weight[known])

    # ---- probabilities -------------------------------------------------------------------

    def predict_proba(self, X):
        """Probability that a pair of user and item is positive.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in fit; a data frame may lack columns other than those of users and items.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            In the order of ``classes_``. With negatives in y: P(y = 1). Without: the probability
            that the pair comes from the log, and is not its user with an item drawn uniformly, one
            such pair for each of the log's. It is calibrated on scores that have not seen the pair.
            The items of a user without history are judged by their popularity; an item that fit
            did not see gets the base rate.

        Warns
        -----
        UserWarning
            If ids are strings where those of fit are numbers, or the reverse: none is known then.
        """
        check_is_fitted(self)
        X = check_log(self, X, reset=False, reads=self._pair_roles().values())
        user, item = self._read_pairs(X)
        users, items = self._user_codes(user), self._item_codes(item)
        cold = self.log_.interactions.lengths_of(users) == 0
        p = np.full(len(users), self.base_rate_)
        alone, both = cold & (items >= 0), ~cold & (items >= 0)
        p[alone] = np.interp(self.popularity_[items[alone]], *self.popularity_curve_)
        p[both] = np.interp(self._score_pairs(users[both], items[both]), *self.score_curve_)
        return np.column_stack([1 - p, p])

    def predict(self, X):
        """The more probable label of each row.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in fit; times are not looked at.

        Returns
        -------
        ndarray of shape (n_samples,)
            Where both are as probable, ``classes_[0]``; after a fit on positives alone
            ``classes_[1]``, so that a pair of which nothing is known counts as one of the log.
        """
        p = self.predict_proba(X)
        positive = p[:, 1] > p[:, 0]
        if self.log_.negatives is None:
            positive |= p[:, 1] == p[:, 0]
        return self.classes_[positive.astype(int)]

    def _read_pairs(self, X):
        """Users and items of rows; warns where they are of another type than those of fit."""
        table = read_table(X)
        at = role_positions(table, self._pair_roles())
        known = {"user": self.log_.users, "item": self.log_.items}
        return [read_ids(table, at[role], known[role]) for role in ("user", "item")]

    def _score_pairs(self, users, items) -> np.ndarray:
        """Scores of pairs of known users and items, shape (n,)."""
        distinct, row = np.unique(users, return_inverse=True)
        order = np.argsort(row, kind="stable")
        ends = np.append(0, np.cumsum(np.bincount(row, minlength=len(distinct))))
        scores = np.empty(len(users))

        def score(part):
            pairs = order[ends[part.start] : ends[part.stop]]
            found = self._score_items(self.log_.interactions.take(distinct[part]))
            scores[pairs] = found[row[pairs] - part.start, items[pairs]]

        map_blocks(score, blocks(len(distinct), self._n_items()), n_threads(self.n_jobs))
        return scores

    # ---- evaluation ----------------------------------------------------------------------

    def score(self, X, y=None, sample_weight=None):
        """NDCG@10 of held-out rows, the mean over their users.

        The positive rows of X are grouped by user, and compared with the ten items that
        `recommend` gives the user by what fit saw. Items that fit saw of the user are no target,
        since they are not recommended; users with no other item are left out. Users and items that
        fit did not see count like all others. With one held-out item per user it is the mean of
        1 / log2(1 + rank), 0 below rank 10.

        Parameters
        ----------
        X, y : as in `fit`
            Rows that fit has not seen; a data frame may lack columns other than those of users and
            items.
        sample_weight : array-like of shape (n_samples,), default=None
            A user counts with the mean weight of its rows.

        Returns
        -------
        float
            0 (with a warning) if no user is left.
        """
        check_is_fitted(self)
        X, _, target, weight = self._check_rows(
            X, y, sample_weight, self.classes_, self._pair_roles(), reset=False
        )
        user, item = self._read_pairs(X)
        users, items = self._user_codes(user), self._item_codes(item)
        target &= (weight > 0) & (user.codes >= 0) & (item.codes >= 0)
        target &= ~self.log_.interactions.contain(users, items)

        def lists(rows):
            return self._search(self.log_.interactions, users[rows], SCORE_K)[0]

        return mean_ndcg(target, user.codes, item.codes, items, weight, self._n_items(), lists)

    # ---- scikit-learn --------------------------------------------------------------------

    @property
    def items_(self):
        """Ids of the items, the most popular first."""
        check_is_fitted(self)
        return self.log_.items.values

    @property
    def users_(self):
        """Ids of the users, sorted."""
        check_is_fitted(self)
        return self.log_.users.values

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "log_" in state:
            state["log_"] = state["log_"].to_state()
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "log_" in state:
            state["log_"] = Log.from_state(state["log_"])
        super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "log_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # Ids say nothing about rows with other ids, as those of scikit-learn's checks are.
        tags.classifier_tags.poor_score = True
        tags.target_tags.required = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
