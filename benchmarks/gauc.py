"""gauc_score on 10 million rows of a million users: at most 8 s and 2 GB.

python benchmarks/gauc.py
python benchmarks/gauc.py --rows 1000000 --groups 100000 --loop --output out.json

Writes ``results/gauc.json``.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import protocol
from sklearn.metrics import roc_auc_score

from sk_adrec.metrics import gauc_score


def draw(n_rows: int, n_groups: int):
    """Clicks at 10 %, scores that know something of them, integer user ids, weights."""
    rng = np.random.default_rng(0)
    y = (rng.random(n_rows) < 0.1).astype(np.int8)
    score = rng.random(n_rows) + 0.2 * y
    return y, score, rng.integers(0, n_groups, n_rows), rng.random(n_rows)


def seconds(function):
    start, cpu = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - start, time.process_time() - cpu


def peak_gigabytes() -> float:
    """The most memory that this process has held, data included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def loop(y, score, groups):
    """GAUC by one roc_auc_score per group."""
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    aucs, sizes = [], []
    for rows in np.split(order, starts[1:]):
        if 0 < y[rows].sum() < len(rows):
            aucs.append(roc_auc_score(y[rows], score[rows]))
            sizes.append(len(rows))
    return np.average(aucs, weights=sizes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--loop", action="store_true", help="compare with a loop over groups")
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "gauc.json")
    args = parser.parse_args()
    y, score, groups, weight = draw(args.rows, args.groups)
    result = {"rows": args.rows, "groups": args.groups, "data_gb": peak_gigabytes()}
    for name, w in {"plain": None, "weighted": weight}.items():
        value, wall, cpu = seconds(lambda w=w: gauc_score(y, score, groups, sample_weight=w))
        result[name] = {"gauc": value, "seconds": wall, "cpu_seconds": cpu}
        result[name]["peak_gb"] = peak_gigabytes()
    if args.loop:
        value, wall, cpu = seconds(lambda: loop(y, score, groups))
        result["loop"] = {"gauc": value, "seconds": wall, "cpu_seconds": cpu}
    result |= protocol.environment()
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
