"""What the epoch benchmarks share: the impressions, and running one library after the other."""

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
# The peers' usual rate, and one other, for all alike: of 3e-3 and 5e-3 the better after 3 epochs of
# an FM on weeks 41-44, for FuxiCTR (.9105, .9109) as for this library (.9109, .9118).
LEARNING_RATES = (1e-3, 5e-3)
BATCH_SIZE, EPOCHS = 4096, 3
# An epoch of NextRec takes minutes: 25 steps tell its speed.
NEXTREC_ROWS = 25 * BATCH_SIZE


def encode_impressions(split, target=None):
    """The arrays of ``README.md``: codes of the impressions, one column a field.

    Parameters
    ----------
    split : {"test", "validation"}
        Train on weeks 1-44 and test on 45-53, or train on 1-40 and test on 41-44.
    target : list of str, default=None
        Labels of the same rows instead of ``LABEL``.
    """
    train, test = (protocol.load_rows(LABEL, weeks, target=target) for weeks in SPLITS[split])
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


def run(library, data, directory, *, lr, epochs, model="fm", max_rows=None, batch_size=BATCH_SIZE):
    """The report of one library's runner, see ``README.md``."""
    output = Path(directory) / "report.json"
    command = [python_of(library), str(HERE / "peers" / f"run_{library}.py"), str(data)]
    command += ["--model", model, "--output", str(output), "--lr", str(lr)]
    command += ["--epochs", str(epochs), "--batch-size", str(batch_size)]
    command += ["--embedding-dim", "16", "--threads", "2"]
    if max_rows is not None:
        command += ["--max-rows", str(max_rows)]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{library} failed:\n{done.stderr[-2000:]}")
    report = json.loads(output.read_text())
    steps = -(-report["n_train"] // batch_size)
    report["seconds_per_step"] = float(np.median(report["seconds_per_epoch"])) / steps
    aucs = {name: value for name, value in report.items() if name.startswith("auc")}
    print(
        f"{library:14} lr {lr:g}: {report['seconds_per_step'] * 1e3:8.1f} ms a step, "
        f"epochs {np.round(report['seconds_per_epoch'], 2)} s, {aucs}",
        flush=True,
    )
    return report


def run_all(model, arrays, libraries, learning_rates, max_rows=None, batch_size=BATCH_SIZE):
    """The reports of all libraries, at each learning rate; of NextRec 25 steps at the first."""
    reports = []
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data.npz"
        np.savez(data, **arrays)
        for lr in learning_rates:
            for library in libraries:
                epochs, rows = EPOCHS, max_rows
                if library == "nextrec":
                    if lr != learning_rates[0]:
                        continue
                    epochs, rows = 1, min(NEXTREC_ROWS, max_rows or NEXTREC_ROWS)
                reports.append(
                    run(
                        library,
                        data,
                        directory,
                        lr=lr,
                        epochs=epochs,
                        model=model,
                        max_rows=rows,
                        batch_size=batch_size,
                    )
                )
    return reports


def make_parser(doc, learning_rates=LEARNING_RATES):
    """The command line that all epoch benchmarks have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--learning-rates", nargs="+", type=float, default=learning_rates)
    parser.add_argument("--libraries", nargs="*", choices=[OURS, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--max-rows", type=int, help="rows of an epoch, to try the script out")
    parser.add_argument("--output", type=Path)
    return parser


def add_split(parser):
    """The command line's choice of weeks."""
    parser.add_argument("--split", choices=sorted(SPLITS), default="test")


def result_path(name, args):
    """Where a result goes unless the command line says otherwise."""
    if getattr(args, "split", "test") == "validation":
        name += "_validation"
    return args.output or protocol.RESULTS / f"{name}.json"


def write(path, result):
    """The JSON of a result, with versions and machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {**result, **protocol.environment("torch", "skorch")}
    path.write_text(json.dumps(result, indent=2) + "\n")
