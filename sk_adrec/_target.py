"""The label of a classifier: of any type; of a ranker: two classes, and how logits become them."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
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


def order_of_labels(y) -> np.ndarray | None:
    """The labels that the dtype of y may hold, in its order; None where it has none.

    An order have pandas' and Arrow's ordered categories, and Polars' Enum. A frame of one column is
    that column.
    """
    if hasattr(y, "columns") and y.shape[1] == 1:
        y = y.iloc[:, 0] if hasattr(y, "iloc") else y[y.columns[0]]
    dtype: Any = getattr(y, "dtype", None)
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype.categories.to_numpy() if dtype.ordered else None
    if nw.dependencies.is_polars_series(y):
        is_enum = isinstance(nw.from_native(y, series_only=True).dtype, nw.Enum)
        return dtype.categories.to_numpy() if is_enum else None
    arrow = getattr(dtype, "pyarrow_dtype", getattr(y, "type", None))
    if isinstance(arrow, pa.DictionaryType) and arrow.ordered:
        column = pa.chunked_array(pa.array(y) if hasattr(y, "iloc") else y).unify_dictionaries()
        return column.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    return None


def in_order(classes: np.ndarray, order: np.ndarray) -> np.ndarray:
    """The classes in the order that the dtype of y has.

    Raises
    ------
    ValueError
        If the dtype lacks one.
    """
    place = {label: k for k, label in enumerate(order.tolist())}
    unknown = [label for label in classes.tolist() if label not in place]
    if unknown:
        raise ValueError(
            f"classes must be categories of y, whose order they take, {order.tolist()}, got "
            f"{unknown[0]!r}"
        )
    return classes[np.argsort([place[label] for label in classes.tolist()])]


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
