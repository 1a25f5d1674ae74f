"""TwoTowerRetriever: planted taste, losses, the logQ correction, cold starts, catalogues."""

import copy
import pickle
import warnings
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sk_adrec import TwoTowerRetriever
from sk_adrec.losses import InBatchSoftmaxLoss, PairwiseLoss
from sk_adrec.nn import Lists
from sk_adrec.nn.random import Draws, drawing_from
from sk_adrec.retrieval import _two_tower
from sk_adrec.retrieval._towers import loss as tower_loss
from sk_adrec.retrieval._towers.loss import LossSettings, TwoTowerLoss
from sk_adrec.retrieval._towers.module import Split, TwoTowers
from sk_adrec.samplers import log_expected_counts

N_GROUPS = 4
QUICK = {"random_state": 0, "batch_size": 256, "max_epochs": 8, "lr": 0.02, "embedding_dim": 16}


def make_log(n=1500, n_users=60, n_items=40, seed=0):
    """Users like the items of their own group, and nothing else; items are equally popular."""
    rng = np.random.default_rng(seed)
    user = rng.integers(0, n_users, n)
    item = rng.integers(0, n_items // N_GROUPS, n) * N_GROUPS + user % N_GROUPS
    return pd.DataFrame(
        {
            "user_id": [f"u{k}" for k in user],
            "item_id": [f"i{k}" for k in item],
            "taste": [f"t{k % N_GROUPS}" for k in user],
            "kind": [f"k{k % N_GROUPS}" for k in item],
            "tags": [[f"k{k % N_GROUPS}", "any"] for k in item],
            "size": item % N_GROUPS + rng.normal(0, 0.1, n),
        }
    )


def share_of_own_group(users, ids):
    return np.mean([[int(i[1:]) % N_GROUPS == int(u[1:]) % N_GROUPS for i in row]
                    for u, row in zip(users, ids)])  # fmt: skip


@pytest.fixture(scope="module")
def log():
    return make_log()


@pytest.fixture(scope="module")
def with_attributes(log):
    model = TwoTowerRetriever(
        user_features=["user_id", "taste"], item_features=["item_id", "kind", "tags"], **QUICK
    )
    return model.fit(log)


@pytest.mark.parametrize("loss", ["in_batch", "softmax", "sampled_softmax", "bpr", "log_loss"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_planted_taste_is_recovered(log, loss, similarity):
    model = TwoTowerRetriever(loss=loss, similarity=similarity, n_negatives=40, **QUICK).fit(log)
    users = [f"u{k}" for k in range(20)]
    ids, _ = model.recommend(users, k=8, exclude_seen=False)
    assert share_of_own_group(users, ids) > 0.95  # the best is 1, chance 0.25


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
@pytest.mark.parametrize("user_features", [None, ["user_id"]])
def test_user_items_recover_planted_taste(log, loss, user_features):
    # Of 60 users a batch of 256 makes one step a pass: too few to learn from histories and ids.
    params = {**QUICK, "batch_size": 16}
    model = TwoTowerRetriever(
        user_items=True, user_features=user_features, loss=loss, n_negatives=40, **params
    ).fit(log)
    users = [f"u{k}" for k in range(20)]
    assert share_of_own_group(users, model.recommend(users, 8, exclude_seen=False)[0]) > 0.95
    # New users by what they have done lately, known ones by something else than in fit.
    history = {"x2": ["i2", "i6"], "u0": ["i1", "i5", "no such item"]}
    ids, _ = model.recommend(["x2", "u0", "x0"], k=4, history=history)
    assert share_of_own_group(["x2", "u1"], ids[:2]) == 1
    assert not set(ids[0]) & {"i2", "i6"}
    assert not set(ids[1]) & {"i1", "i5"}
    assert list(ids[2]) == list(model.items_[:4])
    assert list(model.has_history(["x2", "u0", "x0"], history=history)) == [True, True, False]


@pytest.fixture(scope="module")
def with_items(log):
    model = TwoTowerRetriever(user_items=True, user_features=["user_id"], **QUICK)
    return model.fit(log)


def test_user_items_are_added_up_as_in_svd_plus_plus(log, with_items):
    model = with_items
    y = model.embeddings("item_id")
    x = model.embeddings("user_id").loc["u3"]
    items = log.loc[log["user_id"] == "u3", "item_id"].unique()
    u = x + y.loc[items].sum() / np.sqrt(len(items))
    expected = u / np.linalg.norm(u)
    np.testing.assert_allclose(model.user_embeddings(["u3"])[0], expected, rtol=1e-4, atol=1e-6)
    given = model.user_embeddings(["u3"], history={"u3": ["i0"]})[0]
    u = x + y.loc["i0"]
    np.testing.assert_allclose(given, u / np.linalg.norm(u), rtol=1e-4, atol=1e-6)


def test_the_probability_of_a_pair_has_not_seen_the_pair(log, with_items):
    """A user's own item is left out of the user's vector, as in the calibration."""
    model = with_items
    row = log.iloc[[0]]
    user, item = row["user_id"].iloc[0], row["item_id"].iloc[0]
    rest = [i for i in log.loc[log["user_id"] == user, "item_id"].unique() if i != item]
    u = model.user_embeddings([user], history={user: rest})[0]
    score = u @ model.item_embeddings_[list(model.items_).index(item)]
    expected = np.interp(score, *model.score_curve_)
    assert model.predict_proba(row)[0, 1] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax"])
def test_loss_of_held_out_items_against_a_loop(loss):
    n_items, drawn = 6, torch.tensor([0, 1, 2, 3, 4])
    torch.manual_seed(0)
    u, v = torch.randn(2, 3), torch.randn(n_items, 3)
    kept = Lists(torch.tensor([0, 1, 3]), torch.tensor([0, 2, 3]), torch.ones(3))
    held_out = Lists(torch.tensor([2, 3, 0]), torch.tensor([0, 2, 3]), torch.tensor([1.0, 2.0, 1]))
    settings = LossSettings(loss, 0.5, 5, False, True, False)
    # Item 5 has no training row: it is no negative.
    share = np.array([1, 1, 1, 1, 1, 0]) / 5
    criterion = TwoTowerLoss(settings, np.ones(2) / 2, share, 1.5, "float32")
    module = SimpleNamespace(log_vectors=lambda i: v[i])
    given = v if loss == "softmax" else v[held_out.values]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tower_loss, "uniform_negatives", lambda *_: drawn)
        split = Split(u, given, kept, held_out)
        loss_of_users = criterion(split, None, weight=None, module=module)
    z, expected = (u / 0.5) @ v.T, []
    for b, (seen, wanted) in enumerate([([0, 1], {2: 1.0, 3: 2.0}), ([3], {0: 1.0})]):
        total = 0.0
        for item, weight in wanted.items():
            if loss == "softmax":
                others = [j for j in range(5) if j not in seen]
            else:
                others = [j for j in range(5) if j not in {*seen, *wanted}] + [item]
            total += weight * (z[b, others].logsumexp(0) - z[b, item]) / 1.5
        expected.append(total)
    torch.testing.assert_close(loss_of_users, torch.stack(expected))


def test_user_items_by_weights_files_and_new_rows(log):
    log = log[["user_id", "item_id"]]
    model = TwoTowerRetriever(user_items=True, loss="softmax", **QUICK)
    weight = np.where(log["item_id"] == "i0", 0.0, 1.0)
    assert "i0" not in clone(model).fit(log, sample_weight=weight).items_
    model.fit(log)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(log), model.predict_proba(log))
    copy.partial_fit(pd.DataFrame({"user_id": ["v0"] * 20, "item_id": ["i0", "i4"] * 10}))
    ids, _ = copy.recommend(["v0"], k=8)
    assert not {"i0", "i4"} & set(ids[0])
    assert share_of_own_group(["u0"], ids) >= 7 / 8  # these are the 8 others of its group


def make_tastes(n_users=400, n_items=160, seed=0):
    """Users draw 30 distinct items by known shares: popularity, times twelve in their own group.

    Returns the log, three quarters of each user's items, and the true shares (n_users, n_items).
    """
    rng = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, n_items + 1) ** 0.7
    group = rng.integers(0, N_GROUPS, n_users)
    share = popularity * np.where(np.arange(n_items) % N_GROUPS == group[:, None], 12, 1)
    share /= share.sum(axis=1, keepdims=True)
    items = [rng.choice(n_items, 30, replace=False, p=p) for p in share]
    rows = pd.DataFrame(
        {"user_id": np.repeat(np.arange(n_users), 30), "item_id": np.concatenate(items)}
    )
    is_test = rng.random(len(rows)) < 0.25
    return rows[~is_test], rows[is_test], share


def test_user_items_as_it_comes_is_near_the_best_possible():
    log, test, share = make_tastes()
    model = TwoTowerRetriever(user_items=True, random_state=0).fit(log)
    ids, _ = model.recommend(np.arange(400), k=10)
    share[log["user_id"], log["item_id"]] = 0
    best = np.argsort(-share, axis=1)[:, :10]
    wanted = test.groupby("user_id")["item_id"].agg(set).reindex(range(400), fill_value=set())
    found, possible = (
        np.mean([len(own & set(row)) for own, row in zip(wanted, lists)]) for lists in (ids, best)
    )
    assert found > 0.85 * possible  # the most popular items: 0.49


def test_validation_scores_of_user_items_are_the_score_of_the_held_out_rows():
    log, valid, _ = make_tastes(n_users=200)
    model = TwoTowerRetriever(user_items=True, max_epochs=4, random_state=0)
    model.fit(log, X_val=valid)
    assert model.score(valid) == pytest.approx(max(model.validation_scores_))


def test_validation_of_user_items_without_known_items_or_users():
    log, _, _ = make_tastes(n_users=100)
    model = TwoTowerRetriever(user_items=True, max_epochs=2, random_state=0)
    model.fit(log, X_val=pd.DataFrame({"user_id": [0, 1], "item_id": [998, 999]}))
    assert model.validation_scores_ == [0, 0]
    model.fit(log, X_val=pd.DataFrame({"user_id": [998, 999], "item_id": [0, 1]}))
    assert np.isfinite(model.validation_scores_).all()


class RecordRates(Callback):
    rates: ClassVar[list[float]] = []

    def on_batch_begin(self, net, training=False, **kwargs):
        if training:
            self.rates.append(net.optimizer_.param_groups[0]["lr"])


@pytest.mark.parametrize(
    ("params", "falls"),
    [
        ({"user_items": True}, True),
        ({"user_items": True, "lr_schedule": "constant"}, False),
        ({}, False),
        ({"lr_schedule": "linear"}, True),
    ],
)
def test_linear_schedule_ends_at_zero_and_starts_anew(log, params, falls):
    RecordRates.rates.clear()
    model = TwoTowerRetriever(
        **params, lr=0.4, max_epochs=4, batch_size=2000, callbacks=[RecordRates()], random_state=0,
        early_stopping=False,
    ).fit(log)  # fmt: skip
    expected = [0.4, 0.3, 0.2, 0.1] if falls else [0.4] * 4
    assert RecordRates.rates == pytest.approx(expected)
    model.partial_fit(log)
    assert RecordRates.rates[4:] == pytest.approx([0.4])


def test_large_catalogues_are_sampled(log, monkeypatch):
    """Above a size "auto" draws negatives, and encodes no item that no user of a batch has."""
    monkeypatch.setattr(_two_tower, "_MOST_FOR_SOFTMAX", 30)
    encoded, take = [], TwoTowers.log_items
    model = TwoTowerRetriever(user_items=True, n_negatives=5, **{**QUICK, "batch_size": 2})
    monkeypatch.setattr(
        TwoTowers,
        "log_items",
        lambda module, numbers=None: encoded.append(numbers) or take(module, numbers),
    )
    model.fit(log)
    assert all(numbers is not None for numbers in encoded)
    assert max(map(len, encoded[:20])) <= 20  # of 40: two users have two groups at most
    users = [f"u{k}" for k in range(20)]
    assert share_of_own_group(users, model.recommend(users, 8, exclude_seen=False)[0]) > 0.95


def test_symmetric_and_own_negatives_learn(log):
    users = [f"u{k}" for k in range(20)]
    model = TwoTowerRetriever(symmetric=True, **QUICK).fit(log)
    assert share_of_own_group(users, model.recommend(users, 8, exclude_seen=False)[0]) > 0.95
    rng = np.random.default_rng(1)
    negatives = log.assign(item_id=[f"i{k}" for k in rng.integers(0, 40, len(log))])
    other = (
        negatives["item_id"].str[1:].astype(int) % 4 != negatives["user_id"].str[1:].astype(int) % 4
    )
    both = pd.concat([log, negatives[other]])
    y = np.repeat([1, 0], [len(log), other.sum()])
    model = TwoTowerRetriever(loss="log_loss", **QUICK).fit(both, y)
    assert share_of_own_group(users, model.recommend(users, 8, exclude_seen=False)[0]) > 0.95
    p = model.predict_proba(both)[:, 1]
    assert p[y == 1].mean() > 0.8
    assert p[y == 0].mean() < 0.3


def test_in_batch_loss_against_a_loop():
    torch.manual_seed(0)
    u, v = torch.randn(5, 3), torch.randn(7, 3)
    ids, b = torch.tensor([4, 5, 4, 6, 7, 5, 9]), torch.randn(7)
    expected = []
    for i in range(5):
        own = torch.exp(u[i] @ v[i])
        others = sum(torch.exp(u[i] @ v[j] + b[j]) for j in range(7) if ids[j] != ids[i])
        expected.append(-torch.log(own / (own + others)))
    torch.testing.assert_close(InBatchSoftmaxLoss()(u, v, ids, b), torch.stack(expected))


def test_in_batch_loss_of_accidental_hits_alone_is_zero():
    u = torch.randn(3, 2, requires_grad=True)
    loss = InBatchSoftmaxLoss()(u, u, torch.zeros(3), torch.zeros(3))
    loss.sum().backward()
    torch.testing.assert_close(loss, torch.zeros(3))
    torch.testing.assert_close(u.grad, torch.zeros(3, 2))


def test_pairwise_loss_leaves_hits_out():
    z_y, z = torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 50.0], [1.0, 1.0]])
    hit = torch.tensor([[False, True], [True, True]])
    loss = PairwiseLoss()(z_y, z, hit)
    torch.testing.assert_close(loss, torch.tensor([float(np.log(2)), 0.0]))


def test_logq_makes_the_batch_an_unbiased_catalogue():
    """With q subtracted, batches of popular items have the minimum of the full softmax.

    One user, items of known shares p: the logits of the full softmax are log p + constant. The
    gradient of the in-batch loss at those logits vanishes with the correction. Without it popular
    items are pushed down, with the wrong sign still further.
    """
    p = torch.tensor([0.2] + [0.04] * 20, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    gradients = {}
    for sign in (-1.0, 0.0, 1.0):
        z = p.log().requires_grad_()
        for _ in range(300):
            ids = torch.multinomial(p, 256, replacement=True, generator=generator)
            q = sign * log_expected_counts(p[ids], 21, 256)
            u = torch.ones(256, 1, dtype=torch.float64)
            (InBatchSoftmaxLoss()(u, z[ids][:, None], ids, q).mean() / 300).backward()
        gradients[sign] = z.grad
    assert gradients[-1.0].abs().max() < 0.02
    assert gradients[0.0][0] > 0.1  # descent lowers the popular item
    assert gradients[1.0][0] > gradients[0.0][0]


def test_logq_serves_popular_items_in_a_fit():
    rng = np.random.default_rng(0)
    share = np.array([0.2] + [0.02] * 40)
    item = rng.choice(41, 3000, p=share)
    log = pd.DataFrame(
        {"user_id": rng.integers(0, 30, 3000).astype(str), "item_id": item.astype(str)}
    )
    scores = {}
    for corrected in (True, False):
        model = TwoTowerRetriever(
            logq_correction=corrected, n_negatives=0, similarity="dot", early_stopping=False,
            **{**QUICK, "max_epochs": 15},
        ).fit(log)  # fmt: skip
        users = [str(k) for k in range(30)]
        z = model.user_embeddings(users) @ model.item_embeddings_.T
        at = list(model.items_).index("0")
        scores[corrected] = (z[:, at] - np.delete(z, at, axis=1).mean(axis=1)).mean()
    # The truth is log(0.2 / 0.02) = 2.3.
    assert 1.5 < scores[True] < 3.1
    assert scores[False] < scores[True] - 1


def test_cold_users_and_items_are_served_by_attributes(with_attributes):
    model = with_attributes
    new = pd.DataFrame({"user_id": ["x0", "x1"], "taste": ["t0", "t1"]})
    ids, _ = model.recommend(new, k=8)
    assert np.mean([[int(i[1:]) % 4 == k for i in row] for k, row in enumerate(ids)]) > 0.9
    kinds = [0, 1, 2, 3] * 3
    items = pd.DataFrame(
        {
            "item_id": [f"n{k}" for k in range(12)],
            "kind": [f"k{k}" for k in kinds],
            "tags": [[f"k{k}", "any"] for k in kinds],
        }
    )
    before = model.item_embeddings_
    served = pickle.loads(pickle.dumps(model)).set_catalogue(items)
    assert set(served.items_) == set(items["item_id"])
    assert (served.popularity_ == 0).all()
    ids, _ = served.recommend(["u0", "u1", "u2", "u3"], k=3)
    assert np.mean([[int(i[1:]) % 4 == k for i in row] for k, row in enumerate(ids)]) > 0.9
    assert before is model.item_embeddings_
    again = pickle.loads(pickle.dumps(served))
    np.testing.assert_array_equal(again.recommend(["u0"], k=3)[0], ids[:1])
    assert set(served.set_catalogue(["i1", "i5"]).items_) == {"i1", "i5"}


@pytest.mark.parametrize("user_items", [False, True])
def test_a_new_item_is_its_attributes_under_a_loss_that_shows_known_items_alone(log, user_items):
    model = TwoTowerRetriever(
        loss="softmax", user_items=user_items, item_features=["item_id", "kind"], **QUICK
    )
    new = pd.DataFrame({"item_id": ["new", "newer"], "kind": ["k2", "never seen"]})
    model.fit(log).set_catalogue(new)
    kind = model.embeddings("kind").loc["k2"].to_numpy()
    at = list(model.items_).index("new")
    np.testing.assert_allclose(
        model.item_embeddings_[at], kind / np.linalg.norm(kind), rtol=1e-5, atol=1e-7
    )
    assert (model.item_embeddings_[1 - at] == 0).all()


@pytest.mark.parametrize("loss", ["softmax", "in_batch"])
def test_items_of_which_nothing_is_known_come_last_by_popularity(log, loss):
    rare = log.head(3).assign(item_id=["once", "twice", "twice"], user_id="u0")
    model = TwoTowerRetriever(loss=loss, min_frequency=3, calibrate=False, **QUICK)
    model.fit(pd.concat([log, rare]))
    new = ["n1", "n2"]
    model.set_catalogue(pd.DataFrame({"item_id": [*new, "once", "i1", "twice", "i2", "i3"]}))
    users = ["u1", "u2", "u3"]
    for served in (model, pickle.loads(pickle.dumps(model))):
        ids, scores = served.recommend(users, k=9, exclude_seen=False)
        assert all(set(row) == {"i1", "i2", "i3"} for row in ids[:, :3])
        assert all(row.tolist() == ["twice", "once", *new, None, None] for row in ids[:, 3:])
        assert np.isfinite(scores[:, :7]).all()
        assert (scores[:, 3] < scores[:, 2]).all()
    # They are candidates like others, and ids outside the catalogue are passed over.
    ids, scores = model.recommend(["u1"], k=3, candidates=["n2", "i5", "no such item", "n1"])
    assert ids.tolist() == [["n1", "n2", None]]
    assert scores[0, 2] == -np.inf
    model.set_catalogue(pd.DataFrame({"item_id": new}))
    assert model.recommend(["u1"], k=2)[0].tolist() == [new]


def test_set_catalogue_messages(with_attributes):
    with pytest.raises(ValueError, match="ids that fit has seen, got 1 others"):
        with_attributes.set_catalogue(["i1", "new"])
    with pytest.raises(ValueError, match=r"lacks \['kind', 'tags'\]"):
        with_attributes.set_catalogue(pd.DataFrame({"item_id": ["i1"]}))
    with pytest.raises(ValueError, match="item='item_id'"):
        with_attributes.set_catalogue(pd.DataFrame({"kind": ["k1"]}))
    numbers = pd.DataFrame({"item_id": [-1], "kind": ["k1"], "tags": [["k1"]]})
    with (
        pytest.warns(UserWarning, match="holds numbers where fit saw strings"),
        pytest.raises(ValueError, match="An item has the id -1"),
    ):
        with_attributes.set_catalogue(numbers)


def test_probabilities_are_calibrated_on_new_pairs():
    model = TwoTowerRetriever(**QUICK).fit(make_log(4000, 200, 80))
    positives = make_log(2000, 200, 80, seed=5)
    rng = np.random.default_rng(0)
    random = positives.assign(item_id=[f"i{k}" for k in rng.integers(0, 80, 2000)])
    p = model.predict_proba(pd.concat([positives, random]))[:, 1]
    y = np.repeat([1, 0], 2000)
    for low, high in ((0, 0.3), (0.6, 1.01)):
        some = (p >= low) & (p < high)
        assert some.sum() > 200
        assert abs(p[some].mean() - y[some].mean()) < 0.05


def test_all_rows_of_a_pair_are_held_out_together():
    """Rows of a pair that is learned from are no test of new pairs."""
    log = make_log(3000, 200, 80).drop_duplicates(["user_id", "item_id"])
    train, new = log[:1200], log[1200:]
    repeated = train.loc[train.index.repeat(5)].sample(frac=1, random_state=0)
    random = new.assign(
        item_id=[f"i{k}" for k in np.random.default_rng(0).integers(0, 80, len(new))]
    )
    seen = []
    model = TwoTowerRetriever(**{**QUICK, "max_epochs": 20})

    def spy(task, spread=None):
        judged = task.judged
        held_out = judged.target[judged.rows]
        seen.append(judged.pairs.contain(held_out[:, 0], held_out[:, 1]).any())
        return type(model)._settle(model, task, spread)

    model._settle = spy
    model.fit(repeated)
    assert seen == [False]
    p = model.predict_proba(pd.concat([new, random]))[:, 1]
    unlikely = p < 0.2
    assert unlikely.sum() > 200
    assert np.repeat([1, 0], len(new))[unlikely].mean() < 0.2


def test_few_pairs_in_many_rows_are_all_learned_from():
    log = make_log(40, 8, 8).drop_duplicates(["user_id", "item_id"])
    repeated = log.loc[log.index.repeat(50)]
    model = TwoTowerRetriever(**QUICK).fit(repeated)
    assert model.validation_scores_ is None
    assert (model.predict_proba(log)[:, 1] > 0.5).mean() > 0.9


def test_numbers_and_deep_towers(log):
    model = TwoTowerRetriever(
        user_features=["taste"], item_features=["size", "tags"], hidden_dims=(16,),
        **{**QUICK, "max_epochs": 15},
    ).fit(log)  # fmt: skip
    users = pd.DataFrame({"taste": ["t0", "t3"]})
    vectors = model.user_embeddings(users)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    ids, scores = model.recommend(users, k=5)
    np.testing.assert_allclose(scores, np.sort(vectors @ model.item_embeddings_.T)[:, :-6:-1], 1e-5)
    assert {int(i[1:]) % 4 for i in ids[0]} == {0}


def test_held_out_rows_as_arguments_and_score(log):
    train, valid = log[:1200], log[1200:]
    model = TwoTowerRetriever(**QUICK).fit(train, X_val=valid)
    assert len(model.validation_scores_) == model.n_iter_
    assert model.score(valid) > 3 * 0.03
    found = model.recommend(["u1"], k=10, as_frame=True)
    held_out = valid.iloc[:10].assign(user_id="u1", item_id=found["item_id"].to_numpy())
    assert model.score(held_out) == pytest.approx(1)


def test_rows_to_predict_need_only_what_towers_read(with_attributes, log):
    model, read = with_attributes, ["user_id", "item_id", "taste", "kind", "tags"]
    np.testing.assert_array_equal(model.predict_proba(log[read]), model.predict_proba(log))
    held_out = log[["user_id", "item_id", "taste"]].assign(item_id=np.roll(log["item_id"], 1))
    full = log.assign(item_id=held_out["item_id"])
    assert model.score(held_out) == model.score(full) > 0
    for method, X in ((model.predict_proba, held_out), (model.partial_fit, log[read[:-1]])):
        with pytest.raises(ValueError, match=r"yet now missing:\n- (kind\n- )?tags\n$"):
            method(X)
    with pytest.raises(ValueError, match=r"yet now missing:\n- taste\n$"):
        model.score(log[["user_id", "item_id"]])


@pytest.mark.parametrize("user_features", [["user_id", "taste"], ["taste"]])
@pytest.mark.parametrize("item_features", [["item_id", "kind"], ["kind"]])
def test_ids_of_another_type_are_said_once(log, user_features, item_features):
    model = TwoTowerRetriever(
        user_features=user_features, item_features=item_features, grow_vocabulary=True,
        **{**QUICK, "max_epochs": 1},
    ).fit(log)  # fmt: skip
    numbers = log.assign(
        user_id=log["user_id"].str[1:].astype(int), item_id=log["item_id"].str[1:].astype(int)
    )
    of_users, of_items = numbers[["user_id", "taste"]], numbers[["item_id", "kind"]]
    for call, columns in (
        (lambda: model.recommend([5]), ["users"]),
        (lambda: model.recommend(of_users), ["user_id"]),
        (lambda: model.user_embeddings(of_users), ["user_id"]),
        (lambda: model.has_history([5]), ["users"]),
        (lambda: model.predict_proba(numbers), ["item_id", "user_id"]),
        (lambda: model.score(numbers), ["item_id", "user_id"]),
        (lambda: clone(model).fit(log, X_val=numbers), ["item_id", "user_id"]),
        (lambda: pickle.loads(pickle.dumps(model)).set_catalogue(of_items), ["item_id"]),
        (lambda: pickle.loads(pickle.dumps(model)).partial_fit(numbers), ["item_id", "user_id"]),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        said = [str(w.message) for w in caught if "holds numbers where fit saw" in str(w.message)]
        assert sorted(text.split("'")[1] for text in said) == columns


def test_partial_fit_adds_users_items_and_vectors(log):
    model = TwoTowerRetriever(grow_vocabulary=True, **QUICK).fit(log)
    model = pickle.loads(pickle.dumps(model))
    more = pd.DataFrame({"user_id": ["v0"] * 40, "item_id": ["j0", "i0"] * 20})
    more = more.assign(**{name: log[name].iloc[0] for name in ("taste", "kind", "size")})
    more["tags"] = [["any"]] * 40
    model.partial_fit(more[log.columns])
    assert {"j0", "i0"} <= set(model.items_)
    assert "v0" in model.users_
    assert len(model.item_embeddings_) == 41
    assert not {"j0", "i0"} & set(model.recommend(["v0"], k=39)[0][0])
    with pytest.raises(ValueError, match="classes must be those"):
        model.partial_fit(log, classes=["a", "b"])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_large_ids_of_users_beside_missing_ones_stay_apart(library, log):
    users = [2**53, 2**53 + 1, None]
    frame = log[:3].assign(user_id=pd.Series(users, dtype="Int64"))
    model = TwoTowerRetriever(user_features=["user_id", "taste"], **{**QUICK, "max_epochs": 1})
    model.fit(frame)
    if library == "polars":
        frame = pytest.importorskip("polars").from_pandas(frame)
    for asked in (frame, frame["user_id"]):
        found = model.recommend(asked, k=1, exclude_seen=False, as_frame=True)["user_id"]
        assert found[:2].tolist() == users[:2]
        assert pd.isna(found[2])


def test_popularity_is_exact_with_and_without_candidates(with_attributes):
    for candidates in (None, with_attributes.items_):
        scores = with_attributes.recommend(["nobody"], k=40, candidates=candidates)[1]
        np.testing.assert_array_equal(scores[0], with_attributes.popularity_)


def test_arrays_are_halved():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    with pytest.warns(UserWarning, match=r"columns 0 to 1 are read as the user's and 2 to 3"):
        model = TwoTowerRetriever(**QUICK).fit(X)
    assert model.predict_proba(X).shape == (60, 2)
    assert len(model.users_) == len(model.items_) == 60


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of"),
        ({"temperature": 0}, "temperature must be a number in"),
        ({"user_features": ["tast"]}, "Did you mean 'taste'"),
        (
            {"user_features": ["kind"], "item_features": ["kind"]},
            r"different columns, got \['kind'\]",
        ),
        ({"item_features": []}, "at least one column"),
        ({"item_features": "kind"}, r"must be a list of columns, got 'kind'"),
        ({"share_vocabulary": {"tags": "kind"}}, "which no tower reads"),
        ({"loss": "log_loss", "negatives": "log"}, "needs rows of the negative label"),
        ({"user_items": True, "loss": "bpr"}, 'user_items=True needs loss="softmax"'),
        ({"user_features": []}, "at least one column"),
        ({"target_share": 1.0}, "target_share must be a number in"),
        ({"loss": "bpr", "n_negatives": 0}, "n_negatives must be an integer in"),
    ],
)
def test_messages(log, params, message):
    with pytest.raises(ValueError, match=message):
        TwoTowerRetriever(**{**QUICK, **params}).fit(log)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.recommend("u1"), "users must be a list"),
        (lambda m: m.user_embeddings("u1"), "X must be a list"),
        (lambda m: m.has_history(make_log(5)), r"data frame: pass .* X\['user_id'\]"),
        (lambda m: m.set_catalogue({"i1"}), r"got a set: list\(items\)"),
    ],
)
def test_wrong_ids_are_named(with_attributes, call, message):
    with pytest.raises(TypeError, match=message):
        call(with_attributes)


def test_history_needs_a_model_that_reads_it(with_attributes):
    with pytest.raises(ValueError, match="fit it with user_items=True"):
        with_attributes.recommend(["u1"], history={"u1": ["i1"]})


def test_weights_are_repetitions_on_average(log):
    """Negatives are drawn, so a fit with weights only resembles one with repeated rows."""
    log = log[:600]
    weight = np.where(log["item_id"].isin(["i0", "i1", "i2", "i3"]), 3, 1)
    params = {**QUICK, "calibrate": False, "batch_size": 4096, "max_epochs": 30}
    weighted = TwoTowerRetriever(**params).fit(log, sample_weight=weight)
    repeated = TwoTowerRetriever(**params).fit(log.loc[log.index.repeat(weight)])
    np.testing.assert_allclose(weighted.popularity_, repeated.popularity_, atol=1e-6)
    users = [f"u{k}" for k in range(20)]
    a, b = (m.user_embeddings(users) @ m.item_embeddings_.T for m in (weighted, repeated))
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.95


class SendAway(Callback):
    """Another process could train on: the module, the loss and the metric travel."""

    def on_epoch_end(self, net, **kwargs):
        sent = pickle.loads(pickle.dumps((net.module_, net.criterion_, net.metrics)))
        module, criterion, ((_, metric),) = sent
        batch, (y, weight) = next(iter(net.get_iterator(net.valid_rows)))
        net.module_.eval()
        with torch.inference_mode():
            output = net.module_(batch)
            torch.testing.assert_close(module.eval()(batch), output)
            with drawing_from(Draws(0)):
                expected = net.criterion_(output, y, weight=weight, module=net.module_)
            with drawing_from(Draws(0)):
                loss = criterion(output, y, weight=weight, module=module)
            torch.testing.assert_close(loss, expected)
        scored = (output.numpy(), y.numpy(), weight.numpy())
        assert metric(module, *scored) == net.metrics[0][1](net.module_, *scored)


@pytest.mark.parametrize("params", [{"loss": "bpr"}, {"user_items": True}], ids=str)
def test_a_net_can_go_to_another_process_while_it_is_trained(log, params):
    params = {**QUICK, "max_epochs": 1, **params}
    model = TwoTowerRetriever(item_features=["item_id", "tags"], callbacks=[SendAway()], **params)
    module = model.fit(log, X_val=log[:200]).net_.module_
    assert pickle.loads(pickle.dumps(module.logged(torch.tensor([3, 1])))).sequences.keys() == {
        "tags"
    }
    # The items of the log go where the module goes; files hold them but once.
    assert copy.deepcopy(module).to("meta").logged().categorical.device.type == "meta"
    assert not [name for name in module.state_dict() if name.startswith("logged")]


def test_shared_tables_are_written_once(with_attributes):
    table = with_attributes.net_.module_.user_tower.inputs.table
    assert table is with_attributes.net_.module_.item_tower.inputs.table
    saved = with_attributes.__getstate__()["net_"]["state"][0]
    assert saved["user_tower.inputs.table.weight"] is saved["item_tower.inputs.table.weight"]
    copy = pickle.loads(pickle.dumps(with_attributes))
    modules = copy.net_.module_
    assert modules.user_tower.inputs.table is modules.item_tower.inputs.table


def test_refit_after_another_catalogue_is_a_fit(log):
    model = TwoTowerRetriever(**{**QUICK, "max_epochs": 2})
    expected = clone(model).fit(log).predict_proba(log)
    model.fit(log).set_catalogue(["i1", "i2"])
    np.testing.assert_array_equal(model.fit(log).predict_proba(log), expected)
