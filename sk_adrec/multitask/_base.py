"""What all multi-task models share: targets of several columns, their loss and probabilities."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._base import BaseTorchEstimator
from .._hyperparameters import KW_ONLY, Rule, hyperparameters
from .._log_estimator import ReadsColumns
from .._target import order_of_labels
from .._validation import (
    check_choice,
    check_number,
    check_weight,
    in_scale,
    warn_if_worse_than_constant,
)
from ._relations import Funnel, Relation, funnel_names
from ._target import labels_to_columns


def _check_loss_weights(name, value):
    if isinstance(value, str):
        check_choice(name, value, ("balanced",))
    elif value is not None:
        for weight in value:
            check_number(f"each weight in {name}", weight, 0)
        if not any(value):
            raise ValueError(
                f"{name} must have a weight above 0, got {value!r}: nothing would be learned"
            )


@hyperparameters
class BaseMultiTask(ClassifierMixin, ReadsColumns, BaseTorchEstimator):
    """One row per impression, K tasks; the module returns log odds of shape (B, K).

    What these are of, and what y may be, says the relation of the tasks, see
    :mod:`sk_adrec.multitask._relations`. A module may name its ``output_biases``, a parameter for
    each task that is added to every logit of it: after training they are set such that the training
    rows' mean probability of each task is its rate.

    Parameters
    ----------
    loss_weights : "balanced" or array-like of shape (n_tasks,)
        Weight of each task's cross-entropy in the loss. None weighs them alike: then the frequent
        task decides what the shared vectors learn, and when the training stops. "balanced" divides
        each by that of its base rate (the first task keeps weight 1): set it, or a larger last
        weight, where one is many times rarer than another.

    Attributes
    ----------
    classes_ : ndarray
        For a target of columns ``arange(n_tasks_)``, for labels the labels, sorted:
        `predict_proba` has a column for each.
    n_tasks_ : int
        K.
    task_names_ : list of str
        The columns of y, or the labels after the first.
    """

    _: KW_ONLY
    loss_weights: Annotated[Any, Rule(_check_loss_weights, "")] = None

    @property
    @abstractmethod
    def _relation(self) -> Relation:
        """How the tasks go together, by the hyper-parameters."""

    # ---- target --------------------------------------------------------------------------

    def _check_rows(self, X, y, sample_weight, *, reset):
        if reset:
            self._columns_of_y = self._relation.columns(y)
            self._order_of_y = order_of_labels(y)
        return super()._check_rows(X, y, sample_weight, reset=reset)

    def _check_target(self, y):
        return self._relation.read(y, self._columns_of_y)

    def _encode_target(self, y, weight, *, reset):
        # In a first partial_fit `classes_` is given, the tasks are not known yet.
        first = not hasattr(self, "task_names_")
        if first:
            self._learn_tasks(y, reset)
        if self._labels is not None:
            unseen = np.setdiff1d(y, self._labels)
            if len(unseen):
                raise ValueError(
                    f"y must hold the labels {self._labels.tolist()}, got {unseen.tolist()[0]!r}"
                )
            y = labels_to_columns(y, self._labels)
        if first and reset:
            self._relation.check(y, self.task_names_)
        return y.astype(self._dtype)

    def _learn_tasks(self, y, reset):
        """Set classes_, n_tasks_, task_names_, and _labels: in order, None for columns."""
        names = self._columns_of_y
        if names is not None:
            classes = np.arange(len(names))
            if not reset and not np.array_equal(self.classes_, classes):
                raise ValueError(
                    f"classes must be {classes} for a y of {len(names)} columns, "
                    f"got {self.classes_}"
                )
            self.classes_, self._labels = classes, None
        else:
            if reset:
                self.classes_ = np.unique(y)
            self._labels = self._relation.order(self.classes_, y, self._order_of_y)
            self.classes_ = np.sort(self._labels)
            names = self._labels[1:].tolist()
            if not names:
                raise ValueError(
                    f"y must have two classes, got one class: {self.classes_.tolist()[0]!r} in all "
                    f"{len(y)} rows of positive weight"
                )
        del self._order_of_y
        self.n_tasks_ = len(names)
        self.task_names_ = [str(name) for name in names]
        weights = None if isinstance(self.loss_weights, str) else self.loss_weights
        if weights is not None and len(weights) != self.n_tasks_:
            raise ValueError(
                f"loss_weights must have one weight for each of the {self.n_tasks_} "
                f"{self._relation.noun}s {self.task_names_}, got {self.loss_weights!r}"
            )

    def _split(self, y, random_state, *, explicit):
        strata = self._relation.strata(y, self._order_of_y)
        return super()._split(strata, random_state, explicit=explicit)

    # ---- training ------------------------------------------------------------------------

    def _make_loss(self, task):
        weights = self.loss_weights
        if weights is None:
            weights = [1.0] * self.n_tasks_
        elif isinstance(weights, str):
            rates = self._relation.probabilities(task.schema.prior[None])[0]
            entropy = -(rates * np.log(rates) + (1 - rates) * np.log1p(-rates))
            weights = entropy[0] / entropy
        return self._relation.loss(weights)

    def _prior_of(self, y, weight):
        return self._relation.log_odds(y, weight)

    def _validation_metrics(self, task):
        return self._relation.metrics(self.task_names_)

    def _judge(self, task):
        y, weight = task.valid.labels
        constant = torch.from_numpy(np.tile(self._prior_of(y, weight), (len(y), 1)))
        base = self._make_loss(task)(constant, torch.from_numpy(y)).numpy()
        warn_if_worse_than_constant(
            -max(self.validation_scores_), float(np.average(base, weights=weight))
        )

    # ---- predictions ---------------------------------------------------------------------

    def predict_proba(self, X):
        """Probabilities of the tasks, or of the labels, by the target of `fit`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows, as in fit; unseen ids and missing values are fine.

        Returns
        -------
        ndarray of shape (n_samples, n_tasks) or (n_samples, n_classes)
            After a target of columns: the probability of each task; in a funnel that a row reaches
            each stage, pCTR and pCTCVR for clicks and conversions, which never rises from one
            column to the next. After labels: the probability of each label, in the order of
            ``classes_``; rows sum to 1.
        """
        logits = self._forward(X)
        reached = self._relation.probabilities(logits)
        if self._labels is None:
            return reached
        before = np.column_stack([np.ones_like(reached[:, 0]), reached[:, :-1]])
        # 1 - p would round the smaller probability to 0.
        p = np.column_stack([before * expit(-logits), reached[:, -1]])
        return p[:, np.argsort(self._labels)]

    def predict(self, X):
        """The tasks whose 1 is more probable than their 0, or the most probable label.

        Where conversions are rare these are never the likelier outcome: use `predict_proba`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        ndarray of shape (n_samples, n_tasks), 0 or 1, or (n_samples,)
            As the target of `fit` was: columns or labels.
        """
        p = self.predict_proba(X)
        if self._labels is None:
            return (p > 0.5).astype(np.int64)
        return self.classes_[p.argmax(axis=1)]

    def predict_funnel(self, X):
        """Every probability of the funnel by name.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        DataFrame of shape (n_samples, 2 * n_tasks - 1)
            Of two stages: ``ctr``, ``cvr`` = P(conversion | click) and ``ctcvr`` = ctr cvr. Of
            one: ``ctr``. Of more, named "click", "cart", "purchase": ``p_click``,
            ``p_cart_given_click``, ``p_cart``, ``p_purchase_given_cart``, ``p_purchase``. With
            the index of X where it has one.

        Raises
        ------
        ValueError
            If the tasks are no funnel.
        """
        if not isinstance(self._relation, Funnel):
            raise ValueError(
                "predict_funnel needs stages that follow each other, and these tasks are "
                "independent: predict_proba has their probabilities"
            )
        given = expit(self._forward(X))
        reached = np.cumprod(given, axis=1)
        columns = {}
        for k, (given_name, reached_name) in enumerate(funnel_names(self.task_names_)):
            columns[given_name] = given[:, k]
            columns[reached_name] = reached[:, k]
        return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)

    def score(self, X, y, sample_weight=None):
        """The share of rows whose tasks are all predicted right: accuracy.

        Rare conversions hardly move it: select models by
        :func:`~sk_adrec.metrics.make_funnel_scorer`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows that fit has not seen.
        y : array-like of shape (n_samples, n_tasks) or (n_samples,)
            As in fit. Tasks that are not known (NaN) are not counted against a prediction.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative.

        Returns
        -------
        float in [0, 1]

        Raises
        ------
        ValueError
            If no task is known in any row, or y is not as in fit.
        """
        check_is_fitted(self)
        if self._labels is not None:
            return super().score(X, self._check_target(y), sample_weight)
        y = self._check_target(y)
        weight = in_scale(check_weight(sample_weight, X, y))
        right = (self.predict(X) == y) | np.isnan(y)
        known = ~np.isnan(y).all(axis=1) & (weight > 0)
        if not known.any():
            raise ValueError(f"y must hold a known {self._relation.noun} in some row, got NaN only")
        return float(np.average(right[known].all(axis=1), weights=weight[known]))
