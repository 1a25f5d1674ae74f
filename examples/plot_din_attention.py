"""
Which past events speak for this ad? DIN's attention
====================================================

A history of many things is mostly about something else. `DINClassifier` compares each event with
the candidate, and lets those count that matter for it. Does it find the right ones? On a real log
nobody knows which they are, so we draw a log in which we do: an ad is clicked more often where its
category occurs in the user's history. No column says so.
"""

# %%
# A log with a planted interest
# -----------------------------

from sk_adrec.datasets import make_ad_log

log = make_ad_log(
    40_000,
    n_history=2,  # items, and their categories
    history_length=12,
    n_items=60,
    n_categories=12,
    interest=3.0,  # logits, where the category occurs
    interaction=0.0,
    linear=0.5,
    random_state=0,
)
X, y = log.data, log.target  # rows in order of time
train, valid, test = slice(0, 28_000), slice(28_000, 32_000), slice(32_000, None)
X[["item_id", "item_category", "hist_item_category"]].tail(3)

# %%
# With attention and without
# --------------------------
# `share_vocabulary` names what is compared with what: an event is an item and its category, and
# so is the candidate. ``attention="mean"`` is the same network, for which all events count alike.
# The validation rows say when to stop.

import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score

from sk_adrec import DINClassifier

models = {
    attention: DINClassifier(
        attention=attention,
        hidden_dims=(64, 32),
        attention_hidden_dims=(32,),
        batch_size=256,
        share_vocabulary={"hist_item_id": "item_id", "hist_item_category": "item_category"},
        random_state=0,
    ).fit(X[train], y[train], X_val=X[valid], y_val=y[valid])
    for attention in ("softmax", "mean")
}
p = {name: model.predict_proba(X[test])[:, 1] for name, model in models.items()}
p["(the true probabilities)"] = log.p_click[test]
pd.DataFrame(
    {
        name: {"AUC": roc_auc_score(y[test], values), "log loss": log_loss(y[test], values)}
        for name, values in p.items()
    }
).T.round(4)

# %%
# Where it looks
# --------------
# Test rows whose history holds the candidate's category here and there. The bars are the
# weights of the events, the newest at the bottom, named by their category.

import numpy as np

din = models["softmax"]
shown = X[test]
matches = [
    np.asarray(history) == category
    for history, category in zip(shown["hist_item_category"], shown["item_category"])
]
share = np.array([match.mean() if len(match) else 0.0 for match in matches])
length = shown["hist_item_category"].map(len).to_numpy()
some = shown[(length >= 8) & (share > 0) & (share < 0.4)]

import matplotlib.pyplot as plt

from sk_adrec import AttentionDisplay

figure, axes = plt.subplots(2, 3, figsize=(11, 7), layout="constrained")
AttentionDisplay.from_estimator(
    din,
    some.drop_duplicates("item_category")[:6],
    history="hist_item_category",
    axes=axes.ravel(),
)
plt.show()

# %%
# On all rows
# -----------
# What share of the attention do events of the candidate's category get, against their share of the
# events? Attention that knows nothing would lie on the diagonal. Only rows where both occur.

weights = din.attention_weights(shown)
attention = np.array([weight[match].sum() for weight, match in zip(weights, matches)])
mixed = (share > 0) & (share < 1)
print(
    f"{mixed.sum():,} rows: {share[mixed].mean():.0%} of their events are of the candidate's "
    f"category, and get {attention[mixed].mean():.0%} of the attention"
)

figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.plot([0, 1], [0, 1], color="grey", linestyle=":", label="all events alike")
ax.scatter(share[mixed], attention[mixed], s=4, alpha=0.3, color="C0", linewidths=0)
bins = pd.cut(share[mixed], np.linspace(0, 1, 9))
means = pd.DataFrame({"share": share[mixed], "attention": attention[mixed]})
means = means.groupby(bins, observed=True).mean()
ax.plot(means["share"], means["attention"], color="C3", marker="o", label="DIN, mean")
ax.set(xlabel="share of events of the candidate's category", ylabel="their share of the attention")
ax.legend(loc="lower right")
plt.show()

# %%
# A weight says what the network looked at, not what caused a click. And attention needs clicks to
# learn from, many of them: compare with ``attention="mean"`` before you keep it.
