"""What all multi-task models share: the stages of a funnel, their loss and probabilities."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from scipy.special import expit, log_expit, logit
from sklearn.base import ClassifierMixin
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from .._base import BaseTorchEstimator
from .._validation import check_choice, check_number, check_weight, warn_if_worse_than_constant
from ..losses import EntireSpaceLoss
from ._target import (
    column_names,
    funnel_labels,
    labels_to_columns,
    read_target,
    stage_rates,
    warn_of_assumed_order,
    warn_of_selective_labels,
)


class BaseMultiTask(ClassifierMixin, BaseTorchEstimator):
    """One row per impression; the module returns K logits per row, shape (B, K).

    Column k holds the log odds of stage k for rows that have reached the stage before it. A
    subclass declares these hyper-parameters besides the base's: stages, on_inconsistent,
    loss_weights. A module may name its ``output_biases``, a parameter for each stage that is added
    to every logit of it: after training they are set such that the training rows' mean probability
    of each stage is its rate.

    Attributes
    ----------
    classes_ : ndarray
        For a target of columns ``arange(n_stages_)``; for labels the sorted labels.
    n_stages_ : int
        K.
    stage_names_ : list of str
        The columns of y, or the labels after the first.
    """

    # ---- target --------------------------------------------------------------------------

    def _check_rows(self, X, y, sample_weight, *, reset):
        if reset:
            self._columns_of_y = column_names(y, self.stages)
        return super()._check_rows(X, y, sample_weight, reset=reset)

    def _check_target(self, y):
        y = read_target(y, self._columns_of_y, self.on_inconsistent)
        if y.ndim == 1 and self._columns_of_y is not None:
            raise ValueError(
                f"y must have the columns of fit, {self._columns_of_y}, got one label per row: "
                "funnel_target converts"
            )
        return y

    def _encode_target(self, y, weight, *, reset):
        # In a first partial_fit `classes_` is given, the stages are not known yet.
        first = not hasattr(self, "n_stages_")
        if first:
            self._learn_stages(y, reset)
        if self._labels is not None:
            unseen = np.setdiff1d(y, self._labels)
            if len(unseen):
                raise ValueError(
                    f"y must hold the labels {self._labels.tolist()}, got {unseen.tolist()[0]!r}"
                )
            y = labels_to_columns(y, self._labels)
        if first and reset:
            self._check_that_stages_vary(y)
            warn_of_selective_labels(y, self.stage_names_)
        return y.astype(self.dtype)

    def _learn_stages(self, y, reset):
        """Set classes_, n_stages_, stage_names_, and _labels: in funnel order, None for columns."""
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
            self._labels = funnel_labels(self.classes_, self.stages)
            warn_of_assumed_order(self._labels, self.stages)
            self.classes_ = np.sort(self._labels)
            names = self._labels[1:].tolist()
            if not names:
                raise ValueError(
                    f"y must have two classes, got one class: {self.classes_.tolist()[0]!r} in all "
                    f"{len(y)} rows of positive weight"
                )
        self.n_stages_ = len(names)
        self.stage_names_ = [str(name) for name in names]
        weights = self._given_weights()
        if weights is not None and len(weights) != self.n_stages_:
            raise ValueError(
                f"loss_weights must have one weight for each of the {self.n_stages_} stages "
                f"{self.stage_names_}, got {self.loss_weights!r}"
            )

    def _check_that_stages_vary(self, y):
        for k, name in enumerate(self.stage_names_):
            known = y[~np.isnan(y[:, k]), k]
            if not len(known):
                raise ValueError(f"stage {name!r} of y is NaN in all rows: leave it out")
            # Of later stages a part of the rows may lack the 1: what is learned is their rarity.
            if k == 0 and known.min() == known.max():
                raise ValueError(
                    f"y must have two classes in its first stage, {name!r}, got one class: "
                    f"{known[0]:g} in all {len(known)} rows where it is known"
                )

    def _split(self, y, random_state, *, explicit):
        # By the last stage known to be reached, so that both parts have their share of each.
        if y.ndim == 1:
            y = labels_to_columns(y, funnel_labels(np.unique(y), self.stages))
        y = np.nansum(y, axis=1)
        return super()._split(y, random_state, explicit=explicit)

    # ---- training ------------------------------------------------------------------------

    def _check_params(self):
        super()._check_params()
        check_choice("on_inconsistent", self.on_inconsistent, ("raise", "fix"))
        if isinstance(self.loss_weights, str):
            check_choice("loss_weights", self.loss_weights, ("balanced",))
        weights = self._given_weights()
        for weight in () if weights is None else weights:
            check_number("each weight in loss_weights", weight, 0)
        if weights is not None and not any(weights):
            raise ValueError(
                f"loss_weights must have a weight above 0, got {self.loss_weights!r}: nothing "
                "would be learned"
            )

    def _given_weights(self):
        """The weights if they are numbers; None if they follow from the data."""
        return None if isinstance(self.loss_weights, str) else self.loss_weights

    def _make_loss(self):
        weights = self.loss_weights
        if weights is None:
            weights = [1.0] * self.n_stages_
        elif isinstance(weights, str):
            rates = np.cumprod(expit(self._prior_of_fit))
            entropy = -(rates * np.log(rates) + (1 - rates) * np.log1p(-rates))
            weights = entropy[0] / entropy
        return EntireSpaceLoss(weights)

    def _prior(self, y, weight):
        rates = np.nan_to_num(stage_rates(y, weight), nan=0.5)
        return logit(rates)

    def _validation_metrics(self):
        metrics = []
        for k, (given, reached) in enumerate(self._funnel_names()):
            metrics.append((f"{given}_auc", partial(_auc_given, k=k)))
            if reached != given:
                metrics.append((f"{reached}_auc", partial(_auc_reached, k=k)))
        return metrics

    def _judge(self, valid_rows):
        y, weight = valid_rows.labels
        constant = torch.from_numpy(np.tile(self._prior(y, weight), (len(y), 1)))
        base = self._make_loss()(constant, torch.from_numpy(y)).numpy()
        warn_if_worse_than_constant(
            -max(self.validation_scores_), float(np.average(base, weights=weight))
        )

    # ---- predictions ---------------------------------------------------------------------

    def predict_proba(self, X):
        """Probabilities of the stages, or of the labels, by the target of `fit`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows, as in fit; unseen ids and missing values are fine.

        Returns
        -------
        ndarray of shape (n_samples, n_stages) or (n_samples, n_classes)
            After a target of columns: the probability that a row reaches each stage, pCTR and
            pCTCVR for clicks and conversions; it never rises from one column to the next. After
            labels: the probability of each label, in the order of ``classes_``; rows sum to 1.
        """
        logits = self._forward(X)
        reached = np.cumprod(expit(logits), axis=1)
        if self._labels is None:
            return reached
        before = np.column_stack([np.ones_like(reached[:, 0]), reached[:, :-1]])
        # 1 - p would round the smaller probability to 0.
        p = np.column_stack([before * expit(-logits), reached[:, -1]])
        return p[:, np.argsort(self._labels)]

    def predict(self, X):
        """The stages that are more probably reached than not, or the most probable label.

        Where conversions are rare these are never the likelier outcome: use `predict_proba`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        ndarray of shape (n_samples, n_stages), 0 or 1, or (n_samples,)
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
        DataFrame of shape (n_samples, 2 * n_stages - 1)
            Of two stages: ``ctr``, ``cvr`` = P(conversion | click) and ``ctcvr`` = ctr cvr. Of
            one: ``ctr``. Of more, named "click", "cart", "purchase": ``p_click``,
            ``p_cart_given_click``, ``p_cart``, ``p_purchase_given_cart``, ``p_purchase``. With
            the index of X where it has one.
        """
        given = expit(self._forward(X))
        reached = np.cumprod(given, axis=1)
        columns = {}
        for k, (given_name, reached_name) in enumerate(self._funnel_names()):
            columns[given_name] = given[:, k]
            columns[reached_name] = reached[:, k]
        return pd.DataFrame(columns, index=X.index if isinstance(X, pd.DataFrame) else None)

    def score(self, X, y, sample_weight=None):
        """The share of rows whose stages are all predicted right: accuracy.

        Rare conversions hardly move it: select models by
        :func:`~sk_adrec.metrics.make_funnel_scorer`.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Raw rows that fit has not seen.
        y : array-like of shape (n_samples, n_stages) or (n_samples,)
            As in fit. Stages that are not known (NaN) are not counted against a prediction.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative.

        Returns
        -------
        float in [0, 1]

        Raises
        ------
        ValueError
            If no stage is known in any row, or y is not as in fit.
        """
        check_is_fitted(self)
        if self._labels is not None:
            return super().score(X, self._check_target(y), sample_weight)
        y = self._check_target(y)
        weight = check_weight(sample_weight, X, y)
        right = (self.predict(X) == y) | np.isnan(y)
        known = ~np.isnan(y).all(axis=1) & (weight > 0)
        if not known.any():
            raise ValueError("y must hold a known stage in some row, got NaN only")
        return float(np.average(right[known].all(axis=1), weights=weight[known]))

    def _funnel_names(self):
        """For each stage the names of P(stage | the one before) and of P(stage)."""
        names = self.stage_names_
        if self.n_stages_ <= 2:
            return [("ctr", "ctr"), ("cvr", "ctcvr")][: self.n_stages_]
        later = [(f"p_{b}_given_{a}", f"p_{b}") for a, b in pairwise(names)]
        return [(f"p_{names[0]}", f"p_{names[0]}"), *later]


def _auc_given(logits, y, weight, *, k):
    """AUC of P(stage k | the one before) on the rows that reached the one before."""
    rows = np.ones(len(y), dtype=bool) if k == 0 else y[:, k - 1] == 1
    return _auc(logits[rows, k], y[rows, k], weight[rows])


def _auc_reached(logits, y, weight, *, k):
    """AUC of P(stage k) on all rows."""
    return _auc(log_expit(logits[:, : k + 1]).sum(axis=1), y[:, k], weight)


def _auc(score, y, weight):
    known = ~np.isnan(y)
    y = y[known]
    if not 0 < y.sum() < len(y):
        return np.nan
    return roc_auc_score(y, score[known], sample_weight=weight[known])
