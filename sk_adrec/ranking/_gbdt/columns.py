"""The columns of a log as boosted trees and as a linear layer see them.

An encoder of None stands for a scipy matrix, which both see as it is.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ...preprocessing._encoded import Encoded, Ragged
from ...preprocessing._log_encoder import LogEncoder
from .leaves import one_hot


def tree_input(encoder: LogEncoder | None, encoded: Encoded) -> np.ndarray | sparse.csr_matrix:
    """Numbers with NaN for missing, ids as codes, then each list's length and newest entry."""
    if encoder is None:
        assert encoded.sparse is not None
        return encoded.sparse
    n_numeric = len(encoder.numeric_names_)
    numeric = encoded.numeric[:, :n_numeric].copy()
    for k, name in enumerate(encoder.indicator_names_):
        missing = encoded.numeric[:, n_numeric + k] > 0
        numeric[missing, encoder.numeric_names_.index(name)] = np.nan
    lists = list(encoded.sequences.values())
    lengths = [ragged.lengths for ragged in lists]
    newest = [_newest(ragged) for ragged in lists]
    codes = np.column_stack([encoded.categorical, *newest]).astype(np.float64)
    codes[codes == 0] = np.nan
    return np.column_stack([numeric, *lengths, codes])


def tree_categories(encoder: LogEncoder | None) -> list[int]:
    """Positions of the codes in the trees' input."""
    if encoder is None:
        return []
    n_lists = len(encoder.sequence_names_)
    n_numbers = len(encoder.numeric_names_) + n_lists
    return list(range(n_numbers, n_numbers + len(encoder.categorical_names_) + n_lists))


def tree_columns(encoder: LogEncoder | None, n_features: int) -> list[int]:
    """For each column of the trees' input the column of X that it comes from."""
    if encoder is None:
        return list(range(n_features))
    position = {spec.name: j for j, spec in enumerate(encoder.columns_)}
    lists = encoder.sequence_names_
    names = [*encoder.numeric_names_, *lists, *encoder.categorical_names_, *lists]
    return [position[name] for name in names]


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
