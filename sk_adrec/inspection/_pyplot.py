"""matplotlib, loaded when something is drawn."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

# Control characters and lone surrogates, which no font has.
_WITHOUT_GLYPH = ("Cc", "Cs")


def pyplot(name: str):
    """matplotlib.pyplot, or an ImportError that says what `name` needs."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{name} draws with matplotlib, which is not installed: pip install "sk-adrec[plot]"'
        ) from error
    return plt


def shown(name) -> str:
    """A name as text that can be drawn; what no font has is written as an escape."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _WITHOUT_GLYPH and character != "\n"
        else character
        for character in str(name)
    )


def as_it_is(*texts: str) -> dict[str, Any]:
    """Keywords for texts that come from data: no math between dollars, no TeX.

    They stay with an axis label or title when another text is set, so they are given where needed.
    """
    from matplotlib import rcParams

    if rcParams["text.usetex"] or any("$" in text for text in texts):
        return {"parse_math": False, "usetex": False}
    return {}


def legend_label(name) -> str:
    """A name as the label of an artist, which every legend then has: no math, no first "_"."""
    label = shown(name).replace("$", r"\$")
    return f" {label}" if label[:1] in ("", "_") else label


def draw_legend(ax, names: Mapping[Any, Any]) -> None:
    """A legend of all that is labelled in `ax`; `names` says what stands beside some artists."""
    handles, labels = ax.get_legend_handles_labels()
    legend = ax.legend(handles, labels)
    for handle, text in zip(handles, legend.get_texts()):
        if handle in names:
            name = shown(names[handle])
            text.update({"text": name, **as_it_is(name)})
