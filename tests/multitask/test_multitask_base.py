"""The multi-task base: its loss, and a model on it that is one short file."""

import inspect
import pickle
import warnings
from typing import Annotated, Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from torch import nn

from sk_adrec._hyperparameters import Count, Widths, hyperparameters, one_of
from sk_adrec.losses import EntireSpaceLoss, funnel_log_probabilities
from sk_adrec.multitask._base import BaseMultiTask
from sk_adrec.multitask._relations import Funnel
from sk_adrec.nn import MLP, FieldInputs
from sk_adrec.utils import estimator_checks
from sk_adrec.utils._checks_multitask import frame_and_funnel

# ---- SharedBottom (Caruana, "Multitask Learning", 1997): a whole model ---------------------------


class SharedBottom(nn.Module):
    def __init__(self, schema, d, bottom_dims, tower_dims):
        super().__init__()
        self.inputs = FieldInputs(schema, d, std=0.1)
        self.bottom = MLP(self.inputs.out_dim, bottom_dims)
        self.towers = nn.ModuleList(
            MLP(self.bottom.out_dim, tower_dims, out_dim=1) for _ in schema.prior
        )
        self.prior = nn.Parameter(torch.as_tensor(schema.prior))

    def forward(self, batch):
        h = torch.relu(self.bottom(self.inputs(batch)))  # (B, D)
        return self.prior + torch.cat([tower(h) for tower in self.towers], 1)  # (B, K)


@hyperparameters
class SharedBottomEstimator(BaseMultiTask):
    embedding_dim: Count = 8
    bottom_dims: Widths = (64,)
    tower_dims: Widths = (32,)
    stages: Any = None
    on_inconsistent: Annotated[str, one_of("raise", "fix")] = "raise"

    @property
    def _relation(self):
        return Funnel(self.stages, self.on_inconsistent)

    def _build_module(self, schema):
        return SharedBottom(schema, self.embedding_dim, self.bottom_dims, self.tower_dims)


def model(**params):
    return SharedBottomEstimator(
        **{"max_epochs": 3, "random_state": 0, "early_stopping": False, **params}
    )


def test_shared_bottom_is_short():
    source = inspect.getsource(SharedBottom) + inspect.getsource(SharedBottomEstimator)
    assert len(source.splitlines()) < 60
    assert estimator_checks.estimator_kind(SharedBottomEstimator()) == "multitask"


@pytest.mark.parametrize("check", estimator_checks._MULTITASK, ids=lambda check: check.__name__)
def test_checks_of_its_kind(check):
    check(SharedBottomEstimator())


def test_it_is_a_classifier_of_clicks_too():
    estimator_checks.check_first_category_learns(SharedBottomEstimator())
    estimator_checks.check_sample_weight_equals_repetition(SharedBottomEstimator())


# ---- loss ----------------------------------------------------------------------------------------

LOGITS = np.array([[-2.0, 0.5, 3.0], [1.0, -1.0, 0.0], [0.0, 4.0, -4.0]])


def log_loss(p, y):
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def test_log_probabilities_are_those_of_products_of_sigmoids():
    reached, missed = funnel_log_probabilities(torch.from_numpy(LOGITS))
    p = np.cumprod(expit(LOGITS), axis=1)
    assert_allclose(reached.exp(), p, rtol=1e-12)
    assert_allclose(missed.exp(), 1 - p, rtol=1e-12)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0], [0.5, 0.0, 3.0]])
def test_entire_space_loss_by_hand(weights):
    y = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    loss = EntireSpaceLoss(weights)(torch.from_numpy(LOGITS), torch.from_numpy(y))
    p = np.cumprod(expit(LOGITS), axis=1)
    assert_allclose(loss, log_loss(p, y) @ weights, rtol=1e-12)


def test_nan_adds_nothing_to_loss_or_gradient():
    y = torch.tensor([[1.0, torch.nan, torch.nan], [0.0, 0.0, torch.nan]], dtype=torch.float64)
    logits = torch.from_numpy(LOGITS[:2]).requires_grad_()
    loss = EntireSpaceLoss([1.0, 1.0, 1.0])(logits, y)
    loss.sum().backward()
    p = np.cumprod(expit(LOGITS), axis=1)
    expected = [-np.log(p[0, 0]), -np.log1p(-p[1, 0]) - np.log1p(-p[1, 1])]
    assert_allclose(loss.detach(), expected, rtol=1e-12)
    assert logits.grad[0, 1:].tolist() == [0.0, 0.0]
    assert logits.grad[1, 2] == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [50.0, 1e4])
def test_extreme_logits_give_finite_losses_and_gradients(dtype, size):
    logits = torch.cartesian_prod(*[torch.tensor([-size, 0.0, size], dtype=dtype)] * 3)
    labels = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=dtype)
    for y in labels:
        z = logits.clone().requires_grad_()
        loss = EntireSpaceLoss([1.0, 1.0, 1.0])(z, y.expand(len(z), 3))
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert torch.isfinite(z.grad).all()
    # Where both stages are certain, log(1 - P) is the larger of two tiny log probabilities.
    _, missed = funnel_log_probabilities(torch.tensor([[50.0, 50.0]]))
    assert_allclose(missed, [[-50.0, -50.0 + np.log(2)]], rtol=1e-6)


def test_gradient_against_finite_differences():
    y = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, torch.nan]])
    logits = torch.from_numpy(LOGITS).requires_grad_()
    loss = EntireSpaceLoss([1.0, 2.0, 0.5])
    assert torch.autograd.gradcheck(lambda z: loss(z, y.double()), logits)


# ---- targets -------------------------------------------------------------------------------------


def test_target_as_frame_array_list_and_polars_is_the_same():
    X, y = frame_and_funnel(200)
    expected = model().fit(X, y).predict_proba(X)
    spellings = [y.to_numpy(), y.astype(bool), y.astype("Int64"), y.to_numpy().tolist()]
    spellings += [pl.from_pandas(y), y.astype(object)]
    for other in spellings:
        assert_array_equal(model().fit(X, other).predict_proba(X), expected)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_every_spelling_of_missing_is_unknown(missing):
    X, y = frame_and_funnel(200)
    rows = np.arange(0, 200, 3)
    expected = y.copy()
    expected.loc[rows, "conversion"] = np.nan
    dtype = "Int64" if missing is pd.NA else object
    spelled = y.astype(dtype)
    spelled.loc[rows, "conversion"] = missing
    first, second = (model().fit(X, target).predict_proba(X) for target in (expected, spelled))
    assert_array_equal(first, second)


def test_a_single_column_is_ravelled_with_a_warning():
    X, y = frame_and_funnel(200)
    clicks = y["click"].astype(int).to_numpy()
    with pytest.warns(DataConversionWarning):
        fitted = model().fit(X, clicks[:, None])
    expected = model().fit(X, clicks)
    assert_array_equal(fitted.predict_proba(X), expected.predict_proba(X))
    assert list(fitted.predict_funnel(X)) == ["ctr"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([["a", "b"]] * 6, r"columns \['stage_1', 'stage_2'\] of y must hold 0, 1 or NaN"),
        ([[0, 1]] * 3 + [[1, 1]] * 3, "3 rows have not, the first is row 0.*on_inconsistent"),
        ([[0, 0.5]] * 6, "got 0.5 in row 0, column 'stage_2', and 5 more"),
        ([[0, np.nan], [1, np.nan]] * 3, "stage 'stage_2' of y is NaN in all rows"),
        ([[1, 0], [1, 1]] * 3, "two classes in its first stage, 'stage_1', got one class: 1"),
        ([0] * 6, "must have two classes, got one class"),
        ([0, 1, None] * 2, "must have a label in every row"),
    ],
)
def test_bad_targets(y, message):
    X = pd.DataFrame({"ad": list("abcabc")})
    with pytest.raises(ValueError, match=message):
        model().fit(X, y)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss_weights": [1.0]}, "one weight for each of the 2 stages"),
        ({"loss_weights": [1.0, -1.0]}, "each weight in loss_weights must be a number"),
        ({"loss_weights": [0.0, 0.0]}, "must have a weight above 0"),
        ({"loss_weights": "equal"}, "loss_weights must be one of 'balanced', got 'equal'"),
        ({"on_inconsistent": "drop"}, "on_inconsistent must be one of 'raise', 'fix'"),
        ({"stages": ["click", "purchase"]}, "stages names 'purchase', but the columns of y are"),
    ],
)
def test_bad_parameters_leave_a_fitted_model_alone(params, message):
    X, y = frame_and_funnel(200)
    fitted = model().fit(X, y)
    before = fitted.predict_proba(X)
    with pytest.raises(ValueError, match=message):
        fitted.set_params(**params).fit(X, y)
    assert_array_equal(fitted.predict_proba(X), before)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([0, 1], "lacks 2.*cross_val_predict"),
        ([0, 1, 1, 2], "must name each stage once"),
    ],
)
def test_stages_must_be_all_labels(stages, message):
    X, y = frame_and_funnel(200)
    with pytest.raises(ValueError, match=message):
        model(stages=stages).fit(X, y.sum(axis=1).astype(int))


def test_names_of_an_arrays_columns():
    X, y = frame_and_funnel(200)
    fitted = model(stages=["visit", "order"]).fit(X, y.to_numpy())
    assert fitted.task_names_ == ["visit", "order"]
    with pytest.raises(ValueError, match="must name the 2 columns"):
        model(stages=["visit"]).fit(X, y.to_numpy())


def test_validation_rows_need_the_columns_of_fit():
    X, y = frame_and_funnel(200)
    for other, message in (
        (y[["click"]].assign(order=0.0), "'conversion' is missing"),
        (y.to_numpy()[:, [0, 1, 1]], "must have the 2 columns of fit, got 3"),
    ):
        with pytest.raises(ValueError, match=message):
            model().fit(X, y, X_val=X, y_val=other)
    by_name = model().fit(X, y, X_val=X, y_val=y[["conversion", "click"]])
    same = model().fit(X, y, X_val=X, y_val=y)
    assert by_name.validation_scores_ == same.validation_scores_


def test_selective_labels_warn():
    X, y = frame_and_funnel(300)
    clicked = y["click"] == 1
    old = np.arange(300) < 200
    for unknown, message in (
        (~clicked, "'conversion' is NaN in every row where 'click' is 0.*write 0 there"),
        (clicked & ~old, "NaN only in rows where 'click' is 1.*in all rows as recent"),
    ):
        with pytest.warns(UserWarning, match=message):
            model().fit(X, y.assign(conversion=y["conversion"].mask(unknown)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model().fit(X, y.assign(conversion=y["conversion"].where(old)))


# ---- training ------------------------------------------------------------------------------------


def test_starts_at_the_conditional_rates():
    X, y = frame_and_funnel(300)
    weight = np.random.default_rng(0).uniform(0.5, 2, 300)
    fitted = model(lr=1e-9, tower_dims=(), max_epochs=1).fit(X, y, sample_weight=weight)
    clicked = y["click"] == 1
    rates = [
        np.average(y["click"], weights=weight),
        np.average(y["conversion"][clicked], weights=weight[clicked]),
    ]
    assert_allclose(expit(fitted.net_.module_.prior.detach()), rates, rtol=1e-5)


def test_loss_weights_decide_what_is_learned():
    X, y = frame_and_funnel(300)
    before, after = (
        model(loss_weights=[1.0, 0.0], lr=lr).fit(X, y).net_.module_.towers for lr in (1e-12, 0.01)
    )
    assert_allclose(after[1][0].weight.detach(), before[1][0].weight.detach(), atol=1e-9)
    assert not np.allclose(after[0][0].weight.detach(), before[0][0].weight.detach(), atol=1e-3)


def test_balanced_weights_make_each_stage_count_alike():
    X, y = frame_and_funnel(400)
    fitted = model(loss_weights="balanced").fit(X, y)
    rates = y.mean().to_numpy()
    entropy = -(rates * np.log(rates) + (1 - rates) * np.log1p(-rates))
    assert_allclose(fitted.net_.criterion_.weights, entropy[0] / entropy, rtol=1e-6)
    again = pickle.loads(pickle.dumps(fitted)).partial_fit(X, y)
    assert_allclose(again.net_.criterion_.weights, entropy[0] / entropy, rtol=1e-6)


def test_metrics_of_each_stage_are_recorded_and_shown(capsys):
    X, y = frame_and_funnel(600)
    fitted = model(early_stopping=True).set_params()
    fitted.verbose = 1
    fitted.fit(X, y)
    shown = capsys.readouterr().err
    for name in ("ctr auc", "cvr auc", "ctcvr auc"):
        assert f"valid {name}=" in shown
    assert 0.3 < fitted.net_.history[-1, "valid_cvr_auc"] <= 1


def test_worse_than_the_base_rates_warns():
    X, y = frame_and_funnel(300)
    # Nearly all convert in the validation rows: to know that rate would be better.
    y_val = np.ones_like(y)
    y_val[0] = 0
    with pytest.warns(UserWarning, match="predicting the base rate for every row would give"):
        model(max_epochs=1).fit(X, y.to_numpy(), X_val=X, y_val=y_val)


def test_score_leaves_unknown_stages_out():
    X, y = frame_and_funnel(400)
    fitted = model().fit(X, y)
    right = (fitted.predict(X) == y).to_numpy()
    assert fitted.score(X, y) == pytest.approx(right.all(axis=1).mean())
    y.loc[::2, "conversion"] = np.nan
    right[::2, 1] = True
    weight = np.linspace(0, 1, 400)
    expected = np.average(right.all(axis=1), weights=weight)
    assert fitted.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_partial_fit_names_classes():
    X, y = frame_and_funnel(200)
    labels = y.sum(axis=1).astype(int).to_numpy()
    fitted = model().partial_fit(X[labels < 2], labels[labels < 2], classes=[0, 1, 2])
    assert fitted.partial_fit(X, labels).predict_proba(X).shape == (200, 3)
    columns = model().partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    assert columns.predict_proba(X).shape == (200, 2)
    with pytest.raises(ValueError, match=r"classes must be \[0 1\] for a y of 2 columns"):
        model().partial_fit(X, y, classes=[0, 1, 2])


def test_a_clone_of_a_model_with_stages_refits_the_same():
    X, y = frame_and_funnel(200)
    fitted = model(stages=["click", "conversion"], loss_weights=[1.0, 2.0]).fit(X, y)
    again = pickle.loads(pickle.dumps(clone(fitted))).fit(X, y)
    assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
