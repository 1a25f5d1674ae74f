"""Vectors of users and items, and the catalogue that they are searched in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from ..._validation import is_frame
from ...nn import Batch
from ...preprocessing._columns import read_table
from ...preprocessing._encoded import Encoded
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from .._lists.search import CatalogueSearch
from .._log.ids import as_series, as_table, check_item_ids, read_ids
from .._log.interactions import Interactions
from .columns import nothing_known, select, stack
from .rows import TowerRows


@dataclass(frozen=True)
class Users:
    """Users that are asked for.

    Parameters
    ----------
    ids : array-like of shape (n,)
        For a frame of recommendations.
    codes : ndarray of shape (n,)
        Numbers in the log, -1 unknown.
    histories : Interactions
        What they have done.
    vectors : ndarray of shape (n, d)
    popular : ndarray of shape (n,), bool
        Who can only be served by popularity.
    """

    ids: Any
    codes: np.ndarray
    histories: Interactions
    vectors: np.ndarray
    popular: np.ndarray


class TowerVectors(CatalogueSearch, TowerRows):
    """What the towers make of users and items."""

    # ---- vectors -------------------------------------------------------------------------

    def _vectors(self, rows: Encoded, role: str) -> np.ndarray:
        """Vectors of encoded rows of one side ("users" or "items"), shape (n, d)."""
        net = self.net_
        net.module_.eval()
        tower, parts = getattr(net.module_, role), []
        with torch.inference_mode():
            for start in range(0, max(1, len(rows)), self._rows_at_once):
                part = rows.take(slice(start, start + self._rows_at_once))
                parts.append(tower(Batch.from_encoded(part, net.device)).cpu().numpy())
        return np.concatenate(parts)

    def _rows_of(self, frame, role: str) -> Encoded:
        """One side of a frame that may lack the other side's columns."""
        encoded = self._encode(self._columns.one_side(frame, role))
        return getattr(self.net_.module_, role).part(encoded)

    def user_embeddings(self, X, *, history=None):
        """Vectors of users; products with ``item_embeddings_`` are scores.

        Parameters
        ----------
        X : data frame of shape (n, n_columns), or array-like of shape (n,)
            Rows with the columns of `user_features`, of any users; or ids, of which known ones have
            the features of their last row in fit, and unknown ones none.
        history : dict of user to list of items, or data frame, default=None
            As in `recommend`.

        Returns
        -------
        ndarray of shape (n, embedding_dim)
            Of length 1 with cosines.

        Raises
        ------
        ValueError
            If a column of the user's is missing.
        """
        check_is_fitted(self)
        return self._read_users(X, history, "X").vectors

    def _read_users(self, X, history, name: str) -> Users:
        """Users by their ids, or by rows of their features; `name` is what the caller calls X."""
        if history is not None and not self._params_of_fit["user_items"]:
            raise ValueError(
                "history needs a model that reads the items of users: fit it with user_items=True"
            )
        if not is_frame(X):
            table = as_table(X, name)
            codes, histories = self._of_ids(self._asked_users(table, history), history)
            rows = self._rows_of_known(codes)
            vectors = self._vectors(self._with_items(rows, histories), "users")
            return Users(
                as_series(table.column(0)),
                codes,
                histories,
                vectors,
                (codes < 0) & (histories.lengths == 0),
            )
        # The encoder warns of ids of another type in a column that the tower reads.
        is_read = self._columns.user in self._columns.user_features
        known = None if is_read or history is not None else self.log_.users
        return self._read_user_rows(X, history, known)

    def _read_user_rows(self, X, history=None, known: Vocabulary | None = None) -> Users:
        """Users by rows of their features; warns where their ids are of another type than known."""
        rows, table = self._rows_of(X, "user"), read_table(X)
        names, n = [str(name) for name in table.names], table.n_rows
        owner, codes = np.arange(n), np.full(n, -1)
        histories = self.log_.interactions.take(codes)
        if self._columns.user in names:
            position = names.index(self._columns.user)
            owner = as_series(table.column(position))
            codes, histories = self._of_ids(read_ids(table, position, known), history)
        vectors = self._vectors(self._with_items(rows, histories), "users")
        return Users(owner, codes, histories, vectors, np.zeros(n, dtype=bool))

    def _users_of_rows(self, X, rows: np.ndarray):
        """The users of some rows of a log, as `score` and scorers ask for them: by features."""
        names = dict.fromkeys((self._columns.user, *self._columns.user_features))
        return _safe_indexing(select(X, list(names)), rows)

    def _of_ids(self, ids, history) -> tuple[np.ndarray, Interactions]:
        """Numbers of users, -1 unknown, and what they have done."""
        histories, row = self._histories(ids, history)
        return self._user_codes(ids), histories.take(row)

    def _rows_of_known(self, codes: np.ndarray) -> Encoded:
        """Encoded rows of users by number; -1 has no features."""
        known = codes >= 0
        if known.all():
            return self._user_rows.take(codes)
        frame = select(pd.DataFrame(index=[0]), self._columns.used)
        nobody = self.net_.module_.user.part(self._encode(frame))
        place = np.cumsum(known) * known
        return stack(nobody, self._user_rows.take(codes[known])).take(place)

    def set_catalogue(self, items):
        """Say which items there are from now on, new ones by their attributes.

        Nothing is learned. `recommend`, `similar_items`, ``items_`` and ``item_embeddings_`` are
        of this catalogue until the next `fit` or `partial_fit`.

        Parameters
        ----------
        items : data frame, or array-like of shape (n,)
            One row per item with its id and the columns of `item_features`; of several rows the
            last one counts. Or ids that fit has seen, to choose among those.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column is missing, there is no item, an item is -1, or an id without attributes is
            not known.
        """
        check_is_fitted(self)
        columns = self._columns
        if is_frame(items):
            names = [str(name) for name in read_table(items).names]
            if columns.item not in names:
                raise ValueError(f"items must have the column of item={columns.item!r}")
            known_items = None if columns.item in columns.item_features else self.log_.items
            ids = read_ids(read_table(items), names.index(columns.item), known_items)
            rows = self._rows_of(items, "item")
        else:
            ids = read_ids(as_table(items, "items", self.item), 0)
            known = self.log_.items.encode(ids) - FIRST_KNOWN
            if (known < 0).any():
                raise ValueError(
                    f"items must be ids that fit has seen, got {int((known < 0).sum())} others. "
                    f"Pass new ones as a data frame with {list(columns.item_features)}."
                )
            rows = self._item_rows.take(known)
        vocabulary = Vocabulary().fit_counts(ids.values, ids.counts(None))
        if vocabulary.n_codes == FIRST_KNOWN:
            raise ValueError("items must hold at least one id, got none")
        check_item_ids(vocabulary)
        share = self._share_of(vocabulary)
        order = np.argsort(-share, kind="stable")
        vocabulary = vocabulary.in_order(order)
        at = vocabulary.encode(ids) - FIRST_KNOWN
        last = np.empty(len(order), dtype=np.int64)
        kept = np.flatnonzero(at >= 0)
        last[at[kept]] = kept
        self._use_catalogue(vocabulary, rows.take(last))
        return self

    def _share_of(self, items: Vocabulary) -> np.ndarray:
        """Share of items in the weight of all positives of the log."""
        pairs = self.log_.interactions
        total = np.bincount(pairs.items, pairs.weight, pairs.n_items)
        code = items.translate(self.log_.items) - FIRST_KNOWN
        return np.where(code >= 0, total[code], 0.0) / total.sum()

    def _use_catalogue(self, items: Vocabulary, rows: Encoded) -> None:
        self._items, self._catalogue_rows = items, rows
        self.popularity_ = self._share_of(items)
        self._refresh()

    def _refresh(self) -> None:
        """Anew what follows from the catalogue and the network."""
        self._place = self.log_.items.translate(self._items) - FIRST_KNOWN
        self.item_embeddings_ = self._vectors(self._catalogue_rows, "items")
        self._nothing_known = np.flatnonzero(nothing_known(self._catalogue_rows))

    def _catalogue(self):
        return self._items

    @property
    def items_(self):
        """Ids of the catalogue's items, the most popular first."""
        check_is_fitted(self)
        return self._items.values

    @property
    def users_(self):
        """Ids of the users that fit has seen, sorted."""
        check_is_fitted(self)
        return self.log_.users.values

    def _similarity_to(self, items):
        vectors = self.item_embeddings_
        length = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(length, np.finfo(vectors.dtype).tiny)
        return vectors[items] @ vectors.T
