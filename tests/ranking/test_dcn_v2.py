"""DCNv2Classifier: its cross layers are the paper's, and it finds a product of three columns."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from sk_adrec import DCNv2Classifier
from sk_adrec.nn import CrossLayer


def slow_cross(x_0, x, W, b):
    """Equation 1 of the paper, one row and one element at a time."""
    out = np.empty_like(x)
    for row in range(len(x)):
        for i in range(x.shape[1]):
            total = b[i]
            for j in range(x.shape[1]):
                total += W[i, j] * x[row, j]
            out[row, i] = x_0[row, i] * total + x[row, i]
    return out


@pytest.mark.parametrize("rank", [None, 1, 3])
def test_cross_layer_is_the_loop(rank):
    torch.manual_seed(0)
    layer = CrossLayer(5, rank).double()
    x_0, x = torch.randn(7, 5).double(), torch.randn(7, 5).double()
    W = layer.U.weight if rank is None else layer.U.weight @ layer.V.weight
    expected = slow_cross(*(part.detach().numpy() for part in (x_0, x, W, layer.U.bias)))
    assert_allclose(layer(x_0, x).detach(), expected, rtol=1e-12)


def test_l_layers_hold_products_of_l_plus_1_inputs():
    """Of an input times t the output is a polynomial in t of degree l + 1, and of no less."""
    torch.manual_seed(0)
    for n_layers in (1, 2, 3):
        layers = [CrossLayer(4).double() for _ in range(n_layers)]
        for layer in layers:
            torch.nn.init.zeros_(layer.U.bias)
        x_0 = torch.randn(1, 4).double()
        t = torch.linspace(-1, 1, 9).double()[:, None]
        x = start = t * x_0
        for layer in layers:
            x = layer(start, x)
        values = x[:, 0].detach().numpy()
        degree = n_layers + 1
        for k, fits in ((degree, True), (degree - 1, False)):
            fitted = np.polyval(np.polyfit(t[:, 0].numpy(), values, k), t[:, 0].numpy())
            assert np.allclose(fitted, values, atol=1e-9) == fits


@pytest.fixture(scope="module")
def parity():
    """A click where an even number of three columns is odd: no pair of them tells anything."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({name: rng.integers(0, 6, 8_000) for name in "abc"}).astype(str)
    p = np.where(X.astype(int).sum(axis=1) % 2 == 0, 0.9, 0.1)
    return X, (rng.random(len(p)) < p).astype(int), p


def loss_on_parity(parity, **params):
    X, y, _ = parity
    train, test = slice(0, 6_000), slice(6_000, None)
    params = {"hidden_dims": (), "lr": 0.02, "max_epochs": 8, "batch_size": 256, **params}
    model = DCNv2Classifier(8, early_stopping=False, random_state=0, **params)
    return log_loss(y[test], model.fit(X[train], y[train]).predict_proba(X[test]))


@pytest.mark.parametrize("structure", ["parallel", "stacked"])
def test_two_layers_find_a_product_of_three_columns(parity, structure):
    """Without a deep network, which would find it too."""
    _, y, p = parity
    # Whoever knows the truth has this, whoever knows the base rate only log 2.
    best = log_loss(y[6_000:], p[6_000:])
    assert loss_on_parity(parity, structure=structure, n_cross_layers=2) < best + 0.05


def test_one_layer_does_not(parity):
    """Its products are of two columns, and no pair tells anything."""
    assert loss_on_parity(parity, n_cross_layers=1) > np.log(2) - 0.05


def test_structures_and_ranks_have_their_parameters():
    X = pd.DataFrame({"a": ["x", "y"] * 20, "price": np.arange(40.0)})
    y = [0, 1] * 20
    params = {"embedding_dim": 4, "hidden_dims": (3,), "max_epochs": 1, "random_state": 0}
    parallel = DCNv2Classifier(**params).fit(X, y).net_.module_
    assert parallel.head.in_features == 3 + 5
    assert parallel.cross[0].U.weight.shape == (5, 5)
    stacked = DCNv2Classifier(**params, structure="stacked", rank=2, n_cross_layers=1).fit(X, y)
    module = stacked.net_.module_
    assert module.head.in_features == 3
    assert [tuple(p.shape) for p in module.cross.parameters()] == [(2, 5), (5, 2), (5,)]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"structure": "serial"}, "structure must be one of 'parallel', 'stacked', got 'serial'"),
        ({"rank": 0}, r"rank must be an integer in \[1, inf\), got 0"),
        ({"n_cross_layers": 1.5}, "n_cross_layers must be an integer"),
    ],
)
def test_bad_parameters(params, message):
    X = pd.DataFrame({"a": ["x", "y"] * 20})
    with pytest.raises(ValueError, match=message):
        DCNv2Classifier(**params).fit(X, [0, 1] * 20)
