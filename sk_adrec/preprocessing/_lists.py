"""Lists of codes: missing entries go, the most recent ones stay."""

from __future__ import annotations

import numpy as np

from ._encoded import Ragged
from ._schema import Name
from ._vocabulary import UNKNOWN


def to_ragged(codes: np.ndarray, lengths: np.ndarray, max_len: int | None) -> Ragged:
    """Drop missing entries (code 0), then all but the last `max_len` of each row."""
    ends = np.cumsum(lengths)
    if len(codes) and codes.min() == 0:
        kept = np.append(0, np.cumsum(codes > 0))
        starts = kept[ends - lengths]
        ends = kept[ends]
        lengths = ends - starts
        codes = codes[codes > 0]
    if max_len is not None and lengths.max(initial=0) > max_len:
        starts = ends - np.minimum(lengths, max_len)
        codes = codes[np.arange(len(codes)) >= np.repeat(starts, lengths)]
        lengths = np.minimum(lengths, max_len)
    return Ragged(codes, np.append(0, np.cumsum(lengths)).astype(np.int64))


def to_events(
    names: list[Name],
    lists: list[tuple[np.ndarray, np.ndarray]],
    unseen: list[bool],
    max_len: int | None,
) -> dict[Name, Ragged]:
    """Lists whose entries are attributes of the same events, by name, entry by entry alike.

    Where a column is `unseen`, of which no row of fit had a list, an empty one stands for events
    that miss this attribute: a new field has no past.
    """
    if not lists:
        return {}
    if any(unseen) and not all(unseen):
        events = lists[unseen.index(False)][1]
        lists = [
            _filled(codes, lengths, events) if is_unseen else (codes, lengths)
            for (codes, lengths), is_unseen in zip(lists, unseen)
        ]
    (first, lengths), *others = lists
    known = first > 0
    for name, (codes, other) in zip(names[1:], others):
        wrong = np.flatnonzero(lengths != other)
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{names[0]!r} and {name!r} describe the same events, so their lists must be "
                f"equally long in each row, but row {row} has {lengths[row]} and {other[row]} "
                "entries. Write None where an event misses an attribute; or leave one of the "
                "columns out of share_vocabulary."
            )
        known |= codes > 0
    return {
        name: to_ragged(np.where(known, np.maximum(codes, UNKNOWN), 0), lengths, max_len)
        for name, (codes, _) in zip(names, lists)
    }


def _filled(
    codes: np.ndarray, lengths: np.ndarray, events: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lists with the empty ones as long as a row has events, their entries missing."""
    lengths_out = np.where(lengths == 0, events, lengths)
    filled = np.zeros(lengths_out.sum(), dtype=codes.dtype)
    filled[np.repeat(lengths > 0, lengths_out)] = codes
    return filled, lengths_out
