"""What all sections of the page of benchmarks are made of: tables, leads, the machine."""

# Amazon Beauty, HR@10 and NDCG@10 by antklen/sasrec-bert4rec-recsys23; without a fit on validation.
BEAUTY_PUBLISHED = {
    "SASRec with full cross-entropy, as published, no refit": {"hr": 0.0533, "ndcg": 0.0327},
    "BERT4Rec, as published, no refit": {"hr": 0.0338, "ndcg": 0.0187},
}


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


def mean(measured, key):
    """Mean of a measure over fits."""
    return sum(one[key] for one in measured) / len(measured)


COST_HEADER = ["fit, s", "predict, s", "memory a fit adds, MB"]


def cost_cells(cost):
    """Cells below `COST_HEADER`."""
    seconds = [f"{cost[name]:.1f}" for name in ("fit_seconds", "predict_seconds")]
    return [*seconds, f"{cost['added_mb']:,.0f}"]


def chosen(result):
    """The winning setting of each model, one line each."""
    lines = []
    for name, model in sorted(result["models"].items()):
        best = {k: v for k, v in model["tried"][0].items() if k != "setting" and "valid" not in k}
        setting = ", ".join(f"{k} {v}" for k, v in (model["tried"][0]["setting"] | best).items())
        lines.append(f"- {name}: {setting}")
    return "\n".join(lines)


def machine(result):
    """One line: processor, cores, threads, versions."""
    m = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return f"Measured on {m['processor']}, {m['cores']} cores, {m['threads']} threads; {versions}."


def interval(one, digits):
    return f"{one['difference']:+{digits}} [{one['low']:+{digits}}, {one['high']:+{digits}}]"


def lead(reports, wanted):
    """A sentence: how many times longer the fastest other library takes."""
    steps = {
        mine: [r["seconds_per_step"] for r in reports if (r["peer"] == "sk-adrec") == mine]
        for mine in (True, False)
    }
    times = min(steps[False]) / min(steps[True])
    return f"The fastest of the others takes {times:.1f} times as long (wanted: {wanted})."


def epoch_table(reports, n_train, aucs=(("AUC", "auc"),)):
    ours = min(r["seconds_per_step"] for r in reports if r["peer"] == "sk-adrec")
    rows = []
    for r in reports:
        version = r["versions"].get(r["peer"], "")
        per_step = r["seconds_per_step"]
        cells = [f"{r['peer']} {version}".strip(), f"{r['config']['lr']:g}"]
        cells += [
            f"{per_step * 1e3:.1f}",
            f"{per_step * -(-n_train // r['config']['batch_size']):.1f}",
        ]
        cells += [f"{per_step / ours:.1f}"]
        whole = r["n_train"] == n_train
        for _, key in aucs:
            cells += [f"{r[key][n]:.4f}" if whole and n in r[key] else "" for n in ("1", "3")]
        rows.append([*cells, f"{r['n_train']:,}"])
    header = ["library", "learning rate", "ms a step", "s an epoch", "times ours"]
    header += [f"{auc} after {n}" for auc, _ in aucs for n in (1, 3)]
    return table([*header, "rows"], rows)
