"""Checks of an estimator's state: files, copies, threads, failures, generators."""

from __future__ import annotations

import copy
import io
import pickle
import pickletools
import random
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from ._check_cases import (
    assert_same,
    expect_error,
    frame_and_clicks,
    needs,
    output,
    quick,
    raising_modules,
)
from ._fresh_process import run_fresh

# A file may hold this many times its parameters and vocabularies, and this many bytes on top.
_SIZE_FACTOR, _SIZE_FIXED = 1.5, 200_000
# What more rows of the same ids may add to a file: the training curve, longer numbers.
_GROWTH = 20_000

_LOAD_AND_PREDICT = """
import pickle, sys
from pathlib import Path
folder = Path(sys.argv[1])
X = pickle.loads((folder / "X.pkl").read_bytes())
model = pickle.loads((folder / "model.pkl").read_bytes())
(folder / "output.pkl").write_bytes(pickle.dumps(model.predict_proba(X)))
"""


def check_clone_and_set_params(estimator):
    """clone copies every parameter and nothing learned; set_params is read back."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    copied = clone(model)
    learned = [name for name in vars(copied) if name.endswith("_") and not name.startswith("__")]
    if learned:
        raise AssertionError(f"A clone should be unfitted, got the attributes {learned}")
    params = model.get_params(deep=False)
    for name, value in copied.get_params(deep=False).items():
        if pickle.dumps(value) != pickle.dumps(params[name]):
            raise AssertionError(f"clone should copy {name}={params[name]!r}, got {value!r}")
    for name in params:
        marker = object()
        if clone(model).set_params(**{name: marker}).get_params(deep=False)[name] is not marker:
            raise AssertionError(f"set_params({name}=...) should be read back by get_params")


def check_instances_share_nothing(estimator):
    """Fitting a clone on other data leaves the first model's predictions as they were."""
    X, y = frame_and_clicks(300)
    X_other, y_other = frame_and_clicks(300, seed=1)
    first = quick(estimator).fit(X, y)
    expected = output(first, X)
    second = clone(first).fit(X_other, 1 - y_other)
    assert_same(output(first, X), expected, "A model should not change when its clone is fitted")
    if hasattr(first, "net_"):
        memory = [
            {parameter.data_ptr() for parameter in model.net_.module_.parameters()}
            for model in (first, second)
        ]
        if (memory[0] & memory[1]) - {0}:
            raise AssertionError("Two instances share the memory of torch parameters")


def check_refit_equals_fit(estimator):
    """The same random_state gives bit-equal predictions, whatever was fitted before."""
    X, y = frame_and_clicks(300)
    X_other, y_other = frame_and_clicks(250, seed=1)
    expected = output(quick(estimator).fit(X, y), X)
    assert_same(output(quick(estimator).fit(X, y), X), expected, "A second instance's fit")
    again = quick(estimator).fit(X_other.drop(columns="quality_score"), y_other).fit(X, y)
    assert_same(output(again, X), expected, "A refit should forget the first fit")


def check_global_generators_untouched(estimator):
    """Neither fit, predict nor loading moves or reads a global random generator."""
    import torch

    X, y = frame_and_clicks(300)

    def generators():
        legacy = np.random.get_state()[1:3]  # noqa: NPY002
        return random.getstate(), pickle.dumps(legacy), torch.get_rng_state().numpy().tobytes()

    names = ("random", "numpy.random", "torch")

    def unmoved(before, action):
        for name, old, new in zip(names, before, generators()):
            if old != new:
                raise AssertionError(f"{action} moved the global generator of {name}")

    before = generators()
    model = quick(estimator, id_dropout=0.1, early_stopping=True).fit(X, y)
    unmoved(before, "fit")
    expected = output(model, X)
    unmoved(before, "predict")
    pickle.loads(pickle.dumps(model))
    unmoved(before, "Loading")
    with torch.random.fork_rng():
        torch.manual_seed(12345)
        again = quick(estimator, id_dropout=0.1, early_stopping=True).fit(X, y)
    assert_same(output(again, X), expected, "A fit under another global torch seed")


def check_pickle_round_trip(estimator):
    """pickle, joblib and deepcopy give bit-equal predictions, also of a copy of a copy."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)

    def through_joblib(fitted):
        file = io.BytesIO()
        joblib.dump(fitted, file)
        file.seek(0)
        return joblib.load(file)

    routes = {
        "pickle": lambda fitted: pickle.loads(pickle.dumps(fitted)),
        "joblib": through_joblib,
        "deepcopy": copy.deepcopy,
    }
    for name, route in routes.items():
        once = route(model)
        assert_same(output(once, X), expected, f"After {name}")
        assert_same(output(route(once), X), expected, f"After {name}, twice")
        assert_same(output(once, X[:5]), output(model, X[:5]), f"Five rows after {name}")
    assert_same(output(model, X), expected, "The original after it was saved")
    assert_same(output(once.fit(X, y), X), expected, "A copy that is fitted again")
    unfitted = pickle.loads(pickle.dumps(quick(estimator)))
    assert_same(output(unfitted.fit(X, y), X), expected, "A fit after an unfitted pickle")


def check_pickle_size(estimator):
    """A file holds what was learned: no optimiser, no net, no training rows.

    At most 1.5 times the parameters and vocabularies and 200 kB on top, and no more with twice the
    rows (of so many that trees have their full size with either).
    """
    X, y = frame_and_clicks(500)
    sizes = []
    for repeats in (10, 20):
        rows = np.tile(np.arange(len(X)), repeats)
        model = quick(estimator, max_epochs=1, batch_size=1024).fit(X.iloc[rows], y[rows])
        file = pickle.dumps(model)
        sizes.append(len(file))
    if sizes[1] > sizes[0] + _GROWTH:
        raise AssertionError(
            f"A model of 5,000 rows takes {sizes[0]} bytes, of the same rows twice "
            f"{sizes[1]}: does its pickle hold the training data?"
        )
    modules = {
        str(argument).split(".")[0]
        for opcode, argument, _ in pickletools.genops(file)
        if "UNICODE" in opcode.name or opcode.name == "GLOBAL"
        if str(argument).startswith(("torch.", "skorch.", "torch ", "skorch "))
    }
    if modules:
        raise AssertionError(
            f"A pickle should hold plain numpy arrays, got objects of {sorted(modules)}"
        )
    if hasattr(model, "net_"):
        learned = sum(p.numel() * p.element_size() for p in model.net_.module_.parameters())
        vocabularies = getattr(getattr(model, "encoder_", None), "vocabularies_", {})
        learned += sum(len(pickle.dumps(list(v.values))) for v in vocabularies.values())
        if len(file) > _SIZE_FACTOR * learned + _SIZE_FIXED:
            raise AssertionError(
                f"The pickle takes {len(file)} bytes, at most {_SIZE_FACTOR} x {learned} bytes of "
                f"parameters and vocabularies + {_SIZE_FIXED} expected"
            )


def check_skops_round_trip(estimator):
    """skops needs to trust exactly one type, the estimator's own, and loads a bit-equal model."""
    try:
        import skops.io as sio
    except ImportError as error:
        raise unittest.SkipTest("skops is not installed") from error
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    file = sio.dumps(model)
    untrusted = sio.get_untrusted_types(data=file)
    own = f"{type(model).__module__}.{type(model).__qualname__}"
    if untrusted != [own]:
        raise AssertionError(f"skops should need to trust exactly [{own!r}], got {untrusted}")
    assert_same(output(sio.loads(file, trusted=untrusted), X), output(model, X), "After skops")


@needs("predict_proba")
def check_predicts_in_fresh_process(estimator):
    """A saved model predicts raw rows in a new process without the training device."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    if "device" in model.get_params(deep=False):
        # As if trained on an accelerator, which the new process does not see.
        model.set_params(device="cuda")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "X.pkl").write_bytes(pickle.dumps(X))
        (folder / "model.pkl").write_bytes(pickle.dumps(model))
        if (error := run_fresh(_LOAD_AND_PREDICT, name)) is not None:
            raise AssertionError(
                "The model should load and predict where its device is missing, got:\n"
                f"{error[-800:]}"
            )
        fresh = pickle.loads((folder / "output.pkl").read_bytes())
    assert_same(fresh, expected, "In a new process", atol=1e-6)


def check_predict_changes_nothing(estimator):
    """predict leaves the estimator and X as they were."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    X_before, before, names = X.copy(deep=True), joblib.hash(model.__getstate__()), set(vars(model))
    for name in ("predict_proba", "decision_function", "predict", "transform"):
        if hasattr(model, name):
            getattr(model, name)(X)
            getattr(model, name)(X[:3])
    if set(vars(model)) != names or joblib.hash(model.__getstate__()) != before:
        raise AssertionError("Predicting should not change the estimator's attributes")
    pd.testing.assert_frame_equal(X, X_before)


def check_threads(estimator):
    """Threads that share a fitted model get what one thread gets."""
    X, y = frame_and_clicks(300)
    model = quick(estimator).fit(X, y)
    frames = [X.iloc[start : start + 50] for start in range(0, 300, 10)]
    expected = [output(model, frame) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for actual, serial in zip(pool.map(lambda frame: output(model, frame), frames), expected):
            assert_same(actual, serial, "In parallel threads")


def check_failed_fit(estimator):
    """A fit that raises leaves the model as it was before, or plainly unfitted."""
    X, y = frame_and_clicks(200)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    bad = {
        "infinite numbers": (X.assign(price=np.inf), y),
        "a column of dates": (X.assign(price=pd.Timestamp(0)), y),
        "y too short": (X, y[:-1]),
    }
    for what, (X_bad, y_bad) in bad.items():
        if what == "y too short" and not hasattr(model, "predict"):
            continue
        with expect_error((ValueError, TypeError), f"fit with {what}"):
            model.fit(X_bad, y_bad)
        _assert_usable_or_unfitted(model, X, expected, f"After a failed fit ({what})")


@needs("callbacks")
def check_failed_training(estimator):
    """A torch module that raises during the training leaves the model as it was."""
    X, y = frame_and_clicks(600)
    model = quick(estimator).fit(X, y)
    expected = output(model, X)
    for call in (1, 4):
        with (
            expect_error(RuntimeError, "A module that raises", "injected"),
            raising_modules(RuntimeError("injected"), call),
        ):
            model.fit(X.iloc[::-1], y)
        _assert_usable_or_unfitted(model, X, expected, "After a module raised")
    unfitted = quick(estimator)
    with (
        expect_error(RuntimeError, "A module that raises", "injected"),
        raising_modules(RuntimeError("injected"), 4),
    ):
        unfitted.fit(X, y)
    with expect_error(NotFittedError, "predict after a failed first fit"):
        output(unfitted, X)


def _assert_usable_or_unfitted(model, X, expected, when):
    try:
        actual = output(model, X)
    except NotFittedError:
        return
    assert_same(actual, expected, f"{when} the earlier model")
