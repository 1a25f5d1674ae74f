"""SASRec: its attention against torch's own, causality, what it learns."""

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose

from sk_adrec import SASRecNextItem
from sk_adrec.nn import PackedLists
from sk_adrec.sequential._sasrec import SASRecBlock


@pytest.mark.parametrize("n_heads", [1, 2])
def test_attention_equals_torch_multihead_attention(n_heads):
    torch.manual_seed(0)
    d, T = 6, 5
    block = SASRecBlock(d, n_heads, dropout=0.3).double().eval()
    reference = torch.nn.MultiheadAttention(d, n_heads, batch_first=True).double().eval()
    with torch.no_grad():
        reference.in_proj_weight.copy_(block.qkv.weight)
        reference.in_proj_bias.copy_(block.qkv.bias)
        reference.out_proj.load_state_dict(block.out.state_dict())
        x = torch.randn(T, d, dtype=torch.float64)
        normed = block.norm_attention(x)[None]
        mask = torch.ones(T, T, dtype=torch.bool).triu(1)
        h = x + reference(normed, normed, normed, attn_mask=mask)[0][0]
        expected = h + block.w2(block.w1(block.norm_forward(h)).relu())
        got = block(x, PackedLists.of(torch.tensor([0, T]), 10), None)
    assert_allclose(got, expected, rtol=1e-9)


def test_later_events_change_no_earlier_output():
    torch.manual_seed(0)
    block = SASRecBlock(4, 1, dropout=0.0).double()
    packed = PackedLists.of(torch.tensor([0, 6]), 10)
    x = torch.randn(6, 4, dtype=torch.float64)
    other = torch.cat([x[:3], torch.randn(3, 4, dtype=torch.float64)])
    before, after = block(x, packed, None), block(other, packed, None)
    assert_allclose(after[:3].detach(), before[:3].detach())
    assert (after[3:] != before[3:]).any()


def test_an_early_event_is_attended_to():
    """The next item repeats the marked first event, whatever comes in between."""
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 600)
    X = pd.DataFrame({"h": [[k, *rng.integers(10, 20, rng.integers(1, 9))] for k in first]})
    model = SASRecNextItem(
        embedding_dim=16, lr=0.02, max_epochs=15, train_positions="last", batch_size=64,
        dropout=0.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    model.fit(X[:500], 100 + first[:500])
    assert np.mean(model.predict(X[500:]) == 100 + first[500:]) > 0.95
