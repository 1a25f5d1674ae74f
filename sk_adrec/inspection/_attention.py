"""The events of a history, by what they count for the candidate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from .._validation import check_number
from ..metrics._scorers import read_column
from ._pyplot import as_it_is, pyplot, shown

_ORDINARY, _LARGEST = "#9aa5b1", "#1d4ed8"
_BAR_HEIGHT = 0.7
# Times the mean weight, from which an event is in colour.
_STANDS_OUT = 1.1
_PANELS_PER_LINE = 3


class AttentionDisplay:
    """Attention weights of a few rows, one panel a row, one bar an event of its history.

    What of a user's past speaks for this candidate? The most recent event is at the bottom; the
    one that counts most is in colour, unless all count about the same: then averages
    (``attention="mean"``) may do as well.

    Make it with :meth:`from_estimator`.

    Parameters
    ----------
    weights : list of ndarray
        The weights of each row's events, oldest first.
    events : list of list of str
        Their names, as many as weights.
    candidates : list of str
        The title of each row's panel.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure of the panels.
    axes_ : ndarray of matplotlib Axes, one per row
        The panels.

    See Also
    --------
    sk_adrec.DINClassifier.attention_weights : The numbers.

    Notes
    -----
    A weight says what the network looked at, not what caused a click.

    Examples
    --------
    >>> import numpy as np
    >>> from sk_adrec.inspection import AttentionDisplay
    >>> display = AttentionDisplay([np.array([0.9, 0.1])], [["tent", "lipstick"]], ["torch"])
    >>> display.weights[0].argmax()
    np.int64(0)
    """

    def __init__(self, weights, events, candidates):
        self.weights = weights
        self.events = events
        self.candidates = candidates

    @classmethod
    def from_estimator(cls, estimator, X, *, history=None, names=None, max_rows=6, axes=None):
        """Draw the weights of a fitted model for the first rows of X.

        Parameters
        ----------
        estimator : fitted classifier
            With `attention_weights`, such as :class:`~sk_adrec.DINClassifier`.
        X : data frame of shape (n_samples, n_features)
            Raw rows; pick those to look at.
        history : str, default=None
            The attended list column that names the bars; None is the first in
            `share_vocabulary`'s order of X.
        names : mapping, default=None
            Id -> what to show for it, such as a product's name; ids without one stand for
            themselves.
        max_rows : int, default=6
            Panels drawn at most.
        axes : sequence of matplotlib Axes, default=None
            One for each row drawn; None makes a figure.

        Returns
        -------
        AttentionDisplay

        Raises
        ------
        TypeError
            If the estimator has no attention weights.
        ValueError
            If `history` is not a column that the model attends to.
        ImportError
            If matplotlib is not installed.
        """
        if not hasattr(estimator, "attention_weights"):
            raise TypeError(
                "estimator must have attention_weights, such as a fitted DINClassifier, got "
                f"{type(estimator).__name__}; of a Pipeline pass the last step, and X as the "
                "steps before it return it"
            )
        check_number("max_rows", max_rows, 1, integer=True)
        X = X[:max_rows]
        weights = estimator.attention_weights(X)
        attended = estimator.net_.module_.inputs.events
        if history is None:
            history = next(iter(attended))
        elif history not in attended:
            raise ValueError(
                f"history must be one of the columns attended to, {list(attended)}, got {history!r}"
            )
        names = {} if names is None else names
        attributes = list(zip(*(read_column(X, name) for name in attended)))
        shown = list(attended).index(history)
        events = [
            [str(names.get(event, event)) for event in _events(row, shown)[-len(weight) :]]
            if len(weight)
            else []
            for row, weight in zip(attributes, weights)
        ]
        target = attended[history]
        candidates = [f"{target}: {names.get(one, one)}" for one in read_column(X, target)]
        return cls(weights, events, candidates).plot(axes=axes)

    def plot(self, *, axes=None):
        """Draw all rows.

        Parameters
        ----------
        axes : sequence of matplotlib Axes, default=None
            One for each row; None makes a figure.

        Returns
        -------
        AttentionDisplay
            This one.

        Raises
        ------
        ValueError
            If there are not as many axes as rows.
        ImportError
            If matplotlib is not installed.
        """
        if axes is None:
            axes = _new_axes(len(self.weights), max((len(w) for w in self.weights), default=0))
        axes = np.ravel(np.asarray(axes, dtype=object))
        if len(axes) != len(self.weights):
            raise ValueError(
                f"axes must hold one for each of the {len(self.weights)} rows, got {len(axes)}"
            )
        for ax, weight, events, title in zip(axes, self.weights, self.events, self.candidates):
            colors = [_ORDINARY] * len(weight)
            # Where all count about the same, none stands out.
            if len(weight) and weight.max() > _STANDS_OUT * weight.mean():
                colors[int(np.argmax(weight))] = _LARGEST
            ax.barh(np.arange(len(weight)), weight, _BAR_HEIGHT, color=colors)
            names = list(map(shown, events))
            ax.set_yticks(np.arange(len(weight)), names, **as_it_is(*names))
            ax.invert_yaxis()
            title = shown(title) if len(weight) else f"{shown(title)} (no history)"
            ax.set_title(title, fontsize="medium", **as_it_is(title))
            ax.set_xlabel("attention weight")
        self.axes_, self.figure_ = axes, axes[0].figure
        return self


def _events(row, shown) -> list:
    """One attribute of a row's events: those that are not missing in all of their attributes."""
    lists = [[] if entries is None or np.ndim(entries) == 0 else entries for entries in row]
    known = [event for event in zip(*lists) if not all(pd.isna(entry) for entry in event)]
    return ["(missing)" if pd.isna(event[shown]) else event[shown] for event in known]


def _new_axes(n_rows: int, n_events: int):
    plt = pyplot("AttentionDisplay")
    n_columns = min(n_rows, _PANELS_PER_LINE)
    n_lines = -(-n_rows // n_columns)
    figure, axes = plt.subplots(
        n_lines,
        n_columns,
        figsize=(3.6 * n_columns, (1.1 + 0.25 * n_events) * n_lines),
        layout="constrained",
        squeeze=False,
    )
    for ax in axes.flat[n_rows:]:
        figure.delaxes(ax)
    return axes.flat[:n_rows]
