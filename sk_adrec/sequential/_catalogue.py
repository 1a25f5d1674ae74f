"""The catalogue as classes: scores of all items, and the rankings that come of them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch.nn import functional as F

from .._base import BaseTorchEstimator
from .._validation import check_choice, check_number, check_weight, check_X, in_scale, is_frame
from ..nn.packed import ROW_MULTIPLE
from ..preprocessing._encoded import Ragged
from ..preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from ._ranks import exclude, places, top

#: What score and early stopping look at.
K = 10
# Scores held at once when the catalogue is ranked: 16 MB in float32.
_SCORES_AT_ONCE = 1 << 22


class CatalogueRanker(ClassifierMixin, BaseTorchEstimator):
    """What is asked of a next-item model whose module gives states and item vectors."""

    @property
    def _item(self) -> str:
        """The name under which items are encoded."""
        return self._roles.item

    @property
    def _vocabulary(self) -> Vocabulary:
        return self.encoder_.vocabularies_[self._item]

    def _set_classes(self) -> None:
        """Sorted items as classes, and the code of each."""
        values = self._vocabulary.values
        order = np.argsort(values, kind="stable")
        self._class_codes = order + FIRST_KNOWN
        self.classes_ = values[order]
        if len(self.classes_) < 2:
            raise ValueError(
                "There must be at least two items to tell apart, got one class: "
                f"{list(self.classes_)}"
            )

    def _positions(self) -> np.ndarray:
        """Place in ``classes_`` of each code, -1 where it is of no item."""
        position = np.full(self._vocabulary.n_codes, -1)
        position[self._class_codes] = np.arange(len(self._class_codes))
        return position

    def _items(self) -> torch.Tensor:
        """Vectors of the known items in the order of their codes, shape (n_items, d)."""
        return self.net_.module_.items().detach()

    def _score_blocks(self, states, history: Ragged | None) -> Iterator[tuple[slice, torch.Tensor]]:
        """Logits (b, n_items) in the order of classes_, for some rows at a time.

        Items in `history` have -inf.
        """
        items = self._items()[torch.from_numpy(self._class_codes - FIRST_KNOWN)]
        n_items, position = len(items), self._positions()
        # Products are as large as it takes for a row's to be the same beside any others.
        items = F.pad(items, (0, 0, 0, max(0, ROW_MULTIPLE - n_items))).T
        size = ROW_MULTIPLE * max(1, _SCORES_AT_ONCE // (ROW_MULTIPLE * n_items))
        for start in range(0, len(states), size):
            rows = slice(start, start + size)
            u = torch.from_numpy(states[rows]).to(items)
            u_padded = F.pad(u, (0, 0, 0, -len(u) % ROW_MULTIPLE))
            scores = (u_padded @ items)[: len(u), :n_items]
            if history is not None:
                seen = history.take(rows)
                exclude(
                    scores,
                    torch.from_numpy(position[seen.values]).to(items.device),
                    torch.from_numpy(seen.offsets).to(items.device),
                )
            yield rows, scores

    def _check_histories(self, X):
        """A frame with the columns that are read, or an array like that of fit."""
        roles = self._roles
        if roles.history is None or is_frame(X):
            return check_X(self, X, reset=False, reads=roles.read)
        names = getattr(self, "feature_names_in_", None)
        try:
            X = check_X(self, X, reset=False)
        except ValueError as error:
            raise ValueError(
                f"X must hold one list per row in column {roles.history!r}: "
                f"pd.DataFrame({{{roles.history!r}: histories}}). {error}"
            ) from error
        return X if names is None else pd.DataFrame(X, columns=names)

    def _states(self, X, with_history: bool) -> tuple[np.ndarray, Ragged | None]:
        check_is_fitted(self)
        encoded = self._encode(self._check_histories(X))
        history = encoded.sequences[self._item] if with_history else None
        return self._forward_encoded(encoded), history

    def _places(self, states, history, codes) -> np.ndarray:
        """1-based place of each row's item, by code, in the ranking of the catalogue."""
        y = torch.from_numpy(self._positions()[codes])
        place = np.empty(len(y), dtype=np.int64)
        for rows, scores in self._score_blocks(states, history if self.exclude_seen else None):
            place[rows] = places(scores, y[rows].to(scores.device)).cpu().numpy()
        return place

    def predict_proba(self, X):
        """Probability of each item to be the next, in the order of ``classes_``.

        Items of the history are not left out: what was seen may come again.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Histories, as in fit; unknown items and empty histories are fine.

        Returns
        -------
        ndarray of shape (n_samples, n_items)

        Raises
        ------
        MemoryError
            If the probabilities would take more than half of the memory: use `recommend`.
        """
        check_is_fitted(self)
        X = self._check_histories(X)
        _check_memory(X.shape[0], len(self.classes_), np.dtype(self.encoder_.dtype).itemsize)
        states, _ = self._states(X, with_history=False)
        p = np.empty((len(states), len(self.classes_)), dtype=self.encoder_.dtype)
        for rows, scores in self._score_blocks(states, None):
            p[rows] = scores.softmax(1).cpu().numpy()
        return p

    def predict(self, X):
        """The most probable next item of each row, seen before or not.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Histories, as in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        states, _ = self._states(X, with_history=False)
        best = np.empty(len(states), dtype=np.int64)
        for rows, scores in self._score_blocks(states, None):
            # By the probabilities, so that ties by rounding fall as in predict_proba.
            best[rows] = scores.softmax(1).argmax(1).cpu().numpy()
        return self.classes_[best]

    def recommend(self, X, k=10, exclude_seen=None, *, as_frame=False):
        """The k best next items of each row, the best first.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Histories, as in fit.
        k : int, default=10
            How many items: as many as the user will be shown, or the next stage can rank.
        exclude_seen : bool, default=None
            Whether to leave out all items of the row's history, those beyond `max_len` included.
            None stands for the estimator's parameter.
        as_frame : bool, default=False
            Return one data frame with the columns row, item, score and rank, for joins.

        Returns
        -------
        ids : ndarray of shape (n_samples, k)
            Of equal scores the item that sorts first comes first. Where a row has fewer than k
            items left: -1 for integers, else None.
        scores : ndarray of shape (n_samples, k)
            Logits; -inf where there is no item.

        Raises
        ------
        ValueError
            If k is not a positive integer, exclude_seen not a bool, or X lacks a column that is
            read.
        """
        check_number("k", k, 1, integer=True)
        check_choice("exclude_seen", exclude_seen, (None, True, False))
        exclude_seen = self.exclude_seen if exclude_seen is None else exclude_seen
        states, history = self._states(X, with_history=exclude_seen)
        found = min(k, len(self.classes_))
        scores = np.full((len(states), k), -np.inf, dtype=self.encoder_.dtype)
        index = np.zeros((len(states), k), dtype=np.int64)
        for rows, block in self._score_blocks(states, history):
            best, position = top(block, found)
            scores[rows, :found], index[rows, :found] = best.cpu().numpy(), position.cpu().numpy()
        none = np.isneginf(scores)
        ids = self.classes_[index]
        if none.any() and ids.dtype.kind not in "iO":
            ids = ids.astype(object)
        ids[none] = -1 if ids.dtype.kind == "i" else None
        if not as_frame:
            return ids, scores
        n = len(ids)
        frame = {
            "row": np.repeat(np.arange(n), k),
            "item": ids.ravel(),
            "score": scores.ravel(),
            "rank": np.tile(np.arange(1, k + 1), n),
        }
        return pd.DataFrame(frame)[~none.ravel()].reset_index(drop=True)

    def score(self, X, y, sample_weight=None):
        """Hit rate at 10: the share of rows whose y is among the 10 best items.

        Items of the history are left out if `exclude_seen`. An unknown y is a miss.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            Histories that fit has not seen.
        y : array-like of shape (n_samples,)
            The items that followed.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative.

        Returns
        -------
        float in [0, 1]
        """
        check_is_fitted(self)
        codes = self._encode_target(self._check_target(y), sample_weight, reset=False)
        states, history = self._states(X, with_history=True)
        weight = in_scale(check_weight(sample_weight, states, codes))
        return float(np.average(self._places(states, history, codes) <= K, weights=weight))

    @property
    def item_embeddings_(self) -> np.ndarray:
        """Vectors of the items in the order of ``classes_``; of length 1 if `normalize`."""
        check_is_fitted(self)
        return self._items().cpu().numpy()[self._class_codes - FIRST_KNOWN]


def _check_memory(n_rows: int, n_items: int, itemsize: int) -> None:
    try:
        limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    except (AttributeError, ValueError, OSError):  # not on this system
        limit = 8 * 2**30
    needed = n_rows * n_items * itemsize
    if needed > limit:
        raise MemoryError(
            f"Probabilities of {n_items:,} items for {n_rows:,} rows would take "
            f"{needed / 2**30:,.1f} GiB, more than half of the memory. Use recommend(X, k), which "
            "keeps only the k best of each row, or pass fewer rows at a time."
        )
