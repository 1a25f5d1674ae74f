"""Seconds of a DeepFM's epoch and AUC after 1 and 3, against four other libraries, in one run.

    python benchmarks/deepfm_epoch.py                     # about 15 minutes on two idle cores
    python benchmarks/deepfm_epoch.py --split validation  # to choose a learning rate
    python benchmarks/deepfm_epoch.py --max-rows 8192     # a trial

The rows of ``fm_epoch.py``; each library's own DeepFM with embedding 16, hidden layers 256 and
128, relu, no dropout, batch 4096, two threads, no weights and no penalty (``README.md`` says what
each leaves on). Writes ``results/deepfm_epoch.json``.
"""

import epochs


def main():
    """Parse the command line, run, write the JSON."""
    parser = epochs.make_parser(__doc__)
    epochs.add_split(parser)
    args = parser.parse_args()
    arrays = epochs.encode_impressions(args.split)
    n_ids = sum(arrays["cardinalities"])
    print(f"{arrays['X_train'].shape} codes, {n_ids:,} ids", flush=True)
    result = {
        "label": epochs.LABEL,
        "split": args.split,
        "n_train": len(arrays["y_train"]),
        "n_ids": {"sample": n_ids},
        "sample": epochs.run_all(
            "deepfm", arrays, args.libraries, args.learning_rates, args.max_rows
        ),
    }
    epochs.write(epochs.result_path("deepfm_epoch", args), result)


if __name__ == "__main__":
    main()
