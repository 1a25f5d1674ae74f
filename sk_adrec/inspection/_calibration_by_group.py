"""Expected over observed positives, segment by segment."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import gammaincinv

from .._validation import check_length, check_number, read_column
from ..metrics._checks import check_probabilities, check_weights, group_codes, is_positive
from ._pyplot import as_it_is, pyplot, shown

_CALIBRATED, _WRONG = "#9aa5b1", "#c2410c"
_BAR_HEIGHT = 0.7
# Room beside the most extreme value, as a factor on the log scale.
_MARGIN = 1.15
# A few rows give intervals over decades, beside which all else would look alike.
_WIDEST = 10.0
# From here on a total is rounded.
_MOST_DIGITS = 1e9


class CalibrationByGroupDisplay:
    """Calibration ratio of each group, as bars with intervals.

    A model that is calibrated overall may promise twice the clicks of one campaign and half of
    another's. Each bar is the ratio of expected to observed positives in one group, on a log
    scale, where 2 and 1/2 are equally wrong; its whisker is an interval for the ratio, and bars
    whose interval leaves out 1 are in colour.

    Make it with :meth:`from_predictions` or :meth:`from_estimator`.

    Parameters
    ----------
    table : DataFrame
        One row per group, its name in the index, sorted by `ratio`: `weight` (total, the number of
        rows where there are no weights), `expected` and `observed` (sums of probabilities and of
        positives), `ratio`, `low` and `high`.
    overall : float
        The ratio over all rows.
    group_name : str, default="group"
        What the groups are, for the axis.
    confidence_level : float, default=0.95
        Of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    bars_ : BarContainer
        One bar per drawn group.
    drawn_ : DataFrame
        The rows of `table` that are drawn, from the top bar down.

    See Also
    --------
    sk_adrec.metrics.calibration_ratio : The ratio over all rows.
    sklearn.calibration.CalibrationDisplay : By predicted probability instead of by group.

    Notes
    -----
    The interval takes the number of observed positives n for a Poisson variable: its exact
    (Garwood) limits are quantiles of gamma distributions of shape n and n + 1, and the expected sum
    is divided by them. It ignores noise in the model, and is too wide by 1 / sqrt(1 - r) where
    positives are a large share r of the rows. With weights, n is the effective number
    (sum w)^2 / sum w^2 over the positives. Of 100 calibrated groups about 5 leave out 1.

    A group without positives has an infinite ratio, or NaN where none were expected either; its
    whisker starts at the lower limit and is open above. Whiskers that reach the edge of the picture
    go on beyond it.

    Examples
    --------
    >>> from sk_adrec.datasets import make_ad_log
    >>> from sk_adrec.inspection import CalibrationByGroupDisplay
    >>> log = make_ad_log(5000, random_state=0)
    >>> display = CalibrationByGroupDisplay.from_predictions(
    ...     log.target, log.p_click, log.data["advertiser"]
    ... )
    >>> display.table.columns.tolist()
    ['weight', 'expected', 'observed', 'ratio', 'low', 'high']
    """

    def __init__(self, table, *, overall, group_name="group", confidence_level=0.95):
        self.table = table
        self.overall = overall
        self.group_name = group_name
        self.confidence_level = confidence_level

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_prob,
        groups,
        *,
        sample_weight=None,
        pos_label=None,
        confidence_level=0.95,
        max_groups=20,
        group_name=None,
        ax=None,
    ):
        """Draw the ratios of given probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            Two labels.
        y_prob : array-like of shape (n_samples,)
            Probabilities of the positive label.
        groups : array-like of shape (n_samples,)
            The segment of each row; missing ones make a segment "(missing)", in
            further parentheses where a group has that name.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative; on downsampled logs the reciprocal of the sampling
            rate.
        pos_label : label, default=None
            None is 1 where the labels are 0 and 1, or -1 and 1, else the greater one.
        confidence_level : float in (0, 1), default=0.95
            Of the intervals. Raise it where many groups are looked at: some leave out 1 by chance.
        max_groups : int, default=20
            Draw the groups of most weight only; `table` holds all.
        group_name : str, default=None
            Label of the axis; None takes the name of `groups`, where it has one.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        CalibrationByGroupDisplay

        Raises
        ------
        ValueError
            If lengths differ, values are no probabilities, or `y_true` holds more than two labels.
        ImportError
            If matplotlib is not installed.
        """
        check_number("confidence_level", confidence_level, 0, 1, closed="neither")
        positive = is_positive(y_true, pos_label)
        p = check_probabilities(y_prob, positive).astype(np.float64)
        weight = check_weights(sample_weight, positive)
        weight = np.ones(len(p)) if weight is None else weight
        table = _ratios(positive, p, groups, weight, confidence_level)
        with np.errstate(divide="ignore", invalid="ignore"):
            overall = float(np.divide(table["expected"].sum(), table["observed"].sum()))
        if group_name is None:
            group_name = getattr(groups, "name", None) or "group"
        display = cls(
            table, overall=overall, group_name=group_name, confidence_level=confidence_level
        )
        return display.plot(max_groups=max_groups, ax=ax)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        group,
        *,
        sample_weight=None,
        confidence_level=0.95,
        max_groups=20,
        ax=None,
    ):
        """Draw the ratios of a fitted classifier, by a column of X.

        Parameters
        ----------
        estimator : fitted classifier
            With `predict_proba` and two classes; a Pipeline sees all columns of X.
        X : data frame or ndarray of shape (n_samples, n_features)
            Rows that the estimator was not trained on.
        y : array-like of shape (n_samples,)
            Their labels; the positive one is ``estimator.classes_[1]``.
        group : str, int or array-like of shape (n_samples,)
            Name of the column that holds the segments, its position in an array, or the segment
            of each row, where it is no column of X.
        sample_weight : array-like of shape (n_samples,), default=None
            As in :meth:`from_predictions`.
        confidence_level : float in (0, 1), default=0.95
            Of the intervals.
        max_groups : int, default=20
            Draw the groups of most weight only; `table` holds all.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        CalibrationByGroupDisplay

        Raises
        ------
        ValueError
            If X has no such column, or `group` and X are indexed differently.
        ImportError
            If matplotlib is not installed.
        """
        groups, group_name = _groups_of(X, group)
        return cls.from_predictions(
            np.asarray(y) == estimator.classes_[1],
            estimator.predict_proba(X)[:, 1],
            groups,
            sample_weight=sample_weight,
            confidence_level=confidence_level,
            max_groups=max_groups,
            group_name=group_name,
            ax=ax,
        )

    def plot(self, *, max_groups=20, ax=None):
        """Draw the groups of most weight.

        Parameters
        ----------
        max_groups : int, default=20
            How many groups are drawn; `table` holds all.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure as high as its bars need.

        Returns
        -------
        CalibrationByGroupDisplay
            This one.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_number("max_groups", max_groups, 1, integer=True)
        plt = pyplot("CalibrationByGroupDisplay")
        heaviest = self.table["weight"].to_numpy().argsort(kind="stable")[::-1][:max_groups]
        drawn = self.table.iloc[np.sort(heaviest)]
        if ax is None:
            _, ax = plt.subplots(figsize=(7.5, 1.6 + 0.3 * len(drawn)), layout="constrained")
        self.ax_, self.figure_, self.drawn_ = ax, ax.figure, drawn
        self._draw_bars(ax, drawn)
        self._label(ax, drawn)
        return self

    def _draw_bars(self, ax, drawn):
        low, high, ratio = (drawn[name].to_numpy() for name in ("low", "high", "ratio"))
        left, right = _limits(low, high, np.append(ratio, self.overall))
        y = np.arange(len(drawn))
        width = np.where(np.isfinite(ratio), np.clip(ratio, left, None), 1.0) - 1.0
        wrong = (low > 1) | (high < 1)
        colors = np.where(wrong, _WRONG, _CALIBRATED)
        self.bars_ = ax.barh(y, width, _BAR_HEIGHT, left=1.0, color=colors)
        for bar, is_wrong in zip(self.bars_, wrong):
            if is_wrong:
                bar.set_label("interval leaves out 1")
                break
        # A whisker that is open, or too wide to show, leaves the picture.
        ends = np.clip([low, high], left / 10, right * 10)
        ax.hlines(y, *ends, color="black", linewidth=1.2)
        ax.set_xscale("log")
        ax.set_xlim(left, right)
        ax.axvline(1.0, color="black", linewidth=1.0, label="calibrated")
        if np.isfinite(self.overall) and self.overall > 0:
            ax.axvline(
                self.overall,
                color="#1d4ed8",
                linestyle="--",
                linewidth=1.2,
                label=f"all rows: {self.overall:.2f}",
            )

    def _label(self, ax, drawn):
        from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

        names = [
            f"{shown(name)}  ({_count(observed)} of {_count(weight)})"
            for name, observed, weight in zip(drawn.index, drawn["observed"], drawn["weight"])
        ]
        ax.set_yticks(np.arange(len(drawn)), names, **as_it_is(*names))
        ax.set_ylim(len(drawn) - 0.4, -0.6)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(
            f"expected / observed positives, {self.confidence_level:.0%} Poisson interval"
        )
        which = (
            "" if len(drawn) == len(self.table) else f", {len(drawn)} largest of {len(self.table)}"
        )
        label = f"{shown(self.group_name)}  (observed of rows){which}"
        ax.set_ylabel(label, **as_it_is(label))
        ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, frameon=False)


def _count(total: float) -> str:
    """A number of rows, or the sum of weights in whatever unit."""
    return f"{total:,.0f}" if total == 0 or 0.5 <= total < _MOST_DIGITS else f"{total:.3g}"


def _limits(low, high, ratios):
    """Ends of the axis: all ratios, and the intervals as far as a factor of 10."""
    ratios = ratios[np.isfinite(ratios) & (ratios > 0)]
    left = min(1.0, *ratios, max(low.min(), 1 / _WIDEST))
    right = max(1.0, *ratios, min(high.max(), _WIDEST))
    return left / _MARGIN, right * _MARGIN


def _groups_of(X, group):
    """The segment of each row, and what to call the segments: None where they have no name."""
    if isinstance(group, str):
        return read_column(X, group), group
    if np.ndim(group) == 0 or isinstance(group, tuple):
        return read_column(X, group), f"column {group}"
    check_length("group", group, X.shape[0])
    both = hasattr(X, "iloc") and isinstance(group, pd.Series)
    if both and not group.index.equals(X.index):
        raise ValueError(
            "group has another index than X, so its rows may be in another order. Pass "
            "group.loc[X.index] if the index says which row is which, or group.to_numpy() if the "
            "rows are in the order of X."
        )
    return group, getattr(group, "name", None)


def _ratios(positive, p, groups, weight, confidence_level):
    """Sums, ratio and interval of each group that has weight, the highest ratio first."""
    codes, values = group_codes(groups, positive)
    n_groups = len(values) + 1
    codes = np.where(codes < 0, len(values), codes)
    missing = "(missing)"
    while missing in set(values):
        missing = f"({missing})"

    def sums(rows):
        return np.bincount(codes, rows, n_groups)

    table = pd.DataFrame(
        {"weight": sums(weight), "expected": sums(weight * p), "observed": sums(weight * positive)},
        index=pd.Index([*values, missing], dtype=object, name=getattr(groups, "name", None)),
    )
    # Squares of weights in a unit of their own neither vanish nor overflow.
    largest = weight.max()
    squares = sums((weight / largest) ** 2 * positive)
    with np.errstate(divide="ignore", invalid="ignore"):
        table["ratio"] = table["expected"] / table["observed"]
        n = np.where(squares > 0, (table["observed"] / largest) ** 2 / squares, 0.0)
        # What one of the n effective positives counts; without any, what a row counts.
        row = sums((weight / largest) ** 2) * largest / (table["weight"] / largest)
        unit = np.where(n > 0, table["observed"] / n, row)
        tail = (1 - confidence_level) / 2
        most = gammaincinv(n + 1, 1 - tail) * unit
        least = np.where(n > 0, gammaincinv(n, tail) * unit, 0.0)
        table["low"] = table["expected"] / most
        # Without a positive nothing bounds the ratio, whatever was expected: 0 / 0 included.
        table["high"] = np.where(n > 0, table["expected"] / least, np.inf)
    table = table[table["weight"] > 0]
    return table.sort_values("ratio", ascending=False, kind="stable")
