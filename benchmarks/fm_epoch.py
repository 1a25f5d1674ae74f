"""Seconds of an FM's epoch and AUC after 1 and 3, against four other libraries, in one run.

    python benchmarks/fm_epoch.py                     # about 10 minutes on two idle cores
    python benchmarks/fm_epoch.py --split validation  # where the second learning rate was chosen
    python benchmarks/fm_epoch.py --max-rows 20480    # a trial

Each library runs in its own process and environment (``make_envs.py``), one after the other, on
the same codes, with embedding 16, batch 4096, two threads, no weights and no penalty. Writes
``results/fm_epoch.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import protocol

from sk_adrec.preprocessing._log_encoder import LogEncoder

HERE = Path(__file__).parent
OURS = "sk_adrec"
PEERS = ("fuxictr", "deepctr_torch", "torch_rechub", "nextrec")

# 1.2 M rows in weeks 1-44 have this label, which published anchors use.
LABEL = "converted_any_store"
SPLITS = {
    "test": ([*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS], protocol.TEST_WEEKS),
    "validation": (protocol.TRAIN_WEEKS, protocol.VALIDATION_WEEKS),
}
# The peers' usual rate, and one other, for all alike: of 3e-3 and 5e-3 the better after 3 epochs on
# weeks 41-44, for FuxiCTR (.9105, .9109) as for this library (.9109, .9118).
LEARNING_RATES = (1e-3, 5e-3)
BATCH_SIZE, EPOCHS = 4096, 3
# An epoch of NextRec takes minutes: 25 steps tell its speed.
NEXTREC_ROWS = 25 * BATCH_SIZE
# Four columns of a million ids each; with dense Adam a step takes about a second.
MANY_ID_COLUMNS, MANY_IDS = 4, 1_000_000
MANY_IDS_ROWS = 10 * BATCH_SIZE
# Runners always score test rows; with random ids their AUC says nothing, so a few will do.
UNUSED_ROWS = 10_000


def encode(split):
    """The arrays that ``peers/common.py`` reads: codes of the impressions, one column a field."""
    train, test = (protocol.load_rows(LABEL, weeks) for weeks in SPLITS[split])
    encoder = LogEncoder()
    codes = encoder.fit_transform(train.X).categorical
    return {
        "X_train": codes,
        "y_train": train.y,
        "X_test": encoder.transform(test.X).categorical,
        "y_test": test.y,
        "w_test": test.weight,
        "cardinalities": [encoder.cardinality(name) for name in encoder.categorical_names_],
    }


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


def python_of(library):
    """The interpreter of a library's environment."""
    if library == OURS:
        return sys.executable
    python = HERE / ".envs" / library / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            f"no environment for {library}: run `python benchmarks/make_envs.py {library}`"
        )
    return str(python)


def run(library, data, directory, *, lr, epochs, max_rows=None):
    """The report of one library's runner, see ``README.md``."""
    output = Path(directory) / "report.json"
    command = [python_of(library), str(HERE / "peers" / f"run_{library}.py"), str(data)]
    command += ["--output", str(output), "--lr", str(lr), "--epochs", str(epochs)]
    command += ["--batch-size", str(BATCH_SIZE), "--embedding-dim", "16", "--threads", "2"]
    if max_rows is not None:
        command += ["--max-rows", str(max_rows)]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{library} failed:\n{done.stderr[-2000:]}")
    report = json.loads(output.read_text())
    steps = -(-report["n_train"] // BATCH_SIZE)
    report["seconds_per_step"] = float(np.median(report["seconds_per_epoch"])) / steps
    print(
        f"{library:14} lr {lr:g}: {report['seconds_per_step'] * 1e3:8.1f} ms a step, "
        f"epochs {np.round(report['seconds_per_epoch'], 2)} s, AUC {report['auc']}",
        flush=True,
    )
    return report


def run_all(libraries, arrays, learning_rates, max_rows):
    """Both variants, all libraries: ``{"sample": [report, ...], "many_ids": [report, ...]}``."""
    sample, many_ids = [], []
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data.npz"
        np.savez(data, **arrays)
        for lr in learning_rates:
            for library in libraries:
                if library == "nextrec":
                    if lr == learning_rates[0]:
                        rows = min(NEXTREC_ROWS, max_rows or NEXTREC_ROWS)
                        sample.append(run(library, data, directory, lr=lr, epochs=1, max_rows=rows))
                else:
                    sample.append(
                        run(library, data, directory, lr=lr, epochs=EPOCHS, max_rows=max_rows)
                    )
        arrays = with_many_ids(arrays)
        np.savez(data, **arrays)
        print(f"{sum(arrays['cardinalities']):,} ids, {MANY_IDS_ROWS:,} rows", flush=True)
        for library in libraries:
            many_ids.append(
                run(library, data, directory, lr=1e-3, epochs=1, max_rows=MANY_IDS_ROWS)
            )
    return {"sample": sample, "many_ids": many_ids}


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=LEARNING_RATES)
    parser.add_argument("--libraries", nargs="*", choices=[OURS, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--max-rows", type=int, help="rows of an epoch, to try the script out")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    name = "fm_epoch" if args.split == "test" else "fm_epoch_validation"
    output = args.output or protocol.RESULTS / f"{name}.json"
    arrays = encode(args.split)
    cardinalities = arrays["cardinalities"]
    print(f"{arrays['X_train'].shape} codes, {sum(cardinalities):,} ids", flush=True)
    result = {
        "label": LABEL,
        "split": args.split,
        "n_train": len(arrays["y_train"]),
        "n_ids": {"sample": sum(cardinalities), "many_ids": MANY_ID_COLUMNS * MANY_IDS},
        **run_all(args.libraries, arrays, args.learning_rates, args.max_rows),
        **protocol.environment("torch", "skorch"),
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
