"""What the parameters of LightGBM refer to: columns of X and labels of y, as its user knows them.

LightGBM itself is handed encoded columns (:mod:`.columns`) and the labels 0 and 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import lightgbm as lgb
import numpy as np

from .columns import TreeColumn

# Of each parameter read here: all the names that LightGBM knows it by, in the order of their rank.
ALIASES = {
    "monotone_constraints": ("mc", "monotonic_cst", "monotone_constraint"),
    "feature_contri": ("fc", "fp", "feature_contrib", "feature_penalty"),
    "max_bin_by_feature": (),
    "cegb_penalty_feature_lazy": (),
    "cegb_penalty_feature_coupled": (),
    "interaction_constraints": (),
    "categorical_feature": (
        "cat_column", "cat_feature", "categorical_column", "categorical_features"
    ),
    "ignore_column": ("blacklist", "ignore_feature"),
    "forcedsplits_filename": (
        "fs", "forced_splits", "forced_splits_file", "forced_splits_filename"
    ),
    "forcedbins_filename": (),
    "zero_as_missing": (),
    "label_column": ("label",),
    "weight_column": ("weight",),
    "group_column": ("group", "query", "group_id", "query_id", "query_column"),
    "early_stopping_round": ("early_stopping", "n_iter_no_change", "early_stopping_rounds"),
    "early_stopping_min_delta": (),
    "linear_tree": ("linear_trees",),
    "boosting": ("boost", "boosting_type"),
    "bagging_fraction": ("bagging", "sub_row", "subsample"),
    "bagging_freq": ("subsample_freq",),
    "feature_fraction": ("sub_feature", "colsample_bytree"),
    "data_sample_strategy": (),
    "pos_bagging_fraction": ("pos_bagging", "pos_sub_row", "pos_subsample"),
    "neg_bagging_fraction": ("neg_bagging", "neg_sub_row", "neg_subsample"),
    "is_unbalance": ("unbalance", "unbalanced_sets"),
    "scale_pos_weight": (),
    "verbosity": ("verbose",),
    "deterministic": (),
    "force_col_wise": (),
    "force_row_wise": (),
    "num_threads": ("n_jobs", "nthread", "nthreads", "num_thread"),
    "seed": ("random_seed", "random_state"),
    "objective": ("app", "loss", "application", "objective_type"),
}  # fmt: skip

_WHEN_TO_STOP = "early_stopping and n_iter_no_change of GBDTLRClassifier say when to stop"
_OWN_COLUMNS = "trees here see standardised numbers and codes of ids, not the values of X"
# Parameters that cannot do here what LightGBM's user wants of them, and what does.
_REFUSED = {
    "categorical_feature": "the dtypes of X say which columns are ids, and categorical_features of "
    "GBDTLRClassifier does",
    "ignore_column": "leave the columns out of X",
    "label_column": "give y to fit",
    "weight_column": "give sample_weight to fit",
    "group_column": "groups are for ranking; this is a classifier",
    "early_stopping_round": _WHEN_TO_STOP,
    "early_stopping_min_delta": _WHEN_TO_STOP,
    "linear_tree": "the linear layer sees which leaf a row falls into, not a model within the leaf",
}
_REFUSED_UNLESS_SPARSE = {
    "forcedsplits_filename": f"{_OWN_COLUMNS}, so that thresholds in a file mean something else. "
    "Bin the columns before (FeatureEncoder(numeric='bins'))",
    "forcedbins_filename": f"{_OWN_COLUMNS}, so that bounds in a file mean something else. "
    "max_bin_by_feature works, or bin the columns before (FeatureEncoder(numeric='bins'))",
    "zero_as_missing": f"{_OWN_COLUMNS}: write NaN where X is missing",
}
# Of these 0 means off; elsewhere it is a position.
_SWITCHES = ("early_stopping_round", "early_stopping_min_delta", "linear_tree", "zero_as_missing")
_OBJECTIVES = (None, "binary", "cross_entropy", "xentropy")
# One entry for each column: what it must be.
_ONE_EACH: dict[str, tuple[str, Callable[[float], bool]]] = {
    "monotone_constraints": ("-1, 0 or 1", lambda entry: entry in (-1, 0, 1)),
    "feature_contri": ("a number of at least 0", lambda entry: entry >= 0),
    "max_bin_by_feature": (
        "an integer of at least 2", lambda entry: entry >= 2 and entry == int(entry)
    ),
    "cegb_penalty_feature_lazy": ("a number of at least 0", lambda entry: entry >= 0),
    "cegb_penalty_feature_coupled": ("a number of at least 0", lambda entry: entry >= 0),
}  # fmt: skip


def names_of(name: str) -> tuple[str, ...]:
    """All names of a parameter, the one that LightGBM heeds before the others first."""
    return (name, *ALIASES[name])


def given(gbdt: lgb.LGBMClassifier, name: str) -> Any:
    """The value of a parameter under whichever name; None where there is none."""
    params = gbdt.get_params()
    values = (params[one] for one in names_of(name) if params.get(one) is not None)
    return next(values, None)


def objective_of(gbdt: lgb.LGBMClassifier) -> Any:
    """The objective: a function, text, or None. LightGBM heeds its other names first."""
    params = gbdt.get_params()
    return next((params[one] for one in ALIASES["objective"] if one in params), gbdt.objective)


def is_dart(gbdt: lgb.LGBMClassifier | None) -> bool:
    """Whether later trees change earlier ones, so that there is no best number of them."""
    return gbdt is not None and given(gbdt, "boosting") == "dart"


def check_trees(gbdt: lgb.LGBMClassifier | None, early_stopping) -> None:
    """Refuse by name what cannot work whatever X is.

    Raises
    ------
    ValueError
    """
    if gbdt is None:
        return
    _refuse(gbdt, _REFUSED)
    objective = objective_of(gbdt)
    if not callable(objective) and objective not in _OBJECTIVES:
        raise ValueError(
            f"the objective of gbdt must be 'binary', 'cross_entropy' or a function that returns "
            f"gradient and hessian of the log loss, since leaves are to hold log odds of two "
            f"classes, got {objective!r}. Leave it out"
        )
    if is_dart(gbdt) and early_stopping is True:
        raise ValueError(
            "early_stopping must be False or 'auto' where gbdt has boosting_type='dart', whose "
            "later trees change the earlier ones: no number of trees can be kept as the best"
        )
    if given(gbdt, "boosting") in ("rf", "random_forest"):
        _check_forest(gbdt)


def _refuse(gbdt, reasons: dict[str, str]) -> None:
    params = gbdt.get_params()
    for name, reason in reasons.items():
        for one in names_of(name):
            value = params.get(one)
            if _is_set(value) and not (name in _SWITCHES and value in (0, [0])):
                raise ValueError(f"gbdt must not set {one}={value!r}: {reason}")


def _is_set(value) -> bool:
    """Whether a parameter of LightGBM says something: an empty one is as good as None."""
    return not (value is None or np.size(value) == 0 or (isinstance(value, str) and not value))


def _check_forest(gbdt) -> None:
    def is_share(name):
        return 0 < (given(gbdt, name) or 1) < 1

    rows = is_share("bagging_fraction") and (given(gbdt, "bagging_freq") or 0) > 0
    goss = given(gbdt, "data_sample_strategy") == "goss"
    if not (rows or goss or is_share("feature_fraction")):
        raise ValueError(
            "a gbdt with boosting_type='rf' must draw rows or columns for each tree, or all trees "
            "are alike: set subsample below 1 and subsample_freq=1, or colsample_bytree below 1"
        )


# ---- columns -----------------------------------------------------------------------------


def translate_columns(
    gbdt: lgb.LGBMClassifier, columns: Sequence[TreeColumn], names: Sequence[Any], is_sparse: bool
) -> None:
    """Rewrite parameters that refer to columns of X, by position or name, for the trees' input.

    Parameters
    ----------
    gbdt : LGBMClassifier
        Its parameters are set.
    columns : sequence of TreeColumn
        The trees' input; the first ones stand for the columns of X, in their order.
    names : sequence of str or int
        Of the columns of X.
    is_sparse : bool
        Whether trees see X as it is.

    Raises
    ------
    ValueError, TypeError
        If a parameter does not fit the columns.
    """
    if not is_sparse:
        _refuse(gbdt, _REFUSED_UNLESS_SPARSE)
    params = gbdt.get_params()
    for name in _ONE_EACH:
        for one in names_of(name):
            if _is_set(params.get(one)):
                values = _one_each(one, name, params[one], names)
                if name == "monotone_constraints":
                    _refuse_order_of_ids(one, values, columns)
                    values = [values[c.source] if c.is_own else 0 for c in columns]
                else:
                    values = [values[column.source] for column in columns]
                gbdt.set_params(**{one: values})
    constraints = params.get("interaction_constraints")
    if isinstance(constraints, str | None) and not constraints:
        return
    groups = _groups(constraints, names)
    if groups:
        positions = [[k for k, c in enumerate(columns) if c.source in group] for group in groups]
        gbdt.set_params(interaction_constraints=positions)


def constrains_order(gbdt: lgb.LGBMClassifier) -> bool:
    """Whether trees are to rise or fall with a column."""
    value = given(gbdt, "monotone_constraints")
    return _is_set(value) and any(_entries("monotone_constraints", value))


def _entries(one: str, value) -> list:
    """A list of parameters as a list, however it is spelled."""
    if isinstance(value, str):
        # As LightGBM's command line takes it: "0,1,0".
        return [_number(entry) for entry in value.strip("()[] ").split(",")]
    if not isinstance(value, list | tuple | np.ndarray) and not hasattr(value, "iloc"):
        raise TypeError(
            f"{one} of gbdt must be a list with one entry for each column of X, got {value!r}"
        )
    return np.asarray(value).tolist()


def _one_each(one: str, name: str, value, names) -> list:
    """A value for each column of X, checked."""
    value = _entries(one, value)
    if len(value) != len(names):
        raise ValueError(
            f"{one} of gbdt must have one entry for each of the {len(names)} columns of X, in "
            f"their order, {_shown(names)}, got {len(value)} entries"
        )
    expected, test = _ONE_EACH[name]
    for column, entry in zip(names, value):
        if not (isinstance(entry, int | float) and np.isfinite(entry) and test(entry)):
            raise ValueError(
                f"each entry of {one} of gbdt must be {expected}, got {entry!r} for column "
                f"{column!r}"
            )
    whole = name in ("monotone_constraints", "max_bin_by_feature")
    return [int(entry) for entry in value] if whole else value


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _refuse_order_of_ids(one: str, values, columns) -> None:
    wrong = [c for c in columns if c.is_own and c.is_ids and values[c.source]]
    if wrong:
        raise ValueError(
            f"{one} of gbdt is {values[wrong[0].source]} for column {wrong[0].name!r}, which holds "
            "ids: these have no order to rise with. Set 0, or give the column as numbers"
        )


def _groups(value, names) -> list[set[int]]:
    """Positions of the columns of each group that may interact."""
    if isinstance(value, str):
        # As LightGBM's command line takes it: "[0,1],[2]".
        value = [
            [_position(entry.strip(" '\"")) for entry in group.split(",") if entry.strip()]
            for group in re.findall(r"\[([^\[\]]*)\]", value)
        ] or value
    groups = []
    for group in value if isinstance(value, Iterable) else [value]:
        if isinstance(group, str) or not isinstance(group, Iterable):
            raise TypeError(
                "interaction_constraints of gbdt must be a list of groups, each a list of "
                f"positions or names of columns of X, got {value!r}"
            )
        groups.append({_find(one, names) for one in group})
    return groups


def _position(text: str) -> Any:
    return int(text) if text.lstrip("-").isdigit() else text


def _find(column, names) -> int:
    if isinstance(column, Integral) and not isinstance(column, bool | np.bool_):
        if 0 <= (position := int(column)) < len(names):
            return position
        raise ValueError(
            f"interaction_constraints of gbdt must hold positions of the {len(names)} columns of "
            f"X, 0 to {len(names) - 1}, or their names, got {column!r}"
        )
    found = [j for j, name in enumerate(names) if isinstance(name, str) and name == column]
    if not found:
        close = difflib.get_close_matches(str(column), [str(name) for name in names], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its columns are {_shown(names)}"
        raise ValueError(
            f"interaction_constraints of gbdt names {column!r}, which is no column of X: {hint}"
        )
    return found[0]


def _shown(names) -> str:
    """Names of the columns, the first ones of many."""
    shown = [str(name) for name in names[:10]]
    return str(shown) if len(names) <= len(shown) else f"{str(shown)[:-1]}, ...]"


# ---- labels ------------------------------------------------------------------------------


def weights_of_labels(part: str, value: dict, classes: np.ndarray) -> dict[int, float]:
    """A ``class_weight`` by the labels of y, as one by 0 and 1, which a part is handed.

    Raises
    ------
    ValueError
        If it names what is no label.
    """
    labels = classes.tolist()
    unknown = [label for label in value if label not in labels]
    if unknown:
        raise ValueError(
            f"class_weight of {part} must have the labels of y for keys, {labels}, got "
            f"{unknown[0]!r}"
        )
    return {k: float(value.get(label, 1.0)) for k, label in enumerate(labels)}


def take_class_weight(
    gbdt: lgb.LGBMClassifier, classes: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """What a row of each label counts, shape (2,), by ``class_weight``, which is set to None."""
    value = gbdt.class_weight
    gbdt.set_params(class_weight=None)
    if isinstance(value, dict):
        return np.array([*weights_of_labels("gbdt", value, classes).values()])
    if value not in (None, "balanced"):
        raise ValueError(
            f"class_weight of gbdt must be 'balanced', a dict by label or None, got {value!r}"
        )
    counts = np.ones(2)
    if value == "balanced":
        labels, n_rows = np.unique(target, return_counts=True)
        counts[labels] = len(target) / (len(labels) * n_rows)
    return counts


def own_balance(gbdt: lgb.LGBMClassifier, target: np.ndarray) -> np.ndarray:
    """What a row of each label counts, shape (2,), by what LightGBM does to rows by itself.

    Its metrics know nothing of it.
    """
    counts = np.ones(2)
    if objective_of(gbdt) in (None, "binary"):
        negatives, positives = np.bincount(target, minlength=2)
        if given(gbdt, "is_unbalance") and negatives and positives:
            counts = np.array([positives / negatives, 1.0]).clip(1)
            counts[1] = max(negatives / positives, 1.0)
        counts[1] *= 1.0 if (weight := given(gbdt, "scale_pos_weight")) is None else weight
    if given(gbdt, "bagging_freq"):
        for label, name in enumerate(("neg_bagging_fraction", "pos_bagging_fraction")):
            counts[label] *= given(gbdt, name) or 1.0
    return counts
