"""ItemCF: similarities and scores against slow loops, what it learns, what it costs."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from sk_adrec import ItemCF
from sk_adrec.retrieval._neighbours import similarity as similarities
from sk_adrec.retrieval._neighbours.similarity import Similarity, best_linked, nearest, weigh


def random_log(n_rows=400, n_users=30, n_items=25, seed=0):
    rng = np.random.default_rng(seed)
    pairs = rng.choice(n_users * n_items, n_rows, replace=False)
    return pd.DataFrame({"user_id": pairs // n_items, "item_id": pairs % n_items + 100})


def sets_of(log):
    return log.groupby("item_id")["user_id"].agg(set).to_dict()


def slow_similarity(users, j, i, kind, *, shrinkage=0.0, alpha=0.5):
    """s(j, i) by its definition on the sets of their users."""
    both, n_i, n_j = len(users[i] & users[j]), len(users[i]), len(users[j])
    if not both:
        return 0.0
    if kind == "cosine":
        return both / (np.sqrt(n_i * n_j) + shrinkage)
    if kind == "jaccard":
        return both / (len(users[i] | users[j]) + shrinkage)
    return both / (n_j * n_i**alpha + shrinkage)


@pytest.fixture(params=["scipy", "numba"])
def route(request, monkeypatch):
    """Both ways to the same numbers; numba is an extra."""
    if request.param == "scipy":
        monkeypatch.setattr(similarities, "kernels", None)
    else:
        pytest.importorskip("numba", exc_type=ImportError)
    return request.param


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("kind", ["cosine", "jaccard", "conditional"])
@pytest.mark.parametrize("shrinkage", [0.0, 3.0])
def test_neighbours_are_the_most_similar_items(kind, shrinkage):
    log = random_log(150)
    users = sets_of(log)
    model = ItemCF(similarity=kind, shrinkage=shrinkage, alpha=0.3, n_neighbors=6).fit(log)
    lists = model.similarity_
    for i, start, stop in zip(model.items_, lists.indptr, lists.indptr[1:]):
        row, values = model.items_[lists.indices[start:stop]], lists.data[start:stop]
        slow = {
            j: slow_similarity(users, j, i, kind, shrinkage=shrinkage, alpha=0.3)
            for j in model.items_
            if j != i
        }
        best = sorted((s for s in slow.values() if s > 0), reverse=True)[:6]
        np.testing.assert_allclose(values, best, rtol=1e-5)
        np.testing.assert_allclose([slow[j] for j in row], best, rtol=1e-5)
    if kind != "conditional":
        found, similarity = model.similar_items(model.items_[:1], k=8)
        np.testing.assert_array_equal(
            similarity[0, : lists.indptr[1]], lists.data[: lists.indptr[1]]
        )
        assert (found[0, lists.indptr[1] :] == -1).all()
        assert (similarity[0, lists.indptr[1] :] == -np.inf).all()


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_scores_sum_decayed_similarities_to_the_recent_history(exclude_seen):
    log = random_log(250)
    model = ItemCF(decay=0.7, max_history=4, n_neighbors=24).fit(log)
    users, sets = np.arange(30), sets_of(log)
    found, scores = model.recommend(users, k=5, exclude_seen=exclude_seen)
    for user, row, values in zip(users, found, scores):
        history = log.loc[log["user_id"] == user, "item_id"].tolist()
        slow = {
            i: sum(
                0.7**age * slow_similarity(sets, j, i, "cosine")
                for age, j in enumerate(history[::-1][:4])
            )
            for i in model.items_
            if not (exclude_seen and i in history)
        }
        expected = sorted(slow.values(), reverse=True)[:5]
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        np.testing.assert_allclose([slow[i] for i in row], expected, rtol=1e-5)


def test_scores_count_only_the_nearest_of_the_scored_item():
    log = random_log(250)
    sets = sets_of(log)
    model = ItemCF(n_neighbors=3).fit(log)
    nearest_of = dict(zip(model.items_, model.similar_items(model.items_, k=3)[0]))
    found, scores = model.recommend(np.arange(30), k=10, exclude_seen=False)
    for user, row, values in zip(range(30), found, scores):
        history = set(log.loc[log["user_id"] == user, "item_id"])
        slow = [
            sum(slow_similarity(sets, j, i, "cosine") for j in history & {*nearest_of[i], i})
            for i in row
        ]
        np.testing.assert_allclose(values, slow, rtol=1e-5)


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize(
    "setting",
    [{}, {"similarity": "jaccard", "shrinkage": 2.0}, {"weighting": "bm25"}, {"decay": 0.9}],
    ids=str,
)
def test_what_was_bought_often_is_recommended_again(setting):
    # Nobody else buys what a user buys weekly: only the purchases themselves speak for it.
    usual = pd.DataFrame({"user_id": np.arange(20), "item_id": 100 + np.arange(20)})
    others = random_log(200, 20, 15)
    log = pd.concat([others.assign(item_id=others["item_id"] - 100), *[usual] * 12])
    model = ItemCF(**setting).fit(log)
    again = {"users": np.arange(20), "exclude_seen": False}
    assert (model.recommend(k=1, **again)[0].ravel() == usual["item_id"]).all()
    every = model.items_[::-1]
    for all_items, chosen in zip(
        model.recommend(k=5, **again), model.recommend(k=5, candidates=every, **again)
    ):
        np.testing.assert_allclose(all_items, chosen, rtol=1e-5)
    assert not (model.recommend(range(20), k=5)[0] == usual["item_id"].to_numpy()[:, None]).any()
    new = model.recommend([99], k=1, exclude_seen=False, history={99: [103]})
    assert new[0].tolist() == [[103]]


@pytest.mark.usefixtures("route")
def test_weights_too_small_for_a_float_count_as_none():
    # 0.01 ** 60 and the products of weights of 1e-25 are zero in float32, beside weights of 1.
    log = checkerboard(20, 150)
    _, scores = ItemCF(decay=0.01).fit(log).recommend(range(20), k=150)
    assert np.isfinite(scores[:, :50]).all()
    tiny = ItemCF().fit(log, sample_weight=np.where(log["user_id"] % 2, 1, 1e-25))
    _, scores = tiny.recommend(range(20), k=5)
    assert set(scores[::2].ravel()) == {0}
    assert (scores[1::2] > 0).all()


def test_both_routes_find_the_same():
    pytest.importorskip("numba", exc_type=ImportError)
    rng = np.random.default_rng(0)
    matrix = sparse.random(300, 200, 0.08, format="csr", rng=rng, dtype=np.float32)
    similarity = Similarity("conditional", 1.0, 0.4)
    fast = nearest(matrix, similarity, 20, 2)
    own, unseen = rng.random(200, dtype=np.float32), matrix[:, ::-1].tocsr()
    fast_best = best_linked(matrix, fast, own, unseen, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarities, "kernels", None)
        slow = nearest(matrix, similarity, 20, 1)
        slow_best = best_linked(matrix, fast, own, unseen, 7)
    np.testing.assert_allclose(fast.toarray(), slow.toarray(), rtol=1e-5)
    np.testing.assert_array_equal(fast_best[0], slow_best[0])
    np.testing.assert_allclose(fast_best[1], slow_best[1], rtol=1e-5)


@pytest.mark.parametrize("density", [0.01, 0.5])
def test_sparse_and_dense_rows_give_the_same_neighbours(density, monkeypatch):
    monkeypatch.setattr(similarities, "kernels", None)
    matrix = sparse.random(80, 60, density, format="csr", rng=np.random.default_rng(0))
    matrix = matrix.astype(np.float32)
    both = []
    for share in (0.0, 1.0):
        monkeypatch.setattr(similarities, "_DENSE", share)
        both.append(nearest(matrix, Similarity("cosine", 0.0, 0.5), 9, 1))
    np.testing.assert_array_equal(both[0].indices, both[1].indices)
    np.testing.assert_array_equal(both[0].data, both[1].data)


def test_weightings_by_hand():
    # Users 0 and 1 have 1 and 2 of 2 items; item 0 weighs 1 + 4, item 1 weighs 1.
    matrix = sparse.csr_matrix(np.array([[1.0, 0], [4, 1]], dtype=np.float32))
    idf = np.log1p([2 / 1, 2 / 2, 2 / 2])
    np.testing.assert_allclose(weigh(matrix, None, False), [1, 4, 1])
    np.testing.assert_allclose(weigh(matrix, "tfidf", False), [1, 2, 1] * idf, rtol=1e-6)
    w, length = np.array([1.0, 4, 1]), np.array([5 / 3, 5 / 3, 1 / 3])
    bm25 = w * 2.2 / (w + 1.2 * (0.25 + 0.75 * length)) * idf
    np.testing.assert_allclose(weigh(matrix, "bm25", False), bm25, rtol=1e-6)
    # What a user adds to a co-occurrence is the product of two entries.
    iuf = weigh(matrix, None, True) ** 2
    np.testing.assert_allclose(iuf, np.array([1, 16, 1]) / np.log1p([1, 2, 2]), rtol=1e-6)


def checkerboard(n_users=200, n_items=40, seed=0, **options):
    """Even users like even items, odd ones odd items: half of the likes are logged."""
    rng = np.random.default_rng(seed)
    user, item = np.nonzero(rng.random((n_users, n_items)) < 0.5)
    like = user % 2 == item % 2
    return pd.DataFrame({"user_id": user[like], "item_id": item[like]})


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"similarity": "jaccard"},
        {"similarity": "conditional"},
        {"weighting": "tfidf"},
        {"weighting": "bm25", "inverse_user_frequency": True},
        {"shrinkage": 10.0, "decay": 0.9, "max_history": 5},
    ],
    ids=str,
)
def test_learns_a_checkerboard(params):
    model = ItemCF(**params).fit(checkerboard())
    users = np.arange(200)
    found, _ = model.recommend(users, k=5)
    # Ten of the twenty liked items are logged, so five others are left: the best score is 1.
    assert (found % 2 == users[:, None] % 2).mean() == 1


def test_recommends_what_goes_with_the_newest_item():
    pairs = [("a", "b"), ("c", "d")] * 5
    log = pd.DataFrame(
        [(f"u{n}", item) for n, pair in enumerate(pairs) for item in pair],
        columns=["user_id", "item_id"],
    )
    old_first = {"new": ["a", "c"]}
    model = ItemCF(decay=0.5).fit(log)
    assert model.recommend(["new"], k=2, history=old_first)[0].tolist() == [["d", "b"]]
    newest_last = {"new": ["c", "a"]}
    assert model.recommend(["new"], k=2, history=newest_last)[0].tolist() == [["b", "d"]]
    only = ItemCF(max_history=1).fit(log).recommend(["new"], k=2, history=old_first)
    assert only[1][0, 0] > 0
    assert only[1][0, 1] == 0


@pytest.mark.parametrize("kind", ["int", "datetime", "polars"])
def test_time_orders_what_the_rows_do_not(kind):
    log = checkerboard().assign(time=lambda X: np.arange(len(X)))
    if kind != "int":
        log["time"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(log["time"], unit="min")
    shuffled = log.sample(frac=1, random_state=0)
    if kind == "polars":
        shuffled = pytest.importorskip("polars").from_pandas(shuffled)
    users = np.arange(10)
    in_order = ItemCF(decay=0.5).fit(log[["user_id", "item_id"]]).recommend(users)
    timed = ItemCF(decay=0.5, time="time").fit(shuffled).recommend(users)
    np.testing.assert_array_equal(timed[0], in_order[0])
    np.testing.assert_array_equal(timed[1], in_order[1])


def test_missing_times_raise():
    log = checkerboard().assign(time=1.0)
    log.loc[3, "time"] = np.nan
    with pytest.raises(ValueError, match=r"'time' .* has no time in row 3 and 0 more"):
        ItemCF(time="time").fit(log)
    with pytest.raises(TypeError, match="must hold times"):
        ItemCF(time="time").fit(log.assign(time="noon"))


def test_alpha_takes_popularity_back():
    rng = np.random.default_rng(0)
    p = np.linspace(0.9, 0.05, 30)
    user, item = np.nonzero(rng.random((300, 30)) < p)
    log = pd.DataFrame({"user_id": user, "item_id": item})
    mean = [
        ItemCF(similarity="conditional", alpha=alpha).fit(log).recommend(range(300), k=3)[0].mean()
        for alpha in (0.0, 0.5, 1.0)
    ]
    assert mean == sorted(mean)
    assert mean[2] > mean[0] + 1


def test_probabilities_separate_pairs_that_fit_has_not_seen():
    log = checkerboard(400)
    held_out = np.random.default_rng(1).random(len(log)) < 0.2
    model = ItemCF(random_state=0).fit(log[~held_out])
    test = log[held_out]
    other = test.assign(item_id=(test["item_id"] + 1) % 40)
    p = model.predict_proba(pd.concat([test, other]))[:, 1]
    y = np.repeat([1, 0], len(test))
    assert roc_auc_score(y, p) == 1


def test_scores_left_out_are_those_of_a_fit_without_the_pair():
    log = random_log(300)
    for params in (
        {},
        {"similarity": "jaccard", "shrinkage": 2.0},
        {"similarity": "conditional", "alpha": 0.3},
        {"decay": 0.6, "max_history": 3},
    ):
        model = ItemCF(n_neighbors=24, **params).fit(log)
        left_out = model._learn(model.log_.interactions)
        rows = np.arange(0, 300, 20)
        sampled = log.loc[rows]
        users = np.searchsorted(model.users_, sampled["user_id"])
        items = np.array([list(model.items_).index(i) for i in sampled["item_id"]])
        fast = left_out(users, items)
        for row, value in zip(rows, fast):
            other = ItemCF(n_neighbors=24, **params).fit(log.drop(index=row))
            user, item = log.loc[row]
            found, scores = other.recommend([user], k=25)
            at = list(found[0]).index(item)
            assert value == pytest.approx(max(scores[0, at], 0), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_neighbors": 0}, "n_neighbors must be an integer in"),
        ({"similarity": "dice"}, "similarity must be one of 'cosine', 'jaccard', 'conditional'"),
        ({"alpha": 1.5}, "alpha must be a number in"),
        ({"weighting": "idf"}, "weighting must be one of None, 'tfidf', 'bm25', got 'idf'"),
        ({"shrinkage": -1}, "shrinkage must be a number in"),
        ({"decay": 0}, r"decay must be a number in \(0, 1\], got 0"),
        ({"max_history": 0}, "max_history must be an integer in"),
        ({"n_jobs": 0}, "n_jobs must be None or an integer other than 0"),
    ],
)
def test_parameters_out_of_range(params, message):
    with pytest.raises(ValueError, match=message):
        ItemCF(**params).fit(checkerboard())


def test_threads_do_not_change_the_result(monkeypatch):
    # Blocks of a few rows, so that there are several for two threads.
    for module in (similarities, __import__("sk_adrec.retrieval._lists.top_k", fromlist=[""])):
        monkeypatch.setattr(module, "BLOCK_VALUES", 100)
    log = checkerboard()
    one, two = (ItemCF(n_jobs=n, decay=0.8).fit(log) for n in (1, 2))
    np.testing.assert_array_equal(one.similarity_.indices, two.similarity_.indices)
    for a, b in zip(one.recommend(range(200)), two.recommend(range(200))):
        np.testing.assert_array_equal(a, b)


def test_weights_are_repetitions():
    log = random_log(200)
    weight = np.random.default_rng(0).integers(0, 4, len(log))
    repeated = log.loc[np.repeat(log.index, weight)]
    weighted = ItemCF(random_state=0).fit(log, sample_weight=weight)
    copies = ItemCF(random_state=0).fit(repeated)
    np.testing.assert_array_equal(weighted.similarity_.toarray(), copies.similarity_.toarray())
    np.testing.assert_array_equal(weighted.predict_proba(log), copies.predict_proba(log))


def test_similar_items_are_those_that_users_of_the_item_have():
    pairs = [(f"u{k}", "bread") for k in range(100)]
    pairs += [(f"u{k}", "butter") for k in range(60)] + [(f"v{k}", "butter") for k in range(30)]
    pairs += [(f"u{k}", "truffle") for k in range(3)]
    log = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    model = ItemCF(similarity="conditional", alpha=0.0).fit(log)
    ids, share = model.similar_items(["bread"], k=2)
    assert ids.tolist() == [["butter", "truffle"]]
    np.testing.assert_allclose(share, [[0.6, 0.03]], rtol=1e-6)
    assert model.recommend(["x"], k=2, history={"x": ["bread"]})[0].tolist() == ids.tolist()


def test_a_kernel_compiles_where_nothing_can_be_cached(monkeypatch):
    kernels = pytest.importorskip("sk_adrec.retrieval._neighbours.kernels")
    asked = []

    def njit(cache=False, **how):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", njit)
    assert kernels._compiled(abs) is abs
    assert asked == [True, False]
