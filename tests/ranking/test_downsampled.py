"""Training on few negatives: same probabilities, less work, corrected once."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from scipy.special import logit
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from sk_adrec import DownsampledClassifier, FMClassifier
from sk_adrec.datasets import make_ad_log
from sk_adrec.metrics import calibration_ratio


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")  # its NaN
@parametrize_with_checks([DownsampledClassifier(LogisticRegression(), negative_rate=1.0)])
def test_sklearn_checks(estimator, check):
    check(estimator)


def numeric_log(n=20_000, seed=0):
    """Numbers, clicks at about 3 %, and the true probabilities."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    p = 1 / (1 + np.exp(4.2 - X @ [1.0, -0.5, 0.0]))
    return X, (rng.random(n) < p).astype(int), p


class Recorder(ClassifierMixin, BaseEstimator):
    """Keeps what its fit was given."""

    def fit(self, X, y, sample_weight=None, **params):
        self.classes_ = np.unique(y)
        self.given_ = {"X": X, "y": y, "sample_weight": sample_weight, **params}
        return self

    def predict_proba(self, X):
        return np.tile([0.25, 0.75], (len(X), 1))


def loss_of_rows(y, p):
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def test_log_loss_of_the_full_fit_at_a_tenth_of_the_cost():
    log = make_ad_log(60_000, n_users=200, base_rate=0.02, n_history=0, random_state=0)
    train, test = slice(0, 40_000), slice(40_000, None)
    X, y = log.data, log.target.to_numpy()
    encoder = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["user_id", "item_id", "device", "age_group"]),
        (StandardScaler(), ["position"]),
    )
    full = make_pipeline(encoder, LogisticRegression(C=0.3, max_iter=200))
    few = DownsampledClassifier(clone(full), negative_rate=0.08, random_state=0)
    full.fit(X[train], y[train])
    few.fit(X[train], y[train])
    assert y[train].sum() + round(0.08 * (y[train] == 0).sum()) < 0.1 * 40_000
    p_full, p_few = (model.predict_proba(X[test])[:, 1] for model in (full, few))
    difference = loss_of_rows(y[test], p_few) - loss_of_rows(y[test], p_full)
    noise = difference.std() / np.sqrt(len(difference))
    assert abs(difference.mean()) < 3 * noise
    # Noise is small beside what the model knows: the gain over the base rate stays.
    base = log_loss(y[test], np.full(20_000, y[train].mean()))
    assert base - log_loss(y[test], p_few) > 0.8 * (base - log_loss(y[test], p_full))
    assert calibration_ratio(y[test], p_few) == pytest.approx(1, abs=0.1)
    raw = few.estimator_.predict_proba(X[test])[:, 1]
    assert calibration_ratio(y[test], raw) > 5
    assert roc_auc_score(y[test], raw) == roc_auc_score(y[test], p_few)


def test_estimator_sees_all_positives_and_a_share_of_negatives_in_order():
    y = (np.arange(10_000) % 50 == 0).astype(int)
    X = np.arange(10_000)[:, None]
    model = DownsampledClassifier(Recorder(), negative_rate=0.03, random_state=0).fit(X, y)
    seen = model.estimator_.given_["X"][:, 0]
    assert (np.diff(seen) > 0).all()
    assert set(np.flatnonzero(y)) <= set(seen)
    assert len(seen) == 200 + round(0.03 * 9_800)
    assert (model.estimator_.given_["y"] == y[seen]).all()
    again = clone(model).fit(X, y).estimator_.given_["X"][:, 0]
    assert (again == seen).all()
    other = clone(model).set_params(random_state=1).fit(X, y).estimator_.given_["X"][:, 0]
    assert set(other) != set(seen)


def test_correction_by_hand():
    # p = 0.75 among 10 % of the negatives: 3 to 1 becomes 0.3 to 1.
    X, y = np.zeros((2_000, 1)), np.arange(2_000) % 2
    for rates in ((0.1, 1.0), (1.0, 0.1), (0.2, 0.5)):
        model = DownsampledClassifier(
            Recorder(), negative_rate=rates[0], data_negative_rate=rates[1], random_state=0
        ).fit(X, y)
        assert model.negative_rate_ == pytest.approx(0.1)
        assert model.predict_proba(X[:1])[0] == pytest.approx([1 / 1.3, 0.3 / 1.3])
        assert model.decision_function(X[:1])[0] == pytest.approx(np.log(0.3))
        assert model.predict(X[:1])[0] == 0


def test_decision_function_is_shifted_by_log_w():
    X, y, p = numeric_log()
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.1, random_state=0)
    decision = model.fit(X, y).decision_function(X)
    shifted = model.estimator_.decision_function(X) + np.log(model.negative_rate_)
    assert decision == pytest.approx(shifted, abs=1e-9)
    assert decision == pytest.approx(logit(model.predict_proba(X)[:, 1]), abs=1e-9)
    assert decision == pytest.approx(logit(p), abs=0.6)


def test_certain_probabilities_stay_finite():
    X, y, _ = numeric_log(3_000)
    forest = RandomForestClassifier(5, random_state=0)
    model = DownsampledClassifier(forest, negative_rate=0.2, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    assert {0.0, 1.0} <= set(p[:, 1])
    assert np.isfinite(p).all()
    assert np.isfinite(model.decision_function(X)).all()
    assert (model.predict(X) == (p[:, 1] > 0.5)).all()


def test_data_that_was_downsampled_before():
    X, y, p = numeric_log(60_000)
    kept = (y == 1) | (np.random.default_rng(1).random(len(y)) < 0.2)
    corrected = DownsampledClassifier(LogisticRegression(), data_negative_rate=0.2)
    corrected.fit(X[kept], y[kept])
    weighted = LogisticRegression().fit(X[kept], y[kept], np.where(y[kept], 1, 5))
    for model in (corrected, weighted):
        assert model.predict_proba(X)[:, 1].mean() == pytest.approx(p.mean(), rel=0.05)
    both = DownsampledClassifier(
        LogisticRegression(), negative_rate=0.5, data_negative_rate=0.2, random_state=0
    ).fit(X[kept], y[kept])
    assert both.predict_proba(X)[:, 1].mean() == pytest.approx(p.mean(), rel=0.05)


@pytest.mark.filterwarnings("error")
def test_weights_near_the_rate_are_suspicious():
    X, y, _ = numeric_log(2_000)
    weight = np.where(y == 1, 1.0, 4.0)
    model = DownsampledClassifier(LogisticRegression(), data_negative_rate=0.25)
    for noise in (np.linspace(0.9, 1.1, len(y)), np.random.default_rng(0).exponential(size=len(y))):
        with pytest.warns(UserWarning, match=r"about 1 / data_negative_rate = 4\. .* twice"):
            model.fit(X, y, sample_weight=weight * noise)
        model.fit(X, y, sample_weight=noise)


def test_weights_and_correction_of_the_same_rate_are_refused():
    X, y, _ = numeric_log(2_000)
    weight = np.where(y == 1, 1.0, 1 / 0.3).astype(np.float32)
    model = DownsampledClassifier(LogisticRegression(), data_negative_rate=0.3)
    with pytest.raises(ValueError, match=r"3.33333 times .*negative_rate=0.3.*corrected twice"):
        model.fit(X, y, sample_weight=weight)
    scaler = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.raises(ValueError, match="corrected twice"):
        DownsampledClassifier(scaler, data_negative_rate=0.3).fit(
            X, y, logisticregression__sample_weight=weight
        )
    # Another ratio, weights that vary, or a rate of 1: the weights mean something else.
    model.fit(X, y, sample_weight=np.where(y == 1, 1.0, 2.0))
    model.fit(X, y, sample_weight=np.linspace(0.5, 1, len(y)))
    model.set_params(data_negative_rate=0.9).fit(X, y, sample_weight=np.linspace(0.5, 1, len(y)))
    model.set_params(data_negative_rate=1.0, negative_rate=0.3).fit(X, y, sample_weight=weight)


def test_weights_reach_the_estimator_and_keep_the_level():
    X, y, p = numeric_log(40_000)
    weight = np.random.default_rng(0).exponential(size=len(y))
    weight[::7] = 0
    recorder = DownsampledClassifier(Recorder(), negative_rate=0.1, random_state=0)
    given = recorder.fit(X, y, sample_weight=weight).estimator_.given_
    assert (given["sample_weight"] > 0).all()
    assert len(given["sample_weight"]) == len(given["X"]) == len(given["y"])
    row = np.flatnonzero((given["X"][5] == X).all(axis=1))[0]
    assert given["sample_weight"][5] == weight[row]
    kept = given["sample_weight"][given["y"] == 0].sum()
    assert recorder.negative_rate_ == pytest.approx(kept / weight[y == 0].sum())
    # Clicks counted 10 times raise the weighted log's odds 10 times.
    heavy = np.where(y == 1, 10.0, 1.0)
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.2, random_state=0)
    decision = model.fit(X, y, sample_weight=heavy).decision_function(X)
    assert (decision - logit(p)).mean() == pytest.approx(np.log(10), abs=0.15)


def test_further_arguments_are_cut_to_the_rows():
    X, y, _ = numeric_log(2_000)
    X_val, y_val, _ = numeric_log(2_000, seed=1)
    weight_val = np.arange(2_000.0)
    model = DownsampledClassifier(Recorder(), negative_rate=0.1, random_state=0)
    model.fit(
        X, y, group=list(range(2_000)), name="a", X_val=X_val, y_val=y_val,
        sample_weight_val=weight_val,
    )  # fmt: skip
    given = model.estimator_.given_
    assert (X[given["group"]] == given["X"]).all()
    assert given["name"] == "a"
    # Validation rows: downsampled by themselves, all clicks kept.
    assert given["y_val"].sum() == y_val.sum()
    assert (given["y_val"] == 0).sum() == round(0.1 * (y_val == 0).sum())
    assert (X_val[given["sample_weight_val"].astype(int)] == given["X_val"]).all()
    full = clone(model).set_params(negative_rate=1.0).fit(X, y, X_val=X_val, y_val=y_val)
    assert full.estimator_.given_["X"] is X
    assert full.estimator_.given_["X_val"] is X_val


def test_validation_rows_of_a_step_are_downsampled():
    X, y, _ = numeric_log(2_000)
    model = DownsampledClassifier(make_pipeline(Recorder()), negative_rate=0.1, random_state=0)
    X_val, y_val, _ = numeric_log(1_500, seed=1)
    model.fit(X, y, recorder__X_val=X_val, recorder__y_val=y_val)
    given = model.estimator_[-1].given_
    assert given["y_val"].sum() == y_val.sum()
    assert (given["y_val"] == 0).sum() == round(0.1 * (y_val == 0).sum())
    assert len(given["X_val"]) == len(given["y_val"])


@pytest.mark.parametrize("step", ["", "recorder__"])
def test_validation_rows_of_other_libraries_are_refused(step):
    X, y, _ = numeric_log(500)
    estimator = make_pipeline(Recorder()) if step else Recorder()
    model = DownsampledClassifier(estimator, negative_rate=0.1, random_state=0)
    for params in ({"eval_set": [(X, y)]}, {"eval_X": X, "eval_y": y}):
        params = {step + name: value for name, value in params.items()}
        with pytest.raises(ValueError, match=f"{min(params)} would hold all negatives.*X_val"):
            model.fit(X, y, **params)
        # Both drawn by hand: they are alike.
        hand = clone(model).set_params(negative_rate=1.0, data_negative_rate=0.1)
        hand.fit(X, y, **params)
    model.fit(X, y, **{step + "eval_set": None})


def test_early_stopping_sees_rows_like_those_of_training():
    log = make_ad_log(12_000, base_rate=0.05, n_history=0, random_state=0)
    train, valid = slice(0, 8_000), slice(8_000, None)
    X, y = log.data, log.target.to_numpy()
    inner = FMClassifier(max_epochs=3, early_stopping=True, random_state=0)
    model = DownsampledClassifier(inner, negative_rate=0.1, random_state=0)
    model.fit(X[train], y[train], X_val=X[valid], y_val=y[valid])
    # About a third of the sampled rows are clicks: the loss is near that rate's entropy.
    rate = y[valid].mean() / (y[valid].mean() + 0.1 * (1 - y[valid].mean()))
    loss = -max(model.estimator_.validation_scores_)
    assert loss == pytest.approx(-rate * np.log(rate) - (1 - rate) * np.log(1 - rate), rel=0.25)
    assert calibration_ratio(y[valid], model.predict_proba(X[valid])[:, 1]) == pytest.approx(
        1, abs=0.25
    )


def test_routing():
    X, y, _ = numeric_log(2_000)
    weight = np.where(y == 1, 2.0, 1.0)
    direct = DownsampledClassifier(LogisticRegression(), negative_rate=0.3, random_state=0)
    expected = clone(direct).fit(X, y, sample_weight=weight).predict_proba(X)
    with config_context(enable_metadata_routing=True):
        inner = make_pipeline(
            StandardScaler(with_mean=False, with_std=False).set_fit_request(sample_weight=False),
            LogisticRegression().set_fit_request(sample_weight=True),
        )
        model = clone(direct).set_params(estimator=inner).set_fit_request(sample_weight=True)
        outer = make_pipeline(StandardScaler(with_mean=False, with_std=False), model)
        outer[0].set_fit_request(sample_weight=False)
        outer.fit(X, y, sample_weight=weight)
        assert outer.predict_proba(X) == pytest.approx(expected)
        with pytest.raises(TypeError, match="unexpected argument"):
            clone(direct).fit(X, y, colour="red")


@pytest.mark.parametrize(
    "convert",
    [
        pd.DataFrame,
        lambda X: pl.DataFrame(X, schema=["a", "b", "c"]),
        sparse.csr_array,
        sparse.coo_array,
        np.ndarray.tolist,
    ],
    ids=["pandas", "polars", "csr", "coo", "list"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_containers(convert):
    X, y, _ = numeric_log(2_000)
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.2, random_state=0)
    expected = model.fit(X, y).predict_proba(X)
    converted = convert(X)
    if isinstance(converted, pd.DataFrame):
        converted.columns = ["a", "b", "c"]
        converted.index = np.arange(2_000)[::-1]
    assert clone(model).fit(converted, y).predict_proba(converted) == pytest.approx(expected)


def test_inside_scikit_learn():
    X, y, p = numeric_log(8_000)
    labels = np.where(y == 1, "click", "none")
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.3, random_state=0)
    flipped = clone(model).fit(X, labels)
    assert list(flipped.classes_) == ["click", "none"]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model),
        {
            "downsampledclassifier__negative_rate": [0.3, 1.0],
            "downsampledclassifier__estimator__C": [1e-6, 1.0],
        },
        scoring="neg_log_loss",
        cv=2,
    ).fit(X, y)
    assert search.best_params_["downsampledclassifier__estimator__C"] == 1.0
    assert search.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=0.1)
    calibrated = CalibratedClassifierCV(model, cv=2).fit(X, y, sample_weight=np.ones(len(y)))
    assert calibrated.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=0.1)
    out_of_fold = cross_val_predict(model, X, y, method="predict_proba", cv=2)[:, 1]
    assert roc_auc_score(y, out_of_fold) > roc_auc_score(y, p) - 0.01


def test_skops_needs_to_trust_only_this_class():
    sio = pytest.importorskip("skops.io")
    X, y, _ = numeric_log(500)
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.3, random_state=0)
    file = sio.dumps(model.fit(X, y))
    untrusted = sio.get_untrusted_types(data=file)
    assert untrusted == ["sk_adrec.ranking._downsampled.DownsampledClassifier"]
    loaded = sio.loads(file, trusted=untrusted)
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()


def test_attributes_follow_the_last_fit():
    X, y, _ = numeric_log(500)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model = DownsampledClassifier(LogisticRegression()).fit(frame, y)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    model.fit(X, y)
    assert model.n_features_in_ == 3
    assert not hasattr(model, "feature_names_in_")
    with pytest.raises(ValueError, match="2 features"):
        model.predict_proba(X[:, :2])


class NoWeights(Recorder):
    def fit(self, X, y):
        return super().fit(X, y)


@pytest.mark.parametrize(
    ("params", "fit_params", "error", "message"),
    [
        (
            {"negative_rate": 0},
            {},
            ValueError,
            r"negative_rate must be a number in \(0, 1\]",
        ),
        ({"data_negative_rate": 1.5}, {}, ValueError, "data_negative_rate must be .* got 1.5"),
        ({"estimator": LinearSVC()}, {}, TypeError, r"predict_proba, got LinearSVC\(\): wrap"),
        ({}, {"y": np.arange(60) % 3}, ValueError, "Only binary classification is supported"),
        ({}, {"y": np.ones(60)}, ValueError, "y must have two classes, got one class"),
        ({}, {"y": None}, ValueError, "requires y to be passed"),
        ({}, {"y": np.arange(50) % 2}, ValueError, "inconsistent numbers of samples"),
        ({}, {"sample_weight": -np.ones(60)}, ValueError, "must not be negative"),
        (
            {"estimator": NoWeights()},
            {"sample_weight": np.ones(60)},
            TypeError,
            "NoWeights.fit takes no sample_weight: leave the weights out",
        ),
    ],
)
def test_messages(params, fit_params, error, message):
    X, y = np.arange(120.0).reshape(60, 2), np.arange(60) % 2
    model = DownsampledClassifier(LogisticRegression(), negative_rate=0.5).set_params(**params)
    with pytest.raises(error, match=message):
        model.fit(X, **{"y": y, **fit_params})
