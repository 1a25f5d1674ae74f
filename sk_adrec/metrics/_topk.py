"""Metrics of lists of k recommendations: does what a user wanted come up, and how high?"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from .._validation import check_choice
from .._warnings import warn
from ._checks import check_weights
from ._hits import Hits, find_hits

F = TypeVar("F", bound=Callable)

_PARAMETERS = """
recommended : array-like of shape (n_rows, >= k), or n_rows lists
    Item ids, the best first, as ``recommend`` returns them. Where a recommender ran short: None or
    NaN, in integer arrays -1, or a shorter list. An item that comes twice in a row counts where
    it comes first.
relevant : array-like of shape (n_rows,) or (n_rows, m), or n_rows lists or sets
    What was right: one id per row, or several, in any order, repeated ones counted once; missing
    values (in integer arrays -1 too) are no items. Ids compare as in Python: 5 is 5.0, not "5".
k : int, default=10
    How many recommendations are looked at. Take what the user will be shown, or, where the next
    stage is a ranker, how many candidates it gets.
sample_weight : array-like of shape (n_rows,), default=None
    Weight of each row, not negative. A row of weight 2 counts like two rows.
empty : {"skip", "zero"}, default="skip"
    What becomes of rows in which nothing is relevant: "skip" leaves them out of the average, as
    is usual; "zero" counts them as 0, so that missing a user costs as much as failing one.
"""
_RETURNS = """
float
    In [0, 1], higher is better. NaN, with an UndefinedMetricWarning, where no row counts.
"""
_RAISES = """
ValueError
    If the numbers of rows differ, an array has fewer than k columns, weights are negative, or one
    side holds strings and the other numbers.
TypeError
    For ids that are neither strings nor numbers, or recommendations in sets, which have no order.
"""
_EXAMPLE = """
===== =============== ============ ====================
user  recommended     relevant     hits at ranks
===== =============== ============ ====================
ann   a, b, c         b, c, x      2 and 3
bob   d, a, b         d            1
cat   a, b, c         x            none
dan   a, b, c         nothing      left out
===== =============== ============ ====================
"""


def _topk_docs(function: F) -> F:
    """Fill in the text that all metrics of this file share."""
    texts = {
        "parameters": _PARAMETERS,
        "returns": _RETURNS,
        "raises": _RAISES,
        "example": _EXAMPLE,
    }
    indented = {name: text.strip().replace("\n", "\n    ") for name, text in texts.items()}
    doc = re.sub(r"%\((\w+)\)s", lambda match: indented[match[1]], function.__doc__ or "")
    function.__doc__ = inspect.cleandoc(doc)
    return function


@_topk_docs
def hit_rate_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Share of rows with at least one hit among the first k recommendations (HR@k, Hit@k).

    .. math::

        \mathrm{HR@}k = \frac{1}{n} \sum_u [\,|T_u \cap R_u| > 0\,]

    with :math:`R_u` the relevant items of row :math:`u` and :math:`T_u` its first k
    recommendations. With one relevant item per row it is recall@k.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    Examples
    --------
    %(example)s

    Two of the three rows that count have a hit.

    >>> from sk_adrec.metrics import hit_rate_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> round(hit_rate_at_k(recommended, relevant, k=3), 4)
    0.6667
    >>> hit_rate_at_k(recommended, relevant, k=3, empty="zero")
    0.5
    """
    return topk_score("hit_rate", recommended, relevant, k, sample_weight, empty)


@_topk_docs
def recall_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Share of a row's relevant items that are among its first k recommendations, averaged.

    .. math::

        \mathrm{recall@}k = \frac{1}{n} \sum_u \frac{|T_u \cap R_u|}{|R_u|}

    with :math:`R_u` the relevant items of row :math:`u` and :math:`T_u` its first k
    recommendations. The metric for candidates: what it misses, no later stage brings back.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    See Also
    --------
    precision_at_k : The share of the recommendations that are relevant.

    Notes
    -----
    The denominator is all relevant items, also where there are more than k, as in the published
    tables of LightGCN and UltraGCN: the best reachable value is then below 1. Some papers divide
    by min(k, number of relevant items), or call the hit rate recall.

    Examples
    --------
    %(example)s

    ann has 2 of 3, bob 1 of 1, cat 0 of 1: (2/3 + 1 + 0) / 3.

    >>> from sk_adrec.metrics import recall_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> round(recall_at_k(recommended, relevant, k=3), 4)
    0.5556
    """
    return topk_score("recall", recommended, relevant, k, sample_weight, empty)


@_topk_docs
def precision_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Share of the first k recommendations that are relevant, averaged over rows.

    .. math::

        \mathrm{precision@}k = \frac{1}{n} \sum_u \frac{|T_u \cap R_u|}{k}

    with :math:`R_u` the relevant items of row :math:`u` and :math:`T_u` its first k
    recommendations. Where a row has fewer than k recommendations, it is divided by k all the same:
    places left empty are misses.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    See Also
    --------
    recall_at_k : The share of the relevant items that are recommended.

    Examples
    --------
    %(example)s

    ann has 2 of 3, bob 1 of 3, cat 0 of 3: (2/3 + 1/3 + 0) / 3.

    >>> from sk_adrec.metrics import precision_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> round(precision_at_k(recommended, relevant, k=3), 4)
    0.3333
    """
    return topk_score("precision", recommended, relevant, k, sample_weight, empty)


@_topk_docs
def ndcg_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Hits among the first k recommendations, discounted by rank, over the best possible sum.

    .. math::

        \mathrm{NDCG@}k = \frac{1}{n} \sum_u
        \frac{\sum_{i=1}^{k} [t_{ui} \in R_u] / \log_2(i + 1)}
        {\sum_{i=1}^{\min(k, |R_u|)} 1 / \log_2(i + 1)}

    with :math:`R_u` the relevant items of row :math:`u` and :math:`t_{ui}` its recommendation at
    rank :math:`i`. With one relevant item per row: 1 / log2(rank + 1), or 0.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    See Also
    --------
    sklearn.metrics.ndcg_score : From the scores of all items, with graded relevance.

    References
    ----------
    Järvelin & Kekäläinen (2002), "Cumulated Gain-Based Evaluation of IR Techniques", ACM TOIS.

    Examples
    --------
    %(example)s

    The discounts of ranks 1, 2, 3 are 1, 0.6309, 0.5. ann: (0.6309 + 0.5) / (1 + 0.6309 + 0.5) =
    0.5307; bob: 1 / 1; cat: 0.

    >>> from sk_adrec.metrics import ndcg_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> round(ndcg_at_k(recommended, relevant, k=3), 4)
    0.5102
    """
    return topk_score("ndcg", recommended, relevant, k, sample_weight, empty)


@_topk_docs
def map_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Mean average precision: the precision at each hit's rank, over the possible hits.

    .. math::

        \mathrm{MAP@}k = \frac{1}{n} \sum_u \frac{1}{\min(k, |R_u|)}
        \sum_{i=1}^{k} [t_{ui} \in R_u] \, \frac{|T_{ui} \cap R_u|}{i}

    with :math:`R_u` the relevant items of row :math:`u`, :math:`t_{ui}` its recommendation at
    rank :math:`i` and :math:`T_{ui}` its first :math:`i` recommendations.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    Notes
    -----
    Divided by min(k, relevant items), so that k hits make 1. Some libraries divide by the number
    of relevant items, or by that of hits.

    Examples
    --------
    %(example)s

    ann: (1/2 + 2/3) / 3 = 0.3889; bob: 1; cat: 0.

    >>> from sk_adrec.metrics import map_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> round(map_at_k(recommended, relevant, k=3), 4)
    0.463
    """
    return topk_score("map", recommended, relevant, k, sample_weight, empty)


@_topk_docs
def mrr_at_k(recommended, relevant, k=10, *, sample_weight=None, empty="skip"):
    r"""Mean reciprocal rank of the first hit; 0 where none is among the first k.

    .. math::

        \mathrm{MRR@}k = \frac{1}{n} \sum_u \max_{i \le k} \frac{[t_{ui} \in R_u]}{i}

    with :math:`R_u` the relevant items of row :math:`u` and :math:`t_{ui}` its recommendation at
    rank :math:`i`.

    Parameters
    ----------
    %(parameters)s

    Returns
    -------
    %(returns)s

    Raises
    ------
    %(raises)s

    Examples
    --------
    %(example)s

    ann: 1/2; bob: 1; cat: 0.

    >>> from sk_adrec.metrics import mrr_at_k
    >>> recommended = [["a", "b", "c"], ["d", "a", "b"], ["a", "b", "c"], ["a", "b", "c"]]
    >>> relevant = [["b", "c", "x"], ["d"], ["x"], []]
    >>> mrr_at_k(recommended, relevant, k=3)
    0.5
    """
    return topk_score("mrr", recommended, relevant, k, sample_weight, empty)


def topk_score(metric, recommended, relevant, k=10, sample_weight=None, empty="skip") -> float:
    """The metric of that name; parameters as in the public functions."""
    check_choice("metric", metric, TOPK_METRICS)
    hits = find_hits(recommended, relevant, k)
    counted = row_weights(hits, sample_weight, empty)
    if not counted.any():
        warn_undefined(f"{metric} at {k}")
    return average(metric, hits, k, counted)


def row_weights(hits: Hits, sample_weight, empty: str) -> np.ndarray:
    """What each row weighs in the mean, shape (n_rows,)."""
    check_choice("empty", empty, ("skip", "zero"))
    weight = check_weights(sample_weight, hits.n_relevant)
    counted = np.ones(len(hits.n_relevant)) if weight is None else weight
    return counted * (hits.n_relevant > 0) if empty == "skip" else counted


def warn_undefined(what: str) -> None:
    """Warn that no row counts."""
    warn(
        f"{what} is undefined: no row of positive weight has a relevant item. Pass rows that have, "
        'or empty="zero".',
        UndefinedMetricWarning,
    )


def average(metric: str, hits: Hits, k: int, counted: np.ndarray) -> float:
    """Weighted mean over rows of the metric within the first k recommendations; else NaN."""
    if not counted.any():
        return float("nan")
    return float(np.average(TOPK_METRICS[metric](hits.within(k), k), weights=counted))


def _over(sums: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Quotient of each row, 0 where nothing is relevant."""
    return sums / np.where(best > 0, best, 1)


def _recall(hits: Hits, k: int) -> np.ndarray:
    return _over(hits.sums(), hits.n_relevant)


def _precision(hits: Hits, k: int) -> np.ndarray:
    return hits.sums() / k


def _hit_rate(hits: Hits, k: int) -> np.ndarray:
    return (hits.sums() > 0).astype(np.float64)


def _ndcg(hits: Hits, k: int) -> np.ndarray:
    possible = np.minimum(hits.n_relevant, k)
    ideal = np.cumsum(1 / np.log2(np.arange(possible.max(initial=0)) + 2))
    return _over(hits.sums(1 / np.log2(hits.rank + 2)), np.append(0.0, ideal)[possible])


def _map(hits: Hits, k: int) -> np.ndarray:
    counts = hits.sums()
    # The how-manieth hit of its row each one is: hits are sorted by row and rank.
    nth = np.arange(1, len(hits.row) + 1) - (np.cumsum(counts) - counts)[hits.row]
    return _over(hits.sums(nth / (hits.rank + 1)), np.minimum(hits.n_relevant, k))


def _mrr(hits: Hits, k: int) -> np.ndarray:
    best = np.zeros(len(hits.n_relevant))
    np.maximum.at(best, hits.row, 1 / (hits.rank + 1))
    return best


#: Name -> the metric of each row, from hits among the first k and from k.
TOPK_METRICS: dict[str, Callable[[Hits, int], np.ndarray]] = {
    "hit_rate": _hit_rate,
    "map": _map,
    "mrr": _mrr,
    "ndcg": _ndcg,
    "precision": _precision,
    "recall": _recall,
}
