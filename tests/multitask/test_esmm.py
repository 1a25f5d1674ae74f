"""ESMM: the module by hand, and what the paper promises on a log with known probabilities."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from sk_adrec import ESMMEstimator
from sk_adrec.datasets import make_ad_log
from sk_adrec.losses import EntireSpaceLoss
from sk_adrec.multitask._esmm import ESMM
from sk_adrec.nn import Batch, Lists
from sk_adrec.preprocessing._encoded import Schema

QUICK = {"max_epochs": 3, "random_state": 0, "early_stopping": False}


def small_module():
    schema = Schema(
        ("price",), {"item": "item"}, {"history": "item"}, {"item": 5}, prior=np.array([-1.0, 2.0])
    )
    torch.manual_seed(0)
    module = ESMM(schema, 2, [(3,), ()], "relu", 0.0)
    batch = Batch(
        torch.tensor([[0.5], [-1.0]]),
        torch.tensor([[2], [4]], dtype=torch.int32),
        {"history": Lists(torch.tensor([3, 2, 3], dtype=torch.int32), torch.tensor([0, 3, 3]))},
    )
    return module, batch


def test_forward_by_hand():
    module, batch = small_module()
    E = module.inputs.table.weight.detach().numpy()
    x = np.array([[*E[2], *(E[3] * 2 + E[2]) / 3, 0.5], [*E[4], 0.0, 0.0, -1.0]])
    ctr, cvr = module.towers
    w1, b1, w2, b2 = (part.detach().numpy() for part in ctr.parameters())
    w, b = (part.detach().numpy() for part in cvr.parameters())
    hidden = np.maximum(x @ w1.T + b1, 0)
    expected = np.column_stack([hidden @ w2.T + b2, x @ w.T + b])
    assert_allclose(module(batch).detach(), expected, rtol=1e-5)
    assert (float(b2[0]), float(b[0])) == (-1.0, 2.0)


def test_conversions_teach_both_towers_and_the_shared_table():
    module, batch = small_module()
    y = torch.tensor([[torch.nan, 1.0], [torch.nan, 0.0]])
    EntireSpaceLoss([1.0, 1.0])(module(batch), y).sum().backward()
    for tower in module.towers:
        assert tower[-1].weight.grad.abs().sum() > 0
    assert module.inputs.table.weight.grad.to_dense().abs().sum() > 0


def test_the_prior_of_each_stage_is_where_training_starts():
    log = make_ad_log(2_000, random_state=0)
    model = ESMMEstimator(**{**QUICK, "max_epochs": 1}, lr=1e-12, hidden_dims=())
    model.fit(log.data, log.funnel)
    rates = [log.funnel["click"].mean(), log.funnel["conversion"].sum() / log.funnel["click"].sum()]
    bias = [float(tower[-1].bias.detach()) for tower in model.net_.module_.towers]
    assert_allclose(expit(bias), rates, rtol=1e-5)


# ---- the paper's property ------------------------------------------------------------------------

N_TRAIN, N_VALID, N_TEST = 24_000, 6_000, 20_000


@pytest.fixture(scope="module")
def planted():
    """A log whose clicked impressions convert better than the others would."""
    return make_ad_log(
        N_TRAIN + N_VALID + N_TEST,
        n_users=100, n_items=50, base_rate=0.1, conversion_rate=0.2, selection=1.0,
        random_state=0,
    )  # fmt: skip


def parts(log):
    rows = (0, N_TRAIN, N_TRAIN + N_VALID, len(log.data))
    return [slice(start, stop) for start, stop in pairwise(rows)]


def fit(log, y, rows, valid):
    model = ESMMEstimator(
        share_vocabulary={"hist_item_id": "item_id"}, early_stopping=True, random_state=0
    )
    X = log.data
    return model.fit(X.iloc[rows], y[rows], X_val=X.iloc[valid], y_val=y[valid])


def cross_entropy(truth, p):
    """Expected log loss over all impressions, of which nobody needs to have clicked."""
    return -(truth * np.log(p) + (1 - truth) * np.log1p(-p)).mean()


@pytest.fixture(scope="module")
def esmm(planted):
    train, valid, _ = (np.arange(part.start, part.stop) for part in parts(planted))
    return fit(planted, planted.funnel.to_numpy(), train, valid)


def test_cvr_over_all_impressions_beats_a_network_trained_on_clicks(planted, esmm):
    train, valid, test = (np.arange(part.start, part.stop) for part in parts(planted))
    clicked, conversion = planted.funnel.to_numpy().T
    on_clicks = fit(planted, conversion, train[clicked[train] == 1], valid[clicked[valid] == 1])
    truth, X = planted.p_conversion[test], planted.data.iloc[test]
    best = cross_entropy(truth, truth)
    constant = cross_entropy(truth, conversion[train].sum() / clicked[train].sum())
    naive = cross_entropy(truth, on_clicks.predict_proba(X)[:, 1].astype(float))
    entire = cross_entropy(truth, esmm.predict_funnel(X)["cvr"].to_numpy().astype(float))
    assert entire - best < 0.8 * (naive - best)
    assert entire - best < 0.5 * (constant - best)


def test_probabilities_come_close_to_the_planted_ones(planted, esmm):
    test = parts(planted)[2]
    y, X = planted.funnel[test].to_numpy(), planted.data[test]
    p = esmm.predict_proba(X)
    truth = np.column_stack([planted.p_click, planted.p_click * planted.p_conversion])[test]
    for k, gap in ((0, 0.05), (1, 0.06)):
        assert roc_auc_score(y[:, k], p[:, k]) > roc_auc_score(y[:, k], truth[:, k]) - gap
    # 2,400 clicks: the epoch that is restored decides the level to some tenths.
    assert_allclose(p.mean(axis=0), truth.mean(axis=0), rtol=0.3)


# ---- parameters ----------------------------------------------------------------------------------


def test_towers_of_their_own_widths():
    log = make_ad_log(300, base_rate=0.4, random_state=0)
    widths = ((8, 4), (3,))
    model = ESMMEstimator(hidden_dims=widths, **QUICK).fit(log.data, log.funnel)
    for tower, dims in zip(model.net_.module_.towers, widths):
        layers = [layer.out_features for layer in tower if hasattr(layer, "out_features")]
        assert layers == [*dims, 1]
    common = ESMMEstimator(hidden_dims=(5,), **QUICK).fit(log.data, log.funnel)
    assert [tower[0].out_features for tower in common.net_.module_.towers] == [5, 5]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden_dims": ((8,), (8,), (8,))}, "one for each of the 2 stages"),
        ({"hidden_dims": ((8,), 4)}, "hidden_dims must be a tuple of widths"),
        ({"hidden_dims": 8}, r"hidden_dims must be a tuple of widths such as \(256, 128\), got 8"),
        ({"hidden_dims": (8, 0)}, "each width in hidden_dims must be an integer"),
        ({"activation": "gelu"}, "activation must be one of"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), got 1.0"),
        ({"embedding_dim": 0}, "embedding_dim must be an integer"),
    ],
)
def test_bad_parameters(params, message):
    log = make_ad_log(100, base_rate=0.4, random_state=0)
    with pytest.raises(ValueError, match=message):
        ESMMEstimator(**params).fit(log.data, log.funnel)


def test_lists_are_pooled_in_any_order_and_with_the_candidates_vectors():
    log = make_ad_log(400, n_items=20, base_rate=0.4, random_state=0)
    model = ESMMEstimator(share_vocabulary={"hist_item_id": "item_id"}, lr=0.05, **QUICK)
    model.fit(log.data, log.funnel)
    X = log.data.iloc[-50:]
    p = model.predict_proba(X)
    name = "hist_item_id"
    turned = X.assign(**{name: pd.Series([list(h)[::-1] for h in X[name]], index=X.index)})
    assert_allclose(model.predict_proba(turned), p, rtol=1e-5)
    other = X.assign(**{name: pd.Series([["item_0"]] * 50, index=X.index)})
    assert np.abs(model.predict_proba(other) - p).max() > 1e-3
    vectors = model.embeddings("item_id")
    assert_allclose(model.embeddings(name), vectors)
    assert vectors.shape[1] == 16


def test_rare_stages_need_no_resampling():
    """One epoch is enough for the level of a stage that one row in 2,000 reaches."""
    log = make_ad_log(20_000, base_rate=0.01, conversion_rate=0.05, random_state=0)
    model = ESMMEstimator(**{**QUICK, "max_epochs": 1}).fit(log.data, log.funnel)
    ratio = model.predict_proba(log.data).mean(axis=0) / log.funnel.mean().to_numpy()
    # Of 10 conversions no level is known better; without its prior a tower starts at one half.
    assert ((ratio > 1 / 3) & (ratio < 3)).all()
