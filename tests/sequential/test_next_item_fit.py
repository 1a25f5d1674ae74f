"""Next-item models: what a fit checks and warns of, partial_fit, scores of small catalogues."""

import numpy as np
import pandas as pd
import pytest

from sk_adrec import HSTUNextItem

QUICK = {"embedding_dim": 8, "dropout": 0.0, "id_dropout": 0.0, "lr": 0.01, "random_state": 0}


def quick(**params):
    return HSTUNextItem(**{**QUICK, "max_epochs": 3, **params})


def test_what_cannot_be_recommended_is_a_miss_in_a_catalogue_of_three():
    """Fewer than 10 items: even the last place is a hit, but neither unknown nor excluded ones."""
    model = quick().fit(pd.DataFrame({"h": [["a", "b"], ["b"]]}), ["c", "a"])
    rows = pd.DataFrame({"h": [["a"]]})
    assert model.score(rows, ["b"]) == model.score(rows, ["c"]) == 1
    assert model.score(rows, ["a"]) == 0  # seen
    assert model.score(rows, ["zzz"]) == 0
    X_val = pd.DataFrame({"h": [["a"]] * 3})
    with pytest.warns(UserWarning, match="50% of the held-out items occur in their own history"):
        model.fit(rows, ["b"], X_val=X_val, y_val=["a", "zzz", "b"])
    assert model.validation_scores_ == pytest.approx([1 / 3] * 3)


def test_partial_fit_on_short_histories_takes_steps_of_full_size():
    """Losses are means over the states of the rows at hand, not of those of the first call."""
    ids = 100 + np.arange(20)
    start = np.random.default_rng(0).integers(0, 20, 400)
    long = pd.DataFrame({"h": [ids[(k + np.arange(80)) % 20] for k in start]})
    model = quick(exclude_seen=False, max_epochs=1).fit(long, ids[start])
    short = pd.DataFrame({"h": [history[-1:] for history in long["h"]]})
    moved = ids[(start + 5) % 20]
    for _ in range(20):
        model.partial_fit(short, moved)
    assert (model.predict(short) == moved).all()
    # A mean over two states per row, the first of which can only be guessed.
    assert model.loss_curve_[-1] == pytest.approx(np.log(20) / 2, abs=0.2)


def test_states_per_row_in_partial_fit_are_those_of_the_module():
    model = quick(train_positions="last").fit(pd.DataFrame({"h": [[1, 2], [3]]}), [4, 5])
    model.set_params(train_positions="all").partial_fit(pd.DataFrame({"h": [[1, 2, 3]]}), [4])
    assert model.net_.criterion_.states_per_row == 1
    model = quick(max_len=3).fit(pd.DataFrame({"h": [[1, 2], [3]]}), [4, 5])
    model.partial_fit(pd.DataFrame({"h": [[1, 2], []]}), [4, 5], sample_weight=[3, 1])
    assert model.net_.criterion_.states_per_row == (3 * 3 + 1) / 4


@pytest.mark.parametrize("as_text", [False, True])
def test_items_of_another_kind_than_those_of_fit_are_refused(as_text):
    lists, y = [[1, 2], [2]] * 5, [3, 1] * 5
    other = list(map(str, y))
    if as_text:
        lists, y, other = [list(map(str, one)) for one in lists], other, y
    X = pd.DataFrame({"h": lists})
    message = "y must hold (numbers|strings) as column 'h' does, got (numbers|strings) .*astype"
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y, X_val=X, y_val=other)
    model = quick(grow_vocabulary=True).fit(X, y)
    before = model.predict_proba(X)
    for call in (model.score, model.partial_fit, quick().fit(X, y).partial_fit):
        with pytest.raises(ValueError, match=message):
            call(X, other)
    X_other = pd.DataFrame({"h": [["1"]] if not as_text else [[1]]})
    with pytest.raises(ValueError, match=r"'h' must hold .* as it did in fit, got"):
        model.partial_fit(X_other, y[:1])
    np.testing.assert_array_equal(model.predict_proba(X), before)
    array = np.array([[1, 2], [2, 3]], dtype=object if as_text else int)
    with pytest.raises(ValueError, match=r"y must hold .* as y of fit did, got"):
        quick().fit(array, y[:2]).score(array, other[:2])


def test_validation_rows_of_which_no_item_is_known_are_pointed_out():
    X = pd.DataFrame({"h": [["a", "b"], ["b"]] * 5})
    message = "None of the 3 held-out items occurs in the training rows"
    for exclude_seen in (True, False):
        with pytest.warns(UserWarning, match=message) as caught:
            model = quick(exclude_seen=exclude_seen).fit(
                X, ["c", "a"] * 5, X_val=X[:3], y_val=["x", "y", "z"]
            )
        assert model.validation_scores_ == [0.0] * 3
        assert [warning.filename for warning in caught] == [__file__]  # and no word by numpy
