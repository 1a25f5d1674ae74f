"""From an e-mail to a visit to a purchase: the funnel of Hillstrom's 64,000 customers.

    python examples/hillstrom_funnel.py path/to/folder      # or SK_ADREC_HILLSTROM=path/to/folder

The folder holds the table of Kevin Hillstrom's MineThatData e-mail challenge (2008) as it comes,
``*.csv`` or ``*.parquet``; this script downloads nothing. One row is a customer who bought within
the last twelve months and was sent an e-mail about men's or women's merchandise, or none. Within
two weeks 14.7 % visited the shop's site and 0.9 % bought something.

Every customer is predicted by a model that was fitted without it (five folds). Intervals are 95 %
of bootstrap resamples of customers; they hold the fitted models fixed.
"""

from __future__ import annotations

import os

# Before numpy and torch start their threads: spinning ones are many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from sk_adrec import ESMMEstimator
from sk_adrec.metrics import calibration_ratio
from sk_adrec.multitask import funnel_target

STAGES = ["visit", "conversion"]
# Known only after the mail: what a customer spent is no feature.
AFTERWARDS = [*STAGES, "spend"]
N_RESAMPLES = 200


def load(folder: Path) -> pd.DataFrame:
    """The raw table, from the first CSV or Parquet file of a folder."""
    files = [path for kind in ("*.parquet", "*.csv") for path in sorted(folder.glob(kind))]
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no .csv or .parquet file: put the table of the MineThatData e-mail "
            "challenge there (columns recency, history_segment, ..., visit, conversion, spend)"
        )
    frame = pd.read_parquet(files[0]) if files[0].suffix == ".parquet" else pd.read_csv(files[0])
    missing = [name for name in AFTERWARDS if name not in frame]
    if missing:
        raise ValueError(f"{files[0].name} lacks the columns {missing}, it has {list(frame)}")
    return frame


def predict(frame: pd.DataFrame, **params) -> np.ndarray:
    """P(visit) and P(conversion) of each customer by models that never saw it, shape (n, 2)."""
    X, y = frame.drop(columns=AFTERWARDS), frame[STAGES]
    # Each fold has its share of the few conversions.
    folds = StratifiedKFold(5, shuffle=True, random_state=0).split(X, funnel_target(y))
    model = ESMMEstimator(hidden_dims=(32,), lr=1e-3, random_state=0, **params)
    return cross_val_predict(model, X, y, cv=list(folds), method="predict_proba")


def measures(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    """AUC and predicted / observed of each stage, over the customers where it means something."""
    visited = y[:, 0] == 1
    given = p[visited, 1] / p[visited, 0]
    return {
        "AUC of visit, all": roc_auc_score(y[:, 0], p[:, 0]),
        "AUC of conversion, all": roc_auc_score(y[:, 1], p[:, 1]),
        "AUC of conversion, visitors": roc_auc_score(y[visited, 1], given),
        "predicted / observed visits": calibration_ratio(y[:, 0], p[:, 0]),
        "predicted / observed conversions": calibration_ratio(y[:, 1], p[:, 1]),
    }


def with_intervals(y: np.ndarray, p: np.ndarray, n_resamples: int = N_RESAMPLES) -> pd.DataFrame:
    """The measures with 95 % intervals from resampled customers."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(y), len(y)) for _ in range(n_resamples)]
    resampled = pd.DataFrame([measures(y[rows], p[rows]) for rows in drawn])
    low, high = resampled.quantile([0.025, 0.975]).to_numpy()
    return pd.DataFrame({"value": pd.Series(measures(y, p)), "low": low, "high": high})


def by_mail(frame: pd.DataFrame, p: np.ndarray) -> pd.DataFrame:
    """Per mail: what was predicted and observed, and the expected spend of a customer."""
    per_conversion = frame.loc[frame["conversion"] == 1, "spend"].mean()
    table = frame.assign(
        p_visit=p[:, 0], p_conversion=p[:, 1], expected_spend=p[:, 1] * per_conversion
    )
    columns = ["visit", "p_visit", "conversion", "p_conversion", "spend", "expected_spend"]
    return table.groupby("segment")[columns].mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    given = os.environ.get("SK_ADREC_HILLSTROM")
    parser.add_argument(
        "folder", type=Path, nargs="?" if given else None, default=Path(given) if given else None
    )
    frame = load(parser.parse_args().folder)
    y = frame[STAGES].to_numpy()
    p = predict(frame)
    found = with_intervals(y, p)
    print(f"{len(y):,} customers, {y[:, 0].sum():,} visits, {y[:, 1].sum():,} conversions\n")
    print(found.round(3).to_string())
    print("\nPer mail; spend in dollars per customer, expected at the mean spend of a conversion\n")
    print(by_mail(frame, p).round(4).to_string())
    low, high = found.loc["AUC of conversion, visitors", ["low", "high"]]
    print(
        "\nWho visits can be told to some degree. Which visitor buys hardly: an AUC of "
        f"{low:.2f} to {high:.2f} where 0.5 is\nchance. These columns say little about it, and no "
        "model of conversions given visits will look good here."
    )


if __name__ == "__main__":
    main()
