"""What a fit of two towers learns from, is stopped by, and is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import TrainingRows
from ..._training import Parts, Task
from ...preprocessing._encoded import Encoded, Schema
from .._log.interactions import Interactions
from .._log.log import Log
from .evaluation import Judged, Ranked, users_to_rank
from .rows import ITEM, POSITIVE, USER, with_histories


@dataclass(frozen=True, kw_only=True)
class TowerTask(Task):
    """A task of two towers.

    Parameters
    ----------
    shares : (ndarray of shape (n_users,), ndarray of shape (n_items,))
        Share of each user and item in the weight of the positives that are learned from.
    own_negatives : bool
        Whether the loss learns from rows of the negative label.
    held_out_weight : float
        What the items that a pass predicts of a user weigh on average, where rows are users.
    ranked : Ranked or None, default=None
        Where validation rows are users.
    judged : Judged or None, default=None
        None: the probabilities are not learned anew.
    """

    shares: tuple[np.ndarray, np.ndarray]
    own_negatives: bool
    held_out_weight: float
    ranked: Ranked | None = None
    judged: Judged | None = None


@dataclass(frozen=True)
class TaskMaker:
    """Makes tasks of the rows of a log.

    Parameters
    ----------
    schema : Schema
    log : Log
        Holds the rows.
    own_negatives : bool
    dtype : str
    users : Encoded or None
        The columns of all users of the log, where a row to learn from is a user with its items.
    target_share : float
        Share of a user's items that are then predicted from the others.
    """

    schema: Schema
    log: Log
    own_negatives: bool
    dtype: str
    users: Encoded | None
    target_share: float

    def first(self, encoded, target, weight, parts: Parts, given: TrainingRows | None) -> TowerTask:
        """The task of a fit; `given` are the rows that it got to stop on."""
        rows = np.arange(len(target)) if parts.train is None else parts.train
        used = self._used(target, rows)
        if not len(used):
            raise ValueError(
                "y must have a positive row with a user and an item to learn from, got "
                f"{len(rows)} rows without one"
            )
        positive = used[target[used, POSITIVE] == 1]
        counted = (target[positive, USER], target[positive, ITEM], weight[positive])
        pairs = Interactions.of(*counted, None, self.log.interactions.shape)
        judged = Judged.of_given(given, self.log, pairs)
        if judged is None:
            judged = Judged.of(encoded, target, weight, rows, parts.held_out, pairs)
        valid, ranked = given, None
        if parts.valid is not None:
            valid = TrainingRows.of(encoded, target, weight, parts.valid, self.dtype)
        if valid is not None and self.users is not None:
            valid, ranked = users_to_rank(valid, pairs)
        train = self._train(encoded, target, weight, used, pairs, np.flatnonzero(pairs.lengths))
        return self._task(train, counted, valid=valid, ranked=ranked, judged=judged)

    def further(self, encoded, target, weight) -> TowerTask:
        """The task of one more pass, maybe over no row."""
        pairs, used = self.log.interactions, self._used(target, np.arange(len(target)))
        train = self._train(encoded, target, weight, used, pairs, np.unique(target[used, USER]))
        return self._task(train, (pairs.users(), pairs.items, pairs.weight))

    def _used(self, target, rows) -> np.ndarray:
        """The rows that the loss looks at."""
        return rows if self.own_negatives else rows[target[rows, POSITIVE] == 1]

    def _train(self, encoded, target, weight, used, pairs, users) -> tuple[TrainingRows, float]:
        """Rows to learn from, and what the items to predict of a user weigh on average."""
        if not len(used):
            return TrainingRows(encoded, target, weight, used), 1.0
        if self.users is None:
            return TrainingRows.of(encoded, target, weight, used, self.dtype), 1.0
        own = pairs.take(users)
        held_out_weight = max(float(own.weight.sum() * self.target_share / len(users)), 1e-12)
        target = np.stack([users, np.full_like(users, -1), np.ones_like(users)], axis=1)
        encoded = with_histories(self.users.take(users), own, self.dtype)
        rows = TrainingRows.of(encoded, target, np.ones(len(users)), None, self.dtype)
        return rows, held_out_weight

    def _task(self, train: tuple[TrainingRows, float], counted, **of_fit) -> TowerTask:
        """A task; `counted` are users, items and weights of what shares are of."""
        shares = [
            np.bincount(numbers, counted[2], size)
            for numbers, size in zip(counted, self.log.interactions.shape)
        ]
        users, items = (share / share.sum() for share in shares)
        return TowerTask(
            schema=self.schema,
            train=train[0],
            shares=(users, items),
            own_negatives=self.own_negatives,
            held_out_weight=train[1],
            **of_fit,
        )
