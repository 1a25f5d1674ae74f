"""An estimator that holds a trained net: its hyper-parameters, its state, its outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from sklearn.utils.validation import check_is_fitted

from ._batches import forward_batches
from ._callbacks import check_callbacks
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
from ._log_estimator import LogEstimator
from ._state import pack
from ._training import Device, NetParams, NetState, Optimizer, Settings
from .nn import FusedEmbedding
from .nn.random import Draws, drawing_from
from .preprocessing._encoded import Encoded, Schema


@hyperparameters
class NetEstimator(LogEstimator):
    """An estimator on raw logs whose model is a torch module.

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
        What is called after batches and epochs, for a schedule of `lr`, a file of the best epoch
        or a log of your own: for instance ``skorch.callbacks.LRScheduler`` or ``Checkpoint``;
        copied before use. ``net.history`` holds "train_loss", with validation rows "valid_loss" and
        the metrics that ``verbose=1`` shows ("valid_auc"), and of each whether it is the best so
        far ("valid_loss_best"). In `partial_fit` nothing monitors validation rows. What does not
        fit is refused by name: scikit-learn's scorers in EpochScoring, since a net has no classes;
        GradientNormClipping where gradients are row-sparse (``optimizer="auto"``).
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

    def _check_params(self):
        super()._check_params()
        check_callbacks(self.callbacks, dense_gradients=self.optimizer != "auto")

    @abstractmethod
    def _build_module(self, schema: Schema) -> torch.nn.Module:
        """The untrained module of a log with these columns."""

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

    # ---- what a fit leaves ---------------------------------------------------------------

    @property
    def _schema(self) -> Schema:
        if self.encoder_ is None:
            return Schema((), {}, {}, {}, self.n_features_in_, self._prior)
        return self.encoder_.schema(self._prior)

    @property
    def _dtype(self) -> Any:
        return self._params_of_fit.get("dtype", self.dtype)

    def _as_fitted(self) -> Self:
        """A view of the estimator as `fit` saw it, whatever set_params has changed since."""
        view: Any = object.__new__(type(self))
        vars(view).update(vars(self) | self._params_of_fit)
        return view

    def _new_module(self) -> torch.nn.Module:
        return self._build_module(self._schema).to(getattr(torch, self._dtype))

    def __getstate__(self):
        state = super().__getstate__()
        if "net_" in state:
            state["net_"] = pack(NetState.of(self.net_))
        return state

    @torch.inference_mode(False)
    def _rebuild(self):
        super()._rebuild()
        if "net_" in vars(self):
            with drawing_from(Draws(0), everything=True):
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
