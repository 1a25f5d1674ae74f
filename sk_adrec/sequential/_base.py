"""What next-item models share: histories in, the catalogue learned."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._hyperparameters import (
    KW_ONLY,
    Count,
    CountOrAuto,
    Positive,
    PositiveOrNone,
    Share,
    Switch,
    hyperparameters,
    one_of,
)
from .._training import Task, grow_tables
from .._validation import check_rows
from ..preprocessing._encoded import Encoded, Ragged, Schema
from ..preprocessing._factorize import Factorized, factorize
from ..preprocessing._log_encoder import LogEncoder
from ..preprocessing._series import as_series
from ..preprocessing._vocabulary import FIRST_KNOWN, concatenate
from ._catalogue import CatalogueRanker, K
from ._checks import (
    check_alike,
    check_one_kind,
    check_roles,
    check_something_to_learn,
    warn_of_held_out,
    warn_of_prefixes,
)
from ._events import Events, read_events
from ._network import NextItemLoss, NextItemNetwork, Settings
from ._roles import find_roles

# loss="auto": catalogues up to this size get the full softmax.
# NOTE[DIFF]: HSTU's public experiments draw 128 negatives for each position, SASRec one.
_FULL_SOFTMAX = 20_000
_COSINE_TEMPERATURE = 0.05


@dataclass(frozen=True)
class NextItemTask(Task):
    """A task of next items.

    Parameters
    ----------
    states_per_row : float
        Mean number of states that a row has in training.
    """

    states_per_row: float = 1.0


@hyperparameters
class BaseNextItem(CatalogueRanker):
    """One row per history, y = the next item; the module is a :class:`NextItemNetwork`.

    Parameters
    ----------
    embedding_dim
        Width of item vectors and states, a multiple of `n_heads`. Larger for catalogues with many
        events per item.
    n_blocks
        Layers. More help where there are millions of events.
    n_heads
        Attention heads, each of width ``embedding_dim / n_heads``. More can look at several
        events for several reasons; try 2 or 4 with wide states.
    dropout : float in [0, 1)
        Share of inputs and hidden units set to 0 in training. Raise it for small logs; 0 makes fits
        with weights equal fits with repeated rows.
    max_len
        Events read of a history, the newest. Time and memory of attention grow with its square:
        lower it (50) where only recent events matter.
    history : str
        The list column of items, the newest last. None: the only list column that has no other
        role.
    event_features : sequence of str
        List columns of further fields of each event (its type, its shop), as long as the history.
        Name those that say what an event meant; other columns of X are not read.
    train_positions
        "all": each event of a history is a target, and y: for one row per user. "last": y alone,
        for rows that are prefixes of each other, where "all" would learn early events many times,
        and what is held out with them: fit warns of such rows.
    exclude_seen
        Whether early stopping, `score` and `recommend` leave items of the history out of the
        ranking. False where items come again (groceries, songs).
    loss
        Softmax over the whole catalogue, or over the next item and `n_negatives` others. "auto"
        is the full one up to 20,000 items; it is exact, and on a CPU often the faster one.
    n_negatives
        Items drawn uniformly for the sampled softmax. More are closer to the full one, and
        slower; the full one does not read it.
    negatives
        Whether all positions of a batch share the draws, or each has its own, as in the papers'
        reference code: much slower, so take fewer (128).
    normalize
        Logits are cosines over `temperature`; False: dot products, which also learn popularity by
        their length: try it where popular items are often the right ones.
    temperature : float
        Divides cosines or dot products; None is 0.05 for cosines and 1 for dot products. Lower
        looks more at the hardest items.
    lr
        Step size, the first parameter to tune: 3e-4 to 3e-3, larger for small logs.
    batch_size
        Histories per step. With `train_positions="last"` and many short rows take more; take less
        where long histories do not fit into memory. "auto" takes about 200 steps per pass.
    max_epochs
        Passes over the data, at most; early stopping usually needs fewer. Lower it where a fit
        without validation rows overfits.
    early_stopping
        Stop when NDCG@10 of held-out next items no longer rises, and restore the best epoch.
        "auto" is True above 1,000 rows and wherever fit gets `X_val`.
    validation_fraction : float in (0, 1)
        Share of the rows whose y is held out where fit gets no `X_val`; with
        `train_positions="all"` their histories still teach.
    n_iter_no_change : int
        Epochs without improvement before the training stops. Raise it where few validation rows
        make NDCG@10 noisy.

    Attributes
    ----------
    classes_ : ndarray of shape (n_items,)
        Known items, sorted: those of histories and y. After a fit on an array: those of y.
    item_embeddings_ : ndarray of shape (n_items, embedding_dim)
        Their vectors, by which states are multiplied.
    validation_scores_ : list of float or None
        NDCG@10 per epoch; None without validation rows.
    """

    embedding_dim: Count = 50
    _: KW_ONLY
    n_blocks: Count = 2
    n_heads: Count = 1
    dropout: Share = 0.2
    max_len: Count = 200
    history: Any = None
    event_features: Any = None
    train_positions: Annotated[str, one_of("all", "last")] = "all"
    exclude_seen: Switch = True
    loss: Annotated[str, one_of("auto", "softmax", "sampled_softmax")] = "auto"
    n_negatives: Count = 512
    negatives: Annotated[str, one_of("shared", "per_position")] = "shared"
    normalize: Switch = True
    temperature: PositiveOrNone = None
    lr: Positive = 1e-3
    batch_size: CountOrAuto = 128
    max_epochs: Count = 100
    n_iter_no_change: Count = 5

    # A row is a list of up to max_len events, each as wide as a row of other models.
    _rows_at_once = 256
    _stop_metric = f"ndcg_at_{K}"
    # Hyper-parameters of models that read times.
    history_time = None
    request_time = None

    @abstractmethod
    def _build_network(self, schema: Schema, settings: Settings) -> NextItemNetwork:
        """The untrained network."""

    # ---- hooks of BaseTorchEstimator -----------------------------------------------------

    def _check_params(self):
        super()._check_params()
        if self.embedding_dim % self.n_heads:
            raise ValueError(
                f"embedding_dim must be a multiple of n_heads, got {self.embedding_dim} and "
                f"{self.n_heads}"
            )
        check_roles(self.history, self.history_time, self.request_time, self.event_features)
        if self.request_time is not None and self.history_time is None:
            raise ValueError("request_time needs history_time, the times of the events")

    def _check_target(self, y):
        given, y = y, column_or_1d(y, warn=True)
        if y.dtype.kind in "fc":
            # Of integers with missing ones, or of both signs, numpy makes floats.
            exact = as_series(given) if np.ndim(given) == 1 else pd.Series(y)
            if pd.api.types.infer_dtype(exact, skipna=True) == "integer":
                y = exact.to_numpy(dtype=object)
            else:
                check_classification_targets(y)
        if (missing := pd.isna(y)).any():
            raise ValueError(
                f"y must have an item in every row: it is missing in row {missing.argmax()} and "
                f"{missing.sum() - 1} more. Drop those rows."
            )
        return y.astype(object) if y.dtype.kind == "U" else y

    def _check_classes(self, classes):
        """Any items that are known: the catalogue is that of histories too, and may have grown."""
        given = as_series(classes)
        unknown = given[self._vocabulary.transform(given) < FIRST_KNOWN]
        if len(unknown):
            raise ValueError(
                "classes must be items that are known in a further partial_fit, got "
                f"{unknown.tolist()[0]!r} and {len(unknown) - 1} more that are not. Leave classes "
                "out; with grow_vocabulary=True new items are learned from X and y."
            )

    def _check_rows(self, X, y, sample_weight, *, reset):
        if reset:
            return super()._check_rows(X, y, sample_weight, reset=True)
        reads, X = self._roles.read, self._check_histories(X)
        return check_rows(self, X, y, sample_weight, self._check_target, reset=False, reads=reads)

    def _fit_encoder(self, X, y, weight, parts):
        roles = self._roles = find_roles(
            X, self.history, self.history_time, self.request_time, self.event_features
        )
        events = read_events(X, roles)
        self._spans = events.spans
        y_weight = weight
        if parts.valid is not None:
            y_weight = weight.copy()
            y_weight[parts.valid] = 0.0
        classes = getattr(self, "classes_", None)  # the argument of partial_fit
        if classes is not None:
            classes = classes.astype(object) if classes.dtype.kind == "U" else classes
            given, items = (factorize(part, "y").values for part in (classes, y))
            check_alike(given, items, "classes", "y does")
            y = np.concatenate([y, classes])
            y_weight = np.append(y_weight, np.ones(len(classes)))
        x_weight = weight if self.train_positions == "all" else y_weight[: len(weight)]
        self._fit_vocabularies(events, x_weight, y, y_weight)
        self._set_classes()
        return self._encode_events(events)

    def _fit_vocabularies(self, events: Events, x_weight, y, y_weight) -> None:
        """Items are learned from histories and y (of arrays: from y alone), fields from lists."""
        encoder = LogEncoder(
            categorical_features=list(events.columns),
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype=self._dtype,
        )
        roles = self._roles
        lengths = np.diff(events.offsets)
        targets = factorize(y, "y")
        check_one_kind(targets.values, "y")
        counts = targets.counts(y_weight)
        if roles.history is None:
            encoder.fit(pd.DataFrame({roles.item: y}), y_weight)
        else:
            encoder.fit(events.frame(), np.repeat(x_weight, lengths))
            column = events.columns[roles.item]
            items = factorize(column, f"Column {roles.item!r}")
            check_one_kind(items.values, f"Column {roles.item!r}")
            check_alike(targets.values, items.values, "y", f"column {roles.item!r} does")
            merged = factorize(concatenate([items.values, targets.values]), roles.item)
            both = np.concatenate([items.counts(np.repeat(x_weight, lengths)), counts])
            encoder.vocabularies_[roles.item].fit_counts(merged.values, merged.counts(both))
        self.encoder_ = encoder

    def _encode(self, X) -> Encoded:
        return self._encode_events(read_events(X, self._roles, self._spans))

    def _encode_events(self, events: Events) -> Encoded:
        roles = self._roles
        if roles.history is None:
            codes = self._vocabulary.transform(events.columns[roles.item])[:, None]
        else:
            codes = self.encoder_.transform(events.frame()).categorical
        n = len(events.offsets) - 1
        nothing = np.empty((n, 0), dtype=self.encoder_.dtype)
        sequences = {
            name: Ragged(np.ascontiguousarray(codes[:, j]), events.offsets)
            for j, name in enumerate(events.columns)
        }
        sequences[roles.item] = Ragged(
            np.ascontiguousarray(codes[:, 0]), events.offsets, events.times
        )
        return Encoded(nothing, nothing.astype(np.int32), sequences)

    def _encode_target(self, y, weight, *, reset):
        targets = factorize(y, "y")
        self._check_targets(targets)
        return self._vocabulary.encode(targets).astype(np.int64)

    def _check_targets(self, targets: Factorized) -> None:
        column = self._roles.history
        source = "y of fit did" if column is None else f"column {column!r} does"
        check_alike(targets.values, self._vocabulary.values, "y", source)

    def _make_task(self, encoded, target, weight, parts, valid, further):
        task = super()._make_task(encoded, target, weight, parts, valid, further)
        all_positions, rows = self.train_positions == "all", task.train
        codes = encoded.sequences[self._item].values if all_positions else ()
        if all_positions:
            warn_of_prefixes(encoded.sequences[self._item], target)
            if parts.valid is not None:
                # Only the last item of a validation row is held out: its history teaches.
                target = target.copy()
                target[parts.valid] = 0
                rows = self._rows(encoded, target, weight)
        if not further:
            check_something_to_learn(rows.labels[0], codes)
        states = self._mean_states(encoded, weight, rows.rows)
        return NextItemTask(task.schema, rows, task.valid, states)

    def _mean_states(self, encoded, weight, rows) -> float:
        """Mean number of states that `rows` have in training."""
        if self.train_positions == "last":
            return 1.0
        lengths, max_len = encoded.sequences[self._item].lengths, self._as_fitted().max_len
        # One after each event that is read, one before the first if that is read.
        states = np.where(lengths > max_len, max_len, lengths + 1)
        if rows is not None:
            states, weight = states[rows], weight[rows]
        return float(np.average(states, weights=weight))

    def _train_further(self, task):
        module = self.net_.module_
        module.settings = replace(module.settings, all_positions=self.train_positions == "all")
        super()._train_further(task)

    def _build_module(self, schema):
        roles = self._roles
        temperature = self.temperature
        if temperature is None:
            temperature = _COSINE_TEMPERATURE if self.normalize else 1.0
        settings = Settings(
            roles.item, roles.fields, self.embedding_dim, self.max_len, self.dropout,
            self.normalize, temperature, self.train_positions == "all",
        )  # fmt: skip
        return self._build_network(schema, settings)

    def _make_loss(self, task):
        full = self.loss == "softmax"
        if self.loss == "auto":
            full = len(self.classes_) <= _FULL_SOFTMAX
        return NextItemLoss(
            None if full else self.n_negatives,
            self.negatives == "shared",
            task.states_per_row,
        )

    def _validation_metrics(self, task):
        return [(self._stop_metric, partial(self._validation_ndcg, task))]

    def _validation_ndcg(self, task, module, states, y, weight):
        place = self._places(states, self._held_out_histories(task), y)
        return np.average(np.where(place <= K, 1 / np.log2(1 + place), 0.0), weights=weight)

    def _held_out_histories(self, task) -> Ragged:
        history, rows = task.valid.encoded.sequences[self._item], task.valid.rows
        return history if rows is None else history.take(rows)

    def _judge(self, task):
        warn_of_held_out(self._held_out_histories(task), task.valid.labels[0], self.exclude_seen)

    def _grow(self, X, y, weight):
        roles = self._roles
        events = read_events(X, roles, self._spans)
        targets = factorize(y, "y")
        self._check_targets(targets)
        if roles.history is not None:
            items = factorize(events.columns[roles.item], f"Column {roles.item!r}")
            known = self._vocabulary.values
            check_alike(items.values, known, f"Column {roles.item!r}", "it did in fit")
            self.encoder_.grow(events.frame(), np.repeat(weight, np.diff(events.offsets)))
        self._vocabulary.grow_counts(targets.values, targets.counts(weight))
        if len(self._class_codes) < len(self._vocabulary.values):
            self._set_classes()
        table = self.net_.module_.table
        before = dict(table.cardinalities)
        if self._schema.cardinalities != before:
            grow_tables(self.net_, self._schema.cardinalities)
            # New rows start alike, and two that follow each other would stay so.
            table.perturb_after(before)
        return self._encode_events(events), self._encode_target(y, weight, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # On arrays of numbers that are no items all rows look alike.
        tags.classifier_tags.poor_score = True
        return tags
