"""The benchmarks' protocol and report: what can be checked without the data and the peers."""

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Scripts import their neighbours, as they may when run.
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        spec.loader.exec_module(module)
    return module


protocol, report = load("protocol"), load("report")
tables, summary = load("report_tables"), load("report_summary")


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
    assert "Made by `python benchmarks/impressions.py`." in page
    name = "Impressions, bought in that store"
    link = f"[{name}](#impressions-bought-in-that-store)"
    assert f"| {link} | AUC of the seeds' mean prediction | **FM 0.9120** | LightGBM" in page
    assert "|  | log loss | **FM 0.01000** | **LightGBM 0.01000** |" in page


def test_headings_of_the_page_are_short_and_no_file_names():
    titles = [section.title for section in report.SECTIONS]
    assert len({*titles}) == len(titles)
    page = report.page(BENCHMARKS / "results")
    headings = [line.lstrip("# ") for line in page.splitlines() if line.startswith("#")]
    assert {*titles} <= {*headings}
    assert [one for one in headings if len(one) > 50 or "_" in one] == []


def test_summary_links_to_the_headings_and_tells_sides_apart():
    measures = [("s", {"FM, ids": 2.0, "DIN's network": 3.0, "torch_rechub FM": 1.0}, 1, True)]
    lines = summary.summary([("GBDT+LR, seconds", measures)]).splitlines()
    assert lines[2] == (
        "| [GBDT+LR, seconds](#gbdtlr-seconds) | s | FM, ids 2.0 | **torch_rechub FM 1.0** |"
    )
    alone = summary.summary([("One", [("AUC", {"ItemCF": 0.5, "EASE": 0.7}, 2, False)])])
    assert alone.splitlines()[2] == "| [One](#one) | AUC | **EASE 0.70** |  |"
    assert summary.summary([]) == ""


def test_every_script_of_a_command_exists():
    for section in report.SECTIONS:
        for command in section.commands:
            assert (BENCHMARKS / command.split()[0]).exists(), command


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
    text = report.impressions.comparison_section(result)
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
    config = {"lr": 0.001, "batch_size": 4096}
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
    lines = tables.epoch_table([ours, slow], 8192).splitlines()
    assert lines[2] == "| sk-adrec 0.1 | 0.001 | 10.0 | 0.0 | 1.0 | 0.9100 | 0.9200 | 8,192 |"
    assert lines[3] == "| slow 2 | 0.001 | 500.0 | 1.0 | 50.0 |  |  | 4,096 |"


def test_lead_is_over_the_fastest_of_the_others():
    seconds = {"sk-adrec": 0.01, "fast": 0.05, "slow": 0.5}
    reports = [{"peer": name, "seconds_per_step": s} for name, s in seconds.items()]
    assert tables.lead(reports, 3).startswith("The fastest of the others takes 5.0 times")


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
        space = {"lr": [0.1, 0.2, 0.3], "hidden_dims": [(8, 4)]}
        metric = "auc"
        calls = 0

        def tune(self, setting, train, valid):
            Model.calls += 1
            return setting["lr"], {"n_epochs": 2}

    path = tmp_path / "tried.jsonl"
    impressions.tune(Model(), None, None, 2, impressions.Journal(path, fresh=False))
    assert Model.calls == 2
    again = impressions.tune(Model(), None, None, 3, impressions.Journal(path, fresh=False))
    assert Model.calls == 3
    # In a file tuples are lists.
    best = {"lr": 0.3, "hidden_dims": [8, 4]}
    assert again[0] == {"setting": best, "n_epochs": 2, "valid_auc": 0.3}
    assert sorted(one["setting"]["lr"] for one in again) == [0.1, 0.2, 0.3]
    impressions.tune(Model(), None, None, 3, impressions.Journal(path, fresh=True))
    assert Model.calls == 6


def test_every_model_has_the_whole_budget(scripts):
    for model in scripts("impressions").MODELS:
        assert len(protocol.candidates(model.space)) == protocol.N_CANDIDATES


def test_committed_page_is_the_one_that_the_committed_results_give():
    results, committed = BENCHMARKS / "results", BENCHMARKS.parent / "docs" / "benchmarks.md"
    assert committed.read_text() == report.page(results)


@pytest.fixture
def peer_data(monkeypatch):
    """The peers' reader, and its neighbour's importable."""
    monkeypatch.syspath_prepend(BENCHMARKS / "peers")
    return load("peers/peer_data")


@pytest.fixture
def arrays():
    """Five training and two test rows of two fields, two numbers, and a list of field 1."""
    return {
        "X_train": np.array([[0, 1], [1, 2], [2, 3], [0, 0], [1, 3]], dtype=np.int32),
        "y_train": np.array([0, 1, 0, 1, 0]),
        "Z_train": np.arange(10.0).reshape(5, 2),
        "hist_train_1_values": np.array([1, 2, 3, 3, 1, 2], dtype=np.int32),
        "hist_train_1_offsets": np.array([0, 0, 3, 4, 4, 6]),
        "X_test": np.array([[2, 2], [0, 1]], dtype=np.int32),
        "y_test": np.array([1, 0]),
        "Z_test": np.zeros((2, 2)),
        "hist_test_1_values": np.array([3]),
        "hist_test_1_offsets": np.array([0, 1, 1]),
        "cardinalities": [3, 4],
    }


def write_npz(path, arrays, **changed):
    np.savez(path, **{**arrays, **changed})
    return path


def test_din_reads_fields_numbers_and_padded_lists(peer_data, arrays, tmp_path):
    data = peer_data.load_data(write_npz(tmp_path / "data.npz", arrays), "din")
    assert (data.names, data.numbers) == (["field_0", "field_1"], ["number_0", "number_1"])
    assert data.lists == {"hist_field_1": "field_1"}
    inputs = data.inputs("train", slice(1, 4))
    assert list(inputs) == [*data.names, *data.numbers, *data.lists]
    np.testing.assert_array_equal(inputs["field_1"], [2, 3, 0])
    np.testing.assert_array_equal(inputs["number_1"], [3, 5, 7])
    np.testing.assert_array_equal(inputs["hist_field_1"], [[1, 2, 3], [3, 0, 0], [0, 0, 0]])
    # Test rows are padded to the longest list of all.
    np.testing.assert_array_equal(data.inputs("test")["hist_field_1"], [[3, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize(("model", "n_numbers"), [("fm", 2), ("deepfm", 2), ("din", 2)])
def test_models_read_what_they_can_use(peer_data, arrays, tmp_path, model, n_numbers):
    data = peer_data.load_data(write_npz(tmp_path / "data.npz", arrays), model)
    assert (len(data.numbers), len(data.lists)) == (n_numbers, model == "din")
    assert data.without_numbers().numbers == []


def test_sample_keeps_rows_together(peer_data, arrays, tmp_path):
    path = write_npz(tmp_path / "data.npz", arrays)
    whole = peer_data.load_data(path, "din")
    part = peer_data.load_data(path, "din", max_rows=3, seed=4)
    rows = np.random.default_rng(4).permutation(5)[:3]
    width = part.max_len
    for name, values in whole.inputs("train").items():
        values = values[rows, :width] if name in whole.lists else values[rows]
        np.testing.assert_array_equal(part.inputs("train")[name], values)
    np.testing.assert_array_equal(part.y_train, whole.y_train[rows])
    np.testing.assert_array_equal(part.X_test, whole.X_test)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X_train": np.full((5, 2), 3)}, r"field 0 in X_train must lie in \[0, 3\), got 3 to 3"),
        ({"Z_test": np.full((2, 2), np.nan)}, "Z_test must hold finite numbers"),
        ({"Z_test": np.zeros((2, 3))}, "with the same K in train and test"),
        ({"hist_test_1_values": np.array([0])}, r"hist_test_1_values must lie in \[1, 4\)"),
        ({"hist_test_1_offsets": np.array([0, 1])}, "must have 3 entries that rise from 0 to 1"),
        (
            {"hist_test_0_values": np.array([1]), "hist_test_0_offsets": np.array([0, 0, 1])},
            "their offsets must be equal",
        ),
        (
            {"hist_test_0_values": np.array([1]), "hist_test_0_offsets": np.array([0, 1, 1])},
            r"lists of the same fields, got \[1\] and \[0, 1\]",
        ),
        ({"y_train": np.zeros((5, 2))}, r"y_train of model din must have shape \(n,\)"),
        ({"w_test": np.ones(3)}, r"one weight a test row \(2\), got 3"),
    ],
)
def test_peers_refuse_arrays_that_do_not_fit(peer_data, arrays, tmp_path, changed, message):
    path = write_npz(tmp_path / "data.npz", arrays, **changed)
    with pytest.raises(ValueError, match=message):
        peer_data.load_data(path, "din")


def test_esmm_wants_two_labels(peer_data, arrays, tmp_path):
    path = write_npz(tmp_path / "data.npz", arrays)
    with pytest.raises(ValueError, match="click and conversion"):
        peer_data.load_data(path, "esmm")
    two = {"y_train": np.zeros((5, 2)), "y_test": np.zeros((2, 2))}
    data = peer_data.load_data(write_npz(path, arrays, **two), "esmm")
    assert (data.numbers, data.lists) == ([], {})


@pytest.fixture
def common(peer_data):
    return load("peers/common")


def test_hidden_layers_are_the_models_unless_given(common, tmp_path):
    command = ["data.npz", "--output", "report.json", "--model"]
    models = common.HIDDEN_DIMS
    assert common.parse_args(models, [*command, "din"]).hidden_dims == [200, 80]
    assert common.parse_args(models, [*command, "fm"]).hidden_dims == []
    given = common.parse_args(models, [*command, "esmm", "--hidden-dims", "8", "--epochs", "2"])
    assert (given.hidden_dims, given.auc_epochs) == ([8], [1, 2])


def two_labels(seed=0, n=400):
    rng = np.random.default_rng(seed)
    probability = np.sort(rng.random((n, 2)), axis=1)[:, ::-1]
    return (rng.random((n, 2)) < probability).astype(float), probability, rng.random(n)


def test_scores_are_measured_by_label_and_saved(common, tmp_path):
    y, probability, weight = two_labels()
    data = SimpleNamespace(y_test=y, w_test=weight)
    scores = common.Scores(data, tmp_path / "scores.npz")
    scores.add(1, probability, 0.5)
    scores.add(3, probability[::-1], 0.25)
    report = scores.report()
    for name, k in (("auc_ctr", 0), ("auc_ctcvr", 1)):
        for epoch, score in ((1, probability), (3, probability[::-1])):
            wanted = roc_auc_score(y[:, k], score[:, k], sample_weight=weight)
            assert report[name][epoch] == pytest.approx(wanted)
    assert report["predict_seconds"] == 0.25
    with np.load(tmp_path / "scores.npz") as saved:
        assert saved.files == ["epoch_1", "epoch_3"]
        assert saved["epoch_3"].dtype == np.float64
        np.testing.assert_array_equal(saved["epoch_1"], probability)


def test_scores_refuse_logits_and_other_shapes(common):
    y, probability, weight = two_labels()
    scores = common.Scores(SimpleNamespace(y_test=y[:, 0], w_test=weight))
    with pytest.raises(ValueError, match="apply the sigmoid to logits"):
        scores.add(1, probability[:, 0] - 0.5, 0.0)
    with pytest.raises(ValueError, match=r"scores must have shape \(400,\), got \(400, 2\)"):
        scores.add(1, probability, 0.0)


def test_clock_scores_the_test_rows_in_parts(common, peer_data, arrays, tmp_path, monkeypatch):
    monkeypatch.setattr(common, "SCORING_ROWS_WITH_LISTS", 1)
    data = peer_data.load_data(write_npz(tmp_path / "data.npz", arrays), "din")
    clock = common.EpochClock(data, SimpleNamespace(auc_epochs=[2], save_scores=None))
    clock.model = torch.nn.Identity()
    clock.predict = lambda inputs: inputs["hist_field_1"].sum(1, keepdim=True) / 3
    for _ in range(2):
        clock.start()
        clock.stop()
    assert clock.scores.auc == {"auc": {2: 1.0}}
    assert len(clock.seconds) == 2
    assert clock.leave_out_numbers().numbers == clock.data.numbers == []


@pytest.mark.parametrize("model", ["fm", "deepfm", "din"])
def test_own_runner_learns_from_what_the_peers_are_given(
    peer_data, monkeypatch, tmp_path, model, scripts
):
    runner = load("peers/run_sk_adrec")
    ad_log, _ = scripts("din_epoch").encode_ad_log(1500, 500)
    data, output, saved = (tmp_path / name for name in ("data.npz", "report.json", "scores.npz"))
    np.savez(data, **ad_log)
    command = ["run", str(data), "--output", str(output), "--model", model, "--epochs", "2"]
    command += ["--batch-size", "256", "--threads", "1", "--save-scores", str(saved)]
    monkeypatch.setattr("sys.argv", command)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    runner.main()
    result = json.loads(output.read_text())
    assert result["inputs"]["lists"] == (2 if model == "din" else 0)
    with np.load(saved) as scores:
        auc = roc_auc_score(ad_log["y_test"], scores["epoch_2"])
    assert result["auc"]["2"] == pytest.approx(auc)


def test_din_epoch_plants_histories_of_the_candidates_ids(scripts):
    din_epoch = scripts("din_epoch")
    arrays, best_auc = din_epoch.encode_ad_log(3000, 1000)
    assert 0.7 < best_auc < 0.9
    assert arrays["hist_train_3_offsets"][-1] == len(arrays["hist_train_4_values"])
    # A category of the history that is the candidate's raises the click rate.
    rows = np.repeat(np.arange(3000), np.diff(arrays["hist_train_4_offsets"]))
    same = arrays["hist_train_4_values"] == arrays["X_train"][rows, 4]
    hit = np.bincount(rows, same, 3000) > 0
    assert arrays["y_train"][hit].mean() > 1.3 * arrays["y_train"][~hit].mean()


def test_nextrec_trains_part_of_an_epoch_once(scripts, monkeypatch):
    epochs = scripts("epochs")
    calls = []
    monkeypatch.setattr(epochs, "run", lambda library, *_, **how: calls.append((library, how)))
    epochs.run_all("deepfm", {"y": np.zeros(1)}, ["sk_adrec", "nextrec"], [0.001, 0.005])
    whole = {"epochs": 3, "model": "deepfm", "max_rows": None, "batch_size": 4096}
    assert calls == [
        ("sk_adrec", {"lr": 0.001, **whole}),
        ("nextrec", {"lr": 0.001, **whole, "epochs": 1, "max_rows": epochs.NEXTREC_ROWS}),
        ("sk_adrec", {"lr": 0.005, **whole}),
    ]
