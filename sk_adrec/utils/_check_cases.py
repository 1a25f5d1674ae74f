"""Data, small fits and comparisons that the estimator checks share."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone

from ..datasets._synthetic import make_ad_log

# A fit that takes a fraction of a second and still moves every parameter.
_QUICK = {
    "random_state": 0,
    "max_epochs": 3,
    "batch_size": 256,
    "lr": 0.01,
    "early_stopping": False,
}
# One batch that holds all rows of a check: nothing is shuffled, so fits can be compared.
FULL_BATCH = 100_000


def needs(*names: str):
    """Mark a check as one for estimators that have these parameters or attributes."""

    def mark(check):
        check.needs = names
        return check

    return mark


def default_instance(
    Estimator: Callable[..., BaseEstimator], inside: BaseEstimator
) -> BaseEstimator:
    """An estimator with its own defaults; a meta-estimator is given the one `inside`."""
    required = [
        name
        for name, parameter in inspect.signature(Estimator).parameters.items()
        if parameter.default is parameter.empty
    ]
    return Estimator(inside) if required == ["estimator"] else Estimator()


def with_params(estimator: BaseEstimator, **params: Any) -> BaseEstimator:
    """An unfitted copy with those of `params` set that the estimator, or one inside it, has."""
    copy = clone(estimator)
    known = copy.get_params(deep=True)
    return copy.set_params(
        **{path: params[path.split("__")[-1]] for path in known if path.split("__")[-1] in params}
    )


def quick(estimator: BaseEstimator, **params: Any) -> BaseEstimator:
    """An unfitted copy that fits a small log in a fraction of a second."""
    return with_params(estimator, **{**_QUICK, **params})


@functools.lru_cache(maxsize=32)
def _cached_log(n: int, seed: int, options: tuple):
    return make_ad_log(n, random_state=seed, **dict(options))


def ad_log(n: int = 400, *, seed: int = 0, **options: Any):
    """A synthetic log: strings, categories, numbers, missing values and a history.

    Returns
    -------
    Bunch
        As :func:`sk_adrec.datasets.make_ad_log` returns it; do not write into its arrays.
    """
    options = {"n_users": 40, "n_items": 30, "base_rate": 0.3, **options}
    return _cached_log(n, seed, tuple(sorted(options.items())))


# Where frame_and_clicks takes its rows from; None is the synthetic log of impressions.
_SOURCE: ContextVar[Callable | None] = ContextVar("source", default=None)


def on_rows(source: Callable, check: Callable, **params: Any) -> Callable:
    """A check on rows ``X, y = source(n, **options)`` instead of :func:`ad_log`'s.

    The estimator gets `params` first.
    """

    @functools.wraps(check)
    def check_on_rows(estimator):
        token = _SOURCE.set(source)
        try:
            check(with_params(estimator, **params))
        finally:
            _SOURCE.reset(token)

    return check_on_rows


def frame_and_clicks(n: int = 400, **options: Any) -> tuple[pd.DataFrame, np.ndarray]:
    """X and the 0/1 clicks of :func:`ad_log`, free to be changed, or what `on_rows` sets."""
    if (source := _SOURCE.get()) is not None:
        return source(n, **options)
    log = ad_log(n, **options)
    return log.data.copy(), log.target.to_numpy()


def output(estimator: BaseEstimator, X) -> np.ndarray:
    """What a fitted estimator makes of X: probabilities, predictions, or transformed columns."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X)
    if hasattr(estimator, "transform"):
        return _as_objects(estimator.transform(X))
    return estimator.predict(X)


def _as_objects(table) -> np.ndarray:
    """A table as objects that compare with ==: lists become tuples, missing values None."""
    if hasattr(table, "toarray"):
        return table.toarray()
    if isinstance(table, np.ndarray) and table.dtype.kind != "O":
        return table
    if hasattr(table, "to_pandas"):
        table = table.to_pandas()

    def comparable(value):
        if isinstance(value, list | tuple | np.ndarray):
            return tuple(comparable(entry) for entry in value)
        return None if pd.isna(value) else value

    rows = pd.DataFrame(table).astype(object).to_numpy()
    return np.frompyfunc(comparable, 1, 1)(rows)


def assert_same(actual: np.ndarray, expected: np.ndarray, claim: str, *, atol: float = 0.0) -> None:
    """Raise AssertionError unless two outputs agree; `claim` says what should have held."""
    if actual.shape != expected.shape:
        raise AssertionError(f"{claim}: shapes {actual.shape} and {expected.shape} differ")
    if actual.dtype.kind not in "fc" or expected.dtype.kind not in "fc":
        different = np.argwhere(np.not_equal(actual, expected))
        if len(different):
            where = tuple(int(k) for k in different[0])
            raise AssertionError(
                f"{claim}: at {where} got {actual[where]!r} instead of {expected[where]!r}"
            )
        return
    # A NaN compares as different from anything but a NaN in the same place.
    difference = np.where(np.isnan(actual) & np.isnan(expected), 0.0, np.abs(actual - expected))
    if not (difference <= atol).all():
        raise AssertionError(
            f"{claim}: outputs differ by up to {np.nanmax(difference):.3g}, allowed {atol:g}"
        )


def assert_finite(values: np.ndarray, claim: str) -> None:
    """Raise AssertionError if numbers are NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise AssertionError(f"{claim}: {(~np.isfinite(values)).sum()} outputs are not finite")


@contextlib.contextmanager
def expect_error(types, what: str, pattern: str = "") -> Iterator[None]:
    """Raise AssertionError unless the block raises one of `types` with a matching message."""
    try:
        yield
    except types as error:
        if not re.search(pattern, str(error)):
            raise AssertionError(
                f"{what}: the message should match {pattern!r}, got {str(error)!r}"
            ) from error
        return
    names = getattr(types, "__name__", None) or "/".join(t.__name__ for t in types)
    raise AssertionError(f"{what}: {names} expected, nothing was raised")


@contextlib.contextmanager
def raising_modules(error: BaseException, call: int) -> Iterator[None]:
    """Let the `call`-th forward pass of any training torch module raise `error`."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    n_calls = 0

    def count(module, args):
        nonlocal n_calls
        n_calls += module.training
        if n_calls >= call:
            raise error

    handle = register_module_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


def list_column(X: pd.DataFrame) -> str:
    """The name of the log's history column."""
    return next(name for name in X if name.startswith("hist_"))


def replace_lists(X: pd.DataFrame, change) -> pd.DataFrame:
    """X with each history, a list of ids, replaced by ``change(history)``."""
    name = list_column(X)
    lists = pd.Series(
        [change(list(value)) for value in X[name]], index=X.index, dtype=X[name].dtype
    )
    return X.assign(**{name: lists})
