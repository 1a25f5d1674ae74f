"""Seconds of a DIN's epoch and AUC after 1 and 3, against four other libraries, in one run.

    python benchmarks/din_epoch.py                  # about 20 minutes on two idle cores
    python benchmarks/din_epoch.py --max-rows 4096  # a trial

300,000 rows of ``make_ad_log``, whose best AUC is known, with histories of up to 50 events of two
attributes, item and category, which share the tables of the candidate's. Each library's own DIN
with embedding 16, attention network (80, 40), top network (200, 80), batch 4096, two threads, no
penalty (``README.md`` says what each leaves on). Writes ``results/din_epoch.json``.
"""

import epochs
from sklearn.metrics import roc_auc_score

from sk_adrec.datasets import make_ad_log
from sk_adrec.preprocessing._log_encoder import LogEncoder

N_TRAIN, N_TEST = 300_000, 50_000
LOG = {
    "n_users": 10_000,
    "n_items": 5_000,
    "n_categories": 50,
    "n_history": 2,
    "history_length": 50,
    "random_state": 0,
}
SHARED = {"hist_item_id": "item_id", "hist_item_category": "item_category"}
# A rate more takes the slowest of the libraries another five minutes.
LEARNING_RATES = (1e-3,)


def encode_ad_log(n_train=N_TRAIN, n_test=N_TEST):
    """The arrays of ``README.md`` and the best AUC that any model can expect on the test rows.

    The last rows in time are the test rows.
    """
    log = make_ad_log(n_train + n_test, **LOG)
    encoder = LogEncoder(share_vocabulary=SHARED, max_len=LOG["history_length"])
    parts = {
        "train": encoder.fit_transform(log.data.iloc[:n_train]),
        "test": encoder.transform(log.data.iloc[n_train:]),
    }
    y = log.target.to_numpy()
    arrays = {
        "y_train": y[:n_train],
        "y_test": y[n_train:],
        "cardinalities": [encoder.cardinality(name) for name in encoder.categorical_names_],
    }
    for part, encoded in parts.items():
        arrays[f"X_{part}"] = encoded.categorical
        arrays[f"Z_{part}"] = encoded.numeric
        for name, lists in encoded.sequences.items():
            j = encoder.categorical_names_.index(SHARED[name])
            arrays[f"hist_{part}_{j}_values"] = lists.values
            arrays[f"hist_{part}_{j}_offsets"] = lists.offsets
    return arrays, float(roc_auc_score(y[n_train:], log.p_click[n_train:]))


def main():
    """Parse the command line, run, write the JSON."""
    args = epochs.make_parser(__doc__, LEARNING_RATES).parse_args()
    arrays, best_auc = encode_ad_log()
    n_ids = sum(arrays["cardinalities"])
    n_events = next(len(values) for name, values in arrays.items() if "hist_train" in name)
    print(f"{arrays['X_train'].shape} codes, {n_ids:,} ids, best AUC {best_auc:.4f}", flush=True)
    result = {
        "data": {"make_ad_log": LOG, "n_numbers": arrays["Z_train"].shape[1]},
        "best_auc": best_auc,
        "mean_history_length": n_events / N_TRAIN,
        "n_train": N_TRAIN,
        "n_ids": {"sample": n_ids},
        "sample": epochs.run_all("din", arrays, args.libraries, args.learning_rates, args.max_rows),
    }
    epochs.write(epochs.result_path("din_epoch", args), result)


if __name__ == "__main__":
    main()
