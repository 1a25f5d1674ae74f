"""Seconds of an ESMM's epoch and AUC after 1 and 3, against three other libraries, in one run.

    python benchmarks/esmm_epoch.py                     # about 10 minutes on two idle cores
    python benchmarks/esmm_epoch.py --split validation  # to choose a learning rate
    python benchmarks/esmm_epoch.py --max-rows 8192     # a trial

The rows of ``fm_epoch.py`` with two labels, engaged (bought from the product's category) and
converted (bought the product). Each library's own ESMM with embedding 16, towers (128, 64), batch
4096, two threads, no dropout, weights or penalty (``README.md`` says what each leaves on). Writes
``results/esmm_epoch.json``.
"""

import epochs

STAGES = ["engaged", "converted"]
# Those with an ESMM in peers/.
LIBRARIES = [epochs.OURS, "deepctr_torch", "torch_rechub", "nextrec"]


def main():
    """Parse the command line, run, write the JSON."""
    parser = epochs.make_parser(__doc__)
    parser.set_defaults(libraries=LIBRARIES)
    epochs.add_split(parser)
    args = parser.parse_args()
    arrays = epochs.encode_impressions(args.split, target=STAGES)
    n_ids = sum(arrays["cardinalities"])
    print(f"{arrays['X_train'].shape} codes, {n_ids:,} ids", flush=True)
    result = {
        "labels": STAGES,
        "split": args.split,
        "n_train": len(arrays["y_train"]),
        "n_ids": {"sample": n_ids},
        "sample": epochs.run_all(
            "esmm", arrays, args.libraries, args.learning_rates, args.max_rows
        ),
    }
    epochs.write(epochs.result_path("esmm_epoch", args), result)


if __name__ == "__main__":
    main()
