"""What all rankers share: two classes, logits, probabilities."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from .._base import BaseTorchEstimator
from .._validation import check_choice
from ..losses import FocalLoss, LogLoss
from ._target import TwoClassesMixin, check_target, check_two_classes

# A validation loss this many times that of the base rate is no bad luck.
_WORSE = 1.1
_LOSSES = {"log_loss": LogLoss, "focal": FocalLoss}


class BaseRanker(TwoClassesMixin, BaseTorchEstimator):
    """One row per impression, y of two classes; the module returns a logit of shape (B,)."""

    def _check_target(self, y):
        return check_target(y)

    def _encode_target(self, y, weight, *, reset):
        if reset:
            self.classes_ = np.unique(y)
        check_two_classes(self.classes_, y)
        return (y == self.classes_[1]).astype(self.dtype)

    def _check_params(self):
        super()._check_params()
        check_choice("loss", self.loss, _LOSSES)

    def _make_loss(self):
        return _LOSSES[self.loss]()

    def _prior(self, y, weight):
        rate = np.average(y, weights=weight)
        return np.log(rate / (1 - rate)) if 0 < rate < 1 else np.zeros(())

    def _validation_metric(self):
        return "auc", _auc

    def _judge(self, valid_rows):
        y, weight = valid_rows.y, valid_rows.weight
        if valid_rows.rows is not None:
            y, weight = y[valid_rows.rows], weight[valid_rows.rows]
        rate = float(np.average(y, weights=weight))
        base, best = _entropy(rate), -max(self.validation_scores_)
        if self.loss == "log_loss" and best > _WORSE * base > 0:
            warnings.warn(
                f"The best validation loss is {best:.4g}, but predicting the base rate for every "
                f"row would give {base:.4g}. Lower lr, raise l2, or check that X_val went through "
                "the same steps as X (a Pipeline needs transform_input=['X_val']).",
                UserWarning,
                stacklevel=4,
            )

    def decision_function(self, X):
        """Logits of ``classes_[1]``.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,)
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


def _auc(logits, y, weight):
    return roc_auc_score(y, logits, sample_weight=weight) if 0 < y.mean() < 1 else np.nan
