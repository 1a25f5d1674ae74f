"""Factorisation machine (Rendle, "Factorization Machines", ICDM 2010)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .._hyperparameters import KW_ONLY, Count, hyperparameters
from ..nn import Batch, FusedEmbedding, Lists, sparse_matmul
from ..nn.embedding import INIT_STD
from ..preprocessing._encoded import Schema
from ._base import BaseRanker

# The vocabulary of the columns of a scipy matrix.
_SPARSE = "sparse"


class FactorizationMachine(nn.Module):
    """Equation 5 of the paper: y(x) = w0 + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j.

    An id is a feature with x = 1, an entry of a list of length n has x = 1 / n, a number is its
    own x. Each feature's v (k values) and w lie in one row of the table.
    """

    def __init__(self, schema: Schema, k: int):
        super().__init__()
        self.schema = schema
        sizes = {_SPARSE: schema.n_sparse} if schema.n_sparse else schema.cardinalities
        self.table = FusedEmbedding(sizes, k + 1, n_weights=1)
        self.numeric = nn.Parameter(torch.randn(len(schema.numeric), k + 1) * INIT_STD)
        with torch.no_grad():
            self.numeric[:, k] = 0.0
        self.w0 = nn.Parameter(torch.as_tensor(0.0 if schema.prior is None else schema.prior))

    @property
    def output_biases(self):
        return (self.w0,)

    def forward(self, batch: Batch) -> Tensor:
        return self.equation_5(batch, *self.look_up(batch))

    def look_up(self, batch: Batch) -> tuple[Tensor, list[Lists]]:
        """The distinct rows of the table that a batch uses, and which of them each row uses."""
        parts = self._features(batch)
        theta, inverse = self.table.distinct(torch.cat([part.values for part in parts]))
        places = inverse.split([len(part.values) for part in parts])
        return theta, [Lists(place, part.offsets, part.x) for place, part in zip(places, parts)]

    def equation_5(self, batch: Batch, theta: Tensor, features: list[Lists]) -> Tensor:
        """Logits of shape (B,) from what `look_up` returned."""
        v = theta[:, :-1]  # (u, k)
        # Lemma 3.1: the pairwise sum is half of (sum_j v_j x_j)^2 - sum_j (v_j x_j)^2.
        squares = (v * v).sum(1, keepdim=True)  # (u, 1)
        total = batch.numeric @ self.numeric  # (B, k + 1)
        own = (batch.numeric**2) @ (self.numeric[:, :-1] ** 2).sum(1)  # (B,)
        for part in features:
            x = part.x
            total = total + sparse_matmul(theta, part.values, part.offsets, x)
            own = own + sparse_matmul(
                squares, part.values, part.offsets, None if x is None else x * x
            ).squeeze(1)
        s, linear = total[:, :-1], total[:, -1]  # (B, k), (B,)
        return self.w0 + linear + 0.5 * ((s * s).sum(1) - own)  # (B,)

    def _features(self, batch: Batch) -> list[Lists]:
        """Rows of the table and values x of each row's ids."""
        if batch.sparse is not None:
            return [batch.sparse]
        B, F = batch.categorical.shape
        codes = self.table.index_columns(list(self.schema.categorical.values()), batch.categorical)
        offsets = torch.arange(0, B * F + 1, max(F, 1), device=codes.device)[: B + 1]
        if not F:
            offsets = offsets.new_zeros(B + 1)
        parts = [Lists(codes.reshape(-1), offsets)]
        for name, vocabulary in self.schema.sequences.items():
            lists = batch.sequences[name]
            index = self.table.index(vocabulary, lists.values)
            lengths = lists.lengths
            x = torch.repeat_interleave(1.0 / lengths.to(self.w0.dtype), lengths)
            parts.append(Lists(index, lists.offsets, x))
        return parts


@hyperparameters
class FMClassifier(BaseRanker):
    """Click probability from a factorisation machine on ids, numbers, lists or a sparse matrix.

    The log odds are a bias, a weight per feature, and a product of two vectors per pair of
    features: a linear model that also learns which user goes with which product. Usually the
    first network to try on an impression log.

    See Also
    --------
    sk_adrec.FeatureEncoder : The same encoding as a transformer, for other models.

    Notes
    -----
    The columns of a scipy matrix are features as they are; those of frames and arrays are
    standardised (numbers) or looked up (ids). An entry of a list of length n counts 1 / n, and a
    repeated entry counts as two features.

    References
    ----------
    Rendle (2010), "Factorization Machines", ICDM.

    Examples
    --------
    >>> from sk_adrec import FMClassifier
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(2000, n_users=30, n_items=20, random_state=0)
    >>> model = FMClassifier(share_vocabulary={"hist_item_id": "item_id"}, random_state=0)
    >>> model.fit(log.data[:1500], log.target[:1500]).predict_proba(log.data[1500:]).shape
    (500, 2)
    """

    embedding_dim: Count = 16
    _: KW_ONLY

    _n_threads = 1
    _takes_sparse = True

    def _build_module(self, schema):
        return FactorizationMachine(schema, self.embedding_dim)
