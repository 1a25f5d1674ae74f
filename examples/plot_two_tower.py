"""
New products, new households
============================

A product that nobody has bought shares no buyer with any other, and nothing that counts purchases
can recommend it. `TwoTowerRetriever` reads what kind of product it is. And a household that was not
there when the model learned is served by what it bought since. The purchases are those of the
Complete Journey data, which their package describes as *simulated data based on real grocery
shopping patterns*.
"""

# %%
# Some products are new, and so are some households
# -------------------------------------------------
# Of 600 households a fifth is new, and so is a tenth of the products that at least 10 of the
# households buy: the model learns from weeks 25 to 44 without either. Weeks 45 to 48 are asked for.
# Nothing is tuned here.

import numpy as np

from sk_adrec.datasets import load_complete_journey_purchases

KIND = ["product_category", "product_type", "department", "brand"]
log = load_complete_journey_purchases(weeks=range(25, 49)).data
rng = np.random.default_rng(0)
households = rng.permutation(log["household_id"].unique())[:600]
pair = ["household_id", "product_id"]
log = log[log["household_id"].isin(households)].astype(dict.fromkeys(pair, int))
pairs = log[log["week"] <= 44].drop_duplicates(pair, keep="last")
buyers = pairs.groupby("product_id").size()
products = rng.permutation(buyers.index[buyers >= 10])
new_households, new_products = households[:120], products[: len(products) // 10]

pairs = pairs[pairs["product_id"].isin(products)]
is_new = pairs["household_id"].isin(new_households) | pairs["product_id"].isin(new_products)
past = pairs.loc[~is_new, [*pair, *KIND]]
print(f"{len(past):,} pairs to learn from; {len(new_products)} new products")

# %%
# The towers
# ----------
# An item is its id and its kind, a household the products that it has had. With `id_dropout`, an id
# is hidden from the item tower now and then, so that it learns to do without.

from sk_adrec import TwoTowerRetriever

model = TwoTowerRetriever(
    user="household_id",
    item="product_id",
    item_features=["product_id", *KIND],
    user_items=True,
    id_dropout=0.3,
    max_epochs=10,
    early_stopping=False,
    calibrate=False,
    random_state=0,
)
model.fit(past)

# %%
# New products for known households
# ---------------------------------
# `set_catalogue` says what can be recommended today. The rival knows the kind as well: it puts the
# new products of those types first that the household has bought most products of.

from copy import deepcopy

from sk_adrec.metrics import recall_at_k

later = log[log["week"] >= 45].drop_duplicates(pair)


def bought_later(households, products):
    rows = later[later["household_id"].isin(households) & later["product_id"].isin(products)]
    return rows.groupby("household_id")["product_id"].agg(list)


wanted = bought_later(past["household_id"].unique(), new_products)
catalogue = log.drop_duplicates("product_id").set_index("product_id", drop=False)
catalogue = catalogue.loc[new_products, ["product_id", *KIND]].reset_index(drop=True)

today = deepcopy(model).set_catalogue(catalogue)
had = past.groupby("household_id")["product_type"].value_counts()
by_type = []
for household in wanted.index:
    scores = catalogue["product_type"].map(had[household]).astype(float).fillna(0)
    by_type.append(catalogue["product_id"][scores.sort_values(ascending=False).index].tolist())
new_products_found = {
    "two towers": today.recommend(wanted.index, k=50)[0],
    "types that it buys": [items[:50] for items in by_type],
    "at random": [rng.permutation(new_products)[:50] for _ in wanted.index],
}
for name, found in new_products_found.items():
    print(f"{name:20s} recall@20 of new products: {recall_at_k(found, wanted, 20):.3f}")

# %%
# New households, as they buy
# ---------------------------
# `history` hands over what they have bought since, without another fit. After how many products
# does the model know them? Judged by what they bought of the known products in weeks 45 to 48.

histories = pairs[pairs["household_id"].isin(new_households)].sort_values("timestamp")
histories = histories[histories["product_id"].isin(past["product_id"])]
histories = histories.groupby("household_id")["product_id"].agg(list)
wanted_cold = bought_later(histories.index, past["product_id"].unique())
recall = {}
for length in (1, 3, 10, 30, 100):
    given = {user: histories[user][-length:] for user in wanted_cold.index}
    found, _ = model.recommend(wanted_cold.index, k=50, exclude_seen=False, history=given)
    recall[length] = recall_at_k(found, wanted_cold, 50)
popular = past["product_id"].value_counts().index[:50].tolist()
popular = recall_at_k([popular] * len(wanted_cold), wanted_cold, 50)

import matplotlib.pyplot as plt

from sk_adrec import TopKCurveDisplay

figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
TopKCurveDisplay.from_predictions(new_products_found, wanted, metric="recall", ax=axes[0])
axes[0].set_title("new products, known households")
axes[1].plot(list(recall), list(recall.values()), marker="o", label="two towers")
axes[1].axhline(popular, color="C3", linestyle="--", label="what is popular")
axes[1].set(
    xscale="log",
    xlabel="products that are known of the household",
    ylabel="recall@50",
    title="known products, new households",
)
axes[1].legend()
plt.show()
