"""Draws of a fit are its own: threads, the caller's generator, modules from elsewhere, modes."""

import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV, KFold
from torch import nn
from torch.nn import functional as F

from sk_adrec import (
    DeepFMClassifier,
    DINClassifier,
    ESMMEstimator,
    FMClassifier,
    HSTUNextItem,
    SASRecNextItem,
    TwoTowerRetriever,
)
from sk_adrec._net import threads
from sk_adrec.base import BaseRanker, hyperparameters
from sk_adrec.nn import Dropout, FieldInputs
from sk_adrec.nn.random import Draws, drawing_from, dropout, generator, is_foreign
from sk_adrec.samplers import uniform_negatives


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(0)
    n = 500
    X = pd.DataFrame(
        {
            "user_id": rng.choice([f"u{i}" for i in range(20)], n),
            "item_id": rng.choice([f"i{i}" for i in range(15)], n),
            "hist": [rng.choice([f"i{i}" for i in range(15)], 3).tolist() for _ in range(n)],
        }
    )
    return X, rng.integers(0, 2, n)


class Foreign(nn.Module):
    """What somebody else's network may draw, in making and in training."""

    def __init__(self, schema):
        super().__init__()
        self.inputs = FieldInputs(schema, 4)
        self.gru = nn.GRU(self.inputs.out_dim, 4)
        self.drop, self.out = nn.Dropout(0.3), nn.Linear(4, 1)
        nn.init.orthogonal_(self.out.weight)

    def forward(self, batch):
        x = self.inputs(batch)
        if self.training:
            x = x + 0.1 * torch.randn_like(x) + 0.1 * torch.rand(x.shape[1])
            x = x * torch.bernoulli(torch.full_like(x, 0.9))
        h, _ = self.gru(x)
        return self.out(F.dropout(self.drop(h), 0.1, self.training)).squeeze(1)


@hyperparameters
class ForeignClassifier(BaseRanker):
    def _build_module(self, schema):
        return Foreign(schema)


def fit(Model, params, log):
    X, y = log
    X = X[["hist"]] if "NextItem" in Model.__name__ else X.drop(columns="hist")
    if Model is DINClassifier:
        X = log[0]
    params = {"max_epochs": 2, "random_state": 0, **params}
    if Model is TwoTowerRetriever:
        return Model(**params).fit(X[y == 1]).item_embeddings_
    target = log[0]["item_id"] if "NextItem" in Model.__name__ else y
    return Model(**params).fit(X, target).predict_proba(X[:200])


MODELS = [
    (FMClassifier, {}),
    (DeepFMClassifier, {"hidden_dims": (8,), "dropout": 0.2}),
    (DINClassifier, {"share_vocabulary": {"hist": "item_id"}, "dropout": 0.2}),
    (ESMMEstimator, {"hidden_dims": (8,), "dropout": 0.2}),
    (SASRecNextItem, {"embedding_dim": 8, "loss": "sampled_softmax", "n_negatives": 4}),
    (HSTUNextItem, {"embedding_dim": 8}),
    (TwoTowerRetriever, {"embedding_dim": 8, "hidden_dims": (8,), "dropout": 0.2}),
    (TwoTowerRetriever, {"embedding_dim": 8, "user_items": True}),
    (ForeignClassifier, {}),
]


@pytest.mark.parametrize(("Model", "params"), MODELS)
def test_fits_side_by_side_are_those_of_one_after_the_other(Model, params, log):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    alone = fit(Model, params, log)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda _: fit(Model, params, log), range(3)))
    for one in together:
        assert_array_equal(one, alone)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_others_draw_meanwhile_changes_nothing(log):
    alone = fit(*MODELS[1], log)
    stop = threading.Event()

    def draw():
        while not stop.is_set():
            torch.manual_seed(3)
            torch.rand(10)

    other = threading.Thread(target=draw)
    other.start()
    try:
        assert_array_equal(fit(*MODELS[1], log), alone)
    finally:
        stop.set()
        other.join()


def test_a_search_in_threads_is_that_in_one(log):
    X, y = log[0].drop(columns="hist"), log[1]
    model = DeepFMClassifier(max_epochs=1, hidden_dims=(8,), dropout=0.2, random_state=0)

    def search(n_jobs):
        with joblib.parallel_backend("threading"):
            found = GridSearchCV(
                model, {"lr": [1e-3, 3e-3]}, cv=KFold(2), scoring="neg_log_loss", n_jobs=n_jobs,
                refit=False,
            )  # fmt: skip
            return found.fit(X, y).cv_results_["mean_test_score"]

    assert_array_equal(search(1), search(2))


def test_partial_fit_and_loading_leave_the_callers_generator_alone(log):
    X, y = log[0].drop(columns="hist"), log[1]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    model = ForeignClassifier(max_epochs=1, random_state=0, grow_vocabulary=True)
    model.fit(X[:300], y[:300]).partial_fit(X[300:], y[300:])
    again = pickle.loads(pickle.dumps(model)).partial_fit(X, y)
    assert again.n_iter_ == 3
    assert torch.equal(torch.get_rng_state(), before)


# ---- the parts -----------------------------------------------------------------------------------


def test_draws_are_those_of_torchs_own_generator_of_that_seed():
    def draw():
        torch.nn.Linear(3, 4).weight.detach()
        values = [torch.nn.Linear(3, 4).weight.detach(), torch.randn(3), torch.rand(2, 2)]
        values += [torch.randn_like(torch.zeros(7)), torch.randint(9, (4,)), torch.randperm(5)]
        values += [nn.GRU(2, 2).weight_hh_l0.detach(), F.dropout(torch.ones(50), 0.3, True)]
        return [*values, nn.Dropout(0.5)(torch.ones(20)), torch.zeros(3).uniform_(0, 2)]

    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = draw()
    before = torch.get_rng_state()
    with drawing_from(Draws(5), everything=True):
        got = draw()
    for one, other in zip(got, expected):
        assert torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_torchs():
    x = torch.randn(500, dtype=torch.float64, requires_grad=True)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        expected = F.dropout(x, 0.4, True)
    with drawing_from(Draws(1)):
        got = dropout(x, 0.4, True)
    assert torch.equal(got, expected)
    for one, other in zip(*(torch.autograd.grad(y.sum(), x) for y in (got, expected))):
        assert torch.equal(one, other)
    assert dropout(x, 0.4, False) is x
    assert (dropout(x, 1.0, True) == 0).all()
    assert isinstance(Dropout(0.2), nn.Dropout)


def test_generators_are_current_in_their_block_and_thread_only():
    assert generator(None) is None
    with drawing_from(Draws(1)):
        first = uniform_negatives(1000, (5,))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(generator, None).result() is None
        with drawing_from(Draws(1)):
            assert torch.equal(uniform_negatives(1000, (5,)), first)
        assert not torch.equal(uniform_negatives(1000, (5,)), first)
    assert generator(None) is None


def test_foreign_modules_are_told_apart(log):
    assert not is_foreign(nn.Sequential(nn.Linear(2, 2), Dropout(0.1)))
    X, y = log[0].drop(columns="hist"), log[1]
    assert is_foreign(ForeignClassifier(max_epochs=1).fit(X, y).net_.module_)


# ---- threads of torch ----------------------------------------------------------------------------

COUNT = """
import os, threading
os.environ["OMP_NUM_THREADS"] = "2"
import numpy as np, pandas as pd, torch
from concurrent.futures import ThreadPoolExecutor
from sk_adrec import FMClassifier

def in_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start(); thread.join()
    return found[0]

rng = np.random.default_rng(0)
X, y = pd.DataFrame({"u": rng.choice(list("abcdef"), 2000)}), rng.integers(0, 2, 2000)
seen = [in_new_thread()]
def fit(seed):
    FMClassifier(max_epochs=3, random_state=seed).fit(X, y)
    seen.append(torch.get_num_threads())
fit(0)
with ThreadPoolExecutor(4) as pool:
    jobs = [pool.submit(fit, seed) for seed in range(8)]
    while not all(job.done() for job in jobs):
        seen.append(in_new_thread())
print(*{*seen, in_new_thread(), torch.get_num_threads()})
"""


def test_fits_side_by_side_leave_the_number_of_threads():
    """In a process of its own, since a number that is left behind would stay for other tests."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.split() == ["2"]


def test_threads_are_fewer_in_the_block_alone():
    before = torch.get_num_threads()
    with threads(1):
        assert torch.get_num_threads() == 1
        with threads(None):
            assert torch.get_num_threads() == 1
        with threads(9):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


# ---- modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize(("Model", "params"), [MODELS[0], MODELS[4], MODELS[6]])
def test_fits_under_a_mode_are_fits(Model, params, mode, log):
    alone = fit(Model, params, log)
    with mode():
        under = fit(Model, params, log)
    assert_array_equal(under, alone)


@pytest.mark.parametrize("Model", [FMClassifier, DeepFMClassifier, TwoTowerRetriever])
def test_a_model_that_was_loaded_under_a_mode_learns_on(Model, log):
    X, y = log[0].drop(columns="hist"), log[1]
    data = pickle.dumps(Model(max_epochs=1, random_state=0).fit(X, y))
    with torch.inference_mode():
        model = pickle.loads(data)
        model.predict_proba(X[:5])
    expected = pickle.loads(data).partial_fit(X, y).predict_proba(X[:50])
    assert_array_equal(model.partial_fit(X, y).predict_proba(X[:50]), expected)
    with torch.inference_mode():
        model.partial_fit(X, y)
