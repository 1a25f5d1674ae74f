"""Input checks shared by the estimators: frames and arrays, weights, hyper-parameters."""

from __future__ import annotations

import difflib
import functools
import inspect
import numbers
from collections.abc import Iterable
from contextlib import contextmanager
from itertools import chain

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_array, check_consistent_length, get_tags
from sklearn.utils.validation import validate_data

from ._warnings import warn

#: Rows above which early_stopping="auto" is on. HistGradientBoosting has 10,000, but ids with a
#: few rows each overfit long before: ten epochs without validation rows were worse than the base
#: rate on 9,900 rows.
EARLY_STOPPING_ROWS = 1_000
# A validation loss this many times that of the base rate is no bad luck.
_WORSE = 1.1
# Beyond it floats are no longer all integers.
_EXACT = 2.0**53


def is_frame(X) -> bool:
    """Whether X is a pandas or Polars data frame; a lazy one raises TypeError."""
    if hasattr(X, "iloc"):
        return X.ndim == 2
    if nw.dependencies.is_into_dataframe(X):
        return True
    refuse_lazy(X)
    return False


def refuse_lazy(X) -> None:
    """Raise TypeError if X is a frame whose rows are not computed yet."""
    if isinstance(X, np.ndarray | list | tuple):
        return
    if isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame):
        kind, remedy = type(X), "collect" if hasattr(X, "collect") else "compute"
        raise TypeError(
            f"A data frame with its rows was expected, got a {kind.__module__.partition('.')[0]} "
            f"{kind.__name__}, which has not computed them yet. Pass X.{remedy}()."
        )


def to_array(X) -> np.ndarray:
    """X as an array; lists keep numbers beside text, integers that a float would round, and lists.

    Raises
    ------
    ValueError
        If X is a list of rows of different lengths.
    """
    if not isinstance(X, list | tuple):
        array = np.asarray(X)
        if array.ndim == 1 and array.dtype == object and len(array) and _is_list(array[0]):
            raise _no_table(f"{len(array)} lists in one dimension")
        return array
    lengths = [len(row) for row in X if _is_list(row)]
    if len(lengths) == len(X) and len(set(lengths)) > 1:
        raise _no_table(f"a list of {len(X)} rows of {min(lengths)} to {max(lengths)} entries each")
    try:
        array = np.asarray(X)
        if not _has_changed(array, X):
            return array
    except ValueError:
        pass  # lists of several lengths in cells
    if not len(lengths):
        return np.asarray(X, dtype=object)
    exact = np.empty((len(X), lengths[0]), dtype=object)
    for row, cells in zip(exact, X):
        row[:] = np.fromiter(cells, dtype=object, count=len(cells))
    return exact


def _is_list(row) -> bool:
    return isinstance(row, list | tuple) or (isinstance(row, np.ndarray) and row.ndim > 0)


def _no_table(got: str) -> ValueError:
    return ValueError(
        f"X must be two-dimensional, got {got}. If each is a history, make them a column of lists: "
        'pandas.DataFrame({"history": X}).'
    )


def _has_changed(array: np.ndarray, X) -> bool:
    """Whether numbers may have been rounded to floats, or written as text, to be one array."""
    if array.dtype.kind == "f":
        return bool((np.isfinite(array) & (np.abs(array) >= _EXACT)).any())
    if array.dtype.kind != "U":
        return False
    cells = chain.from_iterable(X) if array.ndim == 2 else X
    return not all(isinstance(cell, str) for cell in cells)


def read_column(X, column, name="group", use="to group by"):
    """A column of X, by its name in a frame or its position in an array.

    Parameters
    ----------
    X : data frame or array-like of shape (n_samples, n_features)
    column : str or int
    name, use : str, default="group", "to group by"
        The parameter that names the column and what the column is for: for messages.

    Raises
    ------
    ValueError
        If X has no such column.
    """
    if hasattr(X, "tocsr"):
        raise ValueError(
            f"X is a sparse matrix, whose column {column!r} cannot be read as {name}s: pass X as a "
            "data frame or array, or the groups as metadata to make_scorer(gauc_score, "
            "response_method='predict_proba').set_score_request(groups=True)"
        )
    if not is_frame(X):
        array = np.asarray(X)
        n_columns = array.shape[1] if array.ndim == 2 else 0
        if not isinstance(column, int | np.integer) or not -n_columns <= column < n_columns:
            raise ValueError(
                f"{name} must be the position of one of {n_columns} columns where X is an "
                f"array, got {column!r}: pass such a number, or X as a data frame"
            )
        return array[:, column]
    names = list(X.columns)
    if column not in names:
        close = difflib.get_close_matches(str(column), map(str, names), n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its columns are {names}"
        raise ValueError(f"X has no column {column!r} {use}: {hint}")
    return X[column]


def check_X(estimator, X, *, reset: bool, reads: Iterable[str | int] | None = None):
    """Check names and number of columns; turn anything that is not a frame into an array.

    Parameters
    ----------
    estimator : estimator
    X : data frame, array-like or scipy sparse matrix of shape (n_samples, n_features)
    reset : bool
        True in fit: remember the columns. False: compare with those of fit.
    reads : iterable of str or None, default=None
        The columns that the caller reads: unless `reset`, a frame may lack the others of fit. None
        stands for all.

    Returns
    -------
    data frame, ndarray (object arrays included) or csr_matrix

    Raises
    ------
    ValueError
        No rows or columns, other columns than in fit, infinite numbers.
    TypeError
        Sparse X where the estimator takes none, a frame that has not computed its rows.
    """
    if is_frame(X):
        if len(X) == 0 or X.shape[1] == 0:
            raise ValueError(
                f"X is an empty frame: Found array with {len(X)} sample(s) and {X.shape[1]} "
                f"feature(s) (shape={X.shape}) while a minimum of 1 is required. Look at the "
                "filter or the split that made it; a request without rows needs no model."
            )
        if reset or reads is None:
            validate_data(estimator, X, reset=reset, skip_check_array=True)
        else:
            _check_read_columns(estimator, X, reads)
        return X
    sparse = "csr" if get_tags(estimator).input_tags.sparse else False
    # In a sparse matrix what is missing is zero: NaN has no meaning there.
    finite = True if hasattr(X, "tocsr") else "allow-nan"
    if not hasattr(X, "tocsr"):
        array = to_array(X)
        X = array if isinstance(X, list | tuple) else X
    return validate_data(
        estimator, X, reset=reset, accept_sparse=sparse, dtype=None, ensure_all_finite=finite
    )


def _check_read_columns(estimator, X, reads) -> None:
    """scikit-learn's check of names, as if the columns that nobody reads were there."""
    reads, names = set(reads), [str(name) for name in X.columns]
    known = getattr(estimator, "feature_names_in_", ())
    unread = [name for name in known if name not in names and name not in reads]
    if not unread:
        validate_data(estimator, X, reset=False, skip_check_array=True)
    elif names != [name for name in known if name not in unread]:
        # What is wrong is said without those that nobody reads.
        header = pd.DataFrame(columns=[*names, *unread])
        validate_data(estimator, header, reset=False, skip_check_array=True)


def check_weight(sample_weight, X, y) -> np.ndarray:
    """float64 weights of shape (n_samples,), ones when None; negative weights raise ValueError."""
    check_consistent_length(X, y)
    if sample_weight is None:
        return np.ones(len(y))
    if isinstance(sample_weight, numbers.Real):
        sample_weight = np.full(len(y), float(sample_weight))
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array")
    check_length("sample_weight", weight, len(y))
    if (weight < 0).any():
        raise ValueError(
            f"sample_weight must not be negative, got {weight.min():g} in row {weight.argmin()}"
        )
    if not weight.any():
        raise ValueError(
            "sample_weight is zero for all rows: at least one row needs a positive weight"
        )
    return weight


def scale_of(weight: np.ndarray) -> int:
    """The k for which the mean of weights, some of them above 0, lies from 2**k to 2**(k + 1)."""
    # Sums of the largest or of the smallest floats would be infinite, or lose their digits.
    top = int(np.frexp(weight.max())[1])
    return top + int(np.frexp(np.ldexp(weight, -top).mean())[1]) - 1


def in_scale(weight: np.ndarray) -> np.ndarray:
    """Weights over a power of two, so that their mean lies from 1 to 2: no digit changes.

    For what only the ratios of weights matter to, losses and means.
    """
    scale = scale_of(weight)
    return np.ldexp(weight, -scale) if scale else weight


def check_length(name: str, values, n_rows: int) -> None:
    """Raise ValueError unless `values` has one entry for each of `n_rows` rows."""
    if len(values) != n_rows:
        raise ValueError(
            f"{name} must have one entry for each of the {n_rows} rows, got {len(values)} entries. "
            "Cut it to the same rows as X and y."
        )


def check_rows(estimator, X, y, sample_weight, check_target, *, reset: bool, reads=None):
    """X, y and float64 weights of the rows of positive weight, checked against each other.

    Parameters
    ----------
    estimator : estimator
    X, y, sample_weight : as in `fit`
    check_target : callable
        ``check_target(y) -> ndarray``: rejects a y of the wrong shape or kind.
    reset, reads
        As in :func:`check_X`.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    X = check_X(estimator, X, reset=reset, reads=reads)
    y = check_target(y)
    if X.shape[0] != len(y):
        raise ValueError(
            f"X and y must have the same number of rows, got inconsistent numbers of samples: "
            f"[{X.shape[0]}, {len(y)}]"
        )
    return drop_zero_weight(X, y, check_weight(sample_weight, X, y))


def check_validation_arguments(X_val, y_val, sample_weight_val) -> None:
    """Raise ValueError where one of X_val, y_val is given without the other."""
    if (X_val is None) != (y_val is None):
        given, missing = ("y_val", "X_val") if X_val is None else ("X_val", "y_val")
        raise ValueError(f"X_val and y_val go together: got {given} without {missing}")
    if sample_weight_val is not None and X_val is None:
        raise ValueError("sample_weight_val needs X_val and y_val")
    if sample_weight_val is not None and np.ndim(sample_weight_val):
        check_length("sample_weight_val", sample_weight_val, len(y_val))


def explain_unknown_arguments(method):
    """Decorate a method: an unknown keyword raises a TypeError that lists the known ones.

    Python's own names the base class that has the method, and other libraries call validation rows
    differently.
    """
    known = [name for name in inspect.signature(method).parameters if name != "self"]

    @functools.wraps(method)
    def checked(self, *args, **kwargs):
        unknown = next((name for name in kwargs if name not in known), None)
        if unknown is not None:
            remedy = ""
            if "X_val" in known and unknown.startswith(("eval", "val", "X_v", "y_v", "early")):
                remedy = " Rows to stop early on are given as X_val=..., y_val=...."
            raise TypeError(
                f"{type(self).__name__}.{method.__name__}() got an unexpected keyword argument "
                f"{unknown!r}: it takes {', '.join(known)}.{remedy}"
            )
        return method(self, *args, **kwargs)

    return checked


def drop_zero_weight(X, y, weight):
    """Rows of positive weight, so that nothing is learned from the others."""
    keep = weight > 0
    if keep.all():
        return X, y, weight
    rows = np.flatnonzero(keep)
    return take_rows(X, rows), take_rows(y, rows), weight[rows]


def take_rows(X, rows: np.ndarray):
    """Rows of X by their numbers, from columns too of which pandas cannot take any.

    Those are numbers in another machine's order of bytes, and Arrow's views.
    """
    if isinstance(X, pd.DataFrame):
        bad = [j for j, dtype in enumerate(X.dtypes) if not _can_be_taken(dtype)]
        if bad:
            X = X.copy(deep=False)
            for j in bad:
                X.isetitem(j, _plain(X.iloc[:, j]))
    elif isinstance(X, pa.Table):
        for j, kind in enumerate(X.schema.types):
            if not _arrow_takes(kind):
                X = X.set_column(j, X.schema.names[j], pa.array(X.column(j).to_pylist()))
    return _safe_indexing(X, rows)


def _can_be_taken(dtype) -> bool:
    if isinstance(dtype, np.dtype):
        return dtype.isnative
    return not isinstance(dtype, pd.ArrowDtype) or _arrow_takes(dtype.pyarrow_dtype)


def _arrow_takes(kind: pa.DataType) -> bool:
    try:
        pa.nulls(1, kind).take(pa.array([0]))
    except pa.ArrowNotImplementedError:
        return False
    return True


def _plain(series: pd.Series) -> pd.Series:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return series.astype(dtype.newbyteorder("="))
    values = pa.array(series.array).to_pylist()
    return pd.Series(np.fromiter(values, object, len(values)), index=series.index)


def split_rows(target: np.ndarray, fraction: float, random_state):
    """Random row numbers of a training and a validation part, each ascending.

    Stratified where `target` is 1-D and both parts have room for all its values.
    """
    stratify = None
    if target.ndim == 1:
        counts = np.unique(target, return_counts=True)[1]
        n_valid = int(len(target) * fraction)
        if counts.min() > 1 and len(counts) <= min(n_valid, len(target) - n_valid - 1):
            stratify = target
    parts = train_test_split(
        np.arange(len(target)), test_size=fraction, stratify=stratify, random_state=random_state
    )
    return tuple(map(np.sort, parts))


def check_number(name: str, value, low, high=None, *, integer=False, closed="left") -> None:
    """Raise unless `value` is a number within the interval from `low` to `high`.

    Parameters
    ----------
    name : str
    value : object
    low, high : number
        `high` None is infinity.
    integer : bool, default=False
    closed : {"left", "right", "both", "neither"}, default="left"
        Which ends belong to the interval.
    """
    kind = numbers.Integral if integer else numbers.Real
    ok = isinstance(value, kind) and not isinstance(value, (bool, np.bool_))
    if ok:
        ok = value >= low if closed in ("left", "both") else value > low
        if high is not None:
            ok &= value <= high if closed in ("right", "both") else value < high
    if not ok:
        left = "[" if closed in ("left", "both") else "("
        right = "]" if closed in ("right", "both") and high is not None else ")"
        noun = "an integer" if integer else "a number"
        top = "inf" if high is None else high
        raise ValueError(f"{name} must be {noun} in {left}{low}, {top}{right}, got {value!r}")


def check_dims(name: str, value) -> None:
    """Raise ValueError unless `value` is a sequence of widths, integers of at least 1."""
    if isinstance(value, (tuple, list)):
        for width in value:
            check_number(f"each width in {name}", width, 1, integer=True)
    else:
        raise ValueError(f"{name} must be a tuple of widths such as (256, 128), got {value!r}")


def check_choice(name: str, value, choices) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not any(value is one or (np.ndim(value) == 0 and value == one) for one in choices):
        expected = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name} must be one of {expected}, got {value!r}")


def warn_if_worse_than_constant(best: float, base: float) -> None:
    """Warn, in a ``_judge`` hook, if the best validation loss is clearly above the base rate's."""
    if best > _WORSE * base > 0:
        warn(
            f"The best validation loss is {best:.4g}, but predicting the base rate for every "
            f"row would give {base:.4g}. Lower lr, raise l2, or check that X_val went through "
            "the same steps as X (a Pipeline needs transform_input=['X_val']).",
        )


@contextmanager
def unchanged_on_error(estimator):
    """Whatever ends the block early, the estimator keeps the attributes it had before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
