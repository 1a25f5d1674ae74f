"""What a fit of two towers learns from, is stopped by, and is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import TrainingRows
from ..._training import Task
from ...preprocessing._encoded import Encoded
from .._log.interactions import Interactions
from .._log.log import Log
from .rows import ITEM, POSITIVE, USER, with_histories

#: Validation rows or users that are ranked after an epoch; more would not tell more.
MOST_RANKED = 20_000


@dataclass(frozen=True)
class Logged:
    """Rows by their numbers in a log that holds them.

    Parameters
    ----------
    target : ndarray of shape (n, 3)
        Columns `USER`, `ITEM` and `POSITIVE`.
    before : Log or None
        The log without them.
    """

    target: np.ndarray
    before: Log | None


@dataclass(frozen=True)
class Judged:
    """Rows to calibrate on, and the histories without them.

    Parameters
    ----------
    encoded : Encoded
    target : ndarray of shape (n, 3)
    weight : ndarray of shape (n,)
    rows : ndarray of int
        The rows of those arrays that were held out.
    pairs : Interactions
        What was learned from.
    """

    encoded: Encoded
    target: np.ndarray
    weight: np.ndarray
    rows: np.ndarray
    pairs: Interactions

    @classmethod
    def of(cls, encoded, target, weight, rows, held_out, pairs: Interactions) -> Judged:
        """The held-out rows; those that are learned from where there are none of each label."""
        if held_out is None or len(np.unique(target[held_out, POSITIVE])) < len(
            np.unique(target[:, POSITIVE])
        ):
            held_out = rows
        return cls(encoded, target, weight, held_out, pairs)

    @classmethod
    def of_given(cls, valid: TrainingRows | None, log: Log, pairs: Interactions) -> Judged | None:
        """The rows that fit got to stop on; None where they lack a label that the log has."""
        if valid is None:
            return None
        label = valid.y[:, POSITIVE]
        if not (label == 1).any() or (log.negatives is not None and not (label == 0).any()):
            return None
        every = np.arange(len(valid))
        return cls(valid.encoded, valid.y, valid.weight.astype(np.float64), every, pairs)


@dataclass(frozen=True)
class Ranked:
    """What lists of items for the users of validation rows are compared with.

    Parameters
    ----------
    histories : Interactions
        What was learned of each user.
    user, item : ndarray of shape (n_pairs,)
        The held-out items, each once: the number of the list, and of the item.
    """

    histories: Interactions
    user: np.ndarray
    item: np.ndarray


@dataclass(frozen=True, kw_only=True)
class TowerTask(Task):
    """A task of two towers.

    Parameters
    ----------
    shares : (ndarray of shape (n_users,), ndarray of shape (n_items,))
        Share of each user and item in the weight of the positives that are learned from.
    own_negatives : bool
        Whether the loss learns from rows of the negative label.
    held_out_weight : float, default=1.0
        What the items that a pass predicts of a user weigh on average, where rows are users.
    ranked : Ranked or None, default=None
        Where validation rows are users.
    judged : Judged or None, default=None
        None: the probabilities are not learned anew.
    """

    shares: tuple[np.ndarray, np.ndarray]
    own_negatives: bool
    held_out_weight: float = 1.0
    ranked: Ranked | None = None
    judged: Judged | None = None


def shares_of(users, items, weight, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Share of each user and item in the weight of some rows."""
    of_users, of_items = (
        np.bincount(numbers, weight, size) for numbers, size in zip((users, items), shape)
    )
    return of_users / of_users.sum(), of_items / of_items.sum()


def users_with_items(
    pairs: Interactions, users: np.ndarray, rows: Encoded, target_share: float, dtype: str
) -> tuple[TrainingRows, float]:
    """A row for each of some users, with all their items, some of which it then predicts.

    Parameters
    ----------
    pairs : Interactions
    users : ndarray of shape (n,)
    rows : Encoded
        The users' columns, of all users of the log.
    target_share : float
        Share of a user's items that are predicted.
    dtype : str

    Returns
    -------
    rows : TrainingRows
    held_out_weight : float
        What the predicted items of a user weigh on average.
    """
    own = pairs.take(users)
    held_out_weight = max(float(own.weight.sum() * target_share / len(users)), 1e-12)
    target = np.stack([users, np.full_like(users, -1), np.ones_like(users)], axis=1)
    encoded = with_histories(rows.take(users), own, dtype)
    return TrainingRows.of(encoded, target, np.ones(len(users)), None, dtype), held_out_weight


def users_to_rank(valid: TrainingRows, pairs: Interactions) -> tuple[TrainingRows, Ranked]:
    """A row for each user of validation rows, and what its list should hold.

    Rows of users that fit has not seen stay apart.

    Parameters
    ----------
    valid : TrainingRows
    pairs : Interactions
        What is learned from.
    """
    some = np.arange(len(valid.y)) if valid.rows is None else valid.rows
    positive = some[(valid.y[some, POSITIVE] == 1) & (valid.y[some, ITEM] >= 0)]
    y, (n_users, n_items) = valid.y[positive], pairs.shape
    alone = n_users + np.arange(len(y))
    _, first, user = np.unique(
        np.where(y[:, USER] >= 0, y[:, USER], alone), return_index=True, return_inverse=True
    )
    weight = np.bincount(user, valid.weight[positive]) / np.bincount(user)
    step = max(1, -(-len(first) // MOST_RANKED))
    asked = user % step == 0
    held_out = np.unique(user[asked] // step * np.int64(n_items) + y[asked, ITEM])
    # Where nothing can be ranked, one row stands for the loss of none.
    shown, weight = positive[first[::step]], weight[::step]
    if not len(shown):
        shown, weight = some[:1], np.zeros(1)
    histories = pairs.take(valid.y[shown, USER])
    learned = histories.users() * np.int64(n_items) + histories.items
    histories = histories.select(~np.isin(learned, held_out))
    encoded = with_histories(valid.encoded.take(shown), histories, valid.weight.dtype)
    rows = TrainingRows(encoded, valid.y[shown], weight.astype(valid.weight.dtype))
    return rows, Ranked(histories, *np.divmod(held_out, n_items))
