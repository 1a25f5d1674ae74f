"""The way from a raw log to a trained network: validate, encode, build, train, predict."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial

import numpy as np
import torch
from sklearn.utils import check_random_state

from ._batches import TrainingRows
from ._hyperparameters import hyperparameters
from ._intercept import settle
from ._log_estimator import LogRows, Validation
from ._net_estimator import NetEstimator
from ._state import plain_params
from ._training import (
    Metric,
    Parts,
    Task,
    grow_tables,
    make_net,
    train_further,
    validation_scores,
)
from ._validation import in_scale, split_rows, unchanged_on_error
from .nn.random import Draws, drawing_from
from .preprocessing._encoded import Encoded

# How far one pass of partial_fit may put the level of predictions off, in log odds.
_SPREAD = 0.1


@hyperparameters
class BaseTorchEstimator(NetEstimator):
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
    ``_make_encoder()``              the encoder that it learns
    ``_encode(X)``                   rows in the columns of fit
    ``_make_task(encoded, target,    :class:`Task`, a frozen object: rows to learn from, and what
    weight, parts, valid,            loss and metrics need beside them
    further)``
    ``_validation_rows(given)``      the rows that `fit` got to stop early on, encoded
    ``_settings()``                  how to train
    ``_settle(task, spread)``        what is done once the net is trained: the level of
                                     probabilities, by default
    ``_grow(X, y, weight)``          learn new ids; encoded rows and their target
    ``_train_further(task)``         one more pass, of a further partial_fit
    ``_rebuild()``                   set what ``_rebuilt`` names, and files do not hold
    ================================ ===============================================================

    and class attributes: ``_takes_sparse``, and ``_n_threads``, ``_rows_at_once``,
    ``_batch_range``, ``_stop_metric`` of :class:`Settings`.

    A module may name its ``output_biases``, a sequence of one parameter for each column of the
    output: if the loss is proper (its attribute ``is_proper``) they are moved, after training, such
    that mean predictions are mean labels.
    """

    # ---- hooks ---------------------------------------------------------------------------

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

    # ---- fit -----------------------------------------------------------------------------

    @torch.inference_mode(False)
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
        weight = in_scale(weight)
        self._prior = self._prior_of(target, weight)
        task = self._make_task(encoded, target, weight, parts, valid, further=False)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        draws = Draws(seed)
        with drawing_from(draws, everything=True):
            module, loss = self._new_module(), self._make_loss(task)
        self.net_ = make_net(
            module,
            loss,
            self._settings(),
            n_rows=len(task.train),
            valid=task.valid,
            metrics=self._validation_metrics(task),
            draws=draws,
            rng=np.random.default_rng(seed),
        )
        self.net_.fit(task.train)
        self._settle(task)
        self.loss_curve_ = list(self.net_.history[:, "train_loss"])
        self.validation_scores_ = validation_scores(self.net_, self._stop_metric)
        self.n_iter_ = len(self.loss_curve_)
        self.net_.valid_rows, self.net_.metrics = None, ()
        if task.valid is not None:
            self._judge(task)

    @torch.inference_mode(False)
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
        self.net_.draws = Draws(seed + len(self.loss_curve_))
        with drawing_from(self.net_.draws, everything=True):
            if self.grow_vocabulary and self.encoder_ is not None:
                encoded, target = self._grow(X, y, weight)
            else:
                target = self._encode_target(y, weight, reset=False)
                encoded = self._encode(X)
        task = self._make_task(encoded, target, in_scale(weight), Parts(), None, True)
        self._train_further(task)
        return self

    def _train_further(self, task: Task) -> None:
        train_further(self.net_, self._as_fitted()._make_loss(task), task.train, self._settings())
        self._settle(task, _SPREAD)
        self.loss_curve_.append(self.net_.history[-1, "train_loss"])
        self.n_iter_ = len(self.loss_curve_)

    def _validation_rows(self, given: Validation) -> TrainingRows:
        X, y, weight = self._check_rows(given.X, given.y, given.sample_weight, reset=False)
        target = self._encode_target(y, weight, reset=False)
        return self._rows(self._encode(X), target, in_scale(weight))

    def _rows(self, encoded, target, weight, rows=None) -> TrainingRows:
        return TrainingRows.of(encoded, target, weight, rows, self._dtype)

    def _settle(self, task: Task, spread: float | None = None) -> None:
        """Bring mean predictions to mean labels once the net is trained."""
        loss = self.net_.criterion_
        if getattr(loss, "is_proper", False):
            forward = partial(self._forward_encoded, task.train.encoded, None)
            nested = getattr(loss, "is_nested", False)
            settle(self.net_.module_, forward, task.train, spread, nested)
