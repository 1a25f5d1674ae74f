"""What trained towers make of encoded rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._batches import forward_batches
from ...preprocessing._encoded import Encoded
from .._log.interactions import Interactions
from .module import TwoTowers
from .rows import ITEM, USER, with_histories, without


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

    def vectors(self, side: str, rows: Encoded) -> np.ndarray:
        """Vectors of rows of one side ("users", "items"), shape (n, d).

        Rows of users hold histories where the module reads them.
        """
        return self._forward(rows, side)

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
        for start in range(0, len(rows), self.at_once):
            part = slice(start, start + self.at_once)
            batch, numbers = rows.take(part), target[part]
            if self.module.reads_histories:
                own = pairs.take(numbers[:, USER])
                batch = with_histories(batch, without(own, numbers[:, ITEM]))
            output = self._forward(batch).astype(np.float64)
            u, v = np.split(output, 2, axis=1)
            scores[part] = (u * v).sum(axis=1)
        return scores

    def _forward(self, rows: Encoded, method: str | None = None) -> np.ndarray:
        module = self.module
        return forward_batches(module, rows, module.device, self.at_once, method=method)
