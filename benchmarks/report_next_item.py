"""Sections on next items of the page of benchmarks."""

from report_tables import BEAUTY_PUBLISHED, machine, mean, table

NEXT_ITEM_NAMES = {
    "hstu": "HSTUNextItem",
    "hstu_times": "HSTUNextItem with times",
    "sasrec": "SASRecNextItem",
    "rectools_hstu": "RecTools' HSTU, position bias",
    "rectools_sasrec": "RecTools' SASRec",
    "skrecsys_hstu": "skrecsys' HSTU",
    "popularity": "popularity",
    "frequency": "household's own frequency",
    "item_cf": "ItemCF",
}


def hstu_section(result, epoch=None):
    """Accuracy of each next-item model on MovieLens-1M, means over its seeds, and its speed."""
    by_model = {}
    for one in result["runs"]:
        by_model.setdefault(one["model"], []).append(one)
    rows = []
    for name, runs in by_model.items():
        cells = [NEXT_ITEM_NAMES[name], f"{len(runs)}"]
        for measure in ("hr", "ndcg"):
            values = [one["test"][measure] for one in runs]
            spread = f" ({min(values):.4f} to {max(values):.4f})" if len(runs) > 1 else ""
            cells.append(f"{sum(values) / len(values):.4f}{spread}")
        rows.append([*cells, ", ".join(f"{len(one['epochs'])}" for one in runs)])
    parts = [
        f"{result['n_events']:,} events of {result['n_users']:,} users, in their order, "
        "without times; 3,706 films, of which 3,704 occur before the test.",
        table(["model", "seeds", "HR@10", "NDCG@10", "epochs"], rows),
        "Test: the last item, the 2nd-last to stop on (patience 5); all items that occur before "
        "the test are ranked but those of the history. The order of equal timestamps is arbitrary "
        "in this copy, so published numbers are orientation only: RecTools' HSTU with position "
        "bias .3023 / .1718, its SASRec .2877 / .1622, skrecsys' HSTU .2871 / .1665, SASRec "
        "with the full cross-entropy .3152 / .1821.",
    ]
    parts += [_budget(one) for one in by_model.get("skrecsys_hstu", []) if one["minutes"]]
    if epoch is not None:
        parts += _speed(epoch, by_model)
    return "\n\n".join([*parts, machine(result)])


def _budget(one):
    """What the rival that has no early stopping was given."""
    median, total = _epoch_seconds(one["epochs"])
    threads = "1 thread" if one["threads"] == 1 else f"{one['threads']} threads"
    return (
        "skrecsys' HSTU has no validation: it was fitted on all but the test, and began no epoch "
        f"after {one['minutes']:.0f} minutes on {threads}; its {len(one['epochs'])} took "
        f"{median:.0f} s each, {total / 60:.0f} minutes in all. It was far from its end: its "
        "default is 100 epochs, published with 22 minutes on an Apple M4 Pro."
    )


def _speed(epoch, by_model):
    """Seconds of an epoch, measured in turn, and what the epochs above come to."""
    rows = []
    for one in epoch["runs"]:
        median, _ = _epoch_seconds(one["epochs"])
        minutes = [median * len(run["epochs"]) / 60 for run in by_model.get(one["model"], [])]
        every = ", ".join(f"{each['seconds']:.0f}" for each in one["epochs"])
        name = NEXT_ITEM_NAMES[one["model"]]
        rows.append([name, every, ", ".join(f"{each:.0f}" for each in minutes)])
    return [
        table(["model", "s of each epoch", "minutes that the epochs above come to"], rows),
        "Trained in turn on two threads, without the ranking of the validation items.",
    ]


def _epoch_seconds(epochs):
    """Median and sum of the seconds of epochs."""
    seconds = sorted(one["seconds"] for one in epochs)
    return seconds[len(seconds) // 2], sum(seconds)


def _network_cells(one):
    """What validation said and, of networks, the chosen epochs, the test before the refit, time."""
    if "refit_epochs" not in one:
        return [f"{one['valid_ndcg']:.4f}" if "valid_ndcg" in one else "", "", "", ""]
    before = one["without_refit"]
    seconds = [_epoch_seconds(trial["epochs"])[1] for trial in one["tried"]]
    seconds.append(_epoch_seconds(one["refit_epochs"])[1])
    return [
        f"{one['valid_ndcg']:.4f}",
        f"{one['n_epochs']}",
        f"{before['hr']:.4f} / {before['ndcg']:.4f}",
        " + ".join(f"{each / 60:.0f}" for each in seconds),
    ]


def next_item_section(result, item_cf=None):
    """Accuracy of each next-item model on one log."""
    rows = []
    for name, one in result["models"].items():
        accuracy = [f"{one['test'][measure]:.4f}" for measure in ("hr", "ndcg")]
        rows.append([NEXT_ITEM_NAMES[name], *accuracy, *_network_cells(one)])
    if item_cf is not None:
        one = item_cf["ItemCF"]
        rows.append(["ItemCF", f"{one['hr@10']:.4f}", f"{one['ndcg@10']:.4f}", "", "", "", ""])
        rows += [
            [name, f"{one['hr']:.4f}", f"{one['ndcg']:.4f}", *[""] * 4]
            for name, one in BEAUTY_PUBLISHED.items()
        ]
    header = ["model", "HR@10", "NDCG@10", "NDCG@10 on validation", "epochs"]
    header += ["without the last fit", "minutes of all fits"]
    return "\n\n".join(
        [
            NEXT_ITEM_LOGS[result["what"]].format(**result["rows"]),
            table(header, rows),
            NEXT_ITEM_NOTES[result["what"]],
            *_settings(result),
            machine(result),
        ]
    )


def _settings(result):
    """What was tried of each network, and taken."""
    for name, one in result["models"].items():
        if "refit_epochs" not in one:
            continue
        first, *others = (trial["setting"] for trial in one["tried"])
        told = [", ".join(f"{name} {value}" for name, value in first.items())]
        told += [_difference(other, first) for other in others]
        taken = _difference(one["setting"], first) or "the first"
        end = f". Taken: {taken}." if others else "."
        yield f"{NEXT_ITEM_NAMES[name]}, seed {one['seed']}, tried {'; with '.join(told)}{end}"


def _difference(setting, first):
    """What a setting has in place of the first one's."""
    return ", ".join(
        f"{key} {value}" for key, value in setting.items() if first.get(key, ...) != value
    )


NEXT_ITEM_LOGS = {
    "beauty": "{test:,} users of Amazon Beauty, leave-last-out.",
    "category": "{test:,} baskets of Complete Journey in weeks 45-53.",
}
NEXT_ITEM_NOTES = {
    "beauty": "The whole catalogue is ranked but what the user has had. Settings and epochs by the "
    "2nd-last items; then fitted again on all but the test, ItemCF too. Those published were not: "
    "compare them with the column before the last.",
    "category": "The category that comes first in the next basket (drawn at random, since a basket "
    "has one time), from the 200 purchases before it; what was bought before may come again. Weeks "
    "1-40 to train, 41-44 to choose settings and epochs, then fitted again on both. The network "
    "also reads which purchases ended their basket.",
}


def best_of_seeds(result, epoch=None):
    """For the summary: accuracy of each model, the mean of its seeds, and seconds of an epoch."""
    by_model = {}
    for one in result["runs"]:
        by_model.setdefault(NEXT_ITEM_NAMES[one["model"]], []).append(one["test"])
    measures = [
        (title, {name: mean(runs, key) for name, runs in by_model.items()}, 4, False)
        for title, key in _MEASURES
    ]
    if epoch is not None:
        seconds = {
            NEXT_ITEM_NAMES[one["model"]]: _epoch_seconds(one["epochs"])[0] for one in epoch["runs"]
        }
        measures.append(("s an epoch", seconds, 1, True))
    return measures


def best(result, item_cf=None):
    """For the summary: accuracy of each model."""
    measures = []
    for title, key in _MEASURES:
        values = {NEXT_ITEM_NAMES[name]: one["test"][key] for name, one in result["models"].items()}
        if item_cf is not None:
            values["ItemCF"] = item_cf["ItemCF"][f"{key}@10"]
            values |= {name: one[key] for name, one in BEAUTY_PUBLISHED.items()}
        measures.append((title, values, 4, False))
    return measures


# Titles, and keys in results.
_MEASURES = (("HR@10", "hr"), ("NDCG@10", "ndcg"))
