"""The contenders of the comparisons: how each is built, tuned, fitted and asked, for all tables.

A contender has a ``space`` (parameter -> values, the first of each its default), and

- ``tune(setting, train, valid)``: the setting's validation score, and how long to train (trees,
  epochs) where that is chosen on the way;
- ``fit(setting, length, rows, seed)`` and ``predict(model, X)``.

Rows are ``protocol.Rows``; ids are category columns, numbers float columns.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import lightgbm
import numpy as np
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from skorch.callbacks import EarlyStopping

from sk_adrec import DCNv2Classifier, FMClassifier, GBDTLRClassifier
from sk_adrec.ranking import OnlineLogisticRegression

# A validation AUC that rises by less, within a model's patience, is no reason to train on; a log
# loss that falls by less than this share of it likewise.
MIN_GAIN = 1e-4


def score(metric, rows, probability):
    """What tuning maximises: the AUC, or minus the log loss."""
    if metric == "auc":
        return float(roc_auc_score(rows.y, probability, sample_weight=rows.weight))
    return -float(log_loss(rows.y, probability, sample_weight=rows.weight))


class Contender:
    """What all share.

    Parameters
    ----------
    space : dict, default=None
        Other settings to try than the class's.
    metric : {"auc", "log_loss"}, default="auc"
        What validation rows are for.
    """

    deterministic = False

    def __init__(self, space=None, metric="auc"):
        self.space = self.space if space is None else space
        self.metric = metric

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict_proba(X)[:, 1]


def category_codes(X):
    """Integer codes of categorical columns, shape (n, F), -1 = missing: one-hot's fast route."""
    return np.column_stack([X[name].cat.codes for name in X])


class LogisticOneHot(Contender):
    """Logistic regression on one-hot ids and standardised numbers."""

    name = "logistic regression"
    space = {
        "C": [1.0, 0.1, 0.3, 3.0],
        "min_frequency": [1, 5, 20],
    }
    deterministic = True

    def tune(self, setting, train, valid):
        """Nothing to choose on the way."""
        model = self.fit(setting, {}, train, 0)
        return score(self.metric, valid, self.predict(model, valid.X)), {}

    def fit(self, setting, length, rows, seed):
        """A fitted pipeline."""
        one_hot = make_pipeline(
            FunctionTransformer(category_codes),
            OneHotEncoder(
                handle_unknown="infrequent_if_exist",
                min_frequency=setting["min_frequency"],
                dtype=np.float32,
            ),
        )
        numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
        model = make_pipeline(
            make_column_transformer(
                (one_hot, make_column_selector(dtype_include="category")),
                (numbers, make_column_selector(dtype_include="number")),
                sparse_threshold=1.0,
            ),
            # lbfgs is far from the optimum after 100 steps: the columns differ too much in size.
            LogisticRegression(C=setting["C"], solver="newton-cg", tol=1e-5, max_iter=50),
        )
        return model.fit(rows.X, rows.y, logisticregression__sample_weight=rows.weight)


class LightGBM(Contender):
    """LightGBM with native categories."""

    name = "LightGBM"
    space = {
        "num_leaves": [31, 15, 63],
        "learning_rate": [0.1, 0.05],
        # A leaf of positives alone has almost no Hessian at this base rate, and its Newton step
        # explodes: these two are remedies.
        "min_sum_hessian_in_leaf": [1e-3, 1, 10],
        "lambda_l2": [0, 10],
        # The statistics of a category are sums of small Hessians too: less than the defaults
        # helps, more costs .01.
        "cat_smooth": [10, 2, 0.5],
        "cat_l2": [10, 2, 0.5],
        "max_cat_to_onehot": [4, 16],
    }
    max_trees, patience = 3000, 50

    def tune(self, setting, train, valid):
        """The number of trees at the best validation score."""
        data = self._data(train)
        name = {"auc": "auc", "log_loss": "binary_logloss"}[self.metric]
        booster = lightgbm.train(
            self._params(setting, 0) | {"metric": name},
            data,
            self.max_trees,
            valid_sets=[data.create_valid(valid.X, valid.y, weight=valid.weight)],
            callbacks=[
                lightgbm.early_stopping(self.patience, verbose=False, min_delta=MIN_GAIN),
                lightgbm.log_evaluation(100),
            ],
        )
        best = booster.best_score["valid_0"][name]
        return best if name == "auc" else -best, {"n_trees": booster.best_iteration}

    def fit(self, setting, length, rows, seed):
        """A fitted booster."""
        return lightgbm.train(self._params(setting, seed), self._data(rows), length["n_trees"])

    def predict(self, model, X):
        """P(y = 1)."""
        return model.predict(X)

    def _data(self, rows):
        return lightgbm.Dataset(rows.X, rows.y, weight=rows.weight)

    def _params(self, setting, seed):
        threads = int(os.environ["OMP_NUM_THREADS"])
        fixed = {"objective": "binary", "verbose": -1, "num_threads": threads, "seed": seed}
        return setting | fixed


class Network(Contender):
    """An estimator of this library with a network, from the raw frame.

    Parameters
    ----------
    name : str
    estimator : class
        Of this library's rankers.
    space : dict
    fixed : dict, default=None
        Parameters that are no settings.
    metric : {"auc", "log_loss"}, default="auc"
    """

    max_epochs, patience = 15, 2

    def __init__(self, name, estimator, space, fixed=None, metric="auc"):
        super().__init__(space, metric)
        self.name, self.estimator, self.fixed = name, estimator, fixed or {}

    def tune(self, setting, train, valid):
        """The number of epochs at the best validation score."""
        auc = self.metric == "auc"
        stop = EarlyStopping(
            monitor="valid_auc" if auc else "valid_loss",
            lower_is_better=not auc,
            patience=self.patience,
            threshold=MIN_GAIN,
            threshold_mode="abs" if auc else "rel",
        )
        model = self.estimator(
            **setting,
            **self.fixed,
            max_epochs=self.max_epochs,
            early_stopping=False,
            callbacks=[stop],
            random_state=0,
        ).fit(
            train.X,
            train.y,
            sample_weight=train.weight,
            X_val=valid.X,
            y_val=valid.y,
            sample_weight_val=valid.weight,
        )
        history = model.net_.history
        scores = np.array(history[:, "valid_auc"] if auc else history[:, "valid_loss"])
        scores = scores if auc else -scores
        return float(scores.max()), {"n_epochs": int(scores.argmax()) + 1}

    def fit(self, setting, length, rows, seed):
        """A fitted estimator."""
        model = self.estimator(
            **setting,
            **self.fixed,
            max_epochs=length["n_epochs"],
            early_stopping=False,
            random_state=seed,
        )
        return model.fit(rows.X, rows.y, sample_weight=rows.weight)


class FM(Network):
    """FMClassifier with the settings tried on the impressions."""

    space = {
        "lr": [3e-3, 2e-3, 5e-3],
        "embedding_dim": [16, 32, 48],
        # Gradients are small where one row in 600 converts: a penalty of 1e-6 is strong.
        "l2": [0.0, 1e-8, 1e-7],
        "id_dropout": [0.1, 0.0, 0.5],
        "min_frequency": [1, 250, 1000],
        "batch_size": [4096, 8192],
    }
    name = "FM"

    def __init__(self, space=None, metric="auc"):
        super().__init__(self.name, FMClassifier, space, metric=metric)


class DCNv2(Network):
    """DCNv2Classifier."""

    space = {
        "lr": [1e-3, 3e-4, 3e-3],
        "embedding_dim": [16, 8],
        "l2": [0.0, 1e-6, 1e-5],
        "n_cross_layers": [3, 1, 2],
        "rank": [None, 16],
        "structure": ["parallel", "stacked"],
        "hidden_dims": [(256, 128), (64,)],
        "dropout": [0.0, 0.2],
        "batch_size": [1024, 4096],
    }
    name = "DCN V2"

    def __init__(self, space=None, metric="auc"):
        super().__init__(self.name, DCNv2Classifier, space, metric=metric)


class GBDTLR(Contender):
    """GBDTLRClassifier, from the raw frame.

    Stopping on later weeks fits the trees to those, not the linear layer: the number of trees is
    a setting like the others.
    """

    name = "GBDT+LR"
    # The classifier scales weights to mean 1, and with them the Hessians that LightGBM's
    # penalties are compared with: where they are small, so must these be.
    space = {
        "n_estimators": [200, 100, 400],
        "num_leaves": [31, 15, 63],
        "learning_rate": [0.1, 0.05],
        "min_child_weight": [1e-3, 0.2],
        "cat_smooth": [10, 0.2, 0.04],
        "cat_l2": [10, 0.2, 0.04],
        "max_cat_to_onehot": [4, 16],
        "C": [0.003, 0.001, 0.03],
    }

    def tune(self, setting, train, valid):
        """Nothing to choose on the way."""
        model = self.fit(setting, {}, train, 0)
        return score(self.metric, valid, self.predict(model, valid.X)), {}

    def fit(self, setting, length, rows, seed):
        """A fitted GBDTLRClassifier."""
        trees = {name: value for name, value in setting.items() if name != "C"}
        threads = int(os.environ["OMP_NUM_THREADS"])
        model = GBDTLRClassifier(
            lightgbm.LGBMClassifier(n_jobs=threads, verbose=-1, **trees),
            OnlineLogisticRegression(C=setting["C"]),
            early_stopping=False,
            random_state=seed,
        )
        return model.fit(rows.X, rows.y, rows.weight)

    def predict_by_trees(self, model, X):
        """P(y = 1) of the fitted trees alone."""
        return model.booster_.predict(model._tree_input(model._encode(X)))
