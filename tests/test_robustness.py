"""What a review found: each was once a silently wrong result, or a crash far from its cause."""

import copy
import inspect
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skorch
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from sk_adrec import (
    DownsampledClassifier,
    ESMMEstimator,
    FeatureEncoder,
    FMClassifier,
    GBDTLRClassifier,
    ItemCF,
)

PARAMS = {"max_epochs": 8, "random_state": 0, "device": "cpu"}


@pytest.fixture(scope="module")
def log():
    rng = np.random.default_rng(0)
    n = 600
    user, item = rng.integers(0, 20, n), rng.integers(0, 10, n)
    logit = 2 * (rng.normal(size=20)[user] + rng.normal(size=10)[item])
    y = (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    X = pd.DataFrame({"user": [f"u{k}" for k in user], "item": [f"i{k}" for k in item]})
    return X, y


@pytest.fixture(scope="module")
def matrix():
    return sparse.random(600, 30, 0.2, format="csr", random_state=0)


def proba(model, X):
    return model.predict_proba(X)[:, 1]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_weights_changes_no_vocabulary(log, scale):
    X, y = log
    weight = np.full(len(y), scale)
    model = FMClassifier(**PARAMS).fit(X, y, sample_weight=weight)
    assert model.encoder_.cardinality("user") == 22
    assert_allclose(proba(model, X), proba(FMClassifier(**PARAMS).fit(X, y), X), rtol=1e-4)
    encoder = FeatureEncoder().set_output(transform="pandas").fit(X, sample_weight=weight)
    assert_array_equal(encoder.transform(X)["user"].astype(str), X["user"])


def test_a_grown_vocabulary_trains_what_it_predicts_for_missing_values(log):
    X, y = (part.copy() for part in log)
    model = FMClassifier(grow_vocabulary=True, lr=0.05, **PARAMS).fit(X, y)
    X.loc[:299, "user"], y[:300] = None, 1
    for _ in range(10):
        model.partial_fit(X, y)
    assert proba(model, X[:300]).mean() > 0.9


def test_nan_in_a_scipy_matrix_is_refused(log, matrix):
    bad = matrix.copy()
    bad.data[3] = np.nan
    model = FMClassifier(**PARAMS).fit(matrix, log[1])
    with pytest.raises(ValueError, match="NaN"):
        FMClassifier(**PARAMS).fit(bad, log[1])
    with pytest.raises(ValueError, match="NaN"):
        model.predict_proba(bad)


def test_huge_numbers_give_probabilities_or_an_error():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.normal(size=200)})
    y = (X["a"] > 0).astype(int)
    model = FMClassifier(**PARAMS).fit(X, y)
    far = pd.DataFrame({"a": [1e300, 1e39, 1e20, -1e20, 0.0]})
    assert np.isfinite(proba(model, far)).all()
    assert_array_equal(proba(model, far), [proba(model, far[k : k + 1])[0] for k in range(5)])
    X.loc[3, "a"] = 1e300
    with pytest.raises(ValueError, match=r"'a'.*too large"):
        FMClassifier(**PARAMS).fit(X, y)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_a_fit_that_diverges_says_so(log, early_stopping):
    with pytest.raises(ValueError, match="diverged"):
        FMClassifier(**PARAMS, lr=1e20, early_stopping=early_stopping).fit(*log)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_duplicates_and_zeros_of_a_scipy_matrix_mean_what_scipy_means(log, matrix, dtype):
    matrix = matrix.astype(dtype)
    model = FMClassifier(**PARAMS, dtype=dtype).fit(matrix, log[1])
    double = sparse.csr_matrix(
        (np.array([1, 2, 1, 0], dtype), np.array([4, 4, 7, 9]), np.array([0, 3, 4])), shape=(2, 30)
    )
    clean = sparse.csr_matrix(double.toarray())
    assert_allclose(model.decision_function(double), model.decision_function(clean), rtol=1e-6)


def test_missing_only_in_the_validation_part_counts_as_never_seen(log):
    X, y = (part.copy() for part in log)
    params = {**PARAMS, "early_stopping": True}
    held_out = FMClassifier(**params).fit(X, y)
    splits = [FMClassifier(**params)._split(y, np.random.RandomState(0), explicit=False).valid]
    X.loc[splits[0][0], "user"] = None
    model = FMClassifier(**params).fit(X, y)
    assert_array_equal(model.encoder_._least_code, held_out.encoder_._least_code)


def test_set_params_counts_in_partial_fit(log):
    X, y = log
    model = FMClassifier(**PARAMS).fit(X, y)
    before = proba(model, X)
    model.set_params(lr=1e-9).partial_fit(X, y)
    assert_allclose(proba(model, X), before, atol=1e-5)


def test_growing_keeps_the_optimizer_without_new_ids_and_global_generators_always(log):
    X, y = log
    model = FMClassifier(**PARAMS, grow_vocabulary=True).fit(X, y)
    optimizer, state = model.net_.optimizer_, torch.get_rng_state()
    model.partial_fit(X, y)
    assert model.net_.optimizer_ is optimizer
    model.partial_fit(X.assign(user="new"), y)
    assert torch.equal(torch.get_rng_state(), state)


def test_without_early_stopping_validation_rows_are_only_scored(log):
    X, y = log
    params = {**PARAMS, "max_epochs": 30, "lr": 0.05, "early_stopping": False}
    watched = FMClassifier(**params).fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:])
    alone = FMClassifier(**params).fit(X[:300], y[:300])
    assert len(watched.validation_scores_) == 30
    assert_array_equal(proba(watched, X), proba(alone, X))


def test_small_probabilities_are_not_rounded_to_zero(log):
    X, y = log
    model = FMClassifier(**PARAMS).fit(X, y)
    with torch.no_grad():
        model.net_.module_.w0 += 40
    assert (model.predict_proba(X) > 0).all()


def test_integers_beyond_two_to_the_53_in_polars():
    time = 1_700_000_000_000_000_001 + np.arange(2000)
    model = FMClassifier(**PARAMS)
    with pytest.warns(UserWarning, match="'ts' holds integers"):
        model.fit(pl.DataFrame({"ts": time}), time % 2)
    assert_array_equal(
        proba(model, pl.DataFrame({"ts": time})), proba(model, pd.DataFrame({"ts": time}))
    )


def test_lists_of_mixed_entries_beside_a_missing_list():
    X = pd.DataFrame({"h": [["a", 1], None] * 40})
    assert np.isfinite(FMClassifier(**PARAMS).fit(X, [0, 1] * 40).predict_proba(X)).all()


def test_set_params_after_fit_spoils_no_file(log, matrix):
    X, y = log
    for data in (X, matrix):
        model = FMClassifier(**PARAMS).fit(data, y)
        before = proba(model, data)
        model.set_params(embedding_dim=4, dtype="float64")
        for loaded in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), model):
            assert_array_equal(proba(loaded, data), before)
            assert loaded.embedding_dim == 4


def test_callbacks_that_watch_the_validation_loss_do_not_stop_partial_fit(log):
    X, y = log
    callbacks = [skorch.callbacks.EarlyStopping()]
    model = FMClassifier(**PARAMS, callbacks=callbacks, early_stopping=True).fit(X, y)
    assert model.partial_fit(X, y).n_iter_ == len(model.loss_curve_)


def test_a_read_only_matrix_raises_no_warning(log, matrix):
    matrix = matrix.astype(np.float32)
    model = FMClassifier(**PARAMS).fit(matrix, log[1])
    frozen = matrix.copy()
    for part in (frozen.data, frozen.indices, frozen.indptr):
        part.setflags(write=False)
    assert_array_equal(proba(model, frozen), proba(model, matrix))


@pytest.mark.parametrize(
    ("params", "fit_params", "message"),
    [
        ({}, {"sample_weight": 0.0}, "zero for all rows"),
        ({}, {"sample_weight": -1.0}, "must not be negative"),
        ({}, {"sample_weight": np.nan}, "NaN"),
        ({}, {"sample_weight_val": np.ones(600)}, "needs X_val"),
        ({"min_frequency": "a"}, {}, "min_frequency must be a number"),
        ({"min_frequency": -1}, {}, "min_frequency must be a number"),
        ({"device": "gpu"}, {}, "device must be"),
        ({"net_params": {"iterator_train__shuffle": False}}, {}, "net_params must not set"),
        ({"share_vocabulary": {1: 0}}, {}, "by their names"),
    ],
)
def test_bad_parameters_are_named(log, params, fit_params, message):
    with pytest.raises(ValueError, match=message):
        FMClassifier(**{**PARAMS, **params}).fit(*log, **fit_params)


def test_a_series_is_no_frame(log):
    with pytest.raises(ValueError, match=r"2D|2-dimensional"):
        FMClassifier(**PARAMS).fit(pd.Series(log[1] * 1.0), log[1])


def test_missing_labels_are_counted(log):
    X, y = log
    labels = np.where(y == 1, "yes", "no").astype(object)
    labels[[5, 9]] = None
    with pytest.raises(ValueError, match=r"missing \(None or NaN\) in row 5 and 1 more"):
        FMClassifier(**PARAMS).fit(X, labels)


def test_columns_that_are_probably_misread_raise_a_warning():
    n = 2000
    y = np.arange(n) % 2
    user = np.arange(n) // 1.0
    user[7] = np.nan
    cases = {
        "'user' holds integers": pd.DataFrame({"user": user}),
        "'time'.* different ids": pd.DataFrame({"time": [f"2026-01-01 {k}" for k in range(n)]}),
    }
    for message, X in cases.items():
        with pytest.warns(UserWarning, match=message):
            FMClassifier(**PARAMS).fit(X, y)


def test_the_remedy_for_numbers_that_look_like_ids_works():
    count = pd.Series(np.arange(2000))
    y = count % 2
    missing = count % 20 == 0
    for column in (count, count.mask(missing), count.astype("Int64").mask(missing)):
        X = pd.DataFrame({"count": column})
        with pytest.warns(UserWarning, match="'count' holds integers") as caught:
            FMClassifier(**PARAMS).fit(X, y)
        remedy = str(caught[0].message).split("make that explicit: ")[1].removesuffix(".")
        exec(remedy, {"X": X})
        assert X["count"].isna().sum() == column.isna().sum()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            FMClassifier(**PARAMS).fit(X, y)


@pytest.mark.parametrize(
    "model",
    [
        FMClassifier(**PARAMS),
        GBDTLRClassifier(),
        ESMMEstimator(),
        ItemCF(user="user", item="item"),
        DownsampledClassifier(FMClassifier(**PARAMS), negative_rate=0.5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_weights_of_another_length_are_named(log, model):
    with pytest.raises(ValueError, match=r"sample_weight must have .* of the 600 rows, got 5"):
        model.fit(*log, sample_weight=np.ones(5))
    assert not [name for name in vars(model) if name.endswith("_")]


@pytest.mark.parametrize(
    "model",
    [
        FMClassifier(**PARAMS),
        GBDTLRClassifier(),
        DownsampledClassifier(FMClassifier(**PARAMS), negative_rate=0.5),
    ],
    ids=lambda model: type(model).__name__,
)
def test_validation_weights_of_another_length_are_named(log, model):
    X, y = log
    with pytest.raises(ValueError, match=r"sample_weight_val must have .* 600 rows, got 5"):
        model.fit(X, y, X_val=X, y_val=y, sample_weight_val=np.ones(5))


@pytest.mark.parametrize("model", [FMClassifier(), GBDTLRClassifier(), ESMMEstimator()])
@pytest.mark.parametrize("name", ["eval_set", "validation_data", "X_valid"])
def test_other_libraries_names_of_validation_rows_are_answered(log, model, name):
    X, y = log
    message = (
        rf"{type(model).__name__}\.fit\(\) got an unexpected keyword argument '{name}': it takes "
        r"X, y, sample_weight, X_val, .* Rows to stop early on are given as X_val"
    )
    with pytest.raises(TypeError, match=message):
        model.fit(X, y, **{name: [(X, y)]})


def test_unknown_arguments_are_named_with_the_known_ones(log):
    with pytest.raises(TypeError, match=r"ItemCF.fit.* 'epochs': it takes X, y, sample_weight\.$"):
        ItemCF().fit(*log, epochs=3)
    known = ["self", "X", "y", "sample_weight", "X_val", "y_val", "sample_weight_val"]
    assert list(inspect.signature(FMClassifier.fit).parameters) == known


@pytest.mark.parametrize("model", [FMClassifier(**PARAMS), GBDTLRClassifier()])
def test_empty_frames_are_refused(log, model):
    X, y = pd.DataFrame(log[0]).add_prefix("c"), log[1]
    message = r"X is an empty frame: Found array with 0 sample.* Look at the filter or the split"
    with pytest.raises(ValueError, match=message):
        model.fit(X[:0], y[:0])
    model.fit(X, y)
    before = model.predict_proba(X)
    for call in (model.predict_proba, model.predict, lambda X: model.partial_fit(X, y[:0])):
        with pytest.raises(ValueError, match=message):
            call(X[:0])
    assert_array_equal(model.predict_proba(X), before)


def test_a_small_log_stops_early_and_nonsense_validation_rows_are_named(log):
    X, y = (pd.concat([part] * 3, ignore_index=True) for part in map(pd.DataFrame, log))
    y = y[0].to_numpy()
    assert FMClassifier(random_state=0).fit(X, y).validation_scores_ is not None
    with pytest.warns(UserWarning, match="predicting the base rate"):
        FMClassifier(random_state=0, lr=0.1).fit(X, y, X_val=X, y_val=1 - y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr": -0.05}, "lr must be"),
        ({"id_dropout": 5}, "id_dropout must be"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_partial_fit_checks_hyper_parameters(log, params, message):
    X, y = log
    model = FMClassifier(max_epochs=1, random_state=0).fit(X, y).set_params(**params)
    with pytest.raises(ValueError, match=message):
        model.partial_fit(X, y)


def test_a_diverged_partial_fit_leaves_the_model_as_it_was(log):
    X, y = log
    model = FMClassifier(max_epochs=1, random_state=0).fit(X, y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="diverged"):
        model.set_params(lr=1e30).partial_fit(X, y)
    assert np.array_equal(model.predict_proba(X), before)
    assert np.isfinite(model.set_params(lr=1e-3).partial_fit(X, y).predict_proba(X)).all()


def test_another_optimizer_after_loading(log):
    X, y = log
    model = FMClassifier(max_epochs=1, random_state=0).fit(X, y)
    model.set_params(optimizer=torch.optim.Adam)
    loaded = pickle.loads(pickle.dumps(model))
    assert np.isfinite(loaded.partial_fit(X, y).predict_proba(X)).all()
