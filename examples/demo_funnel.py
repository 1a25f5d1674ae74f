"""The demo's third part: impression -> engaged -> converted, and what an impression is worth.

Engaged means that the household bought from the product's category in that store in that week,
converted that it bought the product: here the two probabilities of a click and a conversion model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from demo_past import LISTS
from demo_protocol import LAST_VALIDATION_WEEK, Rows, tune, weighted
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline

from sk_adrec import ESMMEstimator
from sk_adrec.metrics import calibration_ratio, make_funnel_scorer

KEY = ["household_id", "store_id", "week", "product_id"]
STAGES = {
    "ctr": "pCTR: engaged",
    "cvr": "pCVR: converted if engaged",
    "ctcvr": "pCTCVR: converted",
}
TOP_SHARE = 0.01


def fit_funnel(train: Rows) -> tuple:
    """The tuned model of both stages, its setting, and the pCTCVR AUC that it was chosen by."""
    network = ESMMEstimator(
        hidden_dims=(64, 32),
        max_epochs=1,
        early_stopping=False,
        share_vocabulary=LISTS,
        random_state=0,
    )
    model = make_pipeline(weighted(network))
    # Conversions are a hundred times rarer: weighed alike, engagement is all that is learned.
    grid = {"esmmestimator__lr": [1e-3, 3e-3], "esmmestimator__loss_weights": [None, "balanced"]}
    setting, minus_auc = tune(model, grid, train, train.funnel, make_funnel_scorer("ctcvr_auc"))
    fitted = clone(model).set_params(**setting)
    fitted.fit(train.X, train.funnel, sample_weight=train.weight)
    return fitted[-1], {name.split("__")[1]: value for name, value in setting.items()}, -minus_auc


def stages(predicted: pd.DataFrame, test: Rows) -> dict[str, tuple]:
    """Stage -> label, weight and probability of the rows where it means something."""
    engaged = test.funnel["engaged"].to_numpy()
    reached = engaged == 1
    everything = np.full(len(reached), True)
    cases = {"ctr": (engaged, everything), "cvr": (test.y, reached), "ctcvr": (test.y, everything)}
    return {
        STAGES[name]: (y[rows], test.weight[rows], predicted[name].to_numpy()[rows])
        for name, (y, rows) in cases.items()
    }


def measure_stages(cases: dict[str, tuple]) -> pd.DataFrame:
    """One line per stage, with the sample weights."""
    lines = {}
    for name, (y, w, p) in cases.items():
        lines[name] = {
            "observed": np.average(y, weights=w),
            "AUC": roc_auc_score(y, p, sample_weight=w),
            "log loss": log_loss(y, p, sample_weight=w),
            "PCOC": calibration_ratio(y, p, sample_weight=w),
        }
    return pd.DataFrame(lines).T


def dollars_per_conversion(test: Rows, purchases: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """What a conversion of each row's product brought in weeks 1-44, and what each row brought.

    Returns
    -------
    expected : ndarray of shape (n,)
        Mean sales of a household, store and week in which the product was bought; that of its
        category where nobody bought it, and that of all products where nobody bought from it.
    earned : ndarray of shape (n,)
        Sales of the row's product to its household in its store and week, 0 without conversion.
    """
    keys = purchases[KEY].astype(np.int64)
    category = purchases["product_category"].astype(object)
    sales = purchases["sales_value"].groupby([keys[name] for name in KEY]).sum()
    category = category.groupby(keys["product_id"]).first()
    known = sales[sales.index.get_level_values("week") <= LAST_VALIDATION_WEEK]
    by_product = known.groupby("product_id").mean()
    by_category = by_product.groupby(category.reindex(by_product.index)).mean()
    ids = test.X["product_id"].astype(np.int64)
    expected = ids.map(by_product)
    expected = expected.fillna(test.X["product_category"].astype(object).map(by_category))
    rows = test.X[["household_id", "store_id", "product_id"]].astype(np.int64)
    earned = sales.reindex(pd.MultiIndex.from_frame(rows.assign(week=test.week)[KEY])).fillna(0)
    return expected.fillna(by_product.mean()).to_numpy(), earned.to_numpy()


def gains(values: dict[str, np.ndarray], earned: np.ndarray, weight: np.ndarray) -> pd.DataFrame:
    """Dollars earned per thousand impressions, in the top 1 % by each value and in all of them."""
    lines = {"all impressions": (earned, weight)}
    for name, value in values.items():
        order = np.argsort(-value, kind="stable")
        top = order[np.cumsum(weight[order]) <= TOP_SHARE * weight.sum()]
        lines[f"top {TOP_SHARE:.0%} by {name}"] = (earned[top], weight[top])
    return pd.DataFrame(
        {
            name: {
                "dollars per 1,000": 1000 * np.average(dollars, weights=w),
                "conversions per 1,000": 1000 * np.average(dollars > 0, weights=w),
            }
            for name, (dollars, w) in lines.items()
        }
    ).T


def most_valuable(predicted: pd.DataFrame, test: Rows, dollars: np.ndarray, earned) -> pd.DataFrame:
    """The five products of the greatest expected value, each with its best impression."""
    table = test.X[["household_id", "product_id", "product_type"]].assign(
        pCTR=predicted["ctr"],
        pCVR=predicted["cvr"],
        pCTCVR=predicted["ctcvr"],
        dollars=dollars,
        expected=predicted["ctcvr"] * dollars,
        earned=earned,
    )
    return table.sort_values("expected", ascending=False).drop_duplicates("product_id")[:5]
