"""What every peer runner shares: arguments, the epoch clock, the scores, the JSON report.

It needs only numpy, scikit-learn and torch, because it runs under each peer's own environment.
Runners import it before anything that loads torch: libgomp reads its wait policy then.
"""

import argparse
import json
import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path

# Spinning threads make a small machine 2-20 times slower; the caller may still say otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from peer_data import load_data
from sklearn.metrics import roc_auc_score

LINUX = platform.system() == "Linux"
# Rows scored at once; attention over lists holds some hundred numbers an entry.
SCORING_ROWS, SCORING_ROWS_WITH_LISTS = 65_536, 4096
HIDDEN_DIMS = {"fm": [], "deepfm": [256, 128], "din": [200, 80], "esmm": [128, 64]}
HIDDEN_DIMS |= {"dssm": [64, 16], "dssm_in_batch": [64, 16]}
CONFIG = ("embedding_dim", "hidden_dims", "attention_hidden_dims", "batch_size", "epochs", "lr")
CONFIG += ("l2", "seed", "threads")


def parse_args(models, argv=None):
    """Command line of a runner; ``models`` are the names it knows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="the .npz that README.md describes")
    parser.add_argument("--output", type=Path, required=True, help="where the JSON report goes")
    parser.add_argument("--model", choices=sorted(models), default="fm")
    parser.add_argument("--embedding-dim", type=int, default=16)
    parser.add_argument(
        "--hidden-dims",
        type=int,
        nargs="+",
        help="of the MLP, or of each tower; by default 256 128 (deepfm), 200 80 (din), "
        "128 64 (esmm), 64 16 (dssm)",
    )
    parser.add_argument("--attention-hidden-dims", type=int, nargs="+", default=[80, 40])
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
    parser.add_argument(
        "--save-scores",
        type=Path,
        help=".npz for the test probabilities after each of --auc-epochs, as epoch_<n>",
    )
    args = parser.parse_args(argv)
    args.auc_epochs = sorted({n for n in args.auc_epochs if n < args.epochs} | {args.epochs})
    args.hidden_dims = args.hidden_dims or HIDDEN_DIMS[args.model]
    return args


class Scores:
    """Test AUC by epoch, the seconds of scoring, and the probabilities where they are wanted.

    Attributes
    ----------
    auc : dict of str to dict of int to float
        ``{"auc": {epoch: value}}``, or with two labels ``auc_ctr`` and ``auc_ctcvr``.
    predict_seconds : float or None
        Of the last time that the test rows were scored.
    """

    def __init__(self, data, path=None):
        self.y, self.weight = data.y_test, data.w_test
        self.path = path
        self.auc = {
            name: {} for name in (["auc"] if self.y.ndim == 1 else ["auc_ctr", "auc_ctcvr"])
        }
        self.predict_seconds = None
        self._kept = {}

    def add(self, epoch, probability, seconds):
        """Take the probabilities of an epoch, shape of ``y_test``, which took ``seconds``.

        Raises
        ------
        ValueError
            If these are no probabilities, or not one a label.
        """
        probability = np.asarray(probability, dtype=np.float64)
        if probability.shape != self.y.shape:
            raise ValueError(f"scores must have shape {self.y.shape}, got {probability.shape}")
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ValueError(
                "scores must be probabilities, got "
                f"{probability.min():g} to {probability.max():g}: apply the sigmoid to logits"
            )
        self.predict_seconds = seconds
        columns = zip(np.atleast_2d(self.y.T), np.atleast_2d(probability.T))
        for auc, (y, score) in zip(self.auc.values(), columns):
            auc[epoch] = float(roc_auc_score(y, score, sample_weight=self.weight))
        if self.path is not None:
            self._kept[f"epoch_{epoch}"] = probability

    def report(self):
        """The report's part; writes the probabilities."""
        if self.path is not None:
            np.savez(self.path, **self._kept)
        return {**self.auc, "predict_seconds": self.predict_seconds}


class EpochClock:
    """Wall and CPU seconds of each epoch, and the test scores between epochs, off the clock.

    Trainers set ``model`` and ``predict`` (dict of tensors, as ``Data.inputs`` has them, ->
    probabilities (m,) or (m, 1), with two labels (m, 2)), then hang ``start`` and ``stop`` on the
    peer's own epoch hooks.
    """

    def __init__(self, data, args):
        self.data = data
        self.auc_epochs = args.auc_epochs
        self.scores = Scores(data, args.save_scores)
        self.model = None
        self.predict = None
        self.seconds = []
        self.cpu_seconds = []
        self.first_start = None

    def leave_out_numbers(self):
        """The data without numbers, here too, for a model that has no place for them."""
        self.data = self.data.without_numbers()
        return self.data

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
            self.scores.add(len(self.seconds), *self._score())

    def _score(self):
        """Probabilities of the test rows, and the seconds within ``predict``."""
        step = SCORING_ROWS_WITH_LISTS if self.data.lists else SCORING_ROWS
        n_rows, parts, seconds = len(self.data.y_test), [], 0.0
        self.model.eval()
        with torch.no_grad():
            for i in range(0, n_rows, step):
                inputs = self.data.inputs("test", slice(i, i + step))
                inputs = {name: torch.from_numpy(values) for name, values in inputs.items()}
                began = time.perf_counter()
                parts.append(self.predict(inputs).numpy())
                seconds += time.perf_counter() - began
        self.model.train()
        return np.concatenate(parts).reshape(self.data.y_test.shape), seconds


def memory_mb():
    """Resident size of this process in MB (10^6 bytes); from now on `peak_mb` starts from it."""
    if not LINUX:
        return peak_mb()
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def peak_mb():
    """Largest resident size in MB since `memory_mb`; where the system cannot tell, ever."""
    if LINUX:
        return _status_mb("VmHWM")
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _status_mb(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e6


def what_was_run(args, data):
    """The report's part that the command line and the data settle."""
    return {
        "model": args.model,
        "config": {name: getattr(args, name) for name in CONFIG},
        "inputs": {
            "fields": len(data.names),
            "numbers": len(data.numbers),
            "lists": len(data.lists),
            "max_len": data.max_len if data.lists else 0,
        },
        "n_train": len(data.y_train),
        "n_test": len(data.y_test),
    }


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
    data = load_data(args.data, args.model, args.max_rows, args.seed)
    # Torch's and the libraries' lazy parts are loaded by now; what fit adds is the difference.
    before_fit_mb = memory_mb()
    clock = EpochClock(data, args)
    began = time.perf_counter()
    trainers[args.model](data, args, clock)
    packages = [distribution, "torch", "numpy", "scikit-learn"]
    report = {
        "peer": distribution,
        "what": " ".join(trainers[args.model].__doc__.split()),
        **what_was_run(args, clock.data),
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "n_parameters": sum(p.numel() for p in clock.model.parameters()),
        "setup_seconds": clock.first_start - began,
        "seconds_per_epoch": clock.seconds,
        "cpu_seconds_per_epoch": clock.cpu_seconds,
        **clock.scores.report(),
        "before_fit_mb": before_fit_mb,
        "peak_mb": peak_mb(),
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")
