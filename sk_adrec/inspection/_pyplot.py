"""matplotlib, loaded when something is drawn."""

from __future__ import annotations


def pyplot(name: str):
    """matplotlib.pyplot, or an ImportError that says what `name` needs."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f'{name} draws with matplotlib, which is not installed: pip install "sk-adrec[plot]"'
        ) from error
    return plt
