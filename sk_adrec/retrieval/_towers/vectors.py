"""Vectors of encoded rows, and their products, by trained towers."""

from __future__ import annotations

import numpy as np
import torch

from ..._batches import forward_batches
from ...nn import Batch
from ...preprocessing._encoded import Encoded
from .._log.interactions import Interactions
from .module import TwoTowers
from .rows import ITEM, USER, with_histories, without


def vectors(module: TwoTowers, side: str, rows: Encoded, at_once: int) -> np.ndarray:
    """Vectors of rows of one side, shape (n, d).

    Parameters
    ----------
    module : TwoTowers
    side : {"users", "items"}
    rows : Encoded
        The side's columns, and histories where the module reads them.
    at_once : int
        Rows of a batch.
    """
    module.eval()
    tower, parts = getattr(module, side), []
    with torch.inference_mode():
        for start in range(0, max(1, len(rows)), at_once):
            part = rows.take(slice(start, start + at_once))
            parts.append(tower(Batch.from_encoded(part, module.device)).cpu().numpy())
    return np.concatenate(parts)


def pair_scores(
    module: TwoTowers, encoded: Encoded, target: np.ndarray, pairs: Interactions, at_once: int
) -> np.ndarray:
    """Products of each row's two vectors, shape (n,), float64.

    Parameters
    ----------
    module : TwoTowers
    encoded : Encoded
        Rows with the columns of both sides.
    target : ndarray of shape (n, 3)
    pairs : Interactions
        Histories by number of the user: where the module reads them, a row's own item is left out
        of its user's.
    at_once : int
    """
    scores = np.empty(len(encoded))
    for start in range(0, len(encoded), at_once):
        rows = slice(start, start + at_once)
        part = encoded.take(rows)
        if module.reads_histories:
            part = with_histories(part, without(pairs.take(target[rows, USER]), target[rows, ITEM]))
        output = forward_batches(module, part, module.device, at_once)
        u, v = np.split(output.astype(np.float64), 2, axis=1)
        scores[rows] = (u * v).sum(axis=1)
    return scores
