"""Random numbers of one fit: from generators of its own, whatever other threads draw.

torch has one generator for the whole process. Two fits that seed it in two threads draw from each
other's, and change what the caller draws next. Here each fit has its generators; while it builds or
trains, they are the current ones of its thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# Drawn by a generator that is a keyword of theirs.
_DRAWS = {
    torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli,
    torch.multinomial, torch.poisson,
    Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_,
    Tensor.cauchy_, Tensor.log_normal_, Tensor.geometric_, Tensor.bernoulli, Tensor.multinomial,
    nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.xavier_uniform_,
    nn.init.xavier_normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.orthogonal_,
    nn.init.sparse_,
}  # fmt: skip
# Drawn by torch's own generator only: what to call on an empty tensor instead.
_LIKE: dict[Any, Any] = {torch.rand_like: Tensor.uniform_, torch.randn_like: Tensor.normal_}


class Draws:
    """Generators of one seed, one for each device that is asked for.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int):
        self.seed = seed
        self._generators: dict[torch.device, torch.Generator] = {}

    def on(self, device: torch.device | str | None) -> torch.Generator:
        """The generator of a device; None is the CPU."""
        device = torch.device("cpu" if device is None else device)
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(self.seed)
        return self._generators[device]


_CURRENT: ContextVar[Draws | None] = ContextVar("draws", default=None)


def generator(device: torch.device | str | None) -> torch.Generator | None:
    """The current generator of a device; None outside of a fit: torch's own."""
    draws = _CURRENT.get()
    return None if draws is None else draws.on(device)


@contextmanager
def drawing_from(draws: Draws, *, everything: bool = False) -> Iterator[None]:
    """Make generators the current ones of this thread, while the block runs.

    Parameters
    ----------
    draws : Draws
    everything : bool, default=False
        Whether torch's own functions (``torch.rand``, ``nn.init``, ``F.dropout``) draw from them
        too, at some microseconds for each call of torch. Blocks of this library do in any case.
    """
    token = _CURRENT.set(draws)
    try:
        if everything:
            with _Redirect(draws):
                yield
        else:
            yield
    finally:
        _CURRENT.reset(token)


def is_foreign(module: nn.Module) -> bool:
    """Whether a module has parts that are neither this library's nor torch's."""
    return any(
        type(part).__module__.partition(".")[0] not in ("sk_adrec", "torch")
        for part in module.modules()
    )


class _Redirect(TorchFunctionMode):
    """Hands a generator to every function of torch that draws, in this thread."""

    def __init__(self, draws: Draws):
        super().__init__()
        self.draws = draws

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in _DRAWS and kwargs.get("generator") is None:
            tensors = (one for one in (*args, *kwargs.values()) if isinstance(one, Tensor))
            tensor = next(tensors, None)
            device = kwargs.get("device") if tensor is None else tensor.device
            kwargs["generator"] = self.draws.on(device)
        elif func in _LIKE:
            empty = torch.empty_like(*args, **kwargs)
            with torch.no_grad():
                return _LIKE[func](empty, generator=self.draws.on(empty.device))
        elif func is nn.functional.dropout:
            return _dropout(*args, **kwargs)
        return func(*args, **kwargs)


def dropout(x: Tensor, p: float, training: bool) -> Tensor:
    """Zero a share `p` of the elements at random and scale the others by 1 / (1 - p).

    As ``torch.nn.functional.dropout``, by the current generator.

    Parameters
    ----------
    x : Tensor of any shape
    p : float in [0, 1]
    training : bool
        Otherwise x is returned as it is.
    """
    if not training or p == 0:
        return x
    if p == 1:
        return x * 0.0
    keep = torch.empty_like(x).bernoulli_(1 - p, generator=generator(x.device))
    return x * keep.div_(1 - p)


def _dropout(input, p=0.5, training=True, inplace=False):
    return dropout(input, p, training)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout`` by the current generator: that of the fit, in whichever thread it runs.

    Parameters
    ----------
    p : float, default=0.5
        Share of the elements that are zeroed.
    inplace : bool, default=False
        Not looked at: a new tensor is returned.

    Examples
    --------
    >>> import torch
    >>> from sk_adrec.nn import Dropout
    >>> Dropout(0.5).eval()(torch.ones(2))
    tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Zero a share of the elements in training.

        Parameters
        ----------
        input : Tensor of any shape
            Outputs of the layer before.

        Returns
        -------
        Tensor of the same shape
        """
        return dropout(input, self.p, self.training)
