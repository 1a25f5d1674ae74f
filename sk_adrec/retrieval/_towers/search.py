"""The best items of users, by exact search among the vectors of a catalogue."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..._validation import check_number
from .._lists.search import exact_popularity, lists_as_frame
from .._lists.top_k import blocks, map_blocks, n_threads, top_k
from .._log.ids import as_table, decode
from .._log.interactions import Interactions
from .vectors import TowerVectors


class TowerSearch(TowerVectors):
    """`recommend` by vectors."""

    # ---- lists ---------------------------------------------------------------------------

    def recommend(
        self, users, k=10, exclude_seen=True, candidates=None, as_frame=False, *, history=None
    ):
        """The k best items of each user.

        Parameters
        ----------
        users : array-like of shape (n,), or data frame
            Ids, which stand for the features of their last row in fit; or rows with the columns of
            `user_features`: new users, or new features of known ones. A frame with the column of
            `user` tells whose items have been seen.
        k : int, default=10
            Items per user.
        exclude_seen : bool, default=True
            Leave out the positives of fit. False where items are bought again.
        candidates : array-like, default=None
            Ids of the items to choose from; those that are not in the catalogue are passed over.
            None = all.
        as_frame : bool, default=False
            Return one data frame, with the ids of users and items, instead of two arrays.
        history : dict of user to list of items, or data frame, default=None
            What users have done lately; a data frame is a log as in fit. With ``user_items=True``
            only. It stands in place of what fit saw of those users: this is how new users are
            served. Items that fit did not see are passed over.

        Returns
        -------
        ids : ndarray of shape (n, k)
            In the items' own type. Where fewer than k items are left to choose from, the rest is a
            null id (-1 for integers, None otherwise) with score -inf.
        scores : ndarray of shape (n, k), float64
            Cosines or products, descending. Ids that fit has not seen (see `has_history`) get the
            most popular items, with their share of all positives as score. Items of which nothing
            is known (ids that are new, or below `min_frequency`, without a known attribute) come
            last, by popularity.

        Or, with `as_frame`, a DataFrame without null ids. Its columns are those of the log that
        the parameters `user` (the row number where there is no id) and `item` name ("user" and
        "item" where they are positions), then ``score``, ``rank`` (from 1) and ``is_popular``
        (whether it is popularity).

        Raises
        ------
        ValueError
            If k is not a positive integer, a column of the user's is missing, `history` is given to
            a model that does not read it, or the log's column of users or items has the name of
            one that `as_frame` adds.
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
        asked = self._read_users(users, history, "users")
        allowed = self._allowed(candidates)
        seen = asked.histories if exclude_seen else None
        positions, scores = self._search(asked.vectors, seen, k, allowed, asked.popular)
        if names is None:
            return decode(self._items, positions), scores
        return lists_as_frame(names, asked.ids, self._items, positions, scores, asked.popular)

    def has_history(self, users, *, history=None):
        """Whether `recommend` knows users, or falls back on popularity.

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
        codes, histories = self._of_ids(self._asked_users(table, history), history)
        return (codes >= 0) | (histories.lengths > 0)

    def _search(self, vectors, seen, k, allowed=None, popular=None):
        """Positions and scores of the k best items by user vectors, shape (n, k) each.

        `seen` holds the histories whose items are left out; None leaves out none.
        """
        positions = np.empty((len(vectors), k), dtype=np.int64)
        best = np.empty((len(vectors), k))
        columns = self.item_embeddings_.T

        def search(part):
            scores = vectors[part] @ columns
            self._put_last(scores, self._nothing_known)
            if popular is not None:
                scores[popular[part]] = self.popularity_
            if seen is not None:
                self._exclude(scores, seen.take(np.arange(part.start, part.stop)))
            found, values = top_k(scores if allowed is None else scores[:, allowed], k)
            if allowed is not None:
                found = np.append(allowed, -1)[found]
            if popular is not None:
                values = exact_popularity(values, found, popular[part], self.popularity_)
            positions[part], best[part] = found, values

        map_blocks(search, blocks(len(vectors), self._n_items()), n_threads(None))
        return positions, best

    def _put_last(self, scores, items) -> None:
        """Set the scores of some items below those of all others, in place."""
        if len(items):
            others = np.delete(scores, items, axis=1).min(axis=1, initial=0)
            scores[:, items] = np.nextafter(others, -np.inf)[:, None]

    def _exclude(self, scores, histories: Interactions) -> None:
        """Set the scores of what users have seen to -inf, in place."""
        place, row = self._place[histories.items], histories.users()
        scores[row[place >= 0], place[place >= 0]] = -np.inf
