"""Next-item models: what a fit checks and warns of, partial_fit, scores of small catalogues."""

import copy

import numpy as np
import pandas as pd
import pytest

from sk_adrec import HSTUNextItem, SASRecNextItem
from sk_adrec.preprocessing._encoded import Ragged
from sk_adrec.sequential import leave_last_out, make_prefixes
from sk_adrec.sequential._checks import _MANY_PREFIXES
from sk_adrec.sequential._prefixes import find_continued, share_of_prefixes
from sk_adrec.utils._checks_next_item import history_rows

QUICK = {"embedding_dim": 8, "dropout": 0.0, "id_dropout": 0.0, "lr": 0.01, "random_state": 0}


def quick(**params):
    return HSTUNextItem(**{**QUICK, "max_epochs": 3, **params})


def test_what_cannot_be_recommended_is_a_miss_in_a_catalogue_of_three():
    """Fewer than 10 items: even the last place is a hit, but neither unknown nor excluded ones."""
    model = quick().fit(pd.DataFrame({"h": [["a", "b"], ["b"]]}), ["c", "a"])
    rows = pd.DataFrame({"h": [["a"]]})
    assert model.score(rows, ["b"]) == model.score(rows, ["c"]) == 1
    assert model.score(rows, ["a"]) == 0  # seen
    assert model.score(rows, ["zzz"]) == 0
    X_val = pd.DataFrame({"h": [["a"]] * 3})
    with pytest.warns(UserWarning, match="50% of the held-out items occur in their own history"):
        model.fit(rows, ["b"], X_val=X_val, y_val=["a", "zzz", "b"])
    assert model.validation_scores_ == pytest.approx([1 / 3] * 3)


def test_partial_fit_on_short_histories_takes_steps_of_full_size():
    """Losses are means over the states of the rows at hand, not of those of the first call."""
    ids = 100 + np.arange(20)
    start = np.random.default_rng(0).integers(0, 20, 400)
    long = pd.DataFrame({"h": [ids[(k + np.arange(80)) % 20] for k in start]})
    model = quick(exclude_seen=False, max_epochs=1).fit(long, ids[start])
    short = pd.DataFrame({"h": [history[-1:] for history in long["h"]]})
    moved = ids[(start + 5) % 20]
    for _ in range(20):
        model.partial_fit(short, moved)
    assert (model.predict(short) == moved).all()
    # A mean over two states per row, the first of which can only be guessed.
    assert model.loss_curve_[-1] == pytest.approx(np.log(20) / 2, abs=0.2)


def test_states_per_row_in_partial_fit_are_those_of_the_module():
    model = quick(train_positions="last").fit(pd.DataFrame({"h": [[1, 2], [3]]}), [4, 5])
    model.set_params(max_len=1).partial_fit(pd.DataFrame({"h": [[1, 2, 3]]}), [4])
    assert model.net_.criterion_.states_per_row == 1
    model.set_params(train_positions="all").partial_fit(pd.DataFrame({"h": [[1, 2, 3]]}), [4])
    assert model.net_.criterion_.states_per_row == 4
    model = quick(max_len=3).fit(pd.DataFrame({"h": [[1, 2], [3]]}), [4, 5])
    model.partial_fit(pd.DataFrame({"h": [[1], []]}), [4, 5], sample_weight=[3, 1])
    assert model.net_.criterion_.states_per_row == (3 * 2 + 1) / 4


@pytest.mark.parametrize("as_text", [False, True])
def test_items_of_another_kind_than_those_of_fit_are_refused(as_text):
    lists, y = [[1, 2], [2]] * 5, [3, 1] * 5
    other = list(map(str, y))
    if as_text:
        lists, y, other = [list(map(str, one)) for one in lists], other, y
    X = pd.DataFrame({"h": lists})
    message = "y must hold (numbers|strings) as column 'h' does, got (numbers|strings) .*astype"
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y, X_val=X, y_val=other)
    model = quick(grow_vocabulary=True).fit(X, y)
    before = model.predict_proba(X)
    for call in (model.score, model.partial_fit, quick().fit(X, y).partial_fit):
        with pytest.raises(ValueError, match=message):
            call(X, other)
    X_other = pd.DataFrame({"h": [["1"]] if not as_text else [[1]]})
    with pytest.raises(ValueError, match=r"'h' must hold .* as it did in fit, got"):
        model.partial_fit(X_other, y[:1])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    array = np.array([[1, 2], [2, 3]], dtype=object if as_text else int)
    with pytest.raises(ValueError, match=r"y must hold .* as y of fit did, got"):
        quick().fit(array, y[:2]).score(array, other[:2])


def test_validation_rows_of_which_no_item_is_known_are_pointed_out():
    X = pd.DataFrame({"h": [["a", "b"], ["b"]] * 5})
    message = "None of the 3 held-out items occurs in the training rows"
    for exclude_seen in (True, False):
        with pytest.warns(UserWarning, match=message) as caught:
            model = quick(exclude_seen=exclude_seen).fit(
                X, ["c", "a"] * 5, X_val=X[:3], y_val=["x", "y", "z"]
            )
        assert model.validation_scores_ == [0.0] * 3
        assert [warning.filename for warning in caught] == [__file__]  # and no word by numpy


@pytest.mark.parametrize("Model", [HSTUNextItem, SASRecNextItem])
def test_the_start_learns_from_histories_that_are_read_from_their_beginning(Model):
    """What comes first is "a"; the middle of long histories, where they are cut, is "b" or "c"."""
    X = pd.DataFrame({"h": [["a"], ["a", *"bcbcbcbc"]] * 20})
    model = Model(**QUICK, max_len=4, max_epochs=60).fit(X, ["b", "b"] * 20)
    p = dict(zip(model.classes_, model.predict_proba(pd.DataFrame({"h": [[]]}))[0]))
    assert p["a"] > 0.95
    assert model.net_.criterion_.states_per_row == (2 + 4) / 2


def test_rows_that_teach_nothing_are_refused():
    X = pd.DataFrame({"h": [["a", "b"], ["b", "a"]] * 5})
    rare = [f"rare_{k}" for k in range(10)]
    message = "y must hold an item that is known, got 10 training rows without one.*min_frequency"
    model = quick(min_frequency=2, train_positions="last")
    with pytest.raises(ValueError, match=message):
        model.fit(X, rare)
    assert not hasattr(model, "classes_")
    assert len(model.set_params(train_positions="all").fit(X, rare).classes_) == 2


# ---- partial_fit(classes=), parameters -----------------------------------------------------------


@pytest.mark.parametrize("grow", [False, True])
def test_the_same_classes_may_be_passed_in_every_call(grow):
    X = pd.DataFrame({"h": [["a", "b"], ["x"]]})  # x is in a history only
    classes, new = ["a", "b", "c"], pd.DataFrame({"h": [["new"], ["b"]]})
    model = quick(grow_vocabulary=grow).partial_fit(X, ["c", "a"], classes=classes)
    assert model.classes_.tolist() == ["a", "b", "c", "x"]
    for rows in (new, X):
        model.partial_fit(rows, ["c", "a"], classes=np.array(classes))
    assert model.classes_.tolist() == ["a", "b", "c", *(["new"] if grow else []), "x"]
    with pytest.raises(ValueError, match=r"must be items that are known .* got 'y' and 1 more"):
        model.partial_fit(X, ["c", "a"], classes=["a", "y", "z"])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"event_features": "shop"}, TypeError, r"must be a list .* got 'shop': \['shop'\]"),
        ({"history": "h", "history_time": "h"}, ValueError, "history and history_time must name"),
        (
            {"history": "h", "event_features": ["shop", "h"]}, ValueError,
            r"history and event_features\[1\] must name different columns, got 'h' for both",
        ),
        (
            {"event_features": ["shop", "shop"]}, ValueError,
            r"event_features\[0\] and event_features\[1\] must name different columns",
        ),
        ({"exclude_seen": "no"}, ValueError, "exclude_seen must be one of True, False, got 'no'"),
        ({"normalize": "l2"}, ValueError, "normalize must be one of True, False, got 'l2'"),
    ],
)  # fmt: skip
def test_parameters_that_cannot_be_meant_are_refused(params, error, message):
    X = pd.DataFrame({"h": [["a", "b"], ["b"]], "shop": [["s", "t"], ["s"]]})
    model = quick(**params)
    with pytest.raises(error, match=message):
        model.fit(X, ["c", "a"])
    assert not hasattr(model, "classes_")


def test_recommend_refuses_an_exclude_seen_that_is_no_bool():
    X = pd.DataFrame({"h": [["a", "b"], ["b"]]})
    model = quick().fit(X, ["c", "a"])
    with pytest.raises(ValueError, match="exclude_seen must be one of None, True, False"):
        model.recommend(X, exclude_seen="no")


# ---- rows that are prefixes of others ------------------------------------------------------------


def ragged(lists):
    offsets = np.append(0, np.cumsum([len(one) for one in lists]))
    return Ragged(np.concatenate([np.empty(0, np.int32), *lists]).astype(np.int32), offsets)


@pytest.mark.parametrize("n_items", [1, 2, 40])
def test_continued_rows_against_a_loop(n_items):
    rng = np.random.default_rng(0)
    lists = [rng.integers(2, 2 + n_items, n).tolist() for n in rng.integers(0, 9, 40)]
    lists += [lists[k][:m] for k, m in zip(rng.integers(0, 40, 20), rng.integers(1, 9, 20))]
    lists += [lists[k][m:] for k, m in zip(rng.integers(0, 40, 20), rng.integers(1, 3, 20))]
    lists += [[], [2, 2, 2, 2], list(range(2, 10)), list(range(3, 11))]
    y = rng.integers(2, 2 + n_items, len(lists))
    y[-2:] = 10, 11
    whole = [(*one, int(item)) for one, item in zip(lists, y)]
    whole = [row for row in whole if len(row) > 3 and len(set(row)) > 1]
    histories = [row[:-1] for row in whole]
    rarest = min(map(histories.count, histories))
    expected = [
        (
            row in histories or (len(row) == 9 and row[1:] in histories),
            histories.count(row[:-1]) > rarest,
        )
        for row in set(whole)
    ]
    found = find_continued(ragged(lists), y)
    assert sorted(zip(*map(np.ndarray.tolist, found))) == sorted(expected)


def noise_log(n_users=60, n_events=12):
    items = np.random.default_rng(0).integers(0, 200, n_users * n_events)
    return pd.DataFrame({"user_id": np.repeat(np.arange(n_users), n_events), "item_id": items})


@pytest.mark.parametrize("max_len", [50, 4])
def test_rows_that_are_prefixes_of_others_are_pointed_out(max_len):
    X, y = make_prefixes(noise_log(), max_len=max_len)
    # Of a user's nine rows of 3 events or more nothing continues the last one.
    message = "89% of the rows with 3 events or more look like prefixes.*train_positions=.last."
    with pytest.warns(UserWarning, match=message) as caught:
        quick(max_epochs=1).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def share(lists):
    return share_of_prefixes(
        ragged([one[:-1] for one in lists]), np.array([one[-1] for one in lists])
    )


def prefixes(lists, max_len=50):
    return [one[max(0, j - max_len) : j + 1] for one in lists for j in range(1, len(one))]


@pytest.mark.parametrize("max_len", [50, 5])
@pytest.mark.parametrize(
    "other",
    [
        lambda users: [*users, [7] * 200],
        lambda users: users + [users[0]] * 10,
        lambda users: users * 2,
        lambda users: [[2, 3, 4, 5, *one] for one in users],
        lambda users: [[2, 3, 4, 5, 6, 7, *one[6:]] for one in users],
    ],
    ids=["bot", "alike", "twice", "onboarding-4", "onboarding-6"],
)
def test_odd_users_hide_no_prefixes(other, max_len):
    users = np.random.default_rng(0).integers(2, 500, (300, 12)).tolist()
    assert share(prefixes(other(users), max_len)) > 0.6


def test_a_few_prefixes_are_none():
    users = np.random.default_rng(0).integers(2, 500, (10, 6)).tolist()
    assert share(prefixes(users[:9])) == 0
    assert share(prefixes(users * 3)) == 0
    users = np.random.default_rng(0).integers(2, 500, (15, 6)).tolist()
    assert share(prefixes(users)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("n_users", [50, 300, 3_000])
@pytest.mark.parametrize(
    "draw_length",
    [lambda rng: rng.geometric(0.15) + 1, lambda rng: rng.integers(4, 200)],
    ids=["geometric", "uniform"],
)
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.integers(2, 4, n),
        lambda rng, n: rng.integers(2, 5, n),
        lambda rng, n: np.full(n, rng.integers(2, 22)),
        lambda rng, n: 1000 * rng.integers(20) + np.arange(2, 2 + n),
        lambda rng, n: 1000 * rng.integers(300) + np.arange(2, 2 + n),
        lambda rng, n: 1000 * rng.integers(1000) + np.arange(2, 2 + n),
    ],
    ids=["two-items", "three-items", "one-item", "series-20", "series-300", "series-1000"],
)
def test_users_who_begin_alike_are_no_prefixes(draw, draw_length, n_users):
    rng = np.random.default_rng(0)
    assert share([draw(rng, draw_length(rng)) for _ in range(n_users)]) <= _MANY_PREFIXES


def test_rows_that_are_no_prefixes_pass(recwarn):
    X, y = make_prefixes(noise_log())
    quick(max_epochs=1, train_positions="last").fit(X, y)
    for rows in leave_last_out(noise_log()):
        quick(max_epochs=1).fit(*rows)
    # Few items, each with one likely successor: rows begin alike by chance.
    quick(max_epochs=1).fit(*history_rows(400))
    assert not recwarn.list


def test_a_million_events_are_searched_in_a_moment():
    rng = np.random.default_rng(0)
    history = Ragged(rng.integers(2, 3_700, 10**6).astype(np.int32), np.arange(0, 10**6 + 1, 160))
    assert share_of_prefixes(history, rng.integers(2, 3_700, len(history))) == 0


def test_partial_fit_goes_by_the_train_positions_that_are_set():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"h": [list(rng.integers(0, 30, 6)) for _ in range(60)]})
    y = rng.integers(0, 30, 60)
    model = SASRecNextItem(
        history="h", embedding_dim=8, dropout=0.0, id_dropout=0.0, max_epochs=1, random_state=0
    ).fit(X, y)
    p = {}
    for positions in ("all", "last"):
        one = copy.deepcopy(model).set_params(train_positions=positions).partial_fit(X, y)
        p[positions] = one.predict_proba(X)
        assert one.net_.criterion_.states_per_row == {"all": 7.0, "last": 1.0}[positions]
    assert np.abs(p["all"] - p["last"]).max() > 1e-6
