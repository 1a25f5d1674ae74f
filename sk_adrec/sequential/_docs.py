"""Docs of the parameters that next-item models share."""

from __future__ import annotations

import inspect
import re

from ..utils._docs import ATTRIBUTES, C, shared_docs

_PARAMETERS = {
    "embedding_dim": """
    embedding_dim : int, default=50
        Width of item vectors and states, a multiple of `n_heads`. Larger for catalogues with many
        events per item.
    """,
    "n_blocks": """
    n_blocks : int, default=2
        Layers. More help where there are millions of events.
    """,
    "n_heads": """
    n_heads : int, default=1
        Attention heads, each of width ``embedding_dim / n_heads``. More can look at several
        events for several reasons; try 2 or 4 with wide states.
    """,
    "dropout": """
    dropout : float in [0, 1), default=0.2
        Share of inputs and hidden units set to 0 in training. Raise it for small logs; 0 makes fits
        with weights equal fits with repeated rows.
    """,
    "max_len": """
    max_len : int, default=200
        Events read of a history, the newest. Time and memory of attention grow with its square:
        lower it (50) where only recent events matter.
    """,
    "history": """
    history : str, default=None
        The list column of items, the newest last. None: the only list column that has no other
        role.
    """,
    "event_features": """
    event_features : sequence of str, default=None
        List columns of further fields of each event (its type, its shop), as long as the history.
        Name those that say what an event meant; other columns of X are not read.
    """,
    "train_positions": """
    train_positions : {"all", "last"}, default="all"
        "all": each event of a history is a target, and y: for one row per user. "last": y alone,
        for rows that are prefixes of each other, where "all" would learn early events many times,
        and what is held out with them: fit warns of such rows.
    """,
    "exclude_seen": """
    exclude_seen : bool, default=True
        Whether early stopping, `score` and `recommend` leave items of the history out of the
        ranking. False where items come again (groceries, songs).
    """,
    "loss": """
    loss : {"auto", "softmax", "sampled_softmax"}, default="auto"
        Softmax over the whole catalogue, or over the next item and `n_negatives` others. "auto"
        is the full one up to 20,000 items; it is exact, and on a CPU often the faster one.
    """,
    "n_negatives": """
    n_negatives : int, default=512
        Items drawn uniformly for the sampled softmax. More are closer to the full one, and
        slower; the full one does not read it.
    """,
    "negatives": """
    negatives : {"shared", "per_position"}, default="shared"
        Whether all positions of a batch share the draws, or each has its own, as in the papers'
        reference code: much slower, so take fewer (128).
    """,
    "normalize": """
    normalize : bool, default=True
        Logits are cosines over `temperature`; False: dot products, which also learn popularity by
        their length: try it where popular items are often the right ones.
    """,
    "temperature": """
    temperature : float, default=None
        Divides cosines or dot products; None is 0.05 for cosines and 1 for dot products. Lower
        looks more at the hardest items.
    """,
    "lr": """
    lr : float, default=1e-3
        Step size, the first parameter to tune: 3e-4 to 3e-3, larger for small logs.
    """,
    "batch_size": """
    batch_size : "auto" or int, default=128
        Histories per step. With `train_positions="last"` and many short rows take more; take less
        where long histories do not fit into memory. "auto" takes about 200 steps per pass.
    """,
    "max_epochs": """
    max_epochs : int, default=100
        Passes over the data, at most; early stopping usually needs fewer. Lower it where a fit
        without validation rows overfits.
    """,
    "early_stopping": """
    early_stopping : "auto" or bool, default="auto"
        Stop when NDCG@10 of held-out next items no longer rises, and restore the best epoch.
        "auto" is True above 1,000 rows and wherever fit gets `X_val`.
    """,
    "validation_fraction": """
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows whose y is held out where fit gets no `X_val`; with
        `train_positions="all"` their histories still teach.
    """,
    "n_iter_no_change": """
    n_iter_no_change : int, default=5
        Epochs without improvement before the training stops. Raise it where few validation rows
        make NDCG@10 noisy.
    """,
    "classes_": """
    classes_ : ndarray of shape (n_items,)
        Known items, sorted: those of histories and y. After a fit on an array: those of y.
    item_embeddings_ : ndarray of shape (n_items, embedding_dim)
        Their vectors, by which states are multiplied.
    """,
    "torch": ATTRIBUTES["torch"].replace("Minus the validation loss per", "NDCG@10 per"),
}


def next_item_docs(cls: C) -> C:
    """Fill ``%(name)s`` with the texts of next-item models, then with those of all models."""
    texts = {
        name: inspect.cleandoc(text).replace("\n", "\n    ") for name, text in _PARAMETERS.items()
    }
    cls.__doc__ = re.sub(
        r"%\((\w+)\)s", lambda match: texts.get(match[1], match[0]), cls.__doc__ or ""
    )
    return shared_docs(cls)
