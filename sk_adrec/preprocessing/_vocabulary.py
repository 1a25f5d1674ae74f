"""The known ids of a column, and their codes."""

from __future__ import annotations

from itertools import repeat
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .._state import stored
from .._warnings import warn
from ._factorize import Factorized, Values, factorize, pack
from ._storage import Column, of_objects, of_pandas

MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
# What FeatureEncoder writes for an id that it does not know.
UNKNOWN_CATEGORY = "<unknown>"

# Below this share of the vocabulary, a dictionary that is kept beats hashing the vocabulary anew.
_FEW = 0.2
# Totals of weights are sums of floats: equal up to the order of the additions.
_ROUNDING = 1e-9
# Of ids of the wrong kind: what they are, what they should be, an example, the remedy.
_OTHER_TYPE = {
    "number": ("numbers", "strings", '5 is not "5"', ".astype(str)"),
    "string": ("strings", "numbers", '"5" is not 5', "pandas.to_numeric"),
}


@stored
class Vocabulary:
    """Known ids in a fixed order; an id's code is its position + 2.

    Code 0 is a missing value (and padding), 1 an id that is not known. Ids are known by value:
    5, 5.0 and ``np.int32(5)`` are one id, "5" is another; integers are exact at any size.

    Parameters
    ----------
    min_frequency : int or float, default=1
        Ids with a total weight below it stay unknown: an absolute number as int, as float in
        (0, 1) a share of the total weight of all entries that are not missing.

    Attributes
    ----------
    values : ndarray of shape (n_known,), int64 or object
        Known ids in the order of their codes: numbers ascending, strings in lexicographic order,
        a mixture of both by its text; then what `grow` has added, likewise.
    n_codes : int
        Number of codes, 0 and 1 included.

    Examples
    --------
    >>> from sk_adrec.preprocessing._vocabulary import Vocabulary
    >>> vocabulary = Vocabulary().fit(["b", "a", None])
    >>> vocabulary.transform(["a", "b", "c", None])
    array([2, 3, 1, 0], dtype=int32)
    """

    def __init__(self, *, min_frequency: int | float = 1) -> None:
        self.min_frequency = min_frequency
        self._set(np.empty(0, dtype=np.int64))

    def _set(self, known: Values) -> None:
        self._known = known
        self._table: dict[Any, int] | None = None
        self._kind: str | None = None

    @property
    def values(self) -> np.ndarray:
        """Known ids in the order of their codes."""
        known = self._known
        return known if isinstance(known, np.ndarray) else known.to_numpy(zero_copy_only=False)

    def as_factorized(self) -> Factorized:
        """The known ids, each once."""
        return Factorized(np.arange(len(self._known)), self._known)

    @property
    def n_codes(self) -> int:
        """Number of codes, 0 and 1 included."""
        return len(self._known) + FIRST_KNOWN

    @property
    def table(self) -> dict[Any, int]:
        """Code of each known id; built on first use, never pickled."""
        if self._table is None:
            self._table = dict(zip(self._known_list(), range(FIRST_KNOWN, self.n_codes)))
        return self._table

    def holds(self, values: Values) -> bool:
        """Whether some of the values could be known, judged by their type."""
        return self.holds_type(kind_of_values(values))

    def holds_type(self, kind: str) -> bool:
        """Whether ids of a kind ("string", "number") could be known."""
        if self._kind is None:
            self._kind = kind_of_values(self._known)
        return {kind, self._kind} != {"string", "number"}

    def doubt_of_type(self, ids: Factorized, where: str, holder: str = "fit") -> str | None:
        """What to warn of where none of the ids can be known, since they are of the other type.

        Parameters
        ----------
        ids : Factorized
        where : str
            What holds them, for the message.
        holder : str, default="fit"
            Who the known ids are from, for the message.
        """
        if self.holds(ids.values) or _are_unknown(ids.values):
            return None
        # Categories that no row has say nothing.
        values = _select(
            ids.values, np.bincount(ids.codes + 1, minlength=len(ids.values) + 1)[1:] > 0
        )
        if not len(values) or _are_unknown(values):
            return None
        found, known, example, remedy = _OTHER_TYPE[kind_of_values(values)]
        return (
            f"{where} holds {found} where {holder} saw {known}: none of them is an id that "
            f"{holder} knows ({example}). Convert them with {remedy}."
        )

    def warn_of_other_type(self, ids: Factorized, where: str, holder: str = "fit") -> None:
        """Warn of what `doubt_of_type` finds."""
        if (doubt := self.doubt_of_type(ids, where, holder)) is not None:
            warn(doubt)

    def fit(self, column: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn the ids of a column, shape (n,)."""
        factorized = _as_factorized(column)
        return self.fit_counts(factorized.values, factorized.counts(sample_weight))

    def transform(self, column: Any) -> np.ndarray:
        """Codes of a column, shape (n,), int32."""
        factorized = _as_factorized(column)
        return self.encode(factorized)

    def grow(self, column: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Append the ids of a column that are frequent enough in it; old codes stay."""
        factorized = _as_factorized(column)
        return self.grow_counts(factorized.values, factorized.counts(sample_weight))

    def fit_counts(self, values: Values, counts: np.ndarray) -> Self:
        """As `fit`, from distinct canonical values and their total weights."""
        self._set(_sort(_select(values, self._is_frequent(counts))))
        return self

    def grow_counts(self, values: Values, counts: np.ndarray) -> Self:
        """As `grow`, from distinct canonical values and their total weights."""
        new = self._is_frequent(counts) & (self.lookup(values) == UNKNOWN)
        if new.any():
            self._set(concatenate([self._known, _sort(_select(values, new))]))
        return self

    def encode(self, factorized: Factorized) -> np.ndarray:
        """Codes of a factorised column, shape (n,), int32."""
        # Code -1 (missing) reads the last entry.
        codes = np.append(self.lookup(factorized.values), np.int32(MISSING))
        return codes.take(factorized.codes, mode="wrap")

    def lookup(self, values: Values) -> np.ndarray:
        """Codes of distinct canonical values, shape (n_values,), int32."""
        few = len(values) < _FEW * len(self._known)
        alike = type(values) is type(self._known) and _dtype(values) == _dtype(self._known)
        if few or not alike or (isinstance(values, np.ndarray) and values.dtype == object):
            items = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
            codes = map(self.table.get, items, repeat(UNKNOWN))
            return np.fromiter(codes, dtype=np.int32, count=len(items))
        found = pc.index_in(_arrow(values), value_set=_arrow(self._known))
        # Not found is position -1, hence code 1.
        return pc.fill_null(found, UNKNOWN - FIRST_KNOWN).to_numpy() + np.int32(FIRST_KNOWN)

    def in_order(self, order: np.ndarray | None = None) -> Self:
        """The same ids in another order: by their positions now, None = sorted as by `fit`."""
        other = type(self)(min_frequency=self.min_frequency)
        known = self._known
        if order is None:
            other._set(_sort(known))
        else:
            other._set(known[order] if isinstance(known, np.ndarray) else known.take(order))
        return other

    def translate(self, other: Vocabulary) -> np.ndarray:
        """Codes that another vocabulary gives to the ids, shape (n_known,), int32."""
        return other.lookup(self._known)

    def _known_list(self) -> list:
        known = self._known
        return known.tolist() if isinstance(known, np.ndarray) else known.to_pylist()

    def _is_frequent(self, counts: np.ndarray) -> np.ndarray:
        least = self.min_frequency
        if least == 1:
            # The default knows every id that occurs, also where weights are below one.
            return counts > 0
        if least < 1:
            least = least * counts.sum()
        return (counts > 0) & (counts >= least * (1 - _ROUNDING))

    def to_state(self) -> dict[str, Any]:
        """The vocabulary as a dict of numbers, strings and plain arrays."""
        state: dict[str, Any] = {"min_frequency": self.min_frequency}
        known = self._known
        if isinstance(known, np.ndarray) and known.dtype != object:
            return state | {"integers": known}
        items = self._known_list()
        numbers = [(code, item) for code, item in enumerate(items) if not isinstance(item, str)]
        # Strings as one run of bytes: a tenth of the size of one object each.
        encoded = [
            item.encode("utf-8", "surrogatepass") if isinstance(item, str) else b""
            for item in items
        ]
        return state | {
            "bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8),
            "lengths": np.array([len(item) for item in encoded], dtype=np.int32),
            "numbers": [[code, item] for code, item in numbers],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The vocabulary that `to_state` described."""
        self = cls(min_frequency=state["min_frequency"])
        if "integers" in state:
            self._set(state["integers"])
            return self
        raw = state["bytes"].tobytes()
        ends = np.cumsum(state["lengths"], dtype=np.int64).tolist()
        items: list[Any] = [
            raw[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends], ends)
        ]
        for code, item in state["numbers"]:
            items[code] = item
        self._set(pack(items))
        return self

    def __getstate__(self) -> dict[str, Any]:
        return self.to_state()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(type(self).from_state(state).__dict__)


def _as_factorized(column: Any) -> Factorized:
    if isinstance(column, pd.Series):
        column = of_pandas(column)
    elif not isinstance(column, Column):
        # A Series would make floats of integers of 2**63 or more.
        column = of_objects(list(column))
    return factorize(column, "ids")


def _arrow(values: Values) -> pa.Array:
    return pa.array(values) if isinstance(values, np.ndarray) else values


def _dtype(values: Values) -> Any:
    return values.dtype if isinstance(values, np.ndarray) else values.type


def kind_of_values(values: Values) -> str:
    """Whether ids are "string", "number", "mixed" or "none"."""
    if not len(values):
        return "none"
    if not isinstance(values, np.ndarray):
        return "string"
    if values.dtype != object:
        return "number"
    # Integers beyond 64 bits and fractions are numbers, lone surrogates are text.
    kinds = {"string" if isinstance(value, str) else "number" for value in values.tolist()}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _are_unknown(values: Values) -> bool:
    """Whether FeatureEncoder, a step before, found only ids that it does not know."""
    return len(values) == 1 and str(values[0]) == UNKNOWN_CATEGORY


def _select(values: Values, mask: np.ndarray) -> Values:
    return values[mask] if isinstance(values, np.ndarray) else values.filter(pa.array(mask))


def _sort(values: Values) -> Values:
    if not isinstance(values, np.ndarray):
        return values.take(pc.sort_indices(values))
    if values.dtype != object:
        return np.sort(values)
    items = values.tolist()
    if any(isinstance(item, str) for item in items):
        return pack(sorted(items, key=lambda item: (str(item), isinstance(item, str))))
    return pack(sorted(items))


def concatenate(parts: list[Values]) -> Values:
    """Values of several columns, one after the other."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) and part.dtype != object for part in parts):
        return np.concatenate(parts)
    if all(not isinstance(part, np.ndarray) for part in parts):
        return pa.concat_arrays(parts)
    items: list[Any] = []
    for part in parts:
        items += part.tolist() if isinstance(part, np.ndarray) else part.to_pylist()
    return pack(items)
