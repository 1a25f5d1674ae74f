"""skorch, fitted to encoded logs: batches are slices of arrays, losses are weighted means.

The only module of the library that imports skorch.
"""

from __future__ import annotations

import contextlib
import copy
import functools

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, EpochTimer
from threadpoolctl import ThreadpoolController

from ._batches import BatchIterator
from ._callbacks import explain_missing
from .nn.random import Draws, drawing_from, is_foreign


class StopTraining(Exception):
    """Raised by a callback to end the training after this epoch; never reaches the user."""


class RestoreBest(Callback):
    """Ends the training when validation no longer improves, and restores its best epoch.

    skorch's own EarlyStopping stops by raising KeyboardInterrupt, which cannot be told from a
    user's Ctrl-C.

    Parameters
    ----------
    patience : int or None
        Epochs without improvement before the training stops; None never stops, only restores.
    tol : float
        Smallest improvement that counts.
    metric : str or None
        What is watched: the validation loss, or the validation metric of this name, which rises.
    """

    def __init__(self, patience=None, tol=0.0, metric=None):
        self.patience, self.tol, self.metric = patience, tol, metric

    def on_train_begin(self, net, **kwargs):
        self.best_, self.best_epoch_, self.state_ = np.inf, 0, None

    def on_epoch_end(self, net, **kwargs):
        epoch, last = len(net.history), net.history[-1]
        loss = last["valid_loss"] if self.metric is None else -last[f"valid_{self.metric}"]
        if loss < self.best_ - self.tol:
            self.best_, self.best_epoch_ = loss, epoch
            self.state_ = copy.deepcopy(net.module_.state_dict())
        elif self.patience is not None and epoch - self.best_epoch_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        if self.state_ is not None and self.best_epoch_ != len(net.history):
            net.module_.load_state_dict(self.state_)
        self.state_ = None


class LinearDecay(Callback):
    """Lowers the learning rates linearly from epoch to epoch, to 0 after the last.

    Each training (a fit, a further pass) starts from the rates that the optimiser then has.
    """

    def on_train_begin(self, net, **kwargs):
        self.start_ = len(net.history)
        self.rates_ = [group["lr"] for group in net.optimizer_.param_groups]

    def on_epoch_begin(self, net, **kwargs):
        # The history already holds the epoch that begins.
        left = 1 - (len(net.history) - 1 - self.start_) / net.max_epochs
        for group, rate in zip(net.optimizer_.param_groups, self.rates_):
            group["lr"] = rate * left


class ProgressBar(Callback):
    """One line per fit: epoch, batches, training loss, validation loss and metrics."""

    def on_train_begin(self, net, **kwargs):
        from tqdm import tqdm

        total = net.max_epochs * len(BatchIterator(kwargs["X"], net.batch_size))
        self.bar_ = tqdm(total=total, desc=net.progress_title, unit="batch")

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        shown = {
            name.replace("_", " "): f"{last[name]:.4f}"
            for name in ("train_loss", "valid_loss", *(f"valid_{name}" for name, _ in net.metrics))
            if name in last
        }
        self.bar_.set_postfix({"epoch": len(net.history), **shown})

    def on_train_end(self, net, **kwargs):
        self.bar_.close()


class LogNet(NeuralNet):
    """A skorch net over :class:`~sk_adrec._batches.TrainingRows`.

    Differs from :class:`skorch.NeuralNet` in four points: datasets are iterated by slices; the
    loss is the weighted mean of the criterion's per-row losses; losses are recorded once per
    epoch, and once per batch only where asked; Ctrl-C ends the fit as an exception.

    Parameters
    ----------
    module : torch.nn.Module
        Called with a Batch.
    criterion : callable
        ``criterion(output, y) -> Tensor of shape (B,)``, one loss per row. What it names in its
        attribute ``reads`` it gets as keywords: "weight", where rows serve each other as negatives,
        and a row's weight is also how often it does; "module", the module that made the output.
    valid_rows : TrainingRows or None
        Scored after each epoch.
    metrics : sequence of (str, callable)
        Names and functions ``f(module, outputs, y, weight) -> float`` of validation metrics to
        record.
    draws : Draws
        Generators of torch that the training draws from.
    rng : numpy Generator
    id_dropout : float
    progress_title : str
    n_threads : int or None
        Threads of torch while training; None leaves them as they are.
    valid_batch_size : int
        Rows scored at once after an epoch, if more than `batch_size`.
    records_batches : bool
        Whether the history holds the loss and the size of each batch, as callbacks may want it.
    verbose : int
        Whether skorch's callbacks write what they have to say.
    **net_params
        Anything else that skorch takes.
    """

    def __init__(
        self,
        module,
        criterion,
        *,
        valid_rows=None,
        metrics=(),
        draws=None,
        rng=None,
        id_dropout=0.0,
        progress_title="fit",
        n_threads=None,
        valid_batch_size=8192,
        records_batches=False,
        verbose=0,
        **net_params,
    ):
        self.n_threads, self.valid_batch_size = n_threads, valid_batch_size
        self.valid_rows, self.metrics, self.rng = valid_rows, metrics, rng
        self.draws = Draws(0) if draws is None else draws
        self.id_dropout, self.progress_title = id_dropout, progress_title
        self.records_batches = records_batches
        # Whether this is a further pass, which has no validation rows.
        self.is_further = False
        # For skorch's ProgressBar, which counts batches by it.
        net_params["iterator_valid__batch_size"] = valid_batch_size
        super().__init__(module, criterion, train_split=None, verbose=verbose, **net_params)

    @property
    def _default_callbacks(self):
        return [("epoch_timer", EpochTimer())]

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.valid_rows

    def get_iterator(self, dataset, training=False):
        if training:
            return BatchIterator(dataset, self.batch_size, self.device, self.rng, self.id_dropout)
        return BatchIterator(dataset, max(self.batch_size, self.valid_batch_size), self.device)

    def get_dataset(self, X, y=None):
        return X

    def infer(self, x, **fit_params):
        return self.module_(x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        y, weight = y_true
        known = {"weight": weight, "module": self.module_}
        read = {name: known[name] for name in getattr(self.criterion_, "reads", ())}
        return (self.criterion_(y_pred, y, **read) * weight).mean()

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        collect = not training and self.metrics
        total, count, n_batches, outputs = 0.0, 0, 0, []
        for batch in iterator:
            # Callbacks see rows and targets, as in skorch.
            shown = batch[0], batch[1][0]
            self.notify("on_batch_begin", batch=shown, training=training)
            step = step_fn(batch, **fit_params)
            size = len(batch[0])
            # Stays on the device: one synchronisation per epoch, not per batch.
            total = total + step["loss"].detach() * size
            count, n_batches = count + size, n_batches + 1
            if collect:
                outputs.append(step["y_pred"])
            if self.records_batches:
                self.history.record_batch(f"{prefix}_loss", step["loss"].item())
                self.history.record_batch(f"{prefix}_batch_size", size)
            self.notify("on_batch_end", batch=shown, training=training, **step)
        loss = float(total) / count
        if not np.isfinite(loss):
            raise ValueError(
                f"The {prefix} loss of epoch {len(self.history)} is {loss}: the fit has diverged. "
                "Lower lr, or rescale columns with very large values."
            )
        self.history.record(f"{prefix}_batch_count", n_batches)
        self._record(f"{prefix}_loss", loss, falls=True)
        if collect:
            scored = torch.cat(outputs).cpu().numpy()
            for name, function in self.metrics:
                value = function(self.module_, scored, *iterator.data.labels)
                self._record(f"{prefix}_{name}", value, falls=False)

    def _record(self, name, value, *, falls):
        """Write a value into the history, and whether it is the best so far, as skorch does."""
        sign = -1 if falls else 1
        before = [sign * epoch[name] for epoch in self.history[:-1] if name in epoch]
        self.history.record(name, value)
        self.history.record(f"{name}_best", bool(sign * value > np.nanmax([-np.inf, *before])))

    def notify(self, method_name, **cb_kwargs):
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt:
                if isinstance(callback, EarlyStopping):
                    raise StopTraining from None
                raise
            except Exception as error:
                if method_name != "on_epoch_end":
                    raise
                reason = explain_missing(callback, error, self.history[-1])
                if reason is None:
                    raise
                if not self.is_further:
                    raise ValueError(reason) from error

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train for `max_epochs` more epochs; KeyboardInterrupt is the caller's."""
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            foreign = is_foreign(self.module_) or is_foreign(self.criterion_)
            with (
                contextlib.suppress(StopTraining),
                threads(self.n_threads),
                drawing_from(self.draws, everything=foreign),
            ):
                self.fit_loop(X, y)
        except BaseException:
            for _, callback in self.callbacks_:
                if isinstance(callback, ProgressBar):
                    callback.bar_.close()
            raise
        self.notify("on_train_end", X=X, y=y)
        return self


@contextlib.contextmanager
def threads(n: int | None):
    """Run a block with at most `n` threads of torch; None changes nothing.

    ``torch.set_num_threads`` is for the whole process: side by side, fits would restore each
    other's number, and threads that start meanwhile would keep it. OpenMP's is each thread's own.
    """
    # torch sets a thread's number when it is first asked for: now, not in the block.
    before = torch.get_num_threads()
    if n is None or n >= before:
        yield
        return
    with _openmp().limit(limits=n):
        yield


@functools.cache
def _openmp() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="openmp")
