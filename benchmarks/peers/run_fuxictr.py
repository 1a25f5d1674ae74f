"""Train FuxiCTR's models with their own fit; see README.md for the arguments."""

import tempfile
from pathlib import Path

import common
import numpy as np
import torch
from fuxictr.features import FeatureMap
from fuxictr.pytorch.dataloaders import RankDataLoader
from fuxictr.pytorch.layers import FactorizationMachine, FeatureEmbedding
from fuxictr.pytorch.models import BaseModel

DATASET = "impressions"


class FM(BaseModel):
    """The FM of FuxiCTR's model zoo, which its wheel leaves out, from the layers in the wheel."""

    def __init__(self, feature_map, clock, args, model_root):
        super().__init__(
            feature_map,
            model_id="FM",
            embedding_regularizer=args.l2 or None,
            net_regularizer=args.l2 or None,
            model_root=model_root,
            metrics=["AUC"],
            verbose=0,
        )
        self.clock = clock
        self.embedding_layer = FeatureEmbedding(feature_map, args.embedding_dim)
        self.fm = FactorizationMachine(feature_map)
        self.compile("adam", "binary_crossentropy", args.lr)
        self.reset_parameters()
        self.model_to_device()

    def forward(self, inputs):
        """``{"y_pred": probability (B, 1)}`` of a batch's dict of codes (B,)."""
        X = self.get_inputs(inputs)
        return {"y_pred": self.output_activation(self.fm(X, self.embedding_layer(X)))}

    def eval_step(self):
        """End the epoch here, in place of FuxiCTR's validation.

        fit reloads the best checkpoint when it ends, so the last weights have to be one.
        """
        self.clock.stop()
        self.save_weights(self.checkpoint)
        self.train()
        self.clock.start()


def make_feature_map(data, directory):
    """FuxiCTR's description of the columns; without padding_idx, since every code is real."""
    feature_map = FeatureMap(DATASET, str(directory))
    for name, size in zip(data.names, data.cardinalities):
        feature_map.features[name] = {"source": "", "type": "categorical", "vocab_size": size}
    feature_map.labels = ["label"]
    feature_map.num_fields = feature_map.get_num_fields()
    feature_map.set_column_index()
    return feature_map


def train_fm(data, args, clock):
    """The FM of FuxiCTR's model zoo (FeatureEmbedding and FactorizationMachine: first-order
    weights, pairwise interactions, bias) trained by BaseModel.fit on RankDataLoader's npz
    loader (num_workers=1, its default), dense Adam, gradient norm clipped at 10 (its default).
    The validation after each epoch is replaced by the clock's.
    """
    with tempfile.TemporaryDirectory() as directory:
        train_file = Path(directory) / "train.npz"
        np.savez(train_file, label=data.y_train.astype(np.int64), **data.columns(data.X_train))
        (Path(directory) / DATASET).mkdir()  # where checkpoints go
        feature_map = make_feature_map(data, directory)
        train_gen, _ = RankDataLoader(
            feature_map,
            stage="train",
            train_data=str(train_file),
            batch_size=args.batch_size,
            shuffle=True,
        )
        model = FM(feature_map, clock, args, directory)
        clock.model = model
        clock.predict = lambda X: model(
            {name: torch.from_numpy(codes) for name, codes in data.columns(X).items()}
        )["y_pred"]
        clock.start()
        model.fit(train_gen, epochs=args.epochs)


if __name__ == "__main__":
    common.run("fuxictr", {"fm": train_fm})
