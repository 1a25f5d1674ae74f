"""Checks of next-item models: what they learn, which end of a history counts, rankings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from ._check_cases import assert_same, output, quick, replace_lists

# An item is followed by its successor with this probability, else by any item.
_HIT = 0.9
_N_ITEMS = 20


def history_rows(n: int = 400, *, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Histories in which each item has one likely successor, and the items that follow.

    Parameters
    ----------
    n : int
        Rows.
    seed : int, default=0

    Returns
    -------
    X : DataFrame
        ``hist_item_id`` (lists of 0 to 7 integers), and three columns that say nothing.
    y : ndarray of shape (n,), int64
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 8, n)
    successor = np.random.default_rng(0).permutation(_N_ITEMS)
    steps = [rng.integers(0, _N_ITEMS, n)]
    for _ in range(7):
        steps.append(
            np.where(rng.random(n) < _HIT, successor[steps[-1]], rng.integers(0, _N_ITEMS, n))
        )
    items = 100 + np.column_stack(steps)
    offsets = np.append(0, lengths.cumsum())
    entries = items[np.arange(8) < lengths[:, None]]
    lists = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(entries))
    X = pd.DataFrame(
        {
            "user_id": [f"user_{k}" for k in range(n)],
            "hist_item_id": pd.Series(lists, dtype=pd.ArrowDtype(lists.type)),
            "price": rng.normal(size=n),
            "quality_score": rng.normal(size=n),
        }
    )
    return X, items[np.arange(n), lengths]


def check_next_item_learns(estimator):
    """The likely successor is predicted, about as often as who knows it would be right."""
    X, y = history_rows(1_000)
    X_test, y_test = history_rows(1_000, seed=1)
    model = quick(estimator, max_epochs=10, batch_size=64, lr=0.02).fit(X, y)
    some = (X_test["hist_item_id"].list.len() > 0).to_numpy()
    hits = np.mean(model.predict(X_test[some]) == y_test[some])
    best = _HIT + (1 - _HIT) / _N_ITEMS
    if hits < best - 0.05:
        raise AssertionError(
            f"{hits:.1%} of the next items are predicted, {best:.1%} could be: at least "
            f"{best - 0.05:.1%} expected"
        )
    score = model.score(X_test, y_test)
    if not hits - 0.2 < score <= 1:
        raise AssertionError(f"score is the hit rate at 10, got {score}")


def check_next_item_history_end(estimator):
    """Missing entries on either side change nothing; of a long list the newest entries count."""
    X, y = history_rows(300)
    model = quick(estimator, max_len=3, max_epochs=5).fit(X, y)
    expected = output(model, X)
    same = {
        "Entries before the newest max_len": lambda history: history[-3:],
        "Older entries in front": lambda history: [105] * 4 + history[-3:],
        "Missing entries before the list": lambda history: [None] * 4 + history,
        "Missing entries after the list": lambda history: history + [None] * 4,
    }
    long = X["hist_item_id"].list.len().to_numpy() >= 3
    for what, change in same.items():
        rows = long if what.startswith("Older") else np.ones(len(X), dtype=bool)
        assert_same(
            output(model, replace_lists(X[rows], change)),
            expected[rows],
            f"{what} should not matter",
            atol=1e-6,
        )
    other = replace_lists(X[long], lambda history: [*history[:-1], 105])
    if np.abs(output(model, other) - expected[long]).max() < 1e-4:
        raise AssertionError(
            "Another newest entry should change predictions: is the history's other end kept?"
        )


def check_next_item_recommends(estimator):
    """Rankings agree with the probabilities, hold no item twice, and leave out what was seen."""
    X, y = history_rows(300)
    model = quick(estimator).fit(X, y)
    p, k = model.predict_proba(X), 5
    ids, scores = model.recommend(X, k, exclude_seen=False)
    expected = model.classes_[np.argsort(-p, axis=1, kind="stable")[:, :k]]
    if not (np.diff(scores, axis=1) <= 0).all():
        raise AssertionError("The best item should come first")
    if (ids != expected).mean() > 0.01:  # rounding may swap two that are nearly equal
        raise AssertionError("recommend should rank as predict_proba does")
    ids, _ = model.recommend(X, _N_ITEMS, exclude_seen=True)
    for row, history in zip(ids, X["hist_item_id"]):
        found = row[row >= 0]
        if set(found) & set(history) or len(set(found)) < len(found):
            raise AssertionError("No item should be recommended twice, or if it was seen")
        if len(found) != len(set(model.classes_) - set(history)):
            raise AssertionError("All items that were not seen should be ranked")
