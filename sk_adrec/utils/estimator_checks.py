"""Checks for estimators on raw logs, beside scikit-learn's own.

scikit-learn's suite proves that an estimator follows its interface on numeric arrays. These checks
prove what a log needs on top: ids, histories and missing values, weights, honest state, small
files, and that the model learns. Run both on an estimator of your own.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterable, Iterator

from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import SkipTestWarning

from .._warnings import warn
from ._check_cases import on_rows
from ._checks_code import (
    check_parameters_are_declared,
    check_parameters_are_documented,
    check_parameters_are_read,
)
from ._checks_data import (
    check_categories_by_value,
    check_column_names,
    check_empty_history,
    check_infinity_raises,
    check_large_ids_stay_apart,
    check_missing_values,
    check_numeric_ids_warn,
    check_object_array,
    check_one_row,
    check_padding_and_truncation,
    check_polars,
    check_row_order_and_batch_size,
    check_storage_does_not_matter,
    check_string_labels,
    check_unseen_categories,
)
from ._checks_learning import (
    check_early_stopping_restores_best_epoch,
    check_first_category_learns,
    check_learns_planted_signal,
    check_mean_prediction,
    check_parameters_as_given_learn,
    check_sample_weight_equals_repetition,
)
from ._checks_multitask import (
    check_bad_stages,
    check_calibrated_labels,
    check_column_weights_equal_repetition,
    check_columns_and_labels_agree,
    check_columns_in_files,
    check_columns_in_tools,
    check_funnel_is_nested,
    check_missing_last_stage,
    check_more_stages,
    check_unknown_stages_are_masked,
)
from ._checks_next_item import (
    check_next_item_history_end,
    check_next_item_learns,
    check_next_item_recommends,
    history_rows,
)
from ._checks_retrieval import (
    check_positives_only,
    check_recommend,
    check_recommend_shortfall,
    check_retriever_columns,
    check_retriever_failed_fit,
    check_retriever_ids_of_other_type,
    check_retriever_integer_ids,
    check_retriever_score,
)
from ._checks_state import (
    check_clone_and_set_params,
    check_failed_fit,
    check_failed_training,
    check_global_generators_untouched,
    check_instances_share_nothing,
    check_pickle_round_trip,
    check_pickle_size,
    check_predict_changes_nothing,
    check_predicts_in_fresh_process,
    check_refit_equals_fit,
    check_skops_round_trip,
    check_threads,
)
from ._checks_tools import (
    check_calibrated_classifier,
    check_cross_val_predict,
    check_grid_search_in_pipeline,
    check_permutation_importance,
    check_validation_rows_in_pipeline,
)
from ._checks_training import (
    check_callbacks_and_net_params,
    check_keyboard_interrupt,
    check_partial_fit_after_loading,
    check_partial_fit_bad_input,
    check_partial_fit_classes,
    check_partial_fit_first_call_is_fit,
    check_partial_fit_interrupted,
    check_partial_fit_new_ids,
    check_verbose_shows_progress,
)

Check = Callable[[BaseEstimator], None]

# Whatever X is.
_STATE: tuple[Check, ...] = (
    check_parameters_are_declared,
    check_parameters_are_read,
    check_parameters_are_documented,
    check_clone_and_set_params,
    check_instances_share_nothing,
    check_refit_equals_fit,
    check_global_generators_untouched,
    check_pickle_round_trip,
    check_pickle_size,
    check_skops_round_trip,
    check_predict_changes_nothing,
    check_threads,
)
# For every estimator that takes a raw log, transformers included.
_ANY: tuple[Check, ...] = (
    *_STATE,
    check_failed_fit,
    check_row_order_and_batch_size,
    check_one_row,
    check_unseen_categories,
    check_categories_by_value,
    check_storage_does_not_matter,
    check_numeric_ids_warn,
    check_missing_values,
    check_infinity_raises,
    check_column_names,
    check_polars,
    check_empty_history,
)
_RANKER: tuple[Check, ...] = (
    check_learns_planted_signal,
    check_parameters_as_given_learn,
    check_mean_prediction,
    check_first_category_learns,
    check_sample_weight_equals_repetition,
    check_early_stopping_restores_best_epoch,
    check_padding_and_truncation,
    check_large_ids_stay_apart,
    check_string_labels,
    check_object_array,
    check_failed_training,
    check_predicts_in_fresh_process,
    check_keyboard_interrupt,
    check_callbacks_and_net_params,
    check_verbose_shows_progress,
    check_partial_fit_first_call_is_fit,
    check_partial_fit_classes,
    check_partial_fit_new_ids,
    check_partial_fit_bad_input,
    check_partial_fit_interrupted,
    check_partial_fit_after_loading,
    check_grid_search_in_pipeline,
    check_cross_val_predict,
    check_calibrated_classifier,
    check_permutation_importance,
    check_validation_rows_in_pipeline,
)
_NEXT_ITEM: tuple[Check, ...] = (
    check_next_item_learns,
    check_next_item_history_end,
    check_next_item_recommends,
)
# Checks that make sense for histories as well, on rows of those.
_ON_HISTORIES: tuple[Check, ...] = (
    *_STATE,
    check_failed_training,
    check_predicts_in_fresh_process,
    check_row_order_and_batch_size,
    check_one_row,
    check_column_names,
    check_polars,
    check_empty_history,
    check_keyboard_interrupt,
    check_callbacks_and_net_params,
    check_verbose_shows_progress,
    check_partial_fit_first_call_is_fit,
    check_partial_fit_interrupted,
    check_partial_fit_after_loading,
)
_MULTITASK: tuple[Check, ...] = (
    check_columns_and_labels_agree,
    check_funnel_is_nested,
    check_unknown_stages_are_masked,
    check_bad_stages,
    check_more_stages,
    check_missing_last_stage,
    check_columns_in_files,
    check_column_weights_equal_repetition,
    check_columns_in_tools,
    check_calibrated_labels,
)
# A retriever need not look at columns that it does not name.
_ALL_COLUMNS = (
    check_failed_fit,
    check_infinity_raises,
    check_numeric_ids_warn,
    check_column_names,
)
_RETRIEVER: tuple[Check, ...] = (
    check_recommend,
    check_recommend_shortfall,
    check_retriever_integer_ids,
    check_positives_only,
    check_retriever_columns,
    check_retriever_ids_of_other_type,
    check_retriever_failed_fit,
    check_retriever_score,
    check_string_labels,
    check_predicts_in_fresh_process,
)
_CHECKS = {
    "transformer": _ANY,
    "ranker": (*_ANY, *_RANKER),
    # In float64, since cosines are multiplied, by 20 say, and with them the rounding of float32.
    "next_item": (
        *(on_rows(history_rows, check, dtype="float64") for check in _ON_HISTORIES),
        *_NEXT_ITEM,
    ),
    # A label of two classes is a funnel of one stage.
    "multitask": (*_ANY, *_RANKER, *_MULTITASK),
    "retriever": (*(check for check in _ANY if check not in _ALL_COLUMNS), *_RETRIEVER),
}

__all__ = [
    "check_estimator",
    "estimator_kind",
    "parametrize_with_checks",
    "yield_checks",
    *sorted(check.__name__ for check in {*_ANY, *_RANKER, *_NEXT_ITEM, *_MULTITASK, *_RETRIEVER}),
]


def estimator_kind(estimator: BaseEstimator) -> str:
    """Return which of the library's kinds an estimator belongs to, by what it offers.

    Parameters
    ----------
    estimator : estimator instance
        Fitted or not: only its methods are looked at.

    Returns
    -------
    {"ranker", "transformer", "multitask", "retriever", "next_item"}

    Raises
    ------
    TypeError
        If it is none of them.

    Examples
    --------
    >>> from sk_adrec import FeatureEncoder, FMClassifier
    >>> from sk_adrec.utils.estimator_checks import estimator_kind
    >>> estimator_kind(FMClassifier()), estimator_kind(FeatureEncoder())
    ('ranker', 'transformer')
    """
    if hasattr(estimator, "predict_funnel"):
        return "multitask"
    if hasattr(estimator, "recommend"):
        return "retriever" if hasattr(estimator, "similar_items") else "next_item"
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        return "ranker"
    if hasattr(estimator, "transform"):
        return "transformer"
    raise TypeError(
        f"{type(estimator).__name__} should be a classifier with predict_proba, a transformer, or "
        "have predict_funnel or recommend; the checks know no other kind"
    )


def yield_checks(estimator: BaseEstimator) -> Iterator[Check]:
    """Yield the checks that apply to an estimator: by its kind, parameters and methods.

    Parameters
    ----------
    estimator : estimator instance
        Fitted or not.

    Yields
    ------
    check : callable
        ``check(estimator)`` raises AssertionError where the estimator fails.

    Examples
    --------
    >>> from sk_adrec import FeatureEncoder
    >>> from sk_adrec.utils.estimator_checks import yield_checks
    >>> [check.__name__ for check in yield_checks(FeatureEncoder())][-3:]
    ['check_column_names', 'check_polars', 'check_empty_history']
    """
    offered = {*estimator.get_params(deep=False), *dir(estimator)}
    for check in _CHECKS.get(estimator_kind(estimator), ()):
        if offered.issuperset(getattr(check, "needs", ())):
            yield check


def check_estimator(estimator: BaseEstimator) -> None:
    """Run all checks that apply to an estimator; it takes half a minute.

    Parameters
    ----------
    estimator : estimator instance
        Copied, never changed.

    Raises
    ------
    AssertionError
        By the first check that fails: what was expected, and what happened.

    See Also
    --------
    sklearn.utils.estimator_checks.check_estimator : The interface itself, on numeric arrays; run
        it on an instance with ``dtype="float64"`` and one full batch.

    Examples
    --------
    >>> from sk_adrec import FMClassifier
    >>> from sk_adrec.utils.estimator_checks import check_large_ids_stay_apart, check_one_row
    >>> check_one_row(FMClassifier())
    >>> check_large_ids_stay_apart(FMClassifier())
    """
    for check in yield_checks(estimator):
        try:
            check(estimator)
        except unittest.SkipTest as reason:
            warn(f"{check.__name__}: {reason}", SkipTestWarning)


def parametrize_with_checks(estimators: Iterable[BaseEstimator]):
    """Decorate a test function with one case per estimator and check.

    Parameters
    ----------
    estimators : iterable of estimator instances
        Copied, never changed.

    Returns
    -------
    decorator
        ``pytest.mark.parametrize`` of the arguments ``estimator`` and ``check``.

    Examples
    --------
    >>> from sk_adrec import FMClassifier
    >>> from sk_adrec.utils.estimator_checks import parametrize_with_checks
    >>> @parametrize_with_checks([FMClassifier()])
    ... def test_my_estimator(estimator, check):
    ...     check(estimator)
    """
    import pytest

    return pytest.mark.parametrize(
        ("estimator", "check"),
        [
            pytest.param(estimator, check, id=f"{type(estimator).__name__}-{check.__name__}")
            for estimator in estimators
            for check in yield_checks(estimator)
        ],
    )
