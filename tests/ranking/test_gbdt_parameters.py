"""Parameters of LightGBM mean in GBDTLRClassifier what they mean to LightGBM's user."""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from lightgbm.basic import _ConfigAliases
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from sk_adrec import GBDTLRClassifier
from sk_adrec.ranking import OnlineLogisticRegression
from sk_adrec.ranking._gbdt.parameters import ALIASES

TREES = {"n_estimators": 15, "num_leaves": 8, "random_state": 0, "n_jobs": 1}
COLUMNS = ["ad", "bid", "tags", "age", "size"]


def rows(n=2000, seed=0):
    """An id, a number, a list, two numbers; clicks rise and fall with each of them."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "ad": rng.choice(list("abcd"), n),
            "bid": rng.uniform(0, 1, n),
            "tags": [list(rng.choice(list("xyz"), rng.integers(0, 4))) for _ in range(n)],
            "age": rng.uniform(0, 1, n),
            "size": rng.uniform(0, 1, n),
        }
    )
    z = 2 * np.sin(6 * X["bid"]) + 1.5 * np.cos(6 * X["age"]) + np.sin(6 * X["size"])
    z += np.array([len(tags) % 2 + 1.5 * (tags[-1:] == ["x"]) for tags in X["tags"]])
    z += (X["ad"] == "a") * (X["size"] > 0.5)
    return X, (rng.random(n) < expit(z - z.mean())).to_numpy().astype(int)


X, Y = rows()


def fit(X=X, y=Y, **params):
    own = {name: params.pop(name) for name in list(params) if name in OWN}
    model = GBDTLRClassifier(LGBMClassifier(**TREES | params), **{**DEFAULTS, **own})
    return model.fit(X, y)


OWN = {"early_stopping", "linear", "passthrough", "tree_fraction", "n_iter_no_change", "n_buckets"}
DEFAULTS = {"random_state": 0, "early_stopping": False}


def trees(model, X):
    return model.booster_.predict(model._tree_input(model._encode(X)), raw_score=True)


def steps(predict, column, sign=1):
    """Whether a prediction never falls (rises) with a column, the others held."""
    grid = X.iloc[[0] * 200].reset_index(drop=True)
    grid[column] = np.linspace(0, 1, 200)
    return bool((sign * np.diff(predict(grid)) >= -1e-9).all())


def splits(model):
    """Paths from the root to a leaf: the columns of X that they split on."""
    columns = model._tree_input(model._encode(X[:1])).shape[1]
    source = [*range(len(COLUMNS)), *[COLUMNS.index("tags")] * (columns - len(COLUMNS))]
    paths = []

    def walk(node, path):
        if "split_feature" not in node:
            paths.append(path)
            return
        for child in ("left_child", "right_child"):
            walk(node[child], path | {COLUMNS[source[node["split_feature"]]]})

    for tree in model.booster_.dump_model()["tree_info"]:
        walk(tree["tree_structure"], frozenset())
    return set(paths)


def thresholds(model, column):
    nodes = model.booster_.trees_to_dataframe()
    return nodes[nodes["split_feature"] == f"Column_{COLUMNS.index(column)}"]["threshold"].nunique()


def test_all_names_of_a_parameter_are_known():
    for name, others in ALIASES.items():
        assert {name, *others} >= set(_ConfigAliases.get(name)), name
        assert list(others) == sorted(others, key=lambda one: (len(one), one)), name


# ---- columns -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["monotone_constraints", *ALIASES["monotone_constraints"]])
@pytest.mark.parametrize(("column", "other"), [("bid", "age"), ("age", "bid"), ("size", "bid")])
def test_monotone_constraints_bind_the_column_at_their_position(name, column, other):
    constraints = [int(one == column) for one in COLUMNS]
    with pytest.warns(UserWarning, match="monotone_constraints of gbdt bind the trees"):
        model = fit(**{name: constraints})
    assert steps(lambda X: trees(model, X), column)
    assert not steps(lambda X: trees(model, X), other)
    assert not steps(lambda X: trees(model, X), other, -1)


@pytest.mark.filterwarnings("ignore:monotone_constraints of gbdt bind the trees")
@pytest.mark.parametrize(
    "spelled",
    ["0,-1,0,0,0", (0, -1, 0, 0, 0), np.array([0, -1, 0, 0, 0]), pd.Series([0, -1, 0, 0, 0])],
    ids=type,
)
def test_spellings_of_one_entry_each(spelled):
    model, listed = fit(mc=spelled), fit(monotone_constraints=[0, -1, 0, 0, 0])
    assert steps(lambda X: trees(model, X), "bid", -1)
    np.testing.assert_array_equal(trees(model, X), trees(listed, X))


@pytest.mark.filterwarnings("ignore:monotone_constraints of gbdt bind the trees")
def test_a_monotone_constraint_on_a_list_is_on_its_length():
    model = fit(monotone_constraints=[0, 0, 1, 0, 0])
    longer = X.iloc[[0] * 3].assign(tags=[["y"], ["z", "y"], ["x", "z", "y"]])
    assert (np.diff(trees(model, longer)) >= 0).all()
    newest = X.iloc[[0] * 2].assign(tags=[["y"], ["x"]])
    assert np.ptp(trees(model, newest)) > 0


def test_the_remedy_keeps_probabilities_monotone():
    linear = OnlineLogisticRegression(C=1e-12)
    model = fit(monotone_constraints=[0, 1, 0, 0, 0], passthrough=False, linear=linear)
    assert steps(lambda X: model.predict_proba(X)[:, 1], "bid")
    assert not steps(lambda X: model.predict_proba(X)[:, 1], "age")


@pytest.mark.parametrize("way", ["numpy", "sparse"])
@pytest.mark.filterwarnings("ignore:monotone_constraints of gbdt bind the trees")
def test_positions_of_arrays(way):
    numbers = X[["bid", "age", "size"]].to_numpy()
    numbers = sparse.csr_matrix(numbers) if way == "sparse" else numbers
    model = fit(numbers, Y, monotone_constraints=[0, 0, -1], feature_contri=[0, 1, 1])
    assert model.feature_importances_[0] == 0 < model.feature_importances_[2]
    grid = np.full((50, 3), 0.5)
    grid[:, 2] = np.linspace(0, 1, 50)
    grid = sparse.csr_matrix(grid) if way == "sparse" else grid
    assert (np.diff(trees(model, grid)) <= 1e-9).all()


def test_lightgbm_agrees_on_numbers():
    numbers = X[["bid", "age", "size"]]
    given = {"max_bin_by_feature": [3, 200, 9], "interaction_constraints": [[0, 1], [1, 2]]}
    # Centred, since LightGBM keeps a bin for zeros.
    numbers = (numbers - numbers.mean()) / numbers.std(ddof=0)
    plain = LGBMClassifier(**TREES, **given, verbose=-1).fit(numbers, Y)
    model = fit(numbers, Y, **given)
    np.testing.assert_allclose(trees(model, numbers), plain.booster_.predict(numbers, raw_score=1))


@pytest.mark.parametrize("name", ["feature_contri", *ALIASES["feature_contri"]])
def test_contributions_go_by_position(name):
    for column in ("bid", "tags", "age"):
        model = fit(**{name: [float(one != column) for one in COLUMNS]})
        share = dict(zip(COLUMNS, model.feature_importances_))
        assert share.pop(column) == 0
        assert sum(one > 0 for one in share.values()) >= 3


@pytest.mark.parametrize("name", ["cegb_penalty_feature_coupled", "cegb_penalty_feature_lazy"])
@pytest.mark.parametrize("column", ["bid", "tags"])
def test_penalties_go_by_position(name, column):
    model = fit(**{name: [1e9 * (one == column) for one in COLUMNS]})
    assert model.feature_importances_[COLUMNS.index(column)] == 0


def test_bins_go_by_position():
    model = fit(max_bin_by_feature=[255, 3, 255, 255, 4])
    assert thresholds(model, "bid") <= 2
    assert thresholds(model, "size") <= 3
    assert thresholds(model, "age") > 10


@pytest.mark.parametrize(
    "groups",
    [
        [[1, 3], [2, 4]],
        [["bid", "age"], ["tags", "size"]],
        [{"bid", 3}, (np.int64(2), "size")],
        "[1,3],[2,4]",
        "[bid, age], ['tags', 'size']",
        [np.array(["bid", "age"]), pd.Index(["tags", "size"])],
    ],
    ids=["positions", "names", "mixed", "text", "names as text", "arrays"],
)
def test_only_columns_of_a_group_interact(groups):
    paths = splits(fit(interaction_constraints=groups))
    assert all(path <= {"bid", "age"} or path <= {"tags", "size"} for path in paths)
    assert {"bid", "age"} in paths
    assert {"tags", "size"} in paths


def test_the_booster_has_the_columns_of_X_in_their_order():
    model = fit()
    gains = model.booster_.feature_importance("gain")
    assert len(gains) == len(COLUMNS) + 1
    share = gains / gains.sum()
    share[COLUMNS.index("tags")] += share[-1]
    np.testing.assert_allclose(share[:-1], model.feature_importances_)
    seen = model._tree_input(model._encode(X[:50]))
    np.testing.assert_array_equal(seen[:, 2], X["tags"][:50].map(len))
    for position, column in ((1, "bid"), (3, "age"), (4, "size")):
        assert np.corrcoef(seen[:, position], X[column][:50])[0, 1] > 0.999
    assert set(np.isnan(seen[:, -1])) == {True, False}
    np.testing.assert_array_equal(np.isnan(seen[:, -1]), X["tags"][:50].map(len) == 0)


def test_missing_values_are_missing_in_their_column():
    holes = X.assign(age=X["age"].mask(np.arange(len(X)) % 3 == 0))
    seen = (model := fit(holes))._tree_input(model._encode(holes))
    np.testing.assert_array_equal(np.isnan(seen[:, 3]), holes["age"].isna())
    assert not np.isnan(seen[:, [0, 1, 4]]).any()


BAD_COLUMNS = [
    (
        {"monotone_constraints": [1, 0, 0, 0, 0]},
        ValueError,
        "is 1 for column 'ad', which holds",
    ),
    ({"mc": [0, 1]}, ValueError, "mc of gbdt must have one entry for each of the 5 columns of X"),
    ({"mc": [0] * 6}, ValueError, "['ad', 'bid', 'tags', 'age', 'size'], got 6 entries"),
    ({"mc": [0, 2, 0, 0, 0]}, ValueError, "must be -1, 0 or 1, got 2 for column 'bid'"),
    ({"mc": {"bid": 1}}, TypeError, "must be a list with one entry for each column of X"),
    ({"max_bin_by_feature": [9, 9, 9, 1, 9]}, ValueError, "of at least 2, got 1 for column 'age'"),
    ({"max_bin_by_feature": [9, 9]}, ValueError, "got 2 entries"),
    ({"feature_contri": [1, 1, 1, -1, 1]}, ValueError, "of at least 0, got -1 for column 'age'"),
    ({"fc": "1,1,x,1,1"}, ValueError, "got 'x' for column 'tags'"),
    ({"cegb_penalty_feature_lazy": [1, np.nan, 1, 1, 1]}, ValueError, "got nan for column 'bid'"),
    ({"cegb_penalty_feature_coupled": 3}, TypeError, "must be a list with one entry"),
    ({"interaction_constraints": [[0, 5]]}, ValueError, "the 5 columns of X, 0 to 4, or their"),
    ({"interaction_constraints": [[-1]]}, ValueError, "or their names, got -1"),
    ({"interaction_constraints": [["bids"]]}, ValueError, "did you mean 'bid'?"),
    ({"interaction_constraints": [0, 1]}, TypeError, "a list of groups, each a list of positions"),
    ({"interaction_constraints": ["bid"]}, TypeError, "got ['bid']"),
    ({"interaction_constraints": "0,1"}, TypeError, "got '0,1'"),
    ({"interaction_constraints": 3}, TypeError, "a list of groups"),
]


@pytest.mark.parametrize(("params", "error", "message"), BAD_COLUMNS)
def test_what_does_not_fit_the_columns_is_refused(params, error, message):
    model = GBDTLRClassifier(LGBMClassifier(**TREES, **params))
    with pytest.raises(error, match=re.escape(message)):
        model.fit(X, Y)
    assert not [name for name in vars(model) if name.endswith("_")]


def test_nothing_aborts_the_process():
    code = """
import numpy as np, pandas as pd
from lightgbm import LGBMClassifier
from sk_adrec import GBDTLRClassifier
rng = np.random.default_rng(0)
X = pd.DataFrame({"ad": rng.choice(list("abc"), 500), "bid": rng.uniform(0, 1, 500)})
X["user"] = rng.choice(list("xyz"), 500)
y = rng.integers(0, 2, 500)
for constraints in ([0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1]):
    try:
        GBDTLRClassifier(LGBMClassifier(monotone_constraints=constraints)).fit(X, y)
        print("fitted")
    except ValueError:
        print("refused")
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["fitted", *["refused"] * 4]


# ---- what cannot work --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("categorical_feature", [0], "categorical_features of GBDTLRClassifier"),
        ("cat_feature", "name:ad", "categorical_features of GBDTLRClassifier"),
        ("ignore_column", 0, "leave the columns out of X"),
        ("blacklist", [1], "leave the columns out of X"),
        ("weight", 1, "give sample_weight to fit"),
        ("label_column", 0, "give y to fit"),
        ("group_id", 0, "groups are for ranking"),
        ("forcedsplits_filename", "splits.json", "FeatureEncoder(numeric='bins')"),
        ("fs", "splits.json", "FeatureEncoder(numeric='bins')"),
        ("forcedbins_filename", "bins.json", "max_bin_by_feature works"),
        ("zero_as_missing", True, "write NaN where X is missing"),
        ("linear_tree", True, "not a model within the leaf"),
        ("early_stopping_round", 5, "early_stopping and n_iter_no_change of GBDTLRClassifier"),
        ("early_stopping_rounds", 5, "early_stopping and n_iter_no_change of GBDTLRClassifier"),
        ("early_stopping_min_delta", 0.1, "early_stopping and n_iter_no_change"),
    ],
)
def test_parameters_without_a_meaning_are_refused_by_name(name, value, remedy):
    with pytest.raises(ValueError, match=re.escape(f"gbdt must not set {name}={value!r}: ")) as e:
        fit(**{name: value})
    assert remedy in str(e.value)


def test_what_is_switched_off_is_not_refused():
    off = {"linear_tree": False, "early_stopping_round": 0, "zero_as_missing": False}
    off |= {"ignore_column": None, "monotone_constraints": [], "interaction_constraints": []}
    np.testing.assert_array_equal(trees(fit(**off), X), trees(fit(), X))


@pytest.mark.parametrize("name", ["objective", *ALIASES["objective"]])
@pytest.mark.parametrize(
    "objective", ["multiclass", "multiclassova", "regression", "lambdarank", "none", "foo"]
)
def test_other_objectives_are_refused(name, objective):
    with pytest.raises(ValueError, match=f"the objective of gbdt must be .*got '{objective}'"):
        fit(**{name: objective})


@pytest.mark.parametrize("objective", ["binary", "cross_entropy", "xentropy"])
def test_the_log_loss_by_another_name(objective):
    model, plain = fit(objective=objective), fit()
    np.testing.assert_allclose(trees(model, X), trees(plain, X), atol=1e-4)


def test_what_lightgbm_refuses_is_a_value_error():
    with pytest.raises(ValueError, match=r"LightGBM refuses the parameters of gbdt: .*boosting"):
        fit(boosting_type="foo")
    with pytest.raises(ValueError, match="LightGBM refuses the parameters of gbdt: Number of"):
        fit(num_class=3)


def test_a_forest_without_draws_is_refused():
    with pytest.raises(ValueError, match=r"boosting_type='rf' must draw rows or columns"):
        fit(boosting_type="rf")


@pytest.mark.parametrize(
    "draws", [{"subsample": 0.5, "subsample_freq": 1}, {"colsample_bytree": 0.5}], ids=str
)
def test_leaves_of_a_forest_add_up_to_its_logit(draws):
    model = fit(boosting_type="rf", n_estimators=30, early_stopping=True, **draws)
    assert model.n_iter_ == np.argmax(model.validation_scores_) + 1
    p = model.booster_.predict(model._tree_input(model._encode(X)))
    np.testing.assert_allclose(expit(model.transform(X) @ model._leaves.logits()), p)
    assert log_loss(Y, model.predict_proba(X)[:, 1]) < 0.6


@pytest.mark.parametrize("name", ["boosting_type", "boosting", "boost"])
def test_dart_cannot_stop_early(name):
    with pytest.raises(ValueError, match="early_stopping must be False or 'auto' where"):
        fit(**{name: "dart", "early_stopping": True})
    model = fit(**{name: "dart", "early_stopping": "auto"})
    assert model.n_iter_ == TREES["n_estimators"]
    assert model.validation_scores_ is None
    model.fit(X, Y, X_val=X[:500], y_val=Y[:500])
    assert model.n_iter_ == len(model.validation_scores_) == TREES["n_estimators"]
    np.testing.assert_allclose(model.transform(X) @ model._leaves.logits(), trees(model, X))


def test_leaves_add_up_to_log_odds_whatever_the_sigmoid():
    model = fit(sigmoid=2.0)
    p = model.booster_.predict(model._tree_input(model._encode(X)))
    np.testing.assert_allclose(expit(model.transform(X) @ model._leaves.logits()), p)


def test_own_choices_of_threads_seed_and_output_are_heeded(capfd):
    fit(force_row_wise=True)
    subsampled = {"subsample": 0.5, "subsample_freq": 1}
    seeds = [trees(fit(**subsampled, random_state=None, seed=seed), X) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(seeds[0], seeds[1])
    assert not np.array_equal(seeds[0], seeds[2])
    assert capfd.readouterr().out == ""
    fit(verbose=1)
    assert "[Info]" in capfd.readouterr().out


# ---- what the number of trees goes by ----------------------------------------------------


def logistic(y, raw):
    p = expit(raw)
    return p - y, p * (1 - p)


@pytest.mark.parametrize("objective", [None, logistic, "cross_entropy"])
@pytest.mark.parametrize(
    "metric",
    [
        {"metric": "auc"},
        {"metric": ["auc", "binary_logloss"]},
        {"metric": ["binary_logloss", "auc"]},
        {"metric": "auc,binary_logloss"},
        {"metric": "auc, binary_error"},
        {"metric": ("average_precision", "auc")},
        {"metric": {"auc", "binary_logloss"}},
        {"metric": np.array(["auc", "binary_logloss"])},
        {"metric": ""},
        {"metric": "None"},
        {"metric": "custom"},
        {"metrics": ["auc", "binary_logloss"]},
        {"metric_types": "auc,binary_logloss"},
        {"metric": ["auc", "binary_logloss"], "first_metric_only": True},
        {"metric": "binary_logloss", "is_provide_training_metric": True},
    ],
)
def test_the_log_loss_decides_whatever_the_metric(metric, objective):
    params = {"objective": objective, "n_estimators": 100, "learning_rate": 0.3}
    params |= {"early_stopping": True, "n_iter_no_change": 5, "tree_fraction": 1.0}
    model = fit(**params, **metric)
    plain = fit(**params)
    assert model.n_iter_ == plain.n_iter_ == np.argmax(model.validation_scores_) + 1 < 100
    assert model.validation_scores_ == plain.validation_scores_
    _, _, stop = model._split_layers(Y, np.random.RandomState(0), False)
    loss = log_loss(Y[stop], expit(trees(model, X.iloc[stop])))
    assert -max(model.validation_scores_) == pytest.approx(loss, rel=1e-6)
    assert log_loss(Y[stop], Y[stop] * 0 + Y.mean()) > loss


def test_a_metric_without_validation_rows():
    np.testing.assert_array_equal(trees(fit(metric={"auc"}), X), trees(fit(), X))


# ---- labels ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "weights"),
    [
        (np.array(["no", "yes"]), {"no": 1, "yes": 8}),
        (np.array([1, 2]), {1: 1, 2: 8}),
        (np.array([-1, 1]), {1: 8}),
        (np.array([False, True]), {True: 8.0, False: 1.0}),
    ],
)
def test_class_weight_goes_by_the_labels_of_y(labels, weights):
    expected = fit(class_weight={0: 1, 1: 8})
    model = fit(X, labels[Y], class_weight=weights)
    np.testing.assert_array_equal(trees(model, X), trees(expected, X))
    assert not np.array_equal(trees(model, X), trees(fit(), X))
    linear = fit(X, labels[Y], linear=LogisticRegression(class_weight=weights))
    expected = fit(linear=LogisticRegression(class_weight={0: 1, 1: 8}))
    np.testing.assert_array_equal(linear.predict_proba(X), expected.predict_proba(X))


@pytest.mark.parametrize("part", ["gbdt", "linear"])
def test_a_class_weight_of_no_label_is_refused(part):
    y = np.array(["no", "yes"])[Y]
    own = {"class_weight": {1: 8}}
    own = own if part == "gbdt" else {"linear": LogisticRegression(**own)}
    message = f"class_weight of {part} must have the labels of y for keys, ['no', 'yes'], got 1"
    with pytest.raises(ValueError, match=re.escape(message)):
        fit(X, y, **own)


@pytest.mark.parametrize(
    ("balance", "counts"),
    [
        ({"class_weight": "balanced"}, "balanced"),
        ({"class_weight": {1: 20}}, (1, 20)),
        ({"is_unbalance": True}, "balanced"),
        ({"unbalanced_sets": True}, "balanced"),
        ({"scale_pos_weight": 20}, (1, 20)),
        ({"subsample_freq": 1, "pos_bagging_fraction": 0.5}, (1, 0.5)),
    ],
)
def test_rows_to_stop_on_weigh_as_those_of_the_trees(balance, counts):
    """Unweighted, log loss would judge the level that the weights set, and stop at once."""
    rare = np.flatnonzero((Y == 0) | (np.arange(len(Y)) % 10 == 0))
    few, y = X.iloc[rare].reset_index(drop=True), Y[rare]
    params = {"n_estimators": 100, "early_stopping": True, "tree_fraction": 1.0}
    model = fit(few, y, **params, **balance)
    train, _, stop = model._split_layers(y, np.random.RandomState(0), False)
    if counts == "balanced":
        counts = len(train) / np.bincount(y[train])
    weight = np.take(counts, y[stop])
    loss = log_loss(y[stop], expit(trees(model, few.iloc[stop])), sample_weight=weight)
    assert -max(model.validation_scores_) == pytest.approx(loss, rel=1e-5)
    assert model.n_iter_ == np.argmax(model.validation_scores_) + 1
    assert model.predict_proba(few)[:, 1].mean() == pytest.approx(y.mean(), rel=0.05)
