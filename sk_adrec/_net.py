"""skorch, fitted to encoded logs: batches are slices of arrays, losses are weighted means.

The only module of the library that imports skorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping
from skorch.callbacks import EpochTimer as _EpochTimer

from .nn.batch import Batch
from .preprocessing._encoded import Encoded, Ragged


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from: encoded columns, target, weights.

    Parameters
    ----------
    encoded : Encoded
    y : ndarray of shape (n_encoded, ...)
        What the loss compares the output with.
    weight : ndarray of shape (n_encoded,)
        Sample weights of mean 1 over the training rows.
    rows : ndarray of int or None
        The rows of `encoded` that belong to this part; None = all.
    """

    encoded: Encoded
    y: np.ndarray
    weight: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.encoded) if self.rows is None else len(self.rows)


class BatchIterator:
    """Batches of encoded rows, shuffled anew in each pass when a generator is given.

    Parameters
    ----------
    data : TrainingRows
    batch_size : int
    device : str
    rng : numpy Generator or None, default=None
        Shuffles the rows, and drops ids; None keeps the order.
    id_dropout : float, default=0.0
        How often in a pass each id is shown as unknown (code 1) in one of its rows, so that the
        unknown row of its vocabulary learns what an average id means: average over ids, since a
        new id is a draw from those, not from the rows of the most frequent.
    """

    def __init__(self, data, batch_size, device="cpu", rng=None, id_dropout=0.0):
        self.data, self.batch_size, self.device = data, batch_size, device
        self.rng, self.id_dropout = rng, id_dropout if rng is not None else 0.0
        if self.id_dropout:
            self._frequency = _id_frequencies(data)

    def __len__(self) -> int:
        return -(-len(self.data) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Batch, tuple[torch.Tensor, torch.Tensor]]]:
        data, n = self.data, len(self.data)
        order = data.rows
        if self.rng is not None and n > self.batch_size:
            order = self.rng.permutation(n if order is None else order)
        for start in range(0, n, self.batch_size):
            rows = slice(start, min(start + self.batch_size, n))
            if order is not None:
                rows = order[rows]
            encoded = data.encoded.take(rows)
            if self.id_dropout:
                encoded = self._drop_ids(encoded)
            target = torch.from_numpy(data.y[rows]), torch.from_numpy(data.weight[rows])
            yield (
                Batch.from_encoded(encoded, self.device),
                tuple(t.to(self.device) for t in target),
            )

    def _drop_ids(self, encoded: Encoded) -> Encoded:
        columns, lists = self._frequency
        n, n_columns = encoded.categorical.shape
        categorical, sequences = encoded.categorical, dict(encoded.sequences)
        if n_columns:
            cell = self._candidates(n * n_columns)
            codes = categorical.reshape(-1)[cell]
            hit = cell[self._is_hit(columns.of(codes, cell % n_columns))]
            categorical = categorical.copy()
            flat = categorical.reshape(-1)
            flat[hit] = np.minimum(flat[hit], 1)
        for name, frequency in lists.items():
            values = sequences[name].values.copy()
            cell = self._candidates(len(values))
            values[cell[self._is_hit(frequency[values[cell]])]] = 1
            sequences[name] = Ragged(values, sequences[name].offsets)
        return Encoded(encoded.numeric, categorical, sequences, encoded.sparse)

    def _candidates(self, size: int) -> np.ndarray:
        """Entries that a drop of probability `id_dropout` hits, as if every id were seen once."""
        return self.rng.integers(0, max(size, 1), self.rng.binomial(size, self.id_dropout))

    def _is_hit(self, frequency: np.ndarray) -> np.ndarray:
        return self.rng.random(len(frequency)) * frequency < 1


class _ColumnFrequencies:
    """Rows of each code of each column, in one array."""

    def __init__(self, codes: np.ndarray, rows: np.ndarray | None):
        counts = [np.bincount(column if rows is None else column[rows]) for column in codes.T]
        self.offsets = np.cumsum([0, *map(len, counts)])[:-1]
        self.counts = np.concatenate([np.empty(0, dtype=np.int64), *counts])

    def of(self, codes: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return self.counts[codes + self.offsets[columns]]


def _id_frequencies(data: TrainingRows) -> tuple[_ColumnFrequencies, dict[str, np.ndarray]]:
    """How many rows each code of the training rows has, by column and by list column."""
    lists = {
        name: np.bincount((ragged if data.rows is None else ragged.take(data.rows)).values)
        for name, ragged in data.encoded.sequences.items()
    }
    return _ColumnFrequencies(data.encoded.categorical, data.rows), lists


class StopTraining(Exception):
    """Raised by a callback to end the training after this epoch; never reaches the user."""


class RestoreBest(Callback):
    """Ends the training when the validation loss no longer falls, and restores its best epoch.

    skorch's own EarlyStopping stops by raising KeyboardInterrupt, which cannot be told from a
    user's Ctrl-C.

    Parameters
    ----------
    patience : int or None
        Epochs without improvement before the training stops; None never stops, only restores.
    tol : float
        Smallest fall of the validation loss that counts.
    """

    def __init__(self, patience=None, tol=0.0):
        self.patience, self.tol = patience, tol

    def on_train_begin(self, net, **kwargs):
        self.best_, self.best_epoch_, self.state_ = np.inf, 0, None

    def on_epoch_end(self, net, **kwargs):
        epoch, loss = len(net.history), net.history[-1, "valid_loss"]
        if loss < self.best_ - self.tol:
            self.best_, self.best_epoch_ = loss, epoch
            self.state_ = copy.deepcopy(net.module_.state_dict())
        elif self.patience is not None and epoch - self.best_epoch_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        if self.state_ is not None and self.best_epoch_ != len(net.history):
            net.module_.load_state_dict(self.state_)
        self.state_ = None


class ProgressBar(Callback):
    """One line per fit: epoch, batches, training loss, validation loss and metric."""

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
            for name in ("train_loss", "valid_loss", f"valid_{net.metric_name}")
            if name in last
        }
        self.bar_.set_postfix({"epoch": len(net.history), **shown})

    def on_train_end(self, net, **kwargs):
        self.bar_.close()


class EpochTimer(_EpochTimer):
    """Records the seconds of each epoch as ``dur``."""


class LogNet(NeuralNet):
    """A skorch net over :class:`TrainingRows`.

    Differs from :class:`skorch.NeuralNet` in four points: datasets are iterated by slices; the
    loss is the weighted mean of the criterion's per-row losses; losses are recorded once per
    epoch instead of once per batch; Ctrl-C ends the fit as an exception.

    Parameters
    ----------
    module : torch.nn.Module
        Called with a Batch.
    criterion : callable
        ``criterion(output, y) -> Tensor of shape (B,)``, one loss per row.
    valid_rows : TrainingRows or None
        Scored after each epoch.
    metric : tuple of (str, callable) or None
        Name and function ``f(outputs, y, weight) -> float`` of the validation metric to record.
    rng : numpy Generator
    id_dropout : float
    progress_title : str
    **net_params
        Anything else that skorch takes.
    """

    def __init__(
        self,
        module,
        criterion,
        *,
        valid_rows=None,
        metric=None,
        rng=None,
        id_dropout=0.0,
        progress_title="fit",
        **net_params,
    ):
        self.valid_rows, self.metric, self.rng = valid_rows, metric, rng
        self.id_dropout, self.progress_title = id_dropout, progress_title
        super().__init__(module, criterion, train_split=None, verbose=0, **net_params)

    @property
    def _default_callbacks(self):
        return [("epoch_timer", EpochTimer())]

    @property
    def metric_name(self) -> str | None:
        return None if self.metric is None else self.metric[0]

    def get_split_datasets(self, X, y=None, **fit_params):
        return X, self.valid_rows

    def get_iterator(self, dataset, training=False):
        if training:
            return BatchIterator(dataset, self.batch_size, self.device, self.rng, self.id_dropout)
        return BatchIterator(dataset, max(self.batch_size, 8192), self.device)

    def infer(self, x, **fit_params):
        return self.module_(x)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        y, weight = y_true
        return (self.criterion_(y_pred, y) * weight).mean()

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        if iterator is None:
            return
        collect = not training and self.metric is not None
        total, count, outputs = 0.0, 0, []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            size = len(batch[0])
            # Stays on the device: one synchronisation per epoch, not per batch.
            total = total + step["loss"].detach() * size
            count += size
            if collect:
                outputs.append(step["y_pred"])
            self.notify("on_batch_end", batch=batch, training=training, **step)
        self.history.record(f"{prefix}_loss", float(total) / count)
        if collect:
            name, function = self.metric
            data = iterator.data
            rows = slice(None) if data.rows is None else data.rows
            value = function(torch.cat(outputs).cpu().numpy(), data.y[rows], data.weight[rows])
            self.history.record(f"{prefix}_{name}", value)

    def notify(self, method_name, **cb_kwargs):
        getattr(self, method_name)(self, **cb_kwargs)
        for _, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **cb_kwargs)
            except KeyboardInterrupt:
                if isinstance(callback, EarlyStopping):
                    raise StopTraining from None
                raise

    def partial_fit(self, X, y=None, classes=None, **fit_params):
        """Train for `max_epochs` more epochs; KeyboardInterrupt is the caller's."""
        if not self.initialized_:
            self.initialize()
        self.notify("on_train_begin", X=X, y=y)
        try:
            self.fit_loop(X, y)
        except StopTraining:
            pass
        self.notify("on_train_end", X=X, y=y)
        return self


def forward_batches(
    module: torch.nn.Module,
    encoded: Encoded,
    device: str,
    batch_size: int,
    function: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> np.ndarray:
    """The module's outputs for all rows, batch by batch, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
    encoded : Encoded
    device : str
    batch_size : int
    function : callable or None
        Applied to each batch's output.

    Returns
    -------
    ndarray of shape (n_rows, ...)
    """
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(encoded), batch_size):
            rows = slice(start, start + batch_size)
            part = encoded if len(encoded) <= batch_size else encoded.take(rows)
            output = module(Batch.from_encoded(part, device))
            parts.append((output if function is None else function(output)).cpu().numpy())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
