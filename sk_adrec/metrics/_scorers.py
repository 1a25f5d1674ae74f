"""Scorers for model selection: `scorer(estimator, X, y)`, greater is better."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
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

    Raises
    ------
    ValueError
        When it is called: X has no such column, or is an array and `group` no position in it.

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
        ``scorer(estimator, X, y, sample_weight=None)``, as :func:`make_gauc_scorer` returns it. The
        positive label is ``estimator.classes_[1]``, in folds of one label too.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_adrec.metrics import make_normalized_entropy_scorer
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    >>> scorer = make_normalized_entropy_scorer()
    >>> -1 < scorer(LogisticRegression().fit(X, y), X, y) < 0
    True
    """
    return _LossScorer("make_normalized_entropy_scorer()", normalized_entropy_score, {})


def make_expected_calibration_error_scorer(*, n_bins=10, strategy="quantile"):
    """Make a scorer of minus :func:`expected_calibration_error`.

    A constant can be perfectly calibrated: look at it beside a scorer that ranks, do not select by
    it alone.

    Parameters
    ----------
    n_bins : int, default=10
        More bins find finer errors, and count more noise as error: fewer for small folds.
    strategy : {"quantile", "uniform"}, default="quantile"
        Bins of equal weight, or of equal width, which put almost all rows into one where clicks
        are rare.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``, as :func:`make_gauc_scorer` returns it. The
        positive label is ``estimator.classes_[1]``, in folds of one label too.

    Raises
    ------
    ValueError
        When it is called: `n_bins` is not a positive integer, or `strategy` is unknown.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from sk_adrec.metrics import make_expected_calibration_error_scorer
    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
    >>> scorer = make_expected_calibration_error_scorer(n_bins=2)
    >>> abs(scorer(DummyClassifier().fit(X, y), X, y))
    0.0
    """
    name = f"make_expected_calibration_error_scorer(n_bins={n_bins!r}, strategy={strategy!r})"
    params = {"n_bins": n_bins, "strategy": strategy}
    return _LossScorer(name, expected_calibration_error, params)


class WeightedScorer:
    """What scikit-learn asks of a scorer beside the call: its name, and that it takes weights."""

    def __init__(self, owner):
        self._name = owner
        self._request = MetadataRequest(owner=owner)
        self._request.score.add_request(param="sample_weight", alias=None)

    def __repr__(self):
        return self._name

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
        super().__init__(f"make_gauc_scorer(group={group!r})")
        self.group = group

    def __call__(self, estimator, X, y, sample_weight=None):
        groups = read_column(X, self.group)
        clicked = is_second_class(estimator, y)
        if hasattr(estimator, "decision_function"):
            score = estimator.decision_function(X)
        else:
            score = estimator.predict_proba(X)[:, 1]
        return gauc_score(clicked, score, groups, sample_weight=sample_weight)


class _LossScorer(WeightedScorer):
    """Minus a metric of the probabilities of ``classes_[1]``."""

    def __init__(self, name, metric, params):
        super().__init__(name)
        self._metric = metric
        self._params = params

    def __call__(self, estimator, X, y, sample_weight=None):
        clicked = is_second_class(estimator, y)
        p = estimator.predict_proba(X)[:, 1]
        return -self._metric(clicked, p, sample_weight=sample_weight, **self._params)


def is_second_class(estimator, y) -> np.ndarray:
    """Whether each label is the positive one by the estimator's own classes.

    A fold may hold one label only, which by itself does not say whether it is the positive one.
    """
    classes = estimator.classes_
    if len(classes) != 2:
        raise ValueError(
            f"the scorer needs an estimator of two classes, {type(estimator).__name__} has "
            f"{len(classes)}: {list(classes)}. Train it on rows of both labels"
        )
    y = column_or_1d(y)
    unseen = set(pd.unique(y).tolist()) - set(np.asarray(classes).tolist())
    if unseen:
        raise ValueError(
            f"y must hold the labels that {type(estimator).__name__} was trained on, "
            f"{list(classes)}, got {next(iter(unseen))!r}"
        )
    return y == classes[1]
