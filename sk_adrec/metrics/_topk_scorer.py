"""Top-k metrics as scorers for model selection: `scorer(estimator, X, y=None)`."""

from __future__ import annotations

from .._validation import check_choice, check_number
from ._scorers import WeightedScorer
from ._topk import TOPK_METRICS, topk_score
from ._topk_rows import recommend_for_rows, warn_all_seen


def make_topk_scorer(metric="ndcg", *, k=10, **recommend_params):
    """Make a scorer that compares an estimator's `recommend` with the items of the test rows.

    Estimators with a parameter `user` (retrievers: their X is a log) are asked for k
    recommendations for each user of the test rows, who is right about the items of these rows, the
    ones labelled ``classes_[1]`` where there is y. All others (next item: a row is a history) are
    asked for k recommendations for each test row, and y holds the right items. The full catalogue
    is ranked; nothing is sampled. Of a Pipeline the last step is asked, by what the steps before
    make of X.

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

    A :class:`~sk_adrec.TwoTowerRetriever` is asked as in its own `score`: by the features that the
    user has in the first of these rows, so that new users are served by their attributes. All
    others are asked by id.

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
        (case,) = recommend_for_rows(
            [estimator], X, y, sample_weight, self.k, self.recommend_params
        )
        if case.is_empty:
            warn_all_seen("score is 0")
            return 0.0
        return topk_score(self.metric, case.recommended, case.relevant, self.k, case.weight)

    def __repr__(self):
        further = "".join(f", {name}={value!r}" for name, value in self.recommend_params.items())
        return f"make_topk_scorer({self.metric!r}, k={self.k}{further})"
