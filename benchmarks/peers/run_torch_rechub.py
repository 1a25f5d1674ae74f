"""Train torch-rechub's models with its CTRTrainer; see README.md for the arguments."""

import tempfile

import common
import torch
from torch_rechub.basic.features import SparseFeature
from torch_rechub.basic.layers import FM as PairwiseInteractions
from torch_rechub.basic.layers import LR, EmbeddingLayer
from torch_rechub.trainers import CTRTrainer
from torch_rechub.utils.data import DataGenerator


class FM(torch.nn.Module):
    """torch-rechub's DeepFM without its MLP: it has no plain FM, and its MLP cannot be empty.

    As in that DeepFM, the first-order part is a linear layer on the concatenated embeddings.
    """

    def __init__(self, features):
        super().__init__()
        self.features = features
        self.embedding = EmbeddingLayer(features)
        self.linear = LR(sum(feature.embed_dim for feature in features))
        self.fm = PairwiseInteractions(reduce_sum=True)

    def forward(self, x):
        """Probability (B,) of a dict of codes (B,): CTRTrainer's loss wants probabilities."""
        embedded = self.embedding(x, self.features)  # (B, F, d)
        logit = self.linear(embedded.flatten(start_dim=1)) + self.fm(embedded)  # (B, 1)
        return torch.sigmoid(logit.squeeze(1))


class ClockLogger:
    """CTRTrainer's logger protocol; it logs the train loss once, at the end of each epoch."""

    def __init__(self, clock):
        self.clock = clock

    def log_hyperparams(self, params):
        """Called when fit begins."""
        self.clock.start()

    def log_metrics(self, metrics, step):
        """Called when an epoch has ended."""
        self.clock.stop()
        self.clock.start()

    def finish(self):
        """Called when fit ends."""


def train_fm(data, args, clock):
    """DeepFM's EmbeddingLayer, LR and FM layers without the MLP (there is no plain FM), trained
    by CTRTrainer.fit without validation on DataGenerator's loader (num_workers=0, its default),
    dense Adam.
    """
    features = [
        SparseFeature(name, vocab_size=size, embed_dim=args.embedding_dim)
        for name, size in zip(data.names, data.cardinalities)
    ]
    clock.model = FM(features)
    clock.predict = lambda X: clock.model(
        {name: torch.from_numpy(codes) for name, codes in data.columns(X).items()}
    )
    generator = DataGenerator(data.columns(data.X_train), data.y_train)
    loader, _, _ = generator.generate_dataloader(batch_size=args.batch_size)
    with tempfile.TemporaryDirectory() as directory:  # fit saves the model there
        trainer = CTRTrainer(
            clock.model,
            optimizer_params={"lr": args.lr, "weight_decay": args.l2},
            n_epoch=args.epochs,
            model_path=directory,
            model_logger=ClockLogger(clock),
        )
        trainer.fit(loader)


if __name__ == "__main__":
    common.run("torch-rechub", {"fm": train_fm})
