"""
What is put into the basket first? Next item from histories
===========================================================

A household enters the store: from which category comes its first product, given all that it has
bought before? `HSTUNextItem` reads the history as a sentence of categories, with the times. A count
of what this household buys most often reads it as a bag, and groceries are habits: this is a rival
that one should never leave out.

The purchases are those of the Complete Journey data, which their package describes as *simulated
data based on real grocery shopping patterns*.
"""

# %%
# One event per basket and category
# ---------------------------------
# All purchases of a basket have one time. In which order they lie in the basket is not known, so we
# draw it; some households have two baskets of one time, which stay apart.

from sk_adrec.datasets import load_complete_journey_purchases

columns = ["household_id", "basket_id", "product_category", "week", "timestamp"]
log = load_complete_journey_purchases(weeks=range(21, 49)).data[columns].dropna()
log = log[log["household_id"].isin(log["household_id"].unique()[:500])]
log = log.drop_duplicates(["household_id", "basket_id", "product_category"])
log = log.sample(frac=1, random_state=0)
log = log.sort_values(["household_id", "timestamp", "basket_id"], kind="stable")
log = log.astype({"household_id": str, "basket_id": str, "product_category": str})
log = log.reset_index(drop=True)
print(f"{len(log):,} events, {log['product_category'].nunique()} categories")

# %%
# Cut by time
# -----------
# The network learns from weeks 21 to 40, stops by weeks 41 to 44, and is asked for weeks 45 to 48.
# A row to learn from holds up to 50 events, each of which is a target in its turn; a row to be
# judged by is the first event of a basket, and the 50 events before it.

from sk_adrec.sequential import make_prefixes

MAX_LEN = 50
COLUMNS = {"user": "household_id", "item": "product_category", "time": "timestamp"}
first = log["basket_id"] != log["basket_id"].shift()


def asked(start, stop):
    rows = first & log["week"].between(start, stop)
    return make_prefixes(log, rows=rows.to_numpy(), max_len=MAX_LEN, **COLUMNS)


past = log[log["week"] <= 40].reset_index(drop=True)
from_last = past.groupby("household_id").cumcount(ascending=False)
each_event_once = (from_last % (MAX_LEN + 1) == 0).to_numpy()
X_train, y_train = make_prefixes(past, rows=each_event_once, max_len=MAX_LEN, **COLUMNS)
X_valid, y_valid = asked(41, 44)
X_test, y_test = asked(45, 48)
print(f"{len(X_train):,} histories to learn from, {len(X_test):,} baskets to foresee")

# %%
# The network
# -----------
# It is told when each purchase was, and when the household enters. What was bought before may come
# again: ``exclude_seen=False``.

import numpy as np

from sk_adrec import HSTUNextItem

hstu = HSTUNextItem(
    history="hist_product_category",
    history_time="hist_timestamp",
    request_time="timestamp",
    embedding_dim=32,
    max_len=MAX_LEN,
    exclude_seen=False,
    lr=3e-3,
    batch_size=32,
    max_epochs=10,
    random_state=0,
)
hstu.fit(X_train, y_train, X_val=X_valid, y_val=y_valid)
print("NDCG@10 on weeks 41 to 44 after each pass:", np.round(hstu.validation_scores_, 3))

# %%
# Two counts
# ----------
# What the household bought most often in the same 50 events, where recent ones may count more, and
# what everybody buys. `decay` is chosen on weeks 41 to 44.

import pandas as pd

from sk_adrec.metrics import hit_rate_at_k, ndcg_at_k

popularity = past["product_category"].value_counts(normalize=True)
code = {category: number for number, category in enumerate(popularity.index)}


def most_frequent(X, decay, k=20):
    """The categories that most of each history's events are of, popular ones first among equals."""
    lists = []
    for history in X["hist_product_category"]:
        known = np.array([code[c] for c in history if c in code], dtype=int)
        recency = decay ** np.arange(len(known))[::-1]
        scores = np.bincount(known, recency, minlength=len(code)) + 1e-3 * popularity.to_numpy()
        lists.append(list(popularity.index[np.argsort(-scores)[:k]]))
    return lists


wanted_valid, wanted = [[item] for item in y_valid], [[item] for item in y_test]
by_decay = {
    decay: hit_rate_at_k(most_frequent(X_valid, decay), wanted_valid, 10)
    for decay in (0.96, 0.98, 1.0)
}
decay = max(by_decay, key=by_decay.get)
print({decay: round(rate, 3) for decay, rate in by_decay.items()})

# %%
# Weeks 45 to 48
# --------------

found = {
    "HSTU": hstu.recommend(X_test, k=20)[0].tolist(),
    "the household's own frequency": most_frequent(X_test, decay),
    "popular": [list(popularity.index[:20])] * len(X_test),
}
table = pd.DataFrame(
    {
        name: {"HR@10": hit_rate_at_k(ids, wanted, 10), "NDCG@10": ndcg_at_k(ids, wanted, 10)}
        for name, ids in found.items()
    }
).T
table.round(3)

# %%
# Households were asked several times each, so that the interval of the difference resamples them.

hits = {name: np.array([y in ids[:10] for y, ids in zip(y_test, found[name])]) for name in found}
difference = hits["HSTU"].astype(float) - hits["the household's own frequency"]
households = X_test["household_id"].to_numpy()
per_household = pd.Series(difference).groupby(households).agg(["sum", "size"])
rng = np.random.default_rng(0)
drawn = rng.integers(0, len(per_household), (1000, len(per_household)))
sums = per_household.to_numpy()[drawn].sum(axis=1)
low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
winner = "undecided" if low < 0 < high else ("HSTU" if low > 0 else "the count")
print(f"HR@10 of HSTU, less that of the count: {difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
print(f"On these rows the better one is: {winner}")

# %%
# A small network, trained for a minute on half a year of some households. More rows, more passes
# and a wider one are what it can still win by; the count has nothing more to learn.

import matplotlib.pyplot as plt

from sk_adrec import TopKCurveDisplay

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
TopKCurveDisplay.from_predictions(found, wanted, metric="hit_rate", ax=ax)
plt.show()
