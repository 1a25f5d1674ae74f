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
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

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
    own = _declarations(cls)
    _refuse_what_is_no_declaration(cls, own)
    _set_kinds(cls, own)
    doc = vars(cls).get("__doc__")
    dataclass(eq=False, repr=False, match_args=False)(cls)
    cls.__doc__ = doc
    init: Any = cls.__init__  # type: ignore[misc]
    types = get_type_hints(cls)
    signature = inspect.signature(init)
    self, *parameters = signature.parameters.values()
    place: dict[str, tuple[int, int]] = {}
    for distance, base in enumerate(cls.__mro__):
        for index, name in enumerate(inspect.get_annotations(base)):
            place.setdefault(name, (distance, index))
    # Of those by position the order is that in which __init__ takes them.
    by_name = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    by_name.sort(key=lambda p: place[p.name])
    parameters = [p for p in parameters if p.kind is not p.KEYWORD_ONLY] + by_name
    parameters = [p.replace(annotation=types.get(p.name, p.empty)) for p in parameters]
    init.__signature__ = signature.replace(parameters=[self, *parameters])
    init.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    # An attribute of the class would be listed among those of its instances.
    for one in fields(cls):
        if one.name in vars(cls):
            delattr(cls, one.name)
    hints: dict[str, Any] = {}
    for name, hint, rule in _hints(cls):
        if name not in hints or (rule is not None and _rule_of(hints[name]) is None):
            hints[name] = hint
    complete(cls, [Declared(p.name, p.default, _text_of(hints[p.name])) for p in parameters])
    return cls


def _declarations(cls: type) -> list[str]:
    """Names that a class declares itself."""
    return [
        name
        for name, hint in inspect.get_annotations(cls).items()
        if name != "_" and "ClassVar" not in str(hint)
    ]


def _refuse_what_is_no_declaration(cls: type, own: list[str]) -> None:
    for base in cls.__mro__[:-1]:
        if "__init__" in vars(base) and "__dataclass_fields__" not in vars(base):
            raise TypeError(
                f"{cls.__name__} is decorated with @hyperparameters, which makes its __init__, but "
                f"{base.__name__} has one of its own: declare parameters in one of the two ways"
            )
    hidden = [name for name in own if name.startswith("_") or name.endswith("_")]
    if hidden:
        raise TypeError(
            f"{cls.__name__} declares {hidden[0]!r}, but parameters have no underscore at their "
            "ends: annotate a constant as ClassVar, and leave out the annotation of what fit sets"
        )
    taken = [
        name for name in own if any(callable(vars(base).get(name)) for base in cls.__mro__[1:])
    ]
    if taken or any("__" in name for name in own):
        name = next((one for one in taken), None) or next(one for one in own if "__" in one)
        raise TypeError(
            f"{cls.__name__} declares {name!r}: that is the name of a method, or has two "
            "underscores, which scikit-learn takes for a parameter of a part. Call it otherwise"
        )
    inherited = {name for base in cls.__mro__[1:] for name in _declarations(base)}
    for name in inherited & set(vars(cls)) - set(own):
        raise TypeError(
            f"{cls.__name__} sets {name} = {vars(cls)[name]!r} without an annotation, so that it "
            f"would be no default: write {name}: Type = {vars(cls)[name]!r}"
        )


def _set_kinds(cls: Any, own: list[str]) -> None:
    """Parameters before ``_: KW_ONLY`` may be given by position, all others by name alone.

    One that a base declares keeps its kind.
    """
    names = list(inspect.get_annotations(cls))
    ends = names.index("_") if "_" in names else 0
    known = {one.name: one.kw_only for one in getattr(cls, "__dataclass_fields__", {}).values()}
    for name in own:
        kw_only = known.get(name, names.index(name) >= ends)
        default = vars(cls).get(name, MISSING)
        setattr(cls, name, field(default=default, kw_only=kw_only))


def check_parameters(estimator) -> None:
    """Raise ValueError or TypeError where a parameter is not what its class declares."""
    kind: Any = type(estimator)
    for name, rule in _rules(kind):
        rule.check(name, getattr(estimator, name))


@functools.cache
def _rules(cls: type) -> list[tuple[str, Rule]]:
    """The rule of each parameter: of the nearest class that has one for it."""
    found: dict[str, Rule] = {}
    for name, hint, rule in _hints(cls):
        if rule is not None and name not in found:
            found[name] = _or_none(rule) if _allows_none(hint) else rule
    return list(found.items())


def _hints(cls: type) -> list[tuple[str, Any, Rule | None]]:
    """Name, type and rule of each declaration, the nearest class's first.

    A name comes as often as it is declared.
    """
    found = []
    for base in cls.__mro__:
        own = _declarations(base)
        if own:
            hints = get_type_hints(base, include_extras=True)
            found += [(name, hints[name], _rule_of(hints[name])) for name in own]
    return found


def _rule_of(hint) -> Rule | None:
    """The rule within a type, be it ``Annotated`` or ``Annotated | None``."""
    if isinstance(hint, Rule):
        raise TypeError("a range is no type: write Annotated[float, within(...)], or one_of(...)")
    parts = [hint, *(get_args(hint) if get_origin(hint) in (Union, UnionType) else ())]
    rules = (one for part in parts for one in getattr(part, "__metadata__", ()))
    return next((one for one in rules if isinstance(one, Rule)), None)


def _allows_none(hint) -> bool:
    return get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint)


def _or_none(rule: Rule) -> Rule:
    def check(name, value):
        if value is not None:
            rule.check(name, value)

    return Rule(check, rule.text)


def _text_of(hint) -> str:
    """A type as docs say it."""
    if (rule := _rule_of(hint)) is not None:
        return rule.text
    if hint is Any:
        return "object"
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
