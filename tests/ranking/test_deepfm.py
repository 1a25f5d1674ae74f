"""DeepFMClassifier is FM plus a network on the same vectors, and learns what FM cannot."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.metrics import log_loss

from sk_adrec import DeepFMClassifier, FMClassifier
from sk_adrec.nn import Batch

SMALL = {
    "embedding_dim": 3,
    "hidden_dims": (5, 4),
    "batch_size": 1_000,
    "max_epochs": 1,
    "id_dropout": 0.0,
    "random_state": 0,
    "dtype": "float64",
}


def random_log(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "price": rng.normal(size=n),
            "user": rng.choice(["a", "b", "c", None], n),
            "item": pd.Categorical(rng.choice(["x", "y", "z"], n)),
            "history": [rng.permutation(6)[: rng.integers(0, 4)] for _ in range(n)],
        }
    )
    return X, rng.integers(0, 2, n)


def with_random_parameters(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.net_.module_.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return model


def slow_fields(model, X):
    """Per row: a vector per id, the mean of the list's vectors, the numbers."""
    encoded, table = model.encoder_.transform(X), model.net_.module_.fm.table
    rows = []
    for i in range(len(X)):
        parts = [
            table.rows_of(name)[encoded.categorical[i, j], :-1]
            for j, name in enumerate(model.encoder_.categorical_names_)
        ]
        for name, lists in encoded.sequences.items():
            codes = lists.values[lists.offsets[i] : lists.offsets[i + 1]]
            vectors = table.rows_of(name)[codes.astype(int), :-1]
            parts.append(vectors.mean(0) if len(codes) else torch.zeros(3).double())
        rows.append(torch.cat([*parts, torch.from_numpy(encoded.numeric[i])]))
    return torch.stack(rows)


def fm_of(model, X, y):
    """An FMClassifier with the parameters of a DeepFM's FM part."""
    params = {name: value for name, value in SMALL.items() if name != "hidden_dims"}
    fm = FMClassifier(**params).fit(X, y)
    fm.net_.module_.load_state_dict(model.net_.module_.fm.state_dict())
    return fm


def test_logits_are_those_of_fm_plus_the_network_on_the_same_vectors():
    X, y = random_log()
    model = with_random_parameters(DeepFMClassifier(**SMALL).fit(X, y))
    with torch.no_grad():
        deep = model.net_.module_.deep(slow_fields(model, X)).squeeze(1).numpy()
    assert np.ptp(deep) > 1
    expected = fm_of(model, X, y).decision_function(X) + deep
    assert_allclose(model.decision_function(X), expected, rtol=1e-9)


def test_a_matrix_is_one_field():
    X = sparse.random(50, 6, density=0.5, format="csr", random_state=0)
    model = with_random_parameters(DeepFMClassifier(**SMALL).fit(X, np.arange(50) % 2))
    module = model.net_.module_
    with torch.no_grad():
        deep = module.deep(torch.from_numpy(X @ module.fm.table.weight[:, :-1].numpy()))
    expected = fm_of(model, X, np.arange(50) % 2).decision_function(X) + deep.squeeze(1).numpy()
    assert_allclose(model.decision_function(X), expected, rtol=1e-9)
    assert_allclose(model.decision_function(X.toarray()), expected, rtol=1e-9)


def test_both_parts_move_the_shared_vectors():
    X, y = random_log()
    model = with_random_parameters(DeepFMClassifier(**SMALL).fit(X, y))
    module = model.net_.module_
    batch = Batch.from_encoded(model.encoder_.transform(X))
    gradients = {}
    for part in ("both", "fm", "deep"):
        module.zero_grad()
        theta, features = module.fm.look_up(batch)
        fm = module.fm.equation_5(batch, theta, features)
        output = {"both": module(batch), "fm": fm, "deep": module(batch) - fm}[part]
        output.sum().backward()
        gradients[part] = module.fm.table.weight.grad.to_dense().numpy()
    assert np.abs(gradients["fm"]).max() > 0.1
    assert np.abs(gradients["deep"]).max() > 0.1
    assert_allclose(gradients["fm"] + gradients["deep"], gradients["both"], atol=1e-9)


@pytest.mark.parametrize("activation", ["relu", "prelu", "dice"])
def test_the_deep_part_learns_an_interaction_of_three_columns(activation):
    """A click with probability 0.9 where an odd number of three ids is odd: no pair says a thing.

    FM stays at the base rate, log 2."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 8, (9_000, 3))
    p = np.where(ids.sum(1) % 2 == 1, 0.9, 0.1)
    y = (rng.random(len(p)) < p).astype(int)
    X = pd.DataFrame(ids, columns=list("abc")).astype(str)
    train, test = slice(0, 6_000), slice(6_000, None)
    params = {"lr": 0.01, "batch_size": 256, "max_epochs": 12, "random_state": 0}
    best = log_loss(y[test], p[test])
    model = DeepFMClassifier(hidden_dims=(64, 32), activation=activation, **params)
    loss = log_loss(y[test], model.fit(X[train], y[train]).predict_proba(X[test]))
    assert loss < best + 0.05
    if activation == "relu":
        fm = FMClassifier(**params).fit(X[train], y[train])
        assert log_loss(y[test], fm.predict_proba(X[test])) > 0.68


def test_dropout_acts_in_training_only():
    X, y = random_log(400)
    curves = []
    for dropout in (0.0, 0.9):
        model = DeepFMClassifier(**{**SMALL, "max_epochs": 5, "lr": 0.05}, dropout=dropout)
        model.fit(X, y)
        curves.append(model.loss_curve_)
        assert_allclose(model.decision_function(X), model.decision_function(X), rtol=0)
    assert curves[0] != curves[1]


def test_embeddings_leave_out_the_linear_weight():
    X, y = random_log()
    model = DeepFMClassifier(**SMALL).fit(X, y)
    assert model.embeddings("user").shape == (3, 3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_dims": 64}, r"hidden_dims must be a tuple of widths .*, got 64"),
        ({"hidden_dims": (64, 0)}, r"each width in hidden_dims must be an integer .*, got 0"),
        ({"activation": "gelu"}, "activation must be one of 'relu', 'prelu', 'dice', got 'gelu'"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1.0"),
        ({"embedding_dim": 0}, "embedding_dim must be an integer"),
    ],
)
def test_wrong_hyper_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        DeepFMClassifier(**{**SMALL, **params}).fit(*random_log())
