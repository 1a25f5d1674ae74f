"""Train NextRec's models with their own fit; see README.md for the arguments."""

import contextlib
import tempfile

import common
from nextrec.basic.callback import Callback
from nextrec.basic.features import DenseFeature, SequenceFeature, SparseFeature
from nextrec.models.multitask.esmm import ESMM
from nextrec.models.ranking.deepfm import DeepFM
from nextrec.models.ranking.din import DIN
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


def shifted(data, inputs):
    """The inputs with codes from 1: NextRec keeps row 0 of each table at zero, for padding."""
    for name in data.names:
        inputs[name] += 1
    for name in data.lists:
        inputs[name] += inputs[name] != 0
    return inputs


def features(data, args):
    """NextRec's description of the columns, as keywords of its models."""
    sizes = {name: size + 1 for name, size in zip(data.names, data.cardinalities)}
    return {
        "dense_features": [DenseFeature(name) for name in data.numbers],
        "sparse_features": [
            SparseFeature(name, vocab_size=size, embedding_dim=args.embedding_dim)
            for name, size in sizes.items()
        ],
        "sequence_features": [
            SequenceFeature(
                name,
                vocab_size=sizes[of],
                max_len=data.max_len,
                embedding_name=of,
                embedding_dim=args.embedding_dim,
            )
            for name, of in data.lists.items()
        ],
    }


def fit(model_class, data, args, clock, labels=("label",), **params):
    """Train by compile and fit, the clock on its callbacks."""
    columns = shifted(data, data.inputs("train"))
    columns |= zip(labels, data.y_train.reshape(len(data.y_train), -1).T.copy())
    # NextRec writes logs and checkpoints below the working directory.
    with tempfile.TemporaryDirectory() as directory, contextlib.chdir(directory):
        model = model_class(
            **features(data, args), target=list(labels), session_id="benchmark", **params
        )
        clock.model = model
        # The model's forward ends before the head's bias and sigmoid.
        clock.predict = lambda inputs: model.training_adapter.forward(model, shifted(data, inputs))
        model.callbacks.append(ClockCallback(clock))
        model.compile(
            optimizer="adam",
            optimizer_params={"lr": args.lr, "weight_decay": args.l2},
            loss=["bce"] * len(labels) if len(labels) > 1 else "bce",
        )
        model.fit(
            train_data=columns,
            metrics=["logloss"],
            epochs=args.epochs,
            batch_size=args.batch_size,
            use_tensorboard=False,
        )


def train_fm(data, args, clock):
    """NextRec's FM (pairwise interactions; the first-order part is a linear layer on the
    concatenated embeddings) trained by compile and fit without validation (num_workers=0, its
    default), dense Adam, gradient norm clipped at 1 (its default). Metrics on the training rows
    cannot be switched off; the cheapest, log loss, is inside the epoch. Its FM has no place for
    numbers: where there are some, its DeepFM without hidden layers is trained, whose MLP is then
    one more linear layer, on embeddings and numbers.
    """
    if data.numbers:
        fit(DeepFM, data, args, clock, mlp_params={"hidden_dims": []})
    else:
        fit(FM, data, args, clock)


def train_deepfm(data, args, clock):
    """NextRec's DeepFM (relu, no dropout, no norm; first-order part as in its FM; numbers in the
    MLP only) trained by compile and fit without validation (num_workers=0, its default), dense
    Adam, gradient norm clipped at 1 (its default). Metrics on the training rows cannot be
    switched off; the cheapest, log loss, is inside the epoch.
    """
    fit(DeepFM, data, args, clock, mlp_params={"hidden_dims": args.hidden_dims})


def train_din(data, args, clock):
    """NextRec's DIN (an attention MLP for each list with Dice and masked softmax, its defaults;
    top MLP with relu, no norm) trained by compile and fit without validation (num_workers=0, its
    default), dense Adam, gradient norm clipped at 1 (its default). Metrics on the training rows
    cannot be switched off; the cheapest, log loss, is inside the epoch.
    """
    fit(
        DIN,
        data,
        args,
        clock,
        behavior_feature_name=list(data.lists),
        candidate_feature_name=list(data.lists.values()),
        mlp_params={"hidden_dims": args.hidden_dims},
        attention_mlp_params={"hidden_dims": args.attention_hidden_dims},
    )


def train_esmm(data, args, clock):
    """NextRec's ESMM (towers with relu, no dropout, no norm; losses of click and of conversion
    over all rows) trained by compile and fit without validation (num_workers=0, its default),
    dense Adam, gradient norm clipped at 1 (its default). Metrics on the training rows cannot be
    switched off; the cheapest, log loss, is inside the epoch.
    """
    tower = {"hidden_dims": args.hidden_dims}
    fit(
        ESMM,
        data,
        args,
        clock,
        labels=("click", "conversion"),
        ctr_mlp_params=tower,
        cvr_mlp_params=tower,
    )


TRAINERS = {"fm": train_fm, "deepfm": train_deepfm, "din": train_din, "esmm": train_esmm}

if __name__ == "__main__":
    common.run("nextrec", TRAINERS)
