"""Boosted trees whose leaves feed a logistic regression that can be kept current online.

He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from .._target import TwoClassesMixin, check_target, check_two_classes
from .._validation import (
    EARLY_STOPPING_ROWS,
    check_choice,
    check_number,
    check_rows,
    check_validation_arguments,
    check_X,
    explain_unknown_arguments,
    unchanged_on_error,
)
from ..preprocessing._encoded import Encoded
from ..preprocessing._log_encoder import LogEncoder
from ..preprocessing._schema import refuse_ids_in_sparse
from ..utils._docs import shared_docs
from ._boosting import fit_trees, split_layers
from ._gbdt_columns import own_columns, tree_categories, tree_columns, tree_input
from ._leaves import Leaves
from ._online_logistic import OnlineLogisticRegression

# tree_fraction="auto" above that many rows.
_DISJOINT_ROWS = 10_000
_TREE_FRACTION = 0.9
# Rows whose features exist at once in predict.
_PREDICT_ROWS = 65_536
# Set on every copy of `gbdt` that says nothing of its own: silent, and equal fits are bit-equal.
_TREE_PARAMS = {"verbosity": -1, "deterministic": True, "force_col_wise": True}
_DEFAULT_C = 0.003


@shared_docs
class GBDTLRClassifier(  # type: ignore[call-arg]
    TwoClassesMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Click probability from a logistic regression on the leaves of boosted trees.

    The trees (LightGBM) find which combinations of ids and numbers matter; the linear layer weighs
    each leaf, and each id, anew. It can then be kept current with `partial_fit`, row by row, while
    the trees stay.

    Parameters
    ----------
    gbdt : lightgbm.LGBMClassifier, default=None
        The trees. None is 200 trees of 31 leaves at learning rate 0.1, fewer with early stopping.
        Give ``LGBMClassifier()`` to search its parameters: ``gbdt__num_leaves``.
    linear : classifier with predict_proba, default=None
        The linear layer, fitted on sparse rows. None is
        :class:`~sk_adrec.ranking.OnlineLogisticRegression` with ``C=0.003``, whose penalty pulls
        the leaves' coefficients to the values that the trees gave them. Search its parameters as
        ``linear__C``.
    passthrough : bool, default=True
        Whether the linear layer sees the columns of X beside the leaves: standardised numbers,
        one-hot ids, lists as the mean of their entries' one-hots; a scipy matrix as it is. False
        is the paper's model.
    tree_fraction : "auto" or float in (0, 1], default="auto"
        Share of the rows that trains the trees. The others, and the rows to stop on among them,
        train the linear layer, so that it weighs leaves by rows which did not shape them. 1.0
        trains both on all rows, which overfits where ids have few rows. "auto" is 0.9 above
        10,000 rows, else 1.0; a label with fewer than 10 rows is never split.
    n_buckets : int, default=None
        Width to which leaves are hashed, for the linear layer and `transform`: it does not change
        when the trees are trained anew. None gives each leaf its own column.
    %(categorical_features)s
    %(share_vocabulary)s
    %(min_frequency)s
    %(max_len)s
    early_stopping : "auto" or bool, default="auto"
        Stop adding trees when the log loss on validation rows no longer falls, and keep the best
        number. "auto" is True above 1,000 rows.
    %(validation_fraction)s
    n_iter_no_change : int, default=10
        Trees without improvement before the training stops. Raise it for a small learning rate of
        `gbdt`, where each tree improves little.
    n_jobs : int, default=None
        Threads of LightGBM; None leaves it to `gbdt`, whose default is one per physical core. Set
        1 inside a parallel search.
    random_state : int, RandomState instance or None, default=None
        Seed of the splits and, where `gbdt` and `linear` have none, of the trees and linear layer.

    Attributes
    ----------
    %(classes_)s
    linear_ : classifier
        The fitted linear layer.
    booster_ : lightgbm.Booster
        The fitted trees.
    encoder_ : LogEncoder or None
        Column types, vocabularies, moments; None after a fit on a scipy matrix.
    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Share of each column of X in the gain of all splits, in the order of ``feature_names_in_``.
    validation_scores_ : list of float or None
        Minus the validation log loss after each tree; None without validation rows.
    n_iter_ : int
        Trees kept.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    See Also
    --------
    sk_adrec.FMClassifier : Interactions of ids as products of vectors.

    Notes
    -----
    Trees see ids as LightGBM's categories, so that ids unseen in fit follow the trees' "other"
    branch, and of a list its length and its newest entry. Weights are scaled to mean 1 before
    anything is learned: LightGBM's regularisation (``cat_smooth``, ``min_child_weight``) is
    absolute, and would vanish where negatives weigh 50.

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

    def __init__(
        self,
        gbdt=None,
        linear=None,
        *,
        passthrough=True,
        tree_fraction="auto",
        n_buckets=None,
        categorical_features="from_dtype",
        share_vocabulary=None,
        min_frequency=1,
        max_len=50,
        early_stopping="auto",
        validation_fraction=0.1,
        n_iter_no_change=10,
        n_jobs=None,
        random_state=None,
    ):
        self.gbdt = gbdt
        self.linear = linear
        self.passthrough = passthrough
        self.tree_fraction = tree_fraction
        self.n_buckets = n_buckets
        self.categorical_features = categorical_features
        self.share_vocabulary = share_vocabulary
        self.min_frequency = min_frequency
        self.max_len = max_len
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ---- fit -----------------------------------------------------------------------------

    @explain_unknown_arguments
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Learn encoder, trees and linear layer from a log.

        Parameters
        ----------
        X : data frame, ndarray or csr_matrix of shape (n_samples, n_features)
            The raw log; see the data contract for what each dtype becomes.
        y : array-like of shape (n_samples,)
            Two labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative; rows of weight 0 are left out.
        X_val, y_val, sample_weight_val : default=None
            Rows to stop early on, instead of a random part of X: for a log, later rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            Input or hyper-parameters out of contract. The estimator then is as it was before.
        """
        with unchanged_on_error(self):
            self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), None)
        return self

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
                self._fit(X, y, sample_weight, (None, None, None), classes)
            return self
        if not hasattr(self.linear_, "partial_fit"):
            raise TypeError(
                f"linear must have partial_fit to learn online, {type(self.linear_).__name__} has "
                "none. Use linear=None, or SGDClassifier(loss='log_loss')."
            )
        X, y, weight = self._check_rows(X, y, sample_weight, reset=False)
        target = self._encode_target(y, None)
        features = self._features(self._encode(X))
        weighted = _weights_for(self.linear_, weight / self._mean_weight, sample_weight is not None)
        self.linear_.partial_fit(features, target, **weighted)
        return self

    def _fit(self, X, y, sample_weight, validation, classes):
        self._check_params()
        check_validation_arguments(*validation)
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        X, y, weight = self._check_rows(X, y, sample_weight, reset=True)
        target = self._encode_target(y, np.unique(y if classes is None else classes))
        self._mean_weight = weight.mean()
        weight = weight / self._mean_weight
        random_state = check_random_state(self.random_state)
        encoded = self._fit_encoder(X, weight)
        explicit = validation[0] is not None
        tree_rows, linear_rows, stop_rows = self._split(target, random_state, explicit)
        if explicit:
            X_val, y_val, weight_val = self._check_rows(*validation, reset=False)
            stop = (
                self._tree_input(self._encode(X_val)),
                self._encode_target(y_val, None),
                weight_val,
            )
        elif stop_rows is not None:
            stop = self._tree_input(encoded.take(stop_rows)), target[stop_rows], weight[stop_rows]
        else:
            stop = None
        trees = _take(encoded, tree_rows)
        seed = int(random_state.randint(np.iinfo(np.int32).max))
        self._fit_trees(self._tree_input(trees), target[tree_rows], weight[tree_rows], stop, seed)
        self._fit_linear(
            self._features(_take(encoded, linear_rows)),
            target[linear_rows],
            weight[linear_rows],
            sample_weight is not None,
            seed,
        )

    def _check_params(self):
        if self.gbdt is not None and not isinstance(self.gbdt, lgb.LGBMClassifier):
            raise TypeError(f"gbdt must be a lightgbm.LGBMClassifier or None, got {self.gbdt!r}")
        if self.linear is not None and not hasattr(self.linear, "predict_proba"):
            raise TypeError(
                f"linear must be a classifier with predict_proba or None, got {self.linear!r}"
            )
        check_choice("passthrough", self.passthrough, (True, False))
        if self.tree_fraction != "auto":
            check_number("tree_fraction", self.tree_fraction, 0, 1, closed="right")
        if self.n_buckets is not None:
            check_number("n_buckets", self.n_buckets, 1, integer=True)
        check_number("min_frequency", self.min_frequency, 0, closed="neither")
        check_number("max_len", self.max_len, 1, integer=True)
        check_choice("early_stopping", self.early_stopping, ("auto", True, False))
        check_number("validation_fraction", self.validation_fraction, 0, 1, closed="neither")
        check_number("n_iter_no_change", self.n_iter_no_change, 1, integer=True)

    def _check_rows(self, X, y, sample_weight, *, reset):
        return check_rows(self, X, y, sample_weight, check_target, reset=reset)

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

    def _encode_target(self, y, classes):
        """0/1 labels, shape (n,); `classes` are given in fit and None afterwards."""
        known = self.classes_ if classes is None else classes
        check_two_classes(known, y)
        self.classes_ = known
        return (y == known[1]).astype(np.int32)

    def _split(self, target, random_state, explicit):
        """Rows of the trees, of the linear layer, and to stop on (or None)."""
        stop = self.early_stopping
        if stop == "auto":
            stop = len(target) > EARLY_STOPPING_ROWS
        fraction = self.tree_fraction
        if fraction == "auto":
            fraction = _TREE_FRACTION if len(target) > _DISJOINT_ROWS else 1.0
        held_out = self.validation_fraction if stop and not explicit else None
        return split_layers(target, fraction, held_out, random_state)

    def _fit_trees(self, X, target, weight, stop, seed):
        gbdt = _default_trees() if self.gbdt is None else clone(self.gbdt)
        params = gbdt.get_params()
        given = {name: value for name, value in _TREE_PARAMS.items() if name not in params}
        if params["random_state"] is None:
            given["random_state"] = seed
        if self.n_jobs is not None:
            given["n_jobs"] = self.n_jobs
        gbdt.set_params(**given)
        patience = self.n_iter_no_change if self.early_stopping else None
        categories = tree_categories(self.encoder_)
        model, losses = fit_trees(gbdt, X, target, weight, categories, stop, patience)
        self._leaves = Leaves(model, self.n_jobs, self.n_buckets)
        self.n_iter_ = len(self._leaves.n_leaves_per_tree)
        self.validation_scores_ = None if losses is None else [-loss for loss in losses]

    def _fit_linear(self, features, target, weight, is_weighted, seed):
        linear = _default_linear() if self.linear is None else clone(self.linear)
        if "random_state" in (params := linear.get_params()) and params["random_state"] is None:
            linear.set_params(random_state=seed)
        further = _weights_for(linear, weight, is_weighted)
        if has_fit_parameter(linear, "coef_prior"):
            prior = np.zeros(features.shape[1])
            prior[: self._leaves.n_columns] = self._leaves.logits()
            further |= {"coef_prior": prior, "classes": [0, 1]}
        self.linear_ = linear.fit(features, target, **further)

    # ---- features ------------------------------------------------------------------------

    def _fit_encoder(self, X, weight) -> Encoded:
        self._is_sparse = hasattr(X, "tocsr")
        self.encoder_: Any = None
        if self._is_sparse:
            refuse_ids_in_sparse(self.categorical_features, self.share_vocabulary, X.shape[1])
            return self._encode(X)
        self.encoder_ = LogEncoder(
            categorical_features=self.categorical_features,
            share_vocabulary=self.share_vocabulary,
            min_frequency=self.min_frequency,
            max_len=self.max_len,
            dtype="float64",
        )
        return self.encoder_.fit_transform(X, sample_weight=weight)

    def _encode(self, X) -> Encoded:
        if not self._is_sparse:
            return self.encoder_.transform(X.toarray() if hasattr(X, "tocsr") else X)
        X = X.astype(np.float64) if hasattr(X, "tocsr") else np.asarray(X, dtype=np.float64)
        n = X.shape[0]
        return Encoded(np.empty((n, 0)), np.empty((n, 0), np.int32), sparse=sparse.csr_matrix(X))

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
        check_is_fitted(self)
        encoded = self._encode(check_X(self, X, reset=False))
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
        check_is_fitted(self)
        encoded = self._encode(check_X(self, X, reset=False))
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
            tree_columns(self.encoder_, self.n_features_in_),
            self._leaves.gains(),
            minlength=self.n_features_in_,
        )
        return gains / max(gains.sum(), np.finfo(float).tiny)

    def __sklearn_is_fitted__(self):
        return "linear_" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags

    # ---- files ---------------------------------------------------------------------------

    def __getstate__(self):
        state = dict(super().__getstate__())
        if "linear_" not in state:
            return state
        encoder, linear = state.pop("encoder_"), state["linear_"]
        state["_saved"] = {
            "leaves": state.pop("_leaves").to_state(),
            "encoder": None if encoder is None else encoder.to_state(),
            "linear": None,
        }
        if type(linear) is OnlineLogisticRegression:
            del state["linear_"]
            state["_saved"]["linear"] = linear.__getstate__()
        return state

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_saved", None)
        super().__setstate__(state)
        if saved is None:
            return
        self._leaves = Leaves.from_state(saved["leaves"])
        self.encoder_ = (
            None if saved["encoder"] is None else LogEncoder.from_state(saved["encoder"])
        )
        if saved["linear"] is not None:
            self.linear_ = OnlineLogisticRegression()
            self.linear_.__setstate__(saved["linear"])


def _default_trees():
    return lgb.LGBMClassifier(n_estimators=200, learning_rate=0.1, num_leaves=31)


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
