"""What every model of a raw log does, be it a network or trees: check rows, encode, hold out."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from ._hyperparameters import (
    KW_ONLY,
    Count,
    Part,
    Positive,
    SwitchOrAuto,
    check_parameters,
    hyperparameters,
)
from ._state import FileState
from ._validation import (
    EARLY_STOPPING_ROWS,
    check_rows,
    check_validation_arguments,
    check_X,
    explain_unknown_arguments,
    unchanged_on_error,
)
from .preprocessing._encoded import Encoded
from .preprocessing._log_encoder import LogEncoder
from .preprocessing._schema import refuse_ids_in_sparse


@dataclass(frozen=True)
class LogRows:
    """Rows of positive weight, checked.

    Parameters
    ----------
    X : data frame, ndarray or csr_matrix
    y : as the estimator's ``_check_target`` returns it
    weight : ndarray of shape (n,), float64
    is_weighted : bool
        Whether weights were given.
    """

    X: Any
    y: Any
    weight: np.ndarray
    is_weighted: bool


@dataclass(frozen=True)
class Validation:
    """The rows that `fit` was given to stop early on, or None each."""

    X: Any = None
    y: Any = None
    sample_weight: Any = None

    @property
    def given(self) -> bool:
        return self.X is not None


@hyperparameters
class LogEstimator(FileState, BaseEstimator, metaclass=ABCMeta):
    """An estimator on raw logs.

    Parameters
    ----------
    min_frequency : int or float
        Ids with less total weight in fit count as unknown: a row of weight 3 is three rows, so
        that another unit of the weights asks for another number. A float below 1 is a share of
        the column's weight, and 1 knows every id, in any unit. Raise it when rare ids overfit.
    max_len
        Entries kept of a list, the most recent (last) ones. Raise it where old ones still tell
        something; time and memory grow with the entries kept.
    early_stopping
        Stop when the loss on validation rows no longer falls, and restore the best epoch. "auto"
        is True above 1,000 rows and wherever fit gets `X_val`. False with `X_val` only records
        the validation loss.
    validation_fraction : float in (0, 1)
        Share of the rows, drawn at random, to stop early on where fit gets no `X_val`. A log has
        an order: better give later rows as `X_val`.
    n_iter_no_change
        Epochs without improvement before the training stops. Raise it where few validation rows
        are positive, and their loss is noisy.
    random_state : int, RandomState instance or None
        Seed of the initial vectors, of shuffling and of dropout. An int makes fits reproducible.

    Attributes
    ----------
    encoder_ : LogEncoder or None
        Column types, vocabularies, moments; None after a fit on a scipy matrix.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    """

    _: KW_ONLY
    min_frequency: Positive = 1
    max_len: Count = 50
    early_stopping: SwitchOrAuto = "auto"
    validation_fraction: Part = 0.1
    n_iter_no_change: Count = 2
    random_state: Any = None

    #: The fitted attribute without which there is no model.
    _fitted: ClassVar[str]
    #: Whether X may be a scipy matrix.
    _takes_sparse: ClassVar[bool] = False

    @abstractmethod
    def _learn(self, rows: LogRows, validation: Validation, classes) -> None:
        """Learn from checked rows; `classes` are those of a first partial_fit, or None."""

    @abstractmethod
    def _check_target(self, y):
        """Reject a y of the wrong shape or kind before anything is learned."""

    # ---- fit -----------------------------------------------------------------------------

    @explain_unknown_arguments
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn encoders and model from a log.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            The raw log; see the data contract for what each dtype becomes.
        y : array-like of shape (n_samples,), for multi-task models also (n_samples, n_tasks)
            Two labels; the next item for models of those; of several tasks their columns.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight counts like that many repetitions of its row, rows of weight 0 are left out.
        X_val, y_val, sample_weight_val : default=None
            Rows to stop early on, instead of a random part of X: for a log, later rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Input or hyper-parameters out of contract. The estimator then is as it was before.
        """
        with unchanged_on_error(self):
            self._fit(X, y, sample_weight, Validation(X_val, y_val, sample_weight_val))
        return self

    def _fit(self, X, y, sample_weight, validation=Validation(), classes=None) -> None:
        self._check_params()
        check_validation_arguments(validation.X, validation.y, validation.sample_weight)
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        X, y, weight = self._check_rows(X, y, sample_weight, reset=True)
        self._learn(LogRows(X, y, weight, sample_weight is not None), validation, classes)

    def _check_params(self) -> None:
        """Reject hyper-parameters out of range; extend for what binds several of them."""
        check_parameters(self)

    def _check_rows(self, X, y, sample_weight, *, reset):
        """X, y and float64 weights of the rows of positive weight."""
        return check_rows(self, X, y, sample_weight, self._check_target, reset=reset)

    def _stops_early(self, n_rows: int) -> bool:
        """Whether a part of n rows is to be held out, where `fit` gets no validation rows."""
        stop = self.early_stopping
        return n_rows > EARLY_STOPPING_ROWS if stop == "auto" else bool(stop)

    # ---- columns -------------------------------------------------------------------------

    @property
    def _dtype(self) -> Any:
        """Of numbers."""
        return "float64"

    def _encode(self, X) -> Encoded:
        """Rows in the columns of fit."""
        if self.encoder_ is None:
            X = X if hasattr(X, "tocsr") else sparse.csr_matrix(np.asarray(X))
            return Encoded.of_sparse(X, self._dtype)
        return self.encoder_.transform(X.toarray() if hasattr(X, "tocsr") else X)

    def _encode_raw(self, X) -> Encoded:
        """Rows that a user asks about."""
        check_is_fitted(self)
        return self._encode(check_X(self, X, reset=False))

    # ---- scikit-learn --------------------------------------------------------------------

    def __sklearn_is_fitted__(self):
        return self._fitted in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = self._takes_sparse
        return tags


@hyperparameters
class ReadsColumns:
    """For models of columns: which of them are ids, and whose ids.

    Parameters
    ----------
    categorical_features : "from_dtype" or array-like of str, int or bool
        Columns whose numbers are ids, by name, position or mask; columns of strings and
        categories are ids anyway. Set it when ids are integers.
    share_vocabulary : dict of str to str
        Columns that use the ids, and the vectors, of another:
        ``{"hist_item_id": "item_id"}``. Set it for histories.
    """

    _: KW_ONLY
    categorical_features: Any = "from_dtype"
    share_vocabulary: Any = None

    def _learn_columns(self: Any, X, weight) -> Encoded:
        """Learn columns and vocabularies, those of positive weight: sets ``encoder_``."""
        self.encoder_: Any = None
        if hasattr(X, "tocsr"):
            refuse_ids_in_sparse(self.categorical_features, self.share_vocabulary, X.shape[1])
            return self._encode(X)
        self.encoder_ = self._make_encoder()
        return self.encoder_.fit_transform(X, sample_weight=weight)

    def _make_encoder(self: Any) -> LogEncoder:
        return LogEncoder(
            categorical_features=self.categorical_features,
            share_vocabulary=self.share_vocabulary,
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype=self._dtype,
        )
