"""The demo's pictures: are the probabilities right, and which model is better at what price."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.special import expit

from sk_adrec.inspection import CalibrationByGroupDisplay

# Okabe and Ito's colours, two of them darker: told apart by colour-blind readers too.
COLORS = {
    "logistic regression": "#009E73",
    "LightGBM": "#D55E00",
    "GBDT+LR": "#0072B2",
    "FM": "#CC79A7",
    "DeepFM": "#B07C00",
    "DIN": "#2E8BC0",
    "popularity": "0.6",
    "bought again": "#009E73",
    "ItemCF": "#D55E00",
    "TwoTower": "#0072B2",
    "favourites": "#009E73",
    "HSTU": "#CC79A7",
}
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "savefig.dpi": 150,
}
# Three bins per power of ten, from one in a million.
EDGES = np.logspace(-6, 0, 19)
# Fewer conversions, or fewer other rows, are not worth a dot.
MIN_ROWS = 5


def draw_reliability(
    cases: dict[str, tuple],
    path: Path,
    title: str = "What is predicted, does it happen?",
) -> Path:
    """Observed against predicted rate, in bins of the prediction, a panel per case.

    Parameters
    ----------
    cases : dict of str to tuple of ndarray (y, weight, p), each of shape (n,)
        Model or stage -> 0 or 1, the impressions that each row stands for, and P(y = 1).
    path : Path
        Where the PNG goes.
    title : str
        What the picture asks.

    Returns
    -------
    Path
    """
    limits = (2e-5, 1.0)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            len(cases),
            figsize=(3.6 * len(cases), 5.4),
            sharex=True,
            sharey="row",
            height_ratios=[4, 1],
            squeeze=False,
            layout="constrained",
        )
        for (name, (y, weight, p)), (top, bottom) in zip(cases.items(), axes.T):
            color = color_of(name)
            bins = reliability_bins(y, weight, p)
            top.plot(limits, limits, color="0.6", lw=1, zorder=0)
            top.vlines(bins["predicted"], bins["low"], bins["high"], color=color, lw=1.5)
            top.plot(bins["predicted"], bins["observed"], "o", color=color, ms=5)
            top.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
            ratio = (weight @ p) / (weight @ y)
            top.set_title(f"{name}\n{ratio:.2f} predicted for each observed", color=color)
            share = np.histogram(p, EDGES, weights=weight)[0] / weight.sum()
            bottom.stairs(100 * share, EDGES, fill=True, color=color, alpha=0.6)
            bottom.set_xlabel("predicted rate")
            _percent_ticks(bottom.xaxis)
        _percent_ticks(axes[0, 0].yaxis)
        axes[0, 0].set_ylabel("observed rate")
        axes[0, 0].annotate("perfect", (0.05, 0.05), (0.012, 0.12), color="0.4",
                            arrowprops={"arrowstyle": "-", "color": "0.6"})  # fmt: skip
        axes[1, 0].set_ylabel("% of\nimpressions")
        finish(
            figure,
            path,
            f"{title} Weeks 45-53, 95 % intervals of the observed rate",
        )
    return path


def finish(figure: plt.Figure, path: Path, title: str | None = None) -> None:
    """Give the whole figure a title, save it and close it."""
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    figure.savefig(path)
    plt.close(figure)


def reliability_bins(y: np.ndarray, weight: np.ndarray, p: np.ndarray) -> pd.DataFrame:
    """Mean prediction, observed rate and its 95 % interval in bins of the prediction.

    The interval is that of the log odds from two sums of weights: the logarithm of a sum has the
    variance (sum w^2) / (sum w)^2, 1 / k where the weights of k rows are equal.
    """
    bins = np.clip(np.digitize(p, EDGES) - 1, 0, len(EDGES) - 2)

    def total(values):
        return np.bincount(bins, values, minlength=len(EDGES) - 1)

    used = np.minimum(total(y), total(1 - y)) >= MIN_ROWS
    yes, no, yes2, no2, predicted = (
        total(values)[used]
        for values in (
            weight * y,
            weight * (1 - y),
            weight**2 * y,
            weight**2 * (1 - y),
            weight * p,
        )
    )
    log_odds = np.log(yes / no)
    margin = 1.96 * np.sqrt(yes2 / yes**2 + no2 / no**2)
    return pd.DataFrame(
        {
            "predicted": predicted / (yes + no),
            "observed": expit(log_odds),
            "low": expit(log_odds - margin),
            "high": expit(log_odds + margin),
        }
    )


def draw_comparison(
    aucs: dict[str, dict], conversions: pd.Series, table: pd.DataFrame, path: Path
) -> Path:
    """AUC in each segment of the test rows with intervals, and the seconds that it took.

    Parameters
    ----------
    aucs : dict of str to dict
        Segment -> model -> ndarray of shape (1 + n_resamples,): the AUC, then resampled ones.
    conversions : Series
        Segment -> its conversions.
    table : DataFrame, indexed by model
        With the columns "fit s" and "predict s".
    path : Path
        Where the PNG goes.

    Returns
    -------
    Path
    """
    models = list(table.index)
    place = {name: -position for position, name in enumerate(models)}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1,
            len(aucs) + 1,
            figsize=(2.6 * (len(aucs) + 1), 1.2 + 0.7 * len(models)),
            sharey=True,
            layout="constrained",
        )
        for axis, (segment, values) in zip(axes, aucs.items()):
            for name in models:
                color = color_of(name)
                low, high = np.quantile(values[name][1:], [0.025, 0.975])
                _dot(axis, place[name], values[name][0], f"{values[name][0]:.3f}", color)
                axis.hlines(place[name], low, high, color=color, lw=2)
            axis.set(title=f"AUC, {segment}\n{conversions[segment]:,} conversions")
            axis.margins(x=0.15)
            axis.xaxis.set_major_locator(MaxNLocator(3))
        _draw_seconds(axes[-1], place, table)
        axes[0].set_yticks(list(place.values()), models)
        axes[0].set_ylim(-len(models) + 0.4, 0.6)
        for axis in axes:
            axis.tick_params(axis="y", length=0)
            axis.spines["left"].set_visible(False)
            axis.grid(axis="x", color="0.9")
            axis.set_axisbelow(True)
        finish(
            figure,
            path,
            "Which model puts conversions first? Weeks 45-53, 95 % intervals over households",
        )
    return path


def draw_calibration_by_group(
    y: np.ndarray,
    weight: np.ndarray,
    probabilities: dict[str, np.ndarray],
    groups: pd.Series,
    path: Path,
    max_groups: int = 8,
) -> Path:
    """Expected over observed conversions in each of the largest groups, a panel per model.

    Parameters
    ----------
    y, weight : ndarray of shape (n,)
        0 or 1, and the impressions that each row stands for.
    probabilities : dict of str to ndarray of shape (n,)
        Model -> P(y = 1).
    groups : Series of shape (n,)
        The group of each row; its name stands on the axis.
    path : Path
        Where the PNG goes.
    max_groups : int, default=8

    Returns
    -------
    Path
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2,
            -(-len(probabilities) // 2),
            figsize=(11, 1.6 + 0.7 * max_groups),
            squeeze=False,
            layout="constrained",
        )
        for (name, p), ax in zip(probabilities.items(), axes.ravel()):
            CalibrationByGroupDisplay.from_predictions(
                y, p, groups, sample_weight=weight, max_groups=max_groups, ax=ax
            )
            ax.get_legend().remove()
            ax.set(xlabel="expected / observed conversions", ylabel="")
            ax.set_title(
                f"{name}: {weight @ p / (weight @ y):.2f} over all rows", color=color_of(name)
            )
        finish(
            figure,
            path,
            f"Right on average, wrong in a {groups.name}? Weeks 45-53; red: the 95 % interval "
            "leaves out 1;\ndashed: all rows; (conversions of impressions)",
        )
    return path


def color_of(name: str) -> str:
    """The colour of a model, the same with the past and without; dark grey for other names."""
    return COLORS.get(name.split(" + ")[0], "0.25")


def _draw_seconds(axis: Axes, place: dict[str, int], table: pd.DataFrame) -> None:
    for name in place:
        color = color_of(name)
        fit, predict = table.loc[name, "fit s"], table.loc[name, "predict s"]
        axis.hlines(place[name], predict, fit, color=color, lw=1, alpha=0.5)
        _dot(axis, place[name], fit, f"fit {fit:.0f}", color)
        _dot(axis, place[name], predict, f"predict {predict:.1f}", color, below=True)
    axis.set(title="seconds,\nall rows", xscale="log")
    axis.margins(x=0.3)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _dot(
    axis: Axes, height: float, value: float, label: str, color: str, below: bool = False
) -> None:
    axis.plot(value, height, "o", color=color, ms=7, mfc="white" if below else color)
    place = {"xytext": (0, -17 if below else 8), "textcoords": "offset points", "ha": "center"}
    axis.annotate(label, (value, height), color=color, **place)


def _percent_ticks(axis) -> None:
    axis.set_major_locator(LogLocator(10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    axis.set_minor_formatter(NullFormatter())
