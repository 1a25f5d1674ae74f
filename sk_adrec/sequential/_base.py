"""What next-item models share: histories in, the catalogue learned."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import astuple, replace

import numpy as np
import pandas as pd
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from .._base import _rows
from .._validation import check_choice, check_number, check_rows
from ..preprocessing._encoded import Encoded, Ragged, Schema
from ..preprocessing._factorize import Factorized, factorize
from ..preprocessing._log_encoder import LogEncoder
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
from ._roles import Roles, find_roles

# loss="auto": catalogues up to this size get the full softmax.
# NOTE[DIFF]: HSTU's public experiments draw 128 negatives for each position, SASRec one.
_FULL_SOFTMAX = 20_000
_COSINE_TEMPERATURE = 0.05


class BaseNextItem(CatalogueRanker):
    """One row per history, y = the next item; the module is a :class:`NextItemNetwork`."""

    # A row is a list of up to max_len events, each as wide as a row of other models.
    _rows_at_once = 256
    _stop_metric = f"ndcg_at_{K}"
    # Hyper-parameters of models that read times.
    history_time: str | None = None
    request_time: str | None = None

    @abstractmethod
    def _build_network(self, schema: Schema, settings: Settings) -> NextItemNetwork:
        """The untrained network."""

    # ---- hooks of BaseTorchEstimator -----------------------------------------------------

    def _check_params(self):
        super()._check_params()
        check_number("embedding_dim", self.embedding_dim, 1, integer=True)
        check_number("n_blocks", self.n_blocks, 1, integer=True)
        check_number("n_heads", self.n_heads, 1, integer=True)
        if self.embedding_dim % self.n_heads:
            raise ValueError(
                f"embedding_dim must be a multiple of n_heads, got {self.embedding_dim} and "
                f"{self.n_heads}"
            )
        check_number("dropout", self.dropout, 0, 1)
        check_number("n_negatives", self.n_negatives, 1, integer=True)
        if self.temperature is not None:
            check_number("temperature", self.temperature, 0, closed="neither")
        check_choice("train_positions", self.train_positions, ("all", "last"))
        check_choice("loss", self.loss, ("auto", "softmax", "sampled_softmax"))
        check_choice("negatives", self.negatives, ("shared", "per_position"))
        check_choice("normalize", self.normalize, (True, False))
        check_choice("exclude_seen", self.exclude_seen, (True, False))
        check_roles(self.history, self.history_time, self.request_time, self.event_features)
        if self.request_time is not None and self.history_time is None:
            raise ValueError("request_time needs history_time, the times of the events")

    def _check_target(self, y):
        y = column_or_1d(y, warn=True)
        if y.dtype.kind in "fc":
            check_classification_targets(y)
        if (missing := pd.isna(y)).any():
            raise ValueError(
                f"y must have an item in every row: it is missing in row {missing.argmax()} and "
                f"{missing.sum() - 1} more. Drop those rows."
            )
        return y.astype(object) if y.dtype.kind == "U" else y

    def _check_classes(self, classes):
        """Any items that are known: the catalogue is that of histories too, and may have grown."""
        given = pd.Series(np.asarray(classes))
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
        reads, X = Roles(*self._roles).read, self._check_histories(X)
        return check_rows(self, X, y, sample_weight, self._check_target, reset=False, reads=reads)

    def _fit_encoder(self, X, y, weight, train, valid):
        self._is_sparse = False
        roles = find_roles(
            X, self.history, self.history_time, self.request_time, self.event_features
        )
        # As plain values: a file then needs no type of this library beside the estimator's.
        self._roles = astuple(roles)
        events = read_events(X, roles)
        y_weight = weight
        if valid is not None:
            y_weight = weight.copy()
            y_weight[valid] = 0.0
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
            dtype=self.dtype,
        )
        roles = Roles(*self._roles)
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
        return self._encode_events(read_events(X, Roles(*self._roles)))

    def _encode_events(self, events: Events) -> Encoded:
        roles = Roles(*self._roles)
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
        column = Roles(*self._roles).history
        source = "y of fit did" if column is None else f"column {column!r} does"
        check_alike(targets.values, self._vocabulary.values, "y", source)

    def _training_rows(self, encoded, target, weight, train, valid):
        if self.train_positions == "all":
            warn_of_prefixes(encoded.sequences[self._item], target)
        if valid is not None and self.train_positions == "all":
            # Only the last item of a validation row is held out: its history teaches.
            target, train = target.copy(), None
            target[valid] = 0
        rows = _rows(encoded, target, weight, train, self.dtype)
        codes = encoded.sequences[self._item].values if self.train_positions == "all" else ()
        check_something_to_learn(rows.labels[0], codes)
        self._states_per_row = self._mean_states(encoded, weight, train)
        return rows

    def _mean_states(self, encoded, weight, rows) -> float:
        """Mean number of states that `rows` have in training."""
        if self.train_positions == "last":
            return 1.0
        lengths, max_len = encoded.sequences[self._item].lengths, self._params_of_fit["max_len"]
        # One after each event that is read, one before the first if that is read.
        states = np.where(lengths > max_len, max_len, lengths + 1)
        if rows is not None:
            states, weight = states[rows], weight[rows]
        return float(np.average(states, weights=weight))

    def _continue(self, rows):
        module = self.net_.module_
        all_positions = self.train_positions == "all"
        if all_positions:
            warn_of_prefixes(rows.encoded.sequences[self._item], rows.labels[0])
        module.settings = replace(module.settings, all_positions=all_positions)
        self._states_per_row = self._mean_states(rows.encoded, rows.weight, rows.rows)
        self.net_.criterion_.states_per_row = self._states_per_row
        super()._continue(rows)

    def _build_module(self, schema):
        roles = Roles(*self._roles)
        temperature = self.temperature
        if temperature is None:
            temperature = _COSINE_TEMPERATURE if self.normalize else 1.0
        settings = Settings(
            roles.item, roles.fields, self.embedding_dim, self.max_len, self.dropout,
            self.normalize, temperature, self.train_positions == "all",
        )  # fmt: skip
        return self._build_network(schema, settings)

    def _make_loss(self):
        full = self.loss == "softmax"
        if self.loss == "auto":
            full = len(self.classes_) <= _FULL_SOFTMAX
        return NextItemLoss(
            None if full else self.n_negatives,
            self.negatives == "shared",
            self._states_per_row,
            self._items,
        )

    def _validation_metrics(self):
        return [(self._stop_metric, self._validation_ndcg)]

    def _validation_ndcg(self, states, y, weight):
        rows = self.net_.valid_rows
        history = rows.encoded.sequences[self._item]
        if rows.rows is not None:
            history = history.take(rows.rows)
        place = self._places(states, history, y)
        return np.average(np.where(place <= K, 1 / np.log2(1 + place), 0.0), weights=weight)

    def _judge(self, valid_rows):
        history, (y, _) = valid_rows.encoded.sequences[self._item], valid_rows.labels
        if valid_rows.rows is not None:
            history = history.take(valid_rows.rows)
        warn_of_held_out(history, y, self.exclude_seen)

    def _grow(self, X, y, weight):
        roles = Roles(*self._roles)
        events = read_events(X, roles)
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
        if self._make_schema().cardinalities != before:
            self._grow_tables()
            # New rows start alike, and two that follow each other would stay so.
            table.perturb_after(before)
        return self._encode_events(events), self._encode_target(y, weight, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # On arrays of numbers that are no items all rows look alike.
        tags.classifier_tags.poor_score = True
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
