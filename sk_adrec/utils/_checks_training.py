"""Checks of how a net is trained: Ctrl-C, callbacks, progress, more rows later."""

from __future__ import annotations

import contextlib
import io
import pickle

import numpy as np
import pandas as pd
from sklearn.exceptions import NotFittedError

from ._check_cases import (
    assert_finite,
    assert_same,
    expect_error,
    frame_and_clicks,
    needs,
    output,
    quick,
    raising_modules,
)


@needs("callbacks")
def check_keyboard_interrupt(estimator):
    """Ctrl-C during fit raises KeyboardInterrupt and leaves the model as before.

    It is injected by callbacks at several moments and by torch modules in the middle of a batch.
    """
    X, y = frame_and_clicks(300)
    model = quick(estimator, batch_size=100).fit(X, y)
    expected = output(model, X)
    for moment in ("on_train_begin", "on_batch_end", "on_epoch_end", "on_train_end"):
        interrupted = quick(estimator, batch_size=100, callbacks=[_raising_callback(moment)])
        with expect_error(KeyboardInterrupt, f"Ctrl-C in a callback's {moment}"):
            interrupted.fit(X, y)
        with expect_error(NotFittedError, f"predict after Ctrl-C in a callback's {moment}"):
            output(interrupted, X)
        model.set_params(callbacks=[_raising_callback(moment)])
        with expect_error(KeyboardInterrupt, f"Ctrl-C in {moment} of a second fit"):
            model.fit(X, 1 - y)
        assert_same(output(model, X), expected, f"After Ctrl-C in {moment} the earlier model")
    model.set_params(callbacks=None)
    for call in (1, 3, 6):  # of three passes in each of three epochs
        with (
            expect_error(KeyboardInterrupt, f"Ctrl-C in forward pass {call}"),
            raising_modules(KeyboardInterrupt(), call),
        ):
            model.fit(X, 1 - y)
        assert_same(output(model, X), expected, f"After Ctrl-C in forward pass {call}")


def _raising_callback(moment: str):
    from skorch.callbacks import Callback

    def interrupt(self, net, **kwargs):
        raise KeyboardInterrupt

    return type("Interrupt", (Callback,), {moment: interrupt})()


@needs("callbacks", "net_params")
def check_callbacks_and_net_params(estimator):
    """`callbacks` and `net_params` reach skorch; the estimator's own names are refused there."""
    from skorch.callbacks import Callback, EarlyStopping

    class Marker(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.history.record("marker", len(net.history))

    X, y = frame_and_clicks(200)
    callbacks, net_params = [Marker()], {"warm_start": True}
    model = quick(estimator, callbacks=callbacks, net_params=net_params).fit(X, y)
    if [epoch.get("marker") for epoch in model.net_.history] != [1, 2, 3]:
        raise AssertionError("A callback should be called at the end of each of the 3 epochs")
    if model.net_.warm_start is not True:
        raise AssertionError('net_params={"warm_start": True} should reach the skorch net')
    if (
        model.callbacks is not callbacks
        or len(callbacks) != 1
        or net_params != {"warm_start": True}
    ):
        raise AssertionError("fit should not change the lists and dicts it was given")
    stopper = EarlyStopping(monitor="train_loss", patience=1, threshold=1e6)
    stopped = quick(estimator, callbacks=[stopper], max_epochs=9).fit(X, y)
    if stopped.n_iter_ > 2:
        raise AssertionError(
            "skorch's EarlyStopping should end the training after 2 epochs without improvement, "
            f"got {stopped.n_iter_}"
        )
    with expect_error(ValueError, "lr in net_params", "lr"):
        quick(estimator, net_params={"lr": 1.0}).fit(X, y)


@needs("verbose")
def check_verbose_shows_progress(estimator):
    """verbose=1 writes loss and validation loss to stderr, verbose=0 nothing at all."""
    X, y = frame_and_clicks(400)
    for verbose in (0, 1):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            quick(estimator, verbose=verbose, early_stopping=True).fit(X, y)
        if out.getvalue():
            raise AssertionError(f"fit should not write to stdout, got {out.getvalue()[:80]!r}")
        if verbose == 0 and err.getvalue():
            raise AssertionError(f"verbose=0 should be silent, got {err.getvalue()[:80]!r}")
    for word in ("train loss", "valid loss"):
        if word not in err.getvalue():
            raise AssertionError(f"verbose=1 should show {word!r}, got {err.getvalue()[-200:]!r}")


@needs("partial_fit")
def check_partial_fit_first_call_is_fit(estimator):
    """The first partial_fit gives what fit gives; a later one changes the model."""
    X, y = frame_and_clicks(300)
    expected = output(quick(estimator).fit(X, y), X)
    model = quick(estimator).partial_fit(X, y)
    assert_same(output(model, X), expected, "The first partial_fit")
    model.partial_fit(X, 1 - y)
    if np.abs(output(model, X) - expected).max() == 0:
        raise AssertionError("A second partial_fit with opposite labels should change the model")


@needs("partial_fit", "predict_proba")
def check_partial_fit_classes(estimator):
    """`classes` names labels that the first rows lack; `classes_` stays sorted."""
    X, y = frame_and_clicks(300)
    labels = np.where(y == 1, "click", "none")
    model = quick(estimator)
    first = labels == "none"
    model.partial_fit(X[first], labels[first], classes=["none", "click"])
    model.partial_fit(X, labels)
    if list(model.classes_) != ["click", "none"]:
        raise AssertionError(f"classes_ should be sorted, got {list(model.classes_)}")
    with expect_error(ValueError, "A new label in a later partial_fit", "convert"):
        model.partial_fit(X, np.where(y == 1, "convert", "none"))


@needs("partial_fit", "grow_vocabulary")
def check_partial_fit_new_ids(estimator):
    """New ids stay unknown, or with grow_vocabulary=True get rows of their own that learn."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"ad": rng.choice(["a", "b"], 200), "size": rng.normal(size=200)})
    y = (X["ad"] == "a").to_numpy().astype(int)
    X_new = X.assign(ad=np.where(y == 1, "c", "d"))
    gaps = {}
    for grow in (False, True):
        model = quick(estimator, grow_vocabulary=grow, lr=0.1, id_dropout=0.0, batch_size=50)
        model.fit(X, y)
        for _ in range(10):
            model.partial_fit(X_new, y)
        # One at a time: what is rounded for a row depends on the rows beside it.
        pair = [pd.DataFrame({"ad": [ad], "size": [0.0]}) for ad in "cd"]
        gaps[grow] = np.subtract(*(output(model, row)[0, 1] for row in pair))
    if gaps[False] != 0:
        raise AssertionError(
            f"Without grow_vocabulary new ids are one unknown id, got {gaps[False]:.2g} apart"
        )
    if gaps[True] < 0.5:
        raise AssertionError(
            f"With grow_vocabulary=True new ids with opposite labels should be told apart, got "
            f"probabilities {gaps[True]:.2f} apart"
        )


@needs("partial_fit", "callbacks")
def check_partial_fit_interrupted(estimator):
    """Ctrl-C during partial_fit raises, and the model still predicts old and new ids."""
    X, y = frame_and_clicks(300)
    X_new = X.assign(user_id=[f"new_user_{k}" for k in range(len(X))])
    for grow in (False, True):
        for call in (1, 3):
            model = quick(estimator, grow_vocabulary=grow, batch_size=100).fit(X, y)
            with (
                expect_error(KeyboardInterrupt, f"Ctrl-C in partial_fit (grow_vocabulary={grow})"),
                raising_modules(KeyboardInterrupt(), call),
            ):
                model.partial_fit(X_new, y)
            for frame in (X, X_new):
                assert_finite(output(model, frame), "After Ctrl-C in partial_fit")
            assert_finite(output(model.partial_fit(X_new, y), X_new), "partial_fit after Ctrl-C")


@needs("partial_fit")
def check_partial_fit_after_loading(estimator):
    """A model from a file goes on learning, with new ids where its vocabulary grows."""
    X, y = frame_and_clicks(300)
    X_new = X.assign(user_id=[f"new_user_{k % 20}" for k in range(len(X))])
    for grow in (False, True):
        model = pickle.loads(pickle.dumps(quick(estimator, grow_vocabulary=grow).fit(X, y)))
        before = output(model, X_new)
        after = output(model.partial_fit(X_new, y), X_new)
        assert_finite(after, "partial_fit after loading")
        if (after == before).all():
            raise AssertionError("partial_fit after loading should change the model")


@needs("partial_fit")
def check_partial_fit_bad_input(estimator):
    """Bad input in partial_fit raises and loses nothing, with a vocabulary that grows as well."""
    X, y = frame_and_clicks(300)
    for grow in (False, True):
        model = quick(estimator, grow_vocabulary=grow).fit(X, y)
        X_new = X.assign(user_id=[f"new_user_{k}" for k in range(len(X))])
        known, new = output(model, X), output(model, X_new)
        bad = {
            "an infinite number": (X_new.assign(price=np.inf), y),
            "another kind of column": (X_new.assign(hist_item_id=1.5), y),
            "y too short": (X_new, y[:-1]),
            "an unknown label": (X_new, y + 5),
            "a missing column": (X_new.drop(columns="price"), y),
        }
        for what, (X_bad, y_bad) in bad.items():
            with expect_error((ValueError, TypeError), f"partial_fit with {what}"):
                model.partial_fit(X_bad, y_bad)
            when = f"After partial_fit with {what} (grow_vocabulary={grow})"
            assert_same(output(model, X), known, when)
            assert_same(output(model, X_new), new, f"{when}, ids not seen before")
        model.partial_fit(X_new, y)
        if not np.isfinite(output(model, X_new)).all():
            raise AssertionError("partial_fit after bad input should work")
