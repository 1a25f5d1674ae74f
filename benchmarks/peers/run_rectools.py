"""Train RecTools' HSTU (position only) or SASRec on histories; see ../hstu_ml1m.py.

    run_rectools.py data.npz --model hstu --output report.json --checkpoints folder

`data.npz` holds `user`, `item` and `position` of all interactions. The last one of each user is for
the test, the one before for validation. The configuration is that of RecTools' HSTU tutorial, which
follows the paper's public experiments.
"""

import argparse
import json
import os
import time
import warnings
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.utils import leave_one_out_mask

K, PATIENCE = 10, 5
MONITOR = "valid_ndcg"


class Journal(Callback):
    """Seconds of each epoch's training, and NDCG@10 of the validation items, seen ones left out."""

    def __init__(self, path):
        self.path = path

    def on_train_epoch_start(self, trainer, module):
        self.began, self.gains = time.perf_counter(), []

    def on_validation_start(self, trainer, module):
        self.seconds = time.perf_counter() - self.began

    def on_validation_batch_end(self, trainer, module, outputs, batch, *args, **kwargs):
        states = module.torch_model.encode_sessions(batch, module.item_embs)[:, -1, :]
        scores = module.torch_model.similarity_module(states, module.item_embs)
        # x: the newest 200 events, and the padding, code 0.
        scores = scores.scatter(1, batch["x"].long(), -torch.inf)
        scores[:, 0] = -torch.inf
        place = (scores >= scores.gather(1, batch["y"].long())).sum(1)
        self.gains.append(torch.where(place <= K, 1 / (1 + place.double()).log2(), 0.0))

    def on_validation_epoch_end(self, trainer, module):
        value = float(torch.cat(self.gains).mean())
        self.log(MONITOR, value)
        one = {"epoch": trainer.current_epoch + 1, "seconds": self.seconds, MONITOR: value}
        # A file, since RecTools trains with a copy of this object, and may be started again.
        epochs = [*read_epochs(self.path)[: trainer.current_epoch], one]
        self.path.write_text("".join(json.dumps(epoch) + "\n" for epoch in epochs))
        print(one, flush=True)


def read_epochs(path):
    """What a journal has written, one dict per epoch."""
    return [json.loads(line) for line in path.open()] if path.exists() else []


class ResumingTrainer(Trainer):
    """Goes on from the last checkpoint, which RecTools' fit has no argument for."""

    last = None

    def fit(self, module, *args, **kwargs):
        if self.last.exists():
            kwargs["ckpt_path"] = str(self.last)
            # Else RecTools would draw all weights anew, after the checkpoint's have come.
            module.is_fitted = True
        super().fit(module, *args, **kwargs)


def make_model(args, journal, checkpoints):
    """The tutorial's configuration, with its sampled softmax of 128 negatives per position."""
    best = ModelCheckpoint(
        checkpoints, "best", monitor=MONITOR, mode="max", save_last=True,
        enable_version_counter=False,
    )  # fmt: skip

    def get_trainer():
        trainer = ResumingTrainer(
            accelerator="cpu", max_epochs=args.epochs, logger=False, num_sanity_val_steps=0,
            enable_progress_bar=False, enable_model_summary=False,
            callbacks=[journal, best, EarlyStopping(MONITOR, mode="max", patience=PATIENCE)],
        )  # fmt: skip
        trainer.last = checkpoints / "last.ckpt"
        return trainer

    config = {
        "session_max_len": 200, "lightning_module_kwargs": {"logits_t": 0.05},
        "item_net_block_types": (IdEmbeddingsItemNet,), "get_val_mask_func": leave_one_out_mask,
        "get_trainer_func": get_trainer, "loss": "sampled_softmax", "n_negatives": 128,
        "use_pos_emb": True, "dropout_rate": 0.2, "n_factors": 50, "n_heads": 1, "n_blocks": 2,
        "lr": 1e-3, "batch_size": 128, "recommend_torch_device": "cpu",
    }  # fmt: skip
    if args.model == "sasrec":
        return SASRecModel(**config)
    return HSTUModel(relative_time_attention=False, relative_pos_attention=True, **config)


def read(path, max_users):
    """The interactions before the test, and the test items, as frames sorted by user."""
    with np.load(path) as arrays:
        log = pd.DataFrame(
            {
                Columns.User: arrays["user"],
                Columns.Item: arrays["item"],
                Columns.Weight: 1.0,
                # Distinct and ascending within a user: no sort can change the order.
                Columns.Datetime: pd.to_datetime(arrays["position"].astype(np.int64), unit="s"),
            }
        )
    if max_users is not None:
        log = log[log[Columns.User].isin(np.unique(log[Columns.User])[:max_users])]
    log = log.sort_values([Columns.User, Columns.Datetime])
    is_test = ~log[Columns.User].duplicated(keep="last")
    return log[~is_test], log[is_test]


def test_metrics(model, dataset, test):
    """HR@10 and NDCG@10 in the ranking of all trained items, those of the history left out."""
    found = model.recommend(test[Columns.User].to_numpy(), dataset, k=K, filter_viewed=True)
    joined = found.merge(test[[Columns.User, Columns.Item]], on=[Columns.User, Columns.Item])
    rank = joined[Columns.Rank].to_numpy()
    return {
        "hr": len(rank) / len(test),
        "ndcg": float((1 / np.log2(1 + rank)).sum() / len(test)),
        "n": len(test),
    }


def main():
    """Train, go back to the best epoch, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, required=True, help="resumed if it holds any")
    parser.add_argument("--model", choices=("hstu", "sasrec"), default="hstu")
    parser.add_argument("--epochs", type=int, default=101)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-users", type=int)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(args.threads)
    args.checkpoints.mkdir(parents=True, exist_ok=True)
    journal = Journal(args.checkpoints / "epochs.jsonl")
    # Other draws in each process, where a fit goes on.
    seed_everything(args.seed + 1000 * len(read_epochs(journal.path)))
    past, test = read(args.data, args.max_users)
    dataset = Dataset.construct(past)
    model = make_model(args, journal, args.checkpoints)
    model.fit(dataset)
    best = torch.load(args.checkpoints / "best.ckpt", weights_only=False)
    model.lightning_model.load_state_dict(best["state_dict"])
    report = {
        "peer": "rectools",
        "model": args.model,
        "seed": args.seed,
        "epochs": read_epochs(journal.path),
        "test": test_metrics(model, dataset, test),
        "versions": {name: version(name) for name in ("rectools", "torch", "pytorch-lightning")},
    }
    args.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
