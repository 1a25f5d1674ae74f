"""Train DeepCTR-Torch's models with their own fit; see README.md for the arguments."""

import os

import common
import torch

# On import DeepCTR-Torch asks the package index for a newer release of itself. A benchmark stays
# offline: nothing listens on this proxy, and the library takes the refusal as "no news".
os.environ["https_proxy"] = "http://127.0.0.1:9"

from deepctr_torch.callbacks import Callback
from deepctr_torch.inputs import DenseFeat, SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIN, ESMM, DeepFM

# DIN masks by a column of lengths.
LENGTH = "hist_length"


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


def feature_columns(data, args):
    """DeepCTR-Torch's description of the columns: fields, numbers, lists."""
    fields = {
        name: SparseFeat(name, vocabulary_size=size, embedding_dim=args.embedding_dim)
        for name, size in zip(data.names, data.cardinalities)
    }
    lists = [
        VarLenSparseFeat(
            SparseFeat(
                name,
                vocabulary_size=fields[of].vocabulary_size,
                embedding_dim=args.embedding_dim,
                embedding_name=of,
            ),
            maxlen=data.max_len,
            length_name=LENGTH,
        )
        for name, of in data.lists.items()
    ]
    return [*fields.values(), *(DenseFeat(name) for name in data.numbers), *lists]


def with_lengths(data, inputs, count):
    """The inputs and, where there are lists, the number of their entries by ``count``."""
    if data.lists:
        inputs[LENGTH] = count(inputs[next(iter(data.lists))] != 0)
    return inputs


def fit(model, loss, data, args, clock):
    """Train by compile and fit, the clock on its callbacks."""
    clock.model = model

    def predict(inputs):
        inputs = with_lengths(data, inputs, lambda entries: entries.sum(1))
        columns = [inputs[name].float() for name in model.feature_index]
        return model(torch.cat([c[:, None] if c.ndim == 1 else c for c in columns], dim=1))

    clock.predict = predict
    model.compile(torch.optim.Adam(model.parameters(), lr=args.lr), loss)
    model.fit(
        with_lengths(data, data.inputs("train"), lambda entries: entries.sum(axis=1)),
        data.y_train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        verbose=0,
        callbacks=[ClockCallback(clock)],
    )


def deepfm(data, args, hidden_dims):
    """DeepFM; with no hidden layers an FM."""
    columns = feature_columns(data, args)
    return DeepFM(
        columns,
        columns,
        dnn_hidden_units=hidden_dims,
        l2_reg_linear=args.l2,
        l2_reg_embedding=args.l2,
        l2_reg_dnn=args.l2,
        seed=args.seed,
    )


def train_fm(data, args, clock):
    """DeepFM with dnn_hidden_units=(), which leaves first-order weights, pairwise interactions
    and a bias, trained by compile and fit without metrics and validation, dense Adam. Numbers
    (DenseFeat) are in the first-order part only. Its fit turns codes into float32: codes above
    2^24 of one field would collide.
    """
    fit(deepfm(data, args, ()), "binary_crossentropy", data, args, clock)


def train_deepfm(data, args, clock):
    """DeepFM (relu, no dropout, no batch norm) trained by compile and fit without metrics and
    validation, dense Adam. Numbers (DenseFeat) are in the first-order part and the MLP. Its fit
    turns codes into float32: codes above 2^24 of one field would collide.
    """
    fit(deepfm(data, args, args.hidden_dims), "binary_crossentropy", data, args, clock)


def train_din(data, args, clock):
    """DIN on the concatenated attributes of an event: attention MLP with Dice, weights that are
    not normalised (its defaults), top MLP with relu, padding masked by a column of lengths;
    trained by compile and fit without metrics and validation, dense Adam. Its forward also pools
    the lists by their mean, and drops the result.
    """
    model = DIN(
        feature_columns(data, args),
        list(data.lists.values()),
        dnn_hidden_units=args.hidden_dims,
        att_hidden_size=args.attention_hidden_dims,
        l2_reg_dnn=args.l2,
        l2_reg_embedding=args.l2,
        seed=args.seed,
    )
    fit(model, "binary_crossentropy", data, args, clock)


def train_esmm(data, args, clock):
    """ESMM (towers with relu, no dropout, no batch norm; losses of click and of conversion over
    all rows) trained by compile and fit without metrics and validation, dense Adam.
    """
    model = ESMM(
        feature_columns(data, args),
        tower_dnn_hidden_units=args.hidden_dims,
        l2_reg_linear=args.l2,
        l2_reg_embedding=args.l2,
        l2_reg_dnn=args.l2,
        seed=args.seed,
    )
    fit(model, ["binary_crossentropy"] * 2, data, args, clock)


TRAINERS = {"fm": train_fm, "deepfm": train_deepfm, "din": train_din, "esmm": train_esmm}

if __name__ == "__main__":
    common.run("deepctr-torch", TRAINERS)
