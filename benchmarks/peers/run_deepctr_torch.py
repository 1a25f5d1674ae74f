"""Train DeepCTR-Torch's models with their own fit; see README.md for the arguments."""

import os

import common
import numpy as np
import torch

# On import DeepCTR-Torch asks the package index for a newer release of itself. A benchmark stays
# offline: nothing listens on this proxy, and the library takes the refusal as "no news".
os.environ["https_proxy"] = "http://127.0.0.1:9"

from deepctr_torch.callbacks import Callback
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import DeepFM


class ClockCallback(Callback):
    """Start and stop the clock where DeepCTR-Torch's loop starts and ends an epoch."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch."""
        self.clock.start()

    def on_epoch_end(self, epoch, logs=None):
        """End the epoch."""
        self.clock.stop()


def train_fm(data, args, clock):
    """DeepFM with dnn_hidden_units=(), which leaves first-order weights, pairwise interactions
    and a bias, trained by compile and fit without metrics and validation, dense Adam. Its fit
    turns codes into float32: codes above 2^24 of one field would collide.
    """
    columns = [
        SparseFeat(name, vocabulary_size=size, embedding_dim=args.embedding_dim)
        for name, size in zip(data.names, data.cardinalities)
    ]
    model = DeepFM(
        columns,
        columns,
        dnn_hidden_units=(),
        l2_reg_linear=args.l2,
        l2_reg_embedding=args.l2,
        seed=args.seed,
    )
    clock.model = model
    clock.predict = lambda X: model(torch.from_numpy(X.astype(np.float32)))
    model.compile(torch.optim.Adam(model.parameters(), lr=args.lr), "binary_crossentropy")
    model.fit(
        data.columns(data.X_train),
        data.y_train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        verbose=0,
        callbacks=[ClockCallback(clock)],
    )


if __name__ == "__main__":
    common.run("deepctr-torch", {"fm": train_fm})
