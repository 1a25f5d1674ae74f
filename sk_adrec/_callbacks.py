"""Callbacks that users give: skorch's own, and theirs. Known by name, without importing skorch."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_REFUSED = {
    "InputShapeSetter": "the module is built from the columns of X: leave it out",
}
# Of skorch's, what scores with the labels and classes of a classifier.
_SCORING = ("EpochScoring", "BatchScoring")


def check_callbacks(callbacks, *, dense_gradients: bool) -> None:
    """Refuse by name what cannot work here, and say what to use.

    Parameters
    ----------
    callbacks : sequence of skorch callbacks, or of pairs of a name and one; or None
    dense_gradients : bool
        Whether gradients are dense tensors.

    Raises
    ------
    TypeError
        If `callbacks` is no list of callbacks.
    ValueError
    """
    if callbacks is None:
        return
    if isinstance(callbacks, str) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks must be a list of skorch callbacks or None, got {callbacks!r}")
    for callback in map(_unnamed, callbacks):
        if not hasattr(callback, "on_epoch_end"):
            raise TypeError(
                f"callbacks must hold skorch callbacks, or pairs of a name and one, got "
                f"{callback!r}"
            )
        kinds = _skorch_names(callback)
        for name in kinds & _REFUSED.keys():
            raise ValueError(f"callbacks must not hold {name}: {_REFUSED[name]}")
        if "GradientNormClipping" in kinds and not dense_gradients:
            raise ValueError(
                "callbacks must not hold GradientNormClipping with optimizer='auto', whose "
                "gradients are row-sparse: set optimizer to a class such as torch.optim.AdamW, or "
                "lower lr"
            )
        scoring = getattr(callback, "scoring", None)
        for name in kinds.intersection(_SCORING):
            if not callable(scoring) or _module(scoring).startswith("sklearn."):
                raise ValueError(
                    f"{name} in callbacks must have a function f(net, X, y) as scoring, got "
                    f"{scoring!r}: a net here has no classes, X are encoded rows, and "
                    "net.predict(X) is what the module puts out. net.history holds the losses and "
                    "the metrics of validation rows as it is ('valid_loss', 'valid_auc'): monitor "
                    "these, or score the fitted estimator"
                )


def copy_callbacks(callbacks: Sequence[Any]) -> list[Any]:
    """Copies, so that a fit leaves the user's as they were.

    skorch's own make their state anew at the start: what they were given (open files, loggers)
    stays the user's.
    """
    memo: dict[int, Any] = {}
    shallow = []
    for callback in map(_unnamed, callbacks):
        if not isinstance(callback, type) and _module(type(callback)).startswith("skorch."):
            memo[id(callback)] = copy.copy(callback)
            shallow.append(memo[id(callback)])
    for callback in shallow:
        # LoadInitState knows the Checkpoint whose files it reads.
        known = {
            name: memo[id(value)] for name, value in vars(callback).items() if id(value) in memo
        }
        vars(callback).update(known)
    return copy.deepcopy(list(callbacks), memo)


def have_something_to_say(callbacks: Sequence[Any]) -> bool:
    """Whether one of the callbacks is there to write, or writes to where its user wants it."""
    for callback in map(_unnamed, callbacks):
        sink = getattr(callback, "sink", print)
        if "PrintLog" in _skorch_names(callback) or not (
            sink is print or getattr(sink, "__name__", "") == "noop"
        ):
            return True
    return False


def watches_validation_rows(callback) -> bool:
    """Whether a callback goes by a value of validation rows."""
    return str(getattr(callback, "monitor", "")).startswith("valid")


def explain_missing(callback, error: Exception, epoch: Mapping[str, Any]) -> str | None:
    """What to say of a callback that looked for a value which the history lacks; None: not that."""
    monitor = getattr(callback, "monitor", None)
    if isinstance(monitor, str) and monitor not in epoch:
        wanted = f"monitors {monitor!r}, which the history lacks"
    elif callable(monitor) and isinstance(error, KeyError):
        wanted = f"monitors what the history lacks ({str(error.args[0]).rstrip('.')})"
    else:
        return None
    known = [name for name in epoch if name not in ("batches", "epoch")]
    hint = "" if "valid_loss" in epoch else (
        ". Values of validation rows are there where fit gets X_val and y_val, or with "
        "early_stopping=True"
    )  # fmt: skip
    return f"{type(callback).__name__} in callbacks {wanted}; it holds {known}{hint}"


def _unnamed(callback):
    """skorch takes callbacks, or pairs of a name and one."""
    return callback[1] if isinstance(callback, tuple) and len(callback) == 2 else callback


def _skorch_names(callback) -> set[str]:
    """Names of skorch's classes that a callback, or a class of callbacks, is one of."""
    cls = callback if isinstance(callback, type) else type(callback)
    return {base.__name__ for base in cls.__mro__ if _module(base).startswith("skorch.")}


def _module(value) -> str:
    return str(getattr(value, "__module__", ""))
