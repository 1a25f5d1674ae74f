"""Docs of the hyper-parameters that many estimators share, written once."""

from __future__ import annotations

import inspect
import re
from typing import TypeVar

C = TypeVar("C", bound=type)

PARAMETERS = {
    "embedding_dim": """
    embedding_dim : int, default=16
        Length of the vector learned per id. Smaller learns faster and overfits less, larger holds
        more when every id has many rows.
    """,
    "hidden_dims": """
    hidden_dims : tuple of int, default=(256, 128)
        Widths of the hidden layers of the deep part. Narrower layers are faster and overfit less;
        an empty tuple leaves a linear layer.
    """,
    "activation": """
    activation : {"relu", "prelu", "dice"}, default="relu"
        Of the hidden layers. "prelu" learns the slope below zero; "dice" also moves the kink to
        where the batch is: worth a try on many rows. "dice" ignores sample weights in its
        statistics of a batch.
    """,
    "dropout": """
    dropout : float in [0, 1), default=0.0
        Share of each hidden layer's outputs that are set to zero at random in training. Raise it
        when the validation loss turns up early.
    """,
    "categorical_features": """
    categorical_features : "from_dtype" or array-like of str, int or bool, default="from_dtype"
        Columns whose numbers are ids, by name, position or mask; columns of strings and
        categories are ids anyway. Set it when ids are integers.
    """,
    "share_vocabulary": """
    share_vocabulary : dict of str to str, default=None
        Columns that use the ids, and the vectors, of another:
        ``{"hist_item_id": "item_id"}``. Set it for histories.
    """,
    "min_frequency": """
    min_frequency : int or float, default=1
        Ids with less total weight in fit count as unknown; a float below 1 is a share of the
        column's weight. Raise it when rare ids overfit.
    """,
    "id_dropout": """
    id_dropout : float in [0, 1], default=0.1
        How often in each pass over the data each id is shown as unknown in one of its rows. It
        trains the vector that stands for ids never seen: as the average over ids, rare ones
        included. 0 leaves that vector untrained where `min_frequency` makes no id unknown.
    """,
    "max_len": """
    max_len : int, default=50
        Entries kept of a list, the most recent (last) ones. Raise it where old ones still tell
        something; time and memory grow with the entries kept.
    """,
    "l2": """
    l2 : float, default=0.0
        Penalty: ``l2 * parameter`` is added to the gradient, for embeddings in the rows that a
        batch uses. Try 1e-7 to 1e-4 when the validation loss turns up after one epoch.
    """,
    "loss": """
    loss : {"log_loss", "focal"}, default="log_loss"
        "focal" looks less at easy rows: try it where only the order counts, since its
        probabilities need calibration.
    """,
    "optimizer": """
    optimizer : "auto" or torch.optim.Optimizer class, default="auto"
        "auto" is Adam that moves only the embedding rows of a batch
        (:class:`sk_adrec.nn.RowSparseAdam`), which is not dense Adam. A class gets dense
        gradients, and `l2` as its weight_decay: slower on many ids, for comparisons with what
        others have published.
    """,
    "lr": """
    lr : float, default=3e-3
        Step size, the first parameter to tune: 1e-3 to 1e-2. Larger ones need fewer passes;
        lower it where the validation loss jumps.
    """,
    "batch_size": """
    batch_size : "auto" or int, default="auto"
        Rows per step. "auto" takes about 200 steps per pass, between 64 and 4096 rows each. Larger
        batches make a pass faster and teach less in it: raise `lr` with them.
    """,
    "max_epochs": """
    max_epochs : int, default=10
        Passes over the data, at most. With ids a model often is at its best after 1 to 4.
    """,
    "early_stopping": """
    early_stopping : "auto" or bool, default="auto"
        Stop when the loss on validation rows no longer falls, and restore the best epoch. "auto"
        is True above 1,000 rows and wherever fit gets `X_val`. False with `X_val` only records
        the validation loss.
    """,
    "validation_fraction": """
    validation_fraction : float in (0, 1), default=0.1
        Share of the rows, drawn at random, to stop early on where fit gets no `X_val`. A log has
        an order: better give later rows as `X_val`.
    """,
    "n_iter_no_change": """
    n_iter_no_change : int, default=2
        Epochs without improvement before the training stops. Raise it where few validation rows
        are positive, and their loss is noisy.
    """,
    "grow_vocabulary": """
    grow_vocabulary : bool, default=False
        Whether `partial_fit` learns new ids; otherwise they stay unknown. Set it where new
        products or users keep coming, and a refit is rare; tables then grow with them.
    """,
    "device": """
    device : {"auto", "cpu", "cuda"} or str, default="auto"
        Where to train and predict. "auto" is the GPU if torch sees one; name one to choose among
        several. A fitted model loads on any machine.
    """,
    "dtype": """
    dtype : {"float32", "float64"}, default="float32"
        Type of parameters and numbers; "float64" to compare fits to the last digits, at half the
        speed.
    """,
    "user": """
    user : str or int, default="user_id"
        Column of the user's id, by name or position. The columns of an array without names are
        read in the order user, item, with a warning.
    """,
    "item": """
    item : str or int, default="item_id"
        Column of the item's id, by name or position. Name those of your log.
    """,
    "n_jobs": """
    n_jobs : int, default=None
        Threads. None = as many as this process may use, but one inside a job of joblib, as of
        GridSearchCV with `n_jobs` of its own; -1 = as many as this process may use in any case.
        Set a number to leave the other cores to others.
    """,
    "random_state_of_calibration": """
    random_state : int, RandomState instance or None, default=None
        Seed of the pairs that probabilities are calibrated on. Nothing else is random. An int
        makes them reproducible.
    """,
    "random_state": """
    random_state : int, RandomState instance or None, default=None
        Seed of the initial vectors, of shuffling and of dropout. An int makes fits reproducible.
    """,
    "verbose": """
    verbose : int, default=0
        1 shows a progress bar with the training loss, the validation loss and metric: for long
        fits.
    """,
    "callbacks": """
    callbacks : list of skorch callbacks, default=None
        What is called after batches and epochs, for a schedule of `lr` or a log of your own: for
        instance ``skorch.callbacks.LRScheduler`` or ``EarlyStopping``; copied before use.
        Callbacks that call ``net.predict`` (EpochScoring) or read gradients as dense tensors
        (GradientNormClipping) do not fit: data are encoded, gradients row-sparse.
    """,
    "net_params": """
    net_params : dict, default=None
        Further parameters of :class:`skorch.NeuralNet`, such as
        ``{"optimizer__betas": (0.9, 0.99)}``; what the other parameters set is refused.
    """,
}

ATTRIBUTES = {
    "classes_": """
    classes_ : ndarray of shape (2,)
        The two labels, sorted; probabilities and logits are of ``classes_[1]`` where one is asked.
    """,
    "retriever": """
    classes_ : ndarray of shape (2,)
        The labels; ``classes_[1]`` is the positive one. [0, 1] without y.
    items_ : ndarray of shape (n_items,)
        Ids of the items, the most popular first.
    users_ : ndarray of shape (n_users,)
        Ids of the users, sorted.
    popularity_ : ndarray of shape (n_items,)
        Share of each item in the positives' weight, descending.
    score_curve_, popularity_curve_ : (ndarray, ndarray)
        Scores, or popularities of items for users without history, and their probabilities.
    base_rate_ : float
        Share of the positive class, 0.5 without negatives.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    """,
    "torch": """
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the torch module.
    encoder_ : LogEncoder or None
        Column types, vocabularies, moments; None after a fit on a scipy matrix.
    loss_curve_ : list of float
        Training loss per epoch.
    validation_scores_ : list of float or None
        Minus the validation loss per epoch; None without validation rows.
    n_iter_ : int
        Epochs run.
    n_features_in_ : int
        Number of columns in fit.
    feature_names_in_ : ndarray of str
        Their names, where X had names.
    """,
}


def shared_docs(cls: C) -> C:
    """Fill ``%(name)s`` in a class docstring with the shared text of that name."""
    texts = {
        name: inspect.cleandoc(text).replace("\n", "\n    ")
        for name, text in {**PARAMETERS, **ATTRIBUTES}.items()
    }
    cls.__doc__ = re.sub(r"%\((\w+)\)s", lambda match: texts[match[1]], cls.__doc__ or "")
    return cls
