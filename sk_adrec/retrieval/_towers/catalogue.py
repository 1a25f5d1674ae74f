"""Vectors by trained towers, and the items that are searched by them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..._batches import forward_batches
from ..._state import stored
from ...preprocessing._encoded import Encoded
from ...preprocessing._factorize import Factorized
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from .._log.interactions import Interactions
from .._log.log import Log
from .._log.roles import check_item_ids, number_ids
from .module import TwoTowers
from .rows import ITEM, USER, nothing_known, with_histories, without


@dataclass(frozen=True)
class TrainedTowers:
    """Towers in evaluation, batch by batch.

    Parameters
    ----------
    module : TwoTowers
    at_once : int
        Rows of a batch.
    """

    module: TwoTowers
    at_once: int

    def item_vectors(self, rows: Encoded) -> np.ndarray:
        """Vectors of rows of items, shape (n, d)."""
        return self._forward(rows, "items")

    def pair_scores(self, rows: Encoded, target: np.ndarray, pairs: Interactions) -> np.ndarray:
        """Products of each row's two vectors, shape (n,), float64.

        Parameters
        ----------
        rows : Encoded
            With the columns of both sides.
        target : ndarray of shape (n, 3)
        pairs : Interactions
            Histories by number of the user: where the module reads them, a row's own item is left
            out of its user's.
        """
        scores = np.empty(len(rows))
        for part, batch in self._parts(rows, pairs, target[:, USER], target[:, ITEM]):
            output = self._forward(batch).astype(np.float64)
            u, v = np.split(output, 2, axis=1)
            scores[part] = (u * v).sum(axis=1)
        return scores

    def user_vectors(
        self,
        rows: Encoded,
        pairs: Interactions,
        users: np.ndarray,
        items: np.ndarray | None = None,
    ) -> np.ndarray:
        """Vectors of users, shape (n, d).

        Parameters
        ----------
        rows : Encoded
            The users' columns.
        pairs : Interactions
            Histories, read where the module does so.
        users : ndarray of shape (n,)
            Which of the histories each user has; -1 = none.
        items : ndarray of shape (n,), default=None
            An item of each to leave out.
        """
        parts = self._parts(rows, pairs, users, items)
        return np.concatenate([self._forward(batch, "users") for _, batch in parts])

    def _parts(self, rows, pairs, users, items) -> Iterator[tuple[slice, Encoded]]:
        """Rows that are looked at together, with their histories where the module reads them."""
        reads = self.module.reads_histories
        for part in pairs.parts(users if reads else np.full(len(users), -1), self.at_once):
            batch = rows.take(part)
            if reads:
                own = pairs.take(users[part])
                batch = with_histories(batch, own if items is None else without(own, items[part]))
            yield part, batch

    def _forward(self, rows: Encoded, method: str | None = None) -> np.ndarray:
        module = self.module
        return forward_batches(module, rows, module.device, self.at_once, method=method)


@stored
@dataclass(frozen=True)
class Catalogue:
    """Which items there are.

    Parameters
    ----------
    items : Vocabulary
        The most popular first.
    rows : Encoded
        Their columns.
    """

    items: Vocabulary
    rows: Encoded

    @classmethod
    def of(cls, ids: Factorized, rows: Encoded, log: Log) -> Catalogue:
        """The items of some rows, of which an item's last one counts.

        Raises
        ------
        ValueError
            If there is none, or one is -1.
        """
        items = Vocabulary().fit_counts(ids.values, ids.counts(None))
        if items.n_codes == FIRST_KNOWN:
            raise ValueError("items must hold at least one id, got none")
        check_item_ids(items)
        order = np.argsort(-log.popularity_of(items), kind="stable")
        items = items.in_order(order)
        at, last = number_ids(items, ids), np.empty(len(order), dtype=np.int64)
        kept = np.flatnonzero(at >= 0)
        last[at[kept]] = kept
        return cls(items, rows.take(last))


@dataclass(frozen=True)
class Index:
    """What is known of the items of a catalogue, by their places in it.

    Parameters
    ----------
    embeddings : ndarray of shape (n_items, d)
        Their vectors.
    popularity : ndarray of shape (n_items,)
        Their share in the weight of a log's positives.
    places : ndarray of shape (n_logged,)
        Of the items of the log; negative where they are not in the catalogue.
    nothing_known : ndarray of int
        Items that are not told apart by anything.
    """

    embeddings: np.ndarray
    popularity: np.ndarray
    places: np.ndarray
    nothing_known: np.ndarray

    @classmethod
    def of(cls, catalogue: Catalogue, log: Log, towers: TrainedTowers) -> Index:
        """What follows from a catalogue, a log and trained towers."""
        return cls(
            towers.item_vectors(catalogue.rows),
            log.popularity_of(catalogue.items),
            log.items.translate(catalogue.items) - FIRST_KNOWN,
            np.flatnonzero(nothing_known(catalogue.rows)),
        )

    def scores(self, u: np.ndarray) -> np.ndarray:
        """Scores of all items by users' vectors, shape (n_users, n_items).

        Items of which nothing is known come below all others.
        """
        scores, last = u @ self.embeddings.T, self.nothing_known
        if len(last):
            others = np.delete(scores, last, axis=1).min(axis=1, initial=0)
            scores[:, last] = np.nextafter(others, -np.inf)[:, None]
        return scores

    def similarity_to(self, items: np.ndarray) -> np.ndarray:
        """Cosines of all items with some, shape (n, n_items)."""
        length = np.linalg.norm(self.embeddings, axis=1, keepdims=True)
        unit = self.embeddings / np.maximum(length, np.finfo(self.embeddings.dtype).tiny)
        return unit[items] @ unit.T
