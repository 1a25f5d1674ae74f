"""Warnings that point at the line of the user's code that led to them."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

# Through these a user's line may reach this package: a Pipeline's fit, a Parallel's thread, a
# decorator, `with`.
_BETWEEN = frozenset(
    {
        "sk_adrec", "sklearn", "skorch", "joblib", "torch", "scipy", "pandas", "numpy",
        "contextlib", "functools", "threading", "concurrent",
    }
)  # fmt: skip


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line outside this package and the libraries that called it.

    A thread's frames end in the thread: collect messages there, and warn where its results are
    gathered.

    Parameters
    ----------
    message : str
        What was found, and the remedy.
    category : type, default=UserWarning
    """
    frame, level = sys._getframe(1), 2
    while _is_between(frame) and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_between(frame: FrameType) -> bool:
    # A doctest runs under the name of the module that it stands in.
    if frame.f_code.co_filename.startswith("<doctest "):
        return False
    module = frame.f_globals.get("__name__") or ""
    return module.partition(".")[0] in _BETWEEN
