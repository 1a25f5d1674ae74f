"""The demo's second part: the same impressions, with what the household had bought before."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from demo_pictures import STYLE, finish
from demo_protocol import Rows, weighted
from lightgbm import LGBMClassifier
from matplotlib.ticker import MaxNLocator
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_adrec import DeepFMClassifier, DINClassifier, FMClassifier, HistoryEncoder
from sk_adrec.inspection import AttentionDisplay

ATTRIBUTES = ["product_id", "product_category"]
LISTS = {f"hist_{name}": name for name in ATTRIBUTES}
COUNTS = [f"{what}_{name}" for what in ("n", "age") for name in ATTRIBUTES]
MAX_LEN = 10
N_SHOWN = 6


def add_past(rows: Rows, purchases: pd.DataFrame) -> Rows:
    """The rows with lists and counts of what the household bought before the week began.

    Each row sees its own past only, so that all weeks can be encoded at once.
    """
    category = purchases["product_category"].cat.add_categories("missing").fillna("missing")
    events = purchases[["household_id", "timestamp", "product_id"]]
    encoder = HistoryEncoder(
        user="household_id",
        attributes=ATTRIBUTES,
        counts=ATTRIBUTES,
        max_len=MAX_LEN,
        drop=["timestamp"],
    )
    X = rows.X.assign(timestamp=rows.timestamp)
    X = encoder.fit(X, events=events.assign(product_category=category)).transform(X)
    # Ten purchases more mean less after a hundred.
    return rows.replace(X.assign(**{name: np.log1p(X[name]) for name in COUNTS}))


def contenders(trees: LGBMClassifier) -> dict:
    """Model name -> a pipeline that takes rows with the past, and the three settings it may try."""
    lists = {"share_vocabulary": LISTS, "early_stopping": False, "random_state": 0}
    # One pass over the rows: the second made the validation loss of deep networks worse.
    deep = {**lists, "hidden_dims": (64, 32), "max_epochs": 1}
    din = DINClassifier(attention_hidden_dims=(32,), **deep)
    without_lists = FunctionTransformer(pd.DataFrame.drop, kw_args={"columns": list(LISTS)})
    rates = [1e-3, 3e-3, 6e-3]
    return {
        # The settings that it may try without the past.
        "LightGBM + counts": (
            make_pipeline(without_lists, weighted(clone(trees))),
            {"lgbmclassifier__cat_l2": [10, 50, 200]},
        ),
        "FM + past": (
            make_pipeline(weighted(FMClassifier(**lists))),
            {"fmclassifier__max_epochs": [2, 3, 4]},
        ),
        "DeepFM + past": (
            make_pipeline(weighted(DeepFMClassifier(**deep))),
            {"deepfmclassifier__lr": rates},
        ),
        "DIN + past": (make_pipeline(weighted(din)), {"dinclassifier__lr": rates}),
    }


def own_category(X: pd.DataFrame, weights: list) -> tuple[np.ndarray, np.ndarray]:
    """Per row, the share of past purchases of the candidate's category, and their attention."""
    pairs = zip(X["hist_product_category"], X["product_category"])
    same = [np.asarray(history) == category for history, category in pairs]
    share = np.array([found.mean() if len(found) else np.nan for found in same])
    attention = np.array([weight[found].sum() for weight, found in zip(weights, same)])
    return share, attention


def describe_attention(model: DINClassifier, test: Rows) -> str:
    """A sentence: how much of the attention goes to the candidate's own category."""
    X = test.X[test.y == 1]
    share, attention = own_category(X, model.attention_weights(X))
    mixed = (share > 0) & (share < 1)
    return (
        f"In {mixed.sum():,} conversions some of the last {MAX_LEN} purchases are of the product's "
        f"category: {share[mixed].mean():.0%} of these\npurchases, which get "
        f"{attention[mixed].mean():.0%} of DIN's attention."
    )


def describe_drift(train: Rows, test: Rows) -> str:
    """A sentence: what two or three earlier purchases meant early in the log, and mean late."""

    def rate(rows: Rows) -> float:
        n = np.expm1(rows.X["n_product_id"]).round()
        seen = n.isin([2, 3]).to_numpy()
        return np.average(rows.y[seen], weights=rows.weight[seen])

    early = train[(train.week >= 5) & (train.week < 15)]
    return (
        f"Bought twice or thrice before: {rate(early):.1%} converted in weeks 5-14, "
        f"{rate(test):.1%} in weeks 45-53. Counts grow\nas the log does, so models that read them "
        "predict too much later (PCOC). HistoryEncoder(window=...)\nforgets, which keeps the level "
        "and costs some AUC; or recalibrate on recent weeks."
    )


def draw_attention(model: DINClassifier, test: Rows, purchases: pd.DataFrame, path: Path) -> Path:
    """Which past purchases spoke for the product, in conversions that were drawn at random."""
    X = test.X[test.y == 1]
    share, _ = own_category(X, model.attention_weights(X))
    # Something to choose from: a full list, in which the category is one of several.
    full = np.array([len(history) == MAX_LEN for history in X["hist_product_id"]])
    X = X[full & (share > 0) & (share < 0.5)]
    # Rows are sorted by week and household: one product category each, from all over.
    X = X.sample(frac=1, random_state=0).drop_duplicates("product_category")[:N_SHOWN]
    named = purchases.drop_duplicates("product_id").set_index("product_id")["product_type"]
    named = named.astype(object).fillna("(no name)").str.capitalize().str.slice(0, 22)
    names = named.to_dict()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, N_SHOWN // 2, figsize=(13, 6.6), layout="constrained")
        display = AttentionDisplay.from_estimator(
            model, X, history="hist_product_id", names=names, axes=axes.ravel()
        )
        for ax, product in zip(display.axes_, X["product_id"]):
            ax.set_title(f"Bought: {names.get(product, product)}", parse_math=False)
            ax.axvline(1 / MAX_LEN, color="0.4", ls=":", lw=1)
            ax.xaxis.set_major_locator(MaxNLocator(3))
        for ax in axes[0]:
            ax.set_xlabel("")
        finish(
            figure,
            path,
            f"What DIN looks at: the household's last {MAX_LEN} purchases, the newest at the "
            "bottom; dotted: equal weights\n(conversions drawn at random among those with some "
            "purchase of the product's category)",
        )
    return path
