"""Rankers that look at the events of a history from the candidate's point of view."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._hyperparameters import hyperparameters
from .._warnings import warn
from ..nn.events import events_of
from ..preprocessing._encoded import Schema
from ._base import BaseRanker


@hyperparameters
class BaseHistoryRanker(BaseRanker):
    """A ranker whose module has :class:`~sk_adrec.nn.EventInputs`, as its ``inputs``.

    A module with attention also has ``attention_weights(batch)``: the weight of each event of each
    row, shape (n_events,).

    Parameters
    ----------
    share_vocabulary : dict of str to str
        Columns that use the ids, and the vectors, of another. List columns named here are the
        history: ``{"hist_item_id": "item_id", "hist_category": "category"}`` is one history of
        events with two attributes, each compared with the candidate's. Other list columns are
        averaged. Set it for histories: without one all columns are treated alike.
    """

    # What a user of the model can do, in messages: to have attention, and to have none.
    _to_attend: ClassVar[str] = ""
    _not_to_attend: ClassVar[str] = ""

    def _reads_events(self) -> bool:
        """Whether hyper-parameters let the model look at events one by one."""
        return True

    def _make_encoder(self):
        encoder = super()._make_encoder()
        encoder.parallel_lists = self._reads_events()
        return encoder

    def _fit_encoder(self, X, y, weight, parts):
        encoded = super()._fit_encoder(X, y, weight, parts)
        if self._reads_events():
            _check_history(self.encoder_.schema(), self._not_to_attend)
        return encoded

    def attention_weights(self, X):
        """How much each event of a row's history counts for that row's candidate.

        Parameters
        ----------
        X : data frame of shape (n_samples, n_features)
            Raw rows, as in fit.

        Returns
        -------
        list of n_samples ndarrays
            Row ``i``'s has one entry for each of its last `max_len` events that are not missing,
            in their order.

        Raises
        ------
        ValueError
            If the model has no attention.
        """
        check_is_fitted(self)
        module = self.net_.module_
        events = module.inputs.events
        if not events or not hasattr(module, "attention_weights"):
            raise ValueError(
                f"attention_weights needs a model with attention: {self._to_attend}name the "
                "history in share_vocabulary, such as {'hist_item_id': 'item_id'}"
            )
        encoded = self._encode_raw(X)
        weights = self._forward_encoded(encoded, method="attention_weights")
        return np.split(weights, encoded.sequences[next(iter(events))].offsets[1:-1])


def _check_history(schema: Schema, otherwise: str) -> None:
    """Raise where lists cannot be attributes of one event; warn where none is a history."""
    events = events_of(schema)
    for name, target in events.items():
        others = [other for other in events if other != name and events[other] == target]
        if others:
            raise ValueError(
                f"share_vocabulary gives both {name!r} and {others[0]!r} the ids of {target!r}, "
                "but an event has one value of an attribute, so they are two histories. Join them "
                "into one list column, or leave one of them out of share_vocabulary: it is "
                "averaged then."
            )
    if schema.sequences and not events:
        name = next(iter(schema.sequences))
        warn(
            f"No list column shares its ids with a column of the candidate, so {name!r} is "
            "averaged without attention. Name the column that the history's ids belong to: "
            f"share_vocabulary={{{name!r}: 'item_id'}}{otherwise}."
        )
