"""Fits, further rows and files of two towers."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import torch
from sklearn.utils import check_random_state

from ..._base import _rows
from ..._validation import unchanged_on_error
from ...preprocessing._columns import read_table
from .._log.log import Log, read_labels
from .columns import TowerColumns, from_state, to_state
from .evaluation import TowerEvaluation
from .module import USER


class TowerLearning(TowerEvaluation):
    """`fit`, `partial_fit`, and what a pickle holds."""

    def fit(self, X, y=None, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn both towers from a log.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            One row per interaction; columns that no parameter names are not looked at. Rows
            without user or item are left out.
        y : array-like of shape (n_samples,), default=None
            Two labels, of which the one that sorts last is positive. 1 in all rows, or None, where
            all rows are positive.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight w counts as w rows; rows of weight 0 are left out.
        X_val, y_val, sample_weight_val : default=None
            Rows to stop early and to calibrate on, instead of a random part of X: later rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Input or hyper-parameters out of contract. The estimator then is as it was before.
        """
        if X_val is not None and y_val is None:
            y_val = np.ones(len(X_val), dtype=int) if y is None else np.full(len(X_val), max(y))
        return super().fit(
            X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )

    def partial_fit(self, X, y=None, sample_weight=None, *, classes=None):
        """Continue with new rows: the first call is a fit, later ones are one pass over X.

        New users and items are searched and excluded like all others; their ids get vectors of
        their own only with ``grow_vocabulary=True``. The catalogue is that of all rows so far.
        Probabilities keep the curve of the first call.

        Parameters
        ----------
        X, y, sample_weight : as in `fit`
        classes : array-like of shape (2,), default=None
            Both labels, needed in the first call if its y lacks one.

        Returns
        -------
        self
        """
        try:
            with unchanged_on_error(self):
                self._partial_fit(X, y, sample_weight, classes)
        except BaseException:
            if hasattr(self, "net_"):
                self.net_.module_.set_log_items(self._item_rows)
            raise
        return self

    def _partial_fit(self, X, y, sample_weight, classes):
        if not hasattr(self, "net_"):
            if y is None and classes is not None:
                y = np.full(read_table(X).n_rows, np.unique(classes)[-1])
            self._fit(X, y, sample_weight, None, None, None, classes)
            return
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be those of the first call, {self.classes_}, got {classes!r}"
            )
        self._check_params()
        X, rows, weight = self._check_rows(X, y, sample_weight, reset=False)
        if not len(rows):
            return
        _, positive = read_labels(rows.labels, weight, self.classes_)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        with torch.random.fork_rng():
            torch.manual_seed(seed + len(self.loss_curve_))
            before = self._make_schema().cardinalities
            if self.grow_vocabulary:
                self.encoder_.grow(self._columns.frame(X), sample_weight=weight)
                if self._make_schema().cardinalities != before:
                    self._grow_tables()
                    self.net_.module_.user_tower.inputs.table.perturb_after(before)
            encoded = self._encode(X)
            old = self.log_
            self.log_ = Log.of_ids((rows.users, rows.items), None, positive, weight, old)
            target = self._numbers(rows, positive)
            self._keep_rows(encoded, target, old)
            self.net_.module_.set_log_items(self._item_rows)
            used = self._learned(target)
            if len(used):
                new = self._rows_to_continue(encoded, target, weight, used)
                self.net_.criterion_ = self._make_loss().to(self.net_.device)
                self.net_.initialize_optimizer()
                self._continue(new)
        self._refresh()

    def _rows_to_continue(self, encoded, target, weight, used):
        if self._params_of_fit["user_items"]:
            return self._users_of(self.log_.interactions, np.unique(target[used, USER]))
        return _rows(encoded, target, weight, used, self._params_of_fit["dtype"])

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, classes=None):
        self._held_out = self._explicit = self._ranked = None
        self._held_out_weight = 1.0
        super()._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, classes)
        self._refresh()
        self._calibrate(self._judged)
        self._held_out = self._explicit = self._judged = self._pairs = self._ranked = None

    # ---- files ---------------------------------------------------------------------------

    def __sklearn_is_fitted__(self):
        return hasattr(self, "net_")

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "_saved" not in state:
            return state
        for name in ("_shares", "_place", "item_embeddings_", "_nothing_known"):
            state.pop(name)
        state["log_"] = state["log_"].to_state()
        state["_columns"] = list(astuple(state["_columns"]))
        state["_items"] = state["_items"].to_state()
        for name in ("_user_rows", "_item_rows", "_catalogue_rows"):
            state[name] = to_state(state[name])
        return state

    def __setstate__(self, state):
        state = dict(state)
        if "_saved" in state:
            state["log_"] = Log.from_state(state["log_"])
            state["_columns"] = TowerColumns(*state["_columns"])
            state["_items"] = type(state["log_"].items).from_state(state["_items"])
            for name in ("_user_rows", "_item_rows", "_catalogue_rows"):
                state[name] = from_state(state[name])
            vars(self).update({"log_": state["log_"]})
            state["_shares"] = self._shares_of_log()
        super().__setstate__(state)
        if "_saved" in state:
            self._refresh()
