"""From scores of all items to lists of the best."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from ..._validation import check_number
from ...preprocessing._columns import Table
from ...preprocessing._factorize import Factorized
from ...preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from .._log.histories import read_histories
from .._log.ids import as_series, as_table, decode, number_ids, read_ids
from .._log.interactions import Interactions
from .._log.log import Log
from .top_k import blocks, map_blocks, n_threads, top_k

# What a frame of recommendations says of each pair of user and item.
_ADDED = ("score", "rank", "is_popular")


class CatalogueSearch(metaclass=ABCMeta):
    """`similar_items` of any retriever, and what ids are to it.

    It needs the attributes below, and the hook.
    """

    user: str | int
    item: str | int
    log_: Log

    @abstractmethod
    def _similarity_to(self, items: np.ndarray) -> np.ndarray:
        """Similarity of all items to each of some, shape (n, n_items); -inf where there is none."""

    def _allowed(self, candidates) -> np.ndarray | None:
        """Positions of the candidates that are in the catalogue; None where all items are."""
        if candidates is None:
            return None
        table = as_table(candidates, "candidates", self.item)
        codes = self._item_codes(read_ids(table, 0, self._catalogue()))
        return np.unique(codes[codes >= 0])

    def similar_items(self, items, k=10):
        """The k items most similar to each item, itself left out.

        Parameters
        ----------
        items : array-like of shape (n,)
            Ids.
        k : int, default=10
            Items per item.

        Returns
        -------
        ids : ndarray of shape (n, k)
            As in `recommend`; null ids where an item has fewer similar ones, or is unknown.
        similarity : ndarray of shape (n, k), float64
            Descending; -inf of null ids.
        """
        check_is_fitted(self)
        check_number("k", k, 1, integer=True)
        table = as_table(items, "items", self.item)
        codes = self._item_codes(read_ids(table, 0, self._catalogue()))
        positions = np.full((len(codes), k), -1)
        similarity = np.full((len(codes), k), -np.inf)
        known = np.flatnonzero(codes >= 0)
        for part in blocks(len(known), self._n_items()):
            rows = known[part]
            found = self._similarity_to(codes[rows])
            found[np.arange(len(rows)), codes[rows]] = -np.inf
            positions[rows], similarity[rows] = top_k(found, k)
        return decode(self._catalogue(), positions), similarity

    def has_seen(self, users, items, *, history=None):
        """Whether users have had items, which `recommend` then leaves out by default.

        Parameters
        ----------
        users, items : array-like of shape (n,)
            Ids of the pairs, known or not.
        history : dict or data frame, default=None
            As in `recommend`.

        Returns
        -------
        ndarray of shape (n,), bool

        Raises
        ------
        ValueError
            If there are not as many items as users.
        """
        check_is_fitted(self)
        owners = self._asked_users(as_table(users, "users", self.user), history)
        wanted = read_ids(as_table(items, "items", self.item), 0, self.log_.items)
        check_consistent_length(owners.codes, wanted.codes)
        histories, row = self._histories(owners, history)
        return histories.contain(row, number_ids(self.log_.items, wanted))

    def _catalogue(self) -> Vocabulary:
        """The items that scores are of."""
        return self.log_.items

    def _n_items(self) -> int:
        return self._catalogue().n_codes - FIRST_KNOWN

    def _item_codes(self, ids: Factorized) -> np.ndarray:
        return number_ids(self._catalogue(), ids)

    def _frame_names(self) -> list[str]:
        """Columns of users and items in a frame of recommendations."""
        roles = self._pair_roles()
        for role, name in roles.items():
            if name in _ADDED:
                raise ValueError(
                    f"as_frame=True adds the columns {', '.join(_ADDED)}, but {role}={name!r} is "
                    "one of them: rename the log's column before fit, or take as_frame=False"
                )
        return [name if isinstance(name, str) else role for role, name in roles.items()]

    def _user_codes(self, ids: Factorized) -> np.ndarray:
        return number_ids(self.log_.users, ids)

    def _pair_roles(self) -> dict[str, str | int]:
        """Parameter -> the column that it names, of users and items."""
        return {"user": self.user, "item": self.item}

    def _roles(self) -> dict[str, str | int]:
        """Parameter -> the column that it names, of all that fit reads."""
        return self._pair_roles()

    def _asked_users(self, table: Table, history) -> Factorized:
        """The ids in a table of one column.

        Warns where fit's are of another type, unless a given history may speak for new users.
        """
        return read_ids(table, 0, self.log_.users if history is None else None)

    def _histories(self, ids: Factorized, history=None) -> tuple[Interactions, np.ndarray]:
        """Histories, and which of them each user has; -1 = none.

        Warns where the users of `history` are of another type than those that are asked for:
        whichever of them is of another type than fit's.
        """
        known, known_users = self.log_.interactions, self.log_.users
        row = number_ids(known_users, ids)
        if history is None:
            return known, row
        given_users, given = read_histories(history, self._roles(), self.log_.items)
        if known_users.holds(ids.values):
            known_users.warn_of_other_type(given_users.as_factorized(), "history, as users,")
        else:
            given_users.warn_of_other_type(ids, "users", "history")
        own = number_ids(given_users, ids)
        # Those given come first; of the others, only those asked for are copied.
        asked, place = np.unique(row, return_inverse=True)
        row = np.where(own >= 0, own, len(given.lengths) + place)
        return given.followed_by(known.take(asked)), row


class HistorySearch(CatalogueSearch):
    """`recommend` of a retriever that scores items by a user's history.

    It needs the attributes below as well, and the hooks.
    """

    n_jobs: int | None
    popularity_: np.ndarray

    @abstractmethod
    def _score_items(self, histories: Interactions) -> np.ndarray:
        """Scores of all items, shape (n_histories, n_items), free to be overwritten.

        An item of the history is scored by the others.
        """

    def _add_own(self, scores: np.ndarray, histories: Interactions) -> None:
        """Add, in place, what each item of a history says for itself: by default nothing."""

    def recommend(
        self, users, k=10, exclude_seen=True, candidates=None, as_frame=False, *, history=None
    ):
        """The k best items of each user.

        Parameters
        ----------
        users : array-like of shape (n,)
            Ids, known or not.
        k : int, default=10
            Items per user.
        exclude_seen : bool, default=True
            Leave out the items of the user's history. False where items are bought again.
        candidates : array-like, default=None
            Ids of the items to choose from; unknown ones are passed over. None = all.
        as_frame : bool, default=False
            Return one data frame, with the ids of users and items, instead of two arrays.
        history : dict of user to list of items, or data frame, default=None
            What users have done lately, the most recent item last; a data frame is a log as in
            fit. It stands in place of what fit saw of those users: this is how new users are
            served. Items that fit did not see are passed over.

        Returns
        -------
        ids : ndarray of shape (n, k)
            In the items' own type. Where fewer than k items are left to choose from, the rest is a
            null id (-1 for integers, None otherwise) with score -inf.
        scores : ndarray of shape (n, k), float64
            Descending. Equal scores are in order of popularity. Users without a history (see
            `has_history`) get the most popular items, with their share of all interactions as
            score.

        Or, with `as_frame`, a DataFrame without null ids. Its columns are those of the log that
        the parameters `user` and `item` name ("user" and "item" where they are positions), then
        ``score``, ``rank`` (from 1) and ``is_popular`` (whether the user has no history).

        Raises
        ------
        ValueError
            If k is not a positive integer, `history` lacks a column, or the log's column of users
            or items has the name of one that `as_frame` adds.
        TypeError
            If `users` or `candidates` is a single id instead of a list.

        Warns
        -----
        UserWarning
            If ids are strings where those of fit are numbers, or the reverse: none is known then.
        """
        check_is_fitted(self)
        check_number("k", k, 1, integer=True)
        names = self._frame_names() if as_frame else None
        table = as_table(users, "users", self.user)
        histories, row = self._histories(self._asked_users(table, history), history)
        allowed = self._allowed(candidates)
        positions, scores = self._search(histories, row, k, exclude_seen, allowed)
        if names is None:
            return decode(self._catalogue(), positions), scores
        is_popular = histories.lengths_of(row) == 0
        return lists_as_frame(
            names, as_series(table.column(0)), self._catalogue(), positions, scores, is_popular
        )

    def has_history(self, users, *, history=None):
        """Whether `recommend` has a history to go by, or falls back on popularity.

        Parameters
        ----------
        users : array-like of shape (n,)
            Ids.
        history : dict or data frame, default=None
            As in `recommend`.

        Returns
        -------
        ndarray of shape (n,), bool
        """
        check_is_fitted(self)
        table = as_table(users, "users", self.user)
        histories, row = self._histories(self._asked_users(table, history), history)
        return histories.lengths_of(row) > 0

    def _search(self, histories, row, k, exclude_seen=True, allowed=None):
        """Positions and scores of the k best items of some histories, shape (n, k) each."""
        positions = np.empty((len(row), k), dtype=np.int64)
        best = np.empty((len(row), k))

        def search(part):
            found = self._best_items(histories.take(row[part]), k, exclude_seen, allowed)
            positions[part], best[part] = found

        map_blocks(search, blocks(len(row), self._n_items()), n_threads(self.n_jobs))
        return positions, best

    def _best_items(self, histories, k, exclude_seen, allowed):
        """Positions and scores of the k best items of a block of histories."""
        scores = self._score_items(histories)
        scores[histories.lengths == 0] = self.popularity_
        if exclude_seen:
            scores[histories.users(), histories.items] = -np.inf
        else:
            self._add_own(scores, histories)
        found, best = top_k(scores if allowed is None else scores[:, allowed], k)
        if allowed is not None:
            found = np.append(allowed, -1)[found]
        return found, exact_popularity(best, found, histories.lengths == 0, self.popularity_)


def exact_popularity(best, positions, popular, popularity) -> np.ndarray:
    """Scores of lists as float64, those of popularity as they are, not as they were rounded.

    Parameters
    ----------
    best, positions : ndarray of shape (n, k)
        Scores and positions.
    popular : ndarray of shape (n,), bool
        The lists that are of the most popular items.
    popularity : ndarray of shape (n_items,), float64
    """
    shares = np.append(popularity, -np.inf)[positions]
    return np.where(popular[:, None], shares, best)


def lists_as_frame(
    names: list[str], users, catalogue: Vocabulary, positions, scores, is_popular
) -> pd.DataFrame:
    """What `recommend` returns with `as_frame`, from lists of shape (n, k) by position.

    `names` are the columns of users and items.
    """
    n, k = positions.shape
    kept = (positions >= 0).ravel()
    columns = (
        pd.Series(users).repeat(k)[kept].reset_index(drop=True),
        decode(catalogue, positions.ravel()[kept]),
        scores.ravel()[kept],
        np.tile(np.arange(1, k + 1), n)[kept],
        np.repeat(is_popular, k)[kept],
    )
    return pd.DataFrame(dict(zip((*names, *_ADDED), columns)))
