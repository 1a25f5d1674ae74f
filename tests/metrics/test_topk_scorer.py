"""Scorers of retrievers and next-item estimators, with tiny ones whose answers are known."""

import pickle
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sk_adrec import EASERetriever, ItemCF, LeaveLastOut, TimeSplit, TwoTowerRetriever, UserSplit
from sk_adrec.metrics import make_topk_scorer, ndcg_at_k, recall_at_k

METRICS = ["hit_rate", "map", "mrr", "ndcg", "precision", "recall"]


class Popular(BaseEstimator):
    """Recommends the most frequent items, or the rarest, as retrievers do."""

    def __init__(self, user="user_id", item="item_id", rarest=False):
        self.user = user
        self.item = item
        self.rarest = rarest

    def fit(self, X, y=None, sample_weight=None):
        X = X if isinstance(X, pd.DataFrame) else X.to_pandas()
        self.classes_ = np.array([0, 1]) if y is None else np.unique([*y])
        # Items of the same frequency in the order of the rows, whatever their type.
        ranking = [item for item, _ in Counter(X[self.item].tolist()).most_common()]
        self.ranking_ = ranking[::-1] if self.rarest else ranking
        self.seen_ = X.groupby(self.user)[self.item].agg(set)
        return self

    def recommend(self, users, k=10, exclude_seen=True, candidates=None):
        self.asked_ = users
        ids = np.full((len(users), k), None, dtype=object)
        for row, user in enumerate(users):
            seen = self.seen_.get(user, set()) if exclude_seen else set()
            top = [
                i
                for i in self.ranking_
                if i not in seen and (candidates is None or i in candidates)
            ]
            ids[row, : len(top[:k])] = top[:k]
        return ids, np.zeros(ids.shape)


class NextOf(BaseEstimator):
    """Recommends what followed the first column most often, as next-item estimators do."""

    def fit(self, X, y):
        self.next_ = pd.Series(y).groupby(np.asarray(X)[:, 0]).agg(lambda s: s.value_counts().index)
        return self

    def recommend(self, X, k=10):
        return [self.next_[row][:k].tolist() for row in np.asarray(X)[:, 0]], None


@pytest.fixture
def log():
    rng = np.random.default_rng(0)
    items = rng.choice(30, 400, p=np.arange(30, 0, -1) / 465)
    return pd.DataFrame(
        {
            "user_id": [f"u{i}" for i in rng.integers(0, 25, 400)],
            "item_id": [f"i{i}" for i in items],
            "time": rng.permutation(400),
        },
        index=rng.permutation(400),
    )


def slow_score(model, test, metric, k, weight=None, **params):
    """User by user, in Python."""
    users = test["user_id"].unique()
    ids, _ = model.recommend(users, k, **params)
    relevant = [test["item_id"][test["user_id"] == user].tolist() for user in users]
    if weight is not None:
        weight = [weight[test["user_id"] == user].mean() for user in users]
    return metric(ids, relevant, k, sample_weight=weight)


def test_a_retriever_is_asked_for_its_users(log):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    model = Popular().fit(train)
    score = make_topk_scorer("recall", k=5)(model, test)
    assert sorted(model.asked_) == sorted(test["user_id"].unique())
    assert score == pytest.approx(slow_score(model, test, recall_at_k, 5))
    again = make_topk_scorer("recall", k=5, exclude_seen=False)(model, test)
    assert again == pytest.approx(slow_score(model, test, recall_at_k, 5, exclude_seen=False))
    assert again != score
    few = make_topk_scorer("ndcg", k=5, candidates=["i0", "i1"], exclude_seen=False)(model, test)
    expected = slow_score(model, test, ndcg_at_k, 5, exclude_seen=False, candidates=["i0", "i1"])
    assert few == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_in_a_search(log, metric):
    cv = LeaveLastOut(time="time", n_splits=2)
    scorer = make_topk_scorer(metric, k=5)
    search = GridSearchCV(Popular(), {"rarest": [True, False]}, cv=cv, scoring=scorer).fit(log)
    assert search.best_params_ == {"rarest": False}
    assert 0 < search.best_score_ < 1
    assert search.score(log.sample(50, random_state=0).assign(user_id="new")) > 0


def test_frames_ids_and_types(log):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    expected = make_topk_scorer(k=5)(Popular().fit(train), test)

    def numbers(frame):
        return frame.assign(
            **{name: frame[name].str[1:].astype(int) for name in ("user_id", "item_id")}
        )

    for convert in (
        lambda frame: frame.astype({"user_id": "category", "item_id": "category"}),
        lambda frame: frame.astype({"user_id": object, "item_id": object}),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        pl.from_pandas,
        numbers,
        lambda frame: numbers(frame).astype({"user_id": "Int64", "item_id": "Int64"}),
        lambda frame: frame.rename(columns={"user_id": "household", "item_id": "product"}),
    ):
        train_, test_ = convert(train), convert(test)
        names = [name for name in train_.columns if name != "time"]
        model = Popular(*names).fit(train_)
        assert make_topk_scorer(k=5)(model, test_) == pytest.approx(expected)


def test_only_positives_and_whole_rows_are_relevant(log):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    y = np.where(test["time"] % 3, "buy", "a view")
    model = Popular().fit(train, np.where(train["time"] % 3, "buy", "a view"))
    expected = slow_score(model, test[y == "buy"], recall_at_k, 5)
    scorer = make_topk_scorer("recall", k=5)
    assert scorer(model, test, y) == pytest.approx(expected)
    bought = test[y == "buy"]
    broken = pd.concat([bought, bought.assign(user_id=None), bought.assign(item_id=None)])
    assert scorer(model, broken, ["buy"] * len(broken)) == pytest.approx(expected)


def test_weights(log):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    model = Popular().fit(train)
    scorer = make_topk_scorer("ndcg", k=5)
    assert scorer(model, test, sample_weight=np.full(100, 3.0)) == pytest.approx(
        scorer(model, test)
    )
    weight = np.random.default_rng(0).random(100)
    assert scorer(model, test, sample_weight=weight) == pytest.approx(
        slow_score(model, test, ndcg_at_k, 5, weight)
    )
    weight[::2] = 0
    assert scorer(model, test, sample_weight=weight) == pytest.approx(
        scorer(model, test[1::2], sample_weight=weight[1::2])
    )


def test_weights_are_routed(log):
    weight = np.random.default_rng(0).random(400)
    ((train, test),) = TimeSplit(n_splits=1, test_size=100).split(log)
    model = Popular().fit(log.iloc[train])
    expected = make_topk_scorer(k=5)(model, log.iloc[test], sample_weight=weight[test])
    with config_context(enable_metadata_routing=True):
        score = cross_val_score(
            Popular().set_fit_request(sample_weight=True),
            log,
            cv=TimeSplit(n_splits=1, test_size=100),
            scoring=make_topk_scorer(k=5).set_score_request(sample_weight=True),
            params={"sample_weight": weight},
        )
    assert score == pytest.approx([expected])


def test_next_item_estimators(log):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (200, 2))
    y = np.where(rng.random(200) < 0.8, X[:, 0] * 10, X[:, 0] * 10 + 1)
    model = NextOf().fit(X, y)
    # The planted answer: the first recommendation is right where the likelier item came.
    assert make_topk_scorer("hit_rate", k=1)(model, X, y) == np.mean(y % 10 == 0)
    assert make_topk_scorer("recall", k=2)(model, X, y) == 1.0
    weight = rng.random(200)
    assert make_topk_scorer("mrr", k=2)(model, X, y, sample_weight=weight) == pytest.approx(
        np.average(np.where(y % 10 == 0, 1, 0.5), weights=weight)
    )
    scores = cross_val_score(NextOf(), X, y, scoring=make_topk_scorer("recall", k=2))
    assert (scores == 1).all()
    with pytest.raises(ValueError, match=r"NextOf has no parameter user.*y is None: pass y"):
        make_topk_scorer()(model, X)


def test_several_metrics_at_once(log):
    scoring = {f"{name}@5": make_topk_scorer(name, k=5) for name in METRICS}
    result = cross_validate(Popular(), log, cv=LeaveLastOut(time="time"), scoring=scoring)
    # One test item per user.
    assert result["test_recall@5"] == result["test_hit_rate@5"]
    assert result["test_precision@5"] == pytest.approx(result["test_recall@5"] / 5)
    assert result["test_map@5"] == result["test_mrr@5"]


def test_errors(log):
    model = Popular().fit(log)
    scorer = make_topk_scorer()
    with pytest.raises(ValueError, match="X has no column 'user_id' of users: its columns are"):
        scorer(model, pd.DataFrame({"a": [1], "b": [2]}))
    with pytest.raises(ValueError, match="X has no column 'item_id' of items: did you mean 'item'"):
        scorer(model, log.rename(columns={"item_id": "item"}))
    with pytest.raises(ValueError, match="user must be the position of one of 3 columns"):
        scorer(model, log.to_numpy())
    with pytest.raises(ValueError, match="none of the 400 test rows names a user and a relevant"):
        scorer(model, log, np.zeros(400))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        scorer(model, log, np.zeros(399))
    with pytest.raises(ValueError, match="sample_weight must not be negative"):
        scorer(model, log, sample_weight=np.full(400, -1.0))
    with pytest.raises(TypeError, match="LogisticRegression has none: pass a retriever"):
        scorer(LogisticRegression(), log)
    with pytest.raises(ValueError, match=r"metric must be one of 'hit_rate', .* got 'auc'"):
        make_topk_scorer("auc")
    with pytest.raises(ValueError, match=r"k must be an integer in \[1, inf\), got 0"):
        make_topk_scorer(k=0)


def test_repr_and_pickle(log):
    scorer = make_topk_scorer("map", k=3, exclude_seen=False)
    assert repr(scorer) == "make_topk_scorer('map', k=3, exclude_seen=False)"
    model = Popular().fit(log)
    assert pickle.loads(pickle.dumps(scorer))(model, log) == scorer(model, log)


def test_item_cf_in_a_search(log):
    cv = TimeSplit(n_splits=1, test_size=100)
    ((train, test),) = cv.split(log)
    search = GridSearchCV(
        ItemCF(time="time"), {"n_neighbors": [1, 20]}, cv=cv, scoring=make_topk_scorer("ndcg", k=10)
    )
    search.fit(log)
    for n_neighbors, score in zip([1, 20], search.cv_results_["mean_test_score"]):
        model = ItemCF(time="time", n_neighbors=n_neighbors).fit(log.iloc[train])
        new = log.iloc[test][~model.has_seen(log["user_id"].iloc[test], log["item_id"].iloc[test])]
        assert 0 < len(new) < 100
        assert score == pytest.approx(slow_score(model, new, ndcg_at_k, 10))


@pytest.mark.parametrize(
    "make",
    [
        ItemCF,
        lambda: EASERetriever(l2=5.0),
        lambda: TwoTowerRetriever(user_items=True, max_epochs=2, random_state=0),
    ],
    ids=["ItemCF", "EASE", "TwoTower"],
)
def test_repeats_mean_the_same_to_the_scorer_and_to_score(log, make):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    test = pd.concat([test, test[:30], test[:5].assign(user_id="new")])
    model, scorer = make().fit(train), make_topk_scorer("ndcg", k=10)
    pairs = set(zip(train["user_id"], train["item_id"]))
    seen = [pair in pairs for pair in zip(test["user_id"], test["item_id"])]
    assert model.has_seen(test["user_id"], test["item_id"]).tolist() == seen
    assert 0 < np.sum(seen) < len(test)
    assert scorer(model, test) == pytest.approx(model.score(test))
    weight = np.random.default_rng(0).random(len(test))
    assert scorer(model, test, sample_weight=weight) == pytest.approx(
        model.score(test, sample_weight=weight)
    )
    for frame in (pl.from_pandas(test), test.astype({"user_id": "category"})):
        assert scorer(model, frame) == pytest.approx(model.score(frame))
    both = make_topk_scorer("ndcg", k=10, exclude_seen=False)
    assert both(model, test) == pytest.approx(
        slow_score(model, test, ndcg_at_k, 10, exclude_seen=False)
    )
    with pytest.warns(UndefinedMetricWarning, match="no pair of user and item that fit has not"):
        assert scorer(model, train) == model.score(train) == 0


def test_a_history_given_says_what_has_been_seen(log):
    model = ItemCF().fit(log)
    test = pd.DataFrame({"user_id": ["new", "new"], "item_id": ["i0", "i1"]})
    history = {"new": ["i1", "i2"]}
    assert model.has_seen(["new", "new", None], ["i1", "i0", "i1"], history=history).tolist() == [
        True, False, False,
    ]  # fmt: skip
    found = make_topk_scorer("recall", k=30, history=history)(model, test)
    assert found == 1  # i0 is found, and i1 is no target
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.has_seen(["new"], ["i1", "i2"])


@pytest.fixture(scope="module")
def tastes():
    """Users of five kinds, who take five of their kind's ten items: (log, taste of each item)."""
    rng = np.random.default_rng(0)
    tastes, kinds = rng.integers(0, 5, 200), np.arange(50) % 5
    rows = [
        (user, item, f"taste {taste}", f"kind {taste}")
        for user, taste in enumerate(tastes)
        for item in rng.choice(np.flatnonzero(kinds == taste), 5, replace=False)
    ]
    log = pd.DataFrame(rows, columns=["user_id", "item_id", "taste", "kind"])
    return log.astype({"taste": "category", "kind": "category"}).sample(frac=1, random_state=0)


@pytest.mark.parametrize(
    "params",
    [{"user_features": ["taste"], "item_features": ["item_id", "kind"]}, {}],
    ids=["attributes", "ids"],
)
def test_new_users_are_asked_for_by_their_attributes_as_in_score(tastes, params):
    ((train, test), *_) = UserSplit(n_splits=4, fold_in=0, random_state=0).split(tastes)
    train, test = tastes.iloc[train], tastes.iloc[test]
    model = TwoTowerRetriever(**params, random_state=0, max_epochs=15).fit(train)
    found = make_topk_scorer("ndcg", k=10)(model, test)
    assert found == pytest.approx(model.score(test))
    assert make_topk_scorer("ndcg", k=10)(model, pl.from_pandas(test)) == pytest.approx(found)
    if params:
        # The first ten hold all five where the taste says the kind; by popularity a fifth is right.
        assert make_topk_scorer("recall", k=10)(model, test) > 0.95
        told = test.assign(taste=test["taste"].cat.categories[0])
        assert make_topk_scorer("recall", k=10)(model, told) < 0.4


def test_the_first_row_with_a_target_says_the_features(tastes):
    model = TwoTowerRetriever(
        user_features=["taste"], item_features=["item_id", "kind"], random_state=0, max_epochs=2
    ).fit(tastes)
    new = tastes[tastes["user_id"] == 0][["user_id", "taste"]].iloc[[0, 0, 0]]
    other = "taste 0" if new["taste"].iloc[0] != "taste 0" else "taste 1"
    seen = tastes["item_id"][tastes["user_id"] == 0].iloc[0]
    unseen = np.setdiff1d(tastes["item_id"], tastes["item_id"][tastes["user_id"] == 0])[:2]
    test = new.assign(item_id=[seen, *unseen], kind=None)[tastes.columns]
    test["taste"] = [new["taste"].iloc[0], other, new["taste"].iloc[0]]
    scorer = make_topk_scorer("mrr", k=50)
    # The row of the seen item is not there.
    assert scorer(model, test) == scorer(model, test[1:])
    assert scorer(model, test) != scorer(model, test.assign(taste=new["taste"].iloc[0]))
    assert make_topk_scorer(k=10)(model, test) == pytest.approx(model.score(test))


def rename(X):
    return X.rename(columns={"user": "user_id", "item": "item_id"})


def test_the_last_step_of_a_pipeline_is_asked(log):
    train, test = log[log["time"] < 300], log[log["time"] >= 300]
    scorer = make_topk_scorer("ndcg", k=10)
    expected = scorer(ItemCF().fit(train), test)
    names = {"user_id": "user", "item_id": "item"}
    renaming = make_pipeline(FunctionTransformer(rename), "passthrough", None, ItemCF())
    for pipeline, change in (
        (make_pipeline(ItemCF()), {}),
        (renaming, names),
        (make_pipeline(FunctionTransformer(rename), make_pipeline(ItemCF())), names),
    ):
        pipeline.fit(train.rename(columns=change))
        assert scorer(pipeline, test.rename(columns=change)) == pytest.approx(expected)
        assert pipeline.score(test.rename(columns=change)) == pytest.approx(expected)
    search = GridSearchCV(
        Pipeline([("cf", ItemCF())]), {"cf__n_neighbors": [5]}, cv=LeaveLastOut(), scoring=scorer
    )
    assert search.fit(log).best_score_ > 0
    # A next-item estimator reads what the steps before make of the histories.
    X, y = np.array([[-1], [-1], [-1], [-2], [-2], [-2]]), [10, 10, 11, 20, 20, 21]
    next_item = make_pipeline(FunctionTransformer(np.abs), NextOf()).fit(X, y)
    assert make_topk_scorer("recall", k=1)(next_item, X, y) == pytest.approx(2 / 3)
    with pytest.raises(TypeError, match="Pipeline of LogisticRegression has none: pass a retr"):
        scorer(make_pipeline(LogisticRegression()), log)
