"""What every retriever does with a log: ids, histories, candidates, probabilities, files."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.model_selection import GridSearchCV

from sk_adrec import EASERetriever, ItemCF, TwoTowerRetriever
from sk_adrec.retrieval import interactions_from_lists, interactions_from_matrix
from sk_adrec.retrieval._lists.calibration import fit_curve
from sk_adrec.retrieval._lists.top_k import fill_up, n_threads, top_k, top_k_of_entries
from sk_adrec.retrieval._log.interactions import Interactions

RETRIEVERS = [ItemCF(random_state=0), EASERetriever(l2=5.0, random_state=0)]


@pytest.fixture(params=RETRIEVERS, ids=lambda model: type(model).__name__)
def model(request):
    return clone(request.param)


def make_log(n_rows=600, n_users=60, n_items=30, seed=0):
    """Distinct pairs; the popularity of items falls with their number."""
    rng = np.random.default_rng(seed)
    p = np.repeat([1 / np.arange(1, n_items + 1)], n_users, axis=0).ravel()
    pairs = rng.choice(n_users * n_items, n_rows, replace=False, p=p / p.sum())
    return pd.DataFrame(
        {
            "user_id": [f"u{k:02}" for k in pairs // n_items],
            "item_id": [f"i{k:02}" for k in pairs % n_items],
        }
    )


def history_of(log, user):
    return log.loc[log["user_id"] == user, "item_id"].tolist()


# ---- recommend --------------------------------------------------------------------------------


def test_seen_items_are_left_out_unless_asked_for(model):
    log = make_log()
    users = log["user_id"].unique()
    model.fit(log)
    found, scores = model.recommend(users, k=30)
    for user, row, values in zip(users, found, scores):
        seen = history_of(log, user)
        kept = [item for item in row if item is not None]
        assert set(kept) == set(model.items_) - set(seen)
        assert (values[len(kept) :] == -np.inf).all()
        assert (np.diff(values[: len(kept)]) <= 0).all()
    found, scores = model.recommend(users, k=30, exclude_seen=False)
    assert all(set(row) == set(model.items_) for row in found)
    assert np.isfinite(scores).all()


def test_k_larger_than_the_catalogue_ends_with_null_ids(model):
    log = make_log()
    model.fit(log)
    found, scores = model.recommend(["u00", "nobody"], k=100)
    assert found.shape == scores.shape == (2, 100)
    n = 30 - len(history_of(log, "u00"))
    assert all(item is None for item in found[0, n:])
    assert (scores[0, n:] == -np.inf).all()
    assert set(found[1, :30]) == set(model.items_)


@pytest.mark.parametrize(
    ("make_ids", "null"),
    [
        (lambda codes: codes + 2**24, -1),
        (lambda codes: codes.astype(np.int32), -1),
        (lambda codes: np.array([f"i{k}" for k in codes]), None),
        (lambda codes: pd.Categorical(codes), -1),
        (lambda codes: codes + 0.5, None),
    ],
    ids=["large", "int32", "strings", "categories", "fractions"],
)
def test_ids_keep_their_type(model, make_ids, null):
    codes = make_log()["item_id"].str[1:].astype(int).to_numpy()
    ids = make_ids(codes)
    log = make_log().assign(item_id=ids)
    found, _ = model.fit(log).recommend(["u00", "nobody"], k=40)
    assert set(found[1, :30].tolist()) == set(np.asarray(ids).tolist())
    assert found[1, -1] is None if null is None else found[1, -1] == null
    assert type(found[1, 0]) is not float or null is None


def test_minus_one_is_no_item(model):
    """It could not be told from the null id."""
    log = make_log()
    codes = log["item_id"].str[1:].astype(int) - 1
    model.fit(log.assign(item_id=codes + 1))
    items = model.items_
    with pytest.raises(ValueError, match=r"An item has the id -1.*X\[item\].astype\(str\)"):
        model.fit(log.assign(item_id=codes))
    with pytest.raises(ValueError, match="An item has the id -1"):
        model.partial_fit(pd.DataFrame({"user_id": ["u00"], "item_id": [-1]}))
    assert model.items_ is items
    assert "-1" in model.fit(log.assign(item_id=codes.astype(str))).items_


def test_users_without_history_get_the_most_popular_and_are_flagged(model):
    log = make_log()
    model.fit(log)
    count = log["item_id"].value_counts()
    users = ["u00", "nobody", None]
    found, scores = model.recommend(users, k=3)
    for row, values in zip(found[1:], scores[1:]):
        assert list(count[row]) == sorted(count, reverse=True)[:3]
        np.testing.assert_allclose(values, count[row] / len(log))
    assert model.has_history(users).tolist() == [True, False, False]
    frame = model.recommend(users, k=3, as_frame=True)
    assert frame.columns.tolist() == ["user_id", "item_id", "score", "rank", "is_popular"]
    assert frame["is_popular"].tolist() == [False] * 3 + [True] * 6
    assert frame["rank"].tolist() == [1, 2, 3] * 3
    assert frame["item_id"].tolist() == found.ravel().tolist()


def test_frame_leaves_out_the_shortfall(model):
    log = make_log()
    frame = model.fit(log).recommend(["u00"], k=50, as_frame=True)
    assert len(frame) == 30 - len(history_of(log, "u00"))
    assert frame["item_id"].notna().all()


def test_frames_have_the_names_of_the_log(model):
    log = make_log()
    names = {"user_id": "household_id", "item_id": "product_id"}
    renamed = clone(model).set_params(user="household_id", item="product_id")
    frame = renamed.fit(log.rename(columns=names)).recommend(["u00"], k=3, as_frame=True)
    assert frame.columns.tolist() == ["household_id", "product_id", "score", "rank", "is_popular"]
    expected = model.fit(log).recommend(["u00"], k=3, as_frame=True)
    pd.testing.assert_frame_equal(frame, expected.rename(columns=names))
    by_position = clone(model).set_params(user=0, item=1).fit(log)
    frame = by_position.recommend(["u00"], k=3, as_frame=True)
    assert frame.columns.tolist() == ["user", "item", "score", "rank", "is_popular"]


def test_frames_cannot_name_two_columns_alike(model):
    model.set_params(item="rank").fit(make_log().rename(columns={"item_id": "rank"}))
    assert model.recommend(["u00"], k=3)[0].shape == (1, 3)
    message = "as_frame=True adds the columns score, rank, is_popular, but item='rank' is one"
    with pytest.raises(ValueError, match=message):
        model.recommend(["u00"], k=3, as_frame=True)


def test_a_given_history_serves_new_users_like_known_ones(model):
    log = make_log()
    model.fit(log)
    known = model.recommend(["u00", "u01"])
    renamed = {"a": history_of(log, "u00"), "b": [*history_of(log, "u01"), "unknown item"]}
    frame = pd.DataFrame(
        [(user, item) for user, items in renamed.items() for item in items],
        columns=["user_id", "item_id"],
    )
    for history in (renamed, frame):
        given = model.recommend(["b", "u00", "a", "nobody"], history=history)
        for part in range(2):
            np.testing.assert_array_equal(given[part][[2, 0]], known[part])
            np.testing.assert_array_equal(given[part][1], known[part][0])
    assert model.has_history(["a", "nobody"], history=renamed).tolist() == [True, False]
    # It stands in place of what fit saw.
    replaced = model.recommend(["u00"], history={"u00": history_of(log, "u01")})
    np.testing.assert_array_equal(replaced[0][0], known[0][1])
    emptied = model.has_history(["u00"], history={"u00": []})
    assert emptied.tolist() == [False]


def test_candidates_restrict_the_choice(model):
    log = make_log()
    users = log["user_id"].unique()
    model.fit(log)
    everything, scores = model.recommend(users, k=30)
    wanted = ["i05", "i20", "i07", "unknown item", "i07"]
    found, best = model.recommend([*users, "nobody"], k=4, candidates=wanted)
    for row, values, all_items, all_scores in zip(found, best, everything, scores):
        expected = [k for k, item in enumerate(all_items) if item in wanted]
        assert [item for item in row if item is not None] == list(all_items[expected])
        np.testing.assert_array_equal(values[: len(expected)], all_scores[expected])
    assert set(found[-1]) == {"i05", "i20", "i07", None}
    assert (model.recommend(users, candidates=["what?"])[1] == -np.inf).all()


def test_popularity_is_exact_with_and_without_candidates(model):
    log = make_log()
    model.fit(log)
    for candidates in (None, model.items_):
        for exclude_seen in (True, False):
            scores = model.recommend(
                ["nobody"], k=30, exclude_seen=exclude_seen, candidates=candidates
            )[1]
            np.testing.assert_array_equal(scores[0], model.popularity_)


@pytest.mark.parametrize("n_jobs", [0, 2.0, 1.5, True, "a", [1]])
def test_n_jobs_must_be_an_integer(model, n_jobs):
    with pytest.raises(ValueError, match="n_jobs must be None or an integer other than 0, got"):
        model.set_params(n_jobs=n_jobs).fit(make_log())


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_jobs_of_joblib_take_one_thread_each(backend):
    given = [None, 3, -1]
    assert [n_threads(n) for n in given] == [joblib.cpu_count(), 3, joblib.cpu_count()]
    jobs = joblib.Parallel(2, backend=backend)(joblib.delayed(n_threads)(n) for n in given)
    assert jobs == [1, 3, joblib.cpu_count()]


def test_batches_do_not_change_lists(model, monkeypatch):
    log = make_log()
    users = [*log["user_id"].unique(), "nobody"]
    model.fit(log)
    expected = model.recommend(users)
    monkeypatch.setattr("sk_adrec.retrieval._lists.top_k.BLOCK_VALUES", 100)
    for found, other in zip(model.recommend(users), expected):
        np.testing.assert_array_equal(found, other)
    one = model.recommend(users[:1])
    np.testing.assert_array_equal(one[0], expected[0][:1])


def test_similar_items_leave_out_the_item_and_the_unknown(model):
    model.fit(make_log())
    found, similarity = model.similar_items(["i00", "unknown item"], k=40)
    assert "i00" not in found[0]
    assert (np.diff(similarity[0][similarity[0] > -np.inf]) <= 0).all()
    assert all(item is None for item in found[1])
    assert (similarity[1] == -np.inf).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: m.recommend("u00"), TypeError, r"users must be a list .* \['u00'\]"),
        (lambda m: m.recommend(["u00"], k=0), ValueError, "k must be an integer"),
        (lambda m: m.recommend(["u00"], candidates=3), TypeError, "candidates must be a list"),
        (lambda m: m.recommend(["u00"], history=[1]), TypeError, "history must be a dict"),
        (lambda m: m.recommend(["x"], history={"x": "i01"}), TypeError, "got 'i01' for user 'x'"),
        (lambda m: m.recommend(["x"], history={"x": 2}), TypeError, "got 2 for user 'x'"),
        (lambda m: m.has_seen(["x"], ["i"], history={"x": None}), TypeError, r"list, \[\] if"),
        (lambda m: m.recommend(["x"], history={"x": {"i01"}}), TypeError, "pass a list, in the"),
        (
            lambda m: m.recommend(make_log()),
            TypeError,
            r"users must be .* got a data frame: pass .* X\['user_id'\]",
        ),
        (lambda m: m.similar_items(make_log()), TypeError, r"such as X\['item_id'\]"),
        (lambda m: m.recommend({"u00"}), TypeError, r"users must be .* a set: list\(users\)"),
        (lambda m: m.recommend(iter(["u00"])), TypeError, r"a list_iterator: list\(users\)"),
        (
            lambda m: m.recommend(["u00"], history=pd.DataFrame({"user_id": [1]})),
            ValueError,
            "item='item_id'",
        ),
        (lambda m: m.similar_items("i00"), TypeError, "items must be a list"),
    ],
)
def test_wrong_arguments(model, call, error, message):
    with pytest.raises(error, match=message):
        call(model.fit(make_log()))


def test_not_fitted(model):
    for method in (model.recommend, model.similar_items, model.has_history):
        with pytest.raises(NotFittedError):
            method(["a"])


def said_of_type(call):
    """What a call says of the type of ids."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(warning.message) for warning in caught]


def test_ids_of_another_type_are_said(model):
    log = make_log()
    numbers = log.apply(lambda column: column.str[1:].astype(int))
    model.fit(log)
    (said,) = said_of_type(lambda: model.recommend([5]))
    assert said == (
        "Column 'users' (dtype int64) holds numbers where fit saw strings: none of them is an id "
        'that fit knows (5 is not "5"). Convert them with .astype(str).'
    )
    (said,) = said_of_type(lambda: model.predict_proba(log.assign(item_id=numbers["item_id"])))
    assert said.startswith("Column 'item_id' (dtype int64) holds numbers where fit saw strings")
    (said,) = said_of_type(lambda: model.score(log.assign(item_id=numbers["item_id"])))
    assert said.startswith("Column 'item_id' (dtype int64) holds numbers where fit saw strings")
    model.fit(numbers)
    (said,) = said_of_type(lambda: model.recommend(pd.Series(["5"], name="household")))
    assert said.startswith("Column 'household' ")
    assert "holds strings where fit saw numbers" in said
    assert said.endswith('that fit knows ("5" is not 5). Convert them with pandas.to_numeric.')
    for asked in ([5], [5.0], [99], [None], [99, "5"], pd.Series([], dtype=str)):
        assert not said_of_type(lambda asked=asked: model.recommend(asked))


def test_more_rows_with_ids_of_another_type_are_said(model):
    log = make_log()
    numbers = log.apply(lambda column: column.str[1:].astype(int))
    said = said_of_type(lambda: model.fit(log).partial_fit(numbers))
    assert [text.split(":")[0] for text in said] == [
        "Column 'user_id' (dtype int64) holds numbers where fit saw strings",
        "Column 'item_id' (dtype int64) holds numbers where fit saw strings",
    ]


def test_histories_of_another_type_are_said(model):
    model.fit(make_log())
    items = ["i00", "i01"]
    for history in ({"new": items}, {}, {"new": []}):
        assert not said_of_type(lambda history=history: model.recommend(["new"], history=history))
    # Users that fit has not seen may be of any type.
    assert not said_of_type(lambda: model.recommend([5], history={5: items}))
    # Fit saw strings: the hint is for the side that differs.
    hints = ("history, as users, holds numbers where fit", "users holds numbers")
    for asked, users, hint in ((["5"], [5], hints[0]), ([5], ["5"], hints[1])):
        history = pd.DataFrame({"user_id": users * 2, "item_id": items})
        for given in (history, {users[0]: items}):
            (said,) = said_of_type(
                lambda given=given, asked=asked: model.recommend(asked, history=given)
            )
            assert said.startswith(hint)
    (said,) = said_of_type(lambda: model.recommend(["new"], history={"new": [0, 1]}))
    assert said.startswith("Column 'history' (dtype int64) holds numbers where fit saw strings")


# ---- the log ----------------------------------------------------------------------------------


def test_columns_are_found_by_name_or_position(model):
    log = make_log()
    expected = model.fit(log).recommend(["u00"])[0]
    other = log.assign(price=1.0).rename(columns={"user_id": "who", "item_id": "what"})
    other = other[["price", "what", "who"]]
    for user, item in (("who", "what"), (2, 1)):
        renamed = clone(model).set_params(user=user, item=item).fit(other)
        np.testing.assert_array_equal(renamed.recommend(["u00"])[0], expected)
    with pytest.raises(ValueError, match=r"user='user_id'.*Did you mean 'userid'"):
        model.fit(log.rename(columns={"user_id": "userid"}))
    with pytest.raises(ValueError, match="user, item must be different columns"):
        clone(model).set_params(item="user_id").fit(log)


def test_plain_arrays_are_read_by_position_with_a_warning(model):
    log = make_log()
    array = log.apply(lambda column: column.str[1:].astype(int)).to_numpy()
    with pytest.warns(UserWarning, match="column 0 as user, column 1 as item is read by position"):
        model.fit(array)
    found = model.recommend([0])[0]
    by_name = clone(model).fit(make_log()).recommend(["u00"])[0]
    assert [f"i{k:02}" for k in found[0]] == by_name[0].tolist()
    with pytest.warns(UserWarning, match="by position"):
        model.predict_proba(array)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_rows_to_predict_need_only_users_and_items(model, library):
    log = make_log().assign(age=3.0, week=range(600))[["age", "user_id", "week", "item_id"]]
    if "time" in model.get_params():
        model.set_params(time="week")
    pairs = log[["user_id", "item_id"]]
    if library == "polars":
        polars = pytest.importorskip("polars")
        log, pairs = polars.from_pandas(log), polars.from_pandas(pairs)
    model.fit(log[:500])
    np.testing.assert_array_equal(model.predict_proba(pairs), model.predict_proba(log))
    assert model.score(pairs[500:]) == model.score(log[500:]) > 0
    for X, message in (
        (pairs[["user_id"]], "yet now missing:\n- item_id\n$"),
        (pairs[["item_id", "user_id"]], "in the same order"),
        (
            pairs.rename({"item_id": "item"})
            if library == "polars"
            else pairs.set_axis(["user_id", "item"], axis=1),
            "unseen at fit time:\n- item\n",
        ),
    ):
        for method in (model.predict_proba, model.score):
            with pytest.raises(ValueError, match=message):
                method(X)
    if "time" in model.get_params():
        with pytest.raises(ValueError, match=r"yet now missing:\n- week\n$"):
            model.partial_fit(pairs)
        lean = clone(model).fit(log[:400]).partial_fit(log[["user_id", "week", "item_id"]][400:500])
        np.testing.assert_array_equal(lean.predict(pairs), model.predict(pairs))


def test_columns_by_position_need_all_columns(model):
    """Positions are those of fit."""
    log = make_log().assign(age=3.0)[["age", "user_id", "item_id"]]
    model.set_params(user=1, item=2).fit(log)
    with pytest.raises(ValueError, match=r"yet now missing:\n- age"):
        model.predict_proba(log[["user_id", "item_id"]])


def test_rows_without_ids_are_left_out(model):
    log = make_log()
    holes = pd.concat([log, pd.DataFrame({"user_id": ["u00", None], "item_id": [None, "i00"]})])
    expected = model.fit(log).recommend(["u00"])
    for found, other in zip(clone(model).fit(holes).recommend(["u00"]), expected):
        np.testing.assert_array_equal(found, other)
    with pytest.raises(ValueError, match="must have a positive row with a user and an item"):
        model.fit(log.assign(item_id=None))


def test_failed_fit_changes_nothing(model):
    log = make_log()
    expected = model.fit(log).recommend(["u00"])
    for X, y in ((log.assign(item_id=pd.Timestamp(0)), None), (log, [1]), (log[["user_id"]], None)):
        for method in (model.fit, model.partial_fit):
            with pytest.raises((ValueError, TypeError)):
                method(X, y)
            for found, other in zip(model.recommend(["u00"]), expected):
                np.testing.assert_array_equal(found, other)


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("params", [{}, {"time": "time", "decay": 0.8}], ids=str)
def test_partial_fit_is_one_fit_on_all_rows(model, params, labelled):
    if params and isinstance(model, EASERetriever):
        params = {}
    model.set_params(**params)
    rng = np.random.default_rng(0)
    log = make_log().assign(time=rng.integers(0, 50, 600))
    # Users, items and pairs that the first part lacks, and pairs that come again.
    log = pd.concat([log[log["item_id"] < "i15"], log[log["item_id"] >= "i15"], log[:50]])
    y = rng.integers(0, 2, len(log)) if labelled else None
    weight = rng.integers(1, 4, len(log))
    whole = clone(model).fit(log, y, sample_weight=weight)
    parts = model
    for part in (slice(0, 200), slice(200, 201), slice(201, None)):
        y_part = None if y is None else y[part]
        parts.partial_fit(log[part], y_part, sample_weight=weight[part], classes=[0, 1])
    users = [*whole.users_, "nobody"]
    for found, other in zip(parts.recommend(users, k=30), whole.recommend(users, k=30)):
        np.testing.assert_array_equal(found, other)
    np.testing.assert_array_equal(parts.predict_proba(log), whole.predict_proba(log))


def test_repeated_pairs_add_up_and_the_last_one_counts():
    users, items = np.array([0, 0, 0, 1, 0]), np.array([1, 2, 1, 0, 0])
    pairs = Interactions.of(users, items, np.array([1.0, 2, 3, 4, 5]), None, (3, 3))
    assert pairs.items.tolist() == [2, 1, 0, 0]
    assert pairs.weight.tolist() == [2, 4, 5, 4]
    assert pairs.lengths.tolist() == [3, 1, 0]
    assert pairs.ages().tolist() == [2, 1, 0, 0]
    assert pairs.newest(2).items.tolist() == [1, 0, 0]
    assert pairs.take(np.array([1, -1, 0])).items.tolist() == [0, 2, 1, 0]
    times = np.array([9, 1, 2, 0, 3])
    timed = Interactions.of(users, items, np.ones(5), times, (3, 3))
    assert timed.items.tolist() == [2, 0, 1, 0]
    assert timed.times.tolist() == [1, 3, 9, 0]


def test_pickle_keeps_lists_and_learns_on(model):
    log = make_log()
    model.fit(log[:400])
    copy = pickle.loads(pickle.dumps(model))
    for fitted in (model, copy):
        fitted.partial_fit(log[400:])
    for found, other in zip(copy.recommend(["u00"]), model.recommend(["u00"])):
        np.testing.assert_array_equal(found, other)


# ---- probabilities ----------------------------------------------------------------------------


def test_positives_alone_leave_two_classes(model):
    log = make_log()
    for y in (None, np.ones(len(log))):
        model.fit(log, y)
        assert model.classes_.tolist() == [0, 1]
        p = model.predict_proba(log)
        assert p.shape == (len(log), 2)
        np.testing.assert_allclose(p.sum(axis=1), 1)
    unknown = pd.DataFrame({"user_id": ["u00"], "item_id": ["unknown item"]})
    assert model.predict_proba(unknown).tolist() == [[0.5, 0.5]]
    assert model.predict(unknown).tolist() == [1]
    with pytest.raises(ValueError, match="y must have two classes, got one class: 'click'"):
        model.fit(log, ["click"] * len(log))


def test_string_labels_give_the_same_as_0_and_1(model):
    log = make_log()
    y = np.random.default_rng(0).integers(0, 2, len(log))
    expected = model.fit(log, y).predict_proba(log)
    named = clone(model).fit(log, np.where(y == 1, "yes", "no"))
    assert named.classes_.tolist() == ["no", "yes"]
    np.testing.assert_array_equal(named.predict_proba(log), expected)


def clusters(n_users, n_items=60, seed=0):
    """Each user likes one of three groups of items: the chance of a row is 0.5 there, else 0.03."""
    rng = np.random.default_rng(seed)
    p = np.where(np.arange(n_users)[:, None] % 3 == np.arange(n_items) % 3, 0.5, 0.03)
    user, item = np.nonzero(rng.random(p.shape) < p)
    return pd.DataFrame({"user_id": user, "item_id": item}).sample(frac=1, random_state=seed)


def calibration_error(p, y):
    """Mean distance of probability and rate, over five groups of rows of like probability."""
    group = pd.qcut(p, 5, labels=False, duplicates="drop")
    groups = pd.DataFrame({"p": p, "y": y}).groupby(group)
    return np.average((groups["p"].mean() - groups["y"].mean()).abs(), weights=groups.size())


def test_probability_of_logged_against_random_pairs_is_calibrated(model):
    log = clusters(400)
    held_out = np.random.default_rng(1).random(len(log)) < 0.1
    model.fit(log[~held_out])
    test = log[held_out]
    random = test.assign(item_id=np.random.default_rng(2).integers(0, 60, len(test)))
    p = model.predict_proba(pd.concat([test, random]))[:, 1]
    assert calibration_error(p, np.repeat([1, 0], len(test))) < 0.07
    # With the groups known the difference is 0.32.
    assert p[: len(test)].mean() > p[len(test) :].mean() + 0.15


def test_probability_of_a_label_is_calibrated(model):
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 400, 24_000), rng.integers(0, 60, 24_000)
    log = pd.DataFrame({"user_id": user, "item_id": item}).drop_duplicates()
    chance = np.where(log["user_id"] % 3 == log["item_id"] % 3, 0.6, 0.1)
    y = (rng.random(len(log)) < chance).astype(int)
    train = rng.random(len(log)) < 0.8
    p = model.fit(log[train], y[train]).predict_proba(log[~train])[:, 1]
    assert p.mean() == pytest.approx(y[~train].mean(), abs=0.03)
    assert calibration_error(p, y[~train]) < 0.05
    # The chances are 0.6 and 0.1; users are known by the ten or so items that they took.
    likes = chance[~train] == 0.6
    assert p[likes].mean() - p[~likes].mean() > 0.15


def test_curve_rises_and_stays_near_the_rates():
    rng = np.random.default_rng(0)
    score = rng.random(4_000)
    positive = rng.random(4_000) < score
    knots, p = fit_curve(score, positive, np.ones(4_000))
    assert (np.diff(knots) > 0).all()
    assert (np.diff(p) >= 0).all()
    np.testing.assert_allclose(p, knots, atol=0.08)
    # All scores are equal: the base rate.
    knots, p = fit_curve(np.zeros(10), np.arange(10) < 3, np.ones(10))
    np.testing.assert_allclose(p, [0.3])


# ---- score ------------------------------------------------------------------------------------


def test_score_is_the_mean_ndcg_of_unseen_pairs(model):
    log = make_log()
    train, test = log[:450], log[450:]
    model.fit(train)
    # Rows that were seen are no target, rows of unknown ids and repeated rows are.
    extra = pd.DataFrame({"user_id": ["u00", "nobody"], "item_id": ["unknown item", "i00"]})
    held_out = pd.concat([test, test[:9], train[:20], extra])
    found = []
    for user, items in held_out.groupby("user_id")["item_id"]:
        targets = set(items) - set(history_of(train, user))
        if targets:
            row = model.recommend([user])[0][0]
            gain = sum(1 / np.log2(r + 2) for r, item in enumerate(row) if item in targets)
            found.append(gain / sum(1 / np.log2(r + 2) for r in range(min(len(targets), 10))))
    assert model.score(held_out) == pytest.approx(np.mean(found))
    y = np.ones(len(held_out))
    assert model.score(held_out, y) == pytest.approx(np.mean(found))
    with pytest.warns(UndefinedMetricWarning, match="no pair of user and item that fit has not"):
        assert model.score(train) == 0


def test_score_weighs_users_by_their_rows(model):
    log = make_log()
    model.fit(log[:450])
    test = log[450:]
    by_user = {user: model.score(rows) for user, rows in test.groupby("user_id")}
    weight = test["user_id"].str[1:].astype(float).to_numpy()
    expected = np.average(list(by_user.values()), weights=[float(user[1:]) for user in by_user])
    assert model.score(test, sample_weight=weight) == pytest.approx(expected)


def test_grid_search_uses_it(model):
    log = make_log().assign(row=range(600))
    name, values = ("n_neighbors", [1, 30]) if isinstance(model, ItemCF) else ("l2", [1.0, 50.0])
    split = [(np.arange(450), np.arange(450, 600))]
    found = GridSearchCV(model, {name: values}, cv=split, error_score="raise").fit(log)
    scores = [
        clone(model).set_params(**{name: value}).fit(log[:450]).score(log[450:]) for value in values
    ]
    np.testing.assert_allclose(found.cv_results_["mean_test_score"], scores)


# ---- helpers ----------------------------------------------------------------------------------


def test_matrix_to_log():
    matrix = sparse.csr_matrix([[0, 2.0], [1, 0], [0, 0.5]])
    matrix.data[1] = 0  # a stored zero is no interaction
    X, weight = interactions_from_matrix(matrix, users=["a", "b", "c"], items=[7, 9])
    assert X.to_dict("list") == {"user_id": ["a", "c"], "item_id": [9, 9]}
    assert weight.tolist() == [2, 0.5]
    X, _ = interactions_from_matrix(matrix.toarray(), user="u", item="i")
    assert X.to_dict("list") == {"u": [0, 2], "i": [1, 1]}
    with pytest.raises(ValueError, match="must hold weights that are finite and not negative"):
        interactions_from_matrix(-matrix)
    with pytest.raises(ValueError, match="users must have one id for each of the matrix's 3 rows"):
        interactions_from_matrix(matrix, users=["a"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_lists_to_log(library):
    frame = pd.DataFrame({"user": [1, 2, 3, 4], "bought": [["a", "b"], [], None, ["b", None, "a"]]})
    if library == "polars":
        frame = pytest.importorskip("polars").from_pandas(frame)
    log = interactions_from_lists(frame, user="user", items="bought", item="product")
    assert log.to_dict("list") == {"user": [1, 1, 4, 4], "product": ["a", "b", "b", "a"]}
    with pytest.raises(ValueError, match="Did you mean 'bought'"):
        interactions_from_lists(frame, user="user", items="bougt")
    with pytest.raises(TypeError, match="must hold lists of items"):
        interactions_from_lists(frame, user="user", items="user")


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_large_ids_beside_missing_ones_stay_apart(library, model):
    """2**53 and 2**53 + 1 are one float64."""
    users, lists = [2**53, 2**53 + 1, None], [[2**53], [2**53 + 1, None], [3]]
    if library == "polars":
        polars = pytest.importorskip("polars")
        ids = polars.Series("user_id", users)
        frame = polars.DataFrame({"user_id": ids, "items": lists})
    else:
        ids = pd.Series(users, dtype="Int64", name="user_id")
        frame = pd.DataFrame({"user_id": ids, "items": lists})
    log = interactions_from_lists(frame)
    assert log["user_id"][:2].tolist() == users[:2]
    assert log["user_id"].isna().tolist() == [False, False, True]
    assert log["item_id"].tolist() == [2**53, 2**53 + 1, 3]
    model.fit(log)
    for asked in (ids, users):
        found = model.recommend(asked, k=1, exclude_seen=False, as_frame=True)
        assert found["user_id"][:2].tolist() == users[:2]
        assert pd.isna(found["user_id"][2])
    history = {7: [2**53, None], 8: [2**53 + 1, None]}
    assert model.has_seen([7, 8, 7], [2**53, 2**53 + 1, 2**53 + 1], history=history).tolist() == [
        True, True, False,
    ]  # fmt: skip
    X, _ = interactions_from_matrix(np.ones((3, 1)), users=users)
    assert X["user_id"][:2].tolist() == users[:2]


def test_top_k_prefers_the_first_of_equals():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (50, 30)).astype(float)
    scores[:, ::7] = -np.inf
    columns, values = top_k(scores, 12)
    for row, found, best in zip(scores, columns, values):
        expected = np.argsort(-row, kind="stable")[:12]
        assert found.tolist() == expected.tolist()
        np.testing.assert_array_equal(best, row[expected])
    columns, values = top_k(scores, 40)
    assert (columns[:, 25:] == -1).all()
    entries = sparse.csr_matrix(np.where(scores > 0, scores, 0))
    columns, values = top_k_of_entries(entries, 12)
    for row, found in zip(scores, columns):
        expected = [j for j in np.argsort(-row, kind="stable") if row[j] > 0][:12]
        assert found[found >= 0].tolist() == expected


def test_fill_up_goes_on_where_a_list_ends():
    columns, values = np.array([[3, 1, -1, -1]]), np.array([[9.0, 8, -np.inf, -np.inf]])
    fallback = np.array([[-np.inf, 0.0, 0, 0]])
    columns, values = fill_up(columns, values, fallback)
    assert columns.tolist() == [[3, 1, 2, -1]]
    assert values.tolist() == [[9, 8, 0, -np.inf]]


@pytest.mark.parametrize("estimator", [ItemCF(), TwoTowerRetriever()])
def test_a_matrix_is_no_log(estimator):
    with pytest.raises(TypeError, match=r"sparse matrix.*interactions_from_matrix\(X\)"):
        estimator.fit(sparse.eye_array(5, format="csr"))
    assert not hasattr(estimator, "n_features_in_")
