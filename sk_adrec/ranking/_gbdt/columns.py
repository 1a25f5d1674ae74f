"""The columns of a log as boosted trees and as a linear layer see them.

An encoder of None stands for a scipy matrix, which both see as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from ...preprocessing._columns import CATEGORICAL, SEQUENCE
from ...preprocessing._encoded import Encoded, Ragged
from ...preprocessing._log_encoder import LogEncoder
from .leaves import one_hot


class TreeColumn(NamedTuple):
    """A column of the trees' input.

    Parameters
    ----------
    source : int
        The column of X that it comes from.
    name : str or int
        Of that column.
    is_ids : bool
        Whether it holds codes.
    is_own : bool
        Whether it stands at the position of its column of X.
    """

    source: int
    name: Any
    is_ids: bool
    is_own: bool


def tree_columns(encoder: LogEncoder | None, n_features: int) -> list[TreeColumn]:
    """The trees' input: the columns of X in their order, then the newest entry of each list.

    In the place of a list stands its length.
    """
    if encoder is None:
        return [TreeColumn(j, j, False, True) for j in range(n_features)]
    specs = list(enumerate(encoder.columns_))
    own = [TreeColumn(j, spec.name, spec.kind == CATEGORICAL, True) for j, spec in specs]
    lists = [(j, spec) for j, spec in specs if spec.kind == SEQUENCE]
    return own + [TreeColumn(j, spec.name, True, False) for j, spec in lists]


def tree_input(encoder: LogEncoder | None, encoded: Encoded) -> np.ndarray | sparse.csr_matrix:
    """The columns of :func:`tree_columns`: numbers and codes of ids, NaN where they are missing."""
    if encoder is None:
        assert encoded.sparse is not None
        return encoded.sparse
    position = {spec.name: j for j, spec in enumerate(encoder.columns_)}
    n_features, n_numeric = len(position), len(encoder.numeric_names_)
    X = np.full((len(encoded), n_features + len(encoded.sequences)), np.nan)
    numeric = [position[name] for name in encoder.numeric_names_]
    X[:, numeric] = encoded.numeric[:, :n_numeric]
    for k, name in enumerate(encoder.indicator_names_):
        X[encoded.numeric[:, n_numeric + k] > 0, position[name]] = np.nan
    ids = [position[name] for name in encoder.categorical_names_]
    X[:, ids] = _or_nan(encoded.categorical)
    for k, (name, ragged) in enumerate(encoded.sequences.items()):
        X[:, position[name]] = ragged.lengths
        X[:, n_features + k] = _or_nan(_newest(ragged))
    return X


def own_columns(encoder: LogEncoder | None, encoded: Encoded) -> list[sparse.csr_matrix]:
    """Sparse blocks of the columns of X: numbers, one-hot ids, lists as means of one-hots."""
    if encoder is None:
        assert encoded.sparse is not None
        return [encoded.sparse]
    blocks = []
    if encoded.numeric.shape[1]:
        blocks.append(sparse.csr_matrix(encoded.numeric))
    if encoded.categorical.shape[1]:
        sizes = np.array([encoder.cardinality(name) for name in encoder.categorical_names_])
        starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        blocks.append(one_hot(encoded.categorical + starts, int(sizes.sum())))
    for name, ragged in encoded.sequences.items():
        lengths = ragged.lengths
        shares = np.repeat(1.0 / np.maximum(lengths, 1), lengths)
        shape = (len(encoded), encoder.cardinality(name))
        blocks.append(sparse.csr_matrix((shares, ragged.values, ragged.offsets), shape=shape))
    return blocks


def _newest(ragged: Ragged) -> np.ndarray:
    """The last code of each list, shape (n,); 0 where it is empty."""
    codes = np.zeros(len(ragged), dtype=np.int32)
    some = ragged.lengths > 0
    codes[some] = ragged.values[ragged.offsets[1:][some] - 1]
    return codes


def _or_nan(codes: np.ndarray) -> np.ndarray:
    """Codes, NaN for 0."""
    return np.where(codes == 0, np.nan, codes)
