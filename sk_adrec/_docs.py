"""Docs of hyper-parameters and attributes, written once: where each is declared.

A class describes what it declares; what its bases describe is filled in, and so are types and
defaults. Parameters that several classes declare anew have their text in `SHARED`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHARED = """
embedding_dim
    Length of the vector learned per id. Smaller learns faster and overfits less, larger holds
    more when every id has many rows.
hidden_dims
    Widths of the hidden layers of the deep part. Narrower layers are faster and overfit less;
    an empty tuple leaves a linear layer.
activation
    Of the hidden layers. "prelu" learns the slope below zero; "dice" also moves the kink to
    where the batch is: worth a try on many rows. "dice" ignores sample weights in its
    statistics of a batch.
dropout : float in [0, 1)
    Share of each hidden layer's outputs that are set to zero at random in training. Raise it
    when the validation loss turns up early.
n_jobs : int
    Threads. None = as many as this process may use, but one inside a job of joblib, as of
    GridSearchCV with `n_jobs` of its own; -1 = as many as this process may use in any case.
    Set a number to leave the other cores to others.
"""

# In numpydoc's order.
_SECTIONS = (
    "Parameters", "Attributes", "See Also", "Notes", "References", "Examples",
)  # fmt: skip
_HEADING = re.compile(r"^([A-Z][A-Za-z ]*)\n-{3,}\n", re.MULTILINE)
_DEFAULT = re.compile(r", default=.*$")


@dataclass(frozen=True)
class Declared:
    """A hyper-parameter: its name, its default (or ``inspect.Parameter.empty``), its type."""

    name: str
    default: Any
    type: str


def complete(cls: type, parameters: list[Declared]) -> None:
    """Complete the sections Parameters and Attributes of a class's docstring.

    Entries of parameters may be a name and a description: types and defaults follow from the
    declaration. What is left out comes from the bases, the nearest first, then from `SHARED`.
    """
    summary, sections = _split(vars(cls).get("__doc__") or "")
    known = {one.name for one in parameters}
    for name in _entries(sections.get("Parameters", "")):
        if name not in known:
            raise TypeError(f"the docstring of {cls.__name__} describes {name!r}, no parameter")
    described = _inherited(cls, "Parameters", sections)
    for name, entry in _entries(SHARED).items():
        described.setdefault(name, entry)
    lines: list[str] = []
    done: set[str] = set()
    for one in parameters:
        if one.name in described and one.name not in done:
            names, _, rest = described[one.name]
            done |= set(names)
            together = [p for p in parameters if p.name in names]
            lines += [_header(described[one.name], together), *rest]
    sections["Parameters"] = "\n".join(lines)
    attributes = _inherited(cls, "Attributes", sections)
    whole = {names: (names, text, rest) for names, text, rest in attributes.values()}
    sections["Attributes"] = "\n".join(
        line for names, text, rest in whole.values() for line in (_joined(names, text), *rest)
    )
    parts = [summary.rstrip()]
    others = [title for title in sections if title not in _SECTIONS]
    for title in [*_SECTIONS[:2], *others, *_SECTIONS[2:]]:
        if sections.get(title):
            parts.append(f"{title}\n{'-' * len(title)}\n{sections[title].rstrip()}")
    cls.__doc__ = "\n\n".join(parts) + "\n"


Entry = tuple[tuple[str, ...], str, list[str]]


def _inherited(cls: type, title: str, own: dict[str, str]) -> dict[str, Entry]:
    """Entries of a section by name: the class's own, then its bases', the nearest first."""
    found = dict(_entries(own.get(title, "")))
    for base in cls.__mro__[1:]:
        if "__dataclass_fields__" not in vars(base):
            continue
        _, sections = _split(vars(base).get("__doc__") or "")
        new = {
            name: entry
            for name, entry in _entries(sections.get(title, "")).items()
            if name not in found
        }
        for name, (names, text, rest) in new.items():
            found[name] = (tuple(one for one in names if one in new), text, rest)
    return found


def _split(text: str) -> tuple[str, dict[str, str]]:
    """A docstring as its summary and its sections by title."""
    summary, *rest = _HEADING.split(inspect.cleandoc(text))
    return summary, dict(zip(rest[::2], rest[1::2]))


def _entries(section: str) -> dict[str, Entry]:
    """Entries of a section: each name -> all names of its entry, its type, its further lines."""
    found: dict[str, Entry] = {}
    rest: list[str] = []
    for line in section.strip("\n").splitlines():
        if line and not line[0].isspace():
            names, _, text = line.partition(" : ")
            rest = []
            entry = (tuple(name.strip() for name in names.split(",")), text, rest)
            for name in entry[0]:
                found[name] = entry
        else:
            rest.append(line)
    return found


def _header(entry: Entry, declared: Iterable[Declared]) -> str:
    names, text, _ = entry
    declared = list(declared)
    text = _DEFAULT.sub("", text) or declared[0].type
    defaults = list(dict.fromkeys(_shown(one.default) for one in declared))
    if declared[0].default is not inspect.Parameter.empty:
        text = f"{text}, default={', '.join(defaults)}"
    return _joined(names, text)


def _joined(names: Iterable[str], text: str) -> str:
    return f"{', '.join(names)} : {text}" if text else ", ".join(names)


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else repr(default)
