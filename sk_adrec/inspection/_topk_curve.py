"""A top-k metric against k, for several models."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from .._validation import check_choice, check_number
from ..metrics._hits import find_hits
from ..metrics._topk import TOPK_METRICS, average, row_weights, warn_undefined
from ..metrics._topk_rows import Case, recommend_for_rows, warn_all_seen
from ._pyplot import draw_legend, legend_label, pyplot

_SHOWN_NAME = {
    "hit_rate": "hit rate",
    "map": "MAP",
    "mrr": "MRR",
    "ndcg": "NDCG",
}
# Curves of few points show them.
_MOST_MARKERS = 25


class TopKCurveDisplay:
    """A metric at k against k, one curve per model: how many candidates are enough?

    Make it with :meth:`from_predictions` or :meth:`from_estimators`.

    Parameters
    ----------
    table : DataFrame
        One row per k, in the index, one column per model: the metric.
    metric : str
        Its name: "recall", "ndcg" and so on.
    n_rows : int
        Rows (users) that the averages are taken over.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it is drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : list of Line2D
        One per model, in the order of the table's columns.

    See Also
    --------
    sk_adrec.metrics.recall_at_k : The metrics, and how rows without a relevant item count.

    Examples
    --------
    >>> from sk_adrec.inspection import TopKCurveDisplay
    >>> recommended = {
    ...     "popular": [["a", "b", "c"], ["a", "b", "c"]],
    ...     "personal": [["c", "b", "a"], ["a", "c", "b"]],
    ... }
    >>> relevant = [["c"], ["c"]]
    >>> display = TopKCurveDisplay.from_predictions(recommended, relevant, metric="recall")
    >>> display.table
       popular  personal
    k
    1      0.0       0.5
    2      0.0       1.0
    3      1.0       1.0
    """

    def __init__(self, table, *, metric, n_rows):
        self.table = table
        self.metric = metric
        self.n_rows = n_rows

    @classmethod
    def from_predictions(
        cls,
        recommended,
        relevant,
        *,
        metric="recall",
        ks=None,
        sample_weight=None,
        empty="skip",
        ax=None,
    ):
        """Draw the curves of given recommendations.

        Parameters
        ----------
        recommended : dict of str to array-like of shape (n_rows, n_items), or to n_rows lists
            Model -> item ids for the same rows, the best first.
        relevant : array-like of shape (n_rows,) or (n_rows, m), or n_rows lists
            What was right.
        metric : {"hit_rate", "map", "mrr", "ndcg", "precision", "recall"}, default="recall"
            "recall" for candidates that are ranked again, "ndcg" for what is shown as it is.
        ks : array-like of int, default=None
            Where the metric is taken. None: at each k up to the length of the recommendations, for
            the model that has fewest.
        sample_weight : array-like of shape (n_rows,), default=None
            Weight of each row, not negative.
        empty : {"skip", "zero"}, default="skip"
            Whether rows in which nothing is relevant are left out, or count as 0.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.

        Returns
        -------
        TopKCurveDisplay

        Raises
        ------
        ValueError
            If numbers of rows differ, or a k is above the number of recommendations.
        TypeError
            If `recommended` is no dict.
        ImportError
            If matplotlib is not installed.
        """
        if not isinstance(recommended, Mapping) or not recommended:
            raise TypeError(
                "recommended must be a dict of model -> recommendations with at least one model, "
                f'got {type(recommended).__name__}: pass {{"my model": recommended}}'
            )
        ks = _check_ks(min(map(_n_recommended, recommended.values())) if ks is None else ks)
        cases = {name: Case(ids, relevant, sample_weight) for name, ids in recommended.items()}
        return cls._from_cases(cases, metric, ks, empty).plot(ax=ax)

    @classmethod
    def from_estimators(
        cls,
        estimators,
        X,
        y=None,
        *,
        metric="recall",
        ks=20,
        sample_weight=None,
        ax=None,
        **recommend_params,
    ):
        """Draw the curves of fitted retrievers or next-item estimators on test rows.

        Parameters
        ----------
        estimators : dict of str to fitted estimator
            Model -> estimator with `recommend`.
        X : data frame of shape (n_samples, n_features)
            Rows that no estimator was trained on, read as
            :func:`sk_adrec.metrics.make_topk_scorer` reads them.
        y : array-like of shape (n_samples,), default=None
            Labels of a retriever's rows (None: all are positive), or the next items of histories.
        metric : {"hit_rate", "map", "mrr", "ndcg", "precision", "recall"}, default="recall"
            "recall" for candidates that are ranked again, "ndcg" for what is shown as it is.
        ks : int or array-like of int, default=20
            Where the metric is taken; an int means each k up to it.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative, as the scorer takes it.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure.
        **recommend_params
            Further arguments of each estimator's `recommend`, such as ``exclude_seen=False``.

        Returns
        -------
        TopKCurveDisplay
            Where the retrievers have seen all pairs of X, its curves are 0, with a warning.

        Raises
        ------
        ValueError
            As the scorer raises it, or if retrievers whose `user` differs do not find as many users
            in X.
        TypeError
            If `estimators` is no dict, or one has no `recommend`.
        ImportError
            If matplotlib is not installed.

        Notes
        -----
        All curves are of the same rows: unless ``exclude_seen=False``, a pair of user and item that
        one of the retrievers has seen (`has_seen`) is no target of any. A model that learned from
        more rows than the others thus takes targets from all, and a curve can differ from the
        scorer's value of its model alone.
        """
        if not isinstance(estimators, Mapping) or not estimators:
            raise TypeError(
                "estimators must be a dict of model -> fitted estimator with at least one model, "
                f'got {type(estimators).__name__}: pass {{"my model": estimator}}'
            )
        ks = _check_ks(ks)
        check_choice("metric", metric, TOPK_METRICS)
        cases = recommend_for_rows(
            list(estimators.values()), X, y, sample_weight, ks[-1], recommend_params
        )
        if any(case.is_empty for case in cases):
            warn_all_seen("the curves are 0")
            table = pd.DataFrame(0.0, index=pd.Index(ks, name="k"), columns=list(estimators))
            return cls(table, metric=metric, n_rows=0).plot(ax=ax)
        return cls._from_cases(dict(zip(estimators, cases)), metric, ks, "skip").plot(ax=ax)

    @classmethod
    def _from_cases(cls, cases, metric, ks, empty):
        check_choice("metric", metric, TOPK_METRICS)
        curves, n_rows = {}, {}
        for name, (recommended, relevant, weight) in cases.items():
            hits = find_hits(recommended, relevant, ks[-1])
            counted = row_weights(hits, weight, empty)
            curves[name] = [average(metric, hits, k, counted) for k in ks]
            n_rows[name] = int(np.count_nonzero(counted))
        if len(set(n_rows.values())) > 1:
            raise ValueError(
                f"the curves would be averages over different numbers of rows, {n_rows}: draw "
                "estimators that read different columns of users apart"
            )
        if not n_rows[name]:
            warn_undefined(f"{metric} at {ks[0]} to {ks[-1]}")
        table = pd.DataFrame(curves, index=pd.Index(ks, name="k"))
        return cls(table, metric=metric, n_rows=n_rows[name])

    def plot(self, *, ax=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a figure.

        Returns
        -------
        TopKCurveDisplay
            This one.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = pyplot("TopKCurveDisplay")
        if ax is None:
            _, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
        marker = "o" if len(self.table) <= _MOST_MARKERS else None
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_ = [
            ax.plot(self.table.index, curve, marker=marker, markersize=4, label=legend_label(name))[
                0
            ]
            for name, curve in self.table.items()
        ]
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel("k")
        ax.set_ylabel(f"{_SHOWN_NAME.get(self.metric, self.metric)} at k, {self.n_rows:,} rows")
        # The limit stays automatic, for further curves on the same axes.
        ax.set_ylim(bottom=0, auto=None)
        draw_legend(ax, dict(zip(self.lines_, self.table)))
        return self


def _check_ks(ks) -> list[int]:
    """The ks in ascending order; an int stands for all up to it."""
    if np.ndim(ks) == 0:
        check_number("ks", ks, 1, integer=True)
        return list(range(1, int(ks) + 1))
    for k in ks:
        check_number("each of ks", k, 1, integer=True)
    if len(ks) == 0:
        raise ValueError("ks is empty: pass at least one k")
    return sorted({int(k) for k in ks})


def _n_recommended(recommended) -> int:
    """Columns of an array, or the longest of the lists."""
    if getattr(recommended, "ndim", 1) == 2:
        return recommended.shape[1]
    return max((len(row) for row in recommended if hasattr(row, "__len__")), default=1)
