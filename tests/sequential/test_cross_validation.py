"""Next-item models in scikit-learn's cross-validation, as docs/guide/next_item.md tells it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold, cross_val_predict, cross_val_score

from sk_adrec import HSTUNextItem

N = 40
ITEMS = [f"item_{k}" for k in range(N)]
# Each item is y of three rows, one of each fold.
X = pd.DataFrame({"h": [[ITEMS[k % N], ITEMS[(k + 1) % N]] for k in range(3 * N)]})
Y = np.array([ITEMS[(k + 2) % N] for k in range(3 * N)], dtype=object)


@pytest.fixture
def model():
    return HSTUNextItem(
        embedding_dim=16, dropout=0.0, id_dropout=0.0, lr=0.05, max_epochs=15, batch_size=16,
        random_state=0,
    )  # fmt: skip


def test_kfold_takes_a_catalogue_and_the_default_does_not(model):
    assert cross_val_score(model, X, Y, cv=KFold(3)).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="n_splits=5 cannot be greater than the number of members"):
        cross_val_score(model, X, Y)


def test_cross_val_predict_predicts_but_gives_no_probabilities(model):
    predicted = cross_val_predict(model, X, Y, cv=KFold(3))
    assert (predicted == Y).all()
    with pytest.raises(ValueError, match="y must hold strings as column 'h' does, got numbers"):
        cross_val_predict(model, X, Y, cv=KFold(3), method="predict_proba")
