"""Train torch-rechub's models with its trainers; see README.md for the arguments."""

import tempfile

import common
import numpy as np
import torch
from torch_rechub.basic.features import DenseFeature, SequenceFeature, SparseFeature
from torch_rechub.basic.layers import FM as PairwiseInteractions
from torch_rechub.basic.layers import LR, EmbeddingLayer
from torch_rechub.models.matching import DSSM
from torch_rechub.models.multi_task import ESMM
from torch_rechub.models.ranking import DIN, DeepFM
from torch_rechub.trainers import CTRTrainer, MatchTrainer, MTLTrainer
from torch_rechub.utils.data import DataGenerator


class FM(torch.nn.Module):
    """torch-rechub's DeepFM without its MLP: it has no plain FM, and its MLP cannot be empty.

    As in that DeepFM, the first-order part is a linear layer on the concatenated embeddings; the
    numbers, which are in that DeepFM's MLP only, join it.
    """

    def __init__(self, fields, numbers):
        super().__init__()
        self.fields = fields
        self.numbers = numbers
        self.embedding = EmbeddingLayer(fields + numbers)
        self.linear = LR(sum(feature.embed_dim for feature in fields + numbers))
        self.fm = PairwiseInteractions(reduce_sum=True)

    def forward(self, x):
        """Probability (B,) of a dict of columns (B,): CTRTrainer's loss wants probabilities."""
        embedded = self.embedding(x, self.fields)  # (B, F, d)
        first_order = embedded.flatten(start_dim=1)
        if self.numbers:
            numbers = self.embedding(x, self.numbers, squeeze_dim=True)
            first_order = torch.cat([first_order, numbers], dim=1)
        logit = self.linear(first_order) + self.fm(embedded)  # (B, 1)
        return torch.sigmoid(logit.squeeze(1))


class Clocked:
    """Mixed into a trainer: the clock runs while an epoch is trained."""

    clock = None

    def train_one_epoch(self, data_loader):
        """Train an epoch, on the clock."""
        self.clock.start()
        losses = super().train_one_epoch(data_loader)
        self.clock.stop()
        return losses


class ClockedCTRTrainer(Clocked, CTRTrainer):
    """CTRTrainer on the clock."""


class ClockedMatchTrainer(Clocked, MatchTrainer):
    """MatchTrainer on the clock."""


class ClockedMTLTrainer(Clocked, MTLTrainer):
    """MTLTrainer on the clock, without the validation that its fit cannot do without."""

    def evaluate(self, model, data_loader):
        """Scores that rise, so that fit neither stops nor returns to an earlier epoch."""
        return [len(self.clock.seconds)] * self.n_task


def fields_of(data, args):
    """A SparseFeature a field, by name; row 0 is padding where lists share the table."""
    return {
        name: SparseFeature(
            name,
            vocab_size=size,
            embed_dim=args.embedding_dim,
            padding_idx=0 if name in data.lists.values() else None,
        )
        for name, size in zip(data.names, data.cardinalities)
    }


def mlp(dims):
    """Keywords of torch-rechub's MLP, relu as in its DeepFM and ESMM."""
    return {"dims": dims, "activation": "relu"}


def fit(model, data, args, clock):
    """Train by CTRTrainer.fit on DataGenerator's loader."""
    clock.model = clock.predict = model
    loader = make_loader(data.inputs("train"), data.y_train, args)
    with tempfile.TemporaryDirectory() as directory:  # fit saves the model there
        trainer = ClockedCTRTrainer(model, **trainer_params(args, directory))
        trainer.clock = clock
        trainer.fit(loader)


def make_loader(inputs, y, args):
    """DataGenerator's loader of the training rows."""
    return DataGenerator(inputs, y).generate_dataloader(batch_size=args.batch_size)[0]


def trainer_params(args, directory):
    """What both trainers want to know."""
    return {
        "optimizer_params": {"lr": args.lr, "weight_decay": args.l2},
        "n_epoch": args.epochs,
        "model_path": directory,
    }


def train_fm(data, args, clock):
    """DeepFM's EmbeddingLayer, LR and FM layers without the MLP (there is no plain FM; numbers
    join the LR layer), trained by CTRTrainer.fit without validation on DataGenerator's loader
    (num_workers=0, its default), dense Adam.
    """
    fields = list(fields_of(data, args).values())
    fit(FM(fields, [DenseFeature(name) for name in data.numbers]), data, args, clock)


def train_deepfm(data, args, clock):
    """DeepFM (relu, no dropout; its MLP has batch norm, which cannot be switched off; numbers in
    the MLP only), trained by CTRTrainer.fit without validation on DataGenerator's loader
    (num_workers=0, its default), dense Adam.
    """
    fields = list(fields_of(data, args).values())
    numbers = [DenseFeature(name) for name in data.numbers]
    fit(DeepFM(fields + numbers, fields, mlp(args.hidden_dims)), data, args, clock)


def train_din(data, args, clock):
    """DIN (an attention MLP for each list; Dice in all MLPs and no softmax, its defaults; batch
    norm in all MLPs, which cannot be switched off, so that padding, whose embedding is zero, is
    in the statistics of attention; no place for numbers, which are left out), trained by
    CTRTrainer.fit without validation on DataGenerator's loader (num_workers=0, its default),
    dense Adam.
    """
    data = clock.leave_out_numbers()
    fields = fields_of(data, args)
    lists = [
        SequenceFeature(
            name,
            vocab_size=fields[of].vocab_size,
            embed_dim=args.embedding_dim,
            pooling="concat",
            shared_with=of,
            padding_idx=0,
        )
        for name, of in data.lists.items()
    ]
    targets = [fields.pop(of) for of in data.lists.values()]
    model = DIN(
        list(fields.values()),
        lists,
        targets,
        mlp_params={"dims": args.hidden_dims},
        attention_mlp_params={"dims": args.attention_hidden_dims},
    )
    fit(model, data, args, clock)


def train_esmm(data, args, clock):
    """ESMM (towers with relu and batch norm, which cannot be switched off; losses of click and of
    conversion over all rows), trained by MTLTrainer.fit on DataGenerator's loader (num_workers=0,
    its default), dense Adam; the validation that fit cannot do without is left out. Its forward
    looks the user's fields up twice: the first field is declared the user's, the others the
    item's.
    """
    user, *item = fields_of(data, args).values()
    clock.model = ESMM([user], item, mlp(args.hidden_dims), mlp(args.hidden_dims))
    clock.predict = lambda inputs: clock.model(inputs)[:, 1:]
    # Outputs are CVR, CTR, CTCVR; the loss leaves the first out.
    click, conversion = data.y_train.T
    labels = np.stack([conversion, click, conversion], axis=1)
    with tempfile.TemporaryDirectory() as directory:
        trainer = ClockedMTLTrainer(
            clock.model, task_types=["classification"] * 3, **trainer_params(args, directory)
        )
        trainer.clock = clock
        trainer.fit(make_loader(data.inputs("train"), labels, args), None)


def train_dssm(data, args, clock):
    """DSSM (relu; batch norm in the towers, which cannot be switched off; cosine without a
    temperature), point-wise on the pairs' own negatives, trained by MatchTrainer.fit without
    validation on DataGenerator's loader (num_workers=0, its default), dense Adam.
    """
    fit_dssm(data, args, clock)


def train_dssm_in_batch(data, args, clock):
    """DSSM as before, each pair against all others of its batch (in_batch_neg=True), trained by
    MatchTrainer.fit without validation on DataGenerator's loader, dense Adam.
    """
    fit_dssm(data, args, clock, in_batch_neg=True)


def fit_dssm(data, args, clock, **how):
    """Train a DSSM by MatchTrainer.fit."""
    fields = list(fields_of(data, args).values())
    tower = mlp(args.hidden_dims)
    model = DSSM(fields[: data.n_user_fields], fields[data.n_user_fields :], tower, tower)
    clock.model = clock.predict = model
    with tempfile.TemporaryDirectory() as directory:
        trainer = ClockedMatchTrainer(model, **how, **trainer_params(args, directory))
        trainer.clock = clock
        trainer.fit(make_loader(data.inputs("train"), data.y_train, args))


TRAINERS = {"fm": train_fm, "deepfm": train_deepfm, "din": train_din, "esmm": train_esmm}
TRAINERS |= {"dssm": train_dssm, "dssm_in_batch": train_dssm_in_batch}

if __name__ == "__main__":
    common.run("torch-rechub", TRAINERS)
