"""Boosted trees whose leaves feed a logistic regression that can be kept current online.

He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import lightgbm as lgb
import numpy as np
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._hyperparameters import (
    KW_ONLY,
    Count,
    CountOrNone,
    Rule,
    Switch,
    hyperparameters,
    within,
)
from .._log_estimator import LogEstimator, LogRows, ReadsColumns, Validation
from .._target import TwoClassesMixin, check_target, check_two_classes
from .._validation import unchanged_on_error
from .._warnings import warn
from ..preprocessing._encoded import Encoded
from ._gbdt.boosting import Layers, fit_trees, split_layers
from ._gbdt.columns import own_columns, tree_columns, tree_input
from ._gbdt.leaves import Leaves
from ._gbdt.parameters import (
    check_trees,
    constrains_order,
    given,
    is_dart,
    own_balance,
    take_class_weight,
    translate_columns,
    weights_of_labels,
)
from ._online_logistic import OnlineLogisticRegression

# tree_fraction="auto" above that many rows.
_DISJOINT_ROWS = 10_000
_TREE_FRACTION = 0.9
# Rows whose features exist at once in predict.
_PREDICT_ROWS = 65_536
# Set on every copy of `gbdt` that says nothing of its own: silent, and equal fits are bit-equal.
_TREE_PARAMS = {"verbosity": -1, "deterministic": True, "force_col_wise": True}
_DEFAULT_C = 0.003


def _check_gbdt(name, value):
    if value is not None and not isinstance(value, lgb.LGBMClassifier):
        raise TypeError(f"{name} must be a lightgbm.LGBMClassifier or None, got {value!r}")


def _check_linear(name, value):
    if value is not None and not hasattr(value, "predict_proba"):
        raise TypeError(f"{name} must be a classifier with predict_proba or None, got {value!r}")


@hyperparameters
class GBDTLRClassifier(  # type: ignore[call-arg]
    TwoClassesMixin, TransformerMixin, ReadsColumns, LogEstimator, auto_wrap_output_keys=None
):
    """Click probability from a logistic regression on the leaves of boosted trees.

    The trees (LightGBM) find which combinations of ids and numbers matter; the linear layer weighs
    each leaf, and each id, anew. It can then be kept current with `partial_fit`, row by row, while
    the trees stay.

    Parameters
    ----------
    gbdt
        The trees. None is 200 trees of 31 leaves at learning rate 0.1, fewer with early stopping.
        Give ``LGBMClassifier()`` to search its parameters: ``gbdt__num_leaves``. Its columns are
        those of X and its labels those of y, see the notes.
    linear
        The linear layer, fitted on sparse rows. None is
        :class:`~sk_adrec.ranking.OnlineLogisticRegression` with ``C=0.003``, whose penalty pulls
        the leaves' coefficients to the values that the trees gave them. Search its parameters as
        ``linear__C``.
    passthrough
        Whether the linear layer sees the columns of X beside the leaves: standardised numbers,
        one-hot ids, lists as the mean of their entries' one-hots; a scipy matrix as it is. False
        is the paper's model.
    tree_fraction : "auto" or float in (0, 1]
        Share of the rows that trains the trees. The others, and the rows to stop on among them,
        train the linear layer, so that it weighs leaves by rows which did not shape them. 1.0
        trains both on all rows, which overfits where ids have few rows. "auto" is 0.9 above
        10,000 rows, else 1.0; a label with fewer than 10 rows is never split.
    n_buckets
        Width to which leaves are hashed, for the linear layer and `transform`: it does not change
        when the trees are trained anew. None gives each leaf its own column.
    n_iter_no_change
        Trees without improvement before the training stops. Raise it for a small learning rate of
        `gbdt`, where each tree improves little.
    n_jobs : int
        Threads of LightGBM; None leaves it to `gbdt`, whose default is one per physical core. Set
        1 inside a parallel search.
    early_stopping
        Stop adding trees when the log loss on validation rows no longer falls, and keep the best
        number, whatever `metric` of `gbdt` is. "auto" is True above 1,000 rows, and False with
        ``boosting_type="dart"``, whose later trees change the earlier ones.
    random_state : int, RandomState instance or None
        Seed of the splits and, where `gbdt` and `linear` have none, of the trees and linear layer.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted; probabilities and logits are of ``classes_[1]`` where one is asked.
    linear_ : classifier
        The fitted linear layer.
    booster_ : lightgbm.Booster
        The fitted trees.
    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Share of each column of X in the gain of all splits, in the order of ``feature_names_in_``.
    validation_scores_ : list of float or None
        Minus the validation log loss after each tree; None without validation rows.
    n_iter_ : int
        Trees kept.

    See Also
    --------
    sk_adrec.FMClassifier : Interactions of ids as products of vectors.

    Notes
    -----
    Trees see ids as LightGBM's categories, so that ids unseen in fit follow the trees' "other"
    branch, and of a list its length and its newest entry. Weights are scaled to mean 1 before
    anything is learned: LightGBM's regularisation (``cat_smooth``, ``min_child_weight``) is
    absolute, and would vanish where negatives weigh 50.

    Parameters of `gbdt` mean what they do in LightGBM: position j of ``monotone_constraints``,
    ``feature_contri``, ``max_bin_by_feature``, ``cegb_penalty_feature_lazy`` and ``_coupled`` is
    column j of X (of a list: its length and, but for monotone constraints, its newest entry), and
    ``interaction_constraints`` may name columns. They bind the trees: the linear layer weighs
    leaves anew, so that probabilities rise with a column for certain only with
    ``passthrough=False, linear=OnlineLogisticRegression(C=1e-12)``. `booster_` has the columns of
    X in their order, then the newest entry of each list. ``class_weight``, ``is_unbalance`` and
    ``scale_pos_weight`` shape the trees and their stopping; the linear layer brings probabilities
    back to the level of the log. What cannot work is refused by name: other objectives than the
    log loss, and what reads values of columns (``forcedsplits_filename``).

    NOTE[DIFF] The paper fits the linear layer from zero. Here its penalty pulls towards the trees'
    own leaf values: with little data it falls back to the trees, and far fewer iterations are
    needed. With ``linear=sklearn.linear_model.LogisticRegression()`` it is the paper's.

    With few positives (some hundreds), trees overfit at once, here as in LightGBM: set
    ``early_stopping=True`` where there are fewer than 1,000 rows, and give the linear layer more
    of them (``tree_fraction=0.3``), or take a model without trees. Where ids matter by
    themselves, `FMClassifier` or a one-hot logistic regression is often better.

    Equal weights and repetitions of a row are not the same to LightGBM (it counts rows), as in
    scikit-learn's HistGradientBoostingClassifier.

    References
    ----------
    He et al. (2014), "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD.

    Examples
    --------
    >>> from sk_adrec import GBDTLRClassifier
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = GBDTLRClassifier(random_state=0).fit(log.data[:1000], log.target[:1000])
    >>> model = model.partial_fit(log.data[1000:1500], log.target[1000:1500])
    >>> model.predict_proba(log.data[1500:]).shape
    (500, 2)
    """

    gbdt: Annotated[Any, Rule(_check_gbdt, "lightgbm.LGBMClassifier")] = None
    linear: Annotated[Any, Rule(_check_linear, "classifier with predict_proba")] = None
    _: KW_ONLY
    passthrough: Switch = True
    tree_fraction: Annotated[float | str, within(0, 1, "right", also=("auto",))] = "auto"
    n_buckets: CountOrNone = None
    n_iter_no_change: Count = 10
    n_jobs: int | None = None

    _fitted: ClassVar[str] = "linear_"
    _takes_sparse: ClassVar[bool] = True

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        """Teach the linear layer new rows; the first call is a fit.

        Trees, vocabularies and the scaling of numbers stay as they are.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            One row or many, oldest first.
        y : array-like of shape (n_samples,)
            Labels of ``classes_``.
        sample_weight : array-like of shape (n_samples,), default=None
            Relative to the mean weight in fit.
        classes : array-like of shape (2,), default=None
            Both labels, needed in the first call if its y has one only.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `linear` has no partial_fit.
        """
        if not hasattr(self, "linear_"):
            with unchanged_on_error(self):
                self._fit(X, y, sample_weight, classes=classes)
            return self
        if not hasattr(self.linear_, "partial_fit"):
            raise TypeError(
                f"linear must have partial_fit to learn online, {type(self.linear_).__name__} has "
                "none. Use linear=None, or SGDClassifier(loss='log_loss')."
            )
        X, y, weight = self._check_rows(X, y, sample_weight, reset=False)
        target = self._encode_target(y)
        features = self._features(self._encode(X))
        weighted = _weights_for(self.linear_, weight / self._mean_weight, sample_weight is not None)
        self.linear_.partial_fit(features, target, **weighted)
        return self

    def _learn(self, rows: LogRows, validation: Validation, classes):
        self.classes_ = np.unique(rows.y if classes is None else classes)
        target = self._encode_target(rows.y)
        self._mean_weight = rows.weight.mean()
        weight = rows.weight / self._mean_weight
        random_state = check_random_state(self.random_state)
        encoded = self._learn_columns(rows.X, rows.weight)
        layers = self._split_layers(target, random_state, validation.given)
        stop = None
        if validation.given:
            X_val, y_val, weight_val = self._check_rows(
                validation.X, validation.y, validation.sample_weight, reset=False
            )
            target_val = self._encode_target(y_val)
            stop = self._tree_input(self._encode(X_val)), target_val, weight_val / weight_val.mean()
        elif layers.stop is not None:
            part = layers.stop
            stop = self._tree_input(encoded.take(part)), target[part], weight[part]
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        part = layers.trees
        self._fit_trees(
            self._tree_input(_take(encoded, part)), target[part], weight[part], stop, seed
        )
        part = layers.linear
        features = self._features(_take(encoded, part))
        self._fit_linear(features, target[part], weight[part], rows.is_weighted, seed)

    def _check_params(self):
        super()._check_params()
        check_trees(self.gbdt, self.early_stopping)

    def _check_target(self, y):
        return check_target(y)

    def _stops_early(self, n_rows):
        return super()._stops_early(n_rows) and not is_dart(self.gbdt)

    def set_params(self, **params):
        """Set parameters; ``linear__C`` or ``gbdt__num_leaves`` first make the default part.

        Parameters
        ----------
        **params : dict
            Parameters of this estimator, or of its parts: ``gbdt__<name>``, ``linear__<name>``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For a parameter that does not exist. All parameters then are as they were before.
        """
        nested = {name.partition("__")[0] for name in params if "__" in name}
        if "gbdt" in nested and params.get("gbdt", self.gbdt) is None:
            params["gbdt"] = _default_trees()
        if "linear" in nested and params.get("linear", self.linear) is None:
            params["linear"] = _default_linear()
        # On copies first: a wrong name may come after others that were set already.
        copies = {name: clone(value, safe=False) for name, value in params.items()}
        BaseEstimator.set_params(clone(self), **copies)
        return super().set_params(**params)

    def _encode_target(self, y):
        """0/1 labels, shape (n,)."""
        check_two_classes(self.classes_, y)
        return (y == self.classes_[1]).astype(np.int32)

    def _split_layers(self, target, random_state, explicit) -> Layers:
        fraction: Any = self.tree_fraction
        if fraction == "auto":
            fraction = _TREE_FRACTION if len(target) > _DISJOINT_ROWS else 1.0
        stop = self._stops_early(len(target)) and not explicit
        held_out = self.validation_fraction if stop else None
        return split_layers(target, fraction, held_out, random_state)

    def _fit_trees(self, X, target, weight, stop, seed):
        gbdt = _default_trees() if self.gbdt is None else clone(self.gbdt)
        _complete(gbdt, seed, self.n_jobs)
        columns = tree_columns(self.encoder_, self.n_features_in_)
        translate_columns(gbdt, columns, self._column_names(), self.encoder_ is None)
        counts = take_class_weight(gbdt, self.classes_, target)
        if stop is not None:
            # Rows to stop on weigh as those that the trees learn from do.
            X_stop, y_stop, weight_stop = stop
            stop = X_stop, y_stop, weight_stop * (counts * own_balance(gbdt, target))[y_stop]
        patience = self.n_iter_no_change if self.early_stopping and not is_dart(gbdt) else None
        codes = [k for k, column in enumerate(columns) if column.is_ids]
        model, losses = fit_trees(gbdt, X, target, weight * counts[target], codes, stop, patience)
        self._leaves = Leaves(model, self.n_jobs, self.n_buckets)
        self.n_iter_ = len(self._leaves.n_leaves_per_tree)
        self.validation_scores_ = None if losses is None else [-loss for loss in losses]

    def _column_names(self) -> list:
        if self.encoder_ is None:
            return list(range(self.n_features_in_))
        return [spec.name for spec in self.encoder_.columns_]

    def _fit_linear(self, features, target, weight, is_weighted, seed):
        linear = _default_linear() if self.linear is None else clone(self.linear)
        if "random_state" in (params := linear.get_params()) and params["random_state"] is None:
            linear.set_params(random_state=seed)
        if isinstance(by_label := params.get("class_weight"), dict):
            linear.set_params(class_weight=weights_of_labels("linear", by_label, self.classes_))
        further = _weights_for(linear, weight, is_weighted)
        if has_fit_parameter(linear, "coef_prior"):
            prior = np.zeros(features.shape[1])
            prior[: self._leaves.n_columns] = self._leaves.logits()
            further |= {"coef_prior": prior, "classes": [0, 1]}
        self.linear_ = linear.fit(features, target, **further)
        if self.gbdt is not None and constrains_order(self.gbdt) and not self._is_as_the_trees():
            warn(
                "monotone_constraints of gbdt bind the trees; the linear layer weighs their leaves "
                "anew, so that probabilities need not rise with the column. Where they must, set "
                "passthrough=False and linear=OnlineLogisticRegression(C=1e-12), which keeps the "
                "values of the leaves."
            )

    def _is_as_the_trees(self) -> bool:
        """Whether the linear layer adds up the values of the leaves, and nothing else."""
        coef = np.ravel(getattr(self.linear_, "coef_", ()))
        values = self._leaves.values
        return len(coef) == len(values) and np.allclose(coef, values, atol=1e-6)

    # ---- features ------------------------------------------------------------------------

    def _tree_input(self, encoded: Encoded):
        return tree_input(self.encoder_, encoded)

    def _features(self, encoded: Encoded) -> sparse.csr_matrix:
        """What the linear layer sees: leaves, then the columns of X."""
        leaves = self._leaves.one_hot(self._tree_input(encoded))
        if not self.passthrough:
            return leaves
        return sparse.hstack([leaves, *own_columns(self.encoder_, encoded)], format="csr")

    # ---- predict -------------------------------------------------------------------------

    def _chunks(self, X):
        """The linear layer's features, some rows at a time."""
        encoded = self._encode_raw(X)
        for begin in range(0, len(encoded), _PREDICT_ROWS):
            yield self._features(encoded.take(slice(begin, begin + _PREDICT_ROWS)))

    def decision_function(self, X):
        """Logits of ``classes_[1]``.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        ndarray of shape (n_samples,)
            Log odds, any real number.
        """
        if hasattr(getattr(self, "linear_", None), "decision_function"):
            return np.concatenate([self.linear_.decision_function(F) for F in self._chunks(X)])
        return logit(self.predict_proba(X)[:, 1])

    def predict_proba(self, X):
        """Probabilities of both classes, in the order of ``classes_``.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit; unseen ids and missing values are fine.

        Returns
        -------
        ndarray of shape (n_samples, 2)
        """
        return np.concatenate([self.linear_.predict_proba(F) for F in self._chunks(X)])

    def transform(self, X):
        """The leaf of each tree as a one-hot matrix.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        csr_matrix of shape (n_samples, n_leaves) or (n_samples, n_buckets), float64
        """
        encoded = self._encode_raw(X)
        return self._leaves.one_hot(self._tree_input(encoded))

    def get_feature_names_out(self, input_features=None):
        """Names of the columns of `transform`: "tree0_leaf0", or "bucket0" where hashed.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's interface.

        Returns
        -------
        ndarray of str of shape (n_columns,)
        """
        check_is_fitted(self)
        return self._leaves.names()

    @property
    def booster_(self):
        """The fitted trees."""
        check_is_fitted(self)
        return self._leaves.booster

    @property
    def feature_importances_(self):
        """Share of each column of X in the gain of all splits, shape (`n_features_in_`,)."""
        check_is_fitted(self)
        gains = np.bincount(
            [column.source for column in tree_columns(self.encoder_, self.n_features_in_)],
            self._leaves.gains(),
            minlength=self.n_features_in_,
        )
        return gains / max(gains.sum(), np.finfo(float).tiny)


def _default_trees():
    return lgb.LGBMClassifier(n_estimators=200, learning_rate=0.1, num_leaves=31)


def _complete(gbdt, seed: int, n_jobs: int | None) -> None:
    """Set what the user's LGBMClassifier leaves open."""
    for name, value in _TREE_PARAMS.items():
        if given(gbdt, name) is None and not (
            name == "force_col_wise" and given(gbdt, "force_row_wise")
        ):
            gbdt.set_params(**{name: value})
    if given(gbdt, "seed") is None:
        gbdt.set_params(random_state=seed)
    if n_jobs is not None:
        gbdt.set_params(num_threads=n_jobs)


def _default_linear():
    return OnlineLogisticRegression(C=_DEFAULT_C)


def _take(encoded: Encoded, rows: np.ndarray) -> Encoded:
    """Some rows; no copy where they are all."""
    return encoded if len(rows) == len(encoded) else encoded.take(rows)


def _weights_for(linear, weight, is_weighted: bool) -> dict[str, np.ndarray]:
    """`weight` as keywords for ``linear.fit``, if it takes weights."""
    if has_fit_parameter(linear, "sample_weight"):
        return {"sample_weight": weight}
    if is_weighted:
        raise TypeError(
            f"linear must accept sample_weight in fit where weights are given, "
            f"{type(linear).__name__} does not. Use linear=None."
        )
    return {}
