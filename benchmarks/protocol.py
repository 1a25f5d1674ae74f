"""What every number about the impressions has in common: rows, label, weights, features, tuning.

Rows: ``load_complete_journey_impressions``, all positives of the label and 2 % of the others.
Label: "converted" (bought in that store in that week), or "converted_any_store".
Weights: every fit and every metric uses ``sample_weight`` (1 for positives, 50 for the negatives
that stand for the others), so that probabilities are those of the whole log. The weight depends
on the class alone, hence the AUC is the same with and without it.
Features: the 18 categorical columns as they come, for every model; no counts, no history.
Weeks: each model tries ``N_CANDIDATES`` settings on weeks 1-40, the best AUC on weeks 41-44 wins
(it also picks the number of trees or epochs), the winner is fitted again on weeks 1-44, and weeks
45-53 are read once, after everything has been decided. Tuning asks the loader for weeks 1-44 only.
"""

import multiprocessing
import os
import platform
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import ParameterSampler

from sk_adrec.datasets import load_complete_journey_impressions
from sk_adrec.metrics import gauc_score, normalized_entropy_score

RESULTS = Path(__file__).parent / "results"
CACHE = Path(__file__).parent / ".cache"

LABELS = ("converted", "converted_any_store")
NEGATIVE_RATE = 0.02
TRAIN_WEEKS = range(1, 41)
VALIDATION_WEEKS = range(41, 45)
TEST_WEEKS = range(45, 54)
CLUSTER = "household_id"

N_CANDIDATES = 12
SELECTION_METRIC = "AUC on weeks 41-44"
SEEDS = (0, 1, 2)
N_RESAMPLES = 1000

# Resamples whose weights are held at once: 8 x 240,000 rows are 15 MB, near the cache.
_RESAMPLES_AT_ONCE = 8


@dataclass(frozen=True)
class Rows:
    """Impressions of some weeks.

    Attributes
    ----------
    X : DataFrame of shape (n, 18), category
    y : ndarray of shape (n,), int8
    weight : ndarray of shape (n,), float64
        Impressions of the whole log that a row stands for.
    """

    X: pd.DataFrame
    y: np.ndarray
    weight: np.ndarray

    def __len__(self):
        return len(self.y)


def load_rows(
    label, weeks, *, max_rows=None, negative_rate=NEGATIVE_RATE, with_time=False, target=None
):
    """The impressions of some weeks.

    Parameters
    ----------
    label : {"converted", "converted_any_store"}
    weeks : iterable of int
    max_rows : int, default=None
        A random sample of this many rows, to try a script out; None = all.
    negative_rate : float, default=0.02
    with_time : bool, default=False
        Whether to add the column ``timestamp``, when the impression's week began.
    target : list of str, default=None
        Other labels for the same rows, one column of y each.

    Returns
    -------
    Rows

    Raises
    ------
    ValueError
        If the label is not one of ``LABELS``.
    """
    if label not in LABELS:
        raise ValueError(f"label must be one of {LABELS}, got {label!r}")
    log = load_complete_journey_impressions(
        target=label if target is None else target,
        keep=label,
        negative_rate=negative_rate,
        weeks=weeks,
        random_state=0,
    )
    X = log.data.assign(timestamp=log.timestamp) if with_time else log.data
    rows = np.arange(len(log.target))
    if max_rows is not None and max_rows < len(rows):
        rows = np.sort(np.random.default_rng(0).permutation(len(rows))[:max_rows])
    return Rows(
        X.iloc[rows].reset_index(drop=True),
        log.target.to_numpy()[rows],
        log.sample_weight.to_numpy()[rows],
    )


def candidates(space, n_candidates=N_CANDIDATES):
    """The settings that a model may try: its defaults, then random ones, without repetition.

    Parameters
    ----------
    space : dict of str to list
        Parameter -> its values, the first of each being the default.
    n_candidates : int, default=12

    Returns
    -------
    list of dict, length n_candidates

    Raises
    ------
    ValueError
        If the space holds fewer settings than the budget.

    Examples
    --------
    >>> candidates({"lr": [0.003, 0.001], "l2": [0.0, 1e-6]}, 2)[0]
    {'lr': 0.003, 'l2': 0.0}
    """
    size = int(np.prod([len(values) for values in space.values()]))
    if size < n_candidates:
        raise ValueError(
            f"every model must try {n_candidates} settings, but this space holds {size}: widen it"
        )
    default = {name: values[0] for name, values in space.items()}
    drawn = list(ParameterSampler(space, n_candidates, random_state=0))
    others = [{name: setting[name] for name in space} for setting in drawn if setting != default]
    return [default, *others[: n_candidates - 1]]


def measure(rows, probability):
    """What a table says of a model's probabilities.

    Parameters
    ----------
    rows : Rows
    probability : ndarray of shape (n,)
        P(y = 1).

    Returns
    -------
    dict of str to float
        ``auc``; ``gauc``, the AUC within users, where rows name them; ``log_loss``, nats per
        impression; ``normalized_entropy``, over that of the base rate; ``calibration``, predicted
        over observed conversions.
    """
    y, weight = rows.y, rows.weight
    one = {"auc": float(roc_auc_score(y, probability, sample_weight=weight))}
    if (user := user_of(rows)) is not None:
        one["gauc"] = float(gauc_score(y, probability, user, sample_weight=weight))
    return one | {
        "log_loss": float(log_loss(y, probability, sample_weight=weight)),
        "normalized_entropy": float(normalized_entropy_score(y, probability, sample_weight=weight)),
        "calibration": float(weight @ probability / (weight @ y)),
    }


def user_of(rows):
    """The column that names households or users, or None."""
    names = [name for name in (CLUSTER, "user_id") if name in rows.X]
    return rows.X[names[0]] if names else None


def resampled_auc(y, score, weight, cluster, multiplicity):
    """AUC in each resample, clusters (not rows) being drawn.

    Parameters
    ----------
    y : ndarray of shape (n,)
        0 or 1.
    score : ndarray of shape (n,)
    weight : ndarray of shape (n,)
    cluster : ndarray of shape (n,), int
        The cluster of each row, in [0, n_clusters).
    multiplicity : ndarray of shape (n_resamples, n_clusters)
        How often each resample holds each cluster.

    Returns
    -------
    ndarray of shape (n_resamples,)
    """
    order = np.argsort(score, kind="stable")
    y, weight, cluster = y[order], weight[order], cluster[order]
    ties = np.flatnonzero(np.diff(score[order], prepend=-np.inf))  # first row of each score
    out = np.empty(len(multiplicity))
    for start in range(0, len(multiplicity), _RESAMPLES_AT_ONCE):
        part = slice(start, start + _RESAMPLES_AT_ONCE)
        drawn = multiplicity[part][:, cluster] * weight
        positive = np.add.reduceat(drawn * y, ties, axis=1)
        negative = np.add.reduceat(drawn * (1 - y), ties, axis=1)
        # Negatives of a lower score count one, those of the same score a half.
        beaten = np.cumsum(negative, axis=1) - negative / 2
        pairs = positive.sum(1) * negative.sum(1)
        out[part] = (positive * beaten).sum(1) / pairs
    return out


def auc_difference(rows, score, rival, n_resamples=N_RESAMPLES):
    """AUC(score) - AUC(rival) with a paired cluster bootstrap over households.

    A household's impressions depend on each other, so households are drawn with replacement, the
    same ones for both scores.

    Parameters
    ----------
    rows : Rows
    score, rival : ndarray of shape (n,)
    n_resamples : int, default=1000

    Returns
    -------
    dict
        ``difference``; ``low`` and ``high``, the 2.5 % and 97.5 % quantiles of the resampled
        differences; ``n_resamples``; ``n_clusters``.
    """
    cluster, households = pd.factorize(rows.X[CLUSTER], use_na_sentinel=False)
    draws = np.random.default_rng(0).multinomial(
        len(households), np.full(len(households), 1 / len(households)), size=n_resamples
    )
    difference, resampled = (
        resampled_auc(rows.y, score, rows.weight, cluster, counts)
        - resampled_auc(rows.y, rival, rows.weight, cluster, counts)
        for counts in (np.ones((1, len(households))), draws)
    )
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "difference": float(difference[0]),
        "low": float(low),
        "high": float(high),
        "n_resamples": n_resamples,
        "n_clusters": len(households),
    }


def entropy_difference(rows, probability, rival, n_resamples=N_RESAMPLES):
    """Normalised entropy of `probability` minus that of `rival`, users being drawn.

    Parameters
    ----------
    rows : Rows
        Without a column of users each row is drawn by itself.
    probability, rival : ndarray of shape (n,)
    n_resamples : int, default=1000

    Returns
    -------
    dict
        As ``auc_difference``.
    """
    loss, rate, n_clusters = _resampled_loss(rows, probability, rival, n_resamples)
    entropy = -rate * np.log(rate) - (1 - rate) * np.log1p(-rate)
    return _interval(loss / entropy, n_clusters)


def log_loss_difference(rows, probability, rival, n_resamples=N_RESAMPLES):
    """Log loss of `probability` minus that of `rival`, as ``entropy_difference``."""
    loss, _, n_clusters = _resampled_loss(rows, probability, rival, n_resamples)
    return _interval(loss, n_clusters)


def _interval(difference, n_clusters):
    low, high = np.quantile(difference[1:], [0.025, 0.975])
    return {
        "difference": float(difference[0]),
        "low": float(low),
        "high": float(high),
        "n_resamples": len(difference) - 1,
        "n_clusters": n_clusters,
    }


def _resampled_loss(rows, probability, rival, n_resamples):
    """Difference of log losses and base rate, of the rows and then of each resample."""
    if (user := user_of(rows)) is not None:
        cluster, users = pd.factorize(user, use_na_sentinel=False)
        n = len(users)
    else:
        cluster, n = np.arange(len(rows)), len(rows)
    loss = _log_losses(rows.y, probability) - _log_losses(rows.y, rival)
    per_cluster = np.stack(
        [
            np.bincount(cluster, values, minlength=n)
            for values in (rows.weight * loss, rows.weight, rows.weight * rows.y)
        ]
    )
    rng = np.random.default_rng(0)
    draws = (rng.multinomial(n, np.full(n, 1 / n)) for _ in range(n_resamples))
    sums = np.array([per_cluster.sum(1), *(per_cluster @ drawn for drawn in draws)])
    return sums[:, 0] / sums[:, 1], sums[:, 2] / sums[:, 1], n


def _log_losses(y, p):
    p = np.clip(p, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def memory_mb(what):
    """Resident size of this process in MB (10^6 bytes), from Linux's accounts.

    Parameters
    ----------
    what : {"VmRSS", "VmHWM"}
        Now, or the most since `forget_peak`.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e6


def forget_peak():
    """Let the largest resident size start from the present one."""
    Path("/proc/self/clear_refs").write_text("5")


def timed_fit(contender, setting, length, train, test, seed):
    """Test probabilities of a contender, and what they cost.

    Returns
    -------
    probability : ndarray of shape (n_test,), float64
    cost : dict
        ``fit_seconds``, ``predict_seconds`` from raw rows; ``added_mb``, by how much the resident
        size grew at its peak: meaningful in a fresh process (``in_fresh_process``).
    model
        The fitted model.
    """
    if hasattr(contender, "timed_fit"):
        return contender.timed_fit(setting, length, train, test, seed)
    forget_peak()
    before = memory_mb("VmRSS")
    begin = time.perf_counter()
    model = contender.fit(setting, length, train, seed)
    fitted = time.perf_counter()
    probability = np.asarray(contender.predict(model, test.X), dtype=np.float64)
    cost = {"fit_seconds": fitted - begin, "predict_seconds": time.perf_counter() - fitted}
    return probability, cost | {"added_mb": memory_mb("VmHWM") - before}, model


def in_fresh_process(function, *args):
    """``function(*args)`` in a new interpreter, whose memory holds nothing of other models."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *args).result()


def environment(*packages):
    """Versions of Python, numpy, pandas, scikit-learn and `packages`, the processor, threads."""
    names = ("numpy", "pandas", "scikit-learn", *packages)
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)),
        },
    }


def _processor():
    """The processor's name; where the system hides it, its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
