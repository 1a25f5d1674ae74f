"""Logistic regression on sparse rows: fitted at once, then kept current row by row.

The online rule is the per-coordinate learning rate of He et al., "Practical Lessons from
Predicting Clicks on Ads at Facebook", ADKDD 2014, section 3.1.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize, sparse
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from .._hyperparameters import (
    KW_ONLY,
    Count,
    NotNegative,
    Positive,
    check_parameters,
    hyperparameters,
)
from .._state import stored
from .._target import TwoClassesMixin, check_target, check_two_classes
from .._validation import check_weight, drop_zero_weight
from .._warnings import warn

# beta of the paper's rate alpha / (beta + sqrt(sum of squared gradients)): their tuned value.
_BETA = 1.0
# Rows of one online step: few enough that later rows see what the earlier ones taught.
_STEP_ROWS = 64
# No more progress than this, relative to the loss, is rounding.
_FTOL = 1e-10
# Iterations whose common gain is looked at: single steps of L-BFGS may gain little.
_PATIENCE = 5
# Of scipy's L-BFGS-B.
_STATUS_MAX_ITER = 1


@stored
@hyperparameters
class OnlineLogisticRegression(TwoClassesMixin, BaseEstimator):
    """Click probability as the sigmoid of a weighted sum of sparse features.

    `fit` minimises the log loss and an L2 penalty over all rows; `partial_fit` moves only the
    coefficients of the features that a row has, each at its own, falling rate. It is the linear
    layer of :class:`~sk_adrec.GBDTLRClassifier`.

    Parameters
    ----------
    C : float, default=1.0
        Inverse strength of the penalty: sum of weighted log losses + ``|coef - prior|^2 / (2 C)``.
        The intercept is free. Lower it for many rare features.
    lr : float, default=0.05
        Online step size alpha: coefficient j moves by ``alpha / (1 + sqrt(G_j))`` times its
        gradient, G_j being the sum of its squared gradients so far, those of `fit` included.
        Larger follows drift faster, and noise too.
    tol : float, default=1e-4
        `fit` ends when five iterations have lessened the penalised loss by less than this share
        of it. It is relative, so that click rates of 0.1 % and of 30 % are fitted equally well.
        Raise it to stop earlier, lower it for exact coefficients.
    max_iter : int, default=200
        Iterations of L-BFGS at most. Raise it when a ConvergenceWarning says so.

    Attributes
    ----------
    classes_ : ndarray of shape (2,)
        The two labels, sorted.
    coef_ : ndarray of shape (1, n_features)
        Log odds per unit of each feature.
    intercept_ : ndarray of shape (1,)
        Log odds of a row of zeros.
    squared_gradients_ : ndarray of shape (n_features + 1,)
        G of each coefficient, and of the intercept.
    n_iter_ : int
        Iterations of the last `fit`.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.

    References
    ----------
    He et al. (2014), "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD,
    section 3.1: the online rule.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_matrix
    >>> from sk_adrec.ranking import OnlineLogisticRegression
    >>> X, y = csr_matrix([[1.0, 0.0], [0.0, 1.0]] * 20), np.tile([0, 1], 20)
    >>> model = OnlineLogisticRegression(lr=0.5).fit(X, y)
    >>> model.predict(X[:2])
    array([0, 1])
    >>> for _ in range(200):
    ...     model = model.partial_fit(X[:2], [1, 0])
    >>> model.predict(X[:2])
    array([1, 0])
    """

    C: Positive = 1.0
    _: KW_ONLY
    lr: Positive = 0.05
    tol: NotNegative = 1e-4
    max_iter: Count = 200

    def fit(self, X, y, sample_weight=None, *, coef_prior=None, classes=None):
        """Minimise the penalised log loss.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Finite numbers, best of like scale: the penalty treats all columns alike.
        y : array-like of shape (n_samples,)
            Two labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative; rows of weight 0 are left out.
        coef_prior : ndarray of shape (n_features,), default=None
            Where the penalty pulls the coefficients, and where the search starts; None is 0.
        classes : array-like of shape (2,), default=None
            Both labels, if y may have one only: then the intercept alone is learned.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, X is not finite, or y does not have two classes.
        """
        check_parameters(self)
        X, y, weight = self._check_rows(X, y, sample_weight, reset=True)
        self.classes_ = np.unique(y if classes is None else classes)
        check_two_classes(self.classes_, y)
        target = (y == self.classes_[1]).astype(np.float64)
        one_label = target.min() == target.max()
        prior = np.zeros(X.shape[1])
        intercept = 0.0
        if coef_prior is not None and not one_label:
            prior = np.asarray(coef_prior, dtype=np.float64)
        else:
            # Half a row of each label more keeps the log odds finite.
            intercept = np.log((weight @ target + 0.5) / (weight @ (1 - target) + 0.5))
        self.coef_, self.intercept_, self.n_iter_ = prior[None], np.array([intercept]), 0
        if not one_label:
            start = self._logits(X)
            objective = _Objective(X, target, weight, start, self.C)
            delta, shift, self.n_iter_ = objective.minimise(self.tol, self.max_iter)
            self.coef_, self.intercept_ = (prior + delta)[None], np.array([intercept + shift])
        residual = weight * (expit(self._logits(X)) - target)
        self.squared_gradients_ = np.append(_squared(X).T @ residual**2, residual @ residual)
        return self

    def partial_fit(self, X, y, sample_weight=None, *, classes=None):
        """Learn from new rows, in their order, in steps of at most 64 rows.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows as in `fit`, oldest first.
        y : array-like of shape (n_samples,)
            Labels of ``classes_``.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative: its gradient is multiplied by it.
        classes : array-like of shape (2,), default=None
            Both labels, needed in the first call if its y has one only.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`, or if y has a label that is not in ``classes_``.
        """
        check_parameters(self)
        first = not hasattr(self, "coef_")
        X, y, weight = self._check_rows(X, y, sample_weight, reset=first)
        labels = self.classes_ if not first else np.unique(y if classes is None else classes)
        check_two_classes(labels, y)
        if first:
            self.classes_ = labels
            self.coef_, self.intercept_ = np.zeros((1, X.shape[1])), np.zeros(1)
            self.squared_gradients_ = np.zeros(X.shape[1] + 1)
            self.n_iter_ = 0
        target = (y == labels[1]).astype(np.float64)
        # Copies, so that a reader in another thread never sees half a step.
        coef, intercept = self.coef_.copy(), self.intercept_.copy()
        squares = self.squared_gradients_.copy()
        for begin in range(0, X.shape[0], _STEP_ROWS):
            rows = slice(begin, begin + _STEP_ROWS)
            _online_step(X[rows], target[rows], weight[rows], coef[0], intercept, squares, self.lr)
        self.coef_, self.intercept_, self.squared_gradients_ = coef, intercept, squares
        return self

    def _check_rows(self, X, y, sample_weight, *, reset):
        X, y = validate_data(
            self, X, y, reset=reset, accept_sparse="csr", dtype=np.float64, y_numeric=False
        )
        y = check_target(y)
        return drop_zero_weight(_as_csr(X), y, check_weight(sample_weight, X, y))

    def _logits(self, X) -> np.ndarray:
        return X @ self.coef_[0] + self.intercept_[0]

    def decision_function(self, X):
        """Logits of ``classes_[1]``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples,)
            Log odds, any real number.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, accept_sparse="csr", dtype=np.float64)
        return self._logits(X)

    def predict_proba(self, X):
        """Probabilities of both classes, in the order of ``classes_``.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Rows as in `fit`.

        Returns
        -------
        ndarray of shape (n_samples, 2)
        """
        logits = self.decision_function(X)
        return np.column_stack([expit(-logits), expit(logits)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class _Objective:
    """The mean log loss of X @ delta + shift + start, and the penalty of delta.

    The search runs in coordinates scaled by the root of each one's curvature at the start: a leaf
    of ten rows and one of ten thousand then take steps of like size. Columns are centred, without
    being written anew: the intercept then has no part in theirs.
    """

    def __init__(self, X, target, weight, start, C):
        self._X, self._XT = X, X.T
        self._target, self._weight, self._start = target, weight / weight.sum(), start
        self._penalty = np.append(np.full(X.shape[1], 1.0 / (C * weight.sum())), 0.0)
        p = expit(start)
        curvature = self._weight * p * (1 - p)
        total = curvature.sum()
        self._mean = self._XT @ curvature / max(total, np.finfo(float).tiny)
        bend = np.append(_squared(X).T @ curvature - total * self._mean**2, total)
        # A constant column bends nothing but what rounding leaves of it.
        smallest = np.finfo(float).eps * max(bend.max(), np.finfo(float).tiny)
        self._scale = 1.0 / np.sqrt(np.maximum(bend + self._penalty, smallest))

    def minimise(self, tol: float, max_iter: int) -> tuple[np.ndarray, float, int]:
        """delta, shift and the number of iterations."""
        losses: list[float] = []

        def stop_at_tolerance(intermediate_result):
            losses.append(intermediate_result.fun)
            if len(losses) > _PATIENCE:
                gain = losses[-1 - _PATIENCE] - losses[-1]
                if gain <= tol * losses[-1]:
                    raise StopIteration

        found = optimize.minimize(
            self,
            np.zeros(len(self._scale)),
            jac=True,
            method="L-BFGS-B",
            callback=stop_at_tolerance,
            options={"maxiter": max_iter, "maxfun": 10 * max_iter, "gtol": 0.0, "ftol": _FTOL},
        )
        if found.status == _STATUS_MAX_ITER:
            warn(
                f"The linear layer has not converged after {max_iter} iterations: raise max_iter "
                "or tol, scale the columns, or lower C.",
                ConvergenceWarning,
            )
        step = found.x * self._scale
        return step[:-1], float(step[-1] - self._mean @ step[:-1]), int(found.nit)

    def __call__(self, u):
        step = u * self._scale
        pull = self._penalty * step
        z = self._start + self._X @ step[:-1] + (step[-1] - self._mean @ step[:-1])
        losses = np.logaddexp(0.0, z) - self._target * z
        residual = self._weight * (expit(z) - self._target)
        total = residual.sum()
        gradient = np.append(self._XT @ residual - total * self._mean, total) + pull
        return self._weight @ losses + 0.5 * (pull @ step), gradient * self._scale


def _online_step(X, target, weight, coef, intercept, squares, lr) -> None:
    """One step on a few rows of a CSR matrix, in place; only their features' coefficients move."""
    features, index = np.unique(X.indices, return_inverse=True)
    row = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    z = np.bincount(row, X.data * coef[X.indices], minlength=X.shape[0]) + intercept[0]
    residual = weight * (expit(z) - target)
    gradient = np.bincount(index, X.data * residual[row], minlength=len(features))
    squares[features] += gradient**2
    coef[features] -= lr / (_BETA + np.sqrt(squares[features])) * gradient
    total = residual.sum()
    squares[-1] += total**2
    intercept[0] -= lr / (_BETA + np.sqrt(squares[-1])) * total


def _as_csr(X) -> sparse.csr_matrix:
    return X if sparse.issparse(X) else sparse.csr_matrix(X)


def _squared(X) -> sparse.csr_matrix:
    return sparse.csr_matrix((X.data**2, X.indices, X.indptr), shape=X.shape)
