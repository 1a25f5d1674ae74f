"""Households that visited a store, times the products that the mailer promoted there that week."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ._complete_journey_tables import Tables

LABELS = ("engaged", "converted", "engaged_any_store", "converted_any_store")


def join_week(tables: Tables, week: int) -> dict[str, np.ndarray]:
    """All impressions of one week, sorted by household, store, product.

    Returns
    -------
    columns : dict of ndarray of shape (n_impressions,)
        Codes "household", "store", "product", "mailer", "display" and the boolean `LABELS`.
    """
    promotions = _of_week(tables.promotions, week)
    purchases = _of_week(tables.purchases, week)
    visits = purchases.loc[purchases["store"] >= 0, ["household", "store"]].drop_duplicates()
    visits = visits.sort_values(["household", "store"], ignore_index=True)
    visit, promotion = _cross(visits["store"].to_numpy(), promotions["store"].to_numpy())

    household = visits["household"].to_numpy()[visit]
    product = promotions["product"].to_numpy()[promotion]
    category = tables.product_category[product]
    bought_there = purchases.merge(
        visits.reset_index(names="visit"), on=["household", "store"], how="inner"
    )
    shape = (len(visits), len(tables.products), tables.n_categories)
    there = _bought(bought_there, "visit", shape)
    shape = (len(tables.households), len(tables.products), tables.n_categories)
    anywhere = _bought(purchases, "household", shape)
    converted = there[0][visit, product]
    converted_any_store = anywhere[0][household, product]
    return {
        "household": household.astype(np.int32),
        "store": visits["store"].to_numpy()[visit].astype(np.int32),
        "product": product,
        "mailer": promotions["mailer"].to_numpy()[promotion],
        "display": promotions["display"].to_numpy()[promotion],
        # A product without a known category still engages where it is bought itself.
        "engaged": there[1][visit, category] | converted,
        "converted": converted,
        "engaged_any_store": anywhere[1][household, category] | converted_any_store,
        "converted_any_store": converted_any_store,
    }


def sample_negatives(
    columns: dict[str, np.ndarray], *, keep: str, negative_rate: float, seed: int, week: int
) -> dict[str, np.ndarray]:
    """Keep every row whose label `keep` is true, and `negative_rate` of the others.

    One uniform number per impression, from a generator of the week's own, decides: a week's sample
    does not depend on which other weeks are built, and a lower rate's sample is part of a higher's.
    """
    if negative_rate == 1.0:
        return columns
    # RandomState, whose stream numpy has frozen: the sample stays the same across numpy versions.
    generator = np.random.RandomState([seed, week])
    positive = columns[keep]
    rows = np.flatnonzero(positive | (generator.random_sample(len(positive)) < negative_rate))
    return {name: values[rows] for name, values in columns.items()}


def _of_week(frame: pd.DataFrame, week: int) -> pd.DataFrame:
    return frame[frame["week"].to_numpy() == week]


def _cross(visit_stores: np.ndarray, promotion_stores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each visit with every promotion in its store; `promotion_stores` is sorted.

    Returns
    -------
    visit, promotion : ndarray of shape (n_impressions,), int64
        Positions, in the order of the visits, then of the promotions.
    """
    start = np.searchsorted(promotion_stores, visit_stores, side="left")
    count = np.searchsorted(promotion_stores, visit_stores, side="right") - start
    first = np.cumsum(count) - count
    visit = np.repeat(np.arange(len(visit_stores)), count)
    return visit, np.arange(len(visit)) + np.repeat(start - first, count)


def _bought(
    purchases: pd.DataFrame, row: str, shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Which product and which category occurs in each row's purchases.

    Returns
    -------
    products : ndarray of shape (n_rows, n_products), bool
    categories : ndarray of shape (n_rows, n_categories + 1), bool
        The last column, where code -1 (not known) points, is False.
    """
    n_rows, n_products, n_categories = shape
    products = np.zeros((n_rows, n_products), dtype=bool)
    promoted = purchases[purchases["product"] >= 0]
    products[promoted[row], promoted["product"]] = True
    categories = np.zeros((n_rows, n_categories + 1), dtype=bool)
    categories[purchases[row], purchases["category"]] = True
    categories[:, -1] = False
    return products, categories
