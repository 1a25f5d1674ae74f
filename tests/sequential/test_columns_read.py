"""What a next-item model wants of X at prediction: the columns that it reads, by name or order."""

import numpy as np
import pandas as pd
import pytest

from sk_adrec import SASRecNextItem

X = pd.DataFrame(
    {"visitor": [1, 2, 3, 4] * 8, "hist_item": [["a", "b"], ["b", "c"], ["c"], ["a"]] * 8}
)
Y = ["c", "a", "a", "b"] * 8


@pytest.fixture(scope="module")
def model():
    model = SASRecNextItem(history="hist_item", embedding_dim=8, max_epochs=2, random_state=0)
    return model.fit(X, Y)


def test_unread_columns_may_be_missing(model):
    alone = X[["hist_item"]]
    assert np.array_equal(model.predict_proba(alone), model.predict_proba(X))
    assert np.array_equal(model.predict(alone), model.predict(X))
    assert np.array_equal(model.recommend(alone, 2)[0], model.recommend(X, 2)[0])
    assert model.score(alone, Y) == model.score(X, Y)
    model.partial_fit(alone, Y)


def test_a_missing_history_is_named_alone(model):
    with pytest.raises(ValueError, match="yet now missing:\n- hist_item\n"):
        model.predict(X[["visitor"]])


def test_an_unknown_column_is_named(model):
    with pytest.raises(ValueError, match="unseen at fit time:\n- other"):
        model.predict(X.assign(other=1)[["hist_item", "other"]])


def test_an_array_has_the_columns_of_fit(model):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        p = model.predict_proba(X.to_numpy())
    assert np.array_equal(p, model.predict_proba(X))


@pytest.mark.parametrize("histories", [[["a", "b"], ["c"]], [["a"], ["c"]], ["a", "b"]])
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_bare_lists_are_pointed_to_a_frame(model, histories):
    with pytest.raises(ValueError, match=r"pd\.DataFrame\(\{'hist_item': histories\}\)"):
        model.recommend(histories, 1)
