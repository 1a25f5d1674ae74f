"""Rows that continue each other: found by a rolling hash over the events of each row."""

from __future__ import annotations

import numpy as np

from ..preprocessing._encoded import Ragged

# Shorter histories repeat by chance.
_MIN_HISTORY = 3
# Fewer continued rows than these are chance, or a few odd users.
_MIN_CONTINUED = 30
# Up to so many continued rows for each row of a shared history are chance.
_CHANCE = 3
# Base of the hash, any odd number, and its inverse modulo 2^64.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)


def share_of_prefixes(history: Ragged, y: np.ndarray) -> float:
    """Share of the rows that another row continues by one event, 0 where chance may explain it.

    Only rows of 3 events or more count, each once however often it occurs. Rows that are prefixes
    of one user's events have a history each. Where users begin alike (few items, habits, one
    series from its first part on), about as many rows share their whole history as are continued.

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,), integer
        Codes of the items that followed.

    Returns
    -------
    float in [0, 1]
    """
    continued, shared = find_continued(history, y)
    n_continued, n_shared = continued.sum(), shared.sum()
    # The root is the standard deviation of a count.
    if n_continued < _MIN_CONTINUED or n_continued <= _CHANCE * (n_shared + n_shared**0.5):
        return 0.0
    return float(continued.mean())


def find_continued(history: Ragged, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which distinct rows another row continues, and which have the history of another one.

    A history and its next item are continued by a row whose history is all of that, or, where
    histories have the greatest length (as windows of the newest events do), all but the oldest
    event. Left out are rows of fewer than 3 events, and of one item over and over, which tell
    nothing.

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,), integer

    Returns
    -------
    continued, shared : ndarrays of shape (n_distinct,), bool
        In a log that was joined to itself all rows occur twice at least: `shared` are those whose
        histories occur more often than the rarest does.
    """
    before, whole, shifted = _hashes(history, y)
    kept = (history.lengths >= _MIN_HISTORY) & (shifted != before)
    if not kept.any():
        return kept[:0], kept[:0]
    before, whole, shifted = before[kept], whole[kept], shifted[kept]
    lengths = history.lengths[kept]
    histories, which, counts = np.unique(before, return_inverse=True, return_counts=True)
    _, distinct = np.unique(whole, return_index=True)
    # Only the longest may be windows. Shorter by one event, they must have one more.
    window = lengths == max(lengths.max(), _MIN_HISTORY + 1)
    continued = np.isin(whole, histories) | (window & np.isin(shifted, histories))
    return continued[distinct], (counts > counts.min())[which[distinct]]


def _hashes(history: Ragged, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes modulo 2^64: sums over events of a random number of the item times base^step.

    Returns
    -------
    before, whole, shifted : ndarrays of shape (n,), uint64
        Of each history, of it and its next item, and of these without the oldest event.
    """
    lengths, offsets = history.lengths, history.offsets
    number = np.random.default_rng(0).integers(
        np.iinfo(np.uint64).max,
        size=1 + max(y.max(), history.values.max(initial=0)),
        dtype=np.uint64,
    )
    power = np.full(1 + lengths.max(), _BASE, dtype=np.uint64)
    power[0] = 1
    power = np.multiply.accumulate(power)
    steps = np.arange(len(history.values)) - np.repeat(offsets[:-1], lengths)
    terms = np.append(number[history.values] * power[steps], np.uint64(0))
    total = np.append(np.uint64(0), terms.cumsum())
    before = total[offsets[1:]] - total[offsets[:-1]]
    whole = before + number[y] * power[lengths]
    # A row without events has no oldest one, and is not asked for it.
    return before, whole, (whole - terms[offsets[:-1]]) * np.uint64(_INVERSE)
