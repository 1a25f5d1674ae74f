"""Seconds of a two-tower model's epoch against torch-rechub's DSSM on the same pairs, in one run.

    python benchmarks/two_tower_epoch.py                   # about 10 minutes on two idle cores
    python benchmarks/two_tower_epoch.py --max-rows 8192   # a trial

Pairs of a household and a product that it bought in weeks 1-44, with five attributes of the
household and four of the product; as many pairs of label 0 have a product drawn uniformly. Test:
the same of weeks 45-53. Both towers: embedding 16, one hidden layer of 64, vectors of 16, relu,
two threads. Point-wise: log loss on all pairs, batch 4096. In-batch: the bought pairs only, batch
1024, every other product of the batch is a negative; torch-rechub draws them in a Python loop over
the batch, so that 50 steps tell its speed. Writes ``results/two_tower_epoch.json``.
"""

import epochs
import numpy as np
import pandas as pd

from sk_adrec.datasets import load_complete_journey_purchases
from sk_adrec.preprocessing._log_encoder import LogEncoder

LIBRARIES = [epochs.OURS, "torch_rechub"]
HOUSEHOLD = ["household_id", "age", "income", "home_ownership", "marital_status", "household_size"]
PRODUCT = ["product_id", "product_category", "product_type", "department", "brand"]
TRAIN_WEEKS, TEST_WEEKS = range(1, 45), range(45, 54)
IN_BATCH_SIZE, IN_BATCH_STEPS = 1024, 50


def read_pairs(weeks, rng):
    """Distinct bought pairs and as many drawn ones in random order, and their labels."""
    log = load_complete_journey_purchases(weeks=weeks).data[[*HOUSEHOLD, *PRODUCT]]
    bought = log.drop_duplicates(["household_id", "product_id"], ignore_index=True)
    products = bought[PRODUCT].drop_duplicates("product_id", ignore_index=True)
    drawn = products.take(rng.integers(0, len(products), len(bought))).reset_index(drop=True)
    drawn = pd.concat([bought[HOUSEHOLD], drawn], axis=1)
    y = np.repeat(np.float32([1, 0]), len(bought))
    order = rng.permutation(len(y))
    pairs = pd.concat([bought, drawn], ignore_index=True).take(order).reset_index(drop=True)
    return pairs, y[order]


def encode_pairs():
    """The arrays of ``README.md``."""
    rng = np.random.default_rng(0)
    (X, y), (X_test, y_test) = read_pairs(TRAIN_WEEKS, rng), read_pairs(TEST_WEEKS, rng)
    encoder = LogEncoder()
    codes = encoder.fit_transform(X).categorical
    return {
        "X_train": codes,
        "y_train": y,
        "X_test": encoder.transform(X_test).categorical,
        "y_test": y_test,
        "cardinalities": [encoder.cardinality(name) for name in encoder.categorical_names_],
        "n_user_fields": len(HOUSEHOLD),
    }


def main():
    """Parse the command line, run, write the JSON."""
    parser = epochs.make_parser(__doc__, learning_rates=(1e-3,))
    parser.set_defaults(libraries=LIBRARIES)
    args = parser.parse_args()
    arrays = encode_pairs()
    print(f"{arrays['X_train'].shape} codes, {sum(arrays['cardinalities']):,} ids", flush=True)
    n_train = len(arrays["y_train"])
    reports = {
        "dssm": epochs.run_all("dssm", arrays, args.libraries, args.learning_rates, args.max_rows)
    }
    bought = np.flatnonzero(arrays["y_train"] == 1)[
        : args.max_rows or IN_BATCH_SIZE * IN_BATCH_STEPS
    ]
    arrays |= {name: arrays[name][bought] for name in ("X_train", "y_train")}
    reports["dssm_in_batch"] = epochs.run_all(
        "dssm_in_batch", arrays, args.libraries, args.learning_rates, batch_size=IN_BATCH_SIZE
    )
    result = {"n_train": n_train, "n_ids": sum(arrays["cardinalities"]), **reports}
    epochs.write(epochs.result_path("two_tower_epoch", args), result)


if __name__ == "__main__":
    main()
