"""Users that lists of items are asked for, and the lists as a data frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...preprocessing._series import as_series
from ...preprocessing._vocabulary import Vocabulary
from .._log.interactions import Interactions
from .._log.roles import decode

#: What a frame of recommendations says of each pair of user and item.
ADDED_COLUMNS = ("score", "rank", "is_popular")


class Block(NamedTuple):
    """Users that are served together.

    Parameters
    ----------
    histories : Interactions
        What each has had.
    query : ndarray of shape (n, d) or None
    is_popular : ndarray of shape (n,), bool
        As of :class:`Users`.
    """

    histories: Interactions
    query: np.ndarray | None
    is_popular: np.ndarray


@dataclass(frozen=True)
class Users:
    """n users that lists are asked for.

    Parameters
    ----------
    ids : array-like of shape (n,)
        As the caller names them.
    numbers : ndarray of shape (n,)
        In the log; -1 = not in it.
    known : Interactions
        Histories, of others too.
    row : ndarray of shape (n,)
        Which of the histories each user has; -1 = none.
    is_popular : ndarray of shape (n,), bool
        Who can only be served by popularity.
    query : ndarray of shape (n, d) or None, default=None
        What a model looks for items by, where histories are not all.
    """

    ids: Any
    numbers: np.ndarray
    known: Interactions
    row: np.ndarray
    is_popular: np.ndarray
    query: np.ndarray | None = None

    def block(self, part: slice) -> Block:
        """Some of the users."""
        query = None if self.query is None else self.query[part]
        return Block(self.known.take(self.row[part]), query, self.is_popular[part])


def leave_out(scores: np.ndarray, histories: Interactions, places: np.ndarray | None) -> None:
    """Set the scores of what users have had to -inf, in place.

    Parameters
    ----------
    scores : ndarray of shape (n_users, n_items)
    histories : Interactions
    places : ndarray or None
        Columns of the log's items, negative where they have none; None = their numbers.
    """
    row, column = histories.users(), histories.items
    if places is not None:
        column = places[column]
        row, column = row[column >= 0], column[column >= 0]
    scores[row, column] = -np.inf


def lists_as_frame(
    names: list[str], users: Users, catalogue: Vocabulary, positions, scores
) -> pd.DataFrame:
    """What `recommend` returns with `as_frame`, from lists of shape (n, k) by position.

    `names` are the columns of users and items.
    """
    n, k = positions.shape
    kept = (positions >= 0).ravel()
    columns = (
        as_series(users.ids).repeat(k)[kept].reset_index(drop=True),
        decode(catalogue, positions.ravel()[kept]),
        scores.ravel()[kept],
        np.tile(np.arange(1, k + 1), n)[kept],
        np.repeat(users.is_popular, k)[kept],
    )
    return pd.DataFrame(dict(zip((*names, *ADDED_COLUMNS), columns)))
