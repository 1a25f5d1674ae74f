"""The way from a raw log to a trained network: validate, encode, build, train, predict.

A model derives from :class:`BaseTorchEstimator` and fills in the hooks: what y means
(``_encode_target``), the torch module (``_build_module``), the loss (``_make_loss``), and how
outputs become predictions (its own ``predict_proba``).
"""

from __future__ import annotations

import copy
from abc import ABCMeta, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._batches import TrainingRows, forward_batches
from ._files import NetFiles, plain_params
from ._level import settle
from ._net import LogNet, ProgressBar, RestoreBest
from ._validation import (
    EARLY_STOPPING_ROWS,
    check_choice,
    check_number,
    check_rows,
    check_validation_arguments,
    check_X,
    explain_unknown_arguments,
    split_rows,
    unchanged_on_error,
)
from .nn import FusedEmbedding, RowSparseAdam
from .preprocessing._encoded import Encoded, Schema
from .preprocessing._log_encoder import LogEncoder
from .preprocessing._schema import refuse_ids_in_sparse

# Rows scored at once: large enough for the fixed cost of a batch, small enough for the cache.
_PREDICT_BATCH = 16_384
# batch_size="auto": so many steps per pass, within these numbers of rows.
_STEPS_PER_EPOCH, _BATCH_RANGE = 200, (64, 4096)
# How far one pass of partial_fit may put the level of predictions off, in log odds.
_SPREAD = 0.1
_OWN_NET_PARAMS = {
    "module", "criterion", "optimizer", "lr", "max_epochs", "batch_size", "callbacks", "device",
    "train_split", "verbose", "valid_rows", "metrics", "rng", "id_dropout", "progress_title",
    "n_threads", "valid_batch_size",
}  # fmt: skip


class BaseTorchEstimator(NetFiles, metaclass=ABCMeta):
    """An estimator on raw logs whose model is a torch module.

    A subclass declares these hyper-parameters in its own ``__init__``: categorical_features,
    share_vocabulary, min_frequency, id_dropout, max_len, l2, optimizer, lr, batch_size,
    max_epochs, early_stopping, validation_fraction, n_iter_no_change, grow_vocabulary, device,
    dtype, random_state, verbose, callbacks, net_params.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    encoder_ : LogEncoder
        Column types, vocabularies and moments.
    loss_curve_ : list of float
        Training loss per epoch.
    validation_scores_ : list of float or None
        Minus the validation loss per epoch, or the metric where a model stops early on that;
        None without validation rows.
    n_iter_ : int
        Epochs run, those after the best one included.
    """

    # Torch threads while training: None for all. A module of many small operations is faster with
    # one, since waking a second thread costs more than it saves.
    _n_threads: int | None = None
    # Rows scored at once, in predict and after an epoch: fewer where a row is a long list.
    _rows_at_once = _PREDICT_BATCH
    # The validation metric to stop early on; None for the validation loss.
    _stop_metric: str | None = None

    # ---- hooks ---------------------------------------------------------------------------

    @abstractmethod
    def _encode_target(self, y, weight: np.ndarray, *, reset: bool) -> np.ndarray:
        """What the loss compares outputs with, shape (n, ...); sets ``classes_`` if `reset`.

        ``encoder_`` is fitted by then: a next-item model may take its classes from there.
        """

    @abstractmethod
    def _build_module(self, schema: Schema) -> torch.nn.Module:
        """The untrained torch module: ``module(batch) -> output``, see :class:`nn.Batch`.

        In training the output may be whatever the loss understands; in evaluation it is one
        tensor with B rows.
        """

    @abstractmethod
    def _make_loss(self) -> torch.nn.Module:
        """A module with ``loss(output, y) -> Tensor of shape (B,)``: one loss per row."""

    def _check_target(self, y):
        """Reject a y of the wrong shape or kind before anything is learned."""
        return y

    def _check_classes(self, classes) -> None:
        """Reject `classes` of a further partial_fit that do not agree with ``classes_``."""
        if not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes!r}"
            )

    def _check_params(self) -> None:
        """Reject hyper-parameters out of range; extend for a model's own."""
        check_number("id_dropout", self.id_dropout, 0, 1, closed="both")
        check_number("max_len", self.max_len, 1, integer=True)
        check_number("l2", self.l2, 0)
        check_number("lr", self.lr, 0, closed="neither")
        if self.batch_size != "auto":
            check_number("batch_size", self.batch_size, 1, integer=True)
        check_number("max_epochs", self.max_epochs, 1, integer=True)
        check_number("validation_fraction", self.validation_fraction, 0, 1, closed="neither")
        check_number("n_iter_no_change", self.n_iter_no_change, 1, integer=True)
        check_choice("early_stopping", self.early_stopping, ("auto", True, False))
        check_choice("dtype", self.dtype, ("float32", "float64"))
        if self.optimizer != "auto" and not callable(self.optimizer):
            raise ValueError(
                "optimizer must be 'auto' or a class such as torch.optim.AdamW, "
                f"got {self.optimizer!r}"
            )
        check_number("min_frequency", self.min_frequency, 0, closed="neither")
        if not isinstance(self.net_params or {}, dict):
            raise TypeError(f"net_params must be a dict or None, got {self.net_params!r}")
        taken = [
            name
            for name in self.net_params or {}
            if name in _OWN_NET_PARAMS or name.startswith(("iterator_", "dataset"))
        ]
        if taken:
            raise ValueError(f"net_params must not set {taken}: use the estimator's own parameters")
        if self.device != "auto":
            try:
                torch.device(self.device)
            except RuntimeError as error:
                raise ValueError(
                    f"device must be 'auto', 'cpu', 'cuda' or another torch device, "
                    f"got {self.device!r}"
                ) from error

    def _prior(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
        """The ``Schema.prior`` of an encoded target."""
        return None

    def _validation_metrics(self) -> list[tuple[str, Callable[..., float]]]:
        """(name, ``f(outputs, y, weight) -> float``) of each metric shown beside the loss."""
        return []

    def _training_rows(self, encoded, target, weight, train, valid) -> TrainingRows:
        """The rows to learn from: `train`, row numbers or None for all; `valid` is held out."""
        return _rows(encoded, target, weight, train, self.dtype)

    def _settle(self, rows: TrainingRows, spread: float | None = None) -> None:
        """Bring mean predictions to mean labels once the net is trained."""
        forward = partial(self._forward_encoded, rows.encoded, None)
        settle(self.net_.module_, forward, rows, spread)

    def _judge(self, valid_rows: TrainingRows) -> None:
        """Warn where the validation scores of a fit say that something is wrong."""

    # ---- fit -----------------------------------------------------------------------------

    @explain_unknown_arguments
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn encoders and network from a log.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            The raw log; see the data contract for what each dtype becomes.
        y : array-like of shape (n_samples,), for multi-task models also (n_samples, n_stages)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight counts like that many repetitions of its row.
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
            self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)
        return self

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, classes=None):
        self._check_params()
        check_validation_arguments(X_val, y_val, sample_weight_val)
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        self._params_of_fit = plain_params(self)
        X, y, weight = self._check_rows(X, y, sample_weight, reset=True)
        if classes is not None:
            self.classes_ = np.unique(classes)
        random_state = check_random_state(self.random_state)
        train, valid = self._split(y, random_state, explicit=X_val is not None)
        encoded = self._fit_encoder(X, y, weight, train, valid)
        target = self._encode_target(y, weight, reset=classes is None)
        valid_rows = None
        if X_val is not None:
            valid_rows = self._validation_rows(X_val, y_val, sample_weight_val)
        elif valid is not None:
            valid_rows = _rows(encoded, target, weight, valid, self.dtype)
        train_rows = self._training_rows(encoded, target, weight, train, valid)
        self._prior_of_fit = self._prior(target, weight)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            batch_size = self._rows_per_batch(len(train_rows))
            self.net_ = self._make_net(self._new_module(), valid_rows, seed, batch_size)
            self.net_.fit(train_rows)
        self._settle(train_rows)
        self._record_history()
        if valid_rows is not None:
            self._judge(valid_rows)

    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        """Continue with new rows: the first call is a fit, later ones are one pass over X.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array-like, default=None
            All labels, needed in the first call if its y lacks some.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As `fit`; or if `classes` do not agree with those of the first call, or the training
            diverges. The estimator then predicts as it did before.

        Notes
        -----
        Ids that were not in the first call are unknown unless ``grow_vocabulary=True``. A file
        keeps the scale of the gradients, so that steps after loading are as large as before; the
        state of an optimiser other than "auto" starts anew then, and when the vocabulary grows.
        """
        if not hasattr(self, "net_"):
            with unchanged_on_error(self):
                self._fit(X, y, sample_weight, None, None, None, classes)
            return self
        if classes is not None:
            self._check_classes(classes)
        self._check_params()
        X, y, weight = self._check_rows(X, y, sample_weight, reset=False)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(self.loss_curve_))
            if self.grow_vocabulary and not self._is_sparse:
                encoded, target = self._grow(X, y, weight)
            else:
                target = self._encode_target(y, weight, reset=False)
                encoded = self._encode(X)
            self._continue(_rows(encoded, target, weight, None, self._params_of_fit["dtype"]))
        return self

    def _check_rows(self, X, y, sample_weight, *, reset):
        return check_rows(self, X, y, sample_weight, self._check_target, reset=reset)

    def _split(self, y, random_state, *, explicit):
        """Row numbers of the training and the validation part; None, None for all and none."""
        stop = self.early_stopping
        if stop == "auto":
            stop = len(y) > EARLY_STOPPING_ROWS
        if explicit or not stop:
            return None, None
        return split_rows(np.asarray(y), self.validation_fraction, random_state)

    def _fit_encoder(self, X, y, weight, train, valid) -> Encoded:
        self._is_sparse = hasattr(X, "tocsr")
        if self._is_sparse:
            refuse_ids_in_sparse(self.categorical_features, self.share_vocabulary, X.shape[1])
            self.encoder_: Any = None
            return self._encode(X)
        self.encoder_ = self._make_encoder()
        if valid is not None:
            # Validation rows teach no vocabulary: their new ids are unknown, as at predict.
            weight = weight.copy()
            weight[valid] = 0.0
        encoded = self.encoder_.fit_transform(X, sample_weight=weight)
        # A column without missing values in fit never trains its row for them: there a missing
        # value is an unknown one.
        codes = encoded.categorical if train is None else encoded.categorical[train]
        self._missing_code = (codes != 0).all(axis=0).astype(np.int32)
        np.maximum(encoded.categorical, self._missing_code, out=encoded.categorical)
        return encoded

    def _make_encoder(self) -> LogEncoder:
        return LogEncoder(
            categorical_features=self.categorical_features,
            share_vocabulary=self.share_vocabulary,
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype=self.dtype,
        )

    def _validation_rows(self, X_val, y_val, sample_weight_val) -> TrainingRows:
        X, y, weight = self._check_rows(X_val, y_val, sample_weight_val, reset=False)
        target = self._encode_target(y, weight, reset=False)
        return _rows(self._encode(X), target, weight, None, self.dtype)

    def _make_schema(self) -> Schema:
        if self._is_sparse:
            return Schema((), {}, {}, {}, self.n_features_in_, self._prior_of_fit)
        return Schema.of(self.encoder_, self._prior_of_fit)

    def _new_module(self) -> torch.nn.Module:
        return self._build_module(self._make_schema()).to(getattr(torch, self.dtype))

    def _make_net(self, module, valid_rows, seed, batch_size, loading=False) -> LogNet:
        for block in module.modules():
            if isinstance(block, FusedEmbedding):
                block.sparse_grad = self.optimizer == "auto"
        callbacks = copy.deepcopy(list(self.callbacks or []))
        if valid_rows is not None and self.early_stopping:
            # First, so that it has seen the epoch after which another callback stops.
            callbacks.insert(0, RestoreBest(self.n_iter_no_change, metric=self._stop_metric))
        if self.verbose:
            callbacks.append(ProgressBar())
        if self.optimizer == "auto":
            optimizer = {"optimizer": RowSparseAdam, "optimizer__l2": self.l2}
        else:
            optimizer = {"optimizer": self.optimizer}
            if self.l2:
                optimizer["optimizer__weight_decay"] = self.l2
        device = self.device
        if device == "auto" or (str(device).startswith("cuda") and loading):
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return LogNet(
            module,
            self._make_loss(),
            valid_rows=valid_rows,
            metrics=self._validation_metrics(),
            rng=np.random.default_rng(seed),
            id_dropout=self.id_dropout,
            progress_title=type(self).__name__,
            n_threads=self._n_threads,
            valid_batch_size=min(8192, self._rows_at_once),
            lr=self.lr,
            max_epochs=self.max_epochs,
            batch_size=batch_size,
            callbacks=callbacks,
            device=device,
            **optimizer,
            **(self.net_params or {}),
        )

    def _rows_per_batch(self, n_rows: int) -> int:
        if self.batch_size != "auto":
            return self.batch_size
        return int(np.clip(n_rows // _STEPS_PER_EPOCH, *_BATCH_RANGE))

    def _record_history(self):
        history = self.net_.history
        self.loss_curve_ = list(history[:, "train_loss"])
        self.validation_scores_ = None
        if self.net_.valid_rows is not None:
            name = self._stop_metric
            self.validation_scores_ = (
                [-loss for loss in history[:, "valid_loss"]]
                if name is None
                else [float(value) for value in history[:, f"valid_{name}"]]
            )
        self.n_iter_ = len(self.loss_curve_)
        self.net_.valid_rows = None

    def _continue(self, rows: TrainingRows) -> None:
        net = self.net_
        net.set_params(max_epochs=1, batch_size=self._rows_per_batch(len(rows)))
        net.id_dropout = self.id_dropout
        for group in net.optimizer_.param_groups:
            group["lr"] = self.lr
            if "l2" in group:
                group["l2"] = self.l2
        # There are no validation rows now, so nothing can be monitored on them.
        net.callbacks_ = [
            (name, callback)
            for name, callback in net.callbacks_
            if not isinstance(callback, RestoreBest)
            and not str(getattr(callback, "monitor", "")).startswith("valid")
        ]
        before = copy.deepcopy(net.module_.state_dict())
        try:
            net.partial_fit(rows)
        except ValueError:
            # Diverged: what predicts nothing but NaN is of no use. The optimiser starts anew.
            net.module_.load_state_dict(before)
            net.initialize_optimizer()
            raise
        self._settle(rows, _SPREAD)
        self.loss_curve_.append(net.history[-1, "train_loss"])
        self.n_iter_ = len(self.loss_curve_)

    def _grow(self, X, y, weight) -> tuple[Encoded, np.ndarray]:
        """Learn new ids; the encoded rows and their target."""
        target = self._encode_target(y, weight, reset=False)
        before = self._make_schema().cardinalities
        encoded = self.encoder_.grow(X, sample_weight=weight)
        np.maximum(encoded.categorical, self._missing_code, out=encoded.categorical)
        if self._make_schema().cardinalities != before:
            self._grow_tables()
        return encoded, target

    def _grow_tables(self) -> None:
        """Give each embedding table a row for every code of its vocabularies."""
        cardinalities, optimizer = self._make_schema().cardinalities, self.net_.optimizer_
        for block in self.net_.module_.modules():
            if isinstance(block, FusedEmbedding):
                larger = {n: cardinalities.get(n, size) for n, size in block.cardinalities.items()}
                old = block.weight
                enlarge = block.grow(larger)
                if isinstance(optimizer, RowSparseAdam):
                    optimizer.replace(old, block.weight, enlarge)
        if not isinstance(optimizer, RowSparseAdam):
            self.net_.initialize_optimizer()

    # ---- predict -------------------------------------------------------------------------

    def _encode(self, X) -> Encoded:
        if self._is_sparse and not hasattr(X, "tocsr"):
            X = sparse.csr_matrix(np.asarray(X))
        elif hasattr(X, "tocsr") and not self._is_sparse:
            X = X.toarray()
        if self._is_sparse:
            return Encoded.of_sparse(X, self._params_of_fit["dtype"])
        encoded = self.encoder_.transform(X)
        np.maximum(encoded.categorical, self._missing_code, out=encoded.categorical)
        return encoded

    def _forward(self, X, function=None) -> np.ndarray:
        """The module's outputs for raw rows, shape (n_samples, ...)."""
        check_is_fitted(self)
        X = check_X(self, X, reset=False)
        return self._forward_encoded(self._encode(X), function)

    def _forward_encoded(self, encoded: Encoded, function=None, rows=None) -> np.ndarray:
        net = self.net_
        return forward_batches(net.module_, encoded, net.device, self._rows_at_once, function, rows)

    def embeddings(self, column) -> pd.DataFrame:
        """The trained embedding vectors of a column's ids.

        Parameters
        ----------
        column : str
            A categorical or list column.

        Returns
        -------
        DataFrame of shape (n_known_ids, embedding_dim)
            Indexed by the id.

        Raises
        ------
        ValueError
            If the model keeps no vectors of that column.
        """
        check_is_fitted(self)
        schema = self._make_schema()
        vocabulary = {**schema.categorical, **schema.sequences}
        if column not in vocabulary:
            raise ValueError(
                f"column must be one of the embedded columns {list(vocabulary)}, got {column!r}"
            )
        name = vocabulary[column]
        for block in self.net_.module_.modules():
            if isinstance(block, FusedEmbedding) and name in block.cardinalities:
                rows = self._embedding_part(block.rows_of(name)).cpu().numpy()
                index = pd.Index(self.encoder_.vocabularies_[name].values, name=column)
                return pd.DataFrame(rows[2:].copy(), index=index)
        raise ValueError(f"{type(self).__name__} keeps no embedding of column {column!r}")

    def _embedding_part(self, rows: torch.Tensor) -> torch.Tensor:
        """The embedding within the rows of a table that also holds other parameters."""
        return rows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags


def _rows(encoded, target, weight, rows, dtype) -> TrainingRows:
    """Rows with weights of mean 1, so that a batch's loss is an unbiased part of the whole."""
    mean = weight.mean() if rows is None else weight[rows].mean()
    if target.dtype.kind == "f":
        target = target.astype(dtype, copy=False)
    return TrainingRows(encoded, target, (weight / mean).astype(dtype), rows)
