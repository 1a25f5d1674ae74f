"""The FMs of four libraries on the impressions, with the same small budget for each.

    python benchmarks/impressions_peers.py  # half an hour on two idle cores

Rows, label and weeks are those of ``protocol.py``. The other libraries take no sample weights, so
that every model here, this library's too, is trained on the sample as it is and its probabilities
are corrected for the downsampled negatives, p / (p + (1 - p) / rate). Each tries two learning rates
for at most three epochs on weeks 1-40, judged by AUC on weeks 41-44; the best is fitted on weeks
1-44. NextRec is left out: its epoch takes over two minutes. Writes
``results/impressions_peers.json``;
what has been run is kept in ``.cache``.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "2")

import argparse
import json
from pathlib import Path

import numpy as np
import protocol
from models import Network
from peer_models import Peer

from sk_adrec import FMClassifier

LABEL = protocol.LABELS[0]
SETTINGS = [{"lr": lr, "embedding_dim": 16, "l2": 0.0, "batch_size": 4096} for lr in (1e-3, 5e-3)]
MAX_EPOCHS = 3
LIBRARIES = ("fuxictr", "deepctr_torch", "torch_rechub")


def contenders():
    """Name -> contender."""
    made = {"FM": Network("FM", FMClassifier, {})}
    made |= {f"{name} FM": Peer(name, "fm", f"{name} FM", {}, "auc") for name in LIBRARIES}
    for model in made.values():
        model.max_epochs = MAX_EPOCHS
    return made


def corrected(p):
    """Probabilities of the whole log from those of the sample."""
    return p / (p + (1 - p) / protocol.NEGATIVE_RATE)


def unweighted(rows):
    """The same rows, each counting once."""
    return protocol.Rows(rows.X, rows.y, np.ones(len(rows)))


def run_model(name, weeks_1_40, weeks_41_44, weeks_1_44, test):
    """One library: settings tried, measures of the test weeks, cost."""
    model = contenders()[name]
    tried = []
    for setting in SETTINGS:
        # The AUC does not notice weights that depend on the label alone.
        auc, length = model.tune(setting, unweighted(weeks_1_40), unweighted(weeks_41_44))
        tried.append({"setting": setting, "length": length, "valid_auc": float(auc)})
    best = max(tried, key=lambda one: one["valid_auc"])
    rows = unweighted(weeks_1_44)
    args = (best["setting"], best["length"], rows, unweighted(test), 0)
    p, cost, _ = protocol.timed_fit(model, *args)
    found = {"tried": tried, "best": best, "cost": cost}
    return found | {"measured": protocol.measure(test, corrected(p))}


def main():
    """Parse the command line, run, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-rows", type=int, help="rows of each part, to try the script out")
    parser.add_argument("--models", nargs="+", choices=sorted(contenders()))
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "impressions_peers.json")
    args = parser.parse_args()
    both = [*protocol.TRAIN_WEEKS, *protocol.VALIDATION_WEEKS]
    weeks = (protocol.TRAIN_WEEKS, protocol.VALIDATION_WEEKS, both, protocol.TEST_WEEKS)
    parts = [protocol.load_rows(LABEL, part, max_rows=args.max_rows) for part in weeks]
    models = {}
    for name in args.models or contenders():
        path = protocol.CACHE / f"impressions_peers_{name.replace(' ', '_')}.json"
        if args.max_rows or not path.exists():
            found = run_model(name, *parts)
            print(name, found, flush=True)
            if not args.max_rows:
                path.write_text(json.dumps(found))
        else:
            found = json.loads(path.read_text())
        models[name] = found
    result = {
        "label": LABEL,
        "n_train": len(parts[2]),
        "n_test": len(parts[3]),
        "models": models,
        **protocol.environment("torch", "skorch"),
    }
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
