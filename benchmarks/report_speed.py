"""Sections on seconds and memory of the page of benchmarks."""

from report_tables import epoch_table, lead, machine, table


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
            f"{result['n_train']:,} rows of a synthetic log, 100 trees of 31 leaves: the same "
            "trees, with other solvers of the linear layer.",
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
            f"`gauc_score` of {result['rows']:,} rows of {result['groups']:,} users.",
            table(["", "s (wanted: 8)", "peak memory of the process, GB (wanted: 2)"], rows),
            machine(result),
        ]
    )


def epoch_section(result):
    """Seconds of an epoch and AUC of each library, then the variant with millions of ids."""
    return "\n\n".join(
        [
            f"{result['n_train']:,} impressions x 18 columns, embedding 16, batch 4096.",
            epoch_table(result["sample"], result["n_train"]),
            lead(result["sample"], 3),
            "Seconds are the median epoch. A library that saw fewer rows (last column) has its "
            "steps counted up to a whole epoch, and no AUC. Test weeks: 45-53; AUC after 1 and "
            f"after 3 epochs; label `{result['label']}`, no weights.",
            f"### The same rows with {result['n_ids']['many_ids'] / 1e6:.0f} million ids",
            epoch_table(result["many_ids"], result["n_train"], aucs=()),
            lead(result["many_ids"], 15),
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
            f"{result['n_train']:,} impressions x 18 columns, embedding 16, layers (256, 128), "
            "batch 4096.",
            epoch_table(result["sample"], result["n_train"]),
            lead(result["sample"], 3),
            machine(result),
        ]
    )


def din_epoch_section(result):
    """Seconds of a DIN's epoch and AUC of each library."""
    return "\n\n".join(
        [
            f"{result['n_train']:,} rows of a synthetic log, histories of "
            f"{result['mean_history_length']:.0f} events with two attributes, embedding 16, "
            "batch 4096.",
            epoch_table(result["sample"], result["n_train"]),
            lead(result["sample"], 8),
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
            f"{result['n_train']:,} impressions x 18 columns, embedding 16, towers (128, 64), "
            f"batch 4096; stages {' -> '.join(result['labels'])}.",
            epoch_table(result["sample"], result["n_train"], aucs),
            lead(result["sample"], 5),
            machine(result),
        ]
    )


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
            "Training, prediction and encoding, and what was asked of them beforehand.",
            table(["what", "measured", "wanted"], rows),
            "The hand-written loop takes the same steps on the same batches and must end with "
            "bit-equal parameters, or the script raises.",
            machine(result),
        ]
    )
