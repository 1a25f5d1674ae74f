"""What FeatureEncoder does to one column: one small class for each way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._state import stored
from ._columns import flatten, to_float
from ._factorize import Factorized, factorize
from ._moments import Moments
from ._storage import Column
from ._vocabulary import MISSING, UNKNOWN, UNKNOWN_CATEGORY, Vocabulary

# Landmarks of the empirical distribution for numeric="quantile": a step of 0.1 %.
_N_QUANTILES = 1001


class FeatureColumn(Protocol):
    """Fitted state of one column."""

    def transform(self, column: Column, where: str) -> Any:
        """The column as float64 ndarray, `pandas.Categorical` of text, or (lists) as it is."""

    def unknown(self, has_value: np.ndarray) -> Any:
        """The same for values of which nothing is known, given which rows have one."""


def categories(texts: Any) -> pd.CategoricalDtype:
    """Categories of text: of integers, files and Polars would make numbers."""
    try:
        return pd.CategoricalDtype(texts)
    except UnicodeError:  # lone surrogates
        return pd.CategoricalDtype(pd.Index(texts, dtype=object))


def numbered(n: int) -> pd.CategoricalDtype:
    """The categories "0" to "n - 1"."""
    return categories(pd.Index(pc.cast(pa.array(np.arange(n)), pa.string()).to_numpy(False)))


@stored
@dataclass
class Known:
    """Frequent ids are categories, by their text; NaN is missing, all others are "<unknown>"."""

    vocabulary: Vocabulary

    @classmethod
    def fit(
        cls,
        column: Column,
        where: str,
        sample_weight: np.ndarray | None,
        min_frequency: int | float,
        max_categories: int | None,
    ) -> Known:
        """Learn the ids of a column that are frequent enough."""
        factorized = factorize(column, where)
        counts = factorized.counts(sample_weight)
        # A value that reads "<unknown>" already has its meaning; it is no id of its own.
        named_unknown = Vocabulary().fit([UNKNOWN_CATEGORY]).lookup(factorized.values)
        counts = np.where(named_unknown == UNKNOWN, counts, 0)
        vocabulary = Vocabulary(min_frequency=min_frequency)
        vocabulary.fit_counts(factorized.values, counts)
        if max_categories is not None and len(vocabulary.values) > max_categories:
            codes = vocabulary.lookup(factorized.values)
            # Codes are in the order of the values, which breaks ties.
            order = np.lexsort((codes, -counts))
            most = order[codes[order] != UNKNOWN][:max_categories]
            kept = np.zeros_like(counts)
            kept[most] = counts[most]
            vocabulary = Vocabulary().fit_counts(factorized.values, kept)
        return cls(vocabulary)

    @cached_property
    def _written(self) -> tuple[pd.CategoricalDtype, np.ndarray]:
        """Known ids in the order of their codes, then "<unknown>", and the category of each code.

        Of a column of both, 5 and "5" are one category. In no file.
        """
        texts = [*map(str, self.vocabulary.values.tolist()), UNKNOWN_CATEGORY]
        position = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        ids = [position[text] for text in texts]
        return categories(list(position)), np.array([-1, ids[-1], *ids[:-1]])

    def transform(self, column: Column, where: str) -> pd.Categorical:
        """The column as categories."""
        factorized = factorize(column, where)
        self.vocabulary.warn_of_other_type(factorized, where)
        return self._write(self.vocabulary.encode(factorized))

    def unknown(self, has_value: np.ndarray) -> pd.Categorical:
        """ "<unknown>" where there is a value."""
        return self._write(np.where(has_value, UNKNOWN, MISSING))

    def _write(self, codes: np.ndarray) -> pd.Categorical:
        dtype, category = self._written
        return pd.Categorical.from_codes(category[codes], dtype=dtype)


@stored
@dataclass
class Buckets:
    """Ids are hashed to one of `n_buckets` numbers: nothing is learned, nothing is unknown."""

    n_buckets: int

    def transform(self, column: Column, where: str) -> pd.Categorical:
        """The column as bucket numbers."""
        factorized = factorize(column, where)
        buckets = np.append(hash_ids(factorized, self.n_buckets), -1)
        return pd.Categorical.from_codes(buckets[factorized.codes], dtype=self._dtype)

    def unknown(self, has_value: np.ndarray) -> pd.Categorical:
        """Missing: there is no bucket for what is unknown."""
        return pd.Categorical.from_codes(np.full(len(has_value), -1), dtype=self._dtype)

    @cached_property
    def _dtype(self) -> pd.CategoricalDtype:
        return numbered(self.n_buckets)


def hash_ids(factorized: Factorized, n_buckets: int) -> np.ndarray:
    """Bucket of each distinct id, shape (n_values,), int64: a hash of its text."""
    values = factorized.values
    items = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
    texts = np.empty(len(items), dtype=object)
    texts[:] = [str(item) for item in items]
    # SipHash with pandas' documented, fixed key: the same in every process, on every platform.
    try:
        hashed = pd.util.hash_array(texts, categorize=False)
    except UnicodeError:  # lone surrogates
        texts[:] = [text.encode("utf-8", "backslashreplace").decode() for text in texts]
        hashed = pd.util.hash_array(texts, categorize=False)
    return (hashed % np.uint64(n_buckets)).astype(np.int64)


@stored
@dataclass
class Number:
    """Numbers as they are, in standard units, or as sign(x) log(1 + |x|)."""

    how: str
    moments: Moments | None = None

    @classmethod
    def fit(cls, how: str, values: np.ndarray, sample_weight: np.ndarray | None) -> Number:
        """Learn the moments where they are needed."""
        moments = Moments.fit([values], sample_weight) if how == "standardize" else None
        return cls(how, moments)

    def transform(self, column: Column, where: str) -> np.ndarray:
        """The column as float64, NaN = missing."""
        values = to_float(column, where)
        if self.moments is not None:
            return (values - self.moments.means[0]) / self.moments.scales[0]
        if self.how == "log":
            return np.copysign(np.log1p(np.abs(values)), values)
        return values

    @property
    def takes_any_number(self) -> bool:
        """Whether nothing had to be learned of the numbers."""
        return self.moments is None

    def unknown(self, has_value: np.ndarray) -> np.ndarray:
        """In standard units the mean, else missing."""
        return np.where(has_value & (self.moments is not None), 0.0, np.nan)


@stored
@dataclass
class Ranks:
    """Numbers as their rank among the numbers of fit, in [0, 1]."""

    landmarks: np.ndarray
    ranks: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, sample_weight: np.ndarray | None) -> Ranks:
        """Learn the landmarks of the distribution."""
        levels = np.linspace(0, 1, _N_QUANTILES)
        landmarks, first = np.unique(_quantiles(values, sample_weight, levels), return_index=True)
        last = np.append(first[1:], len(levels)) - 1
        # Ties stand at the middle of the levels that they cover.
        return cls(landmarks, (levels[first] + levels[last]) / 2)

    def transform(self, column: Column, where: str) -> np.ndarray:
        """The column as float64 in [0, 1], NaN = missing."""
        return np.interp(to_float(column, where), self.landmarks, self.ranks)

    def unknown(self, has_value: np.ndarray) -> np.ndarray:
        """The middle."""
        return np.where(has_value, 0.5, np.nan)


@stored
@dataclass
class Bins:
    """Numbers as the number of their quantile bin, a category."""

    edges: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray, sample_weight: np.ndarray | None, n_bins: int) -> Bins:
        """Learn the inner edges of bins of equal weight; fewer where values repeat."""
        levels = np.arange(1, n_bins) / n_bins
        return cls(np.unique(_quantiles(values, sample_weight, levels)))

    def transform(self, column: Column, where: str) -> pd.Categorical:
        """The column as bin numbers; a value on an edge belongs to the bin below it."""
        values = to_float(column, where)
        bins = np.searchsorted(self.edges, values, side="left")
        bins[np.isnan(values)] = -1
        return pd.Categorical.from_codes(bins, dtype=self._dtype)

    def unknown(self, has_value: np.ndarray) -> pd.Categorical:
        """The first bin, which is the only one where fit saw no value."""
        return pd.Categorical.from_codes(np.where(has_value, 0, -1), dtype=self._dtype)

    @cached_property
    def _dtype(self) -> pd.CategoricalDtype:
        return numbered(len(self.edges) + 1)


@stored
@dataclass
class Lists:
    """Lists are passed on."""

    def transform(self, column: Column, where: str) -> Column:
        """The column itself; raises TypeError where it holds no lists."""
        flatten(column, where)
        return column

    def unknown(self, has_value: np.ndarray) -> pa.Array:
        """No list."""
        return pa.nulls(len(has_value), pa.list_(pa.string()))


def _quantiles(
    values: np.ndarray, sample_weight: np.ndarray | None, levels: np.ndarray
) -> np.ndarray:
    """Smallest value whose cumulated share of the weight reaches each level; [] of no values."""
    present = ~np.isnan(values)
    if sample_weight is not None:
        present &= sample_weight > 0
    values = values[present]
    if not len(values):
        return np.empty(0)
    order = np.argsort(values)
    weight = np.ones(len(values)) if sample_weight is None else sample_weight[present][order]
    cumulated = np.cumsum(weight)
    # Rounding in the cumulated weights must not push a level to the next value.
    targets = levels * cumulated[-1] * (1 - 1e-12)
    return values[order][np.searchsorted(cumulated, targets, side="left")]
