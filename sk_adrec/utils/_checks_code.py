"""Checks of an estimator's source: parameters that nothing reads, documents or declares."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap

_HEADING = re.compile(r"^[A-Z][A-Za-z ]*\n-{3,}$", re.MULTILINE)


def check_parameters_are_read(estimator):
    """Every constructor parameter is read somewhere in the class or its bases.

    A parameter that is assigned in ``__init__`` and never looked at promises what it does not do.
    """
    unread = set(type(estimator)._get_param_names()) - _attributes_read(type(estimator))
    if unread:
        raise AssertionError(
            f"{type(estimator).__name__} never reads its parameters {sorted(unread)}: use them in "
            "fit or predict, or remove them"
        )


def check_parameters_are_declared(estimator):
    """What classes annotate as hyper-parameters are hyper-parameters.

    A class that declares some, or other defaults, and lacks the decorator ``@hyperparameters``
    keeps the ``__init__`` of its base: what it declares would be a constant that no grid can set.
    """
    cls = type(estimator)
    for base in cls.__mro__:
        if base is object or base.__module__.partition(".")[0] in ("sklearn", "abc"):
            continue
        declared = [
            name
            for name, hint in vars(base).get("__annotations__", {}).items()
            if name != "_" and "ClassVar" not in str(hint)
        ]
        if declared and "__init__" not in vars(base):
            raise AssertionError(
                f"{base.__name__} declares {declared} and inherits __init__: decorate it with "
                "@hyperparameters (sk_adrec.base), or annotate what is no parameter as ClassVar"
            )
        if "__init__" in vars(base) and "__dataclass_fields__" not in vars(base):
            lost = _inherited_parameters(base) - set(inspect.signature(base).parameters)
            if lost:
                raise AssertionError(
                    f"{base.__name__} has an __init__ of its own, which lacks the parameters "
                    f"{sorted(lost)} of its bases: clone drops what is not in it. Leave it out and "
                    "declare what is new under @hyperparameters"
                )
        hidden = [name for name in declared if name.startswith("_")]
        if hidden and "__dataclass_fields__" in vars(base):
            raise AssertionError(
                f"{base.__name__} has the parameters {hidden}: annotate them as ClassVar if they "
                "are constants; parameters have no leading underscore"
            )


def _inherited_parameters(cls: type) -> set[str]:
    """Parameters that the bases of a class declare."""
    found = {
        name for base in cls.__mro__[1:] for name in vars(base).get("__dataclass_fields__", ())
    }
    return {name for name in found if not name.startswith("_")}


def _attributes_read(cls: type) -> set[str]:
    """Names x that some method outside __init__ reads as ``self.x``; not scikit-learn's own."""
    read = set()
    for base in inspect.getmro(cls):
        if base is object or base.__module__.split(".")[0] in ("sklearn", "abc"):
            continue
        for method in vars(base).values():
            function = getattr(method, "fget", None) or getattr(method, "__func__", method)
            if not inspect.isfunction(function) or function.__name__ == "__init__":
                continue
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
            read |= {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Load)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            }
    return read


def check_parameters_are_documented(estimator):
    """The docstring's Parameters section lists the signature's names, all of them, in order.

    Where ``__init__`` is inherited and the class has no such section, that of the class which
    defines ``__init__`` counts.
    """
    cls = type(estimator)
    signature = [name for name in inspect.signature(cls.__init__).parameters if name != "self"]
    documented = _documented_parameters(cls)
    if documented != signature:
        missing = [name for name in signature if name not in documented]
        unknown = [name for name in documented if name not in signature]
        raise AssertionError(
            f"The Parameters section of {cls.__name__} should list the signature's parameters in "
            f"their order; missing: {missing}, unknown: {unknown}, documented: {documented}"
        )


def _documented_parameters(cls: type) -> list[str]:
    """Names that the first numpydoc section "Parameters" describes, up to __init__'s class."""
    section = ""
    for base in cls.__mro__:
        text = inspect.cleandoc(base.__doc__ or "")
        parts = re.split(r"^Parameters\n-{3,}\n", text, maxsplit=1, flags=re.MULTILINE)
        if len(parts) == 2:
            section = _HEADING.split(parts[1], maxsplit=1)[0]
        if section or "__init__" in vars(base):
            break
    names = []
    for line in section.splitlines():
        if line and not line[0].isspace() and " : " in line:
            names += [name.strip() for name in line.split(" : ")[0].split(",")]
    return names
