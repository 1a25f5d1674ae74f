r"""Next item on MovieLens-1M: HR@10, NDCG@10 and seconds per epoch, against RecTools and skrecsys.

    python benchmarks/hstu_ml1m.py --data FOLDER            # hours: all models, three seeds of ours
    python benchmarks/hstu_ml1m.py --data FOLDER --models hstu --seeds 0
    python benchmarks/hstu_ml1m.py --data FOLDER --models hstu --max-users 600 --max-epochs 2
    python benchmarks/hstu_ml1m.py --data FOLDER --finished   # only gathers results
    python benchmarks/hstu_ml1m.py --data FOLDER --models hstu rectools_hstu --seeds 0 \
        --max-epochs 2 --output benchmarks/results/hstu_epoch.json    # seconds; idle machine

FOLDER holds ``ratings.parquet`` with user_id, movie_id and order, the chronological rank within the
user. Order only, no times. Test: each user's last item; validation, for early stopping: the one
before; training: the rest. Ranked are all items that occur before the test, those of the history
left out; a test item that never occurred is a miss. skrecsys has no validation: it comes as its
user would run it, fitted on everything but the test, with its defaults (100 epochs), for as long
as ``--minutes`` says: its epoch takes minutes.

Stopped at any time, the same command goes on: after each epoch a checkpoint is kept in
``.cache/hstu_ml1m``. A finished run is not repeated. Writes ``results/hstu_ml1m.json``. The hours
of training share the machine with other work; seconds of an epoch are measured apart, in turn.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import protocol
import torch
from checkpoint import Checkpoint, epochs
from make_envs import HERE, peer_python

from sk_adrec import HSTUNextItem, SASRecNextItem
from sk_adrec.sequential import leave_last_out

CACHE = protocol.CACHE / "hstu_ml1m"
OURS = {"hstu": HSTUNextItem, "sasrec": SASRecNextItem}
# Runner and arguments; the environment is the first word of the name.
PEERS = {
    "rectools_hstu": ("run_rectools.py", "--model", "hstu"),
    "rectools_sasrec": ("run_rectools.py", "--model", "sasrec"),
    "skrecsys_hstu": ("run_skrecsys_hstu.py",),
}
# The paper's public configuration; the estimators' defaults otherwise.
NET_PARAMS = {"optimizer__betas": (0.9, 0.98)}
K = 10


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
    return {
        "epochs": epochs(model.net_),
        "test": measured(ids, y_test.to_numpy()),
        "n_items": len(model.classes_),
    }


def measured(ids, y):
    """HR@10 and NDCG@10 of rankings (n, K) for one right item per row."""
    hit = ids == y[:, None]
    return {
        "hr": float(hit.any(1).mean()),
        "ndcg": float((hit / np.log2(np.arange(2, K + 2))).sum(1).mean()),
        "n": len(hit),
    }


def run_peer(name, seed, log, args, folder):
    """The report of another library's model, trained in its own environment on the same log."""
    environment, (runner, *arguments) = name.split("_")[0], PEERS[name]
    python = peer_python(environment, HERE / ".envs")
    if not python.exists():
        raise FileNotFoundError(
            f"no environment for {environment}: run `python benchmarks/make_envs.py {environment}`"
        )
    np.savez(
        folder / "data.npz",
        user=log["user_id"].to_numpy(),
        item=log["movie_id"].to_numpy(),
        position=np.arange(len(log)),
    )
    output = folder / "report.json"
    command = [str(python), str(HERE / "peers" / runner), str(folder / "data.npz"), *arguments]
    command += ["--output", str(output), "--checkpoints", str(folder), "--seed", str(seed)]
    command += ["--epochs", str(args.max_epochs), "--threads", str(args.threads)]
    variables = {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(args.threads)}
    if environment == "skrecsys" and args.minutes is not None:
        command += ["--minutes", str(args.minutes)]
    subprocess.run(command, env=os.environ | variables, check=True)
    report = json.loads(output.read_text())
    if "recommended" in report:
        last = log.drop_duplicates("user_id", keep="last").set_index("user_id")["movie_id"]
        users, ids = (np.asarray(report.pop(key)) for key in ("users", "recommended"))
        report["test"] = measured(ids, last.loc[users].to_numpy())
    return report


def run(name, seed, log, args):
    """A run's report, from the cache where it has been finished; None if it may not be trained."""
    folder = CACHE / f"{name}_{seed}_{args.max_epochs}_{args.max_users or 'all'}"
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    if not done.exists():
        if args.finished:
            print(f"{name}, seed {seed}: not finished", flush=True)
            return None
        print(f"{name}, seed {seed}", flush=True)
        report = (run_ours if name in OURS else run_peer)(name, seed, log, args, folder)
        told = {"model": name, "seed": seed, "threads": args.threads, "minutes": args.minutes}
        done.write_text(json.dumps(told | report))
    # A peer's own name of its model is not ours.
    report = json.loads(done.read_text()) | {"model": name}
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
    parser.add_argument("--finished", action="store_true", help="train nothing, gather the rest")
    parser.add_argument("--max-epochs", type=int, default=101)
    parser.add_argument("--max-users", type=int, help="to try the script out")
    parser.add_argument("--minutes", type=float, help="skrecsys begins no epoch after these")
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
        "runs": [one for one in runs if one is not None],
        **protocol.environment("torch", "skorch"),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
