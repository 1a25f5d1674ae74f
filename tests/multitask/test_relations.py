"""Tasks that are no funnel, by a toy: a mixture of experts on `Independent`."""

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from torch import nn

from sk_adrec._hyperparameters import hyperparameters
from sk_adrec.datasets import make_ad_log
from sk_adrec.losses import IndependentTasksLoss
from sk_adrec.multitask._base import BaseMultiTask
from sk_adrec.multitask._relations import Independent
from sk_adrec.nn import MLP, FieldInputs, Towers


class MMoE(nn.Module):
    """Ma et al. (2018), equations 6 and 7, with two experts."""

    def __init__(self, schema):
        super().__init__()
        self.inputs = FieldInputs(schema, 8, std=0.1)
        D, K = self.inputs.out_dim, len(schema.prior)
        self.f = nn.ModuleList(MLP(D, (16,)) for _ in range(2))
        self.g = nn.ModuleList(nn.Linear(D, 2, bias=False) for _ in range(K))
        self.h = Towers(16, [()] * K, schema.prior)

    @property
    def output_biases(self):
        return self.h.output_biases

    def forward(self, batch):
        x = self.inputs(batch)  # (B, D)
        f = torch.stack([expert(x) for expert in self.f], 1)  # (B, 2, 16)
        return self.h([(g(x).softmax(1)[:, :, None] * f).sum(1) for g in self.g])  # (B, K)


@hyperparameters
class ToyMMoE(BaseMultiTask):
    _relation = Independent()

    def _build_module(self, schema):
        return MMoE(schema)


@pytest.fixture(scope="module")
def rows():
    """Two labels that exclude nothing: like by the item's parity, share by the user's."""
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 20, 6000), rng.integers(0, 20, 6000)
    X = pd.DataFrame({"user": user, "item": item}).astype(str)
    p = np.where(np.column_stack([item % 2, user % 2]), 0.9, 0.1)
    y = pd.DataFrame((rng.random(p.shape) < p).astype(float), columns=["like", "share"])
    return X, y, p


@pytest.fixture(scope="module")
def model(rows):
    X, y, _ = rows
    return ToyMMoE(max_epochs=5, lr=0.01, random_state=0).fit(X[:5000], y[:5000])


def test_each_task_has_its_probability(rows, model):
    X, _, p = rows
    predicted = model.predict_proba(X[5000:])
    assert predicted.shape == (1000, 2)
    assert_array_equal(model.classes_, [0, 1])
    assert model.task_names_ == ["like", "share"]
    assert np.abs(predicted - p[5000:]).mean() < 0.05
    # A funnel would not let the second task be likelier than the first.
    assert (predicted[:, 1] > predicted[:, 0] + 0.5).any()
    assert_array_equal(model.predict(X[5000:]), predicted > 0.5)


def test_mean_probability_of_each_task_is_its_rate(rows):
    X, y, _ = rows
    model = ToyMMoE(max_epochs=2, early_stopping=False, random_state=0).fit(X, y)
    assert_allclose(model.predict_proba(X).mean(axis=0), y.mean(), rtol=1e-4)


def test_rows_of_any_kind_are_fine(rows):
    X = rows[0][:40]
    y = np.array([[0, 1], [1, 0], [1, 1], [0, 0]] * 10, dtype=float)
    y[:8, 1] = np.nan
    p = ToyMMoE(max_epochs=1, random_state=0).fit(X, y).predict_proba(X)
    assert np.isfinite(p).all()


def test_unknown_labels_teach_nothing(rows):
    """NaN hides two thirds of the shares, in ones more than in zeros of other rows: by chance."""
    X, y, _ = rows
    hidden = np.random.default_rng(1).random(len(y)) < 0.6
    y = y.assign(share=y["share"].mask(hidden))
    kept = ToyMMoE(max_epochs=2, random_state=0, early_stopping=False).fit(X, y)
    known = y["share"].notna()
    mean = kept.predict_proba(X[known])[:, 1].mean()
    assert mean == pytest.approx(y["share"][known].mean(), rel=1e-3)


def test_the_loss_is_the_sum_of_cross_entropies():
    z = np.array([[0.3, -1.0, 2.0], [1.5, 0.0, -2.0]])
    y = np.array([[1, 0, np.nan], [0, 1, 1]])
    weights = [1.0, 2.0, 0.5]
    expected = []
    for logits, labels in zip(z, y):
        total = 0.0
        for logit, label, weight in zip(logits, labels, weights):
            if not np.isnan(label):
                p = expit(logit)
                total -= weight * (label * np.log(p) + (1 - label) * np.log(1 - p))
        expected.append(total)
    logits = torch.tensor(z, requires_grad=True)
    loss = IndependentTasksLoss(weights)(logits, torch.tensor(y))
    assert_allclose(loss.detach(), expected)
    loss.sum().backward()
    assert logits.grad[0, 2] == 0
    assert torch.isfinite(logits.grad).all()


def test_files_weights_and_balance(rows, model):
    X, y, _ = rows
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X[:50]), model.predict_proba(X[:50]))
    rare = y.assign(share=y["share"] * (np.arange(len(y)) % 20 == 0))
    loss = ToyMMoE(loss_weights="balanced", max_epochs=1, random_state=0).fit(X, rare)
    first, second = loss.net_.criterion_.weights
    assert first == 1.0
    assert second > 2.0


def test_one_task_of_two_labels(rows):
    X, y, _ = rows
    labels = np.where(y["like"] == 1, "yes", "no")
    model = ToyMMoE(max_epochs=5, lr=0.01, random_state=0).fit(X, labels)
    p = model.predict_proba(X)
    assert p.shape == (6000, 2)
    assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert model.score(X, labels) > 0.85


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda y: y.assign(share=0.0), "two classes in each task, but 'share' has one class: 0"),
        (lambda y: y.assign(share=np.nan), "task 'share' of y is NaN in all rows"),
        (lambda y: y.assign(share=2.0), "y must hold 0, 1 or NaN"),
        (lambda y: np.arange(len(y)) % 3, "Only binary classification is supported"),
    ],
)
def test_bad_targets(rows, change, message):
    X, y, _ = rows
    with pytest.raises(ValueError, match=message):
        ToyMMoE(max_epochs=1).fit(X, change(y))


def test_no_funnel_is_predicted(rows, model):
    with pytest.raises(ValueError, match="these tasks are independent"):
        model.predict_funnel(rows[0])


def test_weights_need_one_of_each_task(rows):
    X, y, _ = rows
    with pytest.raises(ValueError, match=r"each of the 2 tasks \['like', 'share'\]"):
        ToyMMoE(loss_weights=[1, 2, 3]).fit(X, y)


def test_columns_without_names_are_numbered():
    log = make_ad_log(200, random_state=0)
    y = np.column_stack([log.target, 1 - log.target])
    assert ToyMMoE(max_epochs=1).fit(log.data, y).task_names_ == ["task_1", "task_2"]
