"""
Probabilities to bid with: downsampling, weights, recent rows
=============================================================

A bid is a probability times a value: where the probability is twice too high, so is the bid. Three
things spoil it. Negatives were thrown away, and nobody told the model. The level moved since the
model was trained. The total is right, and single segments are not. Here are all three, on the real
impressions of a grocery's weekly mailer (Complete Journey data, whose package describes them as
*simulated data based on real grocery shopping patterns*).
"""

# %%
# A log without most of its negatives
# -----------------------------------
# Few impressions convert. Nobody keeps all the others: of these, one in 200 is left, and weighs
# 200.

from sk_adrec.datasets import load_complete_journey_impressions

RATE = 0.005
log = load_complete_journey_impressions(negative_rate=RATE, weeks=range(29, 54))
X, y, weight, week = log.data, log.target, log.sample_weight, log.week
print(f"converted: {y.mean():.1%} of the {len(y):,} rows,")
print(f"{y.sum() / weight.sum():.2%} of the {weight.sum():,.0f} impressions that they stand for")

# %%
# Weeks 29 to 41 to train, the next three are kept for later, and weeks 45 to 53 judge. Step size
# and passes of the model are those of :doc:`/benchmarks`, where libraries are compared; when this
# page was written they were looked at on weeks 45 to 48 as well, so that its AUC is somewhat
# flattered.

train, test = week <= 41, week >= 45

# %%
# One correction, once
# --------------------
# Learned as if the rows were all impressions, or with the weights, or without them and corrected
# afterwards. With w the share of negatives that was kept, the correction is
#
# .. math:: q = \frac{p}{p + (1 - p) / w}
#
# `DownsampledClassifier` does it for any classifier, and can leave out further negatives itself,
# which makes training faster.

from sklearn.base import clone

from sk_adrec import DownsampledClassifier, FMClassifier

fm = FMClassifier(lr=5e-3, max_epochs=3, batch_size=4096, early_stopping=False, random_state=0)
corrected = DownsampledClassifier(fm, negative_rate=1.0, data_negative_rate=RATE)
fewer = DownsampledClassifier(fm, negative_rate=0.5, data_negative_rate=RATE, random_state=0)
models = {
    "rows as they are": clone(fm).fit(X[train], y[train]),
    "with weights": clone(fm).fit(X[train], y[train], sample_weight=weight[train]),
    "no weights, corrected": corrected.fit(X[train], y[train]),
    "and half of the negatives": fewer.fit(X[train], y[train]),
}

# %%
# Every metric takes the weights, so that it speaks of all impressions. Normalised entropy is the
# log loss over that of the base rate, below 1 where a model is better than a constant.

import pandas as pd
from sklearn.metrics import roc_auc_score

from sk_adrec.metrics import calibration_ratio, normalized_entropy_score


def judge(p):
    y_test, w = y[test], {"sample_weight": weight[test]}
    return {
        "AUC": roc_auc_score(y_test, p, **w),
        "normalised entropy": normalized_entropy_score(y_test, p, **w),
        "expected / observed": calibration_ratio(y_test, p, **w),
    }


p = {name: model.predict_proba(X[test])[:, 1] for name, model in models.items()}
pd.DataFrame({name: judge(values) for name, values in p.items()}).T.round(3)

# %%
# The correction leaves the order alone, so that the first line and the third have the same AUC: who
# looks at nothing else bids with the first. Training with weights this large can be noisy, since a
# few rows move the network a lot. Weigh or correct, **never both**.
#
# Two numbers, from recent rows
# -----------------------------
# The level moves from week to week, and no model is told the week. Each week, two numbers are
# learned from the three weeks before it: a level and a slope for the logit of the model, which
# itself stays as it was.

import warnings

from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

model = models["no weights, corrected"]
p["recalibrated"] = p["no weights, corrected"].copy()
for this_week in range(45, 54):
    recent, now = week.between(this_week - 3, this_week - 1), week == this_week
    recalibrated = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid")
    with warnings.catch_warnings():
        # That the frozen model takes no weights: it is fitted already.
        warnings.simplefilter("ignore", UserWarning)
        recalibrated.fit(X[recent], y[recent], sample_weight=weight[recent])
    p["recalibrated"][now[test]] = recalibrated.predict_proba(X[now])[:, 1]
after = ("no weights, corrected", "recalibrated")
pd.DataFrame({name: judge(p[name]) for name in after}).T.round(3)

# %%
# The weeks one by one. What was learned from three weeks arrives late where the level jumps.

import matplotlib.pyplot as plt


def ratio_by_week(values):
    frame = pd.DataFrame({"expected": values * weight[test], "observed": y[test] * weight[test]})
    sums = frame.groupby(week[test]).sum()
    return sums["expected"] / sums["observed"]


figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name in after:
    ax.plot(ratio_by_week(p[name]), marker="o", label=name)
ax.axhline(1, color="grey", linestyle=":")
ax.set(xlabel="week", ylabel="expected / observed conversions")
ax.legend()
plt.show()

# %%
# Right in each department?
# -------------------------
# A total of 1 can hide departments that are wrong in opposite directions. Look at the intervals: a
# department with few conversions is not wrong because its ratio is far from 1.

from sk_adrec import CalibrationByGroupDisplay

figure, ax = plt.subplots(figsize=(8, 6), layout="constrained")
CalibrationByGroupDisplay.from_predictions(
    y[test],
    p["recalibrated"],
    X.loc[test, "department"],
    sample_weight=weight[test],
    ax=ax,
)
plt.show()
