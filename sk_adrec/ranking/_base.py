"""What all rankers share: two classes, logits, probabilities."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from .._base import BaseTorchEstimator
from .._hyperparameters import KW_ONLY, hyperparameters, one_of
from .._log_estimator import ReadsColumns
from .._target import TwoClassesMixin, check_target, check_two_classes
from .._validation import warn_if_worse_than_constant
from ..losses import FocalLoss, LogLoss

_LOSSES = {"log_loss": LogLoss, "focal": FocalLoss}


@hyperparameters
class BaseRanker(TwoClassesMixin, ReadsColumns, BaseTorchEstimator):
    """One row per impression, y of two classes; the module returns a logit of shape (B,).

    A module may name its ``output_biases``, a sequence of one parameter that is added to every
    logit: after training with the log loss it is set such that the mean probability of the
    training rows is their base rate.

    Parameters
    ----------
    loss
        "focal" looks less at easy rows: try it where only the order counts, since its
        probabilities need calibration.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted; probabilities and logits are of ``classes_[1]`` where one is asked.
    """

    _: KW_ONLY
    loss: Annotated[str, one_of(*_LOSSES)] = "log_loss"

    def _check_target(self, y):
        return check_target(y)

    def _encode_target(self, y, weight, *, reset):
        if reset:
            self.classes_ = np.unique(y)
        check_two_classes(self.classes_, y)
        return (y == self.classes_[1]).astype(self._dtype)

    def _make_loss(self, task):
        return _LOSSES[self.loss]()

    def _prior_of(self, y, weight):
        rate = np.average(y, weights=weight)
        return np.log(rate / (1 - rate)) if 0 < rate < 1 else np.zeros(())

    def _validation_metrics(self, task):
        return [("auc", _auc)]

    def _judge(self, task):
        if self.loss == "log_loss":
            y, weight = task.valid.labels
            base = _entropy(float(np.average(y, weights=weight)))
            warn_if_worse_than_constant(-max(self.validation_scores_), base)

    def decision_function(self, X):
        """Logits of ``classes_[1]``.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
            Log odds, any real number.
        """
        return self._forward(X)

    def predict_proba(self, X):
        """Probabilities of both classes, in the order of ``classes_``.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit; unseen ids and missing values are fine.

        Returns
        -------
        ndarray of shape (n_samples, 2)
        """
        logits = self._forward(X)
        # 1 - p would round the smaller probability to 0.
        return np.column_stack([expit(-logits), expit(logits)])


def _entropy(rate):
    return -rate * np.log(rate) - (1 - rate) * np.log1p(-rate) if 0 < rate < 1 else 0.0


def _auc(module, logits, y, weight):
    return roc_auc_score(y, logits, sample_weight=weight) if 0 < y.mean() < 1 else np.nan
