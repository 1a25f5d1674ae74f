"""Write docs/benchmarks.md from the JSON files in benchmarks/results.

python benchmarks/report.py
"""

import argparse
import json
from pathlib import Path

HERE = Path(__file__).parent

INTRODUCTION = """# Benchmarks

Written by `benchmarks/report.py` from the files in `benchmarks/results`; `make benchmark`
measures and writes everything again. `benchmarks/protocol.py` says which rows, weights, weeks and
budgets the numbers about the impressions share, `benchmarks/README.md` how the other libraries are
run.
"""

IMPRESSIONS_NOTE = """Every model sees the same 18 categorical columns and the sample weights, and
tries {n_candidates} settings on weeks 1-40, judged by {selection}; the best is fitted on weeks
1-44. The settings were tuned on the label `{tuned_on}`. Log loss is in nats per impression;
calibration is predicted over observed conversions, 1 being right. Intervals: 95 %, from
{n_resamples} paired resamples of {n_clusters:,} households; they hold what the choice of households
does, not what a seed does, which the single fits show. GAUC, log loss, NE and calibration are means
over the fits. Settings were chosen by AUC, so log loss and
calibration are what that choice made of them: choose by log loss where probabilities count.
"""


def table(header, rows):
    """A Markdown table.

    Parameters
    ----------
    header : list of str
    rows : list of list of str
        One list per line, as long as the header.

    Returns
    -------
    str

    Examples
    --------
    >>> print(table(["model", "AUC"], [["FM", "0.92"]]))
    | model | AUC |
    | --- | --- |
    | FM | 0.92 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machine(result):
    """One line: processor, cores, threads, versions."""
    m = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return f"Measured on {m['processor']}, {m['cores']} cores, {m['threads']} threads; {versions}."


def impressions_section(result):
    """Test measures of each model, and the FM's lead with its interval."""
    rows, costs = [], []
    for name, model in sorted(result["models"].items()):
        first = model["by_seed"]
        rows.append(
            [
                name,
                f"{first[0]['auc']:.4f}",
                ", ".join(f"{one['auc']:.4f}" for one in first[1:]) or "(no randomness)",
                f"{model['mean_of_seeds']['auc']:.4f}",
                f"{_mean(first, 'gauc'):.4f}",
                f"{_mean(first, 'log_loss'):.5f}",
                f"{_mean(first, 'normalized_entropy'):.4f}",
                f"{_mean(first, 'calibration'):.2f}",
                f"{model['tried'][0]['valid_auc']:.4f}",
            ]
        )
        costs.append([name, *_cost_cells(model["cost"][0])])
    header = ["model", "AUC, first seed", "other seeds", "AUC, mean prediction", "GAUC", "log loss"]
    header += ["NE", "calibration", "AUC on weeks 41-44"]
    leads = [
        [
            f"FM - {rival}",
            *(_interval(lead[which], ".4f") for which in ("first_seed", "mean_of_seeds")),
        ]
        for rival, lead in sorted(result["FM_minus"].items())
    ]
    models, lead = result["models"].values(), next(iter(result["FM_minus"].values()))
    note = IMPRESSIONS_NOTE.format(
        n_candidates=max(len(model["tried"]) for model in models),
        selection=result["selection"],
        tuned_on=result["tuned_on"],
        **{name: lead["first_seed"][name] for name in ("n_resamples", "n_clusters")},
    )
    parts = [
        "## Complete Journey impressions (simulated, says their package), label "
        f"`{result['label']}`: {result['n_train']:,} rows in weeks "
        f"1-44, {result['n_test']:,} in weeks 45-53",
        table(header, rows),
        table(["difference of AUC", "first seed", "mean prediction of the seeds"], leads),
        note + "\n" + chosen(result),
        table(["model", *COST_HEADER], costs),
    ]
    if result["against_own_trees"]:
        parts += [OWN_TREES_NOTE.rstrip(), own_trees_table(result["against_own_trees"])]
    return "\n\n".join([*parts, machine(result)])


COST_HEADER = ["fit, s", "predict, s", "memory a fit adds, MB"]
OWN_TREES_NOTE = """What the linear layer adds to the trees that it stands on (the paper's gain in
normalised entropy: 3.4 %), each fit by itself. These trees were tuned for the two together and saw
90 % of the rows; trees tuned for themselves are the line "LightGBM" above:
"""


def impressions_peers_section(result):
    """The FMs of several libraries on the impressions, two learning rates each."""
    rows = []
    for name, model in sorted(result["models"].items(), key=lambda one: -one[1]["measured"]["auc"]):
        one, best = model["measured"], model["best"]
        cells = [f"{one[key]:.4f}" for key in ("auc", "gauc")]
        cells += [f"{one['log_loss']:.5f}", f"{one['normalized_entropy']:.4f}"]
        cells += [f"{one['calibration']:.2f}", *_cost_cells(model["cost"])]
        chosen = f"{best['setting']['lr']:g}, {best['length']['n_epochs']}"
        rows.append([name, *cells, chosen])
    header = ["model", "AUC", "GAUC", "log loss", "NE", "calibration", *COST_HEADER]
    return "\n\n".join(
        [
            f"## FMs of several libraries on the impressions, label `{result['label']}`: "
            f"{result['n_train']:,} rows in weeks 1-44, {result['n_test']:,} in weeks 45-53",
            table([*header, "learning rate, epochs"], rows),
            "The same budget for each, this library's too: embedding 16, batch 4096, no penalty, "
            "two learning rates for at most three epochs, chosen by AUC on weeks 41-44. The others "
            "take no weights, so all are trained on the sample as it is, and their probabilities "
            "corrected for the negatives left out. One seed. NextRec is missing: its epoch takes "
            "over two minutes.",
            machine(result),
        ]
    )


def _cost_cells(cost):
    return [f"{cost[k]:.1f}" for k in ("fit_seconds", "predict_seconds")] + [
        f"{cost['added_mb']:,.0f}"
    ]


def _interval(one, digits):
    return f"{one['difference']:+{digits}} [{one['low']:+{digits}}, {one['high']:+{digits}}]"


def own_trees_table(found):
    """Normalised entropy and AUC of GBDT+LR and of its trees alone, a line for each fit."""
    rows = []
    for setting, fits in found.items():
        for seed, one in enumerate(fits):
            pair = one["trees_alone"], one["with_linear_layer"]
            rows.append(
                [
                    f"{setting}, seed {seed}",
                    *(f"{part['normalized_entropy']:.4f}" for part in pair),
                    _interval(one["entropy_minus_trees"], ".4f"),
                    *(f"{part['auc']:.4f}" for part in pair),
                    *(f"{part['calibration']:.2f}" for part in pair),
                ]
            )
    header = ["fit", "NE, trees", "NE, with linear layer", "difference", "AUC, trees", "AUC, with"]
    return table([*header, "calibration, trees", "calibration, with"], rows)


def comparison_section(result):
    """Measures of each model on a small log, and the leads of this library's with intervals."""
    rows = []
    names = ["auc", "gauc", "log_loss", "normalized_entropy", "calibration"]
    first = next(iter(result["models"].values()))["measured"][0]
    names = [name for name in names if name in first]
    for name, model in sorted(
        result["models"].items(), key=lambda one: _mean(one[1]["measured"], "log_loss")
    ):
        cells = [f"{_mean(model['measured'], key):.4f}" for key in names]
        rows.append([name, *cells, *_cost_cells(model["cost"])])
    if "best_possible" in result:
        cells = [f"{result['best_possible'][key]:.4f}" for key in names]
        rows.append(["(the true probabilities)", *cells, "", "", ""])
    leads = [[pair, _interval(one, ".4f")] for pair, one in result["log_loss_minus"].items()]
    titles = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log loss", "normalized_entropy": "NE"}
    header = ["model", *(titles.get(name, name) for name in names), *COST_HEADER]
    rows_of = ", ".join(f"{result[part]:,} {word}" for part, word in PARTS.items())
    return "\n\n".join(
        [
            f"## {COMPARED[result['data']]}",
            f"{result['n_rows']:,} rows, {result['base_rate']:.1%} positive; {rows_of}. "
            f"{RUNS[result['data'] == 'avazu'].format(len(result['runs']))} Each model tried "
            f"{result['candidates']} settings on the validation rows, chosen by log loss.",
            table(header, rows),
            "Difference of log loss, below 0 where the first is better, 95 % interval:",
            table(["pair", "difference"], leads),
            machine(result),
        ]
    )


PARTS = {"train": "to train", "valid": "to choose", "test": "to test"}
COMPARED = {
    "avazu": "avazu-sample: real ad impressions, 22 categorical columns",
    "census_income": "census-income: 40 columns, numbers and categories, missing values",
    "ad_log": "Synthetic log (`make_ad_log`), true probabilities known",
}
RUNS = {
    True: "Means over {} random splits; the intervals allow for their overlap (Nadeau and Bengio).",
    False: "Means over {} seeds of the fit; intervals resample the test rows (users, where known).",
}


def _mean(measured, key):
    return sum(one[key] for one in measured) / len(measured)


def gbdt_lr_speed_section(result):
    """Seconds and log loss against the same trees under scikit-learn's solvers."""
    rivals = {
        "saga": "leaves, one-hot, saga, at most 300 iterations",
        "lbfgs": "leaves, one-hot, lbfgs, at most 1000 iterations",
    }
    same = result["ours"]["same rows, C=1"]["fit_seconds"]
    fits = {f"GBDTLRClassifier, {name}": one for name, one in result["ours"].items()}
    fits |= {title: result[name] for name, title in rivals.items()}
    rows = [
        [
            name,
            f"{one['fit_seconds']:.1f}",
            f"{one['fit_seconds'] / same:.1f}",
            f"{one['iterations']}",
            f"{one['log_loss']:.4f}",
        ]
        for name, one in fits.items()
    ]
    trees = result["ours"]["same rows, C=1"]["log_loss_of_trees"]
    header = ["how", "fit, s", "times the first (wanted: 5 saga, 1.5 lbfgs)"]
    return "\n\n".join(
        [
            f"## GBDT+LR, {result['n_train']:,} rows of a synthetic log, 100 trees of 31 leaves",
            table([*header, "iterations", "log loss"], rows),
            f"The trees alone: log loss {trees:.4f}; the true probabilities: "
            f"{result['best_possible_log_loss']:.4f}. As it comes, the trees see 90 % of the rows "
            "and the linear layer, with C=0.003, the others: that is what keeps it from trusting "
            "leaves that overfit. Its linear layer also sees one-hot ids, which the rivals' does "
            "not. Leaves of a million new rows, one-hot: "
            f"{result['transform_1M_rows_seconds']:.1f} s.",
            machine(result),
        ]
    )


def gauc_section(result):
    """Seconds and memory of one GAUC."""
    rows = [
        [name, f"{result[name]['seconds']:.1f}", f"{result[name]['peak_gb']:.2f}"]
        for name in ("plain", "weighted")
    ]
    return "\n\n".join(
        [
            f"## `gauc_score`, {result['rows']:,} rows of {result['groups']:,} users",
            table(["", "s (wanted: 8)", "peak memory of the process, GB (wanted: 2)"], rows),
            machine(result),
        ]
    )


def chosen(result):
    """The winning setting of each model, one line each."""
    lines = []
    for name, model in sorted(result["models"].items()):
        best = {k: v for k, v in model["tried"][0].items() if k != "setting" and "valid" not in k}
        setting = ", ".join(f"{k} {v}" for k, v in (model["tried"][0]["setting"] | best).items())
        lines.append(f"- {name}: {setting}")
    return "\n".join(lines)


def epoch_section(result):
    """Seconds of an epoch and AUC of each library, then the variant with millions of ids."""
    return "\n\n".join(
        [
            f"## An epoch of an FM, {result['n_train']:,} rows x 18 columns, embedding 16, "
            "batch 4096",
            _epoch_table(result["sample"], result["n_train"]),
            _lead(result["sample"], 3),
            "Seconds are the median epoch. A library that saw fewer rows (last column) has its "
            "steps counted up to a whole epoch, and no AUC. Test weeks: 45-53; AUC after 1 and "
            f"after 3 epochs; label `{result['label']}`, no weights.",
            f"### The same rows with {result['n_ids']['many_ids'] / 1e6:.0f} million ids",
            _epoch_table(result["many_ids"], result["n_train"], aucs=()),
            _lead(result["many_ids"], 15),
            "Four of the columns hold a million ids each; steps of 4096 rows. The others' dense "
            "Adam visits every row of every table at each step, this library's only the rows of "
            "the batch.",
            machine(result),
        ]
    )


def deepfm_epoch_section(result):
    """Seconds of a DeepFM's epoch and AUC of each library."""
    return "\n\n".join(
        [
            f"## An epoch of a DeepFM, {result['n_train']:,} rows x 18 columns, embedding 16, "
            "layers (256, 128), batch 4096",
            _epoch_table(result["sample"], result["n_train"]),
            _lead(result["sample"], 3),
            machine(result),
        ]
    )


def din_epoch_section(result):
    """Seconds of a DIN's epoch and AUC of each library."""
    return "\n\n".join(
        [
            f"## An epoch of a DIN, {result['n_train']:,} rows of a synthetic log, histories of "
            f"{result['mean_history_length']:.0f} events with two attributes, embedding 16, "
            "batch 4096",
            _epoch_table(result["sample"], result["n_train"]),
            _lead(result["sample"], 8),
            f"The best AUC that any model can expect is {result['best_auc']:.4f}. "
            "`benchmarks/README.md` says what each library's DIN reads and leaves on.",
            machine(result),
        ]
    )


def esmm_epoch_section(result):
    """Seconds of an ESMM's epoch and AUCs of each library."""
    aucs = (("CTR AUC", "auc_ctr"), ("CTCVR AUC", "auc_ctcvr"))
    return "\n\n".join(
        [
            f"## An epoch of an ESMM, {result['n_train']:,} rows x 18 columns, embedding 16, "
            "towers (128, 64), batch 4096",
            _epoch_table(result["sample"], result["n_train"], aucs),
            _lead(result["sample"], 5),
            f"Stages: {' -> '.join(result['labels'])}. {machine(result)}",
        ]
    )


def esmm_section(result):
    """ESMM against networks that learn one thing each: a table a measure."""
    parts = ["## ESMM against networks of one stage"]
    titles = {
        "cvr_excess_log_loss": "Synthetic: excess log loss of pCVR over all impressions, x 1000",
        "ctcvr_excess_log_loss": "Synthetic: excess log loss of pCTCVR, x 1000",
        "cvr_auc_on_engaged": "Real funnel: AUC of pCVR on engaged impressions",
        "ctcvr_auc": "Real funnel: AUC of pCTCVR over all impressions",
    }
    for part in ("synthetic", "funnel"):
        for measure, ways in result[part]["summary"].items():
            scale = 1000 if "log_loss" in measure else 1
            rows = []
            for name, way in ways.items():
                lead = way["ESMM_minus"]
                cells = [f"{way['mean'] * scale:.4f} ± {way['sd'] * scale:.4f}"]
                cells += [f"{lead['mean'] * scale:+.4f} ± {lead['sd'] * scale:.4f}"]
                rows.append([name, *(cells if name != "ESMM" else [cells[0], ""])])
            seeds = len(result[part]["seeds"])
            parts += [f"### {titles[measure]}"]
            parts += [table(["estimate", f"mean ± sd of {seeds} seeds", "ESMM minus it"], rows)]
    parts += [
        "Synthetic: the probabilities are known, so pCVR is judged over clicked and other "
        "impressions alike; excess is over the truth's own entropy. Funnel: weeks 1-40, stopped "
        "on weeks 41-44, judged on weeks 45-53. Six settings for each network, the best by log "
        f"loss on validation rows. {machine(result)}"
    ]
    return "\n\n".join(parts)


PAST_NOTE = """Every model has the same information (its name says how): the 18 columns, and what
the household had bought before the impression's week began, as the last {max_len} purchases
(product and category) and as four counts. {candidates} settings each on weeks 21-40, judged on
weeks 41-44 by what the table is about; the best fitted on weeks 1-44, three seeds. Measures are
means over the seeds; intervals of mean predictions, {n_clusters:,} households resampled.
Calibration above 1 is too high: counts grow as the log does, and mean less later.
"""
PAST_TABLES = {
    "log_loss": ("normalized_entropy", ["log loss", "NE", "calibration"]),
    "auc": ("auc", ["AUC", "GAUC"]),
}


def past_section(result):
    """Models that know the past: a table for each measure that settings were chosen by."""
    parts = [
        f"## The same impressions and the past: {result['n_train']:,} rows in weeks 1-44, "
        f"{result['n_test']:,} in weeks 45-53"
    ]
    for selection, (measure, header) in PAST_TABLES.items():
        if f"by_{selection}" not in result:
            continue
        part = result[f"by_{selection}"]
        rows = []
        for name, model in part["models"].items():
            fits = model["by_seed"]
            if selection == "auc":
                cells = [f"{_mean(fits, key):.4f}" for key in ("auc", "gauc")]
            else:
                cells = [f"{_mean(fits, 'log_loss'):.5f}"]
                cells += [f"{_mean(fits, 'normalized_entropy'):.4f}"]
                cells += [f"{_mean(fits, 'calibration'):.2f}"]
            lead = ""
            if name in part["DIN_minus"]:
                lead = _interval(part["DIN_minus"][name][measure]["mean_of_seeds"], ".4f")
            rows.append([name, *cells, lead, *_cost_cells(model["cost"])])
        rows.sort(key=lambda row: row[1], reverse=selection == "auc")
        parts.append(f"### Chosen by {header[0]}")
        title = f"DIN minus it, {'AUC' if selection == 'auc' else 'NE'}"
        parts.append(table(["model", *header, title, *COST_HEADER], rows))
        parts.append(chosen(part))
    lead = next(iter(result["by_log_loss"]["DIN_minus"].values()))
    one = lead["normalized_entropy"]["mean_of_seeds"]
    note = PAST_NOTE.format(
        **{key: result[key] for key in ("max_len", "candidates")}, n_clusters=one["n_clusters"]
    )
    return "\n\n".join([*parts, note.rstrip(), machine(result)])


def _lead(reports, wanted):
    """A sentence: how many times longer the fastest other library takes."""
    steps = {
        mine: [r["seconds_per_step"] for r in reports if (r["peer"] == "sk-adrec") == mine]
        for mine in (True, False)
    }
    times = min(steps[False]) / min(steps[True])
    return f"The fastest of the others takes {times:.1f} times as long (wanted: {wanted})."


def _epoch_table(reports, n_train, aucs=(("AUC", "auc"),)):
    ours = min(r["seconds_per_step"] for r in reports if r["peer"] == "sk-adrec")
    rows = []
    for r in reports:
        version = r["versions"].get(r["peer"], "")
        per_step = r["seconds_per_step"]
        cells = [f"{r['peer']} {version}".strip(), f"{r['config']['lr']:g}"]
        cells += [f"{per_step * 1e3:.1f}", f"{per_step * -(-n_train // 4096):.1f}"]
        cells += [f"{per_step / ours:.1f}"]
        whole = r["n_train"] == n_train
        for _, key in aucs:
            cells += [f"{r[key][n]:.4f}" if whole and n in r[key] else "" for n in ("1", "3")]
        rows.append([*cells, f"{r['n_train']:,}"])
    header = ["library", "learning rate", "ms a step", "s an epoch", "times ours"]
    header += [f"{auc} after {n}" for auc, _ in aucs for n in (1, 3)]
    return table([*header, "rows"], rows)


def lcfn_section(towers, others):
    """Recall and NDCG of two towers on the fixed split of ml-1m, beside models on neighbours."""
    wanted = ("recall@20", "ndcg@20")
    own = dict(towers["setting"])
    tuned = ", ".join(f"{name} {own[name]}" for name in ("embedding_dim", "temperature"))
    mean, seeds = towers["mean"], towers["test"]
    spread = [max(abs(one[name] - mean[name]) for one in seeds) for name in wanted]
    rows = [
        [f"TwoTowerRetriever, ids only, {tuned}; mean of {len(seeds)} seeds"]
        + [f"{mean[name]:.4f} (within {s:.4f})" for name, s in zip(wanted, spread)],
        ["TwoTowerRetriever(user_items=True), defaults; one seed"]
        + [f"{towers['defaults'][name]:.4f}" for name in wanted],
    ]
    rows += [
        [name, *(f"{one[key]:.4f}" for key in wanted)]
        for name, one in (others or {}).items()
        if isinstance(one, dict) and wanted[0] in one
    ]
    rows.append(["UltraGCN, as published", "0.2787", "0.2642"])
    return "\n\n".join(
        [
            f"## Two towers, ml-1m-lcfn, {seeds[0]['users']:,} users, the whole catalogue",
            table(["model", "recall@20", "NDCG@20"], rows),
            "Settings were chosen on a tenth of the training rows; "
            "`results/two_tower_journal.json` holds what was tried. The tuned two towers take "
            f"{mean['fit_cpu_seconds']:.0f} s of one core to fit, the defaults "
            f"{towers['defaults']['fit_cpu_seconds']:.0f} s.",
            machine(towers),
        ]
    )


PURCHASES_NOTE = """What households buy in weeks 49-52, the whole catalogue ranked. {cold} of the
{households:,} households are cold: models learn nothing of them, and are given their attributes and
what they bought in weeks 45-48. Settings learned from weeks 1-44 and were judged on weeks 45-48 by
the mean of both columns; tried were {budgets}.
That is not all: 17 fits of two towers and 8 of ItemCF on the same validation weeks came before and
shaped the grids, six of the 18 were written after the other twelve were seen, and EASE's best l2
and ItemCF's best `least` for new products lie at the end of what was tried.
"TwoTower" is the mean of {seeds} seeds, other rows are one fit. Intervals: 95 %, from {n_resamples}
resamples of the households; they hold what the choice of households does.
"TwoTower" alone reads attributes: {attributes}.
All others know ids and weeks; "ids only" has the settings of "TwoTower", not its own. EASE, tuned
least, learns of products of 30 households, the two towers of those of 10; whatever they leave out
is still to be found. What a household buys again is best said by its own purchases.
"""
PURCHASES_TITLES = {
    "new": "Products that the household has not bought before",
    "all": "All products, those bought before included",
}


def purchases_section(result):
    """Recall of each model on warm and cold households, and what two towers gain on it."""
    parts = ["## Two towers on purchases: recall@100 of the next four weeks"]
    for measure, title in PURCHASES_TITLES.items():
        found, groups = result[measure], ("warm", "cold")
        rows = []
        for name, model in found["models"].items():
            cells = [f"{model[group]:.4f}" for group in groups]
            gains = found["TwoTower minus"].get(name, {})
            for group in groups:
                cells.append(_interval(gains[group], ".4f") if gains else "")
            rows.append([name, *cells, f"{model['fit_cpu_seconds']:.0f}"])
        n = found["households"]
        header = [f"{group} ({n[group]:,})" for group in groups]
        header += [f"two towers minus it, {group}" for group in groups]
        parts += [f"### {title}", table(["model", *header, "fit, CPU s"], rows)]
        parts.append("\n".join(_setting_line(*item) for item in found["models"].items()))
    note = PURCHASES_NOTE.format(
        cold=f"{result['cold_households']:,}",
        households=result["households"],
        budgets=", ".join(f"{len(tried)} of {name}" for name, tried in result["tried"].items()),
        seeds=len(result["new"]["models"]["TwoTower"]["by_seed"]["warm"]),
        n_resamples=result["n_resamples"],
        attributes=", ".join(result["attributes"]).replace("_", " "),
    )
    return "\n\n".join([*parts, note + "\n" + machine(result)])


def _setting_line(name, model):
    setting = ", ".join(f"{key} {value}" for key, value in model["setting"].items())
    return f"- {name}: {setting}"


def overhead_section(result):
    """What the foundation costs, against what was asked of it."""
    memory, trainer, predict = result["fit_memory"], result["trainer"], result["predict"]
    encode = result["encode"]
    rows = [
        ["trainer over a hand-written loop", f"{trainer['overhead']:+.1%}", "<= 5 %"],
        [
            "predict_proba from the raw frame, rows/s",
            f"{predict['raw_rows_per_second']:,.0f}",
            ">= 300,000",
        ],
        [
            "forward pass from encoded arrays, rows/s",
            f"{predict['encoded_rows_per_second']:,.0f}",
            ">= 2,000,000",
        ],
        ["predict_proba of one row, median ms", f"{predict['one_row_ms']:.2f}", "<= 2"],
        [
            f"memory a fit adds at its peak, over the encoded rows ({memory['encoded_mb']:.0f} MB)",
            f"{memory['multiple']:.2f}",
            "<= 3",
        ],
    ]
    for kind in ("category", "str"):
        for name, limit in (("fit", 3), ("transform", 2)):
            what = f"FeatureEncoder.{name}, {encode['n_rows']:,} x {encode['n_columns']} {kind}, s"
            rows.append([what, f"{encode[kind][f'FeatureEncoder.{name}']:.2f}", f"<= {limit}"])
        seconds = [encode[kind][f"LogEncoder.{name}"] for name in ("fit_transform", "transform")]
        what = f"an estimator's own encoding ({kind}), fit / predict, s"
        rows.append([what, f"{seconds[0]:.2f} / {seconds[1]:.2f}", "<= 3 / 2"])
    return "\n\n".join(
        [
            "## What the foundation costs",
            table(["what", "measured", "wanted"], rows),
            "The hand-written loop takes the same steps on the same batches and must end with "
            "bit-equal parameters, or the script raises.",
            machine(result),
        ]
    )


# File, its command, what writes its section. Further files, after a space, stand beside the first.
SECTIONS = (
    ("impressions_converted", "impressions.py", impressions_section),
    (
        "impressions_converted_any_store",
        "impressions.py --label converted_any_store "
        "--settings-of benchmarks/results/impressions_converted.json",
        impressions_section,
    ),
    ("impressions_peers", "impressions_peers.py", impressions_peers_section),
    *(
        (f"comparison_{data}", f"comparison.py --data {data} --folder FOLDER", comparison_section)
        for data in COMPARED
    ),
    ("gbdt_lr_speed", "gbdt_lr_speed.py", gbdt_lr_speed_section),
    ("gauc", "gauc.py", gauc_section),
    ("fm_epoch", "fm_epoch.py", epoch_section),
    ("deepfm_epoch", "deepfm_epoch.py", deepfm_epoch_section),
    ("impressions_past", "impressions_past.py", past_section),
    ("din_epoch", "din_epoch.py", din_epoch_section),
    ("esmm", "esmm.py", esmm_section),
    ("esmm_epoch", "esmm_epoch.py", esmm_epoch_section),
    (
        "two_tower_ml-1m-lcfn item_cf_ml-1m-lcfn",
        "two_tower.py ml-1m-lcfn --data FOLDER",
        lcfn_section,
    ),
    ("two_tower_purchases", "purchases.py", purchases_section),
    ("overhead", "overhead.py", overhead_section),
)


def page(results):
    """The whole page from the JSON files in a folder; what is missing is named with its command."""
    parts = [INTRODUCTION.rstrip()]
    for names, command, section in SECTIONS:
        paths = [Path(results) / f"{name}.json" for name in names.split()]
        if paths[0].exists():
            found = [json.loads(path.read_text()) if path.exists() else None for path in paths]
            parts.append(section(*found).rstrip())
        else:
            title = names.split()[0]
            parts.append(f"## {title}\n\nNot measured yet: `python benchmarks/{command}`.")
    return "\n\n".join(parts) + "\n"


def main():
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    args = parser.parse_args()
    args.output.write_text(page(args.results))


if __name__ == "__main__":
    main()
