"""Training on a share of the negatives.

He et al., "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD 2014, section 6.3.
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.utils import (
    _safe_indexing,
    check_random_state,
    column_or_1d,
    get_tags,
)
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from .._hyperparameters import KW_ONLY, check_parameters, hyperparameters, within
from .._target import TwoClassesMixin, check_two_classes
from .._validation import check_length, check_weight, take_rows
from .._warnings import warn

# Rows that an estimator stops early on; never cut to the training rows that were drawn.
_VALIDATION = ("X_val", "y_val", "sample_weight_val")
# The like under the names of LightGBM, XGBoost and CatBoost, which are not downsampled.
_EVALUATION = ("eval_set", "eval_X", "eval_y")
# Weights of 1 / rate that went through float32 are still recognised.
_WEIGHT_RTOL = 1e-4
# Weights within this factor of 1 / rate on average are suspicious.
_WEIGHT_FACTOR = 1.5


#: The share of the negatives that is kept.
Kept = Annotated[float, within(0, 1, "right")]


@hyperparameters
class DownsampledClassifier(MetaEstimatorMixin, TwoClassesMixin, BaseEstimator):
    r"""Click probability from any classifier, trained on all clicks and few of the other rows.

    Where clicks are rare, most non-clicks teach little and cost as much as the others. A classifier
    trained on a share :math:`w` of them gets odds :math:`1 / w` times too high, which is undone
    exactly:

    .. math::

        q = \frac{p}{p + (1 - p) / w}

    so the probabilities are those of the whole log, at a fraction of the cost.

    Parameters
    ----------
    estimator : classifier
        Trained on the sampled rows; needs `predict_proba`.
    negative_rate : float in (0, 1]
        Keep this share of the negatives, drawn at random, in each fit. With 1 % of clicks, 0.1
        trains on a ninth of the rows and loses little; below one negative per click it loses more.
    data_negative_rate : float in (0, 1]
        Share of the negatives that the data holds already, where they were downsampled before and
        come without weights. Where they come with weights of 1 / rate, leave it at 1.
    random_state : int, RandomState instance or None
        Seed of the draw. An int makes fits reproducible.

    Attributes
    ----------
    estimator_ : classifier
        The fitted estimator; its probabilities are those of the sampled rows.
    negative_rate_ : float
        w: the share, by weight, of the negatives that was kept, times `data_negative_rate`. It
        differs from the product of the parameters by the rounding to whole rows.
    classes_ : ndarray of shape (2,)
        The two labels, sorted; ``classes_[1]`` is the positive one.
    n_features_in_ : int
        Number of columns in fit, where `estimator_` knows it.
    feature_names_in_ : ndarray of str
        Their names, where `estimator_` knows them.

    See Also
    --------
    sklearn.calibration.CalibratedClassifierCV : Learns a correction; this one is known.

    Notes
    -----
    Correct the rate or weigh it, never both. Weights of 1 / rate on downsampled negatives already
    give probabilities of the whole log; used as well as ``data_negative_rate=rate`` they correct
    twice. `fit` refuses weights that take one value per class in just this ratio, and warns where
    the classes' mean weights come near it. Other weights are passed on to the estimator; with them
    and ``negative_rate`` below 1 the probabilities are those of the weighted log. Metrics on
    downsampled rows need the weights in either case.

    With metadata routing off, further arguments of `fit` go to the estimator, cut to the sampled
    rows where they hold one entry per row. Validation rows given as ``X_val``, ``y_val`` and
    ``sample_weight_val`` are downsampled like the training rows, since the estimator compares its
    own, not yet corrected, probabilities with them. LightGBM's ``eval_set``, ``eval_X`` and
    ``eval_y`` are refused where ``negative_rate`` is below 1.

    References
    ----------
    He et al. (2014), "Practical Lessons from Predicting Clicks on Ads at Facebook", ADKDD,
    section 6.3.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sk_adrec import DownsampledClassifier
    >>> from sk_adrec.metrics import calibration_ratio
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20_000, 3))
    >>> y = rng.random(20_000) < 1 / (1 + np.exp(4 - X[:, 0]))
    >>> model = DownsampledClassifier(LogisticRegression(), negative_rate=0.1, random_state=0)
    >>> p = model.fit(X, y).predict_proba(X)[:, 1]
    >>> round(calibration_ratio(y, p), 1)
    1.0
    >>> round(calibration_ratio(y, model.estimator_.predict_proba(X)[:, 1]), 1)
    7.0
    """

    estimator: Any
    _: KW_ONLY
    negative_rate: Kept = 1.0
    data_negative_rate: Kept = 1.0
    random_state: Any = None

    def fit(self, X, y, sample_weight=None, **fit_params):
        """Draw the negatives and train the estimator on them and all positives.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix of shape (n_samples, n_features)
            Whatever the estimator takes.
        y : array-like of shape (n_samples,)
            Two labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, not negative; rows of weight 0 are left out.
        **fit_params : dict
            Passed to the estimator's fit: through metadata routing where that is on.

        Returns
        -------
        self : DownsampledClassifier

        Raises
        ------
        ValueError
            For a rate outside (0, 1], more or fewer than two labels, weights that undo
            `data_negative_rate` as well, or validation rows that would not be downsampled.
        TypeError
            If the estimator has no `predict_proba`, or takes no weights and gets some.
        """
        self._check_params()
        params = self._route(sample_weight, fit_params)
        self._refuse_evaluation(params)
        X, y, weight, params = self._check_rows(X, y, sample_weight, params)
        classes = np.unique(y)
        check_two_classes(classes, y)
        positive = y == classes[1]
        if sample_weight is not None:
            self._refuse_double_correction(positive, weight)
        for name, value in params.items():
            if name.endswith("__sample_weight") and np.shape(value) == y.shape:
                self._refuse_double_correction(positive, np.asarray(value, dtype=np.float64))
        random_state = check_random_state(self.random_state)
        rows = _draw(positive, self.negative_rate, random_state)
        params = self._sample_validation(params, classes[1], random_state)
        share = weight[rows][~positive[rows]].sum() / weight[~positive].sum()
        X, y, params = _take(rows, X, y, params)
        estimator = clone(self.estimator).fit(X, y, **params)

        self.estimator_ = estimator
        self.classes_ = classes
        self.negative_rate_ = float(share * self.data_negative_rate)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))
            elif hasattr(self, name):
                delattr(self, name)
        return self

    def _check_params(self):
        check_parameters(self)
        if not hasattr(self.estimator, "predict_proba"):
            raise TypeError(
                f"estimator must be a classifier with predict_proba, got {self.estimator!r}: wrap "
                "one that only decides in sklearn.calibration.CalibratedClassifierCV"
            )

    def _route(self, sample_weight, fit_params):
        """The arguments that the estimator's fit gets, still for all rows."""
        if get_config()["enable_metadata_routing"]:
            given = {} if sample_weight is None else {"sample_weight": sample_weight}
            return dict(process_routing(self, "fit", **given, **fit_params).estimator.fit)
        if sample_weight is None:
            return fit_params
        if "sample_weight" not in inspect.signature(self.estimator.fit).parameters:
            raise TypeError(
                f"{type(self.estimator).__name__}.fit takes no sample_weight: leave the weights out"
                ", or enable metadata routing where a step of a Pipeline takes them"
            )
        return {**fit_params, "sample_weight": sample_weight}

    def _check_rows(self, X, y, sample_weight, params):
        """Rows of positive weight; y 1-D, weights as floats."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = column_or_1d(y, warn=True)
        if len(y) == 0:
            raise ValueError(
                "Found array with 0 sample(s) while a minimum of 1 is required: y is empty"
            )
        check_classification_targets(y)
        weight = check_weight(sample_weight, X, y)
        if params.get("sample_weight") is not None:
            params = {**params, "sample_weight": weight}
        if weight.all():
            return X, y, weight, params
        rows = np.flatnonzero(weight)
        X, y, params = _take(rows, X, y, params)
        return X, y, weight[rows], params

    def _refuse_double_correction(self, positive, weight):
        if self.data_negative_rate == 1:
            return
        ones, others = weight[positive], weight[~positive]
        constant = np.ptp(ones) == 0 and np.ptp(others) == 0
        ratio = others.mean() / ones.mean()
        undone = np.log(ratio * self.data_negative_rate)
        if constant and np.isclose(ratio * self.data_negative_rate, 1, rtol=_WEIGHT_RTOL):
            raise ValueError(
                f"sample_weight gives every negative {ratio:g} times the weight of a positive, "
                f"which already undoes data_negative_rate={self.data_negative_rate:g}: the odds "
                "would be corrected twice. Leave out the weights, or set data_negative_rate=1"
            )
        # Near a rate of 1 also nearer to it than to equal weights, which undo nothing.
        near = min(np.log(_WEIGHT_FACTOR), -np.log(self.data_negative_rate) / 2)
        if abs(undone) < near:
            warn(
                f"sample_weight gives negatives {ratio:.3g} times the weight of positives on "
                f"average, about 1 / data_negative_rate = {1 / self.data_negative_rate:.3g}. If "
                "the weights undo the sampling of the data, the odds are corrected twice: leave "
                "out that factor, or set data_negative_rate=1",
            )

    def _refuse_evaluation(self, params):
        given = [
            name
            for name, value in params.items()
            if value is not None and _own_name(name) in _EVALUATION
        ]
        if given and self.negative_rate < 1:
            raise ValueError(
                f"{given[0]} would hold all negatives, whereas the estimator is trained on "
                f"{self.negative_rate:g} of them and would stop at the wrong place: pass X_val and "
                "y_val, which are downsampled alike, to an estimator that takes them "
                "(GBDTLRClassifier for LightGBM's trees). Or draw the negatives of both yourself, "
                "and set data_negative_rate instead of negative_rate"
            )

    def _sample_validation(self, params, pos_label, random_state):
        """The validation rows among `params`, downsampled like the training rows."""
        params = dict(params)
        # Those of a Pipeline's step are called step__X_val.
        for step in [name.removesuffix("X_val") for name in params if _own_name(name) == "X_val"]:
            names = [step + name for name in _VALIDATION if params.get(step + name) is not None]
            if self.negative_rate == 1 or not {step + "X_val", step + "y_val"} <= set(names):
                continue
            y_val = column_or_1d(params[step + "y_val"])
            for name in names:
                check_length(name, params[name], len(y_val))
            rows = _draw(y_val == pos_label, self.negative_rate, random_state)
            params |= {name: _safe_indexing(params[name], rows) for name in names}
        return params

    def predict_proba(self, X):
        """Corrected probabilities of both classes, in the order of ``classes_``.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix of shape (n_samples, n_features)
            Whatever the estimator takes.

        Returns
        -------
        ndarray of shape (n_samples, 2)
        """
        check_is_fitted(self)
        p = self.estimator_.predict_proba(X)
        negative, positive = p[:, 0] / self.negative_rate_, p[:, 1]
        return np.column_stack([negative, positive]) / (negative + positive)[:, None]

    def decision_function(self, X):
        """Log odds of ``classes_[1]``: those of the estimator plus log w.

        They are read off its probabilities, since not every `decision_function` returns log odds,
        and are finite where those are 0 or 1.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix of shape (n_samples, n_features)
            Whatever the estimator takes.

        Returns
        -------
        ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        p = self.estimator_.predict_proba(X)
        negative, positive = np.log(np.maximum(p, np.finfo(p.dtype).tiny)).T
        return positive - negative + np.log(self.negative_rate_)

    def get_metadata_routing(self):
        """Routing of `fit`'s arguments to the estimator.

        Returns
        -------
        MetadataRouter
        """
        return (
            MetadataRouter(owner=type(self).__name__)
            .add_self_request(self)
            .add(
                estimator=self.estimator,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator).input_tags
        for name in ("sparse", "allow_nan", "string", "categorical"):
            setattr(tags.input_tags, name, getattr(inner, name))
        return tags


def _own_name(name):
    """The name of a parameter of a Pipeline's step, as the step calls it."""
    return name.rpartition("__")[2]


def _draw(positive, rate, random_state):
    """Rows of all positives and a share of the negatives, at least one, in their order."""
    if rate == 1:
        return np.arange(len(positive))
    negatives = np.flatnonzero(~positive)
    n_kept = min(len(negatives), max(1, round(rate * len(negatives))))
    keep = positive.copy()
    keep[random_state.choice(negatives, n_kept, replace=False)] = True
    return np.flatnonzero(keep)


def _take(rows, X, y, params):
    """These rows of X, y and of whatever else has one entry per row; copies nothing for all."""
    n_samples = len(y)
    if len(rows) == n_samples:
        return X, y, params

    def take(name, value):
        has_rows = _own_name(name) not in _VALIDATION and (
            hasattr(value, "shape") or isinstance(value, list)
        )
        return _safe_indexing(value, rows) if has_rows and _n_rows(value) == n_samples else value

    X = X.tocsr() if hasattr(X, "tocsr") else X
    params = {name: take(name, value) for name, value in params.items()}
    return take_rows(X, rows), y[rows], params


def _n_rows(value):
    shape = getattr(value, "shape", None)
    return len(value) if shape is None else (shape or (0,))[0]
