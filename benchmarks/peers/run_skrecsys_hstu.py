"""Train skrecsys' HSTU (https://pypi.org/project/skrecsys) on histories; see ../hstu_ml1m.py.

    run_skrecsys_hstu.py data.npz --output report.json --checkpoints folder

`data.npz` holds `user`, `item` and `position` of all interactions. The last one of each user is for
the test. skrecsys has no validation rows: its HSTU is fitted on everything else with its defaults
(width 50, 2 blocks, 128 negatives per position, cosines / 0.05, batches of 128, Adam 1e-3, divided
by 5 when the training loss no longer falls). The report holds its recommendations, for the caller
to measure as those of others.
"""

import argparse
import json
import os
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from skrecsys.nn import HSTU

K = 10


class JournalledHSTU(HSTU):
    """An HSTU that writes down its epochs, goes on from the last one, and keeps to a budget."""

    folder, minutes = None, float("inf")

    def _make_optimizer(self, module):
        """The hook between building and training."""
        optimizer = super()._make_optimizer(module)
        self.journal = Journal(self.folder, self.minutes, module, optimizer)
        return optimizer


class Journal:
    """Stands between skrecsys' training loop and its module.

    Epochs of an earlier process are shown to the loop as one batch each, whose loss is the recorded
    one and has no gradient, so that the loop counts and lowers its rate as it had. No epoch begins
    after `minutes` of training: the loop is shown the last one again.
    """

    def __init__(self, folder, minutes, module, optimizer):
        self.last, self.module, self.optimizer = folder / "last.pt", module, optimizer
        self.minutes = minutes
        self.batches, self.loss = module.iter_batches, module.batch_loss
        module.iter_batches, module.batch_loss = self.iter_batches, self.batch_loss
        self.saved = torch.load(self.last, weights_only=False) if self.last.exists() else None
        self.epochs = self.saved["epochs"] if self.saved else []
        self.begun = 0

    def iter_batches(self, batch_size, generator):
        self.begun += 1
        if self.begun <= len(self.epochs):
            self.replayed = self.epochs[self.begun - 1]["train_loss"]
            yield (range(1),)
            return
        if self.saved is not None:
            self.go_on(generator)
        if sum(epoch["seconds"] for epoch in self.epochs) > 60 * self.minutes:
            self.replayed = self.epochs[-1]["train_loss"]
            yield (range(1),)
            return
        self.replayed, self.total, self.seen = None, 0.0, 0
        began = time.perf_counter()
        yield from self.batches(batch_size, generator)
        self.save(time.perf_counter() - began, generator)

    def batch_loss(self, batch):
        if self.replayed is not None:
            return torch.tensor(self.replayed, dtype=torch.float64, requires_grad=True)
        loss, size = self.loss(batch), len(batch[0])
        self.total, self.seen = self.total + float(loss.detach()) * size, self.seen + size
        return loss

    def go_on(self, generator):
        """Take over what the last epoch left, at the rate that the loop has come to."""
        rate = self.optimizer.param_groups[0]["lr"]
        self.module.load_state_dict(self.saved["module"])
        self.optimizer.load_state_dict(self.saved["optimizer"])
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        generator.set_state(self.saved["generator"])
        torch.set_rng_state(self.saved["torch"])
        self.saved = None

    def save(self, seconds, generator):
        """Write to another file first: the machine may stop at any moment."""
        one = {"epoch": self.begun, "seconds": seconds, "train_loss": self.total / self.seen}
        print(one, flush=True)
        self.epochs.append(one)
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": generator.get_state(),
            "torch": torch.get_rng_state(),
            "epochs": self.epochs,
        }
        torch.save(state, self.last.with_name("next.pt"))
        os.replace(self.last.with_name("next.pt"), self.last)


def main():
    """Train, recommend, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path, required=True, help="resumed if it holds any")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="of training, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.checkpoints.mkdir(parents=True, exist_ok=True)
    with np.load(args.data) as arrays:
        order = np.lexsort([arrays["position"], arrays["user"]])
        user, item = arrays["user"][order], arrays["item"][order]
    is_test = np.append(user[1:] != user[:-1], True)
    model = JournalledHSTU(max_iter=args.epochs, n_jobs=args.threads, random_state=args.seed)
    model.folder, model.minutes = args.checkpoints, args.minutes
    model.fit(np.column_stack([user, item])[~is_test])
    users = user[is_test]
    users = users[np.isin(users, model.user_ids_)]
    found, _ = model.recommend(users, n_recommendations=K)
    report = {
        "peer": "skrecsys",
        "model": "hstu",
        "seed": args.seed,
        "epochs": model.journal.epochs,
        "n_items": int(model.n_items_),
        "users": users.tolist(),
        "recommended": found.tolist(),
        "versions": {name: version(name) for name in ("skrecsys", "torch")},
    }
    args.output.write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
