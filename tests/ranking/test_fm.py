"""FMClassifier computes the paper's equation 1, on every kind of column and by either route."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skorch.callbacks import Callback, EarlyStopping

from sk_adrec import FMClassifier
from sk_adrec.nn import Batch

# One step on all rows, which teaches little: enough where the parameters are then set by hand.
SMALL = {
    "embedding_dim": 3,
    "batch_size": 1_000,
    "max_epochs": 1,
    "id_dropout": 0.0,
    "random_state": 0,
}


def random_log(n=40, seed=0):
    """Two numbers, two ids and lists of distinct ids, each with missing values or empty lists."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "price": rng.normal(size=n),
            "age": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
            "user": rng.choice(["a", "b", "c", None], n),
            "item": pd.Categorical(rng.choice(["x", "y", "z"], n)),
            "history": [rng.permutation(6)[: rng.integers(0, 4)] for _ in range(n)],
        }
    )
    return X, rng.integers(0, 2, n)


def with_random_parameters(model, seed=1):
    """The fitted model with all parameters drawn anew, large enough for every term to matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.net_.module_.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return model


def design_matrix(model, X):
    """Rows as x over all features of the table (1 for an id, 1 / n in lists), then the numbers."""
    encoded, table = model.encoder_.transform(X), model.net_.module_.table
    n_ids = len(table.weight)
    matrix = np.zeros((len(X), n_ids + encoded.numeric.shape[1]))
    for row in range(len(X)):
        for column, name in enumerate(model.encoder_.categorical_names_):
            matrix[row, table.offsets[name] + encoded.categorical[row, column]] = 1
        for name, lists in encoded.sequences.items():
            codes = lists.values[lists.offsets[row] : lists.offsets[row + 1]]
            for code in codes:
                matrix[row, table.offsets[name] + code] += 1 / len(codes)
    matrix[:, n_ids:] = encoded.numeric
    return matrix


def parameters(model):
    """w0, w of shape (n_features,) and V of shape (n_features, k)."""
    module = model.net_.module_
    theta = torch.cat([module.table.weight, module.numeric]).detach().double().numpy()
    return module.w0.item(), theta[:, -1], theta[:, :-1]


def equation_1(x, w0, w, V):
    """The paper's double loop over the features of one row."""
    y = w0 + sum(w[i] * x[i] for i in range(len(x)))
    for i, j in itertools.combinations(range(len(x)), 2):
        y += V[i] @ V[j] * x[i] * x[j]
    return y


def planted_log(n, seed):
    """A click with probability 0.9 where user and item are of the same parity, else 0.1."""
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 30, n), rng.integers(0, 30, n)
    p = np.where((user + item) % 2 == 0, 0.9, 0.1)
    X = pd.DataFrame({"user": user, "item": item}).astype(str).astype("category")
    return X, (rng.random(n) < p).astype(int), p


# ---- the function it computes --------------------------------------------------------------------


def test_logits_are_equation_1():
    X, y = random_log()
    model = with_random_parameters(FMClassifier(**SMALL).fit(X, y))
    w0, w, V = parameters(model)
    expected = [equation_1(x, w0, w, V) for x in design_matrix(model, X)]
    assert_allclose(model.decision_function(X), expected, rtol=1e-4, atol=1e-5)
    assert_allclose(model.predict_proba(X)[:, 1], expit(expected), rtol=1e-4)


def test_frame_and_scipy_matrix_give_the_same_logits_for_the_same_parameters():
    X, y = random_log()
    frame_model = with_random_parameters(FMClassifier(**SMALL).fit(X, y))
    matrix = sparse.csr_matrix(design_matrix(frame_model, X))
    matrix_model = FMClassifier(**SMALL).fit(matrix, y)
    ours, theirs = matrix_model.net_.module_, frame_model.net_.module_
    with torch.no_grad():
        ours.table.weight.copy_(torch.cat([theirs.table.weight, theirs.numeric]))
        ours.w0.copy_(theirs.w0)
    assert_allclose(
        matrix_model.decision_function(matrix), frame_model.decision_function(X), atol=1e-5
    )


def test_repeated_entries_of_a_list_are_features_of_their_own():
    """An id that occurs twice goes with itself as with any other id."""
    histories = [[1, 1, 2, 3], [2, 2], [3, 1], [1]] * 3
    X = pd.DataFrame({"history": histories})
    model = with_random_parameters(FMClassifier(**SMALL).fit(X, [0, 1] * 6))
    w0, w, V = parameters(model)
    row_of = {item: code + 2 for code, item in enumerate(model.embeddings("history").index)}
    expected = []
    for history in histories:
        rows = [row_of[item] for item in history]
        expected.append(equation_1(np.full(len(rows), 1 / len(rows)), w0, w[rows], V[rows]))
    assert_allclose(model.decision_function(X), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "columns", [["price"], ["user"], ["age", "item"], ["history"], ["age", "history", "user"]]
)
def test_float64_logits_are_precise_for_any_kind_of_column(columns):
    X, y = random_log()
    model = with_random_parameters(FMClassifier(**SMALL, dtype="float64").fit(X[columns], y))
    w0, w, V = parameters(model)
    expected = [equation_1(x, w0, w, V) for x in design_matrix(model, X[columns])]
    assert_allclose(model.decision_function(X[columns]), expected, rtol=1e-9)


def test_gradients_are_those_of_the_dense_formula():
    X, y = random_log()
    model = with_random_parameters(FMClassifier(**SMALL, dtype="float64").fit(X, y))
    module, x = model.net_.module_, torch.from_numpy(design_matrix(model, X))
    theta = torch.cat([module.table.weight, module.numeric]).detach().requires_grad_()
    V, w = theta[:, :-1], theta[:, -1]
    pairs = 0.5 * ((x @ V).pow(2) - x.pow(2) @ V.pow(2)).sum(1)
    scale = torch.linspace(-1, 1, len(X), dtype=torch.float64)
    ((x @ w + pairs) * scale).sum().backward()

    module.zero_grad()
    (module(Batch.from_encoded(model.encoder_.transform(X))) * scale).sum().backward()
    ours = torch.cat([module.table.weight.grad.to_dense(), module.numeric.grad])
    assert_allclose(ours, theta.grad, rtol=1e-9, atol=1e-12)


# ---- learning ------------------------------------------------------------------------------------

LEARN = {"embedding_dim": 4, "lr": 0.05, "batch_size": 256, "max_epochs": 6, "random_state": 0}


@pytest.fixture(scope="module")
def planted():
    return planted_log(8_000, seed=0), planted_log(4_000, seed=1)


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": "auto"},
        {"optimizer": torch.optim.AdamW},
        {"optimizer": torch.optim.Adagrad, "lr": 0.3},
    ],
    ids=["auto", "AdamW", "Adagrad"],
)
def test_each_optimiser_finds_the_planted_pairs(planted, params):
    (X, y, _), (X_test, y_test, p_test) = planted
    model = FMClassifier(**{**LEARN, **params}).fit(X, y)
    best = log_loss(y_test, p_test)
    assert best - 0.002 < log_loss(y_test, model.predict_proba(X_test)) < best + 0.025


def test_pipeline_from_one_hot_finds_the_planted_pairs(planted):
    (X, y, _), (X_test, y_test, p_test) = planted
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), FMClassifier(**LEARN)).fit(X, y)
    best = log_loss(y_test, p_test)
    assert best - 0.002 < log_loss(y_test, model.predict_proba(X_test)) < best + 0.025
    unseen = model.predict_proba(pd.DataFrame({"user": ["new", "1"], "item": ["new", "new"]}))
    assert_allclose(unseen[0, 1], y.mean(), atol=0.05)


def test_focal_loss_finds_the_planted_pairs_with_less_extreme_probabilities(planted):
    (X, y, _), (X_test, _, p_test) = planted
    p = FMClassifier(**LEARN, loss="focal").fit(X, y).predict_proba(X_test)[:, 1]
    assert np.mean((p > 0.5) == (p_test > 0.5)) > 0.99
    # The expected focal loss of a label with probability 0.9 is least at p = 0.75 or so.
    grid = np.linspace(0.01, 0.99, 981)
    expected = -0.9 * (1 - grid) ** 2 * np.log(grid) - 0.1 * grid**2 * np.log1p(-grid)
    assert np.median(p[p_test > 0.5]) == pytest.approx(grid[expected.argmin()], abs=0.03)


def test_training_starts_at_the_log_odds_of_the_weighted_base_rate():
    X, y = random_log(200)
    weight = np.where(y == 1, 1.0, 3.0)
    model = FMClassifier(**{**SMALL, "lr": 1e-12}).fit(X, y, sample_weight=weight)
    rate = np.average(y, weights=weight)
    assert model.net_.module_.w0.item() == pytest.approx(logit(rate), abs=1e-5)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    assert model.loss_curve_[0] == pytest.approx(entropy, abs=1e-3)


class UnsettledFM(FMClassifier):
    """Keeps the level that the last step left."""

    def _settle(self, rows, spread=None):
        pass


def test_loss_curve_is_the_full_batch_loss_before_each_step():
    X, y = random_log(200)
    weight = np.random.default_rng(0).exponential(size=200)
    params = {**SMALL, "lr": 0.05, "dtype": "float64"}
    curve = UnsettledFM(**{**params, "max_epochs": 4}).fit(X, y, weight).loss_curve_
    for n_epochs in (1, 2, 3):
        model = UnsettledFM(**{**params, "max_epochs": n_epochs}).fit(X, y, weight)
        p = model.predict_proba(X)
        assert curve[n_epochs] == pytest.approx(log_loss(y, p, sample_weight=weight), rel=1e-9)


def test_l2_shrinks_the_table():
    X, y = random_log(200)
    norms = []
    for l2, optimizer in itertools.product([0.0, 1.0], ["auto", torch.optim.Adam]):
        params = {**SMALL, "max_epochs": 30, "lr": 0.02, "l2": l2, "optimizer": optimizer}
        norms.append(FMClassifier(**params).fit(X, y).net_.module_.table.weight.norm().item())
    without, with_l2 = norms[:2], norms[2:]
    assert max(with_l2) < 0.5 * min(without)


# ---- what users see ------------------------------------------------------------------------------


def test_embeddings_are_the_rows_of_the_known_ids():
    X, y = random_log()
    model = FMClassifier(**SMALL).fit(X, y)
    table = model.net_.module_.table
    expected = {"user": ["a", "b", "c"], "item": ["x", "y", "z"], "history": range(6)}
    for column, ids in expected.items():
        frame = model.embeddings(column)
        assert frame.index.name == column
        assert sorted(frame.index) == list(ids)
        assert_array_equal(frame, table.rows_of(column)[2:, :-1])
    before = table.weight.sum().item()
    frame += 1.0
    assert table.weight.sum().item() == before


@pytest.mark.parametrize("column", ["price", "nothing"])
def test_embeddings_of_other_columns_name_those_there_are(column):
    model = FMClassifier(**SMALL).fit(*random_log())
    message = rf"column must be one of .*'user', 'item', 'history'.*, got '{column}'"
    with pytest.raises(ValueError, match=message):
        model.embeddings(column)


def test_rows_of_other_ids_and_missing_values_have_a_probability():
    X, y = random_log()
    model = FMClassifier(**SMALL).fit(X, y)
    new = pd.DataFrame(
        {"price": [np.nan], "age": [1e9], "user": ["?"], "item": [None], "history": [[99, 98]]}
    )
    p = model.predict_proba(new)
    assert p.shape == (1, 2)
    assert np.isfinite(p).all()


def test_other_columns_than_in_fit_are_refused_by_name():
    X, y = random_log()
    model = FMClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match=r"seen at fit time, yet now missing:\n- item"):
        model.predict_proba(X.drop(columns="item"))
    with pytest.raises(ValueError, match=r"unseen at fit time:\n- extra"):
        model.predict_proba(X.assign(extra=1))
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict_proba(X[X.columns[::-1]])


def test_a_matrix_of_other_width_than_in_fit_is_refused():
    X = sparse.random(50, 6, density=0.5, format="csr", random_state=0)
    model = FMClassifier(**SMALL).fit(X, np.arange(50) % 2)
    with pytest.raises(ValueError, match="X has 5 features, but FMClassifier is expecting 6"):
        model.predict_proba(X[:, :5])


@pytest.mark.parametrize(
    "make",
    [sparse.csc_matrix, sparse.coo_matrix, sparse.csr_array, lambda X: X.toarray()],
    ids=["csc", "coo", "array", "dense"],
)
def test_other_matrices_give_the_logits_of_csr(make):
    X = sparse.random(50, 6, density=0.5, format="csr", random_state=0)
    model = FMClassifier(**SMALL).fit(X, np.arange(50) % 2)
    assert_allclose(model.decision_function(make(X)), model.decision_function(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of 'log_loss', 'focal', got 'hinge'"),
        ({"optimizer": "adam"}, "optimizer must be .*auto.*, got 'adam'"),
        ({"embedding_dim": 0}, r"embedding_dim must be an integer in \[1, inf\), got 0"),
        ({"embedding_dim": 2.5}, "embedding_dim must be an integer"),
        ({"id_dropout": 1.5}, r"id_dropout must be a number in \[0, 1\], got 1.5"),
        ({"lr": 0}, r"lr must be a number in \(0, inf\), got 0"),
        ({"batch_size": 0}, "batch_size must be an integer"),
        ({"dtype": "float16"}, "dtype must be one of 'float32', 'float64', got 'float16'"),
        ({"early_stopping": "yes"}, "early_stopping must be one of"),
        ({"net_params": {"lr": 1}}, r"net_params must not set \['lr'\]"),
    ],
)
def test_wrong_hyper_parameters_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        FMClassifier(**{**SMALL, **params}).fit(*random_log())


def test_ids_that_come_later_get_rows_of_their_own_when_the_vocabulary_grows():
    """The new user's click rate is the opposite of everybody else's."""
    old = pd.DataFrame({"user": ["a", "b"] * 50})
    new = pd.DataFrame({"user": ["c", "a"] * 50})
    params = {**SMALL, "lr": 0.1, "batch_size": 10}
    for grow in (False, True):
        model = FMClassifier(**params, grow_vocabulary=grow).fit(old, [0, 0, 0, 1] * 25)
        for _ in range(5):
            model.partial_fit(new, [1, 0, 1, 0] * 25)
        assert ("c" in model.embeddings("user").index) == grow
        unknown, known = model.predict_proba(pd.DataFrame({"user": ["?", "c"]}))[:, 1]
        assert known > 0.9
        assert (known == unknown) == (not grow)


# ---- how a fit ends ------------------------------------------------------------------------------


class Interrupt(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_ctrl_c_raises_and_leaves_the_estimator_as_it_was():
    X, y = random_log()
    fresh = FMClassifier(**SMALL, callbacks=[Interrupt()])
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X, y)
    assert not hasattr(fresh, "net_")
    fitted = FMClassifier(**SMALL).fit(X, y)
    before = fitted.predict_proba(X)
    with pytest.raises(KeyboardInterrupt):
        fitted.set_params(callbacks=[Interrupt()]).fit(X, 1 - y)
    assert_array_equal(fitted.predict_proba(X), before)


def test_skorchs_early_stopping_may_be_given():
    stop = EarlyStopping(monitor="train_loss", patience=3, threshold=10.0, sink=lambda _: None)
    model = FMClassifier(**{**SMALL, "max_epochs": 50}, callbacks=[stop]).fit(*random_log())
    assert model.n_iter_ == len(model.loss_curve_) == 4


def test_early_stopping_keeps_the_best_epoch():
    """Labels are noise: after a few epochs the validation loss can only rise."""
    X, y = random_log(300)
    X_val, y_val = random_log(300, seed=1)
    params = {**SMALL, "max_epochs": 200, "lr": 0.05, "early_stopping": True}
    model = UnsettledFM(**params).fit(X, y, X_val=X_val, y_val=y_val)
    best = max(model.validation_scores_)
    assert model.n_iter_ < 200
    assert model.validation_scores_[-1] < best
    assert -log_loss(y_val, model.predict_proba(X_val)) == pytest.approx(best, abs=1e-6)


def test_refit_of_a_clone_is_bit_equal_with_dropout_and_shuffling():
    X, y = random_log(300)
    model = FMClassifier(**{**SMALL, "id_dropout": 0.2, "batch_size": 32, "max_epochs": 3})
    state = torch.get_rng_state()
    first = model.fit(X, y).predict_proba(X)
    assert_array_equal(clone(model).fit(X, y).predict_proba(X), first)
    assert torch.equal(torch.get_rng_state(), state)
