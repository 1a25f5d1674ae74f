"""Sections on recall of the page of benchmarks."""

from report_tables import BEAUTY_PUBLISHED, epoch_table, interval, lead, machine, table

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
    "new": "Products new to the household",
    "all": "All products, old ones included",
}


def beauty_section(result):
    """ItemCF on Amazon Beauty, beside published networks."""
    one = result["ItemCF"]
    setting = ", ".join(f"{name} {value}" for name, value in one["setting"].items())
    rows = [
        [f"ItemCF, {setting}", f"{one['hr@10']:.4f}", f"{one['ndcg@10']:.4f}"],
    ]
    rows += [
        [name, f"{one['hr']:.4f}", f"{one['ndcg']:.4f}"] for name, one in BEAUTY_PUBLISHED.items()
    ]
    return "\n\n".join(
        [
            f"The last item of {one['users']:,} users, the whole catalogue ranked.",
            table(["model", "HR@10", "NDCG@10"], rows),
            f"Leave-last-out; of {len(result['tried'])} settings the best on the items before the "
            "last was fitted again with them. The published networks (antklen/"
            "sasrec-bert4rec-recsys23) were not, which counts against them.",
            machine(result),
        ]
    )


def lcfn_section(towers, others):
    """Recall and NDCG of two towers on the fixed split of ml-1m, beside models on neighbours."""
    wanted = ("recall@20", "ndcg@20")
    own = dict(towers["setting"])
    names = ("embedding_dim", "temperature", "user_power")
    tuned = ", ".join(f"{name} {own[name]}" for name in names if name in own)
    mean, seeds = towers["mean"], towers["test"]
    spread = [max(abs(one[name] - mean[name]) for one in seeds) for name in wanted]
    rows = [
        [f"TwoTowerRetriever, ids only, {tuned}; mean of {len(seeds)} seeds"]
        + [f"{mean[name]:.4f} (within {s:.4f})" for name, s in zip(wanted, spread)],
        ["TwoTowerRetriever(user_items=True), defaults; one seed"]
        + [f"{towers['defaults'][name]:.4f}" for name in wanted],
    ]
    budgets = []
    for name, one in (others or {}).items():
        if isinstance(one, dict) and wanted[0] in one:
            setting = ", ".join(f"{key} {value}" for key, value in one.get("setting", {}).items())
            title = f"{name}, {setting}" if setting else name
            rows.append([title, *(f"{one[key]:.4f}" for key in wanted)])
            if "tried" in one:
                budgets.append(f"{len(one['tried'])} settings of {name}")
    rows.append(["UltraGCN, as published", "0.2787", "0.2642"])
    return "\n\n".join(
        [
            f"The fixed split of ml-1m that UltraGCN's results are on: {seeds[0]['users']:,} "
            "users, ids only, the whole catalogue ranked.",
            table(["model", "recall@20", "NDCG@20"], rows),
            "Settings were chosen by recall@20 + NDCG@20 on a tenth of the training rows: "
            f"{', '.join(budgets)}, and 31 tries of the towers (`results/two_tower_journal.json`); "
            "rows of a user with n rows may weigh n^-user_power in all of them. The test rows were "
            "read before for another setting of the towers (.2734 / .2579), and for narrower grids "
            "of the others. The tuned two towers take "
            f"{mean['fit_cpu_seconds']:.0f} s of one core to fit, the defaults "
            f"{towers['defaults']['fit_cpu_seconds']:.0f} s.",
            machine(towers),
        ]
    )


def purchases_section(result):
    """Recall of each model on warm and cold households, and what two towers gain on it."""
    parts = [
        "A hundred candidates for each household of Complete Journey: which share of what it buys "
        "in the next four weeks is among them (recall@100)?"
    ]
    for measure, title in PURCHASES_TITLES.items():
        found, groups = result[measure], ("warm", "cold")
        rows = []
        for name, model in found["models"].items():
            cells = [f"{model[group]:.4f}" for group in groups]
            gains = found["TwoTower minus"].get(name, {})
            for group in groups:
                cells.append(interval(gains[group], ".4f") if gains else "")
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


LOGS = {
    "ml-1m": "MovieLens-1M",
    "purchases": "Complete Journey, distinct pairs",
    "zipf": "synthetic, items by a Zipf law",
}
SPEED_NOTE = """Seconds from raw ids, the least of {repeats} runs taken in turns, two threads; 100
neighbours, the 10 best for {k_users}. "From a CSR": without what implicit needs to number the ids.
ItemCF also calibrates its probabilities within that time. implicit scores an item by the lists of
the history's items, skrecsys and ItemCF by the item's own list, which is more work where some items
are near to all, as in the synthetic log. Similarities were compared place by place: the largest
difference is {difference:.0e}; of equal ones any may be kept, so that {same} of the neighbours are
the same."""


def item_cf_speed_section(*results):
    """Seconds to fit and to recommend, for each log and library."""
    rows, repeats, users, apart, same = [], set(), set(), [], []
    for name, result in zip(LOGS, results):
        if result is None:
            continue
        best = {library: _seconds(runs) for library, runs in result["runs"].items()}
        ours = best["sk_adrec"]
        for library, (encode, fit, recommend) in best.items():
            whole = encode + fit + recommend
            log = f"{LOGS[name]}: {result['pairs']:,} pairs, {result['items']:,} items"
            cells = [log, library, f"{encode + fit:.2f}", f"{recommend:.2f}"]
            cells += [f"{whole / sum(ours):.1f}"]
            cells += [f"{(whole - encode) / sum(ours):.1f}" if encode else ""]
            rows.append(cells)
        repeats.add(len(result["runs"]["sk_adrec"]))
        users.add(result["users_served"])
        apart += [one["largest_difference"] for one in result["neighbors"].values()]
        same += [one["same_neighbors"] for one in result["neighbors"].values()]
    header = ["log", "library", "fit, s", "recommend, s", "times ours", "from a CSR"]
    note = SPEED_NOTE.format(
        repeats=" or ".join(map(str, sorted(repeats))),
        k_users="all users" if len(users) == 1 else f"all users (at most {max(users):,})",
        difference=max(apart),
        same=f"{min(same):.0%} to {max(same):.0%}",
    )
    about = "Neighbours of all items, then ten items for each user, from raw ids."
    return "\n\n".join([about, table(header, rows), note, machine(results[0])])


def _seconds(runs):
    """The least seconds of encoding, of fitting and of recommending."""
    names = ("encode_seconds", "fit_seconds", "recommend_seconds")
    return [min(run.get(name, 0.0) for run in runs) for name in names]


def two_tower_epoch_section(result):
    """Seconds of an epoch of two towers against torch-rechub's DSSM."""
    pairs = result["dssm"]
    in_batch = result["dssm_in_batch"]
    return "\n\n".join(
        [
            f"{result['n_train']:,} pairs with 11 columns, embedding 16.",
            "### Log loss on pairs of either label, batch 4096",
            epoch_table(pairs, result["n_train"]),
            lead(pairs, 5),
            "### The bought pairs against each other, batch 1024",
            epoch_table(in_batch, in_batch[0]["n_train"]),
            lead(in_batch, 5),
            "torch-rechub's DSSM has no temperature, and draws the negatives of a batch in a "
            "Python loop. AUC tells bought pairs from drawn ones in the weeks after.",
            machine(result),
        ]
    )
