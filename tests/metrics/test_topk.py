"""Top-k metrics against a slow loop, by hand, and for every way in which ids come."""

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import UndefinedMetricWarning

from sk_adrec import metrics

NAMES = ["hit_rate", "map", "mrr", "ndcg", "precision", "recall"]


def metric(name):
    return getattr(metrics, f"{name}_at_k")


def slow_row(name, recommended, relevant, k):
    """The metric of one row, in Python, as the formulas say."""
    relevant = {item for item in relevant if item is not None}
    seen, hit = set(), []
    for item in recommended[:k]:
        hit.append(item is not None and item in relevant and item not in seen)
        seen.add(item)
    possible = min(k, len(relevant))
    if name == "hit_rate":
        return float(any(hit))
    if name == "mrr":
        return next((1 / (i + 1) for i, h in enumerate(hit) if h), 0.0)
    if name == "precision":
        return sum(hit) / k
    if not relevant:
        return 0.0
    if name == "recall":
        return sum(hit) / len(relevant)
    if name == "map":
        return sum(sum(hit[: i + 1]) / (i + 1) for i, h in enumerate(hit) if h) / possible
    dcg = sum(1 / math.log2(i + 2) for i, h in enumerate(hit) if h)
    return dcg / sum(1 / math.log2(i + 2) for i in range(possible))


def slow(name, recommended, relevant, k, weight=None, empty="skip"):
    total = counted = 0.0
    for row, (top, wanted) in enumerate(zip(recommended, relevant)):
        w = 1.0 if weight is None else weight[row]
        if empty == "skip" and all(item is None for item in wanted):
            continue
        total += w * slow_row(name, top, wanted, k)
        counted += w
    return total / counted


item = st.one_of(st.none(), st.integers(0, 7))
rows = st.lists(
    st.tuples(st.lists(item, max_size=6), st.lists(item, max_size=6), st.integers(0, 3)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(rows=rows, k=st.integers(1, 8), empty=st.sampled_from(["skip", "zero"]))
def test_equals_the_loop(rows, k, empty):
    recommended, relevant, weight = map(list, zip(*rows))
    for w in (None, weight):
        counted = [
            (w is None or w[i] > 0) and (empty == "zero" or any(x is not None for x in wanted))
            for i, wanted in enumerate(relevant)
        ]
        if (w is not None and not any(w)) or not any(counted):
            continue
        for name in NAMES:
            got = metric(name)(recommended, relevant, k, sample_weight=w, empty=empty)
            assert got == pytest.approx(slow(name, recommended, relevant, k, w, empty))


@pytest.mark.parametrize("name", NAMES)
def test_equals_the_loop_on_many_rows(name):
    # Rows over several blocks, and few users with hundreds of relevant items.
    rng = np.random.default_rng(0)
    recommended = rng.integers(0, 400, (3_000, 12))
    counts = np.where(np.arange(3_000) < 5, 300, rng.integers(0, 6, 3_000))
    relevant = [rng.integers(0, 400, n).tolist() for n in counts]
    weight = rng.random(3_000)
    expected = slow(name, recommended.tolist(), relevant, 10, weight)
    assert metric(name)(recommended, relevant, 10, sample_weight=weight) == pytest.approx(expected)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(1)
    recommended, relevant = rng.integers(0, 30, (50, 8)), rng.integers(0, 30, (50, 3))
    whole = [metric(name)(recommended, relevant, 8) for name in NAMES]
    monkeypatch.setattr("sk_adrec.metrics._hits._BLOCK_CELLS", 20)
    assert [metric(name)(recommended, relevant, 8) for name in NAMES] == whole


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hit_rate", 1.0),
        ("recall", 2 / 3),
        ("precision", 2 / 4),
        ("mrr", 1 / 2),
        ("map", (1 / 2 + 2 / 4) / 3),
        ("ndcg", (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 1 / 2)),
    ],
)
def test_by_hand(name, expected):
    assert metric(name)([[9, 1, 8, 2]], [[1, 2, 3]], k=4) == pytest.approx(expected)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_and_useless_lists(name):
    recommended = np.arange(20).reshape(4, 5)
    assert metric(name)(recommended, recommended[:, ::-1], 5) == pytest.approx(1.0)
    assert metric(name)(recommended, recommended + 100, 5) == 0.0


FORMS = {
    "list of lists": lambda r: r,
    "array": np.array,
    "int32 array": lambda r: np.array(r, dtype=np.int32),
    "object array": lambda r: np.array(r, dtype=object),
    "float array": lambda r: np.array(r, dtype=float),
    "frame": pd.DataFrame,
    "polars frame": lambda r: pl.DataFrame(np.array(r)),
    "series of lists": pd.Series,
    "series of arrays": lambda r: pd.Series([np.array(x) for x in r], index=[5] * len(r)),
    "arrow list series": lambda r: pd.Series(
        pa.array(r), dtype=pd.ArrowDtype(pa.list_(pa.int64()))
    ),
    "arrow array": pa.array,
    "polars series": pl.Series,
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_rows(form):
    recommended, relevant = [[1, 2, 3], [4, 5, 6]], [[3, 9], [4, 9]]
    make = FORMS[form]
    expected = [metric(name)(recommended, relevant, 3) for name in NAMES]
    assert [metric(name)(make(recommended), relevant, 3) for name in NAMES] == expected
    assert [metric(name)(recommended, make(relevant), 3) for name in NAMES] == expected


SETS = {
    "list of sets": lambda r: [set(x) for x in r],
    "frozensets": lambda r: tuple(map(frozenset, r)),
    "sets and lists": lambda r: [set(r[0]), *r[1:]],
    "keys of dicts": lambda r: [dict.fromkeys(x).keys() for x in r],
    "object array": lambda r: np.array([set(x) for x in r], dtype=object),
    "as groupby gives them": lambda r: pd.Series(r).explode().groupby(level=0).agg(set),
}


@pytest.mark.parametrize("form", SETS)
@pytest.mark.parametrize("convert", [int, str])
def test_relevant_items_may_be_sets(form, convert):
    recommended, relevant = [[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[3, 9, 2], [4], [1, 8]]
    recommended, relevant = ([[*map(convert, x)] for x in r] for r in (recommended, relevant))
    for name in NAMES:
        expected = metric(name)(recommended, relevant, 3)
        assert metric(name)(recommended, SETS[form](relevant), 3) == expected
    assert metrics.recall_at_k([["a"], ["b"]], [{"a", None}, set()], 1) == 1.0


@pytest.mark.parametrize(
    "relevant",
    [
        ["c", "d"],
        np.array(["c", "d"]),
        pd.Series(["c", "d"]),
        pd.Series(["c", "d"], dtype="category"),
        pl.Series(["c", "d"]),
        [["c"], ["d", "d"]],
        np.array([["c", None], [None, "d"]], dtype=object),
    ],
    ids=lambda relevant: type(relevant).__name__,
)
def test_forms_of_relevant_strings(relevant):
    for recommended in ([["a", "b", "c"], ["d"]], [["a", "b", "c"], ["d", None, None]]):
        assert metrics.mrr_at_k(recommended, relevant, 3) == pytest.approx((1 / 3 + 1) / 2)


def test_a_shortfall_is_a_miss_in_every_form():
    expected = (1 / 3 + 0) / 2
    assert metrics.precision_at_k([[1, 2], []], [[2], [3]], 3) == pytest.approx(expected)
    assert metrics.precision_at_k([[1, 2, -1], [-1] * 3], [[2], [3]], 3) == pytest.approx(expected)
    filled = np.array([[1, 2, None], [None] * 3], dtype=object)
    assert metrics.precision_at_k(filled, [[2], [3]], 3) == pytest.approx(expected)
    # -1 is no item on either side.
    assert metrics.hit_rate_at_k(np.array([[-1, 5]]), [[-1, 6]], 2) == 0.0


def test_items_count_once():
    assert metrics.recall_at_k([[1, 1, 2]], [[1, 1, 2]], 3) == 1.0
    assert metrics.precision_at_k([[1, 1, 1]], [[1]], 3) == pytest.approx(1 / 3)
    assert metrics.mrr_at_k([[2, 1, 1]], [[1]], 3) == 1 / 2


def test_ids_are_compared_exactly():
    big = 2**53
    assert metrics.recall_at_k(np.array([[big, big + 1]]), [[big + 1]], 1) == 0.0
    assert metrics.recall_at_k(np.array([[big + 1]]), [[big + 1]], 1) == 1.0
    assert metrics.recall_at_k([[5.0]], [5], 1) == 1.0
    assert metrics.recall_at_k([["a", 5]], [[5, "b"]], 2) == 0.5


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_repetitions(name):
    rng = np.random.default_rng(2)
    recommended, relevant = rng.integers(0, 9, (40, 4)), rng.integers(0, 9, (40, 2))
    weight = rng.integers(0, 3, 40)
    repeated = np.repeat(np.arange(40), weight)
    assert metric(name)(recommended, relevant, 4, sample_weight=weight) == pytest.approx(
        metric(name)(recommended[repeated], relevant[repeated], 4)
    )


@pytest.mark.parametrize("name", NAMES)
def test_rows_with_nothing_relevant(name):
    recommended = [[1, 2]] * 4
    relevant = [[1], [], None, [None]]
    assert metric(name)(recommended, [[1]] * 4, 2) == pytest.approx(
        metric(name)(recommended, relevant, 2)
    )
    assert metric(name)(recommended, relevant, 2, empty="zero") == pytest.approx(
        metric(name)(recommended, relevant, 2) / 4
    )
    with pytest.warns(UndefinedMetricWarning, match=f'{name} at 2 is undefined.*empty="zero"'):
        assert np.isnan(metric(name)(recommended, [[]] * 4, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert metric(name)(recommended, [[]] * 4, 2, empty="zero") == 0.0


def test_the_warning_points_at_the_caller():
    with pytest.warns(UndefinedMetricWarning) as caught:
        metrics.ndcg_at_k([[1]], [[]], 1)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1]], [[1], [2]]), ValueError, "one entry per row, got 1 and 2 rows"),
        ((np.ones((2, 3), int), [1, 1]), ValueError, "k is 10, but recommended has 3 columns"),
        (([1, 2], [1, 2]), ValueError, "one dimension of single ids: for one user pass"),
        (([["a"]], [1]), ValueError, "recommended holds strings and relevant holds numbers"),
        (([[1]], ["1"]), ValueError, "recommended holds numbers and relevant holds strings"),
        (([], []), ValueError, "recommended has no rows"),
        ((np.zeros((1, 1, 1)), [1]), ValueError, "one or two dimensions, got 3"),
        (([[1]], [1], 0), ValueError, r"k must be an integer in \[1, inf\), got 0"),
        (([[1]], [1], 2.0), ValueError, r"k must be an integer in \[1, inf\), got 2.0"),
        (([[{1}]], [1]), TypeError, "recommended: argument must be a string, a number"),
        (([{1}], [1]), TypeError, "recommended must hold lists.*got a set, which has no order"),
        ((pd.Series([{1, 2}]), [1]), TypeError, "recommended must hold lists.*got a set"),
        (([[1]], [[{1}]]), TypeError, "relevant: argument must be a string, a number"),
    ],
)
def test_errors(arguments, error, message):
    for name in NAMES:
        with pytest.raises(error, match=message):
            metric(name)(*arguments)


def test_errors_of_options():
    with pytest.raises(ValueError, match="empty must be one of 'skip', 'zero', got 'nan'"):
        metrics.recall_at_k([[1]], [1], 1, empty="nan")
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        metrics.recall_at_k([[1]], [1], 1, sample_weight=[-1])
    with pytest.raises(ValueError, match="sample_weight must have one entry for each"):
        metrics.recall_at_k([[1]], [1], 1, sample_weight=[1, 1])


def test_shared_documentation_is_filled_in():
    for name in NAMES:
        doc = metric(name).__doc__
        assert "%(" not in doc
        for word in ("recommended :", "relevant :", "sample_weight :", "empty :", "Raises"):
            assert word in doc


def test_coverage():
    recommended = np.array([[1, 2, 3], [1, 4, -1]])
    assert metrics.coverage_at_k(recommended, np.arange(1, 11), 3) == 0.4
    assert metrics.coverage_at_k(recommended, np.arange(1, 11), 1) == 0.1
    # The item column of a log: repeated and missing items.
    log = pd.Series([1, 2, 3, 4, 4, 4, None, 5])
    assert metrics.coverage_at_k(recommended, log, 2) == pytest.approx(3 / 5)
    assert metrics.coverage_at_k([["a"], []], ["a", "b"], 1) == 0.5
    with pytest.raises(ValueError, match="holds 2 items that are not in the catalogue, 3 for one"):
        metrics.coverage_at_k(recommended, [1, 2], 3)
    with pytest.raises(ValueError, match="the catalogue holds no item"):
        metrics.coverage_at_k([[None]], [None], 1)
    with pytest.raises(ValueError, match="recommended holds numbers and catalogue holds strings"):
        metrics.coverage_at_k(recommended, ["a"], 3)


def test_novelty_by_hand():
    # Of 8 interactions item 1 has 4, item 2 has 2, item 3 has 1 (and 4, never seen, counts as 1).
    past = [1, 1, 1, 1, 2, 2, 3, 9]
    for items, bits in (([1], 1), ([2], 2), ([3], 3), ([4], 3), ([1, 3], 2), ([1, -1], 1)):
        assert metrics.novelty_at_k([items], past, 2) == pytest.approx(bits)
    # Lists: shares of users, an item counts once per user.
    by_user = [[1, 1, 2], [1], [1], [1, 2]]
    assert metrics.novelty_at_k([[1], [2]], by_user, 1) == pytest.approx(0.5)
    assert metrics.novelty_at_k([[1], [2], []], by_user, 1) == pytest.approx(0.5)
    weighted = metrics.novelty_at_k([[1], [2]], by_user, 1, sample_weight=[1, 3])
    assert weighted == pytest.approx(0.75)


def test_novelty_without_recommendations():
    with pytest.warns(UndefinedMetricWarning, match="no row of positive weight"):
        assert np.isnan(metrics.novelty_at_k([[], []], [1, 2], 3))
    with pytest.raises(ValueError, match="recommended holds numbers and past holds strings"):
        metrics.novelty_at_k([[1]], ["a"], 1)
