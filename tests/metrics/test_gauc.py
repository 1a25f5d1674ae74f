"""GAUC against a loop over scikit-learn's AUC, and by hand."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import roc_auc_score

from sk_adrec.metrics import gauc_score


def slow_gauc(y, score, groups, sample_weight=None):
    """One roc_auc_score per group."""
    weight = np.ones(len(y)) if sample_weight is None else sample_weight
    aucs, weights = [], []
    for rows in pd.DataFrame({"group": groups}).groupby("group", observed=True).indices.values():
        rows = rows[weight[rows] > 0]
        if len(np.unique(y[rows])) == 2:
            aucs.append(roc_auc_score(y[rows], score[rows], sample_weight=weight[rows]))
            weights.append(weight[rows].sum())
    return np.average(aucs, weights=weights)


def draw(n=3_000, n_groups=200, n_scores=20, seed=0):
    """Labels, scores with many ties, groups and weights with zeros."""
    rng = np.random.default_rng(seed)
    score = rng.integers(0, n_scores, n) / n_scores
    y = rng.random(n) < 0.1 + 0.4 * score
    return y.astype(int), score, rng.integers(0, n_groups, n), rng.integers(0, 4, n) * rng.random(n)


@pytest.mark.parametrize("n_scores", [2, 20, 10**9])
@pytest.mark.parametrize(("n", "n_groups"), [(3_000, 1), (1_500, 100), (1_000, 830)])
def test_equals_a_loop_over_groups(n_scores, n, n_groups):
    y, score, groups, weight = draw(n, n_groups, n_scores)
    assert gauc_score(y, score, groups) == pytest.approx(slow_gauc(y, score, groups), abs=1e-14)
    assert gauc_score(y, score, groups, sample_weight=weight) == pytest.approx(
        slow_gauc(y, score, groups, weight), abs=1e-12
    )


def test_one_group_is_auc():
    y, score, _, weight = draw()
    auc = roc_auc_score(y, score, sample_weight=weight)
    assert gauc_score(y, score, np.zeros(len(y)), sample_weight=weight) == pytest.approx(auc)


def test_light_groups_survive_heavy_ones():
    y, score, groups, weight = draw(400, 40)
    weight *= np.where(groups % 2, 1e12, 1e-6)
    light = groups % 2 == 0
    # Alone or after groups 1e18 times as heavy: the same AUC.
    both = np.where(light, 1.0, 1e-30)
    alone = gauc_score(y[light], score[light], groups[light], sample_weight=weight[light])
    assert alone == pytest.approx(
        slow_gauc(y[light], score[light], groups[light], weight[light]), abs=1e-12
    )
    assert gauc_score(y, score, groups, sample_weight=weight * both) == pytest.approx(
        slow_gauc(y, score, groups, weight * both), abs=1e-12
    )


def test_weights_equal_repetition():
    y, score, groups, _ = draw(300, 20)
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    assert gauc_score(y, score, groups, sample_weight=weight) == pytest.approx(
        gauc_score(y[rows], score[rows], groups[rows]), abs=1e-14
    )


def test_only_the_order_of_scores_counts():
    y, score, groups, _ = draw()
    expected = gauc_score(y, score, groups)
    assert gauc_score(y, np.exp(9 * score), groups) == expected
    assert gauc_score(y, score.astype(np.float32), groups) == expected
    # What a group shares moves an AUC over all rows, and nothing here.
    assert gauc_score(y, score + 10 * groups, groups) == pytest.approx(expected, abs=1e-14)
    assert gauc_score(y, -score, groups) == pytest.approx(1 - expected)
    assert gauc_score(y, np.zeros(len(y)), groups) == 0.5


def test_groups_of_any_type():
    y, score, groups, _ = draw(500, 30)
    expected = gauc_score(y, score, groups)
    names = np.array([f"user_{group}" for group in groups], dtype=object)
    kinds = [
        names,
        names.astype(str),
        names.tolist(),
        groups.astype(float),
        groups + 2**53,
        pd.Series(names, index=np.arange(len(y))[::-1]),
        pd.Categorical(names, categories=["unused", *np.unique(names)]),
        pd.Series(groups, dtype="Int32"),
        pd.Series(names, dtype="string[pyarrow]"),
        pl.Series(names.tolist()),
        pl.Series(names.tolist(), dtype=pl.Categorical),
    ]
    for kind in kinds:
        assert gauc_score(y, score, kind) == expected


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_rows_without_a_group_are_left_out(missing):
    y, score, groups, _ = draw(500, 30)
    names = np.array([f"user_{group}" for group in groups], dtype=object)
    names[groups < 5] = missing
    rest = groups >= 5
    assert gauc_score(y, score, names) == gauc_score(y[rest], score[rest], names[rest])


@pytest.mark.parametrize(
    "convert",
    [
        list,
        lambda ids: pl.Series(ids, dtype=pl.Int64),
        lambda ids: pl.Series(ids, dtype=pl.UInt64),
        lambda ids: pa.chunked_array([ids]),
        lambda ids: pd.Series(ids, dtype="Int64"),
    ],
    ids=["list", "polars", "polars unsigned", "pyarrow", "pandas"],
)
def test_neighbouring_ids_of_64_bits_beside_a_missing_one(convert):
    # As float64 both would be 2**53.
    ids = convert([2**53, 2**53, 2**53 + 1, 2**53 + 1, None])
    assert gauc_score([1, 0, 1, 0, 1], [0.9, 0.1, 0.2, 0.3, 0.5], ids) == 0.5


def test_labels():
    y, score, groups, _ = draw(500, 30)
    expected = gauc_score(y, score, groups)
    for labels in (y == 1, 2 * y - 1, np.where(y, "yes", "no"), pl.Series(y), pd.Series(y)):
        assert gauc_score(labels, score, groups) == expected
    named = np.where(y, "click", "none")
    assert gauc_score(named, score, groups, pos_label="click") == expected


@pytest.mark.parametrize("y", [[0, 0, 1], [0, 0, 0], [1, 1, 1]])
def test_no_group_of_both_classes_is_nan(y):
    with pytest.warns(UndefinedMetricWarning, match="none of the 2 groups holds rows of both"):
        assert np.isnan(gauc_score(y, [0.1, 0.2, 0.3], ["a", "a", "b"]))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"y_true": [0, 1, 2]}, "y_true must hold two labels, got 3"),
        ({"y_true": [0, 1, np.nan]}, "y_true must hold two labels, got a missing label among"),
        ({"y_true": ["a", "a", "a"]}, "y_true holds one label, 'a'.*pass pos_label"),
        ({"pos_label": 7}, r"pos_label must be one of \[0, 1\], got 7"),
        ({"y_score": [0.1, np.nan, 0.3]}, "y_score contains NaN"),
        ({"y_score": [0.1, 0.3]}, "inconsistent numbers of samples"),
        ({"groups": [1, 1]}, "inconsistent numbers of samples"),
        ({"groups": [[1], [1], [1]]}, "groups must name one group per row.*got 2 dimensions"),
        ({"sample_weight": [1, -1, 1]}, "sample_weight must not be negative, got -1 in row 1"),
        ({"sample_weight": [0, 0, 0]}, "sample_weight is zero in all rows"),
    ],
)
def test_messages(changed, message):
    given = {"y_true": [0, 1, 0], "y_score": [0.1, 0.2, 0.3], "groups": [1, 1, 1], **changed}
    with pytest.raises(ValueError, match=message):
        gauc_score(
            given.pop("y_true"),
            given.pop("y_score"),
            given.pop("groups"),
            **given,
        )
