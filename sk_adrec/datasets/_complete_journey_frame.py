"""From coded impressions in the cache to a frame of ids, attributes and labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ._complete_journey_join import LABELS, join_week, sample_negatives
from ._complete_journey_tables import (
    DEMOGRAPHICS,
    DISPLAY_LOCATIONS,
    MAILER_LOCATIONS,
    PRODUCT_ATTRIBUTES,
    Tables,
    fingerprint,
    read_tables,
    source_folder,
)
from ._data_home import read_parquet, write_parquet

# Part of the cache's key: raise it when the same request should give other rows or columns.
_CACHE_FORMAT = 1
IDS = ("household_id", "store_id", "product_id")
IMPRESSION_FEATURES = (
    *IDS,
    "mailer_location",
    "display_location",
    *PRODUCT_ATTRIBUTES,
    *DEMOGRAPHICS,
)


def impressions_frame(home: Path, weeks: list[int], sample: dict) -> pd.DataFrame:
    """Return the sampled impressions of `weeks`; those that the cache lacks are built first."""
    source = source_folder()
    cache = home / "complete_journey" / f"v{_CACHE_FORMAT}-{fingerprint(source)}"
    folder = cache / "impressions-{keep}-{negative_rate!r}-{seed}".format_map(sample)
    paths = {week: folder / f"week-{week:02d}.parquet" for week in weeks}
    missing = [week for week, path in paths.items() if not path.exists()]
    if missing:
        tables = read_tables(source)
        _write_catalogue(tables, cache)
        for week in missing:
            columns = sample_negatives(join_week(tables, week), week=week, **sample)
            write_parquet(pa.table(columns), paths[week])
    parts = [read_parquet(path) for path in paths.values()]
    week_column = np.repeat(np.array(weeks, dtype=np.int32), [len(part) for part in parts])
    return _decode(pa.concat_tables(parts), week_column, cache)


def _write_catalogue(tables: Tables, cache: Path) -> None:
    for name in ("households", "stores", "products"):
        table = pa.Table.from_pandas(getattr(tables, name), preserve_index=False)
        write_parquet(table, cache / f"{name}.parquet")


def _decode(rows: pa.Table, week: np.ndarray, cache: Path) -> pd.DataFrame:
    """Turn positions into ids and attributes."""
    columns: dict[str, object] = {"week": week}
    for entity in ("household", "store", "product"):
        entities = read_parquet(cache / f"{entity}s.parquet").to_pandas()
        columns |= take_categories(entities, rows[entity].to_numpy())
    for place, names in {"mailer": MAILER_LOCATIONS, "display": DISPLAY_LOCATIONS}.items():
        columns[f"{place}_location"] = pd.Categorical.from_codes(rows[place].to_numpy(), names)
    for label in LABELS:
        columns[label] = rows[label].to_numpy().astype(np.int8)
    # Without copy=False pandas would join the columns of one dtype, and double the peak memory.
    return pd.DataFrame(columns, columns=["week", *IMPRESSION_FEATURES, *LABELS], copy=False)


def take_categories(entities: pd.DataFrame, positions: np.ndarray) -> dict[str, pd.Categorical]:
    """Each column of `entities` at `positions`, as category."""
    return {name: _categorical(values).take(positions) for name, values in entities.items()}


def _categorical(values: pd.Series) -> pd.Categorical:
    codes, categories = pd.factorize(values, sort=True)
    if pd.api.types.is_integer_dtype(categories):
        # A nullable integer column should have the same categories as a plain one.
        categories = categories.astype(np.int64)
    return pd.Categorical.from_codes(codes, categories)
