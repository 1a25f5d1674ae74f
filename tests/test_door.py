"""What any data frame meets at the door: a clear answer, and the same one however it is asked.

Frames are drawn: columns of one meaning (numbers, ids, lists, things that no model reads) in one of
the many layouts that pandas, Arrow and Polars have for it. A model either refuses them by the
column's name, or gives probabilities that depend on nothing but the values.

For a long run by hand, on one core, with new draws each time::

    SK_ADREC_FUZZ=20000 OMP_NUM_THREADS=1 python -m pytest tests/test_door.py
"""

import contextlib
import datetime
import decimal
import enum
import fractions
import os
import pickle
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier

from sk_adrec import FMClassifier, GBDTLRClassifier
from sk_adrec.preprocessing._log_encoder import FEW_ROWS, LogEncoder

BY_HAND = int(os.environ.get("SK_ADREC_FUZZ", 0))
pytestmark = [pytest.mark.filterwarnings("ignore:.*:UserWarning")]
if BY_HAND:
    pytestmark.append(pytest.mark.timeout(0))


def drawn(n_examples):
    """Settings of a test: the same draws at each run, or many new ones by hand."""
    return settings(
        max_examples=BY_HAND or n_examples,
        derandomize=not BY_HAND,
        database=None,
        deadline=None,
        phases=[Phase.generate] if BY_HAND else list(Phase),  # frames as drawn can be read
        suppress_health_check=list(HealthCheck),
    )


# ---- what a column means, and how it may be stored -----------------------------------------------

BIG = 2**53
HUGE = 2**63


class Text(enum.StrEnum):
    A = "a"


class Number(enum.IntEnum):
    FIVE = 5


CELLS = {
    "ints": st.integers(-3, 3),
    "ids": st.sampled_from([1, 2, 5, BIG, BIG + 1, -BIG - 1]),
    "hashes": st.sampled_from([1, 5, HUGE, HUGE + 1, 2**64 - 1]),
    "floats": st.integers(-6, 6).map(lambda k: k / 4) | st.sampled_from([1e30, -1e-30]),
    "fractions": st.sampled_from([0.5, 1.0, 2.25, 1e300]),
    "bools": st.booleans(),
    "text": st.sampled_from(["a", "b", "é", "", "5", "<unknown>", "nan"]),
    "broken text": st.sampled_from(["a", "\ud83d", "b\udc00"]),
    "lists": st.lists(st.sampled_from(["a", "b", "5", None]), max_size=3),
    "lists of ids": st.lists(st.sampled_from([1, 5, BIG + 1, None]), max_size=3),
    "lists of hashes": st.lists(st.sampled_from([1, HUGE + 1, None]), max_size=3),
    "lists of floats": st.lists(st.sampled_from([0.5, 2.0, None]), max_size=3),
    "dates": st.dates(datetime.date(2020, 1, 1), datetime.date(2020, 1, 9)),
    "times": st.datetimes(datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 9)),
    "durations": st.integers(0, 3).map(lambda days: datetime.timedelta(days)),
    "bytes": st.sampled_from([b"a", b"5"]),
    "structs": st.sampled_from([{"a": 1}, {"a": 2}]),
    "anything": st.sampled_from(
        [
            "a", 5, 5.0, True, np.float32(0.5), np.int8(5), np.str_("a"), decimal.Decimal(5),
            decimal.Decimal("0.5"), decimal.Decimal("NaN"), fractions.Fraction(5), 5 + 0j,
            np.complex64(5), np.timedelta64(5, "s"), np.datetime64("2020-01-01"), Text.A,
            Number.FIVE, b"a", ("a", 5), ["a"], [], [["a"]], [5, "a"], {"a"}, {"a": 5}, object,
            np.array(["a"]), np.array([5.0]), np.array(5), np.ones((2, 2)), HUGE, 10**400, np.inf,
            np.nan, np.float32("nan"), pd.NA, pd.NaT, pd.Timestamp("2020-01-01"),
            datetime.date(2020, 1, 1), pd.Interval(0, 1), "\ud83d",
        ]
    ),
}  # fmt: skip
# Named in categorical_features.
NUMBERS_AS_IDS = ("ids", "hashes", "fractions")


@dataclass(frozen=True)
class Layout:
    """A way to store cells as a column."""

    name: str
    build: Callable[[list], Any] = field(repr=False)


def arrow(kind, convert=None):
    def build(cells):
        array = pa.array(cells, kind)
        return pd.Series(
            pd.arrays.ArrowExtensionArray(array if convert is None else convert(array))
        )

    return Layout(f"{kind} of Arrow{'' if convert is None else f', {convert.__name__}'}", build)


def run_ends(array):
    return pc.run_end_encode(array)


def dictionary(array):
    return array.dictionary_encode()


def numpy(dtype):
    """Numbers of a type that is exact; missing ones where it has NaN."""

    def build(cells):
        given = [np.nan if cell is None else cell for cell in cells]
        array = np.array(given, dtype)
        if None in cells and array.dtype.kind != "f":
            raise ValueError("no missing values")
        if any(number != cell for number, cell in zip(array.tolist(), given) if cell == cell):
            raise ValueError("rounded")
        return pd.Series(array)

    return Layout(f"{dtype} of numpy", build)


def typed(dtype):
    def build(cells):
        series = pd.Series(cells, dtype=dtype)
        if any(value != cell for value, cell in zip(series, cells) if cell is not None):
            raise ValueError("rounded")  # some integers of 2**63 and more go through floats
        return series

    return Layout(f"{dtype!r} of pandas", build)


def objects(missing=None, cell=lambda value: value):
    def build(cells):
        out = [missing if value is None else cell(value) for value in cells]
        return pd.Series(np.fromiter(out, dtype=object, count=len(out)))

    return Layout(f"objects, {missing} for missing", build)


def build_categories(cells):
    present = list(dict.fromkeys(cell for cell in cells if cell is not None))
    return pd.Series(pd.Categorical(cells, categories=pd.Index(present[::-1], dtype=object)))


categories = Layout("categories", build_categories)


def polars(dtype):
    return Layout(f"{dtype} of Polars", lambda cells: pl.Series(values=cells, dtype=dtype))


OBJECTS = [objects(), objects(np.nan), objects(pd.NA)]
TEXT = [
    *OBJECTS, typed("str"), typed("string"), typed(pd.StringDtype("python")), arrow(pa.string()),
    arrow(pa.large_string()), arrow(pa.string_view()), arrow(pa.string(), run_ends),
    categories, arrow(pa.string(), dictionary),
]  # fmt: skip
INTEGERS = [
    *OBJECTS, typed("Int64"), arrow(pa.int64()), numpy("int64"), numpy(">i8"), numpy("int8"),
    numpy("float64"), arrow(pa.decimal128(38, 0)), arrow(pa.int64(), run_ends),
]  # fmt: skip
LISTS = [
    *OBJECTS, objects(cell=tuple), objects(cell=lambda cell: np.array(cell, dtype=object)),
]  # fmt: skip
# By meaning: the layouts of pandas, and those of Polars and Arrow tables.
PANDAS = {
    "ints": INTEGERS,
    "ids": INTEGERS,
    "hashes": [*OBJECTS, typed("UInt64"), arrow(pa.uint64()), numpy("uint64"),
               arrow(pa.decimal128(38, 0))],
    "floats": [*OBJECTS, numpy("float64"), numpy("float32"), numpy(">f8"), typed("Float64"),
               arrow(pa.float64()), numpy(np.longdouble)],
    "fractions": [*OBJECTS, numpy("float64"), typed("Float64"), arrow(pa.float64())],
    "bools": [*OBJECTS, numpy("bool"), typed("boolean"), arrow(pa.bool_())],
    "text": TEXT,
    "broken text": [*OBJECTS, typed(pd.StringDtype("python")), categories],
    "lists": [*LISTS, arrow(pa.list_(pa.string())), arrow(pa.large_list(pa.large_string())),
              arrow(pa.list_view(pa.string())), arrow(pa.list_(pa.string_view()))],
    "lists of ids": [*LISTS, arrow(pa.list_(pa.int64())), arrow(pa.list_view(pa.int64()))],
    "lists of hashes": [*LISTS, arrow(pa.list_(pa.uint64()))],
    "lists of floats": [*LISTS, arrow(pa.list_(pa.float64()))],
    "dates": [objects(), arrow(pa.date32())],
    "times": [typed("datetime64[ns]"), objects(pd.NaT), arrow(pa.timestamp("us"))],
    "durations": [typed("timedelta64[ns]"), objects(), arrow(pa.duration("s"))],
    "bytes": [objects(), arrow(pa.binary())],
    "structs": [objects(), arrow(pa.struct([("a", pa.int64())]))],
    "anything": OBJECTS,
}  # fmt: skip
POLARS = {
    "ints": [polars(pl.Int64), polars(pl.Int128), polars(pl.Int8), polars(pl.Float64)],
    "ids": [polars(pl.Int64), polars(pl.Int128)],
    "hashes": [polars(pl.UInt64), polars(pl.Int128)],
    "floats": [polars(pl.Float64)],
    "fractions": [polars(pl.Float64)],
    "bools": [polars(pl.Boolean)],
    "text": [polars(pl.String), polars(pl.Categorical), polars(pl.Object)],
    "lists": [polars(pl.List(pl.String)), polars(pl.List(pl.Categorical))],
    "lists of ids": [polars(pl.List(pl.Int64)), polars(pl.List(pl.Int128))],
    "lists of hashes": [polars(pl.List(pl.UInt64))],
    "lists of floats": [polars(pl.List(pl.Float64))],
    "dates": [polars(pl.Date)],
    "times": [polars(pl.Datetime("us"))],
    "durations": [polars(pl.Duration("us"))],
    "bytes": [polars(pl.Binary)],
    "structs": [polars(pl.Struct({"a": pl.Int64}))],
}
# What says what it is only in a request, since in fit a category is an id, and a float a number.
ASKED = {
    "ints": [categories, arrow(pa.int64(), dictionary)],
    "ids": [categories],
    "floats": [categories],
    "bools": [categories],
}
NO_MEANING = ("dates", "times", "durations", "bytes", "structs", "anything")


class Asked(NamedTuple):
    """How a table is laid out: by which library, and each column."""

    container: str
    columns: list

    def frame(self, names, cells):
        """A table of the cells of each column; None where the layout cannot hold them."""
        errors = (ValueError, TypeError, OverflowError, pa.ArrowException)
        with contextlib.suppress(*errors, pl.exceptions.PolarsError):
            built = [layout.build(part) for layout, part in zip(self.columns, cells)]
            if self.container == "pandas":
                return pd.DataFrame(dict(zip(names, built)))
            if self.container == "array":
                rows = np.empty((len(built[0]), len(built)), dtype=object)
                for position, column in enumerate(built):
                    rows[:, position] = column
                return rows
            table = pl.DataFrame([column.rename(name) for name, column in zip(names, built)])
            if self.container == "arrow" and pl.Object in table.dtypes:
                return None  # Arrow would hold the addresses
            return table if self.container == "polars" else table.to_arrow()
        return None


@st.composite
def layouts(draw, meanings, in_fit=False):
    """A way to lay out columns of these meanings."""
    containers = ["pandas"] * 4 + ["array"]
    if all(meaning in POLARS for meaning in meanings):
        containers += ["polars"] * 2 + ["arrow"]
    if in_fit:
        containers.remove("array")  # which has no names
    container = draw(st.sampled_from(containers))

    def choices(meaning):
        if container == "array":
            return OBJECTS
        known = (PANDAS if container == "pandas" else POLARS)[meaning]
        return known if in_fit or container != "pandas" else [*known, *ASKED.get(meaning, [])]

    return Asked(container, [draw(st.sampled_from(choices(meaning))) for meaning in meanings])


def cells_of(meaning, n_min, n_max):
    """Cells of one meaning, some missing; once in a while all."""
    cell = st.none() | CELLS[meaning] | CELLS[meaning]
    some = st.lists(cell, min_size=n_min, max_size=n_max)
    return some | some | some | st.lists(st.none(), min_size=n_min, max_size=n_max)


def refusal(error, names):
    """The text of an error of this library that names a column; any other error is raised."""
    text = str(error)
    named = any(repr(name) in text for name in names) or re.search(r"Column \d", text)
    if type(error) not in (ValueError, TypeError) or not named:
        raise error
    return text


# ---- one value has one meaning in any number of rows ---------------------------------------------


def fitted_encoders():
    def fit(column, **parameters):
        return LogEncoder(dtype="float64", **parameters).fit(pd.DataFrame({"c": column}))

    as_ids = {"categorical_features": ["c"]}
    nothing = pd.Series([None, None], dtype=object)
    return {
        "numbers": fit([1.0, 5.0, None]),
        "ids": fit([1, 5, BIG + 1, -3], **as_ids),
        "hashes": fit(pd.array([5, HUGE + 1, None], dtype="UInt64"), **as_ids),
        "fractions": fit([0.5, 2.25, None], **as_ids),
        "text": fit(["a", "5", None]),
        "both": fit(pd.Series(["a", 5, None], dtype=object)),
        "broken text": fit(pd.Series(["a", "\ud83d"], dtype=object)),
        "categories of days": fit(pd.Categorical(pd.to_datetime(["2020-01-01", "2020-01-02"]))),
        "lists": fit([["a", "5"], []]),
        "lists of ids": fit([[5, BIG + 1], []]),
        "no type": fit(nothing),
        "no ids": fit(nothing, **as_ids),
        "no text": fit(pd.Series([None, None], dtype="str")),
        "no lists": fit(arrow(pa.list_(pa.string())).build([None, None])),
    }


ENCODERS = fitted_encoders()


def outcome(encoder, X, n):
    """What comes of the first n rows, or the error, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            encoded = encoder.transform(X).take(slice(0, n))
            found = encoded.numeric.tolist(), encoded.categorical.tolist()
            for ragged in encoded.sequences.values():
                found += (ragged.values.tolist(), ragged.offsets.tolist())
        except Exception as error:
            found = refusal(error, ["c"])
    return found, [str(warning.message) for warning in caught]


@drawn(500)
@given(data=st.data())
def test_the_number_of_rows_says_nothing(data):
    meaning = data.draw(st.sampled_from(sorted(CELLS)), label="meaning")
    cells = data.draw(cells_of(meaning, 1, 3), label="cells")
    layout = data.draw(layouts([meaning]), label="layout")
    fitted = data.draw(st.sampled_from(sorted(ENCODERS)), label="fitted on")
    encoder, n = ENCODERS[fitted], len(cells)
    many = FEW_ROWS // n + 1
    few, most = (layout.frame(["c"], [cells * times]) for times in (1, many))
    if few is None or most is None:
        return
    expected = outcome(encoder, few, n)
    note(f"{expected}")
    assert outcome(encoder, most, n) == expected
    longest = layout.frame(["c"], [(cells * many)[:FEW_ROWS]])
    if longest is not None:
        assert outcome(encoder, longest, n) == expected


N = 100
FITS = {
    "numbers": pd.Series([1, 2, 3, 5, 4] * 20),
    "text": pd.Series(list("abcab") * 20),
    "lists": pd.Series([["a"], ["b", "c"]] * 50),
}
NOTHING = {
    "str": typed("str"),
    "category": categories,
    "Int64": typed("Int64"),
    "lists of Arrow": arrow(pa.list_(pa.string())),
    "times": typed("datetime64[ns]"),
    "bytes": arrow(pa.binary()),
    "structs": arrow(pa.struct([("a", pa.int64())])),
    "Null": Layout("Null", lambda cells: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells)))),
}
SAME = {
    "numbers": [categories, arrow(pa.int64(), dictionary), arrow(pa.decimal128(5, 1))],
    "text": [categories, arrow(pa.string(), dictionary), arrow(pa.string_view())],
    "lists": [arrow(pa.list_view(pa.string())), objects(cell=tuple)],
}


@pytest.mark.parametrize("fitted", FITS)
def test_up_to_64_rows_and_more_are_read_alike(fitted):
    X = pd.DataFrame({"c": FITS[fitted], "x": 0.0})
    model = FMClassifier(max_epochs=1, random_state=0).fit(X, [0, 1] * (N // 2))
    value = FITS[fitted].tolist()[2]
    usual = model.predict_proba(X[2:3])
    missing = model.predict_proba(pd.DataFrame({"c": objects().build([None]), "x": 0.0}))
    cases = [(layout, value, usual) for layout in SAME[fitted]]
    cases += [(layout, None, missing) for layout in NOTHING.values()]
    for layout, cell, expected in cases:
        for n in (1, FEW_ROWS, FEW_ROWS + 1):
            p = model.predict_proba(pd.DataFrame({"c": layout.build([cell] * n), "x": 0.0}))
            np.testing.assert_allclose(p, np.repeat(expected, n, axis=0), rtol=1e-6)


# ---- a model answers, or refuses by name ---------------------------------------------------------

NAMES = ["price", "item_id", "hist"]
# Lists that share the ids of another column.
SHARED = {"text": "lists", "ids": "lists of ids", "hashes": "lists of hashes"}


class Log(NamedTuple):
    """Columns as drawn, and the model to fit on them."""

    names: list
    meanings: list
    cells: list
    share: dict
    weight: np.ndarray | None
    is_boosted: bool

    def fit(self, layout):
        """A model fitted on one layout of the log; None where it is refused or cannot be."""
        X = layout.frame(self.names, self.cells)
        if X is None:
            return None
        note(f"fit on {layout} of {self.cells}, share {self.share}, {self.weight}")
        ids = [n for n, meaning in zip(self.names, self.meanings) if meaning in NUMBERS_AS_IDS]
        shared = {"categorical_features": ids, "share_vocabulary": self.share, "random_state": 0}
        if self.is_boosted:
            trees = LGBMClassifier(n_estimators=3, min_child_samples=2, n_jobs=1, verbose=-1)
            model = GBDTLRClassifier(trees, early_stopping=False, **shared)
        else:
            model = FMClassifier(embedding_dim=2, max_epochs=1, **shared)
        y = np.arange(len(self.cells[0])) % 2
        return self.answer(model.fit, X, y, self.weight)

    def answer(self, method, *arguments):
        """What a method returns, or None where it refuses; no refusal without a column's name."""
        try:
            return method(*arguments)
        except Exception as error:
            note(f"refused: {refusal(error, self.names)}")
            return None


@st.composite
def logs(draw):
    readable = [meaning for meaning in CELLS if meaning not in NO_MEANING]
    names = NAMES[: draw(st.integers(1, 3))]
    meanings = [
        draw(st.sampled_from(readable if draw(st.integers(0, 9)) else sorted(CELLS))) for _ in names
    ]
    share = {}
    if len(names) > 1 and meanings[0] in SHARED and draw(st.booleans()):
        meanings[1] = SHARED[meanings[0]]
        share = {names[1]: names[0]}
    n = draw(st.integers(4, 12))
    cells = [draw(cells_of(meaning, n, n)) for meaning in meanings]
    weight = draw(st.none() | st.just(np.where(np.arange(n) < 2, 0.0, 1.0)))
    return Log(names, meanings, cells, share, weight, draw(st.integers(0, 4)) == 0)


CLOSE = {"rtol": 1e-5, "atol": 1e-7}


@drawn(250)
@given(data=st.data())
def test_a_model_answers_alike_however_it_is_asked(data):
    draw = data.draw
    log = draw(logs())
    model = log.fit(draw(layouts(log.meanings, in_fit=True)))
    if model is None:
        return
    asked = [
        meaning if draw(st.integers(0, 5)) else draw(st.sampled_from(sorted(CELLS)))
        for meaning in log.meanings
    ]
    m = draw(st.sampled_from([1, 2, 5]))
    cells = [draw(cells_of(meaning, m, m)) for meaning in asked]
    layout = draw(layouts(asked))
    X = layout.frame(log.names, cells)
    if X is None:
        return
    note(f"ask of {layout}: {cells}")
    p = log.answer(model.predict_proba, X)
    check_rows_alone(log, model, layout, cells, p)
    if p is None:
        return
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), p)
    others = [
        (layout, [part * 65 for part in cells], slice(0, m)),
        (layout, [part[::-1] for part in cells], slice(None, None, -1)),
        (draw(layouts(asked)), cells, slice(None)),
    ]
    for other, parts, rows in others:
        if (same := other.frame(log.names, parts)) is not None:
            note(f"ask of {other}: {parts}"[:999])
            np.testing.assert_allclose(model.predict_proba(same)[rows], p, **CLOSE)
    # Where all are missing, the layout alone says what the column is.
    if all(any(cell is not None for cell in part[2:]) for part in log.cells):
        again = log.fit(draw(layouts(log.meanings, in_fit=True)))
        if again is not None:
            np.testing.assert_allclose(again.predict_proba(X), p, **CLOSE)


def check_rows_alone(log, model, layout, cells, p):
    """Each row is answered as among the others; one of them is refused if all together are."""
    rows = [[part[k : k + 1] for part in cells] for k in range(len(cells[0]))]
    frames = [layout.frame(log.names, row) for row in rows]
    answers = [log.answer(model.predict_proba, one) for one in frames if one is not None]
    if len(answers) < len(rows):
        return
    if p is None:
        assert any(one is None for one in answers)
        return
    for one, expected in zip(answers, p):
        np.testing.assert_allclose(one[0], expected, **CLOSE)
