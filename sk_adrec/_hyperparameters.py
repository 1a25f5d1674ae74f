"""Hyper-parameters, declared once: a name, a range, a default; ``__init__`` and docs follow.

A class lists its own as annotated attributes, ranges standing in ``Annotated`` types::

    @hyperparameters
    class DeepFMClassifier(BaseRanker):
        embedding_dim: Count = 16
        _: KW_ONLY
        dropout: Share = 0.0

What a base declares is inherited, a declaration that is repeated changes the default.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, fields
from typing import Annotated, Any, TypeVar, dataclass_transform, get_type_hints

from ._docs import Declared, complete
from ._validation import check_choice, check_dims, check_number

__all__ = ["KW_ONLY", "Rule", "check_parameters", "hyperparameters", "one_of", "within"]

C = TypeVar("C", bound=type)


@dataclass(frozen=True)
class Rule:
    """What a hyper-parameter may be, for ``Annotated``.

    Parameters
    ----------
    check : callable
        ``check(name, value)`` raises ValueError or TypeError.
    text : str
        The type in the docs.
    """

    check: Callable[[str, Any], None]
    text: str


def within(low, high=None, closed="left", *, integer=False, also=()) -> Rule:
    """Numbers of a range, as :func:`check_number` takes it; `also` are allowed beside them."""

    def check(name, value):
        if not any(value is one or (isinstance(one, str) and value == one) for one in also):
            check_number(name, value, low, high, integer=integer, closed=closed)

    kind = "int" if integer else "float"
    words = [f'"{one}"' if isinstance(one, str) else str(one) for one in also if one is not None]
    return Rule(check, " or ".join([*words, kind]))


def one_of(*choices) -> Rule:
    """A few values."""
    text = "{" + ", ".join(f'"{c}"' if isinstance(c, str) else str(c) for c in choices) + "}"
    return Rule(
        lambda name, value: check_choice(name, value, choices),
        "bool" if choices == (True, False) else text,
    )


Count = Annotated[int, within(1, integer=True)]
CountOrNone = Annotated[int | None, within(1, integer=True, also=(None,))]
CountOrAuto = Annotated[int | str, within(1, integer=True, also=("auto",))]
Positive = Annotated[float, within(0, closed="neither")]
PositiveOrNone = Annotated[float | None, within(0, closed="neither", also=(None,))]
NotNegative = Annotated[float, within(0)]
#: Of what is left out: [0, 1).
Share = Annotated[float, within(0, 1)]
#: Of what is taken: (0, 1).
Part = Annotated[float, within(0, 1, "neither")]
Probability = Annotated[float, within(0, 1, "both")]
Switch = Annotated[bool, one_of(True, False)]
SwitchOrAuto = Annotated[bool | str, Rule(one_of("auto", True, False).check, '"auto" or bool')]
Widths = Annotated[tuple[int, ...], Rule(check_dims, "tuple of int")]
Activation = Annotated[str, one_of("relu", "prelu", "dice")]
Dtype = Annotated[str, one_of("float32", "float64")]


@dataclass_transform(eq_default=False)
def hyperparameters(cls: C) -> C:
    """Give a class the ``__init__`` that its annotated attributes declare, and complete its docs.

    ``__init__`` assigns and does nothing else. Its signature holds the class's own parameters
    first, then those of its bases, the nearest first.
    """
    dataclass(eq=False, repr=False, match_args=False)(cls)
    hints, types = get_type_hints(cls, include_extras=True), get_type_hints(cls)
    signature = inspect.signature(cls.__init__)
    self, *parameters = signature.parameters.values()
    rank = {}
    for distance, base in enumerate(cls.__mro__):
        for name in vars(base).get("__annotations__", {}):
            rank.setdefault(name, distance)
    parameters.sort(key=lambda p: (p.kind, rank[p.name]))
    parameters = [p.replace(annotation=types.get(p.name, p.empty)) for p in parameters]
    cls.__init__.__signature__ = signature.replace(parameters=[self, *parameters])
    # An attribute of the class would be listed among those of its instances.
    for one in fields(cls):
        if one.name in vars(cls):
            delattr(cls, one.name)
    complete(cls, [Declared(p.name, p.default, _text_of(hints[p.name])) for p in parameters])
    return cls


def check_parameters(estimator) -> None:
    """Raise ValueError or TypeError where a parameter is not what its class declares."""
    for name, rule in _rules(type(estimator)):
        rule.check(name, getattr(estimator, name))


@functools.cache
def _rules(cls: type) -> list[tuple[str, Rule]]:
    hints = get_type_hints(cls, include_extras=True)
    return [(one.name, rule) for one in fields(cls) for rule in _rules_of(hints[one.name])]


def _rules_of(hint) -> list[Rule]:
    return [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Rule)]


def _text_of(hint) -> str:
    return next((rule.text for rule in _rules_of(hint)), "")
