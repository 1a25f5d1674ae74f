"""Weights of a log in a unit of its own: only their ratios say something.

Weights may be clicks, euros or micros, and are summed up and multiplied in float32 later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..._state import stored
from ..._validation import scale_of

# Digits that weights keep. What a common factor leaves behind by rounding is cut off, so that equal
# sums stay equal, and ties the same, whatever the factor.
_DIGITS = 40


@stored
@dataclass(frozen=True)
class Unit:
    """What the weights of a log are measured in: mantissa times 2**exponent is 1.

    It is the least weight times a power of two, near the mean: counts stay whole numbers, or binary
    fractions, and weights that are all the same become 1.

    Parameters
    ----------
    mantissa : float in [0.5, 1)
    exponent : int
    total : float
        Weight of the positive rows, in the unit.
    n_rows : int
        Their number.
    """

    mantissa: float
    exponent: int
    total: float
    n_rows: int

    @classmethod
    def of(cls, weight: np.ndarray) -> Unit:
        """The unit of a first log, from the weights of its positive rows, all of them above 0."""
        mantissa = float(np.frexp(weight.min())[0])
        return cls(mantissa, scale_of(weight), 0.0, 0).after(weight)

    def after(self, weight: np.ndarray) -> Unit:
        """The unit when further positive rows are known: another exponent, if any."""
        total, n_rows = self.total + self.measure(weight).sum(), self.n_rows + len(weight)
        shift = int(np.frexp(total / n_rows)[1]) - 1
        return Unit(self.mantissa, self.exponent + shift, float(np.ldexp(total, -shift)), n_rows)

    def measure(self, weight: np.ndarray) -> np.ndarray:
        """Weights in the unit, float64."""
        fraction, exponent = np.frexp(np.ldexp(weight, -self.exponent) / self.mantissa)
        return np.ldexp(np.rint(np.ldexp(fraction, _DIGITS)), exponent - _DIGITS)

    def convert(self, weight: np.ndarray, old: Unit) -> np.ndarray:
        """Weights that were measured in an earlier unit of the same log."""
        return np.ldexp(weight, old.exponent - self.exponent)

    @property
    def mean(self) -> float:
        """Mean weight of a positive row, from 1 to 2: what counts in rows is counted in it."""
        return self.total / self.n_rows
