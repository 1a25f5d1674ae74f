"""The label of a classifier: of any type; of a ranker: two classes, and how logits become them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets, type_of_target


def check_target(y) -> np.ndarray:
    """y as a classification target of shape (n_samples,); a column is ravelled with a warning."""
    y = column_or_1d(y, warn=True)
    if y.dtype.kind == "O" and pd.isna(y).any():
        raise ValueError(
            f"y must have a label in every row: it is missing (None or NaN) in row "
            f"{pd.isna(y).argmax()} and {pd.isna(y).sum() - 1} more. Drop those rows."
        )
    check_classification_targets(y)
    return y


def check_two_classes(classes: np.ndarray, y: np.ndarray) -> None:
    """Raise ValueError unless there are two classes and every label of y is one of them."""
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is "
            f"{type_of_target(y)}: y has {len(classes)} classes"
        )
    if len(classes) < 2:
        raise ValueError(
            f"y must have two classes, got one class: {classes[0]!r} in all "
            f"{len(y)} rows of positive weight"
        )
    unseen = np.setdiff1d(y, classes)
    if len(unseen):
        raise ValueError(f"y must hold the labels {classes}, got {unseen[0]!r}")


class TwoClassesMixin(ClassifierMixin):
    """For classifiers of two classes with ``decision_function``."""

    def predict(self, X):
        """The more probable label of each row.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels of ``classes_``: the second where its probability is above 1/2. Where clicks
            are rare that may be in no row: use `predict_proba`.
        """
        positive = self.decision_function(X) > 0
        return self.classes_[positive.astype(int)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags
