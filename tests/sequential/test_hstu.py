"""HSTU: its layer by hand, causality, times."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from sk_adrec import HSTUNextItem
from sk_adrec.nn import Batch, Lists, PackedLists
from sk_adrec.nn.hstu import RelativeBias, time_buckets
from sk_adrec.sequential._hstu import HSTUBlock

QUICK = {"embedding_dim": 8, "dropout": 0.0, "id_dropout": 0.0, "lr": 0.01, "random_state": 0}


def one_list(n, max_len=50):
    return PackedLists.of(torch.tensor([0, n]), max_len)


@pytest.mark.parametrize("n_heads", [1, 2])
def test_block_equals_the_equations_event_by_event(n_heads):
    torch.manual_seed(0)
    d, n, T = 6, 10, 4
    block = HSTUBlock(d, n_heads, n, dropout=0.5, with_time=True).double().eval()
    torch.nn.init.normal_(block.f1)
    torch.nn.init.normal_(block.rab.by_offset)
    x = torch.randn(T, d, dtype=torch.float64)
    buckets = torch.randint(0, 129, (1, T, T))
    with torch.no_grad():
        got = block(x, one_list(T), [buckets])
        u, v, q, k = F.silu(F.layer_norm(x, (d,), eps=1e-6) @ block.f1).chunk(4, 1)
        w = d // n_heads
        for i in range(T):
            av = torch.zeros(d, dtype=torch.float64)
            for j in range(i + 1):
                bias = block.rab.by_offset[i - j] + block.rab.by_time[buckets[0, i, j]]
                for h in range(n_heads):
                    part = slice(h * w, (h + 1) * w)
                    av[part] += F.silu(q[i, part] @ k[j, part] + bias) / n * v[j, part]
            y = block.f2(u[i] * F.layer_norm(av, (d,), eps=1e-6)) + x[i]
            assert_allclose(got[i], y, rtol=1e-9)


def test_time_buckets_by_hand():
    t = torch.tensor([0.0, 10.0, float("nan")])
    buckets = time_buckets(torch.tensor([10.0, 1e6, 1e6]), t)
    # ln(10) / 0.301 = 7.6, ln(1e6) / 0.301 = 45.9
    assert buckets.tolist() == [[7, 0, 0], [45, 45, 0], [45, 45, 0]]


def test_gradient_of_the_time_bias_counts_each_bucket():
    torch.manual_seed(0)
    bias = RelativeBias(5, with_time=True).double()
    buckets = torch.randint(0, 4, (3, 5, 5))
    weight = torch.randn(3, 5, 5, dtype=torch.float64)
    (bias.add_time(bias.offsets(5), buckets) * weight).sum().backward()
    expected = [weight[buckets == k].sum().item() for k in range(4)]
    assert_allclose(bias.by_time.grad[:4], expected)
    assert not bias.by_time.grad[4:].any()
    i, j = np.indices((5, 5))
    expected = [weight.sum(0).numpy()[np.maximum(i - j, 0) == k].sum() for k in range(5)]
    assert_allclose(bias.by_offset.grad, expected)


@pytest.fixture(scope="module")
def fitted():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "h": [rng.integers(0, 9, n) for n in (3, 8, 1, 12)],
            "t": [np.sort(rng.integers(0, 10**6, n)).astype(float) for n in (3, 8, 1, 12)],
            "now": [2e6] * 4,
        }
    )
    params = {"history": "h", "history_time": "t", "request_time": "now", "dtype": "float64"}
    return HSTUNextItem(**QUICK, **params, max_epochs=3).fit(X, np.arange(4))


def states_of(model, items, times):
    """States before each event's successor is known, shape (n, d)."""
    module = model.net_.module_.train()
    asked = [*times[1:], 2e6]
    codes = torch.tensor(items, dtype=torch.int32)
    x = torch.tensor([times, asked], dtype=torch.float64).T
    lists = {"h": Lists(codes, torch.tensor([0, len(items)]), x)}
    nothing = torch.zeros(1, 0)
    with torch.no_grad():
        states = module(Batch(nothing, nothing.int(), lists)).states
    module.eval()
    return states[: len(items)].numpy()


def test_later_events_change_no_earlier_state(fitted):
    items, times = [3, 5, 2, 7, 4, 6], [1.0, 50.0, 900.0, 1e4, 1e5, 1e6]
    before = states_of(fitted, items, times)
    for k in range(1, 6):
        changed = states_of(fitted, [*items[:k], *[9] * (6 - k)], times)
        assert_allclose(changed[:k], before[:k], rtol=1e-12)
        assert np.abs(changed[k:] - before[k:]).max() > 1e-6
        late = [*times[: k + 1], *(t + 1e8 for t in times[k + 1 :])]
        # The time of event k + 1 is when the prediction after event k is asked for.
        assert_allclose(states_of(fitted, items, late)[:k], before[:k], rtol=1e-12)


def test_order_is_learned():
    rng = np.random.default_rng(0)
    first = rng.integers(0, 2, 400)
    X = pd.DataFrame({"h": [["a", "b"] if k else ["b", "a"] for k in first]})
    y = np.where(first == 1, "c", "d")
    model = HSTUNextItem(**QUICK, max_epochs=20, train_positions="last").fit(X, y)
    assert (model.predict(X) == y).all()


@pytest.mark.parametrize("unit", ["seconds", "datetime"])
def test_age_of_an_event_at_the_request_is_learned(unit):
    rng = np.random.default_rng(0)
    old = rng.integers(0, 2, 400)
    happened = rng.integers(10**9, 10**9 + 10**5, 400)
    now = happened + np.where(old == 1, 10**7, 5)
    if unit == "datetime":
        happened, now = happened.astype("datetime64[s]"), now.astype("datetime64[s]")
    X = pd.DataFrame({"h": [["a", "b"]] * 400, "t": [[t, t] for t in happened], "now": now})
    y = np.where(old == 1, "c", "d")
    model = HSTUNextItem(
        **QUICK, history="h", history_time="t", request_time="now", max_epochs=30,
        train_positions="last",
    )  # fmt: skip
    assert (model.fit(X, y).predict(X) == y).all()
    blind = HSTUNextItem(**QUICK, history="h", max_epochs=2, train_positions="last").fit(X, y)
    assert len(set(blind.predict(X))) == 1


def test_missing_items_take_their_times_with_them(fitted):
    rows = pd.DataFrame(
        {"h": [[1, None, 2], [1, 2]], "t": [[5.0, 6.0, 7.0], [5.0, 7.0]], "now": [9.0, 9.0]}
    )
    p = fitted.predict_proba(rows)
    assert_allclose(p[0], p[1])
    other = rows.assign(t=[[5.0, 6.0, 1e-3], [-1e7, 7.0]])
    with pytest.warns(UserWarning, match="the times in 't' descend in 1"):
        moved = fitted.predict_proba(other)
    assert np.abs(moved - p).max() > 1e-6


def test_gradients_are_finite_for_lists_of_any_length():
    torch.manual_seed(0)
    block = HSTUBlock(4, 1, 10, dropout=0.0, with_time=False)
    packed = PackedLists.of(torch.tensor([0, 0, 1, 10, 13]), 10)
    x = torch.randn(packed.N, 4, requires_grad=True)
    y = block(x, packed, None)
    y.sum().backward()
    assert y.isfinite().all()
    assert all(p.grad.isfinite().all() for p in (x, *block.parameters()))
