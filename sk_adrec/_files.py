"""What a trained estimator is in a file: plain arrays, no optimiser, no training data."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator

from .nn import RowSparseAdam
from .preprocessing._log_encoder import LogEncoder

# Types of hyper-parameters that a file keeps as they were in fit.
_PLAIN = (bool, int, float, str, np.number, np.bool_, type(None))


class NetFiles(BaseEstimator):
    """State of an estimator with ``net_`` and ``encoder_``, and its way back.

    A subclass builds its net by ``_new_module`` and ``_make_net``.
    """

    def __getstate__(self):
        state = dict(super().__getstate__())
        net = state.pop("net_", None)
        if net is None:
            return state
        encoder, module = state.pop("encoder_"), net.module_
        # What two parts share is one array, so that it is written once.
        arrays: dict[Any, np.ndarray] = {}
        state["_saved"] = {
            "module": {
                k: arrays.setdefault(
                    (v.data_ptr(), v.shape) if v.numel() else k, v.detach().cpu().numpy()
                )
                for k, v in module.state_dict().items()
            },
            "encoder": None if encoder is None else encoder.to_state(),
        }
        if isinstance(net.optimizer_, RowSparseAdam):
            state["_saved"]["optimizer"] = net.optimizer_.memory()
        return state

    def __setstate__(self, state):
        state = dict(state)
        saved = state.pop("_saved", None)
        super().__setstate__(state)
        if saved is None:
            return
        self.encoder_ = (
            None if saved["encoder"] is None else LogEncoder.from_state(saved["encoder"])
        )
        with torch.random.fork_rng():
            # The module is that of the fit, whatever set_params has changed since.
            now = dict(vars(self))
            vars(self).update(self._params_of_fit)
            module = self._new_module()
            vars(self).update(now)
            module.load_state_dict({k: torch.tensor(v) for k, v in saved["module"].items()})
            net = self._make_net(module, None, 0, self._rows_per_batch(1), loading=True)
            self.net_ = net.initialize()
        if isinstance(net.optimizer_, RowSparseAdam):
            net.optimizer_.remember(saved.get("optimizer", []))
        self.net_.module_.eval()


def plain_params(estimator) -> dict[str, Any]:
    """Hyper-parameters that are numbers, text or tuples of them, as nobody can change them."""
    params = estimator.get_params(deep=False)
    return {name: _plain(value) for name, value in params.items() if _is_plain(value)}


def _is_plain(value) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(entry) for entry in value)
    return isinstance(value, _PLAIN)


def _plain(value):
    if isinstance(value, list | tuple):
        return tuple(_plain(entry) for entry in value)
    return value.item() if isinstance(value, np.generic) else value
