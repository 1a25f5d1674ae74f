"""A log to arrays: numbers standardised, ids to codes, lists to flat codes."""

from __future__ import annotations

import os
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np

from .._state import pack, stored, unpack
from .._warnings import warn
from ._columns import (
    CATEGORICAL,
    NUMERIC,
    SEQUENCE,
    Column,
    Table,
    flatten,
    read_table,
    to_float,
)
from ._encoded import Encoded, Ragged, Schema
from ._factorize import Factorized, factorize
from ._few_rows import encode_few_rows
from ._lists import to_events, to_ragged
from ._moments import Moments
from ._schema import Name, hint, specify
from ._storage import has_values
from ._unseen import codes_of_unreadable, doubt_of_unseen, unreadable
from ._vocabulary import UNKNOWN, Vocabulary, concatenate, kind_of_values

# Frames up to this many rows go through Python dictionaries, one value at a time.
FEW_ROWS = 64
# Columns are encoded side by side above this many values; below, starting threads costs more.
_MANY_VALUES = 100_000
_N_THREADS = min(4, os.cpu_count() or 1)
# Ids of which nearly every row has another one are probably no ids.
_MANY_VALUES_EACH_ONCE = 1000


@stored
class LogEncoder:
    """Encode the columns of a log by their dtypes.

    Numbers are standardised with weighted moments (missing -> 0, the mean, plus an indicator
    column where missing was seen in `fit`); strings, categories and the columns of
    `categorical_features` become codes (0 = missing, 1 = unknown, >= 2 = known); lists become
    flat codes.

    Parameters
    ----------
    categorical_features : "from_dtype" or array-like of str, int or bool, default="from_dtype"
        Columns whose numbers are ids, by name, position or mask, besides those that hold strings
        or categories.
    share_vocabulary : dict of name to name, default=None
        Columns that use another column's vocabulary, ``{"hist_item_id": "item_id"}``: it is
        learned from both. The columns named here hold ids, whatever their dtype.
    min_frequency : int or float, default=1
        Ids with less weight are unknown; as float in (0, 1) a share of the column's weight.
    max_len : int or None, default=50
        Lists keep their last `max_len` entries that are not missing; None keeps all.
    parallel_lists : bool, default=False
        Whether list columns that share the ids of a categorical column are attributes of the same
        events: their lists must be equally long, an entry is missing where all of them are, and
        one that others have is unknown.
    dtype : {"float32", "float64"}, default="float32"
        Type of ``Encoded.numeric``; moments are always float64.

    Attributes
    ----------
    columns_ : list of ColumnSpec
    vocabularies_ : dict of name to Vocabulary
        By the name of the column that owns the vocabulary.
    numeric_names_, categorical_names_, sequence_names_ : list of str or int
        The order of ``Encoded.numeric``'s first columns, of ``Encoded.categorical``'s columns,
        and of ``Encoded.sequences``.
    indicator_names_ : list of str or int
        Numeric columns with missing values in `fit`; their indicators follow the numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec.preprocessing._log_encoder import LogEncoder
    >>> X = pd.DataFrame({"price": [1.0, None, 3.0], "ad": ["b", "a", None]})
    >>> encoded = LogEncoder().fit_transform(X)
    >>> encoded.numeric
    array([[-1.,  0.],
           [ 0.,  1.],
           [ 1.,  0.]], dtype=float32)
    >>> encoded.categorical
    array([[3],
           [2],
           [0]], dtype=int32)
    """

    def __init__(
        self,
        *,
        categorical_features: Any = "from_dtype",
        share_vocabulary: Mapping[Name, Name] | None = None,
        min_frequency: int | float = 1,
        max_len: int | None = 50,
        parallel_lists: bool = False,
        dtype: Literal["float32", "float64"] = "float32",
    ) -> None:
        self.categorical_features = categorical_features
        self.share_vocabulary = share_vocabulary
        self.min_frequency = min_frequency
        self.max_len = max_len
        self.parallel_lists = parallel_lists
        self.dtype = dtype

    def fit(self, X: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn vocabularies and moments of X, shape (n_rows, n_columns)."""
        self.fit_transform(X, sample_weight)
        return self

    def fit_transform(self, X: Any, sample_weight: np.ndarray | None = None) -> Encoded:
        """Learn vocabularies and moments of X and encode it, each column being hashed once.

        Parameters
        ----------
        X : DataFrame or ndarray of shape (n_rows, n_columns)
        sample_weight : ndarray of shape (n_rows,), default=None
            A row of weight w counts as w rows; None = all 1.

        Returns
        -------
        encoded : Encoded

        Raises
        ------
        TypeError
            If a column holds times, dicts or other objects.
        ValueError
            If a parameter names a column that X lacks, or a number is infinite.
        """
        self._least_code: np.ndarray | None = None
        table = read_table(X)
        columns = [table.column(position) for position in range(len(table.names))]
        self.columns_ = specify(
            table, columns, self.categorical_features, self.share_vocabulary or {}, sample_weight
        )
        self._index_columns()
        self.vocabularies_ = {
            spec.name: Vocabulary(min_frequency=self.min_frequency)
            for spec in self.columns_
            if spec.vocabulary == spec.name
        }
        floats = [self._to_float(table, columns, j) for j in self._numeric]
        self._moments = Moments.fit(floats, sample_weight)
        for j, scale in zip(self._numeric, self._moments.scales):
            if not np.isfinite(scale):
                raise ValueError(
                    f"{table.describe(j)} holds numbers too large to standardise (their squares "
                    "overflow). Rescale the column, or replace them by NaN."
                )
        return self._encode(table, columns, sample_weight, Vocabulary.fit_counts, floats)

    def transform(self, X: Any) -> Encoded:
        """Encode X, shape (n_rows, n_columns): unseen ids get code 1, missing ones 0.

        Raises
        ------
        TypeError
            If a column's kind is not what it was in `fit`.
        ValueError
            If X has other columns than in `fit`, or a number is infinite.
        """
        table = self._read(X)
        if table.n_rows <= FEW_ROWS and not self._parallel:
            encoded = self._encode_few_rows(table)
            if encoded is not None:
                return self._raise_to_least(encoded)
        return self._encode(table, [table.column(j) for j in range(len(self.columns_))])

    def take_missing_for_unknown(self, encoded: Encoded, rows: np.ndarray | None = None) -> None:
        """Encode missing values as unknown in columns of which no row of fit lacks a value.

        Parameters
        ----------
        encoded : Encoded
            The rows of fit; changed in place.
        rows : ndarray of int, default=None
            Those to look at; None is all.
        """
        codes = encoded.categorical if rows is None else encoded.categorical[rows]
        self._least_code = np.where((codes != 0).all(axis=0), UNKNOWN, 0).astype(np.int32)
        np.maximum(encoded.categorical, self._least_code, out=encoded.categorical)

    def grow(self, X: Any, sample_weight: np.ndarray | None = None) -> Encoded:
        """Append new ids to the end of each vocabulary, then encode X.

        Codes given before never change, nor do the moments of numbers. `min_frequency` applies to
        the weights in this X. If it raises, no vocabulary has changed.
        """
        table = self._read(X)
        columns = [table.column(j) for j in range(len(self.columns_))]
        before = {name: copy(vocabulary) for name, vocabulary in self.vocabularies_.items()}
        try:
            encoded = self._encode(table, columns, sample_weight, Vocabulary.grow_counts)
        except BaseException:
            self.vocabularies_ = before
            raise
        unread = unreadable(table, columns, self.columns_)
        self.columns_ = [
            replace(spec, seen=True)
            if not spec.seen and j not in unread and has_values(column)
            else spec
            for j, (spec, column) in enumerate(zip(self.columns_, columns))
        ]
        return encoded

    def schema(self, prior: np.ndarray | None = None) -> Schema:
        """The columns of what a fitted encoder gives out; `prior` as that of `Schema`."""
        vocabulary: dict[Any, Any] = {spec.name: spec.vocabulary for spec in self.columns_}
        missing = [f"{name}_missing" for name in self.indicator_names_]
        return Schema(
            (*self.numeric_names_, *missing),
            {name: vocabulary[name] for name in self.categorical_names_},
            {name: vocabulary[name] for name in self.sequence_names_},
            {name: each.n_codes for name, each in self.vocabularies_.items()},
            prior=prior,
        )

    def cardinality(self, name: Name) -> int:
        """Number of codes of a column's vocabulary, missing (0) and unknown (1) included."""
        for spec in self.columns_:
            if spec.name == name and spec.vocabulary is not None:
                return self.vocabularies_[spec.vocabulary].n_codes
        names = [spec.name for spec in self.columns_ if spec.vocabulary is not None]
        raise ValueError(f"No column with a vocabulary is called {hint(str(name), names)}")  # type: ignore[arg-type]

    @property
    def indicator_names_(self) -> list[Name]:
        """Numeric columns with missing values in `fit`, in the order of their indicators."""
        return [self.numeric_names_[k] for k in self._moments.indicators]

    def _index_columns(self) -> None:
        def positions(kind: str) -> list[int]:
            return [j for j, spec in enumerate(self.columns_) if spec.kind == kind]

        self._numeric, self._categorical = positions(NUMERIC), positions(CATEGORICAL)
        self._sequence = positions(SEQUENCE)
        self._names = [spec.name for spec in self.columns_]
        candidate = {self.columns_[j].name for j in self._categorical}
        shared = [j for j in self._sequence if self.columns_[j].vocabulary in candidate]
        self._parallel = shared if self.parallel_lists and len(shared) > 1 else []
        self.numeric_names_ = [self._names[j] for j in self._numeric]
        self.categorical_names_ = [self._names[j] for j in self._categorical]
        self.sequence_names_ = [self._names[j] for j in self._sequence]

    def _read(self, X: Any) -> Table:
        table = read_table(X)
        if len(table.names) != len(self._names):
            raise ValueError(
                f"X has {len(table.names)} columns, but the encoder was fitted on "
                f"{len(self._names)}. Pass the same columns as in fit."
            )
        if table.named and isinstance(self._names[0], str) and table.names != self._names:
            wrong = next(k for k, name in enumerate(self._names) if name != table.names[k])
            raise ValueError(
                f"Column {wrong} of X is {table.names[wrong]!r}, but was {self._names[wrong]!r} in "
                "fit. Pass the same columns in the same order: X[encoder_columns]."
            )
        return table

    def _encode_few_rows(self, table: Table) -> Encoded | None:
        return encode_few_rows(
            table, self.columns_, self.vocabularies_, self._moments, self.max_len, self.dtype
        )

    def _encode(
        self,
        table: Table,
        columns: list[Column],
        sample_weight: np.ndarray | None = None,
        learn: Callable | None = None,
        floats: list[np.ndarray] | None = None,
    ) -> Encoded:
        """Encode the columns; `learn` updates each vocabulary from its columns on the way."""
        categorical = np.empty((table.n_rows, len(self._categorical)), dtype=np.int32)
        unread = unreadable(table, columns, self.columns_)
        events: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        # By column. Warned of below, since a thread's frames don't lead to the user's line.
        doubts: dict[int, str | None] = {}

        def encode_numbers() -> np.ndarray:
            given = floats
            if given is None:
                given = [self._to_float(table, columns, j) for j in self._numeric]
            return self._moments.standardise(given, table.n_rows, self.dtype)

        def encode_group(owner: Name) -> dict[Name, Ragged]:
            """All columns of one vocabulary: hash them, learn from all, then encode each."""
            vocabulary, sequences = self.vocabularies_[owner], {}
            every = [j for j, spec in enumerate(self.columns_) if spec.vocabulary == owner]
            group = [j for j in every if j not in unread]
            parts = [_split(columns[j], self.columns_[j].kind, table.describe(j)) for j in group]
            for j, (factorized, lengths) in zip(group, parts):
                doubts[j] = vocabulary.doubt_of_type(factorized, table.describe(j))
                if learn is Vocabulary.fit_counts and lengths is None and table.named:
                    doubts[j] = _doubt_of_ids(factorized.values, table.n_rows, table.describe(j))
            if learn is not None and group:
                _learn(vocabulary, parts, sample_weight, learn, [self._names[j] for j in group])
            coded = [(j, vocabulary.encode(ids), n) for j, (ids, n) in zip(group, parts)]
            for j in every:
                if j in unread:
                    coded.append((j, *codes_of_unreadable(unread[j], self.columns_[j].kind)))
            for j, codes, lengths in coded:
                if lengths is None:
                    categorical[:, self._categorical.index(j)] = codes
                elif j in self._parallel:
                    events[j] = codes, lengths
                else:
                    sequences[self._names[j]] = to_ragged(codes, lengths, self.max_len)
            return sequences

        tasks: list[Callable] = [encode_numbers]
        tasks += [lambda owner=owner: encode_group(owner) for owner in self.vocabularies_]
        numeric, *groups = _run(tasks, table.n_rows * len(columns))
        if learn is not Vocabulary.fit_counts:
            doubts[-1] = doubt_of_unseen(table, unread)
        for _, doubt in sorted(doubts.items()):
            if doubt is not None:
                warn(doubt)
        sequences: dict[Any, Ragged] = dict(ChainMap(*groups))
        names = [self._names[j] for j in self._parallel]
        unseen = [not self.columns_[j].seen for j in self._parallel]
        sequences |= to_events(names, [events[j] for j in self._parallel], unseen, self.max_len)
        in_order: dict[Any, Ragged] = {name: sequences[name] for name in self.sequence_names_}
        return self._raise_to_least(Encoded(numeric, categorical, in_order))

    def _to_float(self, table: Table, columns: list[Column], position: int) -> np.ndarray:
        if not self.columns_[position].seen:
            return np.full(table.n_rows, np.nan)
        return to_float(columns[position], table.describe(position))

    def _raise_to_least(self, encoded: Encoded) -> Encoded:
        if self._least_code is not None:
            np.maximum(encoded.categorical, self._least_code, out=encoded.categorical)
        return encoded

    def to_state(self) -> dict[str, Any]:
        """The fitted encoder as dicts, lists, strings, numbers and plain arrays."""
        return {
            "min_frequency": self.min_frequency,
            "max_len": self.max_len,
            "parallel_lists": self.parallel_lists,
            "dtype": str(np.dtype(self.dtype)),
            "columns": pack(self.columns_),
            "least_code": self._least_code,
            "moments": pack(self._moments),
            "vocabularies": pack([list(item) for item in self.vocabularies_.items()]),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The fitted encoder that `to_state` described: it transforms and grows alike.

        `categorical_features` and `share_vocabulary` are not part of the state, but what came of
        them is.
        """
        self = cls(
            min_frequency=state["min_frequency"],
            max_len=state["max_len"],
            parallel_lists=state["parallel_lists"],
            dtype=state["dtype"],
        )
        self.columns_ = unpack(state["columns"])
        self._least_code = state["least_code"]
        self._index_columns()
        self._moments = unpack(state["moments"])
        self.vocabularies_ = dict(unpack(state["vocabularies"]))
        return self


def _doubt_of_ids(values: Any, n_rows: int, where: str) -> str | None:
    """What to warn of in strings that are no ids; who names a column of integers knows them."""
    n_values = len(values)
    strings = not (isinstance(values, np.ndarray) and values.dtype.kind in "iu")
    if strings and n_values > _MANY_VALUES_EACH_ONCE and n_values > 0.9 * n_rows:
        return (
            f"{where} has {n_values} different ids in {n_rows} rows, so nothing can be learned of "
            "most. If it is a time, derive numbers from it (pandas.to_datetime); if it is a list "
            "in one string, split it (Series.str.split); if it is a number, convert it "
            "(pandas.to_numeric); otherwise drop it."
        )
    return None


def _split(column: Column, kind: str, where: str) -> tuple[Factorized, np.ndarray | None]:
    """A column's ids, and for lists the number of entries of each row."""
    if kind == CATEGORICAL:
        return factorize(column, where), None
    lengths, entries = flatten(column, where)
    return factorize(entries, where), lengths


def _learn(
    vocabulary: Vocabulary,
    parts: list[tuple[Factorized, np.ndarray | None]],
    sample_weight: np.ndarray | None,
    learn: Callable,
    names: list[Name],
) -> None:
    """Fit or grow a vocabulary on all columns that use it; an entry has its row's weight."""
    counts = []
    for factorized, lengths in parts:
        weight = sample_weight
        if weight is not None and lengths is not None:
            weight = np.repeat(weight, lengths)
        counts.append(factorized.counts(weight))
    if len(parts) == 1:
        learn(vocabulary, parts[0][0].values, counts[0])
        return
    if {"string", "number"} <= {kind_of_values(factorized.values) for factorized, _ in parts}:
        raise ValueError(
            f"Columns that share a vocabulary must hold ids of one type, but of {names} some hold "
            "strings and some numbers, so no id could match. Convert them with astype(str), lists "
            "with .map(lambda ids: [*map(str, ids)]); FeatureEncoder writes ids as text."
        )
    merged = factorize(concatenate([factorized.values for factorized, _ in parts]), "ids")
    learn(vocabulary, merged.values, merged.counts(np.concatenate(counts)))


def _run(tasks: Iterable[Callable[[], Any]], n_values: int) -> list[Any]:
    """Results of all tasks, side by side where there is much to do (Arrow releases the GIL)."""
    if n_values < _MANY_VALUES or _N_THREADS == 1:
        return [task() for task in tasks]
    with ThreadPoolExecutor(_N_THREADS) as pool:
        return list(pool.map(lambda task: task(), tasks))
