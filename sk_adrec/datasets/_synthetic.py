"""A synthetic advertising log whose click and conversion probabilities are known."""

from __future__ import annotations

import numbers
from importlib import resources

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.utils import Bunch, check_random_state

from ._synthetic_world import (
    AGE_GROUPS,
    DEVICES,
    N_SEGMENTS,
    additive_effects,
    category_in_history,
    conversion_effects,
    draw_history,
    draw_rows,
    draw_world,
    pair_effects,
    probability_with_mean,
)

__all__ = ["make_ad_log"]

# float32 cannot tell 2**24 from 2**24 + 1, so integer ids that start here stay apart only
# where no id passes through float32.
FIRST_INTEGER_ID = 2**24


def make_ad_log(
    n_samples: int = 20_000,
    *,
    n_users: int = 100,
    n_items: int = 50,
    n_categories: int = 10,
    latent_dim: int = 2,
    base_rate: float = 0.1,
    conversion_rate: float = 0.2,
    linear: float = 1.0,
    interaction: float = 1.0,
    interest: float = 1.0,
    position_bias: float = 0.5,
    selection: float = 0.7,
    zipf_exponent: float = 0.8,
    missing_rate: float = 0.1,
    n_history: int = 1,
    history_length: int = 10,
    id_dtype: str = "str",
    negative_rate: float = 1.0,
    random_state: int | np.random.RandomState | np.random.Generator | None = None,
    return_X_y: bool = False,
) -> Bunch | tuple[pd.DataFrame, pd.Series]:
    """Draw an advertising log from known click and conversion probabilities.

    Every column that moves the probabilities is in the data, so they can be learned: the linear
    part by logistic regression, the user-item part by a factorisation machine, the history part
    by a model that compares the candidate with the history. Since they are known, so is the best
    log loss and AUC that any model can be expected to reach on these rows.

    Parameters
    ----------
    n_samples : int, default=20_000
        Impressions drawn. Fewer are returned when `negative_rate` is below 1. More tell models
        apart that are nearly as good.
    n_users, n_items : int, default=100, 50
        Sizes of the populations. Rare users and items may not occur in the log. With more of them
        each has fewer rows, and less is known of it.
    n_categories : int, default=10
        Item categories, at most `n_items`. Fewer make a match with the history more common.
    latent_dim : int, default=2
        Rank of the user-item interaction: a factorisation machine needs at least as many factors.
    base_rate : float, default=0.1
        Mean of `p_click` over the impressions drawn, in clicks per impression.
    conversion_rate : float, default=0.2
        Expected conversions per click.
    linear : float, default=1.0
        Strength of the additive effects. At 1 they have a standard deviation of about 0.8 logits.
    interaction : float, default=1.0
        Standard deviation, in logits, of the part that belongs to the pair of user and item. It
        has no main effects, so an additive model sees nothing of it.
    interest : float, default=1.0
        Logits gained when the item's category occurs in the history; 0 makes histories useless.
    position_bias : float, default=0.5
        Logits lost per unit of log(position); 0 makes positions alike.
    selection : float, default=0.7
        Logits of `p_conversion` per standard deviation of what attracts clicks. Above 0, clicked
        impressions convert better than the others would, so a conversion model that sees clicks
        only is learned on the wrong population.
    zipf_exponent : float, default=0.8
        The k-th most frequent user or item has a frequency proportional to 1 / k**zipf_exponent:
        0 makes all alike, larger ones most of them rare.
    missing_rate : float, default=0.1
        Share of missing values in `age_group` (of users), `device` and `quality_score` (of rows).
        0 for models that take none.
    n_history : {0, 1, 2}, default=1
        List columns: none, `hist_item_id`, or `hist_item_category` as well. With 0 the histories
        do not influence clicks either, since no model could see them.
    history_length : int, default=10
        Longest history. New users have shorter ones, down to none.
    id_dtype : {"str", "category", "int"}, default="str"
        Type of `user_id` and `item_id`. Integers start at 2**24, where float32 merges neighbours.
    negative_rate : float, default=1.0
        Keep this share of the impressions without a click and weigh each of them with its
        reciprocal in `sample_weight`. The probabilities stay those of the whole log.
    random_state : int, RandomState or Generator, default=None
        The same seed gives the same log. With another `n_samples` it gives other impressions of
        the same users and items, whose effects and vectors it fixes.
    return_X_y : bool, default=False
        Return `(data, target)` instead of a Bunch.

    Returns
    -------
    log : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_rows, n_features)
            `user_id`, `age_group`, `user_segment`, `item_id`, `item_category`, `advertiser`,
            `price` (skewed), `quality_score` (float with missing values), `device`, `position`
            (int from 1) and the list columns, with the most recent event last. Fields have dtype
            category, a missing one is NaN.
        target : Series of shape (n_rows,)
            `click`, 0 or 1.
        funnel : DataFrame of shape (n_rows, 2)
            `click` and `conversion`, 0 or 1; a conversion implies a click.
        timestamp : Series of shape (n_rows,), datetime64[s]
            The time of the impression, to split by; never decreasing.
        frame : DataFrame of shape (n_rows, n_features + 3)
            timestamp, data and funnel together.
        sample_weight : ndarray of shape (n_rows,)
            All metrics below use it; 1 unless `negative_rate` is below 1.
        p_click, p_conversion : ndarray of shape (n_rows,)
            P(click) and P(conversion | click). P(click and conversion) is their product.
        best_log_loss, best_auc : float
            Weighted log loss and AUC of `p_click` for the clicks. NaN when only one class occurs.
        best_log_loss_ctcvr, best_auc_ctcvr : float
            The same of `p_click * p_conversion` for the conversions among all impressions.

        feature_names : list of str

        DESCR : str
            How the log is made.

    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    ValueError
        If a parameter lies outside its range.

    Notes
    -----
    A user's history is a window over the user's own stream of browsing events, which moves on by
    one event per impression and prefers the categories that the user's latent vector prefers. It
    never looks at clicks.

    Examples
    --------
    >>> from sk_adrec.datasets import make_ad_log
    >>> log = make_ad_log(1_000, random_state=0)
    >>> log.data.shape
    (1000, 11)
    >>> log.data["hist_item_id"].iloc[-1][-1] in set(log.data["item_id"])
    True
    >>> bool(log.p_click.mean().round(3) == 0.1)
    True
    """
    _check_parameters(
        counts={
            "n_samples": n_samples,
            "n_users": n_users,
            "n_items": n_items,
            "n_categories": n_categories,
            "latent_dim": latent_dim,
            "history_length": history_length,
        },
        open_shares={"base_rate": base_rate, "conversion_rate": conversion_rate},
        missing_rate=missing_rate,
        negative_rate=negative_rate,
        zipf_exponent=zipf_exponent,
        n_history=n_history,
        id_dtype=id_dtype,
    )
    if n_categories > n_items:
        raise ValueError(
            f"n_categories must be at most n_items, got n_categories={n_categories} and "
            f"n_items={n_items}; every category needs an item."
        )
    # Separate streams, so that the world does not depend on how many impressions are drawn.
    world_rng, row_rng, history_rng, label_rng = _spawn(random_state, 4)
    world = draw_world(
        world_rng, n_users, n_items, n_categories, latent_dim, zipf_exponent, missing_rate
    )
    rows = draw_rows(row_rng, world, n_samples, missing_rate)
    history = draw_history(history_rng, world, rows.user, history_length) if n_history else None

    attraction = linear * additive_effects(world, rows) + interaction * pair_effects(world, rows)
    if history is not None:
        attraction += interest * category_in_history(world, rows, history)
    seen = attraction - position_bias * np.log(rows.position)
    p_click = probability_with_mean(seen, base_rate)
    convinced = selection * _standardise(attraction) + conversion_effects(world, rows)
    p_conversion = probability_with_mean(convinced, conversion_rate, weight=p_click)

    frame = _build_frame(world, rows, history, n_history, id_dtype)
    click = label_rng.random(n_samples) < p_click
    frame["click"] = click.astype(np.int64)
    frame["conversion"] = (click & (label_rng.random(n_samples) < p_conversion)).astype(np.int64)
    if negative_rate < 1:
        kept = click | (label_rng.random(n_samples) < negative_rate)
        frame = frame[kept].reset_index(drop=True)
        p_click, p_conversion = p_click[kept], p_conversion[kept]
    log = _as_bunch(frame, p_click, p_conversion, negative_rate)
    return (log.data, log.target) if return_X_y else log


def _as_bunch(frame, p_click, p_conversion, negative_rate):
    data = frame.drop(columns=["timestamp", "click", "conversion"])
    sample_weight = np.where(frame["click"] == 1, 1.0, 1.0 / negative_rate)
    best_log_loss, best_auc = _best_scores(frame["click"], p_click, sample_weight)
    best_log_loss_ctcvr, best_auc_ctcvr = _best_scores(
        frame["conversion"], p_click * p_conversion, sample_weight
    )
    return Bunch(
        data=data,
        target=frame["click"],
        funnel=frame[["click", "conversion"]],
        timestamp=frame["timestamp"],
        frame=frame,
        sample_weight=sample_weight,
        p_click=p_click,
        p_conversion=p_conversion,
        best_log_loss=best_log_loss,
        best_auc=best_auc,
        best_log_loss_ctcvr=best_log_loss_ctcvr,
        best_auc_ctcvr=best_auc_ctcvr,
        feature_names=list(data.columns),
        DESCR=_description(),
    )


def _description():
    text = resources.files(__package__).joinpath("descr", "ad_log.rst")
    return text.read_text(encoding="utf-8")


def _standardise(values):
    # Constant when every strength is 0: nothing to select on.
    return (values - values.mean()) / (values.std() or 1.0)


def _check_parameters(
    *, counts, open_shares, missing_rate, negative_rate, zipf_exponent, n_history, id_dtype
):
    for name, value in counts.items():
        if not isinstance(value, numbers.Integral) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}.")
    for name, value in open_shares.items():
        if not 0 < value < 1:
            raise ValueError(f"{name} must be in (0, 1), got {value!r}.")
    if not 0 <= missing_rate < 1:
        raise ValueError(f"missing_rate must be in [0, 1), got {missing_rate!r}.")
    if not 0 < negative_rate <= 1:
        raise ValueError(f"negative_rate must be in (0, 1], got {negative_rate!r}.")
    if not zipf_exponent >= 0:
        raise ValueError(f"zipf_exponent must be at least 0, got {zipf_exponent!r}.")
    if n_history not in (0, 1, 2):
        raise ValueError(f"n_history must be 0, 1 or 2, got {n_history!r}.")
    if id_dtype not in ("str", "category", "int"):
        raise ValueError(f'id_dtype must be "str", "category" or "int", got {id_dtype!r}.')


def _spawn(random_state, n_streams):
    """Independent generators, all determined by `random_state`."""
    if isinstance(random_state, np.random.Generator):
        seed = random_state.integers(2**31)
    else:
        seed = check_random_state(random_state).randint(2**31 - 1)
    return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(n_streams)]


def _build_frame(world, rows, history, n_history, id_dtype):
    n_users, n_items = len(world.user_popularity), len(world.item_popularity)
    item_id = _ids("item_", n_items, id_dtype)
    categories = [f"category_{k}" for k in range(len(world.category_vector))]
    advertisers = [f"advertiser_{k}" for k in range(world.item_advertiser.max() + 1)]
    segments = [f"segment_{k}" for k in range(N_SEGMENTS)]
    item_category = world.item_category[rows.item]
    columns = {
        "timestamp": np.datetime64("2024-01-01", "s") + rows.seconds.astype("timedelta64[s]"),
        "user_id": _id_column(_ids("user_", n_users, id_dtype), rows.user, id_dtype),
        "age_group": pd.Categorical.from_codes(world.user_age[rows.user], AGE_GROUPS),
        "user_segment": pd.Categorical.from_codes(world.user_segment[rows.user], segments),
        "item_id": _id_column(item_id, rows.item, id_dtype),
        "item_category": pd.Categorical.from_codes(item_category, categories),
        "advertiser": pd.Categorical.from_codes(world.item_advertiser[rows.item], advertisers),
        "price": np.exp(rows.log_price),
        "quality_score": rows.quality,
        "device": pd.Categorical.from_codes(rows.device, DEVICES),
        "position": rows.position,
    }
    if n_history >= 1:
        columns["hist_item_id"] = _list_column(item_id, history.items, history.offsets)
    if n_history == 2:
        codes = world.item_category[history.items]
        columns["hist_item_category"] = _list_column(categories, codes, history.offsets)
    return pd.DataFrame(columns)


def _ids(prefix, n, id_dtype):
    if id_dtype == "int":
        return np.arange(FIRST_INTEGER_ID, FIRST_INTEGER_ID + n)
    return np.array([f"{prefix}{k}" for k in range(n)], dtype=object)


def _id_column(ids, codes, id_dtype):
    if id_dtype == "category":
        return pd.Categorical.from_codes(codes, ids)
    return pd.Series(ids[codes])


def _list_column(values, codes, offsets):
    lists = pa.ListArray.from_arrays(
        pa.array(offsets, type=pa.int32()), pa.array(values).take(pa.array(codes))
    )
    return pd.Series(lists, dtype=pd.ArrowDtype(lists.type))


def _best_scores(y, probability, sample_weight):
    if y.nunique() < 2:
        return np.nan, np.nan
    return (
        log_loss(y, probability, sample_weight=sample_weight),
        roc_auc_score(y, probability, sample_weight=sample_weight),
    )
