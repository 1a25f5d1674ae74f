"""Seconds of an FM's epoch and AUC after 1 and 3, against four other libraries, in one run.

    python benchmarks/fm_epoch.py                     # about 10 minutes on two idle cores
    python benchmarks/fm_epoch.py --split validation  # where the second learning rate was chosen
    python benchmarks/fm_epoch.py --max-rows 20480    # a trial

Each library runs in its own process and environment (``make_envs.py``), one after the other, on
the same codes, with embedding 16, batch 4096, two threads, no weights and no penalty. Writes
``results/fm_epoch.json``.
"""

import tempfile
from pathlib import Path

import epochs
import numpy as np

# Four columns of a million ids each; with dense Adam a step takes about a second.
MANY_ID_COLUMNS, MANY_IDS = 4, 1_000_000
MANY_IDS_ROWS = 10 * epochs.BATCH_SIZE
# Runners always score test rows; with random ids their AUC says nothing, so a few will do.
UNUSED_ROWS = 10_000


def with_many_ids(arrays):
    """The same rows, the first columns holding a million ids each, all of which occur."""
    X = arrays["X_train"].copy()
    rng = np.random.default_rng(0)
    n_ids = min(MANY_IDS, len(X))
    cardinalities = list(arrays["cardinalities"])
    X_test, y_test, w_test = (arrays[name][:UNUSED_ROWS] for name in ("X_test", "y_test", "w_test"))
    X_test = X_test.copy()
    for j in range(MANY_ID_COLUMNS):
        X[:, j] = rng.permutation(len(X)) % n_ids
        X_test[:, j] = rng.integers(0, n_ids, len(X_test))
        cardinalities[j] = n_ids
    return {
        "X_train": X,
        "y_train": arrays["y_train"],
        "X_test": X_test,
        "y_test": y_test,
        "w_test": w_test,
        "cardinalities": cardinalities,
    }


def run_many_ids(libraries, arrays):
    """The reports of all libraries on rows with millions of ids, one short epoch each."""
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data.npz"
        np.savez(data, **arrays)
        print(f"{sum(arrays['cardinalities']):,} ids, {MANY_IDS_ROWS:,} rows", flush=True)
        return [
            epochs.run(library, data, directory, lr=1e-3, epochs=1, max_rows=MANY_IDS_ROWS)
            for library in libraries
        ]


def main():
    """Parse the command line, run, write the JSON."""
    parser = epochs.make_parser(__doc__)
    epochs.add_split(parser)
    args = parser.parse_args()
    arrays = epochs.encode_impressions(args.split)
    cardinalities = arrays["cardinalities"]
    print(f"{arrays['X_train'].shape} codes, {sum(cardinalities):,} ids", flush=True)
    result = {
        "label": epochs.LABEL,
        "split": args.split,
        "n_train": len(arrays["y_train"]),
        "n_ids": {"sample": sum(cardinalities), "many_ids": MANY_ID_COLUMNS * MANY_IDS},
        "sample": epochs.run_all("fm", arrays, args.libraries, args.learning_rates, args.max_rows),
        "many_ids": run_many_ids(args.libraries, with_many_ids(arrays)),
    }
    epochs.write(epochs.result_path("fm_epoch", args), result)


if __name__ == "__main__":
    main()
