"""Large integer ids are never rounded on their way, whatever holds them and whatever is beside."""

import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import config_context

from sk_adrec import FeatureEncoder, FMClassifier, HistoryEncoder
from sk_adrec.preprocessing._log_encoder import FEW_ROWS, LogEncoder
from sk_adrec.preprocessing._vocabulary import Vocabulary

A = 2**53 + 1  # as a float, 2**53
# A missing value is beside them.
IDS = {"signed": [A, A + 1, None, -A], "unsigned": [2**63 + 1, 2**63 + 2, None, A]}


def arrow_frame(kind):
    return lambda ids: pd.DataFrame({"id": pd.arrays.ArrowExtensionArray(pa.array(ids, kind))})


def objects(missing):
    return lambda ids: pd.DataFrame(
        {"id": pd.Series([missing if one is None else one for one in ids], dtype=object)}
    )


def typed(ids, signed, unsigned):
    """The type of 64 bits that holds the ids."""
    return unsigned if any(one is not None and one >= 2**63 for one in ids) else signed


def arrow_type(ids):
    return typed(ids, pa.int64(), pa.uint64())


LAYOUTS = {
    "nullable": lambda ids: pd.DataFrame(
        {"id": pd.array(ids, dtype=typed(ids, "Int64", "UInt64"))}
    ),
    "objects with None": objects(None),
    "objects with NaN": objects(np.nan),
    "objects with NA": objects(pd.NA),
    "decimals": lambda ids: objects(None)([one and decimal.Decimal(one) for one in ids]),
    "Arrow": lambda ids: arrow_frame(arrow_type(ids))(ids),
    "Arrow's decimals": arrow_frame(pa.decimal128(38, 0)),
    "Arrow's wide decimals": arrow_frame(pa.decimal256(60, 2)),
    "Polars": lambda ids: pl.DataFrame(
        {"id": pl.Series(ids, dtype=typed(ids, pl.Int64, pl.UInt64))}
    ),
    "Polars 128": lambda ids: pl.DataFrame({"id": pl.Series(ids, dtype=pl.Int128)}),
    "an Arrow table": lambda ids: pa.table({"id": pa.array(ids, arrow_type(ids))}),
    "an array of objects": lambda ids: np.array(ids, dtype=object)[:, None],
    "rows with None": lambda ids: [[one] for one in ids],
    "rows with NaN": lambda ids: [[np.nan if one is None else one] for one in ids],
    "rows with a float": lambda ids: [[one, 0.5] for one in ids],
    "categories": lambda ids: pd.DataFrame({"id": pd.Categorical(ids)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", IDS)
def test_ids_beside_a_missing_value(kind, layout):
    ids = IDS[kind]
    X = LAYOUTS[layout](ids)
    encoder = LogEncoder(categorical_features=[0]).fit(X)
    known = sorted(one for one in ids if one is not None)
    assert encoder.vocabularies_[encoder.categorical_names_[0]].values.tolist() == known
    expected = [0 if one is None else 2 + known.index(one) for one in ids]
    for times in (1, FEW_ROWS):
        codes = encoder.transform(LAYOUTS[layout](ids * times)).categorical[:, 0]
        assert codes.tolist() == expected * times
    near = [None if one is None else one + 4 for one in ids]
    assert set(encoder.transform(LAYOUTS[layout](near)).categorical[:, 0]) == {0, 1}


@pytest.mark.parametrize("kind", IDS)
def test_any_layout_knows_the_ids_of_any_other(kind):
    ids = IDS[kind]
    frames = {name: make(ids) for name, make in LAYOUTS.items() if name != "rows with a float"}
    for fitted in ("nullable", "objects with None", "Polars 128"):
        encoder = LogEncoder(categorical_features=[0]).fit(frames[fitted])
        expected = encoder.transform(frames[fitted]).categorical
        assert len(np.unique(expected)) == 4
        for name, X in frames.items():
            np.testing.assert_array_equal(encoder.transform(X).categorical, expected, name)


LISTS = {
    "objects": lambda lists: pd.DataFrame({"id": lists}),
    "arrays": lambda lists: pd.DataFrame({"id": [np.array(one, dtype=object) for one in lists]}),
    "unsigned arrays": lambda lists: pd.DataFrame(
        {"id": [np.array([x for x in one if x is not None], "uint64") for one in lists]}
    ),
    "Arrow": lambda lists: arrow_frame(pa.list_(pa.uint64()))(lists),
    "Polars": lambda lists: pl.DataFrame({"id": pl.Series(lists, dtype=pl.List(pl.UInt64))}),
    "Polars 128": lambda lists: pl.DataFrame({"id": pl.Series(lists, dtype=pl.List(pl.Int128))}),
    "cells": lambda lists: [[one, 0] for one in lists],
}


@pytest.mark.parametrize("layout", LISTS)
def test_lists_of_ids_beside_missing_ones(layout):
    lists = [[A, None, 2**63 + 1], [A + 1], [], [2**63 + 2, A]]
    X = LISTS[layout](lists)
    encoder = LogEncoder().fit(X)
    ids = [A, A + 1, 2**63 + 1, 2**63 + 2]
    name = encoder.sequence_names_[0]
    assert encoder.vocabularies_[name].values.tolist() == ids
    for times in (1, FEW_ROWS):
        codes = encoder.transform(LISTS[layout](lists * times)).sequences[name]
        assert codes.values[:5].tolist() == [2, 4, 3, 5, 2]
    scalars = LogEncoder(share_vocabulary={"hist": "id"}).fit(
        pd.DataFrame({"id": pd.array(ids, dtype="UInt64"), "hist": lists})
    )
    assert scalars.vocabularies_["id"].values.tolist() == ids


def test_ids_beyond_64_bits_are_numbers_to_warnings_too():
    encoder = LogEncoder(categorical_features=["id"]).fit(pd.DataFrame({"id": [2**63 + 1, 2**70]}))
    with pytest.warns(UserWarning, match="'id' .* holds strings where fit saw numbers"):
        encoder.transform(pd.DataFrame({"id": ["5"]}))
    fractions = LogEncoder(categorical_features=["id"]).fit(pd.DataFrame({"id": [0.5, 1.5]}))
    with pytest.warns(UserWarning, match="'id' .* holds strings where fit saw numbers"):
        fractions.transform(pd.DataFrame({"id": ["5"] * 99}))


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("library", ["pandas", "polars"])
@pytest.mark.parametrize("kind", IDS)
def test_history_encoder_in_any_output(kind, library, output):
    first, second, _, _ = IDS[kind]
    ids = [first, None, second, first]
    columns = {
        "user_id": [first, first, first, second],
        "item_id": ids,
        "timestamp": [1, 2, 3, 4],
        "seen": [True, None, False, True],
        "tags": [[first, None], None, [], [second]],
    }
    dtype = typed(ids, pl.Int64, pl.UInt64)
    types = {"user_id": dtype, "item_id": dtype, "tags": pl.List(dtype)}
    X = pl.DataFrame(columns, schema_overrides=types)
    if library == "pandas":
        X = pd.DataFrame(columns)
        for name in ("user_id", "item_id"):
            X[name] = pd.array(columns[name], dtype=typed(ids, "Int64", "UInt64"))
        lists = pa.array(columns["tags"], pa.list_(arrow_type(ids)))
        X["tags"] = pd.arrays.ArrowExtensionArray(lists)
    with config_context(transform_output=output):
        out = HistoryEncoder(counts=["item_id"]).fit_transform(X)
    expected = library if output == "default" else output
    assert isinstance(out, pl.DataFrame if expected == "polars" else pd.DataFrame)
    table = out.to_arrow() if isinstance(out, pl.DataFrame) else pa.Table.from_pandas(out)
    found = {name: table[name].to_pylist() for name in table.column_names}
    assert found["item_id"] == ids
    assert found["tags"] == columns["tags"]
    assert found["seen"] == columns["seen"]
    assert found["hist_item_id"] == [[], [first], [first], []]
    assert found["n_item_id"] == [0, 0, 0, 0]


def test_history_encoder_lists_hashes_of_objects():
    ids = pd.Series([2**63 + 1, 2**63 + 2, None], dtype=object)
    log = pd.DataFrame({"user_id": "a", "item_id": ids, "timestamp": [1, 2, 3]})
    for output in ("pandas", "polars"):
        out = HistoryEncoder().set_output(transform=output).fit_transform(log)
        lists = [list(cell) for cell in out["hist_item_id"].to_list()]
        assert lists == [[], [2**63 + 1], [2**63 + 1, 2**63 + 2]]
        assert out["item_id"].to_list()[:2] == [2**63 + 1, 2**63 + 2]
    with pytest.raises(TypeError, match=r"'item_id' of events .* no type of 64 bits"):
        HistoryEncoder().fit(log.assign(item_id=pd.Series([2**63 + 1, -1, 0], dtype=object)))


def test_feature_encoder_writes_every_digit():
    for kind, ids in IDS.items():
        X = LAYOUTS["nullable"](ids)
        for output in ("default", "pandas", "polars"):
            encoder = FeatureEncoder(categorical_features=["id"]).set_output(transform=output)
            out = encoder.fit_transform(X)
            texts = list(out[:, 0] if output == "default" else out["id"])
            texts = [None if text != text else text for text in texts]
            assert texts == [None if one is None else str(one) for one in ids], kind


def test_a_model_tells_near_ids_apart_from_any_container():
    ids = IDS["unsigned"]
    X, y = pd.DataFrame({"id": pd.array(ids * 30, dtype="UInt64")}), [0, 1, 0, 1] * 30
    model = FMClassifier(categorical_features=["id"], max_epochs=30, lr=0.05, random_state=0)
    p = model.fit(X, y).predict_proba(X[:4])[:, 1]
    assert p[1] - p[0] > 0.5
    for layout in ("objects with NaN", "Polars", "Arrow", "an Arrow table", "Polars 128"):
        np.testing.assert_array_equal(model.predict_proba(LAYOUTS[layout](ids))[:, 1], p, layout)


def test_a_vocabulary_of_python_integers():
    ids = [1, 2**63, 5, None, 2**63 + 1, 2**70]
    for column in (ids, tuple(ids), pd.Series(ids, dtype=object), np.array(ids, dtype=object)):
        vocabulary = Vocabulary().fit(column)
        assert vocabulary.values.tolist() == [1, 5, 2**63, 2**63 + 1, 2**70]
        assert vocabulary.transform(column).tolist() == [2, 4, 3, 0, 5, 6]
    unsigned = np.array(ids[:3], dtype=np.uint64)
    assert vocabulary.transform(unsigned).tolist() == [2, 4, 3]
    assert vocabulary.transform(unsigned.astype(">u8")).tolist() == [2, 4, 3]
