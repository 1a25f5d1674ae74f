"""
Conversions after clicks that never happened
============================================

How likely would this impression convert, were it clicked? The conversion model of the textbook
learns from clicked rows. These are few, and they were not drawn at random: what attracts clicks
often sells as well. Yet the model is asked about all impressions. `ESMMEstimator` learns both
stages from all of them.

A real log cannot say who is right, since nobody knows what unclicked impressions would have become.
So we draw one whose probabilities are known, and hide them from the models.
"""

# %%
# A log in which clicks are a choice
# ----------------------------------
# With ``selection=1.5``, the more an impression attracts clicks, the better its clicks convert.

import numpy as np

from sk_adrec.datasets import make_ad_log

log = make_ad_log(
    50_000, n_users=300, n_items=150, conversion_rate=0.15, selection=1.5, random_state=0
)
X, y = log.data, log.funnel  # rows in order of time
train, valid, test = slice(0, 25_000), slice(25_000, 30_000), slice(30_000, None)

clicked = y["click"] == 1
print(f"{clicked.sum():,} of {len(y):,} impressions were clicked")
print(f"true P(conversion | click), mean of clicked rows: {log.p_conversion[clicked].mean():.3f}")
print(f"true P(conversion | click), mean of all rows:     {log.p_conversion.mean():.3f}")

# %%
# Two ways to learn
# -----------------
# The same network, of two stages on all rows, and of one stage on clicked rows. Each chooses
# its dropout by its own loss on the validation rows, which come before the test's.

from sklearn.metrics import log_loss

from sk_adrec import ESMMEstimator


def fit_best(stages, rows):
    """The fit of least log loss on validation rows, where conversions are concerned."""
    X_train, y_train = X[train][rows[train]], y[stages][train][rows[train]]
    X_valid, y_valid = X[valid][rows[valid]], y[stages][valid][rows[valid]]
    fits = {}
    for dropout in (0.0, 0.3):
        model = ESMMEstimator(
            hidden_dims=(64, 32),
            dropout=dropout,
            batch_size=256,
            share_vocabulary={"hist_item_id": "item_id"},
            random_state=0,
        )
        model.fit(X_train, y_train, X_val=X_valid, y_val=y_valid)
        p_valid = model.predict_proba(X_valid)[:, -1]
        fits[log_loss(y["conversion"][valid][rows[valid]], p_valid)] = model
    best = fits[min(fits)]
    print(f"chosen: dropout {best.dropout}, {best.n_iter_} passes")
    return best


esmm = fit_best(["click", "conversion"], clicked | True)
on_clicks = fit_best("conversion", clicked)

# %%
# Against the truth
# -----------------
# Excess log loss, here in thousandths, is what is lost per impression by believing a model instead
# of the truth. The constant is the conversion rate of the clicks that models learn from.

import pandas as pd

truth = log.p_conversion[test]
constant = y["conversion"][train].sum() / y["click"][train].sum()
cvr = {
    "ESMM": esmm.predict_funnel(X[test])["cvr"].to_numpy(),
    "clicked rows only": on_clicks.predict_proba(X[test])[:, -1],
    "a constant": np.full(len(truth), constant),
}


def cross_entropy(p):
    return -(truth * np.log(p) + (1 - truth) * np.log1p(-p))


clicked_in_test = clicked[test].to_numpy()
excess = {name: cross_entropy(p) - cross_entropy(truth) for name, p in cvr.items()}
pd.DataFrame(
    {
        name: {
            "mean pCVR": cvr[name].mean(),
            "excess, clicked rows": 1000 * excess[name][clicked_in_test].mean(),
            "excess, all rows": 1000 * excess[name].mean(),
        }
        for name in cvr
    }
).T.round(3)

# %%
# The mean over all rows should be the true one:

print(f"{truth.mean():.3f}")

# %%
# Where clicks are rare
# ---------------------
# Test rows in ten groups of equal size, those least likely to be clicked at the left. A model of
# clicked rows has seen few clicks there.

import matplotlib.pyplot as plt

group = pd.qcut(log.p_click[test], 10, labels=False)
means = pd.DataFrame({"the truth": truth, **cvr}).groupby(group).mean()
x = pd.Series(log.p_click[test]).groupby(group).mean()

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for name, values in means.items():
    is_truth = name == "the truth"
    style = {"color": "black", "linewidth": 2.5} if is_truth else {"marker": "o", "markersize": 4}
    axes[0].plot(x, values, label=name, **style)
axes[0].set(xscale="log", xlabel="true P(click)", ylabel="mean P(conversion | click)")
axes[0].legend()
losses = 1000 * pd.DataFrame(excess).groupby(group).mean()
for position, (name, values) in enumerate(losses.items()):
    axes[1].plot(x, values, label=name, marker="o", markersize=4, color=f"C{position}")
axes[1].set(xscale="log", xlabel="true P(click)", ylabel="excess log loss of pCVR, x 1000")
plt.show()

# %%
# ESMM gains where clicks are rare, which is where most impressions are. Where they are common, the
# clicked rows are what one is asked about, and a model of them alone may well be the better one.
