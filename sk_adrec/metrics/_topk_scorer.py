"""Top-k metrics as scorers for model selection: `scorer(estimator, X, y=None)`."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_consistent_length

from .._validation import check_choice, check_number, read_column
from ._checks import check_weights, group_codes
from ._hits import Items, read_items
from ._scorers import WeightedScorer
from ._topk import TOPK_METRICS, topk_score


def make_topk_scorer(metric="ndcg", *, k=10, **recommend_params):
    """Make a scorer that compares an estimator's `recommend` with the items of the test rows.

    Estimators with a parameter `user` (retrievers: their X is a log) are asked for k
    recommendations for each user of the test rows, who is right about the items of these rows, the
    ones labelled ``classes_[1]`` where there is y. All others (next item: a row is a history) are
    asked for k recommendations for each test row, and y holds the right items. The full catalogue
    is ranked; nothing is sampled.

    Parameters
    ----------
    metric : {"hit_rate", "map", "mrr", "ndcg", "precision", "recall"}, default="ndcg"
        The metric at k: :func:`ndcg_at_k` and so on. "recall" for candidates that are ranked
        again, "ndcg" for what is shown as it is.
    k : int, default=10
        How many items are recommended and looked at.
    **recommend_params
        Further arguments of the estimator's `recommend`: ``exclude_seen=False`` where users come
        back to the same items (groceries, music), ``candidates=`` to rank these items only.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None, sample_weight=None)``. A retriever's user weighs the mean of
        the weights of the test rows that name relevant items; rows of weight 0 are not there.
        With metadata routing, ``scorer.set_score_request(sample_weight=True)`` asks for weights.

    Raises
    ------
    ValueError
        Unknown metric, k below 1. When it is called: X is no data frame with the columns `user`
        and `item` of the retriever, or no row of it names a relevant item.
    TypeError
        When it is called with an estimator without `recommend`.

    See Also
    --------
    sk_adrec.model_selection.LeaveLastOut : Splits for it.

    Notes
    -----
    With ``exclude_seen=True``, the default of retrievers, an item of the training rows is never
    recommended to its user. A test row that repeats one is then no target, and a user with no other
    row is left out, as in a retriever's own `score`. Pass ``exclude_seen=False`` to ask for
    repeats as well. Where nothing is left, as on training rows (``return_train_score=True``), the
    score is 0, with a warning. An estimator of your own says which pairs it has seen by a method
    ``has_seen(users, items)``; without one all rows are targets.

    Examples
    --------
    What most rows hold, the same for everybody, as a small retriever:

    >>> import pandas as pd
    >>> from sklearn.base import BaseEstimator
    >>> from sklearn.model_selection import cross_val_score
    >>> from sk_adrec.metrics import make_topk_scorer
    >>> from sk_adrec.model_selection import LeaveLastOut
    >>> class MostPopular(BaseEstimator):
    ...     def __init__(self, user="user_id", item="item_id"):
    ...         self.user, self.item = user, item
    ...     def fit(self, X, y=None):
    ...         self.counts_ = X[self.item].value_counts()
    ...         return self
    ...     def recommend(self, users, k=10):
    ...         top = self.counts_[:k]
    ...         return [top.index.tolist()] * len(users), [top.tolist()] * len(users)
    >>> log = pd.DataFrame(
    ...     {"user_id": [1, 1, 1, 2, 2, 3, 3], "item_id": ["a", "b", "c", "a", "b", "b", "a"]}
    ... )

    The last items are c, b, a; before them a and b have two rows each.

    >>> scorer = make_topk_scorer("recall", k=2)
    >>> cross_val_score(MostPopular(), log, cv=LeaveLastOut(), scoring=scorer).round(4)
    array([0.6667])
    """
    check_choice("metric", metric, TOPK_METRICS)
    check_number("k", k, 1, integer=True)
    return _TopKScorer(metric, k, recommend_params)


class _TopKScorer(WeightedScorer):
    def __init__(self, metric, k, recommend_params):
        super().__init__(owner="make_topk_scorer")
        self.metric = metric
        self.k = k
        self.recommend_params = recommend_params

    def __call__(self, estimator, X, y=None, sample_weight=None):
        recommended, relevant, weight = recommend_for_rows(
            estimator, X, y, sample_weight, self.k, self.recommend_params
        )
        if isinstance(relevant, Items) and not len(relevant.codes):
            warnings.warn(
                "score is 0: X holds no pair of user and item that fit has not seen. Pass rows "
                "that were held out, or exclude_seen=False.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return 0.0
        return topk_score(self.metric, recommended, relevant, self.k, weight)

    def __repr__(self):
        further = "".join(f", {name}={value!r}" for name, value in self.recommend_params.items())
        return f"make_topk_scorer({self.metric!r}, k={self.k}{further})"


def recommend_for_rows(estimator, X, y, sample_weight, k, recommend_params):
    """Recommendations for the test rows' users, or rows, and what would have been right.

    Parameters
    ----------
    estimator : fitted estimator with `recommend`
    X, y, sample_weight : the test rows
    k : int
    recommend_params : dict

    Returns
    -------
    recommended : array-like of shape (n, k)
    relevant : Items or array-like of shape (n,)
    weight : ndarray of shape (n,) or None
    """
    if not hasattr(estimator, "recommend"):
        raise TypeError(
            f"top-k metrics need an estimator with a method recommend, and "
            f"{type(estimator).__name__} has none: pass a retriever or a next-item estimator"
        )
    if "user" in estimator.get_params(deep=False):
        users, relevant, weight = _relevant_by_user(
            estimator, X, y, sample_weight, recommend_params
        )
        return estimator.recommend(users, k=k, **recommend_params)[0], relevant, weight
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} has no parameter user, so each row is a history and y "
            "holds its next item, but y is None: pass y"
        )
    return estimator.recommend(X, k=k, **recommend_params)[0], y, sample_weight


def _relevant_by_user(estimator, X, y, sample_weight, recommend_params):
    """The users of the rows, their relevant items and their weights.

    A user all of whose items are seen has none.
    """
    user = read_column(X, estimator.user, "user", "of users")
    items = read_items(read_column(X, estimator.item, "item", "of items"), "the column of items")
    codes, users = group_codes(user, items.codes)
    keep = (codes >= 0) & (items.codes >= 0)
    if y is not None:
        check_consistent_length(X, y)
        keep &= np.asarray(y) == estimator.classes_[1]
    weight = check_weights(sample_weight, items.codes)
    if weight is not None:
        keep &= weight > 0
    if not keep.any():
        raise ValueError(
            f"none of the {len(keep)} test rows names a user and a relevant item (label "
            "classes_[1] where there is y, a positive weight): score rows that do"
        )
    asked = np.bincount(codes[keep], minlength=len(users)) > 0
    if recommend_params.get("exclude_seen", True) and hasattr(estimator, "has_seen"):
        rows = np.flatnonzero(keep)
        history = {name: recommend_params[name] for name in recommend_params if name == "history"}
        ids = np.asarray(items.values)[items.codes[rows]]
        keep[rows] = ~estimator.has_seen(users.to_numpy()[codes[rows]], ids, **history)
    # Rows by user, in the order of the users.
    order = np.argsort(codes[keep], kind="stable")
    counts = np.bincount(codes[keep], minlength=len(users))[asked]
    relevant = Items(counts, items.codes[keep][order], items.values)
    if weight is not None:
        total = np.bincount(codes[keep], weight[keep], len(users))[asked]
        weight = total / np.maximum(counts, 1)
    return users[asked].to_numpy(), relevant, weight
