"""
What have they not bought yet? Four ways to find candidates
===========================================================

Out of thousands of products, which hundred might a household buy for the first time? Candidates are
judged by what households did buy later, over the whole catalogue: what is missing here, no ranker
brings back. The purchases are those of the Complete Journey data, which their package describes as
*simulated data based on real grocery shopping patterns*.
"""

# %%
# What is known, and what is asked
# --------------------------------
# Of 800 households, weeks 17 to 40 are learned from, and weeks 41 to 44 choose the settings. Then
# models learn from weeks 17 to 44, and are asked for weeks 45 to 48, which nothing before has
# looked at.

import numpy as np

from sk_adrec.datasets import load_complete_journey_purchases

log = load_complete_journey_purchases(weeks=range(17, 49)).data
households = np.random.default_rng(0).permutation(log["household_id"].unique())[:800]
log = log[log["household_id"].isin(households)]
names = log.drop_duplicates("product_id").set_index("product_id")["product_type"]


def task(first, last):
    """Pairs of household and product before week `first`; those that are new until `last`."""
    pair = ["household_id", "product_id"]
    before = log[log["week"] < first].drop_duplicates(pair, keep="last")
    later = log[log["week"].between(first, last)].drop_duplicates(pair)
    new = later.merge(before[pair], how="left", on=pair, indicator=True)
    new = new[(new["_merge"] == "left_only") & new["household_id"].isin(before["household_id"])]
    wanted = new.groupby("household_id", observed=True)["product_id"].agg(list)
    buyers = before.groupby("product_id", observed=True)["household_id"].transform("size")
    return before[buyers >= 15], wanted  # rarer products say little, and EASE is cubic in them


past, wanted = task(41, 44)
print(f"{len(past):,} pairs of {past['product_id'].nunique():,} products to learn from")
print(f"{wanted.map(len).mean():.0f} new products per household to find")

# %%
# Settings, chosen on weeks 41 to 44
# ----------------------------------
# All get the same rows. The towers also read what kind of product it is.

import pandas as pd

from sk_adrec import EASERetriever, ItemCF, TwoTowerRetriever
from sk_adrec.metrics import recall_at_k

ROLES = {"user": "household_id", "item": "product_id"}
KIND = ["product_category", "department", "brand"]
CANDIDATES = {
    "ItemCF": [
        ItemCF(**ROLES, shrinkage=shrinkage, weighting=weighting)
        for shrinkage in (30.0, 300.0)
        for weighting in (None, "bm25")
    ],
    "EASE": [EASERetriever(**ROLES, l2=l2) for l2 in (100.0, 500.0, 2000.0)],
    "two towers": [
        TwoTowerRetriever(
            **ROLES,
            item_features=["product_id", *KIND],
            user_items=True,
            temperature=temperature,
            max_epochs=10,
            early_stopping=False,
            calibrate=False,
            random_state=0,
        )
        for temperature in (0.1, 0.3)
    ],
}


def fit(model, past):
    kind = KIND if isinstance(model, TwoTowerRetriever) else []
    return model.fit(past[["household_id", "product_id", *kind]])


chosen, lines = {}, []
for name, models in CANDIDATES.items():
    found = [fit(model, past).recommend(wanted.index, k=100)[0] for model in models]
    recall = [recall_at_k(ids, wanted, 100) for ids in found]
    chosen[name] = models[int(np.argmax(recall))]
    lines += [{"model": name, "setting": i, "recall@100": r} for i, r in enumerate(recall)]
    print(chosen[name])
pd.DataFrame(lines).pivot(index="model", columns="setting", values="recall@100").round(3)

# %%
# Weeks 45 to 48
# --------------
# The winners learn once more, from all that is known now. "Popular" is what most households have
# bought, without what this one has.

past, wanted = task(45, 48)
found = {name: fit(model, past).recommend(wanted.index, k=100)[0] for name, model in chosen.items()}
ranking = past["product_id"].value_counts().index[:1000]
known = past.groupby("household_id", observed=True)["product_id"].agg(set)
found["popular"] = [
    [item for item in ranking if item not in known.get(user, ())][:100] for user in wanted.index
]

from sk_adrec.metrics import coverage_at_k, ndcg_at_k, novelty_at_k

pd.DataFrame(
    {
        name: {
            "recall@100": recall_at_k(items, wanted, 100),
            "NDCG@10": ndcg_at_k(items, wanted, 10),
            "share of the catalogue shown": coverage_at_k(items, past["product_id"], 100),
            "novelty, bits": novelty_at_k(items, past["product_id"], 100),
        }
        for name, items in found.items()
    }
).T.round(3)

# %%
# How many candidates are enough? The curve says what more of them would bring.

import matplotlib.pyplot as plt

from sk_adrec import TopKCurveDisplay

figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
TopKCurveDisplay.from_predictions(found, wanted, metric="recall", ax=ax)
plt.show()

# %%
# Why these?
# ----------
# `ItemCF` explains itself: here are the nearest neighbours of three popular products.

frequent = past["product_id"].value_counts().index[:3]
neighbours, _ = chosen["ItemCF"].similar_items(frequent, k=3)
pd.DataFrame(names[neighbours.ravel()].to_numpy().reshape(3, 3), index=names[frequent].to_numpy())
