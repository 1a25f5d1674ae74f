"""Scorers for model selection: `scorer(estimator, X, y)`, greater is better."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import make_scorer
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from .._validation import read_column
from ._calibration import expected_calibration_error, normalized_entropy_score
from ._gauc import gauc_score


def make_gauc_scorer(group="user_id"):
    """Make a scorer of :func:`gauc_score` that reads the groups from a column of X.

    It sees the rows as they are given to GridSearchCV or cross_val_score, before a Pipeline
    transforms them, so the column need not be one that the model uses.

    Parameters
    ----------
    group : str or int, default="user_id"
        Name of the column of a data frame, or position of one of an array.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``. With metadata routing,
        ``scorer.set_score_request(sample_weight=True)`` asks for weights.

    See Also
    --------
    gauc_score : The metric, and when it is NaN.

    Notes
    -----
    Where the groups are not in X, pass them as metadata:
    ``make_scorer(gauc_score, response_method="predict_proba").set_score_request(groups=True)``.

    Examples
    --------
    >>> from sklearn.compose import make_column_transformer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import OneHotEncoder
    >>> from sk_adrec.datasets import make_ad_log
    >>> from sk_adrec.metrics import make_gauc_scorer
    >>> X, y = make_ad_log(2000, n_users=30, random_state=0, return_X_y=True)
    >>> encoder = make_column_transformer(
    ...     (OneHotEncoder(handle_unknown="ignore"), ["item_id", "device"])
    ... )
    >>> model = make_pipeline(encoder, LogisticRegression())
    >>> scores = cross_val_score(model, X, y, scoring=make_gauc_scorer("user_id"), cv=3)
    >>> bool(scores.mean() > 0.55)
    True
    """
    return _GaucScorer(group)


def make_normalized_entropy_scorer():
    """Make a scorer of minus :func:`normalized_entropy_score`.

    Returns
    -------
    scorer : callable
        As :func:`sklearn.metrics.make_scorer` returns it; takes `sample_weight`.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_adrec.metrics import make_normalized_entropy_scorer
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    >>> scorer = make_normalized_entropy_scorer()
    >>> -1 < scorer(LogisticRegression().fit(X, y), X, y) < 0
    True
    """
    return make_scorer(
        normalized_entropy_score, response_method="predict_proba", greater_is_better=False
    )


def make_expected_calibration_error_scorer(*, n_bins=10, strategy="quantile"):
    """Make a scorer of minus :func:`expected_calibration_error`.

    A constant can be perfectly calibrated: look at it beside a scorer that ranks, do not select by
    it alone.

    Parameters
    ----------
    n_bins : int, default=10
    strategy : {"quantile", "uniform"}, default="quantile"

    Returns
    -------
    scorer : callable
        As :func:`sklearn.metrics.make_scorer` returns it; takes `sample_weight`.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sk_adrec.metrics import make_expected_calibration_error_scorer
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    >>> scorer = make_expected_calibration_error_scorer(n_bins=2)
    >>> abs(scorer(DummyClassifier().fit(X, y), X, y))
    0.0
    """
    return make_scorer(
        expected_calibration_error,
        response_method="predict_proba",
        greater_is_better=False,
        n_bins=n_bins,
        strategy=strategy,
    )


class WeightedScorer:
    """What scikit-learn asks of a scorer beside the call: that it takes `sample_weight`."""

    def __init__(self, owner):
        self._request = MetadataRequest(owner=owner)
        self._request.score.add_request(param="sample_weight", alias=None)

    def set_score_request(self, *, sample_weight):
        """Ask for `sample_weight` under metadata routing: True, False, None or another name."""
        self._request.score.add_request(param="sample_weight", alias=sample_weight)
        return self

    def get_metadata_routing(self):
        """The metadata that the scorer takes, as scikit-learn's meta-estimators ask for it."""
        return get_routing_for_object(self._request)

    def _accept_sample_weight(self):
        # Searches ask this of a scorer where metadata routing is off.
        return True


class _GaucScorer(WeightedScorer):
    def __init__(self, group):
        super().__init__(owner="make_gauc_scorer")
        self.group = group

    def __call__(self, estimator, X, y, sample_weight=None):
        groups = read_column(X, self.group)
        # By the estimator's own classes: a fold may hold one label only.
        clicked = np.asarray(y) == estimator.classes_[1]
        if hasattr(estimator, "decision_function"):
            score = estimator.decision_function(X)
        else:
            score = estimator.predict_proba(X)[:, 1]
        return gauc_score(clicked, score, groups, sample_weight=sample_weight)

    def __repr__(self):
        return f"make_gauc_scorer(group={self.group!r})"
