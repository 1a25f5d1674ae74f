"""Weighted means and scales of numeric columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .._state import stored
from .._validation import in_scale

# Standard deviations beyond which a number counts as this far: squares stay finite in float32.
_FARTHEST = 1e6
# Rows up to which the columns are standardised together.
_FEW = 64


@stored
@dataclass(frozen=True)
class Moments:
    """What standardises numeric columns.

    Parameters
    ----------
    means, scales : ndarray of shape (n_numeric,), float64
        Weighted mean and standard deviation of the values that are not missing; 0 and 1 where
        there are none, scale 1 for a constant column, inf where the variance overflows.
    indicators : list of int
        Positions of the columns with missing values.
    """

    means: np.ndarray
    scales: np.ndarray
    indicators: list[int]

    @classmethod
    def fit(cls, columns: list[np.ndarray], sample_weight: np.ndarray | None) -> Self:
        """Moments of float64 columns, each of shape (n_rows,), NaN = missing."""
        means, scales = np.zeros(len(columns)), np.ones(len(columns))
        indicators = []
        if sample_weight is not None and sample_weight.any():
            sample_weight = in_scale(sample_weight)
        for position, values in enumerate(columns):
            weight = sample_weight
            missing = np.isnan(values)
            if missing.any():
                if weight is None or weight[missing].any():
                    indicators.append(position)
                values = values[~missing]
                weight = None if weight is None else weight[~missing]
            if len(values) and (weight is None or weight.sum() > 0):
                means[position], scales[position] = _mean_and_scale(values, weight)
        return cls(means, scales, indicators)

    def standardise(self, columns: list[np.ndarray], n_rows: int, dtype: str) -> np.ndarray:
        """Standardised columns, then indicators, shape (n_rows, n_numeric + n_indicators)."""
        n = len(columns)
        out = np.empty((n_rows, n + len(self.indicators)), dtype=dtype)
        if columns and n_rows <= _FEW:
            # All at once: of few rows each call costs more than its numbers.
            means, scales = self.means[:, np.newaxis], self.scales[:, np.newaxis]
            scaled, missing = _standardise(np.stack(columns), means, scales)
            out[:, :n] = scaled.T
            out[:, n:] = missing[self.indicators].T
            return out
        for position, values in enumerate(columns):
            scaled, missing = _standardise(values, self.means[position], self.scales[position])
            out[:, position] = scaled
            if position in self.indicators:
                out[:, n + self.indicators.index(position)] = missing
        return out


def _standardise(values: np.ndarray, mean: Any, scale: Any) -> tuple[np.ndarray, np.ndarray]:
    """In standard units, 0 where missing; and where that is."""
    with np.errstate(over="ignore"):
        scaled = (values - mean) / scale
    np.clip(scaled, -_FARTHEST, _FARTHEST, out=scaled)
    missing = np.isnan(scaled)
    scaled[missing] = 0.0
    return scaled, missing


def _mean_and_scale(values: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    mean = np.average(values, weights=weight)
    with np.errstate(over="ignore"):
        variance = np.average((values - mean) ** 2, weights=weight)
    if not np.isfinite(variance):
        return float(mean), np.inf
    # The bound of a two-pass variance's rounding (Chan, Golub and LeVeque, "Algorithms for
    # computing the sample variance", 1983): below it the column is constant.
    noise = len(values) * np.finfo(np.float64).eps
    constant = variance <= noise * variance + (noise * mean) ** 2
    return float(mean), 1.0 if constant else float(np.sqrt(variance))
