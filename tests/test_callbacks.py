"""skorch's own callbacks do what skorch documents, or are refused by name."""

import io
import pickle
import re
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.special import expit
from sklearn.metrics import make_scorer, roc_auc_score
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    Freezer,
    GradientNormClipping,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    ProgressBar,
    TensorBoard,
    TrainEndCheckpoint,
)

from sk_adrec import ESMMEstimator, FMClassifier, SASRecNextItem, TwoTowerRetriever

RNG = np.random.default_rng(0)
X = pd.DataFrame({"u": RNG.choice(list("abcdefgh"), 600), "x": RNG.normal(size=600)})
Y = (RNG.random(600) < expit(X["x"] - (X["u"] == "a"))).to_numpy().astype(int)
LATER, Y_LATER = X[400:], Y[400:]


def fit(*callbacks, valid=True, **params):
    params = {"max_epochs": 6, "lr": 0.05, "batch_size": 50, "random_state": 0, **params}
    model = FMClassifier(**{"early_stopping": False, **params}, callbacks=list(callbacks))
    if not valid:
        return model.fit(X[:400], Y[:400])
    return model.fit(X[:400], Y[:400], X_val=LATER, y_val=Y_LATER)


def state(model):
    return {name: value.clone() for name, value in model.net_.module_.state_dict().items()}


class Record(Callback):
    """The module's state after each epoch."""

    def on_train_begin(self, net, **kwargs):
        self.states_ = []

    def on_epoch_end(self, net, **kwargs):
        self.states_.append({k: v.clone() for k, v in net.module_.state_dict().items()})


def states_of(model):
    return next(one.states_ for _, one in model.net_.callbacks_ if isinstance(one, Record))


def assert_equal_weights(one, other, besides=("w0",)):
    """The bias is settled after training."""
    for name in one:
        if name not in besides:
            assert_array_equal(one[name], other[name])


# ---- the history -------------------------------------------------------------------------


def is_best(values, sign):
    best = np.minimum.accumulate(sign * np.asarray(values))
    return [True, *(best[1:] < best[:-1])]


@pytest.mark.parametrize("early_stopping", [True, False])
def test_the_history_says_which_epoch_is_the_best_so_far(early_stopping):
    history = fit(early_stopping=early_stopping).net_.history
    for name, sign in (("train_loss", 1), ("valid_loss", 1), ("valid_auc", -1)):
        assert history[:, f"{name}_best"] == is_best(history[:, name], sign)
    assert set(history[:, "train_batch_count"]) == {8}
    assert set(history[:, "valid_batch_count"]) == {1}
    further = fit(early_stopping=early_stopping).partial_fit(X, Y).net_.history
    assert further[-1, "train_loss_best"] == (
        further[-1, "train_loss"] < min(further[:-1, "train_loss"])
    )


def test_other_families_say_it_of_their_metrics():
    histories = pd.DataFrame({"h": [list("abcd")[: k % 3 + 1] for k in range(200)]})
    log = pd.DataFrame({"user_id": RNG.integers(0, 20, 300), "item_id": RNG.integers(0, 9, 300)})
    params = {"embedding_dim": 4, "max_epochs": 2, "early_stopping": True, "random_state": 0}
    funnel = np.column_stack([Y, Y * (X["x"] > 0)])
    models = {
        "ctr_auc": ESMMEstimator(hidden_dims=(4,), **params).fit(X, funnel),
        None: TwoTowerRetriever(**params).fit(log),
        "": SASRecNextItem(exclude_seen=False, **params).fit(histories, list("bcda") * 50),
    }
    for model in models.values():
        last = model.net_.history[-1]
        metrics = [k for k in last if k.startswith("valid_") and f"{k}_best" in last]
        assert "valid_loss" in metrics
        assert len(metrics) >= 2
    assert "valid_ctr_auc_best" in models["ctr_auc"].net_.history[-1]


def test_batches_are_recorded_where_there_are_callbacks():
    assert "train_loss" not in fit().net_.history[-1, "batches"][0]
    history = fit(EpochTimer()).net_.history
    for prefix in ("train", "valid"):
        batches = [one for one in history[-1, "batches"] if f"{prefix}_loss" in one]
        names = f"{prefix}_loss", f"{prefix}_batch_size"
        loss, size = np.transpose([[one[name] for name in names] for one in batches])
        assert np.average(loss, weights=size) == pytest.approx(history[-1, f"{prefix}_loss"])


# ---- what monitors validation ------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    ("monitor", "lower"), [("valid_loss", True), ("valid_auc", False), ("train_loss", True)]
)
def test_early_stopping(monitor, lower, named, capsys):
    said = []
    stop = EarlyStopping(
        monitor, patience=2, threshold=0.5, lower_is_better=lower, load_best=True, sink=said.append
    )
    model = fit(("stop", stop) if named else stop, Record(), max_epochs=30)
    # The first epoch is the best, since none is better by half.
    assert model.n_iter_ == len(model.loss_curve_) == 3
    assert_equal_weights(state(model), states_of(model)[0])
    assert said == [
        f"Stopping since {monitor} has not improved in the last 2 epochs.",
        "Restoring best model from epoch 1.",
    ]
    assert capsys.readouterr() == ("", "")


def test_checkpoint_saves_the_best_epoch_and_loads_it(tmp_path):
    checkpoint = Checkpoint(dirname=str(tmp_path), load_best=True, f_pickle="net.pkl")
    model = fit(checkpoint, Record(), max_epochs=8, lr=0.3)
    valid = fit(max_epochs=8, lr=0.3).net_.history[:, "valid_loss"]
    best = int(np.argmin(valid))
    assert best < 7
    assert_equal_weights(state(model), states_of(model)[best])
    assert model.net_.history[:, "event_cp"] == is_best(valid, 1)[: best + 1]
    assert model.net_.history[:, "valid_loss"] == valid[: best + 1]
    files = {"params.pt", "optimizer.pt", "criterion.pt", "history.json", "net.pkl"}
    assert {path.name for path in tmp_path.iterdir()} == files
    saved = torch.load(tmp_path / "params.pt")
    assert_equal_weights(saved, state(model))
    later = pickle.loads(pickle.dumps(model)).partial_fit(X, Y)
    assert np.isfinite(later.predict_proba(X)).all()


@pytest.mark.parametrize(
    "monitor",
    ["train_loss_best", "valid_auc_best", None, lambda net: net.history[-1, "valid_loss_best"]],
)
def test_checkpoints_monitors(monitor, tmp_path):
    name = "params_{last_epoch[epoch]}.pt"
    fit(Checkpoint(monitor, f_params=name, dirname=str(tmp_path)), Record())
    history = fit().net_.history
    expected = {
        "train_loss_best": history[:, "train_loss_best"],
        "valid_auc_best": history[:, "valid_auc_best"],
        None: [True] * 6,
    }.get(monitor, history[:, "valid_loss_best"])
    saved = {path.name for path in tmp_path.iterdir() if path.name.startswith("params_")}
    assert saved == {f"params_{k + 1}.pt" for k in range(6) if expected[k]}


def test_a_checkpoint_writes_into_the_users_file():
    file = io.BytesIO()
    model = fit(
        Checkpoint(None, f_params=file, f_optimizer=None, f_criterion=None, f_history=None),
        max_epochs=1,
    )
    file.seek(0)
    assert_equal_weights(torch.load(file), state(model))


def test_train_end_checkpoint_and_going_on_from_it(tmp_path):
    end = TrainEndCheckpoint(dirname=str(tmp_path))
    callbacks = [end, LoadInitState(end)]
    first = fit(*callbacks)
    assert first.n_iter_ == 6
    assert_equal_weights(torch.load(tmp_path / "train_end_params.pt"), state(first))
    second = fit(*callbacks)
    assert second.n_iter_ == 12
    assert second.loss_curve_[:6] == first.loss_curve_
    assert not hasattr(end, "checkpoint_")


@pytest.mark.parametrize("optimizer", ["auto", torch.optim.AdamW])
@pytest.mark.parametrize(
    "policy", ["ReduceLROnPlateau", torch.optim.lr_scheduler.ReduceLROnPlateau]
)
def test_a_plateau_of_the_validation_loss_lowers_the_rate(policy, optimizer):
    never = {"threshold": 0.5, "patience": 1, "factor": 0.1}
    for monitor in ("valid_loss", lambda net: net.history[-1, "valid_loss"], "train_loss"):
        model = fit(LRScheduler(policy, monitor=monitor, **never), optimizer=optimizer)
        rates = model.net_.history[:, "event_lr"]
        assert rates == pytest.approx([0.05, 0.05, 0.05, 0.005, 0.005, 0.0005])
    rising = LRScheduler(policy, monitor="valid_auc", mode="max", **never)
    assert len(set(fit(rising, optimizer=optimizer).net_.history[:, "event_lr"])) > 1


def test_a_plateau_within_an_epoch():
    plateau = LRScheduler("ReduceLROnPlateau", step_every="batch", patience=3)
    batches = fit(plateau).net_.history[-1, "batches"]
    assert batches[0]["event_lr"] < 0.05


@pytest.mark.parametrize(
    "make",
    [
        lambda monitor: EarlyStopping(monitor),
        lambda monitor: Checkpoint(f"{monitor}_best"),
        lambda monitor: LRScheduler("ReduceLROnPlateau", monitor=monitor),
        lambda monitor: Checkpoint(lambda net: net.history[-1, f"{monitor}_best"]),
    ],
    ids=["stop", "checkpoint", "plateau", "function"],
)
def test_what_the_history_lacks_is_said(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = type(make("valid_loss")).__name__
    with pytest.raises(ValueError, match=f"{name} in callbacks monitors .*X_val and y_val, or"):
        fit(make("valid_loss"), valid=False)
    with pytest.raises(ValueError, match=rf"{name} in .*'val_loss.*it holds \[.*'valid_loss'"):
        fit(make("val_loss"))
    model = fit(make("valid_loss"))
    assert model.partial_fit(X, Y).n_iter_ == 7


def test_errors_of_a_callback_are_its_own():
    class Broken(Callback):
        def on_epoch_end(self, net, **kwargs):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fit(Broken())


# ---- what writes -------------------------------------------------------------------------


def test_print_log_prints(capsys):
    fit(PrintLog())
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["epoch", "train_loss", "valid_auc", "valid_loss", "dur"]
    assert len([line for line in lines if line.strip()[:1].isdigit()]) == 6
    said = []
    fit(PrintLog(sink=said.append))
    assert len(said) == 8
    assert capsys.readouterr().out == ""


def test_progress_bar_counts_all_batches(capsys):
    fit(ProgressBar(), max_epochs=1)
    # Eight to learn from, and all rows of validation at once.
    assert "0/9" in capsys.readouterr().err


def test_a_logger_stays_the_users():
    class Writer:
        def __init__(self):
            self.lock, self.n = threading.Lock(), 0

        def add_scalar(self, **kwargs):
            self.n += 1

        def close(self):
            pass

    writer = Writer()
    fit(TensorBoard(writer), max_epochs=3)
    assert writer.n > 0


def test_the_users_callbacks_stay_as_they_are():
    callbacks = [EarlyStopping(), PrintLog(sink=lambda _: None), Record(), EpochTimer()]
    before = [dict(vars(one)) for one in callbacks]
    one, other = fit(*callbacks), fit(*callbacks)
    assert [vars(one) for one in callbacks] == before
    assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert one.callbacks == callbacks


# ---- scores ------------------------------------------------------------------------------


def auc_of_rows(net, X, y):
    return roc_auc_score(X.labels[0] if y is None else y, net.predict(X))


@pytest.mark.parametrize("use_caching", [True, False])
def test_a_function_may_score_the_nets_output(use_caching):
    score = EpochScoring(auc_of_rows, lower_is_better=False, name="mine", use_caching=use_caching)
    stop = EarlyStopping("mine", lower_is_better=False, patience=2, threshold=0.5)
    history = fit(score, stop).net_.history
    assert history[:, "mine"] == pytest.approx(history[:, "valid_auc"])
    assert history[:, "mine_best"] == history[:, "valid_auc_best"]
    assert len(history) == 3


def test_a_function_may_score_batches_and_losses_be_passed_through():
    batches = BatchScoring(auc_of_rows, lower_is_better=False, name="mine")
    history = fit(batches, PassthroughScoring("train_loss", on_train=True)).net_.history
    assert history[:, "mine"] == pytest.approx(history[:, "valid_auc"])
    assert history[:, "train_loss"] == pytest.approx(fit().loss_curve_)


@pytest.mark.parametrize("kind", [EpochScoring, BatchScoring])
@pytest.mark.parametrize("scoring", ["roc_auc", None, roc_auc_score, make_scorer(roc_auc_score)])
def test_scorers_of_classifiers_are_refused(kind, scoring):
    callback = kind.__new__(kind)
    vars(callback).update(vars(kind("roc_auc")) | {"scoring": scoring})
    message = rf"{kind.__name__} in callbacks must have a function f\(net, X, y\) as scoring, got"
    for one in (callback, ("name", callback)):
        with pytest.raises(ValueError, match=message):
            fit(one)


# ---- the others --------------------------------------------------------------------------


def test_clipping_reads_dense_gradients():
    with pytest.raises(ValueError, match=r"GradientNormClipping with optimizer='auto'.*AdamW"):
        fit(GradientNormClipping(0.1))
    clipped = fit(GradientNormClipping(1e-6), optimizer=torch.optim.SGD)
    assert not np.array_equal(clipped.loss_curve_, fit(optimizer=torch.optim.SGD).loss_curve_)


def test_the_shape_of_rows_is_known():
    with pytest.raises(ValueError, match="callbacks must not hold InputShapeSetter: the module is"):
        fit(InputShapeSetter())


def test_a_table_can_be_frozen():
    table = states_of(fit(Freezer("table*"), Record()))
    assert_array_equal(table[0]["table.weight"], table[-1]["table.weight"])
    assert not np.array_equal(table[0]["numeric"], table[-1]["numeric"])


@pytest.mark.parametrize("wrong", [EarlyStopping(), "disable", 5])
def test_callbacks_are_a_list(wrong):
    message = f"callbacks must be a list of skorch callbacks or None, got {wrong!r}"
    with pytest.raises(TypeError, match=re.escape(message)):
        FMClassifier(callbacks=wrong).fit(X, Y)
    with pytest.raises(TypeError, match="callbacks must hold skorch callbacks, or pairs of a name"):
        FMClassifier(callbacks=["disable"]).fit(X, Y)


def test_a_schedule_goes_on_with_a_new_optimiser():
    schedule = LRScheduler(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    params = {"optimizer": torch.optim.AdamW, "grow_vocabulary": True, "max_epochs": 2}
    model = fit(schedule, **params).partial_fit(X.assign(u="new"), Y)
    assert len(model.net_.history[:, "event_lr"]) == 3
    pickle.loads(pickle.dumps(model)).partial_fit(X, Y)
