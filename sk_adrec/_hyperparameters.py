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
    """Numbers of a range.

    Parameters
    ----------
    low, high : float
        `high` None is infinity.
    closed : {"left", "right", "both", "neither"}, default="left"
        Which ends belong to the range.
    integer : bool, default=False
    also : tuple, default=()
        Values that are allowed beside the numbers: "auto", None.

    Examples
    --------
    >>> from sk_adrec.base import within
    >>> Rate = within(0, 1, "neither", also=("auto",))
    >>> Rate.text
    '"auto" or float'
    >>> Rate.check("rate", 1.0)
    Traceback (most recent call last):
        ...
    ValueError: rate must be a number in (0, 1), got 1.0
    """

    def check(name, value):
        if not any(value is one or (isinstance(one, str) and value == one) for one in also):
            check_number(name, value, low, high, integer=integer, closed=closed)

    kind = "int" if integer else "float"
    words = [f'"{one}"' if isinstance(one, str) else str(one) for one in also if one is not None]
    return Rule(check, " or ".join([*words, kind]))


def one_of(*choices) -> Rule:
    """A few values.

    Parameters
    ----------
    *choices : object

    Examples
    --------
    >>> from sk_adrec.base import one_of
    >>> one_of("serial", "parallel").check("structure", "both")
    Traceback (most recent call last):
        ...
    ValueError: structure must be one of 'serial', 'parallel', got 'both'
    """
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
    first, then those of its bases, the nearest first. A docstring describes the class's own
    parameters, under "Parameters", by name alone; types, defaults and what the bases describe are
    filled in.

    Parameters
    ----------
    cls : type
        An estimator. What is annotated is a parameter, unless as ``ClassVar``; those before
        ``_: KW_ONLY`` may be given by position.

    Returns
    -------
    type
        The same class.

    Examples
    --------
    >>> import inspect
    >>> from sklearn.base import BaseEstimator, clone
    >>> from sk_adrec.base import KW_ONLY, Count, NotNegative, hyperparameters
    >>> @hyperparameters
    ... class Model(BaseEstimator):
    ...     '''A model.
    ...
    ...     Parameters
    ...     ----------
    ...     depth
    ...         Of the trees.
    ...     '''
    ...
    ...     depth: Count = 3
    ...     _: KW_ONLY
    ...     l2: NotNegative = 0.0
    >>> inspect.signature(Model)
    <Signature (depth: int = 3, *, l2: float = 0.0) -> None>
    >>> print(Model.__doc__)
    A model.
    <BLANKLINE>
    Parameters
    ----------
    depth : int, default=3
        Of the trees.
    <BLANKLINE>
    >>> clone(Model(l2=0.5))
    Model(l2=0.5)
    """
    dataclass(eq=False, repr=False, match_args=False)(cls)
    hints, types = get_type_hints(cls, include_extras=True), get_type_hints(cls)
    init: Any = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(init)
    self, *parameters = signature.parameters.values()
    rank: dict[str, int] = {}
    for distance, base in enumerate(cls.__mro__):
        for name in vars(base).get("__annotations__", {}):
            rank.setdefault(name, distance)
    parameters.sort(key=lambda p: (p.kind, rank[p.name]))
    parameters = [p.replace(annotation=types.get(p.name, p.empty)) for p in parameters]
    init.__signature__ = signature.replace(parameters=[self, *parameters])
    # An attribute of the class would be listed among those of its instances.
    for one in fields(cls):
        if one.name in vars(cls):
            delattr(cls, one.name)
    complete(cls, [Declared(p.name, p.default, _text_of(hints[p.name])) for p in parameters])
    return cls


def check_parameters(estimator) -> None:
    """Raise ValueError or TypeError where a parameter is not what its class declares."""
    kind: Any = type(estimator)
    for name, rule in _rules(kind):
        rule.check(name, getattr(estimator, name))


@functools.cache
def _rules(cls: type) -> list[tuple[str, Rule]]:
    hints = get_type_hints(cls, include_extras=True)
    return [(one.name, rule) for one in fields(cls) for rule in _rules_of(hints[one.name])]


def _rules_of(hint) -> list[Rule]:
    return [one for one in getattr(hint, "__metadata__", ()) if isinstance(one, Rule)]


def _text_of(hint) -> str:
    return next((rule.text for rule in _rules_of(hint)), "")
