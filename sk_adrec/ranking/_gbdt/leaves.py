"""Boosted trees as features: which leaf of each tree a row falls into (LightGBM)."""

from __future__ import annotations

import re
import zlib
from typing import Any, Self

import lightgbm as lgb
import numpy as np
from scipy import sparse

from ..._state import stored

# Rows whose leaves are asked for at once: LightGBM answers in float64, which bounds the memory.
_ROWS = 65_536
# Trees add up to log odds divided by this parameter of LightGBM.
_SIGMOID = re.compile(r"^objective=binary sigmoid:(\S+)", re.MULTILINE)


@stored
class Leaves:
    """Fitted trees without their training data.

    Parameters
    ----------
    model : str
        LightGBM's text of the model.
    n_jobs : int or None
        Threads that look up leaves; None is LightGBM's choice.
    n_buckets : int or None
        Width to which leaves are hashed; None gives each leaf a column of its own.

    Attributes
    ----------
    values : ndarray of shape (n_leaves,)
        The logit that each leaf adds, tree after tree.
    n_leaves_per_tree : ndarray of shape (n_trees,)
    n_columns : int
        Width of the one-hot matrix.
    """

    def __init__(self, model: str, n_jobs: int | None = None, n_buckets: int | None = None) -> None:
        self._model, self._n_jobs, self.n_buckets = model, n_jobs, n_buckets
        self.booster = lgb.Booster(model_str=model)
        prefix = "leaf_value="
        per_tree = [
            np.array(line.removeprefix(prefix).split(), dtype=np.float64)
            for line in model.splitlines()
            if line.startswith(prefix)
        ]
        self.values = np.concatenate(per_tree)
        if "\naverage_output\n" in model:
            self.values /= len(per_tree)
        if scale := _SIGMOID.search(model):
            self.values *= float(scale[1])
        self.n_leaves_per_tree = np.array([len(values) for values in per_tree])
        starts = np.cumsum(self.n_leaves_per_tree) - self.n_leaves_per_tree
        self._starts = starts.astype(np.int32)
        self._bucket = None if n_buckets is None else _hash(len(self.values), n_buckets)
        self.n_columns = len(self.values) if n_buckets is None else n_buckets

    def one_hot(self, X: np.ndarray | sparse.csr_matrix) -> sparse.csr_matrix:
        """The leaves of n rows, shape (n, n_columns): a one per tree, in the order of the trees."""
        n_rows, n_trees = X.shape[0], len(self._starts)
        columns = np.empty((n_rows, n_trees), dtype=np.int32)
        threads: dict[str, Any] = {} if self._n_jobs is None else {"num_threads": self._n_jobs}
        for begin in range(0, n_rows, _ROWS):
            rows = slice(begin, begin + _ROWS)
            found = self.booster.predict(X[rows], pred_leaf=True, **threads)
            np.add(
                np.reshape(found, (-1, n_trees)), self._starts, out=columns[rows], casting="unsafe"
            )
        if self._bucket is not None:
            columns = self._bucket[columns]
        matrix = one_hot(columns, self.n_columns)
        if self._bucket is not None:
            matrix.sum_duplicates()
        return matrix

    def logits(self) -> np.ndarray:
        """What each column of the one-hot matrix adds to the trees' own logit, (n_columns,).

        Leaves that share a bucket are averaged, so that with hashing it is an estimate.
        """
        if self._bucket is None:
            return self.values
        total = np.bincount(self._bucket, self.values, minlength=self.n_columns)
        return total / np.maximum(np.bincount(self._bucket, minlength=self.n_columns), 1)

    def names(self) -> np.ndarray:
        """Names of the columns."""
        if self.n_buckets is not None:
            return np.array([f"bucket{k}" for k in range(self.n_buckets)], dtype=object)
        return np.array(
            [f"tree{t}_leaf{k}" for t, n in enumerate(self.n_leaves_per_tree) for k in range(n)],
            dtype=object,
        )

    def gains(self) -> np.ndarray:
        """Total gain of the splits on each column of the trees' input."""
        return self.booster.feature_importance("gain")

    def to_state(self) -> dict[str, Any]:
        """The trees as compressed text, a fourth of its size."""
        model = zlib.compress(self._model.encode())
        return {"model": model, "n_jobs": self._n_jobs, "n_buckets": self.n_buckets}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The trees that `to_state` described."""
        return cls(**{**state, "model": zlib.decompress(state["model"]).decode()})


def one_hot(columns: np.ndarray, n_columns: int) -> sparse.csr_matrix:
    """A matrix of shape (n, n_columns) with ones at `columns`, shape (n, k)."""
    n, k = columns.shape
    return sparse.csr_matrix(
        (np.ones(n * k), columns.ravel(), np.arange(n + 1, dtype=np.int64) * k),
        shape=(n, n_columns),
    )


def _hash(n: int, n_buckets: int) -> np.ndarray:
    """A bucket for each of n leaves: Fibonacci hashing, the same on every machine."""
    mixed = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return ((mixed >> np.uint64(32)) % np.uint64(n_buckets)).astype(np.int32)
