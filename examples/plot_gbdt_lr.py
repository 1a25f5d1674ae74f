"""
Trees for what stays, a linear layer for what moves
===================================================

`GBDTLRClassifier` turns each row into the leaves that it falls into, one per tree, and a logistic
regression weighs leaves and ids. Trees are slow to train and find what holds for long: which
columns matter together. The linear layer can learn from yesterday's rows every morning. Here an
advertiser changes its pictures in the middle of a log, and we see who notices.
"""

# %%
# A log that changes
# ------------------
# The log's click probabilities are known. From some day on, the odds of a click on the ads of one
# large advertiser are three times what they were; we draw the clicks anew.

import numpy as np
import pandas as pd

from sk_adrec.datasets import make_ad_log

log = make_ad_log(50_000, random_state=0)
X, day = log.data, (log.timestamp - log.timestamp.min()).dt.days
LEARNED, CHANGED = 14, 18  # days

advertiser = X["advertiser"].mode()[0]
is_changed = (day >= CHANGED) & (X["advertiser"] == advertiser)
odds = log.p_click / (1 - log.p_click) * np.where(is_changed, 3.0, 1.0)
p_click = odds / (1 + odds)
y = pd.Series(np.random.default_rng(0).random(len(X)) < p_click).astype(int)
print(f"{day.max() + 1} days of {len(X) // (day.max() + 1):,} impressions; {advertiser} changes")
print(f"has {(X['advertiser'] == advertiser).mean():.0%} of them")

# %%
# The first days teach both
# -------------------------
# The linear layer's coefficients start at the values that the trees gave their leaves, and are then
# learned from rows that the trees have not seen.

from scipy.special import expit
from sklearn.metrics import log_loss

from sk_adrec import GBDTLRClassifier

learned, before = day < LEARNED, (day >= LEARNED) & (day < CHANGED)
model = GBDTLRClassifier(tree_fraction=0.6, random_state=0)
model.fit(X[learned], y[learned])
importance = pd.Series(model.feature_importances_, index=model.feature_names_in_)
print(f"{model.n_iter_} trees; what they split by:")
importance.nlargest(5).rename("share of the gain").to_frame().round(2)

# %%
# What the linear layer learned
# -----------------------------
# `transform` gives the leaves of a row, one column each. The trees' own prediction is the sum of
# their values; the linear layer has weighed them anew, and the ids beside them.

leaves = model.get_feature_names_out()
nodes = model.booster_.trees_to_dataframe().set_index("node_index")["value"]
own_value = nodes[[leaf.replace("tree", "").replace("_leaf", "-L") for leaf in leaves]].to_numpy()
coefficient = model.linear_.coef_[0, : len(leaves)]

trees_alone = expit(model.transform(X[before]) @ own_value)
with_linear = model.predict_proba(X[before])[:, 1]
for name, p in {"trees alone": trees_alone, "with the linear layer": with_linear}.items():
    print(f"{name:22s} log loss of days {LEARNED} to {CHANGED - 1}: {log_loss(y[before], p):.4f}")
print(
    f"{'(the truth)':22s} log loss of days {LEARNED} to {CHANGED - 1}: "
    f"{log_loss(y[before], p_click[before]):.4f}"
)

# %%
# Every morning
# -------------
# From here on each day is predicted before it is learned. One model stays as it is; the others
# learn the day with `partial_fit`, which leaves the trees alone. Two step sizes, neither of which
# is chosen by anything: the default follows slowly, ten times as much follows fast, and follows
# noise too.

from copy import deepcopy

models = {"as it was": model, "daily": deepcopy(model), "daily, larger steps": deepcopy(model)}
models["daily, larger steps"].linear_.set_params(lr=0.5)

lines = []
for today in range(LEARNED, day.max() + 1):
    rows = day == today
    for name, each in models.items():
        p = each.predict_proba(X[rows])[:, 1]
        affected = is_changed[rows] if today >= CHANGED else X["advertiser"][rows] == advertiser
        lines.append(
            {
                "day": today,
                "model": name,
                "lost": log_loss(y[rows], p) - log_loss(y[rows], p_click[rows]),
                "expected / true": p[affected].mean() / p_click[rows][affected].mean(),
            }
        )
        if name != "as it was":
            each.partial_fit(X[rows], y[rows])
days = pd.DataFrame(lines)

# %%
# Log loss above that of the truth, in thousandths, before the change and after it:

period = np.where(days["day"] < CHANGED, "before", "after")
(1000 * days.groupby(["model", period])["lost"].mean()).unstack()[["before", "after"]].round(1)

# %%
# Left: the leaves' coefficients on the first days and on the last, against the values that the
# trees gave them; those of the first tree hold the base rate. Right: what is expected of the
# advertiser.

import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
axes[0].scatter(own_value, coefficient, s=6, alpha=0.4, linewidths=0, label="before")
axes[0].scatter(
    own_value,
    models["daily"].linear_.coef_[0, : len(leaves)],
    s=6,
    alpha=0.4,
    linewidths=0,
    label="after the last day",
)
axes[0].axline((0, 0), slope=1, color="grey", linestyle=":")
axes[0].set(
    xlabel="the trees' value of a leaf, logits", ylabel="its coefficient in the linear layer"
)
axes[0].legend()
for name, rows in days.groupby("model", sort=False):
    axes[1].plot(rows["day"], rows["expected / true"], marker="o", markersize=4, label=name)
axes[1].axvline(CHANGED - 0.5, color="grey", linestyle=":")
axes[1].axhline(1, color="grey", linewidth=0.8)
axes[1].set(xlabel="day (dotted: new pictures)", ylabel=f"clicks of {advertiser}, expected / true")
axes[1].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
plt.show()

# %%
# Train the trees anew when the linear layer no longer keeps up: the change here was one that a
# linear layer can follow, a new level of one id.
