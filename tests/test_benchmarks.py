"""The benchmarks' protocol and report: what can be checked without the data and the peers."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


protocol, report = load("protocol"), load("report")


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    n, n_households = 600, 40
    household = rng.integers(0, n_households, n)
    y = (rng.random(n) < 0.3).astype(np.int8)
    X = pd.DataFrame({"household_id": pd.Categorical(household)})
    return protocol.Rows(X, y, np.where(y == 1, 1.0, 50.0))


def test_weeks_follow_each_other_and_do_not_overlap():
    parts = (protocol.TRAIN_WEEKS, protocol.VALIDATION_WEEKS, protocol.TEST_WEEKS)
    assert [week for part in parts for week in part] == list(range(1, 54))


def test_candidates_start_with_the_defaults_and_never_repeat():
    space = {"lr": [3e-3, 1e-3, 1e-2], "dim": [16, 32], "l2": [0.0, 1e-6]}
    settings = protocol.candidates(space)
    assert settings[0] == {"lr": 3e-3, "dim": 16, "l2": 0.0}
    assert len({tuple(s.items()) for s in settings}) == len(settings) == protocol.N_CANDIDATES
    assert settings == protocol.candidates(space)


def test_candidates_refuse_a_space_smaller_than_the_budget():
    with pytest.raises(ValueError, match="must try 12 settings, but this space holds 2"):
        protocol.candidates({"lr": [1e-3, 1e-2]})


def test_load_rows_refuses_other_labels():
    with pytest.raises(ValueError, match=r"label must be one of .*, got 'engaged'"):
        protocol.load_rows("engaged", protocol.TEST_WEEKS)


def test_measure_weighs_rows(rows):
    p = np.random.default_rng(1).uniform(0.01, 0.6, len(rows))
    measured = protocol.measure(rows, p)
    repeated = np.repeat(np.arange(len(rows)), rows.weight.astype(int))
    assert measured["auc"] == pytest.approx(roc_auc_score(rows.y[repeated], p[repeated]))
    assert measured["log_loss"] == pytest.approx(log_loss(rows.y[repeated], p[repeated]))
    assert measured["calibration"] == pytest.approx(p[repeated].sum() / rows.y[repeated].sum())


def test_weights_that_follow_the_class_leave_the_auc_alone(rows):
    score = np.random.default_rng(1).random(len(rows))
    assert protocol.measure(rows, score)["auc"] == pytest.approx(roc_auc_score(rows.y, score))


@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
def test_resampled_auc_is_the_auc_of_the_resampled_rows(rows, decimals):
    rng = np.random.default_rng(2)
    score = np.round(rng.random(len(rows)) + 0.2 * rows.y, decimals)
    cluster = rows.X["household_id"].cat.codes.to_numpy()
    multiplicity = rng.multinomial(40, np.full(40, 1 / 40), size=11)
    got = protocol.resampled_auc(rows.y, score, rows.weight, cluster, multiplicity)
    for counts, auc in zip(multiplicity, got):
        drawn = np.repeat(np.arange(len(rows)), counts[cluster])
        weight = rows.weight[drawn]
        assert auc == pytest.approx(
            roc_auc_score(rows.y[drawn], score[drawn], sample_weight=weight)
        )


def test_interval_of_equal_scores_is_zero_and_of_a_better_score_is_above(rows):
    rng = np.random.default_rng(3)
    noise = rng.normal(size=len(rows))
    good, bad = rows.y + noise, 0.2 * rows.y + noise
    same = protocol.auc_difference(rows, good, good, 200)
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)
    lead = protocol.auc_difference(rows, good, bad, 200)
    truth = roc_auc_score(rows.y, good) - roc_auc_score(rows.y, bad)
    assert lead["difference"] == pytest.approx(truth)
    assert 0 < lead["low"] < truth < lead["high"]
    assert (lead["n_resamples"], lead["n_clusters"]) == (200, 40)


def test_bootstrap_draws_households_not_rows():
    # Each household is right or wrong as a whole: rows would promise ten times the certainty.
    rng = np.random.default_rng(4)
    household = np.repeat(np.arange(30), 100)
    y = np.tile(np.array([0, 1], dtype=np.int8), 1500)
    right = rng.random(30)[household] < 0.6
    score = np.where(right, y, 1 - y) + 0.01 * rng.random(3000)
    X = pd.DataFrame({"household_id": pd.Categorical(household)})
    rows = protocol.Rows(X, y, np.ones(3000))
    by_household = protocol.auc_difference(rows, score, rng.random(3000), 200)
    alone = protocol.Rows(pd.DataFrame({"household_id": range(3000)}), y, np.ones(3000))
    by_row = protocol.auc_difference(alone, score, rng.random(3000), 200)

    def width(one):
        return one["high"] - one["low"]

    assert width(by_household) > 3 * width(by_row)


def test_environment_names_versions_and_no_paths():
    environment = protocol.environment("torch")
    assert {"python", "numpy", "pandas", "scikit-learn", "torch"} == set(environment["versions"])
    assert str(Path.home()) not in json.dumps(environment)


MEASURES = {"gauc": 0.9, "log_loss": 0.01, "normalized_entropy": 0.75, "calibration": 1.0}
LEAD = {"difference": -0.02, "low": -0.03, "high": -0.01}
IMPRESSIONS = {
    "label": "converted",
    "tuned_on": "converted",
    "selection": "AUC on weeks 41-44",
    "n_train": 1_000_000,
    "n_test": 200_000,
    "models": {
        name: {
            "tried": [{"setting": {"lr": 0.003}, "n_epochs": 4, "valid_auc": auc}],
            "by_seed": [MEASURES | {"auc": auc}] * 3,
            "mean_of_seeds": MEASURES | {"auc": auc},
            "cost": [{"fit_seconds": 12.0, "predict_seconds": 0.5, "added_mb": 250.0}] * 3,
        }
        for name, auc in {"FM": 0.912, "LightGBM": 0.905}.items()
    },
    "FM_minus": {
        "LightGBM": {
            part: {
                "difference": 0.007,
                "low": 0.005,
                "high": 0.009,
                "n_resamples": 1000,
                "n_clusters": 2400,
            }
            for part in ("first_seed", "mean_of_seeds")
        }
    },
    "against_own_trees": {
        "default setting": [
            {
                "with_linear_layer": MEASURES | {"auc": 0.91},
                "trees_alone": MEASURES | {"auc": 0.9, "normalized_entropy": 0.77},
                "entropy_minus_trees": LEAD,
            }
        ]
    },
    "versions": {"python": "3.11"},
    "machine": {"processor": "a processor", "cores": 2, "threads": 2},
}


def test_page_shows_results_and_names_the_command_of_missing_ones(tmp_path):
    (tmp_path / "impressions_converted.json").write_text(json.dumps(IMPRESSIONS))
    page = report.page(tmp_path)
    assert "| FM - LightGBM | +0.0070 [+0.0050, +0.0090] | +0.0070 [+0.0050, +0.0090] |" in page
    quality = "0.9120 | 0.9120, 0.9120 | 0.9120 | 0.9000 | 0.01000 | 0.7500 | 1.00 | 0.9120"
    assert f"| FM | {quality} |" in page
    assert "| FM | 12.0 | 0.5 | 250 |" in page
    assert "| 0.7700 | 0.7500 | -0.0200 [-0.0300, -0.0100] | 0.9000 | 0.9100 |" in page
    assert "- FM: lr 0.003, n_epochs 4" in page
    assert "Not measured yet: `python benchmarks/fm_epoch.py`." in page


def test_comparison_is_sorted_by_log_loss_and_shows_the_truth_last():
    result = {
        "data": "ad_log",
        "n_rows": 1000,
        "base_rate": 0.1,
        "train": 680,
        "valid": 150,
        "test": 170,
        "runs": [(0, 0), (0, 1)],
        "candidates": 6,
        "models": {
            name: {
                "measured": [MEASURES | {"auc": 0.7, "log_loss": loss}],
                "cost": IMPRESSIONS["models"]["FM"]["cost"][0],
            }
            for name, loss in {"bad": 0.4, "good": 0.3}.items()
        },
        "best_possible": MEASURES | {"auc": 0.8, "log_loss": 0.25},
        "log_loss_minus": {"good - bad": LEAD},
        "versions": {"python": "3.11"},
        "machine": IMPRESSIONS["machine"],
    }
    text = report.comparison_section(result)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:5]] == [
        "| good",
        "| bad",
        "| (the true probabilities)",
    ]
    assert "| good - bad | -0.0200 [-0.0300, -0.0100] |" in text


def test_entropy_difference_weighs_rows_and_is_paired(rows):
    rng = np.random.default_rng(5)
    p, rival = rng.uniform(0.02, 0.5, (2, len(rows)))
    found = protocol.entropy_difference(rows, p, rival, 200)
    repeated = np.repeat(np.arange(len(rows)), rows.weight.astype(int))
    y, rate = rows.y[repeated], rows.y[repeated].mean()
    entropy = -rate * np.log(rate) - (1 - rate) * np.log(1 - rate)
    truth = (log_loss(y, p[repeated]) - log_loss(y, rival[repeated])) / entropy
    assert found["difference"] == pytest.approx(truth)
    assert found["low"] < truth < found["high"]
    same = protocol.entropy_difference(rows, p, p, 50)
    assert (same["difference"], same["low"], same["high"]) == (0, 0, 0)


def test_epoch_table_counts_part_of_an_epoch_up_and_shows_no_auc_for_it():
    config = {"lr": 0.001}
    ours = {
        "peer": "sk-adrec",
        "versions": {"sk-adrec": "0.1"},
        "config": config,
        "n_train": 8192,
        "seconds_per_step": 0.01,
        "auc": {"1": 0.91, "3": 0.92},
    }
    slow = {
        "peer": "slow",
        "versions": {"slow": "2"},
        "config": config,
        "n_train": 4096,
        "seconds_per_step": 0.5,
        "auc": {"1": 0.7},
    }
    lines = report._epoch_table([ours, slow], 8192).splitlines()
    assert lines[2] == "| sk-adrec 0.1 | 0.001 | 10.0 | 0.0 | 1.0 | 0.9100 | 0.9200 | 8,192 |"
    assert lines[3] == "| slow 2 | 0.001 | 500.0 | 1.0 | 50.0 |  |  | 4,096 |"


def test_lead_is_over_the_fastest_of_the_others():
    seconds = {"sk-adrec": 0.01, "fast": 0.05, "slow": 0.5}
    reports = [{"peer": name, "seconds_per_step": s} for name, s in seconds.items()]
    assert report._lead(reports, 3).startswith("The fastest of the others takes 5.0 times")


@pytest.fixture
def scripts(monkeypatch):
    """Loads a script that imports its neighbours, as when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return load


def test_many_ids_all_occur_and_fit_their_tables(scripts, monkeypatch):
    fm_epoch = scripts("fm_epoch")
    monkeypatch.setattr(fm_epoch, "MANY_IDS", 300)
    codes = np.random.default_rng(0).integers(0, 5, (1000, 18), dtype=np.int32)
    y = np.zeros(1000, dtype=np.int8)
    arrays = {"X_train": codes, "y_train": y, "X_test": codes, "y_test": y, "w_test": y}
    many = fm_epoch.with_many_ids(arrays | {"cardinalities": [5] * 18})
    assert many["cardinalities"] == [300] * 4 + [5] * 14
    for part in ("X_train", "X_test"):
        assert (many[part] < many["cardinalities"]).all()
    assert all(len(np.unique(column)) == 300 for column in many["X_train"].T[:4])
    np.testing.assert_array_equal(many["X_train"][:, 4:], codes[:, 4:])


def test_journal_goes_on_where_tuning_stopped(scripts, tmp_path):
    impressions = scripts("impressions")

    class Model:
        name = "model"
        space = {"lr": [0.1, 0.2, 0.3]}
        calls = 0

        def tune(self, setting, train, valid):
            Model.calls += 1
            return setting["lr"], {"n_epochs": 2}

    path = tmp_path / "tried.jsonl"
    first = impressions.tune(Model(), None, None, 2, impressions.Journal(path, fresh=False))
    assert Model.calls == 2
    again = impressions.tune(Model(), None, None, 3, impressions.Journal(path, fresh=False))
    assert Model.calls == 3
    assert again[0] == {"setting": {"lr": 0.3}, "n_epochs": 2, "valid_auc": 0.3}
    assert all(one in again for one in first)
    impressions.tune(Model(), None, None, 3, impressions.Journal(path, fresh=True))
    assert Model.calls == 6


def test_every_model_has_the_whole_budget(scripts):
    for model in scripts("impressions").MODELS:
        assert len(protocol.candidates(model.space)) == protocol.N_CANDIDATES


def test_committed_page_is_the_one_that_the_committed_results_give():
    results, committed = BENCHMARKS / "results", BENCHMARKS.parent / "docs" / "benchmarks.md"
    assert committed.read_text() == report.page(results)
