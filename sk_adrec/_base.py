"""The way from a raw log to a trained network: validate, encode, build, train, predict."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ._batches import TrainingRows, forward_batches
from ._hyperparameters import (
    KW_ONLY,
    Count,
    CountOrAuto,
    Dtype,
    NotNegative,
    Positive,
    Probability,
    Switch,
    hyperparameters,
)
from ._intercept import settle
from ._log_estimator import LogEstimator, LogRows, Validation
from ._state import pack, plain_params
from ._training import (
    Device,
    Metric,
    NetParams,
    NetState,
    Optimizer,
    Parts,
    Settings,
    Task,
    grow_tables,
    make_net,
    train_further,
    validation_scores,
)
from ._validation import split_rows, unchanged_on_error
from .nn import FusedEmbedding
from .preprocessing._encoded import Encoded, Schema

# How far one pass of partial_fit may put the level of predictions off, in log odds.
_SPREAD = 0.1


@hyperparameters
class BaseTorchEstimator(LogEstimator):
    """An estimator on raw logs whose model is a torch module.

    A family of models (rankers, several tasks, next items, two towers) fills in these hooks; a
    model then only `_build_module`, and declares its hyper-parameters:

    ================================ ===============================================================
    hook                             says
    ================================ ===============================================================
    ``_build_module(schema)``        the untrained module: ``module(batch) -> output``; in training
                                     whatever the loss understands, in evaluation one tensor of B
                                     rows
    ``_make_loss(task)``             ``loss(output, y) -> Tensor (B,)``, see :class:`LogNet`
    ``_check_target(y)``             what y may be; raises
    ``_encode_target(y, weight,      what the loss compares outputs with, shape (n, ...); sets
    *, reset)``                      ``classes_`` if `reset`. ``encoder_`` is fitted by then
    ``_prior_of(y, weight)``         ``Schema.prior`` of an encoded target, or None
    ``_validation_metrics(task)``    (name, ``f(module, outputs, y, weight)``) of each metric shown
                                     beside the validation loss
    ``_judge(task)``                 warn where validation scores say that something is wrong
    ``_check_params()``              relations between hyper-parameters; calls super
    ``_check_classes(classes)``      of a further partial_fit; raises
    ``_check_rows(X, y, ...)``       X, y and weights of the rows that count
    ``_split(y, random_state, ...)`` :class:`Parts`: what to learn from, what to hold out
    ``_fit_encoder(X, y, weight,     learn columns and vocabularies, encode the rows
    parts)``
    ``_encode(X)``                   rows in the columns of fit
    ``_make_task(encoded, target,    :class:`Task`, a frozen object: rows to learn from, and what
    weight, parts, valid,            loss and metrics need beside them
    further)``
    ``_grow(X, y, weight)``          learn new ids; encoded rows and their target
    ``_settings()``                  how to train
    ================================ ===============================================================

    and class attributes ``_n_threads``, ``_rows_at_once``, ``_batch_range``, ``_stop_metric``: see
    :class:`Settings`. A module may name its ``output_biases``, a sequence of one parameter for each
    column of the output: if the loss is proper (its attribute ``is_proper``) they are moved, after
    training, such that mean predictions are mean labels.

    Parameters
    ----------
    id_dropout : float in [0, 1]
        How often in each pass over the data each id is shown as unknown in one of its rows. It
        trains the vector that stands for ids never seen: as the average over ids, rare ones
        included. 0 leaves that vector untrained where `min_frequency` makes no id unknown.
    l2
        Penalty: ``l2 * parameter`` is added to the gradient, for embeddings in the rows that a
        batch uses. Try 1e-7 to 1e-4 when the validation loss turns up after one epoch.
    optimizer
        "auto" is Adam that moves only the embedding rows of a batch
        (:class:`sk_adrec.nn.RowSparseAdam`), which is not dense Adam. A class gets dense
        gradients, and `l2` as its weight_decay: slower on many ids, for comparisons with what
        others have published.
    lr
        Step size, the first parameter to tune: 1e-3 to 1e-2. Larger ones need fewer passes;
        lower it where the validation loss jumps.
    batch_size
        Rows per step. "auto" takes about 200 steps per pass, between 64 and 4096 rows each. Larger
        batches make a pass faster and teach less in it: raise `lr` with them.
    max_epochs
        Passes over the data, at most. With ids a model often is at its best after 1 to 4.
    grow_vocabulary
        Whether `partial_fit` learns new ids; otherwise they stay unknown. Set it where new
        products or users keep coming, and a refit is rare; tables then grow with them.
    device
        Where to train and predict. "auto" is the GPU if torch sees one; name one to choose among
        several. A fitted model loads on any machine.
    dtype
        Type of parameters and numbers; "float64" to compare fits to the last digits, at half the
        speed.
    verbose : int
        1 shows a progress bar with the training loss, the validation loss and metric: for long
        fits.
    callbacks : list of skorch callbacks
        What is called after batches and epochs, for a schedule of `lr` or a log of your own: for
        instance ``skorch.callbacks.LRScheduler`` or ``EarlyStopping``; copied before use.
        Callbacks that call ``net.predict`` (EpochScoring) or read gradients as dense tensors
        (GradientNormClipping) do not fit: data are encoded, gradients row-sparse.
    net_params
        Further parameters of :class:`skorch.NeuralNet`, such as
        ``{"optimizer__betas": (0.9, 0.99)}``; what the other parameters set is refused.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    loss_curve_ : list of float
        Training loss per epoch.
    validation_scores_ : list of float or None
        Minus the validation loss per epoch; None without validation rows.
    n_iter_ : int
        Epochs run.
    """

    _: KW_ONLY
    id_dropout: Probability = 0.1
    l2: NotNegative = 0.0
    optimizer: Optimizer = "auto"
    lr: Positive = 3e-3
    batch_size: CountOrAuto = "auto"
    max_epochs: Count = 10
    grow_vocabulary: Switch = False
    device: Device = "auto"
    dtype: Dtype = "float32"
    verbose: int = 0
    callbacks: Any = None
    net_params: NetParams = None

    # A module of many small operations is faster with one thread, since waking a second one costs
    # more than it saves.
    _n_threads: ClassVar[int | None] = None
    # Large enough for the fixed cost of a batch, small enough for the cache.
    _rows_at_once: ClassVar[int] = 16_384
    _batch_range: ClassVar[tuple[int, int]] = (64, 4096)
    _stop_metric: ClassVar[str | None] = None
    _fitted: ClassVar[str] = "net_"

    # ---- hooks ---------------------------------------------------------------------------

    @abstractmethod
    def _build_module(self, schema: Schema) -> torch.nn.Module: ...

    @abstractmethod
    def _make_loss(self, task: Task) -> torch.nn.Module: ...

    @abstractmethod
    def _encode_target(self, y, weight: np.ndarray, *, reset: bool) -> np.ndarray: ...

    def _check_target(self, y):
        return y

    def _check_classes(self, classes) -> None:
        if not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes!r}"
            )

    def _prior_of(self, y: np.ndarray, weight: np.ndarray) -> np.ndarray | None:
        return None

    def _validation_metrics(self, task: Task) -> list[tuple[str, Metric]]:
        return []

    def _judge(self, task: Task) -> None:
        pass

    def _split(self, y, random_state, *, explicit: bool) -> Parts:
        if explicit or not self._stops_early(len(y)):
            return Parts()
        train, valid = split_rows(np.asarray(y), self.validation_fraction, random_state)
        return Parts(train, valid, held_out=valid)

    def _fit_encoder(self, X, y, weight, parts: Parts) -> Encoded:
        if parts.held_out is not None:
            # Held-out rows teach no vocabulary: their new ids are unknown, as at predict.
            weight = weight.copy()
            weight[parts.held_out] = 0.0
        encoded = self._learn_columns(X, weight)
        if self.encoder_ is not None:
            # A column without missing values in fit never trains its row for them.
            self.encoder_.take_missing_for_unknown(encoded, parts.train)
        return encoded

    def _make_task(self, encoded, target, weight, parts: Parts, valid, further: bool) -> Task:
        if parts.valid is not None:
            valid = self._rows(encoded, target, weight, parts.valid)
        return Task(self._schema, self._rows(encoded, target, weight, parts.train), valid)

    def _grow(self, X, y, weight) -> tuple[Encoded, np.ndarray]:
        target = self._encode_target(y, weight, reset=False)
        before = self._schema.cardinalities
        encoded = self.encoder_.grow(X, sample_weight=weight)
        if self._schema.cardinalities != before:
            grow_tables(self.net_, self._schema.cardinalities)
        return encoded, target

    def _settings(self) -> Settings:
        return Settings(
            optimizer=self.optimizer,
            lr=self.lr,
            l2=self.l2,
            id_dropout=self.id_dropout,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            patience=self.n_iter_no_change if self.early_stopping else None,
            device=self.device,
            callbacks=self.callbacks or (),
            verbose=self.verbose,
            net_params=self.net_params or {},
            title=type(self).__name__,
            n_threads=self._n_threads,
            rows_at_once=self._rows_at_once,
            batch_range=self._batch_range,
            stop_metric=self._stop_metric,
        )

    # ---- fit -----------------------------------------------------------------------------

    def _learn(self, rows: LogRows, validation: Validation, classes):
        X, y, weight = rows.X, rows.y, rows.weight
        self._params_of_fit = plain_params(self)
        if classes is not None:
            self.classes_ = np.unique(classes)
        random_state = check_random_state(self.random_state)
        parts = self._split(y, random_state, explicit=validation.given)
        encoded = self._fit_encoder(X, y, weight, parts)
        target = self._encode_target(y, weight, reset=classes is None)
        valid = self._validation_rows(validation) if validation.given else None
        self._prior = self._prior_of(target, weight)
        task = self._make_task(encoded, target, weight, parts, valid, further=False)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net_ = make_net(
                self._new_module(),
                self._make_loss(task),
                self._settings(),
                n_rows=len(task.train),
                valid=task.valid,
                metrics=self._validation_metrics(task),
                seed=seed,
            )
            self.net_.fit(task.train)
        self._settle(task)
        self.loss_curve_ = list(self.net_.history[:, "train_loss"])
        self.validation_scores_ = validation_scores(self.net_, self._stop_metric)
        self.n_iter_ = len(self.loss_curve_)
        self.net_.valid_rows, self.net_.metrics = None, ()
        if task.valid is not None:
            self._judge(task)

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
                self._fit(X, y, sample_weight, classes=classes)
            return self
        if classes is not None:
            self._check_classes(classes)
        self._check_params()
        X, y, weight = self._check_rows(X, y, sample_weight, reset=False)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(self.loss_curve_))
            if self.grow_vocabulary and self.encoder_ is not None:
                encoded, target = self._grow(X, y, weight)
            else:
                target = self._encode_target(y, weight, reset=False)
                encoded = self._encode(X)
            self._train_further(self._make_task(encoded, target, weight, Parts(), None, True))
        return self

    def _train_further(self, task: Task) -> None:
        train_further(self.net_, self._as_fitted()._make_loss(task), task.train, self._settings())
        self._settle(task, _SPREAD)
        self.loss_curve_.append(self.net_.history[-1, "train_loss"])
        self.n_iter_ = len(self.loss_curve_)

    def _validation_rows(self, given: Validation) -> TrainingRows:
        X, y, weight = self._check_rows(given.X, given.y, given.sample_weight, reset=False)
        target = self._encode_target(y, weight, reset=False)
        return self._rows(self._encode(X), target, weight)

    def _rows(self, encoded, target, weight, rows=None) -> TrainingRows:
        return TrainingRows.of(encoded, target, weight, rows, self._dtype)

    def _settle(self, task: Task, spread: float | None = None) -> None:
        """Bring mean predictions to mean labels once the net is trained."""
        loss = self.net_.criterion_
        if getattr(loss, "is_proper", False):
            forward = partial(self._forward_encoded, task.train.encoded, None)
            nested = getattr(loss, "is_nested", False)
            settle(self.net_.module_, forward, task.train, spread, nested)

    # ---- what a fit leaves ---------------------------------------------------------------

    @property
    def _schema(self) -> Schema:
        if self.encoder_ is None:
            return Schema((), {}, {}, {}, self.n_features_in_, self._prior)
        return self.encoder_.schema(self._prior)

    @property
    def _dtype(self) -> str:
        return self._params_of_fit["dtype"]

    def _as_fitted(self) -> Self:
        """A view of the estimator as `fit` saw it, whatever set_params has changed since."""
        view = object.__new__(type(self))
        vars(view).update(vars(self) | self._params_of_fit)
        return view

    def _new_module(self) -> torch.nn.Module:
        return self._build_module(self._schema).to(getattr(torch, self._dtype))

    def __getstate__(self):
        state = super().__getstate__()
        if "net_" in state:
            state["net_"] = pack(NetState.of(self.net_))
        return state

    def _rebuild(self):
        super()._rebuild()
        if "net_" in vars(self):
            with torch.random.fork_rng():
                self.net_ = self.net_.load(self._as_fitted()._new_module(), self._settings())

    # ---- predict -------------------------------------------------------------------------

    def _forward(self, X, function: Callable | None = None) -> np.ndarray:
        """The module's outputs for raw rows, shape (n_samples, ...)."""
        return self._forward_encoded(self._encode_raw(X), function)

    def _forward_encoded(self, encoded: Encoded, function=None, rows=None, method=None):
        net = self.net_
        return forward_batches(
            net.module_, encoded, net.device, self._rows_at_once, function, rows, method
        )

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
        schema = self._schema
        vocabulary = {**schema.categorical, **schema.sequences}
        if column not in vocabulary:
            raise ValueError(
                f"column must be one of the embedded columns {list(vocabulary)}, got {column!r}"
            )
        name = vocabulary[column]
        for block in self.net_.module_.modules():
            if isinstance(block, FusedEmbedding) and name in block.cardinalities:
                rows = block.vectors_of(name).cpu().numpy()
                index = pd.Index(self.encoder_.vocabularies_[name].values, name=column)
                return pd.DataFrame(rows[2:].copy(), index=index)
        raise ValueError(f"{type(self).__name__} keeps no embedding of column {column!r}")
