"""Train NextRec's models with their own fit; see README.md for the arguments."""

import contextlib
import tempfile

import common
import torch
from nextrec.basic.callback import Callback
from nextrec.basic.features import SparseFeature
from nextrec.models.ranking.fm import FM


class ClockCallback(Callback):
    """Start and stop the clock where NextRec's loop starts and ends an epoch."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch."""
        self.clock.start()

    def on_epoch_end(self, epoch, logs=None):
        """End the epoch."""
        self.clock.stop()


def shifted_columns(data, X):
    """Columns with codes from 1: NextRec keeps row 0 of each table at zero, for padding."""
    return {name: codes + 1 for name, codes in data.columns(X).items()}


def train_fm(data, args, clock):
    """NextRec's FM (pairwise interactions; the first-order part is a linear layer on the
    concatenated embeddings) trained by compile and fit without validation (num_workers=0, its
    default), dense Adam, gradient norm clipped at 1 (its default). Metrics on the training rows
    cannot be switched off; the cheapest, log loss, is inside the epoch.
    """
    features = [
        SparseFeature(name, vocab_size=size + 1, embedding_dim=args.embedding_dim)
        for name, size in zip(data.names, data.cardinalities)
    ]
    train = {**shifted_columns(data, data.X_train), "label": data.y_train}
    # NextRec writes logs and checkpoints below the working directory.
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        model = FM(sparse_features=features, target="label", session_id="benchmark")
        clock.model = model
        clock.predict = lambda X: torch.sigmoid(
            model({name: torch.from_numpy(c) for name, c in shifted_columns(data, X).items()})
        )
        model.callbacks.append(ClockCallback(clock))
        model.compile(
            optimizer="adam",
            optimizer_params={"lr": args.lr, "weight_decay": args.l2},
            loss="bce",
        )
        model.fit(
            train_data=train,
            metrics=["logloss"],
            epochs=args.epochs,
            batch_size=args.batch_size,
            use_tensorboard=False,
        )


if __name__ == "__main__":
    common.run("nextrec", {"fm": train_fm})
