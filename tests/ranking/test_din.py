"""DINClassifier: attention is the paper's, sees nothing but a row's own events, and finds those
that a planted rule looks at."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from sk_adrec import DINClassifier
from sk_adrec.datasets import make_ad_log
from sk_adrec.nn import Batch
from sk_adrec.utils import estimator_checks

HISTORY = {"hist_item": "item", "hist_kind": "kind"}
SMALL = {
    "embedding_dim": 3,
    "hidden_dims": (6, 4),
    "attention_hidden_dims": (5, 4),
    "share_vocabulary": HISTORY,
    "batch_size": 1_000,
    "max_epochs": 1,
    "id_dropout": 0.0,
    "random_state": 0,
    "dtype": "float64",
}


def random_log(n=40, seed=0, longest=6):
    """Ids, a number, a history of two attributes, and tags, which belong to no history."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 8, n)
    events = [rng.integers(0, 8, rng.integers(0, longest + 1)) for _ in range(n)]
    X = pd.DataFrame(
        {
            "user": rng.choice(["a", "b", "c", None], n),
            "item": item.astype(str),
            "kind": (item % 3).astype(str),
            "price": rng.normal(size=n),
            "tags": [list(rng.choice(["s", "t"], rng.integers(0, 3))) for _ in range(n)],
            "hist_item": [row.astype(str).tolist() for row in events],
            "hist_kind": [(row % 3).astype(str).tolist() for row in events],
        }
    )
    return X, rng.integers(0, 2, n)


def with_random_parameters(model, seed=1):
    """All parameters drawn anew, large enough for every term to matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.net_.module_.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return model


def fitted(**params):
    X, y = random_log()
    return with_random_parameters(DINClassifier(**{**SMALL, **params}).fit(X, y)), X


def slow(model, X):
    """Logits and weights by the paper's formulas, one row and one event at a time."""
    module, encoded = model.net_.module_, model.encoder_.transform(X)
    rows_of = module.inputs.table.rows_of
    names = model.encoder_.categorical_names_
    zero = torch.zeros(model.embedding_dim, dtype=torch.float64)
    logits, weights = [], []
    for i in range(len(X)):
        ids = {n: rows_of(n)[encoded.categorical[i, j]] for j, n in enumerate(names)}

        def entries(name, owner, i=i):
            lists = encoded.sequences[name]
            codes = lists.values[lists.offsets[i] : lists.offsets[i + 1]]
            return [rows_of(owner)[code] for code in codes]

        tags = entries("tags", "tags")
        e_t = torch.cat([ids["item"], ids["kind"]])
        e_k = [torch.cat(pair) for pair in zip(*(entries(n, o) for n, o in HISTORY.items()))]
        a = [module.a.mlp(torch.cat([e, e_t, e - e_t, e * e_t])) for e in e_k]
        a = torch.cat(a) if a else torch.zeros(0, dtype=torch.float64)
        a = a.softmax(0) if model.attention == "softmax" else a
        v_u = sum((w * e for w, e in zip(a, e_k)), torch.zeros_like(e_t))
        mean = torch.stack(tags).mean(0) if tags else zero
        x = [*ids.values(), mean, torch.from_numpy(encoded.numeric[i]), v_u]
        logits.append(module.head(module.mlp(torch.cat(x)))[0])
        weights.append(a.detach().numpy())
    return torch.stack(logits).detach().numpy(), weights


# ---- the function it computes --------------------------------------------------------------------


@pytest.mark.parametrize("attention", ["softmax", "sum"])
def test_logits_and_weights_are_those_of_the_loop_over_events(attention):
    model, X = fitted(attention=attention)
    logits, weights = slow(model, X)
    assert_allclose(model.decision_function(X), logits, rtol=1e-9)
    ours = model.attention_weights(X)
    assert [len(w) for w in ours] == [len(h) for h in X["hist_item"]]
    for mine, theirs in zip(ours, weights):
        assert_allclose(mine, theirs, rtol=1e-9)


def test_weights_by_hand():
    """One-dimensional vectors and a linear comparing network: numbers worked out on paper."""
    X = pd.DataFrame({"item": ["a", "b"], "history": [["a", "b"], ["b"]]})
    model = DINClassifier(
        embedding_dim=1,
        attention_hidden_dims=(),
        attention="sum",
        share_vocabulary={"history": "item"},
        max_epochs=1,
        random_state=0,
    ).fit(X, [0, 1])
    module = model.net_.module_
    with torch.no_grad():
        module.inputs.table.weight.copy_(torch.tensor([[0.0], [7.0], [2.0], [3.0]]))
        module.a.mlp[0].weight.copy_(torch.tensor([[1.0, 10.0, 100.0, 1000.0]]))
        module.a.mlp[0].bias.zero_()
    # e_k + 10 e_t + 100 (e_k - e_t) + 1000 e_k e_t with a = 2, b = 3
    first, second = model.attention_weights(X)
    assert_allclose(first, [2 + 20 + 0 + 4000, 3 + 20 + 100 + 6000])
    assert_allclose(second, [3 + 30 + 0 + 9000])


def test_mean_attention_is_the_network_with_averaged_histories():
    model, X = fitted(attention="mean")
    module, encoded = model.net_.module_, model.encoder_.transform(X)
    assert not hasattr(module, "a")
    softmax, _ = fitted()
    assert module.mlp[0].in_features == softmax.net_.module_.mlp[0].in_features
    with torch.no_grad():
        x = module.inputs(Batch.from_encoded(encoded))
        expected = module.head(module.mlp(x)).squeeze(1)
    assert_allclose(model.decision_function(X), expected, rtol=1e-9)
    with pytest.raises(ValueError, match="fit it with attention='softmax' or 'sum'"):
        model.attention_weights(X)


# ---- nothing but a row's own events --------------------------------------------------------------


@pytest.mark.parametrize("attention", ["softmax", "sum"])
def test_other_rows_and_missing_entries_never_matter(attention):
    model, X = fitted(attention=attention)
    expected = model.decision_function(X)
    for i in range(0, len(X), 7):
        assert_allclose(model.decision_function(X.iloc[[i]]), expected[[i]], rtol=1e-9)
    long = X.iloc[[0]].assign(hist_item=[["1"] * 40], hist_kind=[["1"] * 40])
    more = pd.concat([X, long], ignore_index=True)
    assert_allclose(model.decision_function(more)[:-1], expected, rtol=1e-9)
    for before, after in ((3, 0), (0, 3), (2, 2)):
        padded = X.copy()
        for name in HISTORY:
            padded[name] = [[None] * before + row + [None] * after for row in X[name]]
        assert_allclose(model.decision_function(padded), expected, rtol=1e-9)
        for mine, theirs in zip(model.attention_weights(padded), model.attention_weights(X)):
            assert_allclose(mine, theirs, rtol=1e-9)


def test_the_order_of_events_does_not_matter_but_the_candidate_does():
    model, X = fitted()
    turned = X.copy()
    for name in HISTORY:
        turned[name] = [row[::-1] for row in X[name]]
    assert_allclose(model.decision_function(turned), model.decision_function(X), rtol=1e-9)
    row = X[X["hist_item"].map(lambda h: len(set(h)) > 2)].iloc[[0]]
    weights = [
        model.attention_weights(row.assign(item=item, kind=str(int(item) % 3)))[0]
        for item in ("1", "2")
    ]
    assert np.abs(weights[0] - weights[1]).max() > 0.01


def test_empty_and_unknown_histories():
    model, X = fitted()
    for entries in ([], None, ["?"], ["?"] * 3):
        other = X.assign(**{name: [entries] * len(X) for name in HISTORY})
        assert np.isfinite(model.predict_proba(other)).all()
        for weight in model.attention_weights(other):
            assert_allclose(weight, np.full(len(entries or []), 1 / max(len(entries or []), 1)))
    with_pasts = model.decision_function(X)
    none = model.decision_function(X.assign(hist_item=[[]] * len(X), hist_kind=[[]] * len(X)))
    had_none = X["hist_item"].map(len) == 0
    assert_allclose(none[had_none], with_pasts[had_none], rtol=1e-9)
    assert (none != with_pasts)[~had_none].all()


@pytest.mark.parametrize("attention", ["softmax", "sum"])
def test_gradients_are_finite(attention):
    model, X = fitted(attention=attention)
    X = X.copy()
    for name in HISTORY:
        X[name] = [[], ["?"], None, *X[name][3:]]
    module = model.net_.module_.train()
    # Large enough for a softmax without its maximum subtracted to overflow.
    with torch.no_grad():
        module.inputs.table.weight *= 30
    module(Batch.from_encoded(model._encode(X))).sum().backward()
    gradients = [p.grad.to_dense() for p in module.parameters()]
    assert all(g.isfinite().all() for g in gradients)
    assert module.a.mlp[0].weight.grad.abs().max() > 0


def test_truncation_keeps_the_newest_of_every_attribute():
    X, y = random_log()
    model = with_random_parameters(DINClassifier(**SMALL, max_len=2).fit(X, y))
    newest = X.assign(**{name: [row[-2:] for row in X[name]] for name in HISTORY})
    assert_allclose(model.decision_function(X), model.decision_function(newest), rtol=1e-9)
    assert max(map(len, model.attention_weights(X))) == 2


# ---- learning ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    """Clicks where the candidate's category occurs in the history, and little else matters."""
    n = 10_000
    log = make_ad_log(
        n + 4_000, n_history=2, interest=3.0, interaction=0.3, linear=0.3, base_rate=0.3,
        random_state=0,
    )  # fmt: skip
    train, test = slice(0, n), slice(n, None)
    share = {"hist_item_id": "item_id", "hist_item_category": "item_category"}
    losses, model = {"best": log_loss(log.target[test], log.p_click[test])}, None
    for attention in ("mean", "softmax"):
        model = DINClassifier(
            attention=attention, share_vocabulary=share, hidden_dims=(64, 32), lr=5e-3,
            batch_size=256, attention_hidden_dims=(32,), max_epochs=6, random_state=0,
        ).fit(log.data[train], log.target[train])  # fmt: skip
        p = model.predict_proba(log.data[test])
        losses[attention] = log_loss(log.target[test], p)
    return model, log.data[test], losses


def test_attention_looks_at_events_of_the_candidates_category(planted):
    model, X, _ = planted
    hits = []
    for weight, kinds, kind in zip(
        model.attention_weights(X), X["hist_item_category"], X["item_category"]
    ):
        # A choice is needed: some events are of the candidate's category and some are not.
        if kind in kinds and len(set(kinds)) > 1:
            hits.append(kinds[int(weight.argmax())] == kind)
    assert len(hits) > 500
    assert np.mean(hits) >= 0.8


def test_attention_beats_the_same_network_with_averaged_histories(planted):
    _, _, losses = planted
    assert losses["softmax"] < losses["best"] + 0.05
    assert losses["softmax"] < losses["mean"] - 0.03


# ---- what users see ------------------------------------------------------------------------------


def test_attributes_of_different_length_are_refused_by_row():
    X, y = random_log()
    bad = X.copy()
    bad.at[7, "hist_kind"] = [*bad.at[7, "hist_kind"], "0"]
    n = len(X.at[7, "hist_item"])
    message = (
        rf"'hist_item' and 'hist_kind' describe the same events.*row 7 has {n} and {n + 1} "
        r"entries.*leave one of the columns out of share_vocabulary"
    )
    with pytest.raises(ValueError, match=message):
        DINClassifier(**SMALL).fit(bad, y)
    model = DINClassifier(**SMALL, grow_vocabulary=True).fit(X, y)
    expected = model.decision_function(X)
    n_known = len(model.embeddings("user"))
    for method in (model.predict_proba, model.attention_weights):
        with pytest.raises(ValueError, match=message):
            method(bad)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(bad.assign(user="new"), y)
    assert len(model.embeddings("user")) == n_known
    assert_allclose(model.decision_function(X), expected, rtol=0)
    DINClassifier(**{**SMALL, "attention": "mean"}).fit(bad, y)


def test_two_histories_of_one_column_are_refused():
    X, y = random_log()
    with pytest.raises(ValueError, match=r"both 'hist_item' and 'bought' the ids of 'item'.*Join"):
        DINClassifier(**{**SMALL, "share_vocabulary": {"hist_item": "item", "bought": "item"}}).fit(
            X.assign(bought=X["hist_item"]), y
        )


def test_lists_without_a_candidates_column_warn_and_are_averaged():
    X, y = random_log()
    message = r"'tags' is averaged without attention.*share_vocabulary=\{'tags': 'item_id'\}"
    with pytest.warns(UserWarning, match=message):
        model = DINClassifier(**{**SMALL, "share_vocabulary": None}).fit(X, y)
    assert model.net_.module_.inputs.fields == ["user", "item", "kind", *X.columns[4:]]
    with pytest.raises(ValueError, match="name the history in share_vocabulary"):
        model.attention_weights(X)


def test_a_list_that_shares_with_another_list_is_averaged():
    X, y = random_log()
    X = X.assign(older=X["tags"])
    model = DINClassifier(**{**SMALL, "share_vocabulary": {**HISTORY, "older": "tags"}}).fit(X, y)
    assert model.net_.module_.inputs.events == HISTORY
    assert model.net_.module_.inputs.fields == ["user", "item", "kind", "tags", "older"]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"attention": "dot"}, "attention must be one of 'softmax', 'sum', 'mean', got 'dot'"),
        ({"attention_hidden_dims": 8}, "attention_hidden_dims must be a tuple of widths"),
        ({"hidden_dims": (0,)}, "each width in hidden_dims must be an integer"),
        ({"activation": "gelu"}, "activation must be one of 'relu', 'prelu', 'dice'"),
        ({"dropout": -0.1}, r"dropout must be a number in \[0, 1\), got -0.1"),
    ],
)
def test_wrong_hyper_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        DINClassifier(**{**SMALL, **params}).fit(*random_log())


# The common tests run on the default, which attends to nothing: these, on the log whose column the
# history belongs to, also run with attention.
@pytest.mark.parametrize("attention", ["softmax", "sum"])
@pytest.mark.parametrize(
    "name",
    [
        "check_empty_history",
        "check_padding_and_truncation",
        "check_missing_values",
        "check_row_order_and_batch_size",
        "check_sample_weight_equals_repetition",
        "check_refit_equals_fit",
        "check_pickle_round_trip",
        "check_skops_round_trip",
        "check_threads",
        "check_polars",
        "check_storage_does_not_matter",
        "check_partial_fit_after_loading",
        "check_partial_fit_bad_input",
        "check_partial_fit_interrupted",
    ],
)
def test_checks_with_attention(name, attention):
    model = DINClassifier(attention=attention, share_vocabulary={"hist_item_id": "item_id"})
    getattr(estimator_checks, name)(model)


# ---- attributes of events that are not known --------------------------------------------------


def attended(model, X, items, kinds):
    """The prediction for the first row with this history."""
    one = X.iloc[[0]].assign(hist_item=[items], hist_kind=[kinds])
    return model.decision_function(one)[0]


def test_an_event_that_misses_one_attribute_keeps_its_place():
    model, X = fitted()
    with_gap = attended(model, X, ["1", None, "3"], ["1", "2", "0"])
    # An attribute that is missing is one that is not known.
    assert with_gap == pytest.approx(attended(model, X, ["1", "new", "3"], ["1", "2", "0"]))
    # Nulls at other places are another history, though each list has two entries left.
    shifted = attended(model, X, ["1", None, "3"], ["1", "0", None])
    assert shifted != pytest.approx(attended(model, X, ["1", "3"], ["1", "0"]), abs=1e-6)
    # An event of which nothing is known is none.
    nothing = attended(model, X, ["1", None, "3"], ["1", None, "0"])
    assert nothing == pytest.approx(attended(model, X, ["1", "3"], ["1", "0"]))


def test_truncation_cuts_both_lists_at_the_same_event():
    model, X = fitted(max_len=3)
    long = attended(model, X, ["1", "2", "3", "4"], ["0", "1", None, "2"])
    assert long == pytest.approx(attended(model, X, ["2", "3", "4"], ["1", None, "2"]))


def test_lists_of_other_lengths_are_refused_whatever_is_missing():
    model, X = fitted(max_len=2)
    with pytest.raises(ValueError, match=r"row 0 has 3 and 2 entries\. Write None where an event"):
        attended(model, X, ["1", "2", "3"], ["0", "1"])
    with pytest.raises(ValueError, match="row 0 has 3 and 2 entries"):
        attended(model, X, ["1", None, "3"], ["0", "1"])


def test_attention_weights_have_an_entry_for_each_event():
    model, X = fitted()
    rows = X.iloc[:2].assign(hist_item=[["1", None, None], []], hist_kind=[["1", "2", None], []])
    assert [len(weights) for weights in model.attention_weights(rows)] == [2, 0]


def test_hyper_parameters_may_be_numbers_of_numpy():
    X, y = random_log()
    model = DINClassifier(**{**SMALL, "embedding_dim": np.int64(3)}).fit(X, y)
    assert model.predict_proba(X).shape == (40, 2)


def test_a_file_keeps_the_hyper_parameters_of_the_fit():
    X, y = random_log()
    widths = [6, 4]
    model = DINClassifier(**{**SMALL, "hidden_dims": widths}).fit(X, y)
    expected = model.predict_proba(X)
    widths.append(3)
    model.set_params(embedding_dim=9)
    assert_allclose(pickle.loads(pickle.dumps(model)).predict_proba(X), expected)
