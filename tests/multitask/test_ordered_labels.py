"""An order that the dtype of labels has is the order of the funnel."""

import pickle
import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score

from sk_adrec import ESMMEstimator, FMClassifier
from sk_adrec._hyperparameters import hyperparameters
from sk_adrec.metrics import make_funnel_scorer
from sk_adrec.multitask import funnel_target
from sk_adrec.multitask._base import BaseMultiTask
from sk_adrec.multitask._esmm import ESMM
from sk_adrec.multitask._relations import Independent

# The alphabet would turn it round.
ORDER = ["view", "click", "buy"]
SMALL = {"hidden_dims": (8,), "max_epochs": 1, "random_state": 0}
RNG = np.random.default_rng(0)
CODES = RNG.choice(3, 400, p=[0.7, 0.2, 0.1])
X = pd.DataFrame({"u": RNG.choice(list("abcdef"), 400)})
Y = np.array(ORDER)[CODES]


def pandas_categories(categories=ORDER, ordered=True):
    return pd.Series(pd.Categorical(Y, categories, ordered=ordered))


def arrow(ordered=True):
    codes = pa.array(CODES, pa.int8())
    return pa.DictionaryArray.from_arrays(codes, pa.array(ORDER), ordered=ordered)


ORDERED = {
    "series": pandas_categories,
    "categorical": lambda: pandas_categories().array,
    "index": lambda: pd.Index(pandas_categories()),
    "frame": lambda: pandas_categories().to_frame(),
    "with a category that does not occur": lambda: pandas_categories(
        ["nothing", "view", "click", "cart", "buy", "return"]
    ),
    "polars": lambda: pl.Series(Y, dtype=pl.Enum(ORDER)),
    "polars frame": lambda: pl.DataFrame({"y": pl.Series(Y, dtype=pl.Enum(ORDER))}),
    "arrow": lambda: arrow(),
    "arrow in chunks": lambda: pa.chunked_array([arrow()[:100], arrow()[100:]]),
    "arrow in pandas": lambda: pd.Series(pd.arrays.ArrowExtensionArray(arrow())),
}
UNORDERED = {
    "array": lambda: Y,
    "list": lambda: Y.tolist(),
    "strings": lambda: pd.Series(Y),
    "categories": lambda: pandas_categories(ordered=False),
    "polars": lambda: pl.Series(Y, dtype=pl.Categorical),
    "arrow": lambda: arrow(ordered=False),
}
quiet = pytest.mark.filterwarnings("error", "ignore:A column-vector y was passed")


@quiet
@pytest.mark.parametrize("kind", ORDERED)
def test_the_funnel_has_the_order_of_the_dtype(kind):
    y = ORDERED[kind]()
    model = ESMMEstimator(**SMALL).fit(X, y)
    named = ESMMEstimator(stages=ORDER, **SMALL).fit(X, Y)
    assert model.stage_names_ == ["click", "buy"]
    np.testing.assert_array_equal(model.classes_, ["buy", "click", "view"])
    np.testing.assert_array_equal(model.predict_proba(X), named.predict_proba(X))
    rates = model.predict_funnel(X)[["ctr", "ctcvr"]].mean()
    assert rates.to_numpy() == pytest.approx([(CODES > 0).mean(), (CODES > 1).mean()], rel=0.1)
    np.testing.assert_array_equal(funnel_target(y), CODES)
    np.testing.assert_array_equal(funnel_target(y, to="columns"), CODES[:, None] > [0, 1])


@quiet
@pytest.mark.parametrize("kind", ["series", "polars"])
def test_it_holds_where_rows_are_held_out_added_and_stored(kind):
    y = ORDERED[kind]()
    model = ESMMEstimator(early_stopping=True, **SMALL).fit(X, y)
    named = ESMMEstimator(early_stopping=True, stages=ORDER, **SMALL).fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), named.predict_proba(X))
    model.fit(X, y, X_val=X, y_val=y)
    named.fit(X, Y, X_val=X, y_val=Y)
    np.testing.assert_array_equal(model.predict_proba(X), named.predict_proba(X))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(X), named.predict_proba(X))
    model.partial_fit(X, Y), named.partial_fit(X, Y)
    np.testing.assert_array_equal(model.predict_proba(X), named.predict_proba(X))
    assert again.partial_fit(X, y).stage_names_ == ["click", "buy"]


@quiet
def test_the_first_partial_fit_reads_it():
    y, first = pandas_categories(), CODES < 2
    model = ESMMEstimator(**SMALL).partial_fit(X[first], y[first], classes=ORDER[::-1])
    assert model.stage_names_ == ["click", "buy"]
    with pytest.raises(ValueError, match=re.escape("['view', 'click', 'buy'], got 'return'")):
        ESMMEstimator(**SMALL).partial_fit(X, y, classes=[*ORDER, "return"])


@quiet
def test_stages_come_before_the_dtype():
    y = pandas_categories(["buy", "view", "click"])
    assert ESMMEstimator(stages=ORDER, **SMALL).fit(X, y).stage_names_ == ["click", "buy"]
    np.testing.assert_array_equal(funnel_target(y, stages=ORDER), CODES)


@quiet
def test_numbers_in_an_order_of_their_own():
    y = pd.Series(pd.Categorical(np.array([7, 3, 5])[CODES], [7, 3, 5], ordered=True))
    model = ESMMEstimator(**SMALL).fit(X, y)
    assert model.stage_names_ == ["3", "5"]
    np.testing.assert_array_equal(funnel_target(y), CODES)


@pytest.mark.parametrize("kind", UNORDERED)
def test_without_an_order_it_is_said(kind):
    with pytest.warns(UserWarning, match="text without an order of its own.*buy -> click -> view"):
        ESMMEstimator(**SMALL).fit(X, UNORDERED[kind]())
    with pytest.warns(UserWarning, match="text without an order of its own"):
        funnel_target(UNORDERED[kind]())


@quiet
def test_two_labels():
    y = pd.Series(pd.Categorical(np.where(CODES > 0, "click", "view"), ORDER, ordered=True))
    model = ESMMEstimator(**SMALL).fit(X, y)
    assert model.stage_names_ == ["click"]
    assert model.predict_funnel(X)["ctr"].mean() == pytest.approx((CODES > 0).mean(), rel=0.1)


@hyperparameters
class OneTask(BaseMultiTask):
    """Labels of a task of its own."""

    @property
    def _relation(self):
        return Independent()

    def _build_module(self, schema):
        return ESMM(schema, 4, [(4,)], "relu", 0.0)


@quiet
def test_the_task_is_the_later_label():
    y = pd.Series(pd.Categorical(np.where(CODES > 0, "click", "view"), ORDER, ordered=True))
    model = OneTask(max_epochs=1, random_state=0).fit(X, y)
    assert model.task_names_ == ["click"]
    assert model.predict_proba(X)[:, 0].mean() == pytest.approx((CODES > 0).mean(), rel=0.1)


# ---- scores ------------------------------------------------------------------------------


@quiet
@pytest.mark.parametrize("kind", ["series", "categorical", "polars"])
@pytest.mark.parametrize("metric", ["ctr_auc", "cvr_auc", "ctcvr_auc", "joint_log_loss"])
def test_scorers_read_it(kind, metric):
    model = ESMMEstimator(**SMALL).fit(X, ORDERED[kind]())
    expected = make_funnel_scorer(metric, stages=ORDER)(model, X, Y)
    assert make_funnel_scorer(metric)(model, X, ORDERED[kind]()) == expected
    unused = ORDERED["with a category that does not occur"]()
    assert make_funnel_scorer(metric)(model, X, unused) == expected


@quiet
def test_in_searches_and_folds():
    y, scorer = pandas_categories(), make_funnel_scorer("ctr_auc")
    model = ESMMEstimator(**SMALL)
    named = cross_val_score(ESMMEstimator(stages=ORDER, **SMALL), X, Y, scoring=scorer, cv=KFold(2))
    np.testing.assert_array_equal(cross_val_score(model, X, y, scoring=scorer, cv=KFold(2)), named)
    search = GridSearchCV(model, {"l2": [0.0]}, scoring=scorer, cv=KFold(2)).fit(X, y)
    assert search.best_estimator_.stage_names_ == ["click", "buy"]
    assert search.best_score_ == named.mean()


def test_classes_of_rankers_are_sorted_as_scikit_learn_wants():
    y = pd.Series(pd.Categorical(np.where(CODES > 0, "click", "view"), ORDER, ordered=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = FMClassifier(max_epochs=1, random_state=0).fit(X, y)
    np.testing.assert_array_equal(model.classes_, ["click", "view"])
