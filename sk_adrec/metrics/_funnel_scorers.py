"""Scorers of multi-task models: each stage of a funnel on the rows where it means something."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from .._target import in_order, order_of_labels
from .._validation import check_choice
from ._checks import check_weights

_METRICS = ("ctr_auc", "cvr_auc", "ctcvr_auc", "joint_log_loss")


def make_funnel_scorer(metric="ctcvr_auc", *, stages=None):
    """Make a scorer of one aspect of a funnel's probabilities, for searches and cross-validation.

    It reads `predict_proba` only, so it also scores a Pipeline that ends in a multi-task model,
    and a calibrated one. Rows where a stage is not known (NaN) are left out where it counts.

    Parameters
    ----------
    metric : str, default="ctcvr_auc"
        - "ctr_auc": AUC of P(first stage) on all rows.
        - "cvr_auc": AUC of P(last stage | the one before it) on the rows that reached that one:
          conversion on clicked rows.
        - "ctcvr_auc": AUC of P(last stage) on all rows.
        - "joint_log_loss": minus the log loss of what happened to each row: of all its stages,
          as far as known. It judges levels too; the others judge order alone.
    stages : array-like, default=None
        All labels in funnel order, or the columns of a data frame that are the stages, in that
        order. None takes what the model says, or the order of y's dtype (ordered categories, a
        Polars Enum), or else sorts numbers and takes columns as they are; three or more labels
        that are text need it then.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)``, greater is better. With metadata routing,
        ``scorer.set_score_request(sample_weight=True)`` asks for weights. An AUC is NaN where only
        one label occurs.

    Raises
    ------
    ValueError
        Unknown metric. When it is called: y has other stages than the model, or probabilities that
        rise from one stage to the next.

    See Also
    --------
    sk_adrec.ESMMEstimator : Takes both kinds of target.

    Examples
    --------
    >>> from sklearn.model_selection import KFold, cross_validate
    >>> from sk_adrec import ESMMEstimator
    >>> from sk_adrec.datasets import make_ad_log
    >>> from sk_adrec.metrics import make_funnel_scorer
    >>> log = make_ad_log(3000, n_users=20, n_items=10, base_rate=0.3, random_state=0)
    >>> scoring = {name: make_funnel_scorer(name) for name in ("ctr_auc", "joint_log_loss")}
    >>> found = cross_validate(
    ...     ESMMEstimator(max_epochs=3, random_state=0), log.data, log.funnel, scoring=scoring,
    ...     cv=KFold(2),
    ... )
    >>> bool((found["test_ctr_auc"] > 0.6).all())
    True
    """
    check_choice("metric", metric, _METRICS)
    return _FunnelScorer(metric, stages)


class _FunnelScorer:
    """What scikit-learn asks of a scorer: the call, its metadata, and whether it takes weights."""

    def __init__(self, metric, stages):
        self.metric, self.stages = metric, stages
        self._request = MetadataRequest(owner="make_funnel_scorer")
        self._request.score.add_request(param="sample_weight", alias=None)

    def __call__(self, estimator, X, y, sample_weight=None):
        order = order_of_labels(y)
        y = y.to_pandas() if hasattr(y, "to_pandas") else y
        p = np.asarray(estimator.predict_proba(X), dtype=np.float64)
        if np.ndim(y) == 2:
            y, reached = self._columns(y, estimator), p
            if (np.diff(p, axis=1) > 1e-6).any():
                raise ValueError(
                    "the model's probabilities rise from one stage to the next, so they are not "
                    "those of a funnel: y of columns needs a multi-task model fitted on columns"
                )
        else:
            y, reached = self._columns_of_labels(np.asarray(y), p, estimator, order)
        weight = np.ones(len(y)) if sample_weight is None else check_weights(sample_weight, y)
        if y.shape != reached.shape:
            raise ValueError(
                f"{reached.shape[1]} stages are predicted, but y has {y.shape[1]}: fit and score "
                "with the same kind of target"
            )
        return _score(self.metric, y, reached, weight)

    def _columns(self, y, estimator):
        """Columns in funnel order, those of a frame found by name."""
        names = self.stages
        if names is None:
            names = _said_by_model(estimator, "task_names_")
        if names is not None and isinstance(y, pd.DataFrame):
            column = {str(name): name for name in y.columns}
            missing = [name for name in names if str(name) not in column]
            if missing:
                raise ValueError(
                    f"y must have the stages {list(names)} as columns, got {list(y.columns)}"
                )
            y = y[[column[str(name)] for name in names]]
        return pd.DataFrame(y).to_numpy(dtype=np.float64, na_value=np.nan)

    def _columns_of_labels(self, y, p, estimator, order):
        """Stages reached, and their probabilities, (n, K) each, from labels and theirs."""
        classes = estimator.classes_
        if p.shape[1] != len(classes) or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
            raise ValueError(
                "y holds labels, but the model was fitted on columns: pass these, or fit it on "
                "labels (funnel_target converts)"
            )
        stages = self.stages if self.stages is not None else _said_by_model(estimator, "stages")
        if stages is None:
            # A fold may hold a label that the training rows lacked: it was given no chance.
            labels = np.union1d(classes, y)
            if order is not None:
                labels = in_order(labels, order)
            elif len(labels) > 2 and labels.dtype.kind in "OUS":
                raise ValueError(
                    f"stages must give the order of the labels {labels.tolist()} in the funnel, "
                    "such as stages=['seen', 'click', 'purchase']"
                )
        else:
            labels = np.asarray(stages)
            unknown = np.setdiff1d(np.union1d(classes, y), labels)
            if len(unknown):
                raise ValueError(
                    f"stages must hold all labels, {labels.tolist()} lacks {unknown.tolist()[0]!r}"
                )
        column = {label: k for k, label in enumerate(classes.tolist())}
        nothing = np.zeros(len(p))
        each = [p[:, column[k]] if k in column else nothing for k in labels.tolist()]
        place = {label: k for k, label in enumerate(labels.tolist())}
        stage = np.array([place[label] for label in y.tolist()])
        reached = np.cumsum(np.column_stack(each)[:, ::-1], axis=1)[:, ::-1][:, 1:]
        return (stage[:, None] > np.arange(len(labels) - 1)).astype(np.float64), reached

    def __repr__(self):
        stages = "" if self.stages is None else f", stages={list(self.stages)}"
        return f"make_funnel_scorer({self.metric!r}{stages})"

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


def _said_by_model(estimator, name):
    """An attribute of a model, or of the one inside a Pipeline, a search or a calibrator."""
    while estimator is not None:
        value = getattr(estimator, name, None)
        if value is not None:
            return value
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            inner = getattr(estimator, "best_estimator_", None)
            estimator = getattr(estimator, "estimator", None) if inner is None else inner
    return None


def _score(metric, y, reached, weight):
    if metric == "joint_log_loss":
        return -_joint_log_loss(y, reached, weight)
    if metric == "ctr_auc":
        return _auc(y[:, 0], reached[:, 0], weight)
    if metric == "ctcvr_auc" or y.shape[1] == 1:
        return _auc(y[:, -1], reached[:, -1], weight)
    rows = (y[:, -2] == 1) & (weight > 0)
    before, last = reached[rows, -2], reached[rows, -1]
    given = np.divide(last, before, out=np.zeros_like(last), where=before > 0)
    return _auc(y[rows, -1], given, weight[rows])


def _auc(y, score, weight):
    known = ~np.isnan(y) & (weight > 0)
    if len(np.unique(y[known])) < 2:
        return np.nan
    return float(roc_auc_score(y[known], score[known], sample_weight=weight[known]))


def _joint_log_loss(y, reached, weight):
    """Mean of -log P(what is known of a row's stages); rows of which nothing is known left out.

    A row that has reached stage a for sure and has not reached stage b lies between them with
    probability P(a) - P(b).
    """
    n, K = y.shape
    row = np.arange(n)
    surely = np.where(y == 1, np.arange(1, K + 1), 0).max(axis=1)
    missed = np.where(y == 0, np.arange(1, K + 1), K + 1).min(axis=1)
    edges = np.column_stack([np.ones(n), reached, np.zeros(n)])
    p = edges[row, surely] - edges[row, missed]
    known = (surely > 0) | (missed <= K)
    if not weight[known].any():
        return np.nan
    smallest = np.finfo(np.float32).eps
    return float(np.average(-np.log(p[known].clip(smallest, 1)), weights=weight[known]))
