"""Next item on MovieLens-1M: HR@10, NDCG@10 and seconds per epoch, against RecTools.

    python benchmarks/hstu_ml1m.py --data FOLDER            # hours: all models, three seeds of ours
    python benchmarks/hstu_ml1m.py --data FOLDER --models hstu --seeds 0
    python benchmarks/hstu_ml1m.py --data FOLDER --models hstu --max-users 600 --max-epochs 2

FOLDER holds ``ratings.parquet`` with user_id, movie_id and order, the chronological rank within the
user. Order only, no times. Test: each user's last item; validation, for early stopping: the one
before; training: the rest. Ranked are all items that occur before the test, those of the history
left out; a test item that never occurred is a miss.

Stopped at any time, the same command goes on: after each epoch a checkpoint is kept in
``.cache/hstu_ml1m``. A finished run is not repeated. Writes ``results/hstu_ml1m.json``.
"""

import argparse
import copy
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
import torch
from skorch.callbacks import Callback
from skorch.history import History

from sk_adrec import HSTUNextItem, SASRecNextItem
from sk_adrec._net import RestoreBest
from sk_adrec.sequential import leave_last_out

HERE = Path(__file__).parent
CACHE = protocol.CACHE / "hstu_ml1m"
OURS = {"hstu": HSTUNextItem, "sasrec": SASRecNextItem}
PEERS = {"rectools_hstu": "hstu", "rectools_sasrec": "sasrec"}
# The paper's public configuration; the estimators' defaults otherwise.
NET_PARAMS = {"optimizer__betas": (0.9, 0.98)}
K = 10


class Checkpoint(Callback):
    """Keeps all that a fit needs to go on after each epoch, and goes on from it."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def on_train_begin(self, net, **kwargs):
        """Put everything back as it was after the last epoch that was finished."""
        if not (self.folder / "last.pt").exists():
            return
        state = torch.load(self.folder / "last.pt", weights_only=False)
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history_ = net.history = History(state["history"])
        net.rng.bit_generator.state = state["numpy"]
        torch.set_rng_state(state["torch"])
        _restorer(net).__dict__.update(state["best"])
        finished = len(net.history)
        stopped = finished - state["best"]["best_epoch_"] >= _restorer(net).patience
        net.max_epochs = 0 if stopped else max(0, net.max_epochs - finished)

    def on_epoch_end(self, net, **kwargs):
        """Write to another file first: the machine may stop at any moment."""
        last = net.history[-1]
        one = {"epoch": len(net.history), "seconds": last["dur"]}
        one |= {"train_loss": last["train_loss"], "valid_ndcg": float(last[f"valid_ndcg_at_{K}"])}
        with (self.folder / "epochs.jsonl").open("a") as file:
            file.write(json.dumps(one) + "\n")
        print(one, flush=True)
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": list(net.history),
            "numpy": copy.deepcopy(net.rng.bit_generator.state),
            "torch": torch.get_rng_state(),
            "best": vars(_restorer(net)),
        }
        torch.save(state, self.folder / "next.pt")
        os.replace(self.folder / "next.pt", self.folder / "last.pt")


def _restorer(net):
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, RestoreBest))


def read_log(data, max_users):
    """user_id, movie_id, order; sorted by both."""
    log = pd.read_parquet(Path(data) / "ratings.parquet", columns=["user_id", "movie_id", "order"])
    log = log.sort_values(["user_id", "order"], ignore_index=True)
    if max_users is not None:
        log = log[log["user_id"].isin(log["user_id"].unique()[:max_users])]
    return log


def run_ours(name, seed, log, args, folder):
    """Fit, stop early on the 2nd-last items, rank the test items."""
    (X, y), (X_val, y_val), (X_test, y_test) = leave_last_out(log, item="movie_id")
    model = OURS[name](
        max_epochs=args.max_epochs, random_state=seed, net_params=NET_PARAMS,
        callbacks=[Checkpoint(folder)], early_stopping=True,
    )  # fmt: skip
    torch.set_num_threads(args.threads)
    model.fit(X, y, X_val=X_val, y_val=y_val)
    ids, _ = model.recommend(X_test, K)
    hit = ids == y_test.to_numpy()[:, None]
    history = model.net_.history
    return {
        "epochs": [
            {"epoch": k + 1, "seconds": one["dur"], "valid_ndcg": float(one[f"valid_ndcg_at_{K}"])}
            for k, one in enumerate(history)
        ],
        "test": {
            "hr": float(hit.any(1).mean()),
            "ndcg": float((hit / np.log2(np.arange(2, K + 2))).sum(1).mean()),
            "n": len(hit),
        },
        "n_items": len(model.classes_),
    }


def run_peer(name, seed, log, args, folder):
    """The report of RecTools' model, trained in its own environment on the same log."""
    python = HERE / ".envs" / "rectools" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(
            "no environment for RecTools: run `python benchmarks/make_envs.py rectools`"
        )
    np.savez(
        folder / "data.npz",
        user=log["user_id"].to_numpy(),
        item=log["movie_id"].to_numpy(),
        position=np.arange(len(log)),
    )
    output = folder / "report.json"
    command = [str(python), str(HERE / "peers" / "run_rectools.py"), str(folder / "data.npz")]
    command += ["--model", PEERS[name], "--output", str(output), "--checkpoints", str(folder)]
    command += ["--epochs", str(args.max_epochs), "--seed", str(seed)]
    command += ["--threads", str(args.threads)]
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(args.threads)}
    subprocess.run(command, env=environment, check=True)
    return json.loads(output.read_text())


def run(name, seed, log, args):
    """A run's report, from the cache where it has been finished."""
    folder = CACHE / f"{name}_{seed}_{args.max_epochs}_{args.max_users or 'all'}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    if not done.exists():
        print(f"{name}, seed {seed}", flush=True)
        report = (run_ours if name in OURS else run_peer)(name, seed, log, args, folder)
        done.write_text(json.dumps({"model": name, "seed": seed, **report}))
    report = json.loads(done.read_text())
    seconds = np.median([epoch["seconds"] for epoch in report["epochs"]])
    test = report["test"]
    print(
        f"{name:16} seed {seed}: HR@10 {test['hr']:.4f}, NDCG@10 {test['ndcg']:.4f}, "
        f"{len(report['epochs'])} epochs of {seconds:.1f} s (median)",
        flush=True,
    )
    return report


def main():
    """Parse the command line, run what is missing, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of ratings.parquet")
    parser.add_argument("--models", nargs="+", choices=[*OURS, *PEERS], default=[*OURS, *PEERS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of our models")
    parser.add_argument("--max-epochs", type=int, default=101)
    parser.add_argument("--max-users", type=int, help="to try the script out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=protocol.RESULTS / "hstu_ml1m.json")
    args = parser.parse_args()
    log = read_log(args.data, args.max_users)
    runs = [
        run(name, seed, log, args)
        for name in args.models
        for seed in (args.seeds if name in OURS else args.seeds[:1])
    ]
    result = {
        "n_events": len(log),
        "n_users": int(log["user_id"].nunique()),
        "max_epochs": args.max_epochs,
        "runs": runs,
        **protocol.environment("torch", "skorch"),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
