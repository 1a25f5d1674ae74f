"""The trainer: batches, weighted losses, and every way in which a training ends."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sk_adrec import DeepFMClassifier
from sk_adrec._batches import BatchIterator, TrainingRows
from sk_adrec._net import LogNet, ProgressBar, RestoreBest
from sk_adrec.datasets import make_ad_log
from sk_adrec.losses import LogLoss
from sk_adrec.preprocessing._encoded import Encoded, Ragged


class Linear(nn.Module):
    """A logit from two numbers, all parameters zero at the start."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, batch):
        return batch.numeric @ self.w


def numbers(n, seed=0, weight=None, rows=None):
    """Two numbers a row, labels that follow the first one, weights of mean 1."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    y = (rng.random(n) < expit(2 * x[:, 0])).astype(float)
    weight = np.ones(n) if weight is None else weight / weight.mean()
    return TrainingRows(Encoded(x, np.empty((n, 0), np.int32)), y, weight, rows)


def hand_loss(w, data):
    """Weighted mean of log(1 + exp(z)) - y z, row by row."""
    losses = []
    for x, y, weight in zip(data.encoded.numeric, data.y, data.weight):
        z = x @ w
        losses.append(weight * (np.log1p(np.exp(z)) - y * z))
    return np.sum(losses) / np.sum(data.weight)


def hand_gradient(w, data):
    x = data.encoded.numeric
    return x.T @ (data.weight * (expit(x @ w) - data.y)) / np.sum(data.weight)


def make_net(**params):
    params = {"lr": 0.5, "max_epochs": 4, "batch_size": 1_000, **params}
    return LogNet(Linear(), LogLoss(), optimizer=torch.optim.SGD, **params)


def w_of(net):
    return net.module_.w.detach().numpy().copy()


class Record(Callback):
    """Keeps the parameters after each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.w_ = []

    def on_epoch_end(self, net, **kwargs):
        self.w_.append(w_of(net))


# ---- batches -------------------------------------------------------------------------------------


def numbered(n, rows=None):
    """Rows whose number, category, list and target all hold the row's own number."""
    ids, lengths = np.arange(n, dtype=np.int32), np.arange(n) % 3
    lists = Ragged(np.repeat(ids, lengths), np.append(0, lengths.cumsum()))
    encoded = Encoded(ids[:, None].astype(float), ids[:, None], {"h": lists})
    return TrainingRows(encoded, ids.astype(float), ids + 0.5, rows)


def order_of(iterator):
    """Row numbers in the order of the batches; every part of a batch must agree on them."""
    order = []
    for batch, (target, weight) in iterator:
        y = target.numpy()
        assert_array_equal(batch.numeric[:, 0], y)
        assert_array_equal(batch.categorical[:, 0], y)
        assert_array_equal(weight, y + 0.5)
        lists = batch.sequences["h"]
        assert_array_equal(lists.lengths, y % 3)
        assert_array_equal(lists.values, np.repeat(y, (y % 3).astype(int)))
        order.append(y)
    assert [len(part) for part in order[:-1]] == [iterator.batch_size] * (len(order) - 1)
    assert len(order) == len(iterator)
    return np.concatenate(order)


@pytest.mark.parametrize("rows", [None, np.array([3, 5, 6, 7, 11, 20, 21, 22, 40])])
def test_each_row_comes_once_in_each_epoch(rows):
    iterator = BatchIterator(numbered(50, rows), 4, rng=np.random.default_rng(0))
    expected = np.arange(50) if rows is None else rows
    first, second = order_of(iterator), order_of(iterator)
    assert_array_equal(np.sort(first), expected)
    assert_array_equal(np.sort(second), expected)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, expected)


@pytest.mark.parametrize("rows", [None, np.array([3, 5, 9, 10, 30])])
def test_without_a_generator_the_order_stays(rows):
    expected = np.arange(50) if rows is None else rows
    assert_array_equal(order_of(BatchIterator(numbered(50, rows), 4)), expected)


def test_equal_generators_shuffle_equally():
    orders = [
        order_of(BatchIterator(numbered(50), 8, rng=np.random.default_rng(seed)))
        for seed in (1, 1, 2)
    ]
    assert_array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])


def repeated_ids(n_passes=10, id_dropout=0.1):
    """Codes before and after id dropout, over some passes, of a column and of lists of two.

    Codes 2 to 1001 stand in one row each, 1002 to 1101 in ten, 1102 in a thousand; 500 rows are
    missing or unknown.
    """
    values = np.repeat(np.arange(1_103, dtype=np.int32), [250, 250, *[1] * 1000, *[10] * 100, 1000])
    n = len(values)
    lists = np.maximum(np.repeat(values, 2), 1)
    encoded = Encoded(
        np.ones((n, 1)), values[:, None], {"h": Ragged(lists, np.arange(0, 2 * n + 1, 2))}
    )
    data = TrainingRows(encoded, np.zeros(n), np.ones(n))
    iterator = BatchIterator(data, n, rng=np.random.default_rng(0), id_dropout=id_dropout)
    batches = [batch for _ in range(n_passes) for batch, _ in iterator]
    assert_array_equal(encoded.categorical[:, 0], values)
    assert_array_equal(encoded.sequences["h"].values, lists)
    assert all((batch.numeric == 1).all() for batch in batches)
    return [
        (values, np.stack([batch.categorical[:, 0] for batch in batches])),
        (lists, np.stack([batch.sequences["h"].values for batch in batches])),
    ]


@pytest.mark.parametrize("codes", [(2, 1_002), (1_002, 1_102), (1_102, 1_103)])
def test_id_dropout_shows_each_id_equally_often_as_unknown(codes):
    """However frequent it is, an id is hidden about `id_dropout` times in a pass."""
    for before, after in repeated_ids():
        among = (before >= codes[0]) & (before < codes[1])
        n_hidden, n_chances = np.sum(after[:, among] == 1), len(after) * (codes[1] - codes[0])
        assert n_hidden / n_chances == pytest.approx(0.1, abs=4 * np.sqrt(0.1 / n_chances) + 0.005)


def test_id_dropout_only_ever_makes_known_codes_unknown():
    for before, after in repeated_ids():
        assert ((after == before) | ((after == 1) & (before > 1))).all()


def test_id_dropout_counts_the_training_rows_only():
    """An id of two rows, one of them held out, is hidden as often as an id of one row."""
    ids = np.repeat(np.arange(2, 2_002, dtype=np.int32), 2)
    encoded = Encoded(np.empty((4_000, 0)), ids[:, None])
    data = TrainingRows(encoded, np.zeros(4_000), np.ones(4_000), np.arange(0, 4_000, 2))
    ((batch, _),) = BatchIterator(data, 2_000, rng=np.random.default_rng(0), id_dropout=0.1)
    assert np.mean(batch.categorical.numpy() == 1) == pytest.approx(0.1, abs=0.03)


def test_rows_in_order_keep_their_ids():
    data = numbered(50)
    ((batch, _),) = BatchIterator(data, 50, id_dropout=1.0)
    assert_array_equal(batch.categorical, data.encoded.categorical)


# ---- losses --------------------------------------------------------------------------------------


def test_loss_and_step_are_those_of_the_weighted_mean():
    data = numbers(60, weight=np.random.default_rng(1).exponential(size=60))
    record = Record()
    net = make_net(callbacks=[record]).fit(data)
    w, losses, path = np.zeros(2), [], []
    for _ in range(4):
        losses.append(hand_loss(w, data))
        w = w - 0.5 * hand_gradient(w, data)
        path.append(w)
    assert_allclose(net.history[:, "train_loss"], losses, rtol=1e-12)
    assert_allclose(net.callbacks[0].w_, path, rtol=1e-12)


def test_batches_of_unequal_size_add_up_to_the_loss_of_all_rows():
    data = numbers(61, weight=np.random.default_rng(1).exponential(size=61))
    net = make_net(batch_size=7, lr=0.0, max_epochs=1, rng=np.random.default_rng(0)).fit(data)
    assert_allclose(net.history[-1, "train_loss"], hand_loss(np.zeros(2), data), rtol=1e-12)


def test_validation_loss_and_metric_are_those_of_the_rows_given():
    valid = numbers(80, seed=1, rows=np.arange(10, 40))
    chosen = TrainingRows(valid.encoded.take(valid.rows), valid.y[10:40], valid.weight[10:40])

    def accuracy(module, logits, y, weight):
        assert len(logits) == len(y) == len(weight) == 30
        return np.mean((logits > 0) == y)

    net = make_net(valid_rows=valid, metrics=[("accuracy", accuracy)], max_epochs=1).fit(
        numbers(60)
    )
    logits = chosen.encoded.numeric @ w_of(net)
    assert net.history[-1, "valid_loss"] == pytest.approx(hand_loss(w_of(net), chosen))
    assert net.history[-1, "valid_accuracy"] == np.mean((logits > 0) == chosen.y)


# ---- ends ----------------------------------------------------------------------------------------


class Interrupt(Callback):
    """What Ctrl-C does, in the second epoch."""

    def __init__(self, moment):
        setattr(self, moment, self.interrupt)

    def interrupt(self, net, **kwargs):
        if len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
def test_ctrl_c_ends_the_fit_as_an_exception(moment):
    with pytest.raises(KeyboardInterrupt):
        make_net(callbacks=[Interrupt(moment)]).fit(numbers(20))


def test_ctrl_c_within_the_module_ends_the_fit_as_an_exception():
    class Broken(Linear):
        def forward(self, batch):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LogNet(Broken(), LogLoss()).fit(numbers(20))


def test_skorchs_early_stopping_ends_the_fit_without_an_exception():
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0, sink=lambda _: None)
    net = make_net(callbacks=[stop], max_epochs=50).fit(numbers(20))
    # The first loss is the best; patience counts the epochs from it.
    assert len(net.history) == 3


def overfitting_rows():
    """Validation rows whose loss first falls and then rises: their slope is weaker than in fit."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4_000, 2))
    y = (rng.random(4_000) < expit(0.4 * x[:, 0])).astype(float)
    return TrainingRows(Encoded(x, np.empty((4_000, 0), np.int32)), y, np.ones(4_000))


@pytest.mark.parametrize(("patience", "extra_epochs"), [(1, 1), (3, 3), (None, None)])
def test_the_best_epoch_is_restored(patience, extra_epochs):
    record, restore = Record(), RestoreBest(patience)
    net = make_net(
        valid_rows=overfitting_rows(), callbacks=[record, restore], max_epochs=40, lr=0.3
    )
    net.fit(numbers(500))
    valid = net.history[:, "valid_loss"]
    best = int(np.argmin(valid))
    assert 0 < best < 10
    assert len(valid) == (40 if extra_epochs is None else best + 1 + extra_epochs)
    assert_array_equal(w_of(net), record.w_[best])
    assert not np.array_equal(w_of(net), record.w_[-1])
    assert restore.state_ is None


def test_tolerance_counts_only_falls_that_are_larger():
    net = make_net(
        valid_rows=overfitting_rows(), callbacks=[RestoreBest(1, tol=10.0)], max_epochs=40
    ).fit(numbers(500))
    assert len(net.history) == 2


def test_training_continues_where_it_ended():
    data = numbers(60)
    once = make_net(max_epochs=4).fit(data)
    twice = make_net(max_epochs=2).fit(data).partial_fit(data)
    assert_allclose(w_of(twice), w_of(once), rtol=1e-12)
    assert len(twice.history) == 4


@pytest.mark.parametrize("n", [30, 25])
def test_progress_bar_shows_losses_metric_and_all_batches(capsys, n):
    metrics = [
        ("accuracy", lambda module, logits, y, weight: np.mean((logits > 0) == y)),
        ("rate", lambda module, logits, y, weight: np.average(y, weights=weight)),
    ]
    net = make_net(
        valid_rows=numbers(30), metrics=metrics, callbacks=[ProgressBar()], batch_size=10,
        progress_title="Toy",
    )  # fmt: skip
    net.fit(numbers(n))
    shown = capsys.readouterr().err
    for text in (
        "Toy: 100%",
        "12/12",
        "train loss=",
        "valid loss=",
        "valid accuracy=",
        "valid rate=",
        "epoch=4",
    ):
        assert text in shown


def test_two_threads_of_torch_round_otherwise_and_no_more():
    """The tests run with one thread, users with as many as there are cores."""
    log = make_ad_log(2_000, base_rate=0.3, random_state=0)
    before, p = torch.get_num_threads(), {}
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            model = DeepFMClassifier(batch_size=1_000, max_epochs=2, lr=0.01, random_state=0)
            p[n] = model.fit(log.data, log.target).predict_proba(log.data)[:, 1]
    finally:
        torch.set_num_threads(before)
    assert_allclose(p[2], p[1], atol=1e-4)
