"""Every public estimator, found by discovery, under scikit-learn's checks and this library's own."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks as sklearn_checks

from sk_adrec.utils import all_estimators
from sk_adrec.utils.estimator_checks import estimator_kind, parametrize_with_checks, yield_checks

# All rows of a check in one batch: nothing depends on their order.
FULL_BATCH = 100_000
# Rounding of float32 alone may fail these two.
WEIGHT_CHECKS = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)


def instances(**params):
    """One instance of every public estimator, with those of `params` set that it has."""
    for _, Estimator in all_estimators():
        known = Estimator().get_params(deep=False)
        yield Estimator(**{name: value for name, value in params.items() if name in known})


def float32_failures(estimator):
    if "dtype" not in estimator.get_params(deep=False):
        return {}
    return dict.fromkeys(WEIGHT_CHECKS, "float32 rounds differently for copies and weights")


@sklearn_checks(list(instances(dtype="float64", batch_size=FULL_BATCH, random_state=0)))
def test_sklearn_checks(estimator, check):
    check(estimator)


@sklearn_checks(
    [
        estimator
        for estimator in instances(dtype="float32", batch_size=FULL_BATCH, random_state=0)
        if "dtype" in estimator.get_params(deep=False)
    ],
    expected_failed_checks=float32_failures,
    xfail_strict=True,
)
def test_sklearn_checks_in_float32(estimator, check):
    check(estimator)


@parametrize_with_checks(list(instances()))
def test_own_checks(estimator, check):
    check(estimator)


def test_discovery_finds_the_exported_estimators():
    names = [name for name, _ in all_estimators()]
    assert "FMClassifier" in names
    assert names == sorted(names)


@pytest.mark.parametrize("estimator", list(instances()), ids=lambda e: type(e).__name__)
def test_every_estimator_has_checks(estimator):
    assert list(yield_checks(estimator)), f"no checks for the kind {estimator_kind(estimator)!r}"
