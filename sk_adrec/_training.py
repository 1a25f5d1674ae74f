"""Training a torch module on encoded rows, from settings: make a net, go on with it, enlarge it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch

from ._batches import TrainingRows
from ._callbacks import copy_callbacks, have_something_to_say, watches_validation_rows
from ._hyperparameters import Rule
from ._net import LinearDecay, LogNet, ProgressBar, RestoreBest
from ._state import stored
from .nn import FusedEmbedding, RowSparseAdam
from .nn.random import Draws
from .preprocessing._encoded import Schema

# batch_size="auto": so many steps per pass.
_STEPS_PER_EPOCH = 200
_OWN_NET_PARAMS = {
    "module", "criterion", "optimizer", "lr", "max_epochs", "batch_size", "callbacks", "device",
    "train_split", "verbose", "valid_rows", "metrics", "rng", "id_dropout", "progress_title",
    "n_threads", "valid_batch_size", "draws", "records_batches",
}  # fmt: skip

Metric = Callable[[torch.nn.Module, np.ndarray, np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Parts:
    """Which rows of a log are for what, as row numbers.

    Parameters
    ----------
    train : ndarray of int or None
        To learn from; None is all.
    valid : ndarray of int or None
        To stop early on; None is none.
    held_out : ndarray of int or None
        Rows whose ids are to be unknown if no other row has them.
    """

    train: np.ndarray | None = None
    valid: np.ndarray | None = None
    held_out: np.ndarray | None = None


@dataclass(frozen=True)
class Task:
    """What a fit knows when its network is made; families of models add what theirs need.

    Parameters
    ----------
    schema : Schema
        The columns, and what the output should be before anything is learned from them.
    train : TrainingRows
        Rows to learn from.
    valid : TrainingRows or None, default=None
        Rows to stop early on.
    """

    schema: Schema
    train: TrainingRows
    valid: TrainingRows | None = None


@dataclass(frozen=True)
class Settings:
    """How to train: the hyper-parameters of :class:`BaseTorchEstimator`, and what a family sets.

    Parameters
    ----------
    title : str
        Shown by the progress bar.
    n_threads : int or None
        Of torch, while training; None for all.
    rows_at_once : int
        Rows scored at once after an epoch.
    batch_range : (int, int)
        Least and most rows of a batch of size "auto".
    stop_metric : str or None
        The validation metric to stop early on; None for the validation loss.
    lr_schedule : {"constant", "linear"}
    """

    optimizer: Any
    lr: float
    l2: float
    id_dropout: float
    batch_size: int | str
    max_epochs: int
    patience: int | None
    device: str
    callbacks: Sequence[Any]
    verbose: int
    net_params: Mapping[str, Any]
    title: str
    n_threads: int | None
    rows_at_once: int
    batch_range: tuple[int, int]
    stop_metric: str | None
    lr_schedule: str = "constant"

    def rows_per_batch(self, n_rows: int) -> int:
        """Rows of a batch of a log of n rows."""
        if self.batch_size != "auto":
            return int(self.batch_size)
        return int(np.clip(n_rows // _STEPS_PER_EPOCH, *self.batch_range))


def make_net(
    module: torch.nn.Module,
    loss: torch.nn.Module,
    settings: Settings,
    *,
    n_rows: int = 1,
    valid: TrainingRows | None = None,
    metrics: Sequence[tuple[str, Metric]] = (),
    draws: Draws | None = None,
    rng: np.random.Generator | None = None,
    loading: bool = False,
) -> LogNet:
    """A net that is ready to be trained on n rows."""
    for block in module.modules():
        if isinstance(block, FusedEmbedding):
            block.sparse_grad = settings.optimizer == "auto"
    if settings.optimizer == "auto":
        optimizer = {"optimizer": RowSparseAdam, "optimizer__l2": settings.l2}
    else:
        optimizer = {"optimizer": settings.optimizer}
        if settings.l2:
            optimizer["optimizer__weight_decay"] = settings.l2
    device = settings.device
    if device == "auto" or (str(device).startswith("cuda") and loading):
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return LogNet(
        module,
        loss,
        valid_rows=valid,
        metrics=metrics,
        draws=draws,
        rng=rng,
        id_dropout=settings.id_dropout,
        progress_title=settings.title,
        n_threads=settings.n_threads,
        valid_batch_size=min(8192, settings.rows_at_once),
        lr=settings.lr,
        max_epochs=settings.max_epochs,
        # Loaded, it is told how many when it is trained further.
        batch_size=1 if loading else settings.rows_per_batch(n_rows),
        callbacks=_callbacks(settings, valid),
        records_batches=bool(settings.callbacks),
        verbose=int(bool(settings.verbose) or have_something_to_say(settings.callbacks)),
        device=device,
        **optimizer,
        **settings.net_params,
    )


def _callbacks(settings: Settings, valid: TrainingRows | None) -> list[Any]:
    callbacks = copy_callbacks(settings.callbacks)
    if valid is not None and settings.patience is not None:
        # First, so that it has seen the epoch after which another callback stops.
        callbacks.insert(0, RestoreBest(settings.patience, metric=settings.stop_metric))
    if settings.verbose:
        callbacks.append(ProgressBar())
    if settings.lr_schedule == "linear":
        callbacks.append(LinearDecay())
    return callbacks


def train_further(net: LogNet, loss: torch.nn.Module, rows: TrainingRows, settings: Settings):
    """One more pass; if it diverges, ValueError, and the net predicts as before."""
    net.criterion_ = loss.to(net.device)
    net.set_params(max_epochs=1, batch_size=settings.rows_per_batch(len(rows)))
    net.id_dropout = settings.id_dropout
    for group in net.optimizer_.param_groups:
        group["lr"] = settings.lr
        # Of an optimiser that is new, which a schedule goes on with.
        group.setdefault("initial_lr", settings.lr)
        if "l2" in group:
            group["l2"] = settings.l2
    # There are no validation rows now, so nothing can be monitored on them.
    net.is_further = True
    net.callbacks_ = [
        (name, callback)
        for name, callback in net.callbacks_
        if not isinstance(callback, RestoreBest) and not watches_validation_rows(callback)
    ]
    before = copy.deepcopy(net.module_.state_dict())
    try:
        net.partial_fit(rows)
    except ValueError:
        # Diverged: what predicts nothing but NaN is of no use. The optimiser starts anew.
        net.module_.load_state_dict(before)
        net.initialize_optimizer()
        raise


def grow_tables(net: LogNet, cardinalities: Mapping[str, int]) -> None:
    """Give each embedding table a row for every code of its vocabularies."""
    optimizer = net.optimizer_
    for block in net.module_.modules():
        if isinstance(block, FusedEmbedding):
            larger = {n: cardinalities.get(n, size) for n, size in block.cardinalities.items()}
            old = block.weight
            enlarge = block.grow(larger)
            if isinstance(optimizer, RowSparseAdam):
                optimizer.replace(old, block.weight, enlarge)
    if not isinstance(optimizer, RowSparseAdam):
        net.initialize_optimizer()


def validation_scores(net: LogNet, stop_metric: str | None) -> list[float] | None:
    """What early stopping went by, the higher the better; None without validation rows."""
    if net.valid_rows is None:
        return None
    if stop_metric is None:
        return [-loss for loss in net.history[:, "valid_loss"]]
    return [float(value) for value in net.history[:, f"valid_{stop_metric}"]]


@stored
@dataclass(frozen=True)
class NetState:
    """A trained net in a file.

    Parameters
    ----------
    module : dict of str to ndarray
        Parameters and buffers.
    optimizer : list of dict or None
        The scale of the gradients, of :class:`RowSparseAdam`.
    """

    module: dict[str, np.ndarray]
    optimizer: list[dict[str, Any]] | None

    @classmethod
    def of(cls, net: LogNet) -> NetState:
        """The state of a net."""
        # What two parts share is one array, so that it is written once.
        arrays: dict[Any, np.ndarray] = {}
        module = {
            k: arrays.setdefault(
                (v.data_ptr(), v.shape) if v.numel() else k, v.detach().cpu().numpy()
            )
            for k, v in net.module_.state_dict().items()
        }
        kept = isinstance(net.optimizer_, RowSparseAdam)
        return cls(module, net.optimizer_.memory() if kept else None)

    def load(self, module: torch.nn.Module, settings: Settings) -> LogNet:
        """The net, from a module as `fit` made it."""
        module.load_state_dict({k: torch.tensor(v) for k, v in self.module.items()})
        rng = np.random.default_rng(0)
        net = make_net(module, torch.nn.Identity(), settings, rng=rng, loading=True).initialize()
        if isinstance(net.optimizer_, RowSparseAdam):
            net.optimizer_.remember(self.optimizer or [])
        net.module_.eval()
        return net


def _check_optimizer(name, value):
    if value != "auto" and not callable(value):
        raise ValueError(
            f"{name} must be 'auto' or a class such as torch.optim.AdamW, got {value!r}"
        )


def _check_device(name, value):
    if value != "auto":
        try:
            torch.device(value)
        except RuntimeError as error:
            raise ValueError(
                f"{name} must be 'auto', 'cpu', 'cuda' or another torch device, got {value!r}"
            ) from error


def _check_net_params(name, value):
    if not isinstance(value or {}, dict):
        raise TypeError(f"{name} must be a dict or None, got {value!r}")
    taken = [
        one
        for one in value or {}
        if one in _OWN_NET_PARAMS or one.startswith(("iterator_", "dataset"))
    ]
    if taken:
        raise ValueError(f"{name} must not set {taken}: use the estimator's own parameters")


Optimizer = Annotated[Any, Rule(_check_optimizer, '"auto" or torch.optim.Optimizer class')]
Device = Annotated[str, Rule(_check_device, '{"auto", "cpu", "cuda"} or str')]
NetParams = Annotated[Any, Rule(_check_net_params, "dict")]
