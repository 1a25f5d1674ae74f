"""Rows that continue each other: found by a rolling hash over the events of each row."""

from __future__ import annotations

import numpy as np

from ..preprocessing._encoded import Ragged

# Shorter histories repeat by chance.
_MIN_HISTORY = 3
# Matches up to so many times of what chance explains are none.
_CHANCE = 3
# Base of the hash, any odd number, and its inverse modulo 2^64.
_BASE = 0x9E3779B97F4A7C15
_INVERSE = pow(_BASE, -1, 2**64)


def share_of_prefixes(history: Ragged, y: np.ndarray) -> float:
    """Share of rows that another row continues, 0 where chance explains them.

    Rows that are prefixes of one user's events all differ: from how often whole rows are equal
    follows how many of the matches are chance (few items, or habits that all users share).

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,), integer
        Codes of the items that followed.

    Returns
    -------
    float in [0, 1]
    """
    found, equal = count_continued(history, y)
    lengths = history.lengths
    rows = np.bincount(lengths)
    not_shorter = len(lengths) - rows.cumsum() + rows
    # Rows that could continue one: the longer ones, and for windows also those of its length.
    candidates = (2 * not_shorter - rows)[lengths]
    expected = (equal * candidates / np.maximum(rows[lengths] - 1, 1)).sum()
    return 0.0 if found.sum() <= _CHANCE * expected else float(np.mean(found > 0))


def count_continued(history: Ragged, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many rows continue each row, and how many equal it.

    A row of a history and its next item is continued by rows whose histories begin with all of
    that, or, being windows of the newest events, with all but the oldest event.

    Parameters
    ----------
    history : Ragged of n lists
    y : ndarray of shape (n,), integer

    Returns
    -------
    found, equal : ndarrays of shape (n,), int64
        0 for rows of fewer than 3 events.
    """
    lengths = history.lengths
    found, equal = np.zeros((2, len(lengths)), dtype=np.int64)
    rows = np.flatnonzero(lengths >= _MIN_HISTORY)
    if not len(rows):
        return found, equal
    first, beginnings, whole, steps = _hashes(history, y)
    shifted = (whole - first) * np.uint64(_INVERSE)
    # Shorter by one event, a window must have one more.
    window = rows[lengths[rows] > _MIN_HISTORY]
    keys, which = np.unique(np.concatenate([whole[rows], shifted[window]]), return_inverse=True)
    begun = beginnings[steps >= _MIN_HISTORY]
    place = np.minimum(np.searchsorted(keys, begun), len(keys) - 1)
    counts = np.bincount(place[keys[place] == begun], minlength=len(keys))
    found[rows] = counts[which[: len(rows)]]
    found[window] += counts[which[len(rows) :]]
    # A row of one item over and over continues itself.
    found[window] -= shifted[window] == beginnings[history.offsets[window + 1] - 1]
    equal[rows] = np.bincount(which[: len(rows)], minlength=len(keys))[which[: len(rows)]] - 1
    return found, equal


def _hashes(history: Ragged, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Hashes modulo 2^64: sums over events of a random number of the item times base^step.

    Returns
    -------
    first : ndarray of shape (n,), uint64
        Of the first event of each row.
    beginnings : ndarray of shape (m,), uint64
        Of each row up to and with each event of its history.
    whole : ndarray of shape (n,), uint64
        Of each history and its next item.
    steps : ndarray of shape (m,), int64
        Where in its row each event is.
    """
    lengths, offsets = history.lengths, history.offsets
    number = np.random.default_rng(0).integers(
        np.iinfo(np.uint64).max, size=1 + max(y.max(), history.values.max()), dtype=np.uint64
    )
    power = np.full(1 + lengths.max(), _BASE, dtype=np.uint64)
    power[0] = 1
    power = np.multiply.accumulate(power)
    steps = np.arange(len(history.values)) - np.repeat(offsets[:-1], lengths)
    terms = number[history.values] * power[steps]
    total = np.append(np.uint64(0), terms.cumsum())
    beginnings = total[1:] - np.repeat(total[offsets[:-1]], lengths)
    whole = total[offsets[1:]] - total[offsets[:-1]] + number[y] * power[lengths]
    # A row without events has no first one, and is not asked for it.
    first = np.append(terms, np.uint64(0))[offsets[:-1]]
    return first, beginnings, whole, steps
