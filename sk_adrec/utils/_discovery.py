"""Finds the public estimators, so that tests and documentation need no list of their own."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from sklearn.base import BaseEstimator

import sk_adrec


def all_estimators() -> list[tuple[str, type[BaseEstimator]]]:
    """Return every public estimator and transformer of the library.

    Public is what a package of the library exports under a name without a leading underscore;
    abstract base classes are left out.

    Returns
    -------
    list of (str, type)
        Name and class, sorted by name.

    Examples
    --------
    >>> from sk_adrec.utils import all_estimators
    >>> [name for name, _ in all_estimators() if name.startswith("FM")]
    ['FMClassifier']
    """
    found = {}
    for package in _public_packages():
        for name in getattr(package, "__all__", ()):
            value = getattr(package, name)
            if name.startswith("_") or not inspect.isclass(value):
                continue
            if issubclass(value, BaseEstimator) and not inspect.isabstract(value):
                found[name] = value
    return sorted(found.items())


def _public_packages():
    yield sk_adrec
    for info in pkgutil.iter_modules(sk_adrec.__path__):
        if not info.name.startswith("_"):
            yield importlib.import_module(f"{sk_adrec.__name__}.{info.name}")
