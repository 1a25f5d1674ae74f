"""Train FuxiCTR's models with their own fit; see README.md for the arguments.

The wheel leaves the model zoo out, so the models are written again from the layers in the wheel.
Neither the wheel nor the zoo holds ESMM (the zoo has SharedBottom, MMoE, PLE).
"""

import tempfile
from pathlib import Path

import common
import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import (
    DIN_Attention,
    FactorizationMachine,
    FeatureEmbedding,
    FeatureEmbeddingDict,
    MLP_Block,
)
from fuxictr.pytorch.models import BaseModel

DATASET = "impressions"


class ClockedModel(BaseModel):
    """FuxiCTR's base with the clock in place of its validation; models build layers, then start."""

    def __init__(self, feature_map, clock, args, model_root):
        super().__init__(
            feature_map,
            model_id=args.model,
            embedding_regularizer=args.l2 or None,
            net_regularizer=args.l2 or None,
            model_root=model_root,
            metrics=["AUC"],
            verbose=0,
        )
        self.clock = clock
        self.build(feature_map, args)
        self.compile("adam", "binary_crossentropy", args.lr)
        self.reset_parameters()
        self.model_to_device()

    def build(self, feature_map, args):
        """Make the layers."""
        raise NotImplementedError

    def logit(self, X):
        """Logits (B, 1) of a dict of columns."""
        raise NotImplementedError

    def forward(self, inputs):
        """``{"y_pred": probability (B, 1)}`` of a batch's dict of columns."""
        return {"y_pred": self.output_activation(self.logit(self.get_inputs(inputs)))}

    def eval_step(self):
        """End the epoch here, in place of FuxiCTR's validation.

        fit reloads the best checkpoint when it ends, so the last weights have to be one.
        """
        self.clock.stop()
        self.save_weights(self.checkpoint)
        self.train()
        self.clock.start()


class FM(ClockedModel):
    """First-order weights, pairwise interactions, bias."""

    def build(self, feature_map, args):
        """Make the layers."""
        self.embedding_layer = FeatureEmbedding(feature_map, args.embedding_dim)
        self.fm = FactorizationMachine(feature_map)

    def logit(self, X):
        """Logits (B, 1) of a dict of columns."""
        return self.fm(X, self.embedding_layer(X))


class DeepFM(FM):
    """An FM and an MLP on the same embeddings."""

    def build(self, feature_map, args):
        """Make the layers."""
        super().build(feature_map, args)
        self.mlp = MLP_Block(
            feature_map.sum_emb_out_dim(), hidden_units=args.hidden_dims, output_dim=1
        )

    def logit(self, X):
        """Logits (B, 1) of a dict of columns."""
        embedded = self.embedding_layer(X)  # (B, F, d)
        return self.fm(X, embedded) + self.mlp(embedded.flatten(start_dim=1))


class DIN(ClockedModel):
    """Attention over the events of the history, then an MLP on all embeddings."""

    def build(self, feature_map, args):
        """Make the layers."""
        self.lists = self.clock.data.lists
        self.embedding_layer = FeatureEmbeddingDict(feature_map, args.embedding_dim)
        self.attention = DIN_Attention(
            args.embedding_dim * len(self.lists),
            attention_units=args.attention_hidden_dims,
            hidden_activations="Dice",
        )
        self.dnn = MLP_Block(
            feature_map.sum_emb_out_dim(), hidden_units=args.hidden_dims, output_dim=1
        )

    def logit(self, X):
        """Logits (B, 1) of a dict of columns."""
        embedded = self.embedding_layer(X)
        target = torch.cat([embedded[name] for name in self.lists.values()], dim=-1)
        events = torch.cat([embedded[name] for name in self.lists], dim=-1)
        mask = X[next(iter(self.lists))].long() != 0  # (B, L)
        pooled = self.attention(target, events, mask)
        embedded.update(zip(self.lists, pooled.chunk(len(self.lists), dim=-1)))
        return self.dnn(self.embedding_layer.dict2tensor(embedded, flatten_emb=True))


def make_feature_map(data, args, directory):
    """FuxiCTR's description of the columns; padding_idx only where lists share the table."""
    feature_map = FeatureMap(DATASET, str(directory))
    for name, size in zip(data.names, data.cardinalities):
        feature = {"source": "", "type": "categorical", "vocab_size": size}
        if name in data.lists.values():
            feature["padding_idx"] = 0
        feature_map.features[name] = feature
    for name in data.numbers:
        feature_map.features[name] = {"source": "", "type": "numeric"}
    for name, of in data.lists.items():
        feature_map.features[name] = feature_map.features[of] | {
            "type": "sequence",
            "max_len": data.max_len,
            "share_embedding": of,
        }
    feature_map.labels = ["label"]
    feature_map.default_emb_dim = args.embedding_dim
    feature_map.num_fields = feature_map.get_num_fields()
    feature_map.set_column_index()
    return feature_map


def train(model_class, data, args, clock):
    """Train by BaseModel.fit on the npz loader, the clock in place of its validation."""
    with tempfile.TemporaryDirectory() as directory:
        train_file = Path(directory) / "train.npz"
        np.savez(train_file, label=data.y_train.astype(np.int64), **data.inputs("train"))
        (Path(directory) / DATASET).mkdir()  # where checkpoints go
        feature_map = make_feature_map(data, args, directory)
        train_gen, _ = RankDataLoader(
            feature_map,
            stage="train",
            train_data=str(train_file),
            batch_size=args.batch_size,
            shuffle=True,
        )
        model = model_class(feature_map, clock, args, directory)
        clock.model = model
        clock.predict = lambda inputs: model(inputs)["y_pred"]
        clock.start()
        model.fit(train_gen, epochs=args.epochs)


def train_fm(data, args, clock):
    """The FM of FuxiCTR's model zoo (FeatureEmbedding and FactorizationMachine: first-order
    weights, pairwise interactions, bias; a number has both, times its value) trained by
    BaseModel.fit on RankDataLoader's npz loader (num_workers=1, its default), dense Adam,
    gradient norm clipped at 10 (its default). The validation after each epoch is replaced by the
    clock's.
    """
    train(FM, data, args, clock)


def train_deepfm(data, args, clock):
    """The DeepFM of FuxiCTR's model zoo (FeatureEmbedding, FactorizationMachine and MLP_Block
    with relu, no dropout, no batch norm; a number's embedding is a vector times its value)
    trained by BaseModel.fit on RankDataLoader's npz loader (num_workers=1, its default), dense
    Adam, gradient norm clipped at 10 (its default). The validation after each epoch is replaced
    by the clock's.
    """
    train(DeepFM, data, args, clock)


def train_din(data, args, clock):
    """The DIN of FuxiCTR's model zoo (FeatureEmbeddingDict, DIN_Attention on the concatenated
    attributes of an event with Dice and no softmax, its defaults, padding masked; MLP_Block with
    relu) trained by BaseModel.fit on RankDataLoader's npz loader (num_workers=1, its default),
    dense Adam, gradient norm clipped at 10 (its default). The validation after each epoch is
    replaced by the clock's.
    """
    train(DIN, data, args, clock)


if __name__ == "__main__":
    common.run("fuxictr", {"fm": train_fm, "deepfm": train_deepfm, "din": train_din})
