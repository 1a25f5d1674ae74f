"""The synthetic log is what its documentation says: its truth is true, and can be learned."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from pandas.testing import assert_frame_equal
from scipy.special import logit
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sk_adrec.datasets import make_ad_log

FIELDS = ["user_id", "age_group", "user_segment", "item_id", "item_category", "advertiser"]
FIELDS += ["device", "position"]


@pytest.fixture(scope="module")
def log():
    return make_ad_log(60_000, random_state=0)


def categories_in_history(log):
    """Item categories that occur in each row's history; slow and obvious."""
    category_of = dict(zip(log.data["item_id"], log.data["item_category"]))
    return [{category_of.get(item) for item in items} for items in log.data["hist_item_id"]]


def weighted_log_loss_of_truth(log, column, probability):
    """By the definition, -sum w (y log p + (1 - y) log(1 - p)) / sum w."""
    y, w = log.frame[column].to_numpy(), log.sample_weight
    losses = -np.where(y == 1, np.log(probability), np.log1p(-probability))
    return np.sum(w * losses) / np.sum(w)


@pytest.mark.parametrize("truth", ["p_click", "p_conversion"])
def test_labels_follow_the_probabilities_in_every_bin(log, truth):
    if truth == "p_click":
        p, y = log.p_click, log.target.to_numpy()
    else:
        clicked = log.target.to_numpy() == 1
        p, y = log.p_conversion[clicked], log.funnel["conversion"].to_numpy()[clicked]
    for rows in np.array_split(np.argsort(p), 10):
        standard_error = np.sqrt(np.sum(p[rows] * (1 - p[rows]))) / len(rows)
        assert abs(y[rows].mean() - p[rows].mean()) < 4 * standard_error


def test_base_rate_and_conversion_rate_are_met():
    log = make_ad_log(30_000, base_rate=0.03, conversion_rate=0.4, random_state=1)
    assert log.p_click.mean() == pytest.approx(0.03, abs=1e-6)
    ctcvr = np.mean(log.p_click * log.p_conversion)
    assert ctcvr / log.p_click.mean() == pytest.approx(0.4, abs=1e-6)


def test_best_scores_are_those_of_the_truth_and_weighted():
    log = make_ad_log(20_000, negative_rate=0.3, random_state=0)
    assert log.best_log_loss == pytest.approx(weighted_log_loss_of_truth(log, "click", log.p_click))
    assert log.best_log_loss_ctcvr == pytest.approx(
        weighted_log_loss_of_truth(log, "conversion", log.p_click * log.p_conversion)
    )
    weight = log.sample_weight
    assert log.best_auc == roc_auc_score(log.target, log.p_click, sample_weight=weight)
    assert log.best_auc_ctcvr == roc_auc_score(
        log.funnel["conversion"], log.p_click * log.p_conversion, sample_weight=weight
    )


def test_one_class_has_no_auc():
    log = make_ad_log(5, base_rate=1e-6, random_state=0)
    assert np.isnan([log.best_log_loss, log.best_auc, log.best_auc_ctcvr]).all()


def test_conversion_implies_click(log):
    assert (log.funnel["conversion"] <= log.funnel["click"]).all()
    assert log.funnel["conversion"].sum() > 0


def torch_fm_excess(log, n_train, n_factors=6):
    """Expected log loss above the optimum, after `n_train` rows, of a factorisation machine."""
    codes = np.stack([pd.factorize(log.data[c].astype("str"))[0] for c in FIELDS], axis=1)
    sizes = codes.max(axis=0) + 1
    codes = torch.as_tensor(codes + np.cumsum(sizes) - sizes)
    quality = log.data["quality_score"]
    numeric = np.stack([np.log(log.data["price"]) - 3, quality.fillna(0), quality.isna()], axis=1)
    numeric = torch.as_tensor(numeric, dtype=torch.float32)
    y = torch.tensor(log.target.to_numpy(), dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    table = (0.05 * torch.randn(sizes.sum(), n_factors, generator=generator)).requires_grad_()
    weight = torch.zeros(sizes.sum(), requires_grad=True)
    slope, bias = torch.zeros(3, requires_grad=True), torch.tensor(-2.0, requires_grad=True)

    def logits(rows):
        v = table[codes[rows]]
        pairs = 0.5 * (v.sum(1).square() - v.square().sum(1)).sum(1)
        return bias + numeric[rows] @ slope + weight[codes[rows]].sum(1) + pairs

    optimizer = torch.optim.Adam([table, weight, slope, bias], lr=0.01)
    for _ in range(12):
        for rows in torch.randperm(n_train, generator=generator).split(1024):
            v, w = table[codes[rows]], weight[codes[rows]]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits(rows), y[rows])
            loss = loss + (0.01 * v.square().sum() + 0.005 * w.square().sum()) / len(rows)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        q = torch.sigmoid(logits(torch.arange(n_train, len(codes)))).double().numpy()
    return expected_excess(log.p_click[n_train:], q)


def expected_excess(p, q):
    """Mean Kullback-Leibler divergence: what predicting q costs in log loss where p is true."""
    return np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def logistic_regression_excess(log, n_train):
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), FIELDS),
            ("passthrough", ["price", "quality_score"]),
        ),
        LogisticRegression(C=0.3, max_iter=1000),
    )
    data = log.data.assign(
        price=np.log(log.data["price"]), quality_score=log.data["quality_score"].fillna(0)
    )
    model.fit(data[:n_train], log.target[:n_train])
    return expected_excess(log.p_click[n_train:], model.predict_proba(data[n_train:])[:, 1])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_factorization_machine_comes_near_the_truth_and_an_additive_model_does_not(seed):
    log = make_ad_log(30_000, n_users=30, n_items=20, n_history=0, random_state=seed)
    fm = torch_fm_excess(log, n_train=20_000)
    additive = logistic_regression_excess(log, n_train=20_000)
    assert 0 < fm < 0.01
    assert additive > fm + 0.015


def test_the_linear_part_alone_is_learned_by_logistic_regression():
    log = make_ad_log(30_000, n_users=30, n_items=20, n_history=0, interaction=0, random_state=0)
    assert logistic_regression_excess(log, n_train=20_000) < 0.005


def test_truth_beats_the_base_rate_and_scores_order_with_strength():
    none, weak, strong = (
        make_ad_log(20_000, linear=s, interaction=s, interest=s, position_bias=s, random_state=0)
        for s in (0, 0.5, 2)
    )
    assert np.ptp(none.p_click) < 1e-9
    assert none.best_auc == 0.5
    assert none.best_log_loss > weak.best_log_loss > strong.best_log_loss
    assert 0.5 < weak.best_auc < strong.best_auc
    # Nothing attracts clicks in the first log, so nothing selects for conversions either.
    assert np.std(none.p_conversion) > 0


def test_interaction_has_the_stated_deviation_and_no_main_effect():
    log = make_ad_log(
        100_000,
        linear=0,
        position_bias=0,
        n_history=0,
        interaction=1.5,
        zipf_exponent=0.3,
        random_state=0,
    )
    z = pd.Series(logit(log.p_click))
    assert z.std() == pytest.approx(1.5, rel=0.03)
    for column in ("user_id", "item_id"):
        means = z.groupby(log.data[column]).transform("mean")
        # What is left is the noise of means over about 1,000 rows.
        assert means.std() < 0.1


def test_position_bias_is_the_stated_loss_and_spares_conversions():
    log = make_ad_log(
        20_000, linear=0, interaction=0, interest=0, position_bias=0.7, random_state=0
    )
    z = pd.Series(logit(log.p_click)).groupby(log.data["position"]).mean()
    np.testing.assert_allclose(z.loc[1] - z, 0.7 * np.log(z.index), atol=1e-9)
    by_position = pd.Series(log.p_conversion).groupby(log.data["position"]).mean()
    assert np.ptp(by_position) < 0.02


def test_category_in_the_history_lifts_the_logit_by_interest():
    log = make_ad_log(5_000, linear=0, interaction=0, position_bias=0, interest=1.3, random_state=0)
    pairs = zip(log.data["item_category"], categories_in_history(log))
    match = np.array([category in seen for category, seen in pairs])
    z = logit(log.p_click)
    assert 0.1 < match.mean() < 0.6
    np.testing.assert_allclose(z[match].min() - z[~match].max(), 1.3, atol=1e-9)
    assert np.ptp(z[match]) < 1e-9


def test_the_history_tells_more_than_user_and_category_together(log):
    match = [c in seen for c, seen in zip(log.data["item_category"], categories_in_history(log))]
    keys = [log.data["user_segment"], log.data["item_category"], pd.Series(match, name="match")]
    rates = log.target.groupby(keys, observed=True).agg(["mean", "size"]).unstack("match")
    busy = rates[rates["size"].min(axis=1) > 100]
    assert len(busy) > 20
    assert (busy["mean"][True] > busy["mean"][False]).mean() > 0.9


def test_histories_slide_by_one_event_with_the_latest_last():
    log = make_ad_log(4_000, n_users=20, history_length=6, random_state=0)
    lengths = log.data["hist_item_id"].list.len()
    assert lengths.min() == 0
    assert lengths.max() == 6
    for _, histories in log.data.groupby("user_id")["hist_item_id"]:
        histories = [list(items) for items in histories]
        for before, after in itertools.pairwise(histories):
            assert (before + after[-1:])[-6:] == after


def test_histories_do_not_depend_on_what_decides_clicks():
    shown = make_ad_log(2_000, random_state=0)
    other = make_ad_log(2_000, random_state=0, base_rate=0.5, interest=3, interaction=0)
    assert not shown.target.equals(other.target)
    assert_frame_equal(shown.data, other.data)


def test_second_list_column_holds_the_categories_of_the_items():
    log = make_ad_log(3_000, n_history=2, random_state=0)
    category_of = dict(zip(log.data["item_id"], log.data["item_category"]))
    for items, categories in zip(log.data["hist_item_id"], log.data["hist_item_category"]):
        assert [category_of[item] for item in items] == list(categories)


def test_without_history_interest_has_no_effect():
    log = make_ad_log(2_000, n_history=0, interest=5, random_state=0)
    assert not [name for name in log.feature_names if name.startswith("hist")]
    assert_array_equal(log.p_click, make_ad_log(2_000, n_history=0, random_state=0).p_click)


def test_selection_makes_clicked_impressions_convert_better(log):
    clicked = log.target == 1
    assert log.p_conversion[clicked].mean() > 1.3 * log.p_conversion.mean()
    without = make_ad_log(60_000, selection=0, random_state=0)
    ratio = without.p_conversion[without.target == 1].mean() / without.p_conversion.mean()
    assert ratio == pytest.approx(1, abs=0.05)


def test_a_conversion_model_of_clicks_only_is_biased_over_all_impressions(log):
    # The model lacks what drives clicks, so it learns the mean of those who clicked.
    columns = ["device", "age_group"]
    model = make_pipeline(OneHotEncoder(), LogisticRegression())
    clicked = log.target == 1
    model.fit(log.data.loc[clicked, columns], log.funnel.loc[clicked, "conversion"])
    predicted = model.predict_proba(log.data[columns])[:, 1].mean()
    assert predicted > 1.3 * log.p_conversion.mean()


def test_negative_downsampling_keeps_clicks_and_weighs_the_rest():
    full = make_ad_log(30_000, random_state=0)
    thin = make_ad_log(30_000, negative_rate=0.2, random_state=0)
    assert thin.target.sum() == full.target.sum()
    negatives = thin.target.to_numpy() == 0
    assert negatives.sum() == pytest.approx(0.2 * (full.target == 0).sum(), rel=0.05)
    assert_array_equal(thin.sample_weight, np.where(negatives, 5.0, 1.0))
    assert np.average(thin.target, weights=thin.sample_weight) == pytest.approx(0.1, abs=0.005)
    assert thin.best_log_loss == pytest.approx(full.best_log_loss, rel=0.03)
    # Unweighted metrics on thinned rows are wrong: the truth looks badly calibrated.
    assert log_loss(thin.target, thin.p_click) > 1.5 * thin.best_log_loss


@pytest.mark.parametrize("make", [lambda: 7, lambda: np.random.RandomState(7)])
def test_same_seed_same_log(make):
    first, second = (make_ad_log(1_000, n_history=2, random_state=make()) for _ in range(2))
    assert_frame_equal(first.frame, second.frame)
    assert_array_equal(first.p_click, second.p_click)
    assert not first.frame.equals(make_ad_log(1_000, n_history=2, random_state=8).frame)


def test_generators_and_none_are_accepted():
    first, second = (make_ad_log(50, random_state=np.random.default_rng(3)) for _ in range(2))
    assert_frame_equal(first.frame, second.frame)
    assert len(make_ad_log(50, random_state=None).frame) == 50


def test_more_samples_come_from_the_same_users_and_items():
    small, large = (make_ad_log(n, random_state=0).data for n in (2_000, 5_000))
    for entity, column in [("user_id", "user_segment"), ("item_id", "item_category")]:
        of = [dict(zip(data[entity], data[column])) for data in (small, large)]
        assert of[0].items() <= of[1].items()


def test_dtypes_are_the_data_contract(log):
    data = log.data
    assert all(pd.api.types.is_string_dtype(data[c]) for c in ("user_id", "item_id"))
    for column in ("age_group", "user_segment", "item_category", "advertiser", "device"):
        assert isinstance(data[column].dtype, pd.CategoricalDtype)
    assert str(data["hist_item_id"].dtype) == "list<item: string>[pyarrow]"
    assert data["position"].dtype.kind == "i"
    assert sorted(data["position"].unique()) == [1, 2, 3, 4, 5, 6]
    assert log.frame["timestamp"].is_monotonic_increasing
    assert log.timestamp.dtype.kind == "M"
    assert list(log.frame.columns) == ["timestamp", *data.columns, "click", "conversion"]


def test_missing_values_skew_and_rare_ids(log):
    missing = log.data.isna().mean()
    assert missing["device"] == pytest.approx(0.1, abs=0.01)
    assert missing["quality_score"] == pytest.approx(0.1, abs=0.01)
    assert 0 < missing["age_group"] < 0.3
    assert missing.drop(["device", "quality_score", "age_group"]).eq(0).all()
    assert log.data["price"].skew() > 1.5
    counts = make_ad_log(20_000, n_users=5_000, random_state=0).data["user_id"].value_counts()
    assert (counts <= 2).mean() > 0.3
    assert counts.max() > 100


def test_missing_rate_zero_leaves_no_gap():
    assert not make_ad_log(500, missing_rate=0, random_state=0).data.isna().any(axis=None)


def test_integer_ids_stay_apart_only_without_float32():
    log = make_ad_log(2_000, id_dtype="int", random_state=0)
    ids = log.data["user_id"].unique()
    assert ids.dtype == np.int64
    assert ids.min() >= 2**24
    assert len(np.unique(ids.astype(np.float32))) < len(ids)
    assert str(log.data["hist_item_id"].dtype) == "list<item: int64>[pyarrow]"


def test_id_dtype_changes_nothing_else():
    strings, categories = (
        make_ad_log(500, id_dtype=t, random_state=0) for t in ("str", "category")
    )
    assert isinstance(categories.data["user_id"].dtype, pd.CategoricalDtype)
    assert list(strings.data["user_id"]) == list(categories.data["user_id"])
    assert_array_equal(strings.p_click, categories.p_click)


def test_return_X_y():
    X, y = make_ad_log(300, random_state=0, return_X_y=True)
    log = make_ad_log(300, random_state=0)
    assert_frame_equal(X, log.data)
    assert y.equals(log.target)
    assert y.name == "click"
    assert list(X.columns) == log.feature_names


def test_one_user_and_one_item_have_nothing_to_interact():
    log = make_ad_log(
        200, n_users=1, n_items=1, n_categories=1, linear=0, interest=0, position_bias=0,
        interaction=4, random_state=0,
    )  # fmt: skip
    assert np.ptp(log.p_click) < 1e-9


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, r"n_samples must be an integer of at least 1, got 0"),
        ({"n_users": 2.5}, r"n_users must be an integer of at least 1, got 2\.5"),
        ({"base_rate": 1.0}, r"base_rate must be in \(0, 1\), got 1\.0"),
        ({"conversion_rate": 0}, r"conversion_rate must be in \(0, 1\), got 0"),
        ({"missing_rate": 1}, r"missing_rate must be in \[0, 1\), got 1"),
        ({"negative_rate": 0}, r"negative_rate must be in \(0, 1\], got 0"),
        ({"zipf_exponent": -1}, r"zipf_exponent must be at least 0, got -1"),
        ({"n_history": 3}, r"n_history must be 0, 1 or 2, got 3"),
        ({"id_dtype": "float"}, r'id_dtype must be "str", "category" or "int", got \'float\''),
        ({"n_items": 4}, r"n_categories=10 and n_items=4; every category needs an item"),
    ],
)
def test_wrong_parameters_are_named_with_their_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_ad_log(**parameters)
