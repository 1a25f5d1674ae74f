"""Sections on impressions, funnels and small logs of the page of benchmarks."""

from report_tables import COST_HEADER, chosen, cost_cells, interval, machine, mean, table

IMPRESSIONS_NOTE = """Every model sees the same 18 categorical columns and the sample weights, and
tries {n_candidates} settings on weeks 1-40, judged by {selection}; the best is fitted on weeks
1-44. The settings were tuned on the label `{tuned_on}`. Log loss is in nats per impression;
calibration is predicted over observed conversions, 1 being right. Intervals: 95 %, from
{n_resamples} paired resamples of {n_clusters:,} households; they hold what the choice of households
does, not what a seed does, which the single fits show. GAUC, log loss, NE and calibration are means
over the fits. Settings were chosen by AUC, so log loss and
calibration are what that choice made of them: choose by log loss where probabilities count.
"""


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
                f"{mean(first, 'gauc'):.4f}",
                f"{mean(first, 'log_loss'):.5f}",
                f"{mean(first, 'normalized_entropy'):.4f}",
                f"{mean(first, 'calibration'):.2f}",
                f"{model['tried'][0]['valid_auc']:.4f}",
            ]
        )
        costs.append([name, *cost_cells(model["cost"][0])])
    header = ["model", "AUC, first seed", "other seeds", "AUC, mean prediction", "GAUC", "log loss"]
    header += ["NE", "calibration", "AUC on weeks 41-44"]
    leads = [
        [
            f"FM - {rival}",
            *(interval(lead[which], ".4f") for which in ("first_seed", "mean_of_seeds")),
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
        "Impressions of Complete Journey (simulated, says their package): "
        f"{result['n_train']:,} rows in weeks 1-44 to learn from, {result['n_test']:,} in weeks "
        f"45-53 to judge, label `{result['label']}`.",
        table(header, rows),
        table(["difference of AUC", "first seed", "mean prediction of the seeds"], leads),
        note + "\n" + chosen(result),
        table(["model", *COST_HEADER], costs),
    ]
    if result["against_own_trees"]:
        parts += [OWN_TREES_NOTE.rstrip(), own_trees_table(result["against_own_trees"])]
    return "\n\n".join([*parts, machine(result)])


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
        cells += [f"{one['calibration']:.2f}", *cost_cells(model["cost"])]
        chosen = f"{best['setting']['lr']:g}, {best['length']['n_epochs']}"
        rows.append([name, *cells, chosen])
    header = ["model", "AUC", "GAUC", "log loss", "NE", "calibration", *COST_HEADER]
    return "\n\n".join(
        [
            f"The impressions above, label `{result['label']}`: {result['n_train']:,} rows in "
            f"weeks 1-44 to learn from, {result['n_test']:,} in weeks 45-53 to judge.",
            table([*header, "learning rate, epochs"], rows),
            "The same budget for each, this library's too: embedding 16, batch 4096, no penalty, "
            "two learning rates for at most three epochs, chosen by AUC on weeks 41-44. The others "
            "take no weights, so all are trained on the sample as it is, and their probabilities "
            "corrected for the negatives left out. One seed. NextRec is missing: its epoch takes "
            "over two minutes.",
            machine(result),
        ]
    )


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
                    interval(one["entropy_minus_trees"], ".4f"),
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
        result["models"].items(), key=lambda one: mean(one[1]["measured"], "log_loss")
    ):
        cells = [f"{mean(model['measured'], key):.4f}" for key in names]
        rows.append([name, *cells, *cost_cells(model["cost"])])
    if "best_possible" in result:
        cells = [f"{result['best_possible'][key]:.4f}" for key in names]
        rows.append(["(the true probabilities)", *cells, "", "", ""])
    leads = [[pair, interval(one, ".4f")] for pair, one in result["log_loss_minus"].items()]
    titles = {"auc": "AUC", "gauc": "GAUC", "log_loss": "log loss", "normalized_entropy": "NE"}
    header = ["model", *(titles.get(name, name) for name in names), *COST_HEADER]
    rows_of = ", ".join(f"{result[part]:,} {word}" for part, word in PARTS.items())
    return "\n\n".join(
        [
            f"{COMPARED[result['data']]}: {result['n_rows']:,} rows, "
            f"{result['base_rate']:.1%} positive; {rows_of}. "
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
    "avazu": "Real impressions of ads, 22 categorical columns",
    "census_income": "Who earns much, from 40 columns, numbers and categories, with missing values",
    "ad_log": "`make_ad_log`, whose true probabilities are known",
}
RUNS = {
    True: "Means over {} random splits; the intervals allow for their overlap (Nadeau and Bengio).",
    False: "Means over {} seeds of the fit; intervals resample the test rows (users, where known).",
}


ESMM_MEASURES = {
    "cvr_excess_log_loss": (
        "Synthetic logs, pCVR",
        "Log loss of pCVR over all impressions, less the truth's own, x 1000: low is good.",
    ),
    "ctcvr_excess_log_loss": (
        "Synthetic logs, pCTCVR",
        "Log loss of pCTCVR, less the truth's own, x 1000: low is good.",
    ),
    "cvr_auc_on_engaged": ("Real funnel, pCVR", "AUC of pCVR on engaged impressions."),
    "ctcvr_auc": ("Real funnel, pCTCVR", "AUC of pCTCVR over all impressions."),
}


def esmm_section(result):
    """ESMM against networks that learn one thing each: a table a measure."""
    parts = [
        "Clicks and conversions: one model of both stages, and networks that learn one thing each. "
        "Four questions, on synthetic logs and on a real funnel."
    ]
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
            title, about = ESMM_MEASURES[measure]
            parts += [f"### {title}", about]
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
    "log_loss": ("normalized_entropy", ["log loss", "NE", "calibration", "AUC", "GAUC"]),
    "auc": ("auc", ["AUC", "GAUC"]),
}


def past_section(result):
    """Models that know the past: a table for each measure that settings were chosen by."""
    parts = [
        "Impressions, and what the household had bought before: "
        f"{result['n_train']:,} rows in weeks 1-44, {result['n_test']:,} in weeks 45-53."
    ]
    for selection, (measure, header) in PAST_TABLES.items():
        if f"by_{selection}" not in result:
            continue
        part = result[f"by_{selection}"]
        rows = []
        for name, model in part["models"].items():
            fits = model["by_seed"]
            cells = [f"{mean(fits, key):.4f}" for key in ("auc", "gauc")]
            if selection == "log_loss":
                level = [f"{mean(fits, 'log_loss'):.5f}"]
                level += [f"{mean(fits, 'normalized_entropy'):.4f}"]
                cells = [*level, f"{mean(fits, 'calibration'):.2f}", *cells]
            lead = ""
            if name in part["DIN_minus"]:
                lead = interval(part["DIN_minus"][name][measure]["mean_of_seeds"], ".4f")
            rows.append([name, *cells, lead, *cost_cells(model["cost"])])
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
