"""What every peer runner shares: arguments, data, the epoch clock, the JSON report.

It needs only numpy, scikit-learn and torch, because it runs under each peer's own environment.
Runners import it before anything that loads torch: libgomp reads its wait policy then.
"""

import argparse
import json
import os
import platform
import resource
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

# Spinning threads make a small machine 2-20 times slower; the caller may still say otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

SCORING_ROWS = 65_536


@dataclass
class Data:
    """Encoded impressions: integer codes, one column a field.

    Attributes
    ----------
    X_train, X_test : ndarray of int64, shape (n, F)
        Codes of field j lie in ``[0, cardinalities[j])``.
    y_train, y_test : ndarray of float32, shape (n,)
        0 or 1.
    w_test : ndarray of float64, shape (n_test,)
        Weights of the test AUC.
    cardinalities : list of int, length F
        Rows that field j's embedding table needs.
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    w_test: np.ndarray
    cardinalities: list

    @property
    def names(self):
        """Names of the fields, as the peers want to have them."""
        return [f"field_{j}" for j in range(len(self.cardinalities))]

    def columns(self, X):
        """``{name: codes}`` of a matrix (n, F), each column contiguous."""
        return {name: X[:, j].copy() for j, name in enumerate(self.names)}


def load_data(path, max_rows=None, seed=0):
    """Read and check an .npz with X_train, y_train, X_test, y_test, cardinalities, maybe w_test.

    Raises
    ------
    ValueError
        If an array is missing or has another length, or a code lies outside its field's table.
    """
    with np.load(path) as arrays:
        names = {"X_train", "y_train", "X_test", "y_test", "cardinalities"}
        if missing := sorted(names - set(arrays.files)):
            raise ValueError(f"{path} must hold the arrays {sorted(names)}; missing: {missing}")
        y_test = arrays["y_test"].astype(np.float32)
        data = Data(
            X_train=arrays["X_train"].astype(np.int64),
            y_train=arrays["y_train"].astype(np.float32),
            X_test=arrays["X_test"].astype(np.int64),
            y_test=y_test,
            w_test=arrays["w_test"] if "w_test" in arrays.files else np.ones(len(y_test)),
            cardinalities=[int(c) for c in arrays["cardinalities"]],
        )
    _check(data)
    if max_rows is not None and max_rows < len(data.y_train):
        rows = np.random.default_rng(seed).permutation(len(data.y_train))[:max_rows]
        data = replace(data, X_train=data.X_train[rows], y_train=data.y_train[rows])
    return data


def _check(data):
    for part in ("train", "test"):
        X, y = getattr(data, f"X_{part}"), getattr(data, f"y_{part}")
        if X.shape != (len(y), len(data.cardinalities)):
            raise ValueError(
                f"X_{part} must have shape (len(y_{part}), len(cardinalities)) = "
                f"{(len(y), len(data.cardinalities))}, got {X.shape}"
            )
        for j, cardinality in enumerate(data.cardinalities):
            low, high = X[:, j].min(), X[:, j].max()
            if low < 0 or high >= cardinality:
                raise ValueError(
                    f"codes of field {j} in X_{part} must lie in [0, {cardinality}), got "
                    f"{low} to {high}: cardinalities count the rows of a table, code 0 included"
                )
    if len(data.w_test) != len(data.y_test):
        raise ValueError(
            f"w_test must have one weight a test row ({len(data.y_test)}), got {len(data.w_test)}"
        )


def parse_args(models):
    """Command line of a runner; ``models`` are the names it knows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="the .npz that load_data describes")
    parser.add_argument("--output", type=Path, required=True, help="where the JSON report goes")
    parser.add_argument("--model", choices=sorted(models), default="fm")
    parser.add_argument("--embedding-dim", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--auc-epochs",
        type=int,
        nargs="*",
        default=[1, 3],
        help="epochs after which the test AUC is taken; the last always",
    )
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--l2", type=float, default=0.0, help="in the peer's own sense of it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-rows", type=int, help="train on a random sample of this many rows")
    args = parser.parse_args()
    args.auc_epochs = sorted({n for n in args.auc_epochs if n < args.epochs} | {args.epochs})
    return args


class EpochClock:
    """Wall and CPU seconds of each epoch, and the test AUC between epochs, off the clock.

    Trainers set ``model`` and ``predict`` (codes (m, F) -> scores (m,)), then hang ``start`` and
    ``stop`` on the peer's own epoch hooks.
    """

    def __init__(self, data, auc_epochs):
        self.data = data
        self.auc_epochs = auc_epochs
        self.model = None
        self.predict = None
        self.seconds = []
        self.cpu_seconds = []
        self.auc = {}
        self.first_start = None

    def start(self):
        """Begin an epoch."""
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        if self.first_start is None:
            self.first_start = self._wall

    def stop(self):
        """End an epoch, and score the test rows if this epoch's AUC was asked for."""
        self.seconds.append(time.perf_counter() - self._wall)
        self.cpu_seconds.append(time.process_time() - self._cpu)
        if len(self.seconds) in self.auc_epochs:
            self.auc[len(self.seconds)] = self._score()

    def _score(self):
        X = self.data.X_test
        self.model.eval()
        with torch.no_grad():
            scores = [self.predict(X[i : i + SCORING_ROWS]) for i in range(0, len(X), SCORING_ROWS)]
        self.model.train()
        scores = np.concatenate([np.asarray(s, dtype=np.float64).ravel() for s in scores])
        return float(roc_auc_score(self.data.y_test, scores, sample_weight=self.data.w_test))


def peak_mb():
    """Largest resident size of this process so far, in MB (10^6 bytes)."""
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def run(distribution, trainers):
    """Train one model of a peer and write the report.

    Parameters
    ----------
    distribution : str
        The peer's name on the package index.
    trainers : dict of str to callable
        ``trainer(data, args, clock)`` trains by the peer's own loop; its docstring goes into
        the report as the account of what was run.
    """
    args = parse_args(trainers)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = load_data(args.data, args.max_rows, args.seed)
    # Torch's and the libraries' lazy parts are loaded by now; what fit adds is the difference.
    before_fit_mb = peak_mb()
    clock = EpochClock(data, args.auc_epochs)
    began = time.perf_counter()
    trainers[args.model](data, args, clock)
    packages = [distribution, "torch", "numpy", "scikit-learn"]
    report = {
        "peer": distribution,
        "model": args.model,
        "what": " ".join(trainers[args.model].__doc__.split()),
        "config": {
            name: getattr(args, name)
            for name in ("embedding_dim", "batch_size", "epochs", "lr", "l2", "seed", "threads")
        },
        "n_train": len(data.y_train),
        "n_test": len(data.y_test),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "n_parameters": sum(p.numel() for p in clock.model.parameters()),
        "setup_seconds": clock.first_start - began,
        "seconds_per_epoch": clock.seconds,
        "cpu_seconds_per_epoch": clock.cpu_seconds,
        "auc": clock.auc,
        "before_fit_mb": before_fit_mb,
        "peak_mb": peak_mb(),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
