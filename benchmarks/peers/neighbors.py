"""What the runners of item-neighbour libraries share: arguments, the log, the clock, the report.

It needs only numpy, because it runs under each peer's own environment.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np


class Clock:
    """Wall-clock and CPU seconds of named parts."""

    def __init__(self):
        self.seconds = {}

    def time(self, name, function):
        """Call a function, note how long it took, and return what it returned."""
        start, cpu = time.perf_counter(), time.process_time()
        result = function()
        self.seconds[f"{name}_seconds"] = time.perf_counter() - start
        self.seconds[f"{name}_cpu_seconds"] = time.process_time() - cpu
        return result


def save(path, similarity, items):
    """Keep a CSR matrix of similarities, row i those of item i's neighbours, and the items' ids."""
    np.savez(
        path, items=items, indptr=similarity.indptr, indices=similarity.indices,
        data=similarity.data,
    )  # fmt: skip


def run(measure):
    """Read the command line, measure, and print one line of JSON.

    Parameters
    ----------
    measure : callable
        ``measure(user, item, args, clock)``; its docstring goes into the report.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="an .npz with user and item, integers, distinct")
    parser.add_argument("--k", type=int, default=10, help="items per user")
    parser.add_argument("--neighbors", type=int, default=100)
    parser.add_argument("--users", type=int, default=50_000, help="users served, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--save", type=Path, help=".npz for the neighbours that were found")
    args = parser.parse_args()
    with np.load(args.data) as arrays:
        user, item = arrays["user"], arrays["item"]
    # What is loaded or compiled at first use is not timed, for any library.
    measure(user[:1000], item[:1000], argparse.Namespace(**vars(args) | {"save": None}), Clock())
    clock = Clock()
    measure(user, item, args, clock)
    print(json.dumps({"what": " ".join(measure.__doc__.split()), **clock.seconds}))
