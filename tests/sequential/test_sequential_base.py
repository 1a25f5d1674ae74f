"""Next-item base: histories, the catalogue, losses and rankings, against slow obvious versions."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch.nn import functional as F

from sk_adrec import HSTUNextItem, SASRecNextItem, losses
from sk_adrec.losses import SampledSoftmaxLoss, SoftmaxLoss
from sk_adrec.nn import Batch, Lists, PackedLists
from sk_adrec.sequential import _catalogue, leave_last_out, make_prefixes
from sk_adrec.sequential._ranks import OUT, places, top
from sk_adrec.utils._checks_next_item import history_rows

QUICK = {"embedding_dim": 8, "dropout": 0.0, "id_dropout": 0.0, "lr": 0.01, "random_state": 0}


def quick(**params):
    return HSTUNextItem(**{**QUICK, "max_epochs": 3, **params})


# ---- losses --------------------------------------------------------------------------------------


@pytest.fixture
def softmax_case():
    generator = torch.Generator().manual_seed(0)

    def draw(*size):
        return torch.randn(*size, dtype=torch.float64, generator=generator)

    y = torch.randint(7, (53,), generator=generator)
    return draw(53, 3).requires_grad_(), draw(7, 3).requires_grad_(), y


@pytest.mark.parametrize("weighted", [False, True])
def test_softmax_loss_equals_cross_entropy_and_its_gradients(softmax_case, weighted, monkeypatch):
    monkeypatch.setattr(losses, "_BLOCK", 7 * 20)  # three blocks, the last one shorter
    u, items, y = softmax_case
    weight = torch.linspace(0, 2, len(y), dtype=u.dtype) if weighted else torch.ones_like(u[:, 0])
    got = SoftmaxLoss()(u, items, y)
    expected = F.cross_entropy(u @ items.T, y, reduction="none")
    assert_allclose(got.detach(), expected.detach(), rtol=1e-12)
    for one, other in zip(
        torch.autograd.grad((got * weight).sum(), (u, items)),
        torch.autograd.grad((expected * weight).sum(), (u, items)),
    ):
        assert_allclose(one, other, atol=1e-12)


def test_softmax_loss_of_large_logits_is_finite():
    u, items = torch.tensor([[1e4]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    loss = SoftmaxLoss()(u, items, torch.tensor([1]))
    loss.sum().backward()
    assert loss.item() == 2e4
    assert u.grad.item() == 2.0


def test_softmax_loss_of_no_states():
    u, items = torch.zeros(0, 2, requires_grad=True), torch.ones(3, 2, requires_grad=True)
    SoftmaxLoss()(u, items, torch.zeros(0, dtype=torch.int64)).sum().backward()
    assert not items.grad.any()


@pytest.mark.parametrize("shared", [True, False])
def test_sampled_softmax_leaves_accidental_hits_out(softmax_case, shared):
    u, items, y = softmax_case
    drawn = torch.randint(
        7, (5,) if shared else (53, 5), generator=torch.Generator().manual_seed(1)
    )
    got = SampledSoftmaxLoss()(u, items[y], items[drawn], y, drawn)
    for i in range(len(y)):
        others = [k for k in (drawn if shared else drawn[i]).tolist() if k != y[i]]
        z = u[i] @ items[[int(y[i]), *others]].T
        assert got[i].item() == pytest.approx(-F.log_softmax(z, 0)[0].item())


def test_sampled_softmax_of_hits_only_is_zero():
    u, vectors = torch.ones(1, 1), torch.ones(2, 1)
    assert SampledSoftmaxLoss()(u, u, vectors, torch.tensor([0]), torch.tensor([0, 0])) == 0


# ---- packing, ranks ------------------------------------------------------------------------------


@pytest.mark.parametrize("max_len", [1, 3, 50])
def test_packed_lists_hold_the_newest_entries_of_each_list_in_order(max_len):
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 40, 60)
    lists = [rng.integers(1, 99, n) for n in lengths]
    offsets = torch.from_numpy(np.append(0, lengths.cumsum()))
    packed = PackedLists.of(offsets, max_len)
    found = [[] for _ in lists]
    values = packed.pack(torch.from_numpy(np.concatenate(lists)))
    for row, step, place in zip(packed.row, packed.step, packed.place):
        assert step == len(found[row])
        found[row].append(values[place].item())
    for list_, kept in zip(lists, found):
        assert kept == list_[-max_len:].tolist()
    assert packed.N == sum(n * T for n, T in packed.shapes) < 1.5 * len(packed.row) + 60
    assert (values > 0).sum() == len(packed.row)
    for block, (n, T) in zip(packed.blocks(values), packed.shapes):
        assert block.shape == (n, T)
        assert (block[:, 1:] <= 0).logical_or(block[:, :-1] > 0).all()  # padding on the right


def test_packed_lists_of_nothing():
    packed = PackedLists.of(torch.zeros(4, dtype=torch.int64), 5)
    assert (packed.N, packed.shapes, len(packed.row)) == (0, [], 0)


def test_places_and_top_agree_with_sorting_where_scores_are_equal():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 4, (200, 12)).astype(float)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")
    values, index = top(torch.from_numpy(scores.copy()), 5)
    real = ~np.isneginf(values.numpy())
    assert_array_equal(index.numpy()[real], order[:, :5][real])
    y = rng.integers(-1, 12, 200)
    place = places(torch.from_numpy(scores), torch.from_numpy(y)).numpy()
    for row in range(200):
        out = y[row] < 0 or np.isneginf(scores[row, y[row]])
        assert place[row] == (OUT if out else 1 + order[row].tolist().index(y[row]))


# ---- from a log to rows --------------------------------------------------------------------------


@pytest.fixture
def log():
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "user_id": rng.integers(0, 30, n),
            "item_id": rng.integers(0, 50, n).astype(str),
            "time": rng.integers(0, 40, n),
            "shop": pd.Categorical(rng.choice(["x", "y"], n)),
        }
    )


def test_leave_last_out_against_a_loop(log):
    parts = leave_last_out(log, time="time", event_features=["shop"])
    for back, (X, y) in zip((3, 2, 1), parts):
        expected = []
        for user, events in log.sort_values("time", kind="stable").groupby("user_id"):
            if len(events) > back:
                past, now = events.iloc[:-back], events.iloc[-back]
                row = [user, list(past["item_id"]), list(past["shop"]), list(past["time"])]
                expected.append((*row, now["time"], now["item_id"]))
        got = X.assign(y=y)
        assert list(got) == ["user_id", "hist_item_id", "hist_shop", "hist_time", "time", "y"]
        found = [tuple(list(v) if np.ndim(v) else v for v in row) for row in got.to_numpy()]
        assert found == expected


def test_make_prefixes_against_a_loop(log):
    X, y = make_prefixes(log, time="time", min_len=2, max_len=3)
    expected = {}
    for _, events in log.sort_values("time", kind="stable").groupby("user_id"):
        for k in range(2, len(events)):
            now = events.iloc[k]
            expected[now.name] = (list(events["item_id"].iloc[max(0, k - 3) : k]), now["item_id"])
    assert dict(zip(X.index, zip(map(list, X["hist_item_id"]), y))) == expected
    assert (X["time"] == log["time"].loc[X.index]).all()


def test_make_prefixes_of_some_events_are_those_of_all(log):
    wanted = np.random.default_rng(1).random(len(log)) < 0.3
    X, y = make_prefixes(log, time="time", max_len=3)
    X_some, y_some = make_prefixes(log, time="time", max_len=3, rows=wanted)
    kept = wanted[X.index]
    pd.testing.assert_frame_equal(X_some, X[kept])
    pd.testing.assert_series_equal(y_some, y[kept])
    with pytest.raises(ValueError, match=r"one bool for each of the 200 events, got int64"):
        make_prefixes(log, rows=np.arange(200))


def test_first_events_have_empty_histories(log):
    X, _ = make_prefixes(log, min_len=0)
    assert len(X) == len(log)
    assert (X["hist_item_id"].list.len() == 0).sum() == log["user_id"].nunique()


def test_logs_that_are_refused(log):
    with pytest.raises(ValueError, match=r"log has no column 'item'.*Did you mean 'item_id'"):
        leave_last_out(log, item="item")
    with pytest.raises(
        ValueError, match=r"'item_id' is missing in 1 rows, the first of them row 3"
    ):
        make_prefixes(log.assign(item_id=log["item_id"].where(log.index != 3)))
    with pytest.raises(ValueError, match="max_len at least 1, got 0 and 0"):
        make_prefixes(log, min_len=0, max_len=0)


# ---- X and y -------------------------------------------------------------------------------------


def test_classes_are_the_sorted_union_of_histories_and_y():
    X = pd.DataFrame({"h": [["b", "d"], ["a"]] * 3})
    assert quick().fit(X, ["c", "e"] * 3).classes_.tolist() == list("abcde")


def test_arrays_have_the_classes_of_y_and_nan_is_padding():
    X = np.array([[1.0, 2.0, 7.0], [np.nan, 1.0, 2.0], [2.0, np.nan, np.nan]])
    model = quick(dtype="float64").fit(X, [1, 2, 3])
    assert model.classes_.tolist() == [1, 2, 3]
    assert model.classes_.dtype.kind == "i"
    padded = np.array([[1.0, 2.0, np.nan], [1.0, np.nan, 2.0]])
    p = model.predict_proba(padded)
    assert_allclose(p, np.broadcast_to(model.predict_proba(X[1:2]), p.shape))
    assert quick().fit(X, ["x", "y", "x"]).classes_.tolist() == ["x", "y"]


def test_a_frame_without_lists_is_read_by_position_with_a_warning():
    X = pd.DataFrame({"first": [1, 2], "second": [2, 1]})
    with pytest.warns(UserWarning, match="no list column, so its 2 columns are read as the items"):
        quick().fit(X, [1, 2])


ROWS = pd.DataFrame({"h": [["a", "b"], ["b"]], "t": [[1.0, 2.0], [3.0]], "now": [4.0, 5.0]})


@pytest.mark.parametrize(
    ("X", "y", "params", "error", "message"),
    [
        (ROWS, ["a", "b"], {}, ValueError, r"the list columns \['h', 't'\]: name the one"),
        (ROWS[["now"]].astype(str), ["a", "b"], {}, ValueError, "X has no list column: name"),
        (ROWS, ["a", "b"], {"history": "hist"}, ValueError, "history names a column that X lacks"),
        (ROWS, ["a", "b"], {"history": "now"}, TypeError, "Column 'now'.* must hold lists"),
        (ROWS[["h"]], [1, 2], {}, ValueError, "must hold strings .*, got numbers .*astype"),
        (
            ROWS[["h"]].assign(h=[["a", 1], ["b"]]), ["a", "b"], {},
            ValueError, "Column 'h' must hold items of one kind, got numbers and strings",
        ),
        (
            ROWS[["h"]], np.array(["a", 1], dtype=object), {},
            ValueError, "y must hold items of one kind",
        ),
        (ROWS[["h"]], ["a", None], {}, ValueError, "must have an item in every row: .* row 1"),
        (ROWS[["h"]], [0.5, 1.5], {}, ValueError, "Unknown label type"),
        (ROWS[["h"]][1:], ["b"], {}, ValueError, "at least two items to tell apart, got one class"),
        (ROWS, ["a", "b"], {"request_time": "now"}, ValueError, "needs history_time"),
        (
            ROWS.assign(t=[[1.0], [3.0]]), ["a", "b"], {"history": "h", "history_time": "t"},
            ValueError, "one entry for each item of 'h': row 0 has 1, and 2 items",
        ),
        (
            ROWS.assign(t=[["x", "y"], ["z"]]), ["a", "b"], {"history": "h", "history_time": "t"},
            TypeError, "history_time: Column 't' .* must hold times",
        ),
        (ROWS[["h"]], ["a", "b"], {"n_heads": 3}, ValueError, "multiple of n_heads, got 8 and 3"),
        (ROWS[["h"]], ["a", "b"], {"dropout": 1.0}, ValueError, r"dropout must be .*\[0, 1\)"),
        (ROWS[["h"]], ["a", "b"], {"temperature": 0}, ValueError, r"temperature must be"),
        (ROWS[["h"]], ["a", "b"], {"train_positions": "first"}, ValueError, "'all', 'last'"),
        (ROWS[["h"]], ["a", "b"], {"loss": "bce"}, ValueError, "'softmax', 'sampled_softmax'"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_leaves_nothing(X, y, params, error, message):
    model = quick(**params)
    with pytest.raises(error, match=message):
        model.fit(X, y)
    assert not hasattr(model, "classes_")


def test_probabilities_that_do_not_fit_into_memory(monkeypatch):
    model = quick().fit(ROWS[["h"]], ["a", "b"])
    monkeypatch.setattr(_catalogue.os, "sysconf", lambda name: 1)
    with pytest.raises(MemoryError, match=r"2 items for 2 rows would take 0.0 GiB.*recommend"):
        model.predict_proba(ROWS[["h"]])
    with pytest.raises(MemoryError, match=r"3,000,000 items for 100,000 rows .* 1,117.6 GiB"):
        _catalogue._check_memory(100_000, 3_000_000, 4)


# ---- training ------------------------------------------------------------------------------------


@pytest.mark.parametrize("positions", ["all", "last"])
def test_weights_count_as_repetitions(positions):
    X, y = history_rows(60)
    weight = np.random.default_rng(1).integers(0, 3, 60)
    model = quick(dtype="float64", train_positions=positions, batch_size=1000, max_epochs=5)
    weighted = model.fit(X, y, sample_weight=weight).predict_proba(X)
    rows = np.repeat(np.arange(60), weight)
    assert_allclose(model.fit(X.iloc[rows], y[rows]).predict_proba(X), weighted, atol=1e-9)
    assert np.abs(model.fit(X, y).predict_proba(X) - weighted).max() > 1e-4


@pytest.mark.parametrize("params", [{"negatives": "per_position"}, {"negatives": "shared"}])
def test_sampled_softmax_learns(params):
    X, y = history_rows(800)
    model = quick(loss="sampled_softmax", n_negatives=10, max_epochs=25, batch_size=64, **params)
    some = X["hist_item_id"].list.len() > 0
    assert np.mean(model.fit(X, y).predict(X[some]) == y[some]) > 0.85


def test_plain_logits_learn_popularity_for_empty_histories():
    X = pd.DataFrame({"h": [[]] * 100})
    y = np.repeat(["often", "rare"], [80, 20])
    model = quick(normalize=False, max_epochs=100, lr=0.05).fit(X, y)
    assert_allclose(model.predict_proba(X[:1]), [[0.8, 0.2]], atol=0.02)


def test_last_position_ignores_what_happened_earlier_in_the_history():
    # Within histories a is followed by b; only the last step leads to c.
    X = pd.DataFrame({"h": [["a", "b", "a", "b", "a"]] * 40})
    X_one = pd.DataFrame({"h": [["a"]]})
    predicted = {
        positions: quick(train_positions=positions, max_epochs=80, lr=0.05)
        .fit(X, ["c"] * 40)
        .predict(X_one)
        for positions in ("all", "last")
    }
    assert predicted == {"all": ["b"], "last": ["c"]}


def test_early_stopping_restores_the_epoch_of_the_best_ndcg():
    X, y = history_rows(150)
    X_val, y_val = history_rows(300, seed=1)
    model = quick(lr=0.1, max_epochs=40, early_stopping=True, n_iter_no_change=3, batch_size=16)
    model.set_params(exclude_seen=False).fit(X, y, X_val=X_val, y_val=y_val)
    scores = model.validation_scores_
    assert model.n_iter_ == len(scores) < 40
    ids, _ = model.recommend(X_val, 10)
    hit = ids == y_val[:, None]
    ndcg = (hit / np.log2(np.arange(2, 12))).sum(1).mean()
    assert ndcg == pytest.approx(max(scores), abs=1e-6)
    assert max(scores) > scores[-1]


def test_held_out_items_are_not_learned_but_their_histories_are():
    X = pd.DataFrame({"h": [["a", "b"]] * 50})
    y = np.where(np.arange(50) % 2, "c", "d")
    model = quick(early_stopping=True, validation_fraction=0.5, max_epochs=2).fit(X, y)
    taken = []
    learn = type(model.net_).fit

    def record_and_learn(net, rows, *args):
        taken.append(rows)
        return learn(net, rows, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.net_), "fit", record_and_learn)
        model.fit(X, y)
    (rows,) = taken
    assert len(rows) == 50
    assert (rows.y == 0).sum() == 25


def test_items_that_repeat_are_pointed_out():
    X = pd.DataFrame({"h": [["a", "b"]] * 30})
    with pytest.warns(UserWarning, match="100% of the held-out items occur in their own history"):
        quick(early_stopping=True).fit(X, ["a", "b"] * 15)


def test_partial_fit_grows_the_catalogue_in_order():
    X = pd.DataFrame({"h": [["b"], ["d"]] * 20})
    model = quick(grow_vocabulary=True, lr=0.05, max_epochs=20).fit(X, ["d", "b"] * 20)
    X_new = pd.DataFrame({"h": [["a"], ["c"]] * 20})
    for _ in range(40):
        model.partial_fit(X_new, ["c", "a"] * 20)
    assert model.classes_.tolist() == list("abcd")
    assert model.predict(X_new[:2]).tolist() == ["c", "a"]
    assert model.predict_proba(X_new[:2])[[0, 1], [2, 0]].min() > 0.5
    assert model.item_embeddings_.shape == (4, 8)
    fixed = quick(lr=0.05).fit(X, ["d", "b"] * 20).partial_fit(X_new, ["c", "a"] * 20)
    assert fixed.classes_.tolist() == ["b", "d"]


def test_further_fields_of_events_are_used():
    rng = np.random.default_rng(0)
    shop = rng.integers(0, 2, 300)
    X = pd.DataFrame({"h": [["a"]] * 300, "shop": [[f"shop_{k}"] for k in shop]})
    y = np.where(shop == 1, "b", "c")
    model = quick(history="h", event_features=("shop",), max_epochs=20).fit(X, y)
    assert (model.predict(X) == y).all()
    assert set(model.embeddings("shop").index) == {"shop_0", "shop_1"}


# ---- rankings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("y", "null"), [([3, 1], -1), (["c", "a"], None)])
def test_recommend_fills_a_shortfall_with_nulls(y, null):
    X = pd.DataFrame({"h": [[1, 2], []] if null == -1 else [["a", "b"], []]})
    model = quick().fit(X, y)
    ids, scores = model.recommend(X, 5)
    assert ids[0, 0] == y[0]
    assert ids[0, 1:].tolist() == [null] * 4
    assert np.isneginf(scores[0, 1:]).all()
    assert set(ids[1, :3]) == set(model.classes_)
    frame = model.recommend(X, 5, as_frame=True)
    assert list(frame) == ["row", "item", "score", "rank"]
    assert frame["row"].tolist() == [0, 1, 1, 1]
    assert frame["rank"].tolist() == [1, 1, 2, 3]


def test_recommend_leaves_out_what_lies_beyond_max_len():
    X = pd.DataFrame({"h": [["a", "b", "c"]]})
    model = quick(max_len=1).fit(X, ["d"])
    assert model.recommend(X, 2)[0].tolist() == [["d", None]]


def test_blocks_of_scores_do_not_matter(monkeypatch):
    X, y = history_rows(50)
    model = quick().fit(X, y)
    expected = model.recommend(X, 4), model.predict_proba(X), model.score(X, y)
    monkeypatch.setattr(_catalogue, "_SCORES_AT_ONCE", 7 * 20)
    got = model.recommend(X, 4), model.predict_proba(X), model.score(X, y)
    assert_array_equal(got[0][0], expected[0][0])
    assert_allclose(got[1], expected[1], rtol=1e-5)
    assert got[2] == expected[2]


def test_score_is_the_hit_rate_and_an_unknown_item_a_miss():
    X, y = history_rows(200)
    model = quick(exclude_seen=False).fit(X, y)
    ids, _ = model.recommend(X, 10)
    hit = (ids == y[:, None]).any(1)
    assert model.score(X, y) == pytest.approx(hit.mean())
    weight = np.linspace(0, 1, 200)
    assert model.score(X, y, sample_weight=weight) == pytest.approx(np.average(hit, weights=weight))
    assert model.score(X, np.full(200, 9_999)) == 0


@pytest.mark.parametrize("Model", [HSTUNextItem, SASRecNextItem])
def test_rows_are_finite_and_do_not_depend_on_their_batch(Model):
    rng = np.random.default_rng(0)
    lengths = [0, 1, 2, 5, 6, 30, 100]
    X = pd.DataFrame({"h": [rng.integers(0, 9, n) for n in lengths]})
    X.loc[7] = [np.array([77, 78])]  # unknown items only
    model = Model(**QUICK, max_len=6, max_epochs=3, dtype="float64").fit(X[:7], np.arange(7))
    together = model.predict_proba(X)
    assert np.isfinite(together).all()
    alone = [model.predict_proba(X[k : k + 1])[0] for k in range(8)]
    assert_allclose(together, alone, rtol=1e-10)
    newest = pd.DataFrame({"h": [h[-6:] for h in X["h"]]})
    assert_allclose(model.predict_proba(newest), together, rtol=1e-10)


@pytest.mark.parametrize("Model", [HSTUNextItem, SASRecNextItem])
def test_a_row_is_rounded_alike_in_any_company(Model):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"h": [rng.integers(0, 9, n) for n in rng.integers(0, 60, 90)]})
    params = QUICK | {"embedding_dim": 50}
    model = Model(**params, max_len=45, max_epochs=2).fit(X, rng.integers(0, 9, 90))
    whole = model.predict_proba(X)
    order = rng.permutation(90)
    assert_array_equal(model.predict_proba(X.iloc[order]), whole[order])
    for part in (order[:1], order[3:5], order[5:22], order[22:]):
        assert_array_equal(model.predict_proba(X.iloc[part]), whole[part])


MODELS = pytest.mark.parametrize("Model", [HSTUNextItem, SASRecNextItem])


def training_loss(model, lists, y):
    """The module in training, the loss of each row, and the states at every position."""
    codes = np.concatenate([np.empty(0), *lists]).astype(np.int32)
    offsets = torch.tensor([0, *np.cumsum([len(one) for one in lists])])
    nothing = torch.zeros(len(lists), 0)
    history = Lists(torch.from_numpy(codes), offsets, None)
    module = model.net_.module_.train()
    output = module(Batch(nothing, nothing.int(), {"h": history}))
    loss = model.net_.criterion_(output, torch.tensor(y), module)
    module.eval()
    return module, loss, output.states


@MODELS
@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
@pytest.mark.parametrize("lengths", [[0], [0, 0], [1], [0, 1, 5, 6, 7, 40]])
def test_losses_and_gradients_are_finite_for_lists_of_any_length(Model, loss, lengths):
    X = pd.DataFrame({"h": [np.arange(9), [1]]})
    model = Model(**QUICK, loss=loss, n_negatives=4, max_len=6, max_epochs=1).fit(X, [1, 2])
    lists = [np.arange(n) % 9 + 2 for n in lengths]
    module, rows, _ = training_loss(model, lists, [3] * len(lists))
    module.zero_grad()
    rows.sum().backward()
    assert rows.isfinite().all()
    grads = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(
        (grad.coalesce().values() if grad.is_sparse else grad).isfinite().all() for grad in grads
    )


@MODELS
def test_later_items_change_no_earlier_prediction_in_training(Model):
    X = pd.DataFrame({"h": [np.arange(9), [1]]})
    model = Model(**QUICK, dtype="float64", max_len=6, max_epochs=1).fit(X, [1, 2])
    items = np.array([3, 5, 2, 7, 4, 6])
    _, _, before = training_loss(model, [items], [3])
    for k in range(1, 6):
        changed = items.copy()
        changed[k:] = 9
        _, _, after = training_loss(model, [changed], [3])
        assert_allclose(after[:k].detach(), before[:k].detach(), rtol=1e-12)
        assert (after[k:6] - before[k:6]).abs().max() > 1e-6


@MODELS
@pytest.mark.parametrize("positions", ["all", "last"])
def test_histories_that_are_all_empty_are_learned_from(Model, positions):
    X = pd.DataFrame({"h": [[]] * 40})
    model = Model(**QUICK, train_positions=positions, max_epochs=30).fit(X, ["a"] * 30 + ["b"] * 10)
    assert np.isfinite(model.loss_curve_).all()
    assert model.predict(X[:1]) == ["a"]
