"""Features of a log as floats, categories and lists, for this library's nets and for LightGBM."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy import sparse
from sklearn import get_config
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._hyperparameters import KW_ONLY, hyperparameters
from .._state import FileState
from .._validation import unchanged_on_error
from .._warnings import warn
from ._columns import CATEGORICAL, NUMERIC, Table, kind_of, read_table, to_float
from ._feature_columns import (
    Bins,
    Buckets,
    FeatureColumn,
    Known,
    Lists,
    Number,
    Ranks,
)
from ._schema import specify
from ._storage import Column
from ._unseen import doubt_of_unseen, unreadable

_NUMERIC_WAYS = ("passthrough", "standardize", "log", "quantile", "bins")


@hyperparameters
class FeatureEncoder(OneToOneFeatureMixin, TransformerMixin, FileState, BaseEstimator):
    """Turn the columns of a log into floats, categories and lists, each by its dtype.

    One column in, one column out, under its own name. Strings, categories and the columns of
    `categorical_features` become categories: NaN is missing, ``"<unknown>"`` an id that is rare or
    was not seen in `fit`. Numbers become floats (or bins). Lists are passed on as they are.
    Different ways for different columns: one FeatureEncoder each in a `ColumnTransformer`.

    Parameters
    ----------
    categorical_features : "from_dtype" or array-like of str, int or bool
        Columns whose numbers are ids, by name, position or mask, besides the columns that hold
        strings or categories. Name them wherever ids are integers.
    min_frequency : int or float
        Ids with a total weight below it become ``"<unknown>"``; as float in (0, 1) a share of the
        weight of all ids that are not missing. Raise it (5 to 20) where most ids are rare: it is
        what trains the meaning of ``"<unknown>"``.
    max_categories : int
        Keep at most this many ids of a column, the most frequent ones (ties: the smallest);
        ``"<unknown>"`` is not counted. None keeps all. Set it where memory or one-hot width is
        bounded.
    n_buckets : int
        Hash ids to this many buckets instead of learning them: bounded memory, nothing to
        refit for new ids, at the price of collisions. `min_frequency` and `max_categories` then
        have no use and must keep their defaults. The bucket is pandas' SipHash (fixed default key)
        of the id's text, modulo `n_buckets`: the same in every process, on every platform.
    numeric : {"passthrough", "standardize", "log", "quantile", "bins"}
        What becomes of numbers; NaN stays NaN.

        - "passthrough": nothing. Right for trees and for nets that standardise.
        - "standardize": weighted mean 0 and standard deviation 1.
        - "log": ``sign(x) * log(1 + |x|)``, for counts and amounts with long tails.
        - "quantile": rank among the numbers of `fit`, in [0, 1], for numbers with outliers.
        - "bins": the number of the quantile bin, a category, for nets whose effect of a number
          is not monotonic.
    n_bins : int
        Number of bins of equal weight for ``numeric="bins"``; fewer where values repeat. More
        follow a curve closer and leave fewer rows to each bin.

    Attributes
    ----------
    columns_ : list of ColumnSpec
        Name and kind ("numeric", "categorical", "sequence") of each column.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, where all are strings.

    Notes
    -----
    ``set_output(transform="pandas")`` gives float64, ``category`` and list columns, and is
    what this library's estimators read best. LightGBM reads it too, but takes no lists: drop
    list columns first. The default output is a float64 array if
    all columns are floats, else an object array.

    Categories are text in every output, those of integer ids, buckets and bins too: an object array
    and Polars have no categories that are numbers, and Parquet would read them back as numbers. A
    list column that shares its ids with such a column must hold text as well.

    Frames can be stored in Parquet and Feather. Where they have list columns of Arrow, pandas reads
    them back by ``pandas.read_parquet(path, dtype_backend="pyarrow")``; without it, pandas does not
    know the type of lists.

    A column of which `fit` saw no value has no type yet. Later it takes strings, lists and numbers
    as unknown, with one warning: ``"<unknown>"`` in a column of ids, the middle in one of numbers
    that are standardised, ranked or binned, else missing.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import FeatureEncoder
    >>> X = pd.DataFrame({"ad": ["a", "b", "a", None], "price": [1.0, 3.0, None, 5.0]})
    >>> encoder = FeatureEncoder(min_frequency=2).set_output(transform="pandas").fit(X)
    >>> encoder.transform(X)
              ad  price
    0          a    1.0
    1  <unknown>    3.0
    2          a    NaN
    3        NaN    5.0
    """

    _: KW_ONLY
    categorical_features: Any = "from_dtype"
    min_frequency: int | float = 1
    max_categories: int | None = None
    n_buckets: int | None = None
    numeric: str = "passthrough"
    n_bins: int = 10

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Learn ids and the distributions of numbers.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            The raw log; each column is read by its dtype.
        y : ignored
        sample_weight : array-like of shape (n_rows,), default=None
            A row of weight w counts as w rows; None = all 1.

        Returns
        -------
        self : FeatureEncoder

        Raises
        ------
        TypeError
            If a column holds times, dicts or other objects.
        ValueError
            If a parameter is out of its range or names a column that X lacks, or a number is
            infinite.
        """
        with unchanged_on_error(self):
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: Any, sample_weight: Any) -> None:
        self._check_parameters()
        table = self._read(X, reset=True)
        weight = _check_weight(sample_weight, table.n_rows)
        columns = [table.column(position) for position in range(len(table.names))]
        specs = specify(table, columns, self.categorical_features, {}, weight)
        fitted = [
            self._fit_column(spec.kind, column, table.describe(position), weight)
            for position, (spec, column) in enumerate(zip(specs, columns))
        ]
        self.columns_ = specs
        self._fitted = fitted

    def transform(self, X: Any) -> Any:
        """Encode X.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_rows, n_columns)
            The columns of `fit`.

        Returns
        -------
        X_out : ndarray, pandas.DataFrame or polars.DataFrame of shape (n_rows, n_columns)
            As `set_output` says.

        Raises
        ------
        TypeError
            If a column's kind is not what it was in `fit`.
        ValueError
            If X has other columns than in `fit`, or a number is infinite.
        """
        check_is_fitted(self)
        table = self._read(X, reset=False)
        given = [table.column(position) for position in range(len(self._fitted))]
        unread = self._unreadable(table, given)
        columns = [
            fitted.unknown(unread[position])
            if position in unread
            else fitted.transform(given[position], table.describe(position))
            for position, fitted in enumerate(self._fitted)
        ]
        if (doubt := doubt_of_unseen(table, unread)) is not None:
            warn(doubt)
        output = getattr(self, "_sklearn_output_config", {}).get("transform")
        output = output or get_config()["transform_output"]
        if output == "pandas":
            return _to_pandas(columns, X, table.n_rows)
        if output == "polars":
            where = [table.describe(position) for position in range(len(columns))]
            return _to_polars(columns, where)
        return _to_array(columns, table.n_rows)

    def _unreadable(self, table: Table, columns: list[Column]) -> dict[int, np.ndarray]:
        """As `unreadable`, but numbers are read where nothing had to be learned of them."""
        return {
            position: has_value
            for position, has_value in unreadable(table, columns, self.columns_).items()
            if not getattr(self._fitted[position], "takes_any_number", False)
            or kind_of(columns[position], table.describe(position)) != NUMERIC
        }

    def _check_parameters(self) -> None:
        if self.numeric not in _NUMERIC_WAYS:
            raise ValueError(f"numeric must be one of {_NUMERIC_WAYS}, got {self.numeric!r}.")
        least = self.min_frequency
        share = isinstance(least, Real) and not isinstance(least, Integral) and 0 < least < 1
        if not share:
            _check_integer("min_frequency", least, 1, " or a share in (0, 1)")
        if self.max_categories is not None:
            _check_integer("max_categories", self.max_categories, 1, " or None")
        if self.n_buckets is not None:
            _check_integer("n_buckets", self.n_buckets, 1, " or None")
            if self.max_categories is not None or least != 1:
                raise ValueError(
                    "n_buckets hashes every id, so min_frequency and max_categories must keep "
                    f"their defaults, got {least} and {self.max_categories}."
                )
        _check_integer("n_bins", self.n_bins, 2, "")

    def _read(self, X: Any, *, reset: bool) -> Table:
        if sparse.issparse(X):
            raise TypeError(
                "Sparse data was passed, but FeatureEncoder needs dense columns. Use X.toarray()."
            )
        table = read_table(X)
        n_columns = len(table.names)
        for count, axis in ((table.n_rows, "sample"), (n_columns, "feature")):
            if count == 0:
                raise ValueError(
                    f"Found array with 0 {axis}(s) (shape=({table.n_rows}, {n_columns})) while a "
                    "minimum of 1 is required."
                )
        validate_data(self, X, reset=reset, skip_check_array=True)
        return table

    def _fit_column(
        self, kind: str, column: Column, where: str, weight: np.ndarray | None
    ) -> FeatureColumn:
        if kind == CATEGORICAL:
            if self.n_buckets is not None:
                return Buckets(self.n_buckets)
            return Known.fit(column, where, weight, self.min_frequency, self.max_categories)
        if kind != NUMERIC:
            return Lists()
        values = to_float(column, where)
        if self.numeric == "quantile":
            return Ranks.fit(values, weight)
        if self.numeric == "bins":
            return Bins.fit(values, weight, self.n_bins)
        return Number.fit(self.numeric, values, weight)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags


def _check_integer(name: str, value: Any, least: int, otherwise: str) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}{otherwise}, got {value!r}.")


def _check_weight(sample_weight: Any, n_rows: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight must have one entry for each of the {n_rows} rows, got shape "
            f"{weight.shape}."
        )
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise ValueError("sample_weight must be finite and not negative.")
    if not weight.any():
        raise ValueError("All sample weights are zero; at least one must be positive.")
    return weight


def _to_pandas(columns: list[Any], X: Any, n_rows: int) -> pd.DataFrame:
    index = X.index if isinstance(X, pd.DataFrame) else pd.RangeIndex(n_rows)
    series = {}
    for position, column in enumerate(columns):
        if isinstance(column, pa.Array | pa.ChunkedArray):
            column = pd.arrays.ArrowExtensionArray(column)
        series[position] = pd.Series(column, index=index)
    return pd.DataFrame(series, index=index)


def _to_array(columns: list[Any], n_rows: int) -> np.ndarray:
    if all(_is_floats(column) for column in columns):
        return np.stack(columns, axis=1)
    out = np.empty((n_rows, len(columns)), dtype=object)
    for position, column in enumerate(columns):
        if isinstance(column, pd.Categorical):
            texts = np.array([*column.categories, np.nan], dtype=object)
            out[:, position] = texts[column.codes]
        elif isinstance(column, np.ndarray):
            out[:, position] = column
        else:
            cells = column.to_pylist()
            for row, cell in enumerate(cells):
                out[row, position] = cell
    return out


def _to_polars(columns: list[Any], where: list[str]) -> Any:
    import polars as pl

    series = []
    for position, column in enumerate(columns):
        name = str(position)
        try:
            if isinstance(column, pd.Categorical):
                texts = column.categories.tolist()
                categories = pl.Series(name, texts, dtype=pl.Enum(texts))
                codes = pa.array(column.codes.astype(np.uint32), mask=column.codes < 0)
                series.append(categories.gather(pl.Series(codes)))
            elif _is_floats(column):
                series.append(pl.Series(name, column))
            else:
                series.append(pl.Series(name, _lists_to_arrow(column)))
        except (pa.ArrowException, OverflowError, UnicodeError, TypeError) as error:
            raise TypeError(
                f"{where[position]} holds what Polars has no type for: lists of text and numbers, "
                "integers beyond 64 bits, or text with lone surrogates. Convert the column, or "
                "call set_output(transform='pandas')."
            ) from error
    return pl.DataFrame(series)


def _lists_to_arrow(column: Column) -> Any:
    if not isinstance(column, np.ndarray):
        return column
    try:
        return pa.array(column, from_pandas=True)
    except OverflowError:  # hashes, perhaps
        return pa.array(column, pa.list_(pa.uint64()), from_pandas=True)


def _is_floats(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind == "f"
