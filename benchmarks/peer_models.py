"""Models of other libraries as contenders: each run is a process in the library's environment.

A peer gets what this library's encoder makes of the frame: integer codes and standardised numbers.
Encoding is not counted in its seconds, starting its process neither.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from models import Contender, score

from sk_adrec.preprocessing._log_encoder import LogEncoder

HERE = Path(__file__).parent
PEERS = ("fuxictr", "deepctr_torch", "torch_rechub", "nextrec")
# Of any network in the tables: all are scored on the validation rows after each epoch.
MAX_EPOCHS = 8


class Peer(Contender):
    """A model of another library.

    Parameters
    ----------
    library : str
        One of ``PEERS``.
    model : str
        What its runner calls the model.
    name : str
        For tables.
    space, metric : as in ``Contender``
    """

    max_epochs = MAX_EPOCHS

    def __init__(self, library, model, name, space, metric):
        super().__init__(space, metric)
        self.library, self.model, self.name = library, model, name

    def tune(self, setting, train, valid):
        """The number of epochs at the best validation score."""
        epochs = range(1, self.max_epochs + 1)
        _, scores = self._run(setting, self.max_epochs, train, valid, epochs, 0)
        found = [score(self.metric, valid, p) for p in scores]
        return max(found), {"n_epochs": int(np.argmax(found)) + 1}

    def timed_fit(self, setting, length, train, test, seed):
        """Test probabilities, cost and the runner's report, as ``protocol.timed_fit``."""
        report, scores = self._run(setting, length["n_epochs"], train, test, [], seed)
        cost = {
            "fit_seconds": report["setup_seconds"] + sum(report["seconds_per_epoch"]),
            "predict_seconds": report["predict_seconds"],
            "added_mb": report["peak_mb"] - report["before_fit_mb"],
        }
        return scores[-1], cost, report

    def _run(self, setting, epochs, train, test, score_epochs, seed):
        """The runner's report, and the test probabilities after each of `score_epochs` and last."""
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            np.savez(folder / "data.npz", **encode(train, test))
            command = [
                str(HERE / ".envs" / self.library / "bin" / "python"),
                str(HERE / "peers" / f"run_{self.library}.py"),
                str(folder / "data.npz"),
                *("--output", str(folder / "report.json")),
                *("--save-scores", str(folder / "scores.npz")),
                *("--model", self.model, "--epochs", str(epochs), "--seed", str(seed)),
                *("--threads", os.environ["OMP_NUM_THREADS"], "--auc-epochs"),
                *map(str, score_epochs),
            ]
            for parameter, value in setting.items():
                command += [f"--{parameter.replace('_', '-')}", str(value)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{self.name} failed:\n{done.stderr[-2000:]}")
            report = json.loads((folder / "report.json").read_text())
            with np.load(folder / "scores.npz") as arrays:
                wanted = sorted({*score_epochs, epochs})
                return report, [arrays[f"epoch_{epoch}"] for epoch in wanted]


def encode(train, test):
    """The arrays that a runner reads, see ``README.md``."""
    encoder = LogEncoder()
    encoded, other = encoder.fit_transform(train.X), encoder.transform(test.X)
    arrays = {
        "X_train": encoded.categorical,
        "y_train": train.y,
        "X_test": other.categorical,
        "y_test": test.y,
        "w_test": test.weight,
        "cardinalities": [encoder.cardinality(name) for name in encoder.categorical_names_],
    }
    if encoded.numeric.shape[1]:
        arrays |= {"Z_train": encoded.numeric, "Z_test": other.numeric}
    return arrays
