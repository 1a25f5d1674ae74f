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
does, not what a seed does, which the single fits show. Settings were chosen by AUC, so log loss and
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
    rows = []
    for name, model in sorted(result["models"].items()):
        mean, first = model["mean_of_seeds"], model["by_seed"]
        rows.append(
            [
                name,
                f"{first[0]['auc']:.4f}",
                ", ".join(f"{one['auc']:.4f}" for one in first[1:]) or "(no randomness)",
                f"{mean['auc']:.4f}",
                f"{mean['log_loss']:.5f}",
                f"{mean['calibration']:.2f}",
                f"{model['tried'][0]['valid_auc']:.4f}",
            ]
        )
    header = ["model", "AUC, first seed", "other seeds", "AUC, mean of seeds", "log loss"]
    header += ["calibration", "AUC on weeks 41-44"]
    leads = [
        [
            f"FM - {rival}",
            *(f"{one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}]" for one in pair),
        ]
        for rival, lead in sorted(result["FM_minus"].items())
        for pair in [(lead["first_seed"], lead["mean_of_seeds"])]
    ]
    models, lead = result["models"].values(), next(iter(result["FM_minus"].values()))
    note = IMPRESSIONS_NOTE.format(
        n_candidates=max(len(model["tried"]) for model in models),
        selection=result["selection"],
        tuned_on=result["tuned_on"],
        **{name: lead["first_seed"][name] for name in ("n_resamples", "n_clusters")},
    )
    return "\n\n".join(
        [
            "## Complete Journey impressions (simulated, says their package), label "
            f"`{result['label']}`: {result['n_train']:,} rows in weeks "
            f"1-44, {result['n_test']:,} in weeks 45-53",
            table(header, rows),
            table(["difference of AUC", "first seed", "mean of seeds"], leads),
            note + "\n" + chosen(result),
            machine(result),
        ]
    )


def chosen(result):
    """The winning setting of each model, one line each."""
    lines = []
    for name, model in sorted(result["models"].items()):
        best = {k: v for k, v in model["tried"][0].items() if k not in ("setting", "valid_auc")}
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
            _epoch_table(result["many_ids"], result["n_train"], auc=False),
            _lead(result["many_ids"], 15),
            "Four of the columns hold a million ids each; steps of 4096 rows. The others' dense "
            "Adam visits every row of every table at each step, this library's only the rows of "
            "the batch.",
            machine(result),
        ]
    )


def _lead(reports, wanted):
    """A sentence: how many times longer the fastest other library takes."""
    steps = {
        mine: [r["seconds_per_step"] for r in reports if (r["peer"] == "sk-adrec") == mine]
        for mine in (True, False)
    }
    times = min(steps[False]) / min(steps[True])
    return f"The fastest of the others takes {times:.1f} times as long (wanted: {wanted})."


def _epoch_table(reports, n_train, auc=True):
    ours = min(r["seconds_per_step"] for r in reports if r["peer"] == "sk-adrec")
    rows = []
    for r in reports:
        version = r["versions"].get(r["peer"], "")
        per_step = r["seconds_per_step"]
        cells = [f"{r['peer']} {version}".strip(), f"{r['config']['lr']:g}"]
        cells += [f"{per_step * 1e3:.1f}", f"{per_step * -(-n_train // 4096):.1f}"]
        cells += [f"{per_step / ours:.1f}"]
        whole = r["n_train"] == n_train
        if auc:
            cells += [f"{r['auc'][n]:.4f}" if whole and n in r["auc"] else "" for n in ("1", "3")]
        rows.append([*cells, f"{r['n_train']:,}"])
    header = ["library", "learning rate", "ms a step", "s an epoch", "times ours"]
    header += ["AUC after 1", "AUC after 3"] if auc else []
    return table([*header, "rows"], rows)


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


# File, its command, what writes its section.
SECTIONS = (
    ("impressions_converted", "impressions.py", impressions_section),
    (
        "impressions_converted_any_store",
        "impressions.py --label converted_any_store "
        "--settings-of benchmarks/results/impressions_converted.json",
        impressions_section,
    ),
    ("fm_epoch", "fm_epoch.py", epoch_section),
    ("overhead", "overhead.py", overhead_section),
)


def page(results):
    """The whole page from the JSON files in a folder; what is missing is named with its command."""
    parts = [INTRODUCTION.rstrip()]
    for name, command, section in SECTIONS:
        path = Path(results) / f"{name}.json"
        if path.exists():
            parts.append(section(json.loads(path.read_text())).rstrip())
        else:
            parts.append(f"## {name}\n\nNot measured yet: `python benchmarks/{command}`.")
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
