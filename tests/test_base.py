"""Four networks as different as the library's will be, each a short file on ``_base.py``.

They are the base's specification: whoever changes it keeps them short and unbranched. Each learns
a planted signal whose best reachable score follows from how it was drawn.
"""

import inspect
import pickle
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, clone
from torch import nn
from torch.nn import functional as F

from sk_adrec._base import BaseTorchEstimator
from sk_adrec._hyperparameters import (
    KW_ONLY,
    Count,
    CountOrAuto,
    Positive,
    Probability,
    SwitchOrAuto,
    hyperparameters,
)
from sk_adrec.nn import FusedEmbedding, sparse_matmul
from sk_adrec.ranking._base import BaseRanker
from sk_adrec.utils import all_estimators

# ---- a factorisation machine on scipy matrices ---------------------------------------------------


class SparseFM(nn.Module):
    def __init__(self, n_features, k):
        super().__init__()
        self.v, self.w = FusedEmbedding({"x": n_features}, k), FusedEmbedding({"x": n_features}, 1)
        self.w0 = nn.Parameter(torch.zeros(()))

    def forward(self, batch):
        index, offsets, x = batch.sparse.values, batch.sparse.offsets, batch.sparse.x
        v, place = self.v.distinct(index)  # (u, k), (m,)
        w, _ = self.w.distinct(index)  # (u, 1)
        s = sparse_matmul(v, place, offsets, x)  # (B, k)
        own = sparse_matmul(v * v, place, offsets, x * x)  # (B, k)
        linear = sparse_matmul(w, place, offsets, x).squeeze(1)  # (B,)
        return self.w0 + linear + 0.5 * (s * s - own).sum(1)  # (B,)


@hyperparameters
class ToyFM(BaseRanker):
    _takes_sparse = True

    _: KW_ONLY
    id_dropout: Probability = 0.0
    lr: Positive = 0.05
    batch_size: CountOrAuto = 256
    max_epochs: Count = 6
    early_stopping: SwitchOrAuto = False

    def _build_module(self, schema):
        return SparseFM(schema.n_sparse, k=4)


# ---- a ranker that attends from the candidate to the history -------------------------------------


class Attention(nn.Module):
    def __init__(self, schema, d):
        super().__init__()
        self.items = FusedEmbedding(schema.cardinalities, d, std=0.3)
        self.scale, self.bias = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def forward(self, batch):
        history = batch.sequences["history"].padded()  # (B, T)
        q = self.items(batch.categorical[:, 0])  # (B, d)
        k = self.items(history)  # (B, T, d)
        score = (k @ q[:, :, None]).squeeze(2)  # (B, T)
        a = score.masked_fill(history == 0, -1e9).softmax(1)  # (B, T)
        # An empty history leaves the weights uniform over padding, whose embedding must not count.
        pooled = ((a * (history > 0))[:, :, None] * k).sum(1)  # (B, d)
        return self.scale * (pooled * q).sum(1) + self.bias  # (B,)


@hyperparameters
class ToyAttention(BaseRanker):
    _: KW_ONLY
    id_dropout: Probability = 0.0
    lr: Positive = 0.01
    batch_size: CountOrAuto = 256
    max_epochs: Count = 8
    early_stopping: SwitchOrAuto = False

    def _build_module(self, schema):
        return Attention(schema, d=16)


# ---- two outputs, labels that are not all known yet ----------------------------------------------


class TwoHeads(nn.Module):
    def __init__(self, schema, d):
        super().__init__()
        self.table = FusedEmbedding(schema.cardinalities, d)
        self.vocabularies = list(schema.categorical.values())
        self.head = nn.Linear(len(self.vocabularies) * d, 2)

    def forward(self, batch):
        index = self.table.index_columns(self.vocabularies, batch.categorical)  # (B, F)
        return self.head(self.table(index).flatten(1))  # (B, 2)


class MaskedLogLoss(nn.Module):
    def forward(self, logits, y):
        known = ~y.isnan()
        loss = F.binary_cross_entropy_with_logits(logits, y.nan_to_num(), reduction="none")
        return (loss * known).sum(1)


@hyperparameters
class ToyTwoHeads(ClassifierMixin, BaseTorchEstimator):
    _: KW_ONLY
    id_dropout: Probability = 0.0
    lr: Positive = 0.01
    batch_size: CountOrAuto = 256
    max_epochs: Count = 6
    early_stopping: SwitchOrAuto = False

    def _encode_target(self, y, weight, *, reset):
        if reset:
            self.classes_ = np.arange(2)
        return np.asarray(y, dtype=self.dtype)

    def _build_module(self, schema):
        return TwoHeads(schema, d=4)

    def _make_loss(self, task):
        return MaskedLogLoss()

    def predict_proba(self, X):
        return expit(self._forward(X))


# ---- the next item: a softmax over thousands of classes ------------------------------------------


class NextItem(nn.Module):
    def __init__(self, schema, n_classes, d):
        super().__init__()
        self.items = FusedEmbedding(schema.cardinalities, d, std=0.3)
        self.gru = nn.GRU(d, d, batch_first=True)
        self.head = nn.Linear(d, n_classes)

    def forward(self, batch):
        (lists,) = batch.sequences.values()
        states, _ = self.gru(self.items(lists.padded()))  # (B, T, d)
        last = (lists.lengths - 1).clamp(min=0)
        return self.head(states[torch.arange(len(batch)), last])  # (B, n_classes)


@hyperparameters
class ToyNextItem(ClassifierMixin, BaseTorchEstimator):
    _: KW_ONLY
    id_dropout: Probability = 0.0
    lr: Positive = 0.01
    batch_size: CountOrAuto = 512
    max_epochs: Count = 6
    early_stopping: SwitchOrAuto = False

    def _encode_target(self, y, weight, *, reset):
        if reset:
            self.classes_ = np.unique(y)
        place = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        # -100 is cross_entropy's code for a row without a target.
        return np.where(self.classes_[place] == y, place, -100)

    def _build_module(self, schema):
        return NextItem(schema, len(self.classes_), d=32)

    def _make_loss(self, task):
        return nn.CrossEntropyLoss(reduction="none")

    def predict_proba(self, X):
        return softmax(self._forward(X), axis=1)


# ---- planted signals -----------------------------------------------------------------------------

# P(y = 1) where the planted condition holds, 1 - HIT elsewhere.
HIT = 0.9
N_ITEMS = 2_000


def draw(rng, condition):
    """0/1 labels, 1 with probability HIT where the condition holds, 1 - HIT elsewhere."""
    return (rng.random(np.shape(condition)) < np.where(condition, HIT, 1 - HIT)).astype(float)


def log_loss(p, y):
    """Mean log loss over the labels that are known."""
    return np.nanmean(-y * np.log(p) - (1 - y) * np.log1p(-p))


def truth_log_loss(condition, y):
    """What the planted probabilities themselves score on these rows."""
    return log_loss(np.where(condition, HIT, 1 - HIT), y)


# Each function draws n rows: X, y, and the error of whoever knows the truth on these very rows.


def fm_data(rng, n):
    """A click where user and item are both even or both odd: no first-order effect."""
    user, item = rng.integers(0, 30, n), rng.integers(0, 30, n)
    ones, rows = np.ones(n), np.arange(n)
    X = sparse.csr_matrix((ones, (rows, user)), shape=(n, 60))
    X = (X + sparse.csr_matrix((ones, (rows, 30 + item)), shape=(n, 60))).tocsr()
    condition = (user + item) % 2 == 0
    y = draw(rng, condition)
    return X, y, truth_log_loss(condition, y)


def attention_data(rng, n):
    """A click where the history holds the candidate."""
    history = [rng.permutation(12)[: rng.integers(1, 5)] for _ in range(n)]
    item = np.array([rng.choice(h) if rng.random() < 0.5 else rng.integers(12) for h in history])
    condition = np.array([i in h for i, h in zip(item, history)])
    y = draw(rng, condition)
    return pd.DataFrame({"item": item, "history": history}), y, truth_log_loss(condition, y)


def two_heads_data(rng, n):
    """Click by the user's parity, conversion by the item's, known mostly where there is none.

    A loss that took unknown conversions for negatives would learn other probabilities, as 60 % of
    them are missing among even items and none among odd ones.
    """
    user, item = rng.integers(0, 20, n), rng.integers(0, 20, n)
    condition = np.column_stack([user % 2 == 0, item % 2 == 0])
    y = draw(rng, condition)
    y[(item % 2 == 0) & (rng.random(n) < 0.6), 1] = np.nan
    X = pd.DataFrame({"user": user, "item": item}).astype(str).astype("category")
    return X, y, truth_log_loss(condition, y)


def next_item_data(rng, n):
    """With probability HIT the item that follows the last one, else any."""
    history = [rng.integers(0, N_ITEMS, rng.integers(1, 4)) for _ in range(n)]
    last = np.array([h[-1] for h in history])
    successor = (last * 7 + 1) % N_ITEMS
    y = np.where(rng.random(n) < HIT, successor, rng.integers(0, N_ITEMS, n))
    return pd.DataFrame({"history": history}), y, np.mean(successor != y)


def binary_log_loss(model, X, y):
    """Mean log loss of a ranker, or of all outputs with known labels."""
    p = model.predict_proba(X)
    return log_loss(p[:, 1] if y.ndim == 1 else p, y)


def miss_rate(model, X, y):
    """Share of rows whose most probable class is not y."""
    return np.mean(model.classes_[model.predict_proba(X).argmax(axis=1)] != y)


@dataclass
class Toy:
    """A toy, its data and error measure, and two rows of ids that no fit has seen."""

    estimator: BaseTorchEstimator
    module: type
    data: object
    n_train: int
    error: object
    unseen: object


EMPTY = np.array([], dtype=int)
TOYS = {
    "FM": Toy(
        ToyFM(random_state=0), SparseFM, fm_data, 8_000, binary_log_loss, sparse.csr_matrix((2, 60))
    ),
    "attention": Toy(
        ToyAttention(share_vocabulary={"history": "item"}, random_state=0), Attention,
        attention_data, 8_000, binary_log_loss,
        pd.DataFrame({"item": [99, 0], "history": [np.array([98]), EMPTY]}),
    ),
    "two heads": Toy(
        ToyTwoHeads(random_state=0), TwoHeads, two_heads_data, 8_000, binary_log_loss,
        pd.DataFrame({"user": ["x", None], "item": ["1", "y"]}),
    ),
    "next item": Toy(
        ToyNextItem(random_state=0), NextItem, next_item_data, 16_000, miss_rate,
        pd.DataFrame({"history": [np.array([99_999]), EMPTY]}),
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=TOYS)
def toy(request):
    return TOYS[request.param]


@pytest.fixture(scope="module")
def fitted(toy):
    X, y, _ = toy.data(np.random.default_rng(0), toy.n_train)
    return clone(toy.estimator).fit(X, y)


def subclasses(cls):
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


def test_hooks_stand_in_one_table():
    """What the library's models override of the base is what its docstring lists, and no more."""
    all_estimators()  # so that all are imported
    bases = [one for one in BaseTorchEstimator.__mro__ if one.__module__.startswith("sk_adrec")]
    private = {name for base in bases for name in vars(base) if re.match("_[a-z]", name)}
    private -= {"_abc_impl", "_sklearn_auto_wrap_output_keys", "_doc_link_module"}
    overridden = {
        name
        for cls in subclasses(BaseTorchEstimator)
        if cls.__module__.startswith("sk_adrec")
        for name in private & set(vars(cls))
    }
    listed = set(re.findall(r"``(_[a-z_]+)", BaseTorchEstimator.__doc__))
    assert overridden <= listed
    assert listed <= private | {"_rebuilt"}
    # Two are for models of one's own.
    assert len(listed - overridden) <= 2


def test_toy_is_short(toy):
    source = inspect.getsource(toy.module) + inspect.getsource(type(toy.estimator))
    assert len(source.splitlines()) < 60


def test_toy_comes_close_to_the_best_score(toy, fitted):
    X, y, best = toy.data(np.random.default_rng(1), 4_000)
    # Fitted by chance to the noise of the test rows, a model may beat the truth by a hair.
    assert best - 0.002 < toy.error(fitted, X, y) < best + 0.025


def test_two_heads_are_not_misled_by_unknown_labels():
    rng = np.random.default_rng(0)
    X, y, _ = two_heads_data(rng, 8_000)
    p = ToyTwoHeads(random_state=0).fit(X, y).predict_proba(X)
    even = X["item"].astype(int) % 2 == 0
    assert p[even, 1].mean() == pytest.approx(HIT, abs=0.02)
    assert p[~even, 1].mean() == pytest.approx(1 - HIT, abs=0.02)


def test_pickle_round_trip_is_bit_equal(toy, fitted):
    X, _, _ = toy.data(np.random.default_rng(2), 300)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))


def test_clone_refits_to_the_same_predictions(toy):
    X, y, _ = toy.data(np.random.default_rng(3), 400)
    model = clone(toy.estimator).set_params(max_epochs=2)
    first = model.fit(X, y).predict_proba(X)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "net_")
    assert_array_equal(copy.fit(X, y).predict_proba(X), first)
    assert_array_equal(model.fit(X, y).predict_proba(X), first)


def test_unseen_ids_and_empty_rows_give_probabilities(toy, fitted):
    p = fitted.predict_proba(toy.unseen)
    assert p.shape[0] == 2
    assert np.all((p > 0) & (p < 1))


def test_early_stopping_restores_the_best_epoch_on_given_rows(toy):
    """Validation labels are shuffled: the more is learned, the worse they are predicted."""
    rng = np.random.default_rng(4)
    X, y, _ = toy.data(rng, 1_000)
    X_val, y_val, _ = toy.data(rng, 500)
    y_val = rng.permutation(y_val)
    model = clone(toy.estimator).set_params(early_stopping=True, max_epochs=50)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    best = int(np.argmax(model.validation_scores_))
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_scores_)
    assert model.n_iter_ == best + 1 + model.n_iter_no_change < 50
    rerun = clone(model).set_params(max_epochs=best + 1, early_stopping=False).fit(X, y)
    assert_allclose(rerun.predict_proba(X), model.predict_proba(X), rtol=1e-6)


def test_partial_fit_is_a_fit_and_then_goes_on(toy):
    X, y, _ = toy.data(np.random.default_rng(6), 500)
    model = clone(toy.estimator).set_params(max_epochs=1)
    fitted = clone(model).fit(X, y)
    model.partial_fit(X, y, classes=np.unique(y[~np.isnan(y)]))
    assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    for _ in range(4):
        model.partial_fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 5
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_a_validation_part_may_be_smaller_than_the_number_of_classes():
    X, y, _ = attention_data(np.random.default_rng(0), 30)
    model = ToyAttention(share_vocabulary={"history": "item"}, early_stopping=True, random_state=0)
    model.validation_fraction = 0.03
    assert len(model.fit(X, y).validation_scores_) == model.n_iter_


def test_weights_count_as_repetitions(toy):
    """On one full batch in float64, where both fits do the same sums."""
    rng = np.random.default_rng(5)
    X, y, _ = toy.data(rng, 200)
    weight = rng.integers(0, 4, 200)
    rows = np.repeat(np.arange(200), weight)
    take = X.iloc.__getitem__ if hasattr(X, "iloc") else X.__getitem__
    model = clone(toy.estimator).set_params(dtype="float64", batch_size=1_000, max_epochs=5)
    weighted = clone(model).fit(X, y, sample_weight=weight).predict_proba(X)
    repeated = clone(model).fit(take(rows), y[rows]).predict_proba(X)
    unweighted = clone(model).fit(X, y).predict_proba(X)
    assert_allclose(weighted, repeated, rtol=1e-9)
    if weighted.shape == unweighted.shape:
        assert not np.allclose(weighted, unweighted, rtol=1e-3)
