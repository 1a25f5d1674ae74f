"""What every retriever does: lists, probabilities of pairs, similar items, a score."""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from .._hyperparameters import KW_ONLY, hyperparameters
from .._state import FileState
from .._target import check_target
from .._validation import check_number, check_weight, in_scale
from ..preprocessing._columns import Table, read_table
from ..preprocessing._factorize import Factorized
from ..preprocessing._vocabulary import FIRST_KNOWN, Vocabulary
from ._lists.ndcg import SCORE_K, mean_ndcg
from ._lists.search import ADDED_COLUMNS, Block, Users, leave_out, lists_as_frame
from ._lists.top_k import blocks, map_blocks, n_threads, top_k
from ._log.log import find_histories, read_labels
from ._log.roles import as_table, check_log, decode, number_ids, read_ids, role_positions


class Pairs(NamedTuple):
    """Users and items that a caller asks about.

    Parameters
    ----------
    X : data frame or ndarray of shape (n, n_features)
        Checked.
    users, items : Factorized
    """

    X: object
    users: Factorized
    items: Factorized


@hyperparameters
class BaseRetriever(ClassifierMixin, FileState, BaseEstimator, metaclass=ABCMeta):
    """A model of users and items: all that it is asked for, whatever it is.

    A fit leaves ``log_``, ``classes_``, ``score_curve_``, ``base_rate_`` and ``popularity_``, and
    where some pairs have no score ``popularity_curve_``. A kind of models fills in these hooks; in
    brackets what they do by default:

    ================================ ===============================================================
    hook                             says
    ================================ ===============================================================
    ``_score_users(block)``          scores of all items, shape (n_users, n_items), free to be
                                     overwritten; an item of a history is scored by the others
    ``_score_pairs(pairs)``          scores of pairs, shape (n,), NaN where there is nothing to go
                                     by; one that the log holds is scored as if it did not
    ``_similarity_to(items)``        similarity of all items to some, shape (n, n_items); -inf where
                                     there is none
    ``_read_users(users, ...)``      the users that a caller asks for: :class:`Users` [of ids]
    ``_find_users(ids, ...)``        the users of ids [by their histories]
    ``_users_of_pairs(pairs, rows)`` the users of some rows, as `score` asks for them [of ids]
    ``_read_pairs(X, by_user)``      the columns that X must have; users and items [only those]
    ``_best_items(block, ...)``      the k best items [of all scores]
    ``_add_own(scores, histories)``  add, in place, what each item of a history says for itself
                                     [nothing]
    ``_catalogue_items()``           the items that scores are of, by popularity [the log's]
    ``_places()``                    places in it of the log's items [None: the same]
    ``_roles()``                     parameter -> the column that it names [user, item]
    ``_n_threads_of_search()``       threads [as many as this process may use]
    ================================ ===============================================================

    Items are numbered by popularity, the most popular first: of equal scores the more popular item
    wins.

    Parameters
    ----------
    user : str or int
        Column of the user's id, by name or position. The columns of an array without names are
        read in the order user, item, with a warning.
    item : str or int
        Column of the item's id, by name or position. Name those of your log.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The labels; ``classes_[1]`` is the positive one. [0, 1] without y.
    items_ : ndarray of shape (n_items,)
        Ids of the items, the most popular first.
    users_ : ndarray of shape (n_users,)
        Ids of the users, sorted.
    popularity_ : ndarray of shape (n_items,)
        Share of each item in the positives' weight, descending.
    score_curve_ : (ndarray, ndarray)
        Scores and their probabilities.
    base_rate_ : float
        Share of the positive class, 0.5 without negatives.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    """

    _: KW_ONLY
    user: str | int = "user_id"
    item: str | int = "item_id"

    # ---- hooks ---------------------------------------------------------------------------

    @abstractmethod
    def _score_users(self, block: Block) -> np.ndarray: ...

    @abstractmethod
    def _score_pairs(self, pairs: Pairs) -> np.ndarray: ...

    @abstractmethod
    def _similarity_to(self, items: np.ndarray) -> np.ndarray: ...

    def _read_users(self, users, history, name: str) -> Users:
        return self._users_by_id(as_table(users, name, self.user), history)

    def _find_users(self, ids: Factorized, column, history=None) -> Users:
        numbers = number_ids(self.log_.users, ids)
        known, row = find_histories(self.log_, ids, numbers, history, self._roles())
        return Users(column, numbers, known, row, known.lengths_of(row) == 0)

    def _users_of_pairs(self, pairs: Pairs, rows: np.ndarray) -> Users:
        ids = pairs.users
        return self._find_users(Factorized(ids.codes[rows], ids.values), None)

    def _read_pairs(self, X, *, by_user: bool = False) -> Pairs:
        roles = self._pair_roles()
        X = check_log(self, X, reset=False, reads=roles.values())
        table = read_table(X)
        at = role_positions(table, roles)
        users = read_ids(table, at["user"], self.log_.users)
        return Pairs(X, users, read_ids(table, at["item"], self.log_.items))

    def _best_items(self, block: Block, k: int, exclude_seen: bool, allowed):
        scores = self._score_users(block)
        scores[block.is_popular] = self.popularity_
        if exclude_seen:
            leave_out(scores, block.histories, self._places())
        else:
            self._add_own(scores, block.histories)
        found, best = top_k(scores if allowed is None else scores[:, allowed], k)
        if allowed is not None:
            found = np.append(allowed, -1)[found]
        # Scores may be float32; shares are shown as they are.
        shares = np.append(self.popularity_, -np.inf)[found]
        return found, np.where(block.is_popular[:, None], shares, best)

    def _add_own(self, scores: np.ndarray, histories) -> None:
        pass

    def _catalogue_items(self) -> Vocabulary:
        return self.log_.items

    def _places(self) -> np.ndarray | None:
        return None

    def _roles(self) -> dict[str, str | int]:
        return self._pair_roles()

    def _n_threads_of_search(self) -> int:
        return n_threads(None)

    # ---- lists ---------------------------------------------------------------------------

    def recommend(
        self, users, k=10, exclude_seen=True, candidates=None, as_frame=False, *, history=None
    ):
        """The k best items of each user.

        Parameters
        ----------
        users : array-like of shape (n,), or data frame for models that read features of users
            Ids, known or not; where features are read they stand for those of the user's last row
            in fit. Or rows with the columns of `user_features`: new users, or new features of known
            ones. A frame with the column of `user` tells whose items have been seen.
        k : int, default=10
            Items per user.
        exclude_seen : bool, default=True
            Leave out the items of the user's history. False where items are bought again.
        candidates : array-like, default=None
            Ids of the items to choose from; those that are not in the catalogue are passed over.
            None = all.
        as_frame : bool, default=False
            Return one data frame, with the ids of users and items, instead of two arrays.
        history : dict of user to list of items, or data frame, default=None
            What users have done lately, the most recent item last; a data frame is a log as in
            fit. It stands in place of what fit saw of those users: this is how new users are
            served. Items that fit did not see are passed over. For models that score by histories:
            two towers with ``user_items=True``, and all that are no towers.

        Returns
        -------
        ids : ndarray of shape (n, k)
            In the items' own type. Where fewer than k items are left to choose from, the rest is a
            null id (-1 for integers, None otherwise) with score -inf.
        scores : ndarray of shape (n, k), float64
            Descending; equal scores are in order of popularity. Users of whom nothing is known (see
            `has_history`) get the most popular items, with their share of all positives as score.
            Two towers put items of which nothing is known (ids that are new, or below
            `min_frequency`, without a known attribute) last, by popularity.

        Or, with `as_frame`, a DataFrame without null ids. Its columns are those of the log that
        the parameters `user` (the row number where there is no id) and `item` name ("user" and
        "item" where they are positions), then ``score``, ``rank`` (from 1) and ``is_popular``
        (whether the score is popularity).

        Raises
        ------
        ValueError
            If k is not a positive integer, `history` or a frame of users lacks a column, `history`
            is given to a model that does not read it, or the log's column of users or items has the
            name of one that `as_frame` adds.
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
        positions, scores = self._search(asked, k, exclude_seen, allowed)
        if names is None:
            return decode(self._catalogue_items(), positions), scores
        return lists_as_frame(names, asked, self._catalogue_items(), positions, scores)

    def has_history(self, users, *, history=None):
        """Whether `recommend` has something to go by, or falls back on popularity.

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
        return ~self._users_by_id(as_table(users, "users", self.user), history).is_popular

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
        table = as_table(users, "users", self.user)
        wanted = read_ids(as_table(items, "items", self.item), 0, self.log_.items)
        asked = self._users_by_id(table, history)
        check_consistent_length(asked.row, wanted.codes)
        return asked.known.contain(asked.row, number_ids(self.log_.items, wanted))

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
        places = self._read_items(items, "items")
        positions = np.full((len(places), k), -1)
        similarity = np.full((len(places), k), -np.inf)
        known = np.flatnonzero(places >= 0)
        for part in blocks(len(known), self._n_items()):
            rows = known[part]
            found = self._similarity_to(places[rows])
            found[np.arange(len(rows)), places[rows]] = -np.inf
            positions[rows], similarity[rows] = top_k(found, k)
        return decode(self._catalogue_items(), positions), similarity

    def _search(self, users: Users, k: int, exclude_seen=True, allowed=None):
        """Positions and scores of the k best items of some users, shape (n, k) each."""
        n = len(users.row)
        positions, best = np.empty((n, k), dtype=np.int64), np.empty((n, k))

        def search(part):
            found = self._best_items(users.block(part), k, exclude_seen, allowed)
            positions[part], best[part] = found

        map_blocks(search, blocks(n, self._n_items()), self._n_threads_of_search())
        return positions, best

    # ---- probabilities -------------------------------------------------------------------

    def predict_proba(self, X):
        """Probability that a pair of user and item is positive.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in fit; new ids are fine. A data frame may lack columns that the model does not read,
            other than those of users and items.

        Returns
        -------
        ndarray of shape (n_samples, 2)
            In the order of ``classes_``. With negatives in y: P(y = 1). Without: the probability
            that the pair comes from the log, and is not its user with an item drawn uniformly, one
            such pair for each of the log's. It is calibrated on scores that have not seen the pair.
            Where there is no score, which happens where histories are all that a model goes by, the
            items of a user without history are judged by their popularity; an item that fit did not
            see gets the base rate.

        Warns
        -----
        UserWarning
            If ids are strings where those of fit are numbers, or the reverse: none is known then.
        """
        check_is_fitted(self)
        pairs = self._read_pairs(X)
        p = np.interp(self._score_pairs(pairs), *self.score_curve_)
        if (unknown := np.flatnonzero(np.isnan(p))).size:
            items = number_ids(self._catalogue_items(), pairs.items)[unknown]
            by_popularity = np.interp(self.popularity_[items], *self.popularity_curve_)
            p[unknown] = np.where(items >= 0, by_popularity, self.base_rate_)
        return np.column_stack([1 - p, p])

    def predict(self, X):
        """The more probable label of each row.

        Parameters
        ----------
        X : data frame or ndarray of shape (n_samples, n_features)
            As in `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Where both are as probable, ``classes_[0]``; after a fit on positives alone
            ``classes_[1]``, so that a pair of which nothing is known counts as one of the log.
        """
        p = self.predict_proba(X)
        positive = p[:, 1] > p[:, 0]
        if self.log_.negatives is None:
            positive |= p[:, 1] == p[:, 0]
        return self.classes_[positive.astype(int)]

    def score(self, X, y=None, sample_weight=None):
        """NDCG@10 of held-out rows, the mean over their users.

        The positive rows of X are grouped by user, and compared with the ten items that
        `recommend` gives the user by what fit saw, and by the features of the user's first row in X
        where the model reads any. Items that fit saw of the user are no target, since they are not
        recommended; users with no other item are left out. Items that are not in the catalogue
        count as missed. With one held-out item per user it is the mean of 1 / log2(1 + rank), 0
        below rank 10.

        Parameters
        ----------
        X, y : as in `fit`
            Rows that fit has not seen; a data frame may lack columns other than those of users, of
            their features and of items.
        sample_weight : array-like of shape (n_samples,), default=None
            A user counts with the mean weight of its rows.

        Returns
        -------
        float
            0 (with a warning) if no user is left.
        """
        check_is_fitted(self)
        pairs = self._read_pairs(X, by_user=True)
        users, items = pairs.users, pairs.items
        y = None if y is None else check_target(y)
        weight = in_scale(check_weight(sample_weight, pairs.X, users.codes if y is None else y))
        # Rows without an id are not there.
        weight = weight * ((users.codes >= 0) & (items.codes >= 0))
        _, target = read_labels(y, weight, self.classes_)
        seen = self.log_.interactions.contain(
            number_ids(self.log_.users, users), number_ids(self.log_.items, items)
        )

        def lists(rows):
            return self._search(self._users_of_pairs(pairs, rows), SCORE_K)[0]

        return mean_ndcg(
            target & (weight > 0) & ~seen,
            users.codes,
            items.codes,
            number_ids(self._catalogue_items(), items),
            weight,
            self._n_items(),
            lists,
        )

    # ---- ids and columns -----------------------------------------------------------------

    def _users_by_id(self, table: Table, history) -> Users:
        """The users of the ids in a table of one column.

        Warns where fit's are of another type, unless a given history may speak for new users.
        """
        ids = read_ids(table, 0, self.log_.users if history is None else None)
        return self._find_users(ids, table.column(0), history)

    def _read_items(self, items, name: str) -> np.ndarray:
        """Places of ids in the catalogue, -1 where they are not in it; `name` is for messages."""
        ids = read_ids(as_table(items, name, self.item), 0, self._catalogue_items())
        return number_ids(self._catalogue_items(), ids)

    def _allowed(self, candidates) -> np.ndarray | None:
        """Places of the candidates that are in the catalogue; None where all items are."""
        if candidates is None:
            return None
        places = self._read_items(candidates, "candidates")
        return np.unique(places[places >= 0])

    def _n_items(self) -> int:
        return self._catalogue_items().n_codes - FIRST_KNOWN

    def _pair_roles(self) -> dict[str, str | int]:
        return {"user": self.user, "item": self.item}

    def _frame_names(self) -> list[str]:
        """Columns of users and items in a frame of recommendations."""
        roles = self._pair_roles()
        for role, name in roles.items():
            if name in ADDED_COLUMNS:
                raise ValueError(
                    f"as_frame=True adds the columns {', '.join(ADDED_COLUMNS)}, but "
                    f"{role}={name!r} is one of them: rename the log's column before fit, or take "
                    "as_frame=False"
                )
        return [name if isinstance(name, str) else role for role, name in roles.items()]

    def _calibration_rng(self) -> np.random.Generator:
        """Draws the pairs that probabilities are calibrated on."""
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.default_rng(seed)

    # ---- scikit-learn --------------------------------------------------------------------

    @property
    def items_(self):
        """Ids of the items, the most popular first."""
        check_is_fitted(self)
        return self._catalogue_items().values

    @property
    def users_(self):
        """Ids of the users that fit has seen, sorted."""
        check_is_fitted(self)
        return self.log_.users.values

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        # Ids say nothing about rows with other ids, as those of scikit-learn's checks are.
        tags.classifier_tags.poor_score = True
        tags.target_tags.required = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
