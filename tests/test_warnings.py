"""Every warning of the library points at the line of the user's code that led to it."""

import ast
import functools
import inspect
import linecache
import sys
import threading
import unittest
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline

import sk_adrec
from sk_adrec import (
    DINClassifier,
    DownsampledClassifier,
    EASERetriever,
    ESMMEstimator,
    FeatureEncoder,
    FMClassifier,
    GBDTLRClassifier,
    HistoryEncoder,
    HSTUNextItem,
    ItemCF,
    TimeSplit,
    TopKCurveDisplay,
    TwoTowerRetriever,
    _warnings,
    metrics,
)
from sk_adrec.multitask import funnel_target
from sk_adrec.preprocessing import _log_encoder
from sk_adrec.ranking import OnlineLogisticRegression
from sk_adrec.utils import estimator_checks

PACKAGE = Path(sk_adrec.__file__).parent
QUICK = {"embedding_dim": 2, "max_epochs": 1, "batch_size": 64, "random_state": 0}
STAGES = ["seen", "click", "purchase"]

CASES = {}


def case(message):
    """A function whose call warns once of `message`, a part of the text."""

    def add(function):
        CASES[function.__name__] = message, function
        return function

    return add


# ---- numbers, ids and lists ----------------------------------------------------------------------


@case("holds integers with at least")
def numbers_that_are_ids():
    FMClassifier(**QUICK).fit(pd.DataFrame({"user": np.arange(1200)}), np.arange(1200) % 2)


@case("different ids in")
def strings_that_are_no_ids():
    FMClassifier(**QUICK).fit(times_as_text(1200), np.arange(1200) % 2)


@case("different ids in")
def strings_that_are_no_ids_in_threads():
    with mock.patch.multiple(_log_encoder, _MANY_VALUES=0, _N_THREADS=2):
        FMClassifier(**QUICK).fit(times_as_text(1200), np.arange(1200) % 2)


@case("had no value in fit and has some now")
def values_of_a_column_without_any_in_fit():
    X = pd.DataFrame({"promo": pd.Series([None] * 40, dtype=object), "price": range(40)})
    model = FMClassifier(**QUICK).fit(X, np.arange(40) % 2)
    model.predict_proba(pd.DataFrame({"promo": ["spring"], "price": [1]}))


@case("had no value in fit and has some now")
def features_of_a_column_without_any_in_fit():
    X = pd.DataFrame({"promo": pd.Series([None] * 40, dtype=object)})
    FeatureEncoder().fit(X).transform(pd.DataFrame({"promo": [["a"]]}))


@case("holds numbers where fit saw strings")
def ids_of_another_type():
    ranker().predict_proba(pd.DataFrame({"user": range(100)}))


@case("holds numbers where fit saw strings")
def ids_of_another_type_in_threads():
    model = ranker()
    with mock.patch.multiple(_log_encoder, _MANY_VALUES=0, _N_THREADS=2):
        model.predict_proba(pd.DataFrame({"user": range(100)}))


@case("holds numbers where fit saw strings")
def ids_of_another_type_for_the_next_step():
    encoder = FeatureEncoder().set_output(transform="pandas").fit(pd.DataFrame({"user": ["a"]}))
    encoder.transform(pd.DataFrame({"user": [5]}))


@case("holds numbers where fit saw strings")
def users_of_another_type():
    ItemCF().fit(pairs()).recommend([5])


@case("as if their unit were another")
def times_of_another_unit():
    log = pairs().assign(time=range(1_700_000_000, 1_700_000_000 + len(pairs())))
    encoder = HistoryEncoder(time="time", attributes=["item_id"]).fit(log)
    encoder.transform(log.assign(time=log["time"] * 1000))


@case("events have no")
def events_without_a_time():
    HistoryEncoder(time="time", attributes=["item_id"]).fit(pairs().assign(time=None))


@case("holds days without a time of day")
def events_by_day():
    events = pairs().assign(time=pd.Timestamp("2026-01-01"))
    X = pairs().assign(time=pd.Timestamp("2026-01-02 10:00"))
    HistoryEncoder(time="time", attributes=["item_id"]).fit(X, events=events)


def times_as_text(n):
    return pd.DataFrame({"time": [f"2026-01-01 {k}" for k in range(n)]})


@functools.cache
def ranker():
    return FMClassifier(**QUICK).fit(pd.DataFrame({"user": ["a", "b"] * 5}), [0, 1] * 5)


def pairs():
    return pd.DataFrame({"user_id": list("uuvvw"), "item_id": list("abacb")})


# ---- rankers and multi-task ----------------------------------------------------------------------


@case("predicting the base rate for every row would give")
def worse_than_constant():
    X, y = pd.DataFrame({"user": ["a", "b"] * 50}), np.array([0, 1] * 50)
    FMClassifier(random_state=0, lr=0.1).fit(X, y, X_val=X, y_val=1 - y)


@case("monotone_constraints of gbdt bind the trees")
def constraints_of_the_trees_alone():
    X = pd.DataFrame({"x": np.arange(60) % 7})
    GBDTLRClassifier(LGBMClassifier(n_estimators=2, mc=[1])).fit(X, np.arange(60) % 2)


@case("is averaged without attention")
def history_of_nothing():
    X = pd.DataFrame({"item": ["a", "b"] * 5, "tags": [["s", "t"]] * 10})
    DINClassifier(**QUICK).fit(X, [0, 1] * 5)


@case("about 1 / data_negative_rate")
def weights_near_the_rate():
    y = np.arange(100) % 2
    weight = np.where(y == 1, 1.0, 4.0) * np.linspace(0.9, 1.1, 100)
    model = DownsampledClassifier(LogisticRegression(), data_negative_rate=0.25)
    model.fit(np.random.default_rng(0).normal(size=(100, 2)), y, sample_weight=weight)


@case("has not converged after 2 iterations")
def too_few_iterations():
    X = np.random.default_rng(0).normal(size=(200, 20))
    OnlineLogisticRegression(C=1e3, tol=1e-12, max_iter=2).fit(X, X @ np.arange(20) > 0)


@case("text without an order of its own")
def stages_as_text():
    X = pd.DataFrame({"user": ["a", "b"] * 30})
    ESMMEstimator(**QUICK, early_stopping=True).fit(X, STAGES * 20)


@case("text without an order of its own")
def stages_as_text_to_columns():
    funnel_target(STAGES, to="columns")


@case("the loss leaves unknown labels out")
def unknown_where_not_clicked():
    X = pd.DataFrame({"user": ["a", "b", "c"] * 20})
    ESMMEstimator(**QUICK).fit(X, [[0, np.nan], [1, 0], [1, 1]] * 20)


# ---- retrieval -----------------------------------------------------------------------------------


@case("is read by position")
def roles_by_position():
    EASERetriever().fit(np.array([[1, 5], [1, 6], [2, 5]]))


@case("are read as the user's")
def halves_by_position():
    TwoTowerRetriever(**QUICK).fit(np.array([[1, 5], [1, 6], [2, 5]] * 10))


@case("score is 0: X holds no pair")
def all_pairs_seen():
    ItemCF().fit(pairs()).score(pairs())


@case("score is 0: X holds no pair")
def all_pairs_seen_by_a_scorer():
    metrics.make_topk_scorer("ndcg", k=2)(ItemCF().fit(pairs()), pairs())


@case("the curves are 0: X holds no pair")
def all_pairs_seen_by_a_curve():
    TopKCurveDisplay.from_estimators({"ItemCF": ItemCF().fit(pairs())}, pairs(), ks=2)


# ---- next item -----------------------------------------------------------------------------------


@case("no list column, so its 2 columns are read as the items")
def items_by_position():
    next_item().fit(pd.DataFrame({"first": [1, 2], "second": [2, 1]}), [1, 2])


@case("the times in 't' descend")
def descending_times():
    X = pd.DataFrame({"h": [["a", "b"]] * 5, "t": [[9.0, 1.0]] * 5})
    next_item(history="h", history_time="t").fit(X, ["a", "b", "c", "a", "b"])


@case("look like prefixes")
def prefixes():
    items = np.random.default_rng(0).integers(0, 200, (30, 12)).astype(str).tolist()
    rows = [(row[:k], row[k]) for row in items for k in range(1, 12)]
    X = pd.DataFrame({"h": [row for row, _ in rows]})
    next_item(early_stopping=False).fit(X, [item for _, item in rows])


@case("held-out items occurs in the training rows")
def held_out_items_unknown():
    X = pd.DataFrame({"h": [["a", "b"], ["b"]] * 5})
    next_item().fit(X, ["c", "a"] * 5, X_val=X[:2], y_val=["x", "y"])


@case("of the held-out items occur in their own history")
def held_out_items_repeat():
    X = pd.DataFrame({"h": [["a", "b"]] * 30})
    next_item(early_stopping=True).fit(X, ["a", "b"] * 15)


def next_item(**params):
    return HSTUNextItem(**{**QUICK, **params})


# ---- metrics, splits, checks ---------------------------------------------------------------------


@case("The calibration ratio is undefined")
def nothing_observed():
    metrics.calibration_ratio([0, 0], [0.1, 0.2])


@case("GAUC is undefined")
def groups_of_one_class():
    metrics.gauc_score([0, 1], [0.1, 0.2], ["a", "b"])


@case("novelty is undefined")
def nothing_recommended():
    metrics.novelty_at_k([[], []], [1, 2], 3)


@case("recall at 2 is undefined")
def nothing_relevant():
    metrics.recall_at_k([[1]], [[]], 2)


@case("TimeSplit does not look at groups")
def groups_of_a_time_split():
    list(TimeSplit(0, n_splits=1).split(np.arange(9)[:, None], groups=np.arange(9)))


@case("skipped: no polars")
def a_skipped_check():
    def skipped(estimator):
        raise unittest.SkipTest("no polars")

    with mock.patch.object(estimator_checks, "yield_checks", return_value=[skipped]):
        estimator_checks.check_estimator(FMClassifier())


# ---- the tests -----------------------------------------------------------------------------------


def record(function):
    """(Line of the package that warned, warning) for each warning of the library in a call."""
    found = []
    emit = warnings.warn

    def listen(message, category=None, stacklevel=1, **options):
        frame = sys._getframe(1)
        emit(message, category, stacklevel + 1, **options)
        if frame.f_code is _warnings.warn.__code__:
            site = frame.f_back
            found.append(((site.f_code.co_filename, site.f_lineno), caught[-1]))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with mock.patch.object(warnings, "warn", listen):
            function()
    return found


@functools.cache
def record_case(name):
    return record(CASES[name][1])


@pytest.mark.parametrize("name", CASES)
def test_a_warning_points_at_the_line_that_led_to_it(name):
    message, function = CASES[name]
    ((_, warning),) = record_case(name)
    assert message in str(warning.message)
    assert warning.filename == __file__
    lines, first = inspect.getsourcelines(function)
    assert first < warning.lineno < first + len(lines)


def sites(path):
    """First and last line of each call of `warn` in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [
        (node.lineno, node.end_lineno)
        for node in calls
        if ast.unparse(node.func).split(".")[-1] == "warn"
    ]


def test_every_warning_of_the_library_has_a_case_above():
    reached = {site for name in CASES for site, _ in record_case(name)}
    missing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == Path(_warnings.__file__):
            continue
        for first, last in sites(path):
            if not any(file == str(path) and first <= line <= last for file, line in reached):
                missing.append(f"{path.relative_to(PACKAGE)}:{first}")
    assert not missing


def test_nothing_but_warn_warns():
    for path in PACKAGE.rglob("*.py"):
        if path != Path(_warnings.__file__):
            text = path.read_text(encoding="utf-8")
            assert "warnings.warn(" not in text, path
            assert "warn_explicit(" not in text, path


def test_a_doctest_of_the_library_is_a_users_code():
    code = compile(
        "gauc_score([0, 1], [0.1, 0.2], [1, 2])", "<doctest sk_adrec.metrics[0]>", "exec"
    )
    names = {"__name__": "sk_adrec.metrics", "gauc_score": metrics.gauc_score}
    ((_, warning),) = record(lambda: exec(code, names))
    assert warning.filename == code.co_filename


def test_a_thread_without_a_line_of_the_users():
    def call():
        thread = threading.Thread(target=metrics.gauc_score, args=([0, 1], [0.1, 0.2], [1, 2]))
        thread.start()
        thread.join()

    ((_, warning),) = record(call)
    assert warning.filename == threading.__file__


# Scikit-learn's frames lie between.
X_TEXT, Y_TEXT = times_as_text(2400), np.arange(2400) % 2
THROUGH = {
    "pipeline": lambda model: make_pipeline("passthrough", model).fit(X_TEXT, Y_TEXT),
    "search": lambda model: GridSearchCV(model, {"l2": [0.0]}, cv=2).fit(X_TEXT, Y_TEXT),
    "folds": lambda model: cross_val_predict(model, X_TEXT, Y_TEXT, cv=2),
}


@pytest.mark.parametrize("way", THROUGH)
def test_through_scikit_learn(way):
    found = record(lambda: THROUGH[way](FMClassifier(**QUICK)))
    assert found
    for _, warning in found:
        assert "different ids in" in str(warning.message)
        assert warning.filename == __file__
        assert f'"{way}": lambda model' in linecache.getline(__file__, warning.lineno)
