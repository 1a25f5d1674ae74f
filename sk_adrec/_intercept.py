"""The level of probabilities: after training, mean predictions are made those of the labels.

Stochastic steps leave the mean prediction of a network some per cent off, to either side by
chance. The best bias, all else given, is where mean prediction and mean label agree, as in any
logistic regression with an intercept; one number is found exactly.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit

from ._batches import TrainingRows

# No level is further off than that, in log odds.
_MOST = 30.0
# Levels this far apart should differ in their mean prediction.
_FLAT = 1e-4
# Standard deviations that chance does not explain: the level was wrong from the start.
_BEYOND_CHANCE = 4.0
# Rows that tell the level, evenly spread: of 1M rows with 1 % clicks it is known to 1 %.
_MOST_ROWS = 1_000_000


def settle(
    module, forward, rows: TrainingRows, spread: float | None = None, nested: bool = False
) -> None:
    """Move a module's ``output_biases``, if it names any, to where mean labels are predicted.

    Parameters
    ----------
    module : torch.nn.Module
        Each of K biases is added to all log odds of a task.
    forward : callable
        Row numbers of the encoded rows -> logits of shape (n,) or (n, K).
    rows : TrainingRows
        With y of shape (n,) or (n, K), NaN where it is not known.
    spread : float or None, default=None
        As in `shift_to_mean`.
    nested : bool, default=False
        Whether log odds are those of a stage given the stage before it.
    """
    biases = getattr(module, "output_biases", None)
    if biases is None:
        return
    at = np.arange(len(rows.encoded)) if rows.rows is None else rows.rows
    at = at[:: -(-len(at) // _MOST_ROWS)]
    logits, y = (part.reshape(len(at), -1) for part in (forward(at), rows.y[at]))
    weight, before = rows.weight[at], np.ones(len(at))
    with torch.no_grad():
        for bias, z, labels in zip(biases, logits.T, y.T):
            known = ~np.isnan(labels)
            shift = shift_to_mean(z[known], labels[known], weight[known], before[known], spread)
            if nested:
                before = before * expit(z + shift)
            bias += shift


def shift_to_mean(logits, y, weight, before=1.0, spread=None) -> float:
    """What to add to logits so that the mean of probabilities is that of labels.

    Parameters
    ----------
    logits, y, weight : ndarray of shape (n,)
    before : float or ndarray of shape (n,), default=1.0
        Factor of each probability: that of having come to this stage.
    spread : float or None, default=None
        How far the level may be off, as a standard deviation of log odds: the fewer labels there
        are, the less of the shift is made, unless it is more than chance explains. None makes the
        whole.

    Returns
    -------
    float
        0.0 where labels do not tell: there are no rows, or all labels are the same.
    """
    if not weight.any():
        return 0.0
    labels = np.average(y, weights=weight)

    def excess(shift):
        return np.average(before * expit(logits + shift), weights=weight) - labels

    if not excess(-_MOST) < 0 < excess(_MOST):
        return 0.0
    shift = brentq(excess, -_MOST, _MOST, xtol=1e-6)
    if excess(shift - _FLAT) == excess(shift + _FLAT):
        # Probabilities are all but 0 and 1, and their sum is rounded: what each row lacks is not.
        def missing(shift):
            each = np.where(
                y == 1, before - 1 - before * expit(-logits - shift), before * expit(logits + shift)
            )
            return np.average(each, weights=weight)

        if missing(-_MOST) < 0 < missing(_MOST):
            shift = brentq(missing, -_MOST, _MOST, xtol=1e-12)
    if spread is None:
        return shift
    p = before * expit(logits + shift)
    slope = weight @ (p * expit(-logits - shift))
    variance = (weight * (y - p)) @ (weight * (y - p)) / slope**2
    if shift**2 > _BEYOND_CHANCE**2 * (spread**2 + variance):
        return shift
    return shift * spread**2 / (spread**2 + variance)
