"""Items predicted from each other by ridge regression, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import linalg

from .._hyperparameters import KW_ONLY, Positive, hyperparameters
from ._history import BaseHistoryRetriever
from ._lists.top_k import blocks


@hyperparameters
class EASERetriever(BaseHistoryRetriever):
    r"""Items predicted from the rest of the user's history by ridge regression.

    With G = X'X the co-occurrence of items in users, the weights that minimise
    :math:`|X - X B|^2 + \lambda |B|^2` under :math:`\mathrm{diag}(B) = 0` are

    .. math::

        P = (G + \lambda I)^{-1}, \qquad B_{ji} = -P_{ji} / P_{ii} \; (j \ne i)

    and an item's score is :math:`\sum_{j \in H_u} x_{uj} B_{ji}`.

    Parameters
    ----------
    l2
        Penalty :math:`\lambda`. Larger for few users per item: 100 to 1000 is usual.

    Attributes
    ----------
    weights_ : ndarray of shape (n_items, n_items), float32
        B. Items are numbered as in ``items_``.

    See Also
    --------
    ItemCF : Similarities by counting; for large catalogues, and where the newest items matter most.

    Notes
    -----
    Memory grows with the square, time with the cube of the number of items: 20,000 items take
    several GB and minutes.

    References
    ----------
    Steck (2019), "Embarrassingly Shallow Autoencoders for Sparse Data", WWW.

    Examples
    --------
    >>> import pandas as pd
    >>> from sk_adrec import EASERetriever
    >>> log = pd.DataFrame(
    ...     {
    ...         "user_id": [1, 1, 2, 2, 3, 3, 4],
    ...         "item_id": ["tea", "milk", "tea", "milk", "ale", "rum", "tea"],
    ...     }
    ... )
    >>> ids, scores = EASERetriever(l2=1.0).fit(log).recommend([4], k=1)
    >>> ids, scores.round(2)
    (array([['milk']], dtype=object), array([[0.5]]))
    """

    _: KW_ONLY
    l2: Positive = 500.0

    def _learn(self, interactions):
        x = interactions.matrix()
        gram = (x.T @ x).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.l2 * self.log_.unit.mean**2
        inverse = linalg.inv(gram, overwrite_a=True, check_finite=False)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0)
        self.weights_ = weights.astype(np.float32)
        return partial(self._scores_left_out, interactions, inverse)

    def _score_items(self, histories):
        return histories.matrix() @ self.weights_

    def _similarity_to(self, items):
        return self.weights_[items]

    def _scores_left_out(self, interactions, inverse, users, items):
        """Scores of pairs by weights to which the user has not contributed.

        The prediction of ridge regression without row u is (s - h x_ui) / (1 - h), where h is the
        leverage of u's other items. With item i out of the regression, the inverse is
        P - P_{.i} P_{i.} / P_ii.
        """
        scores = np.empty(len(users))
        for part in blocks(len(users), len(inverse)):
            histories, i = interactions.take(users[part]), items[part]
            pair = histories.items == np.repeat(i, histories.lengths)
            x_ui = np.bincount(histories.users(), histories.weight * pair, len(i))
            rest = histories.select(~pair)
            q = rest.matrix().astype(np.float64) @ inverse
            q_i, p_ii = q[np.arange(len(i)), i], inverse[i, i]
            square = np.bincount(rest.users(), rest.weight * q[rest.users(), rest.items], len(i))
            h = square - q_i**2 / p_ii
            scores[part] = (-q_i / p_ii - h * x_ui) / (1 - h)
        return scores
