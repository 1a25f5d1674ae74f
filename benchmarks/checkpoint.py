"""A fit that goes on where it was stopped, and a journal of its epochs."""

import copy
import json
import os
import time
from pathlib import Path

import torch
from skorch.callbacks import Callback
from skorch.history import History

from sk_adrec._net import RestoreBest


class Checkpoint(Callback):
    """Keeps all that a fit needs to go on after each epoch, and goes on from it.

    Parameters
    ----------
    folder : str or Path
        Holds ``last.pt`` and the journal ``epochs.jsonl``; one folder for one fit.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def on_train_begin(self, net, **kwargs):
        """Put everything back as it was after the last epoch that was finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "last.pt").exists():
            return
        state = torch.load(self.folder / "last.pt", weights_only=False)
        net.module_.load_state_dict(state["module"])
        net.optimizer_.load_state_dict(state["optimizer"])
        net.history_ = net.history = History(state["history"])
        net.rng.bit_generator.state = state["numpy"]
        torch.set_rng_state(state["torch"])
        finished, stopped = len(net.history), False
        if (restorer := _restorer(net)) is not None:
            vars(restorer).update(state["best"])
            stopped = finished - restorer.best_epoch_ >= restorer.patience
        net.max_epochs = 0 if stopped else max(0, net.max_epochs - finished)

    def on_epoch_begin(self, net, **kwargs):
        """The clock of training runs."""
        self.began = time.perf_counter()

    def on_batch_end(self, net, training=False, **kwargs):
        """Validation comes after the last step: it is not counted."""
        if training:
            net.history.record("train_seconds", time.perf_counter() - self.began)

    def on_epoch_end(self, net, **kwargs):
        """Write to another file first: the machine may stop at any moment."""
        one, restorer = epochs(net)[-1], _restorer(net)
        with (self.folder / "epochs.jsonl").open("a") as file:
            file.write(json.dumps(one) + "\n")
        print(one, flush=True)
        state = {
            "module": net.module_.state_dict(),
            "optimizer": net.optimizer_.state_dict(),
            "history": list(net.history),
            "numpy": copy.deepcopy(net.rng.bit_generator.state),
            "torch": torch.get_rng_state(),
            "best": {} if restorer is None else vars(restorer),
        }
        torch.save(state, self.folder / "next.pt")
        os.replace(self.folder / "next.pt", self.folder / "last.pt")


def _restorer(net):
    found = (callback for _, callback in net.callbacks_ if isinstance(callback, RestoreBest))
    return next(found, None)


def epochs(net):
    """Seconds of training, its loss and, with validation rows, NDCG@10 of each epoch of a net.

    Returns
    -------
    list of dict
    """
    found = []
    for number, one in enumerate(net.history, start=1):
        epoch = {"epoch": number, "seconds": one["train_seconds"], "train_loss": one["train_loss"]}
        if "valid_ndcg_at_10" in one:
            epoch["valid_ndcg"] = float(one["valid_ndcg_at_10"])
        found.append(epoch)
    return found
