"""What fitted estimators are in files: plain arrays and containers, whatever writes the file.

pickle, joblib, skops and export all see the state that :class:`FileState` makes: numbers, text,
lists, dicts and numpy arrays, so that skops needs to trust no type but the estimator's.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

T = TypeVar("T", bound=type)

# The key of a dict that stands for an object of one of the types of `_TYPES`.
_TYPE = "sk_adrec type"
_TYPES: dict[str, type] = {}
# Types of hyper-parameters that a file keeps as they were in fit.
_PLAIN = (bool, int, float, str, np.number, np.bool_, type(None))


def stored(cls: T) -> T:
    """Let files hold objects of a class.

    It has ``to_state`` and the class method ``from_state``, or is an estimator, or a dataclass,
    which is stored field by field.
    """
    name = _name_of(cls)
    if _TYPES.setdefault(name, cls) is not cls:
        raise TypeError(f"files know another class by the name {name!r}: rename this one")
    return cls


def _name_of(cls: type) -> str:
    """The library's own by their name, so that a module may move; others with their module."""
    if cls.__module__.partition(".")[0] == "sk_adrec":
        return cls.__name__
    return f"{cls.__module__}.{cls.__qualname__}"


def pack(value: Any) -> Any:
    """A value with everything of a stored type in it as plain containers."""
    kind: Any = type(value)
    if kind in _TYPES.values():
        if hasattr(value, "to_state"):
            state = value.to_state()
        elif isinstance(value, BaseEstimator):
            state = value.__getstate__()
        else:
            state = [pack(getattr(value, one.name)) for one in fields(kind)]
        return {_TYPE: _name_of(kind), "state": state}
    if isinstance(value, sparse.csr_matrix):
        return {_TYPE: "csr", "state": [value.data, value.indices, value.indptr, value.shape]}
    if kind is list:
        return [pack(one) for one in value]
    if kind is dict:
        return {key: pack(one) for key, one in value.items()}
    return value


def unpack(value: Any) -> Any:
    """What `pack` was given."""
    if type(value) is list:
        return [unpack(one) for one in value]
    if type(value) is not dict:
        return value
    if _TYPE not in value:
        return {key: unpack(one) for key, one in value.items()}
    state = value["state"]
    if value[_TYPE] == "csr":
        data, indices, indptr, shape = state
        return sparse.csr_matrix((data, indices, indptr), shape=tuple(shape))
    cls: Any = _TYPES[value[_TYPE]]
    if hasattr(cls, "from_state"):
        return cls.from_state(state)
    if issubclass(cls, BaseEstimator):
        estimator = cls()
        estimator.__setstate__(state)
        return estimator
    return cls(*map(unpack, state))


class FileState:
    """For estimators: the state that files hold, and the way back.

    A class names in ``_rebuilt`` the attributes that follow from others; they are not stored, and
    ``_rebuild`` sets them again.
    """

    _rebuilt: ClassVar[tuple[str, ...]] = ()

    def __getstate__(self):
        state = super().__getstate__()  # scikit-learn's
        return {name: pack(value) for name, value in state.items() if name not in self._rebuilt}

    def __setstate__(self, state):
        super().__setstate__({name: unpack(value) for name, value in state.items()})
        self._rebuild()

    def _rebuild(self) -> None:
        """Set what follows from the stored attributes; of an unfitted estimator nothing."""


def plain_params(estimator) -> dict[str, Any]:
    """Hyper-parameters that are numbers, text or tuples of them, as nobody can change them."""
    params = {one.name: getattr(estimator, one.name) for one in fields(estimator)}
    return {name: _plain(value) for name, value in params.items() if _is_plain(value)}


def _is_plain(value) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return isinstance(value, _PLAIN)


def _plain(value):
    if isinstance(value, list | tuple):
        return tuple(_plain(entry) for entry in value)
    return value.item() if isinstance(value, np.generic) else value
