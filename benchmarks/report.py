"""Write docs/benchmarks.md from the JSON files in benchmarks/results.

python benchmarks/report.py
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import report_impressions as impressions
import report_next_item as next_item
import report_recall as recall
import report_speed as speed
import report_summary as best

HERE = Path(__file__).parent

INTRODUCTION = """# Benchmarks

Written by `benchmarks/report.py` from the files in `benchmarks/results`; `make benchmark`
measures and writes everything again. `benchmarks/protocol.py` says which rows, weights, weeks and
budgets the numbers about the impressions share, `benchmarks/README.md` how the other libraries are
run.
"""
SUMMARY = """Of each section the best value of this library's models and of the others, the better
one in bold. A small lead may be chance, and budgets differ: the sections say what was tried, with
intervals.
"""


class Section(NamedTuple):
    """A heading, the results it is about, and what writes it.

    Parameters
    ----------
    title : str
        Short, for people.
    names : str
        Results without ".json"; after the first, which must be there, those that stand beside it.
    commands : tuple of str
        The scripts that make them, in `benchmarks`.
    write : callable
        Results -> text below the heading.
    best : callable, default=None
        Results -> rows of the summary, as in `report_summary`; None: the section is not in it.
    """

    title: str
    names: str
    commands: tuple[str, ...]
    write: Callable
    best: Callable | None = None


COMPARED = {
    "avazu": "Real impressions of ads, avazu-sample",
    "census_income": "Mixed columns, census-income",
    "ad_log": "Synthetic log with known probabilities",
}
SECTIONS = (
    Section(
        "Impressions, bought in that store",
        "impressions_converted",
        ("impressions.py",),
        impressions.impressions_section,
        best.impressions,
    ),
    Section(
        "Impressions, bought in any store",
        "impressions_converted_any_store",
        (
            "impressions.py --label converted_any_store "
            "--settings-of benchmarks/results/impressions_converted.json",
        ),
        impressions.impressions_section,
        best.impressions,
    ),
    Section(
        "Impressions, FMs of several libraries",
        "impressions_peers",
        ("impressions_peers.py",),
        impressions.impressions_peers_section,
        best.impressions_peers,
    ),
    Section(
        "Impressions and the past",
        "impressions_past",
        ("impressions_past.py",),
        impressions.past_section,
        best.past,
    ),
    *(
        Section(
            title,
            f"comparison_{data}",
            (f"comparison.py --data {data}{'' if data == 'ad_log' else ' --folder FOLDER'}",),
            impressions.comparison_section,
            best.comparison,
        )
        for data, title in COMPARED.items()
    ),
    Section(
        "Clicks and conversions, ESMM",
        "esmm",
        ("esmm.py",),
        impressions.esmm_section,
        best.esmm,
    ),
    Section(
        "Retrievers on ml-1m-lcfn",
        "two_tower_ml-1m-lcfn item_cf_ml-1m-lcfn",
        ("two_tower.py ml-1m-lcfn --data FOLDER", "item_cf.py ml-1m-lcfn --data FOLDER"),
        recall.lcfn_section,
        best.lcfn,
    ),
    Section(
        "ItemCF on Amazon Beauty",
        "item_cf_beauty",
        ("item_cf.py beauty --data FOLDER",),
        recall.beauty_section,
        best.beauty,
    ),
    Section(
        "Candidates for households",
        "two_tower_purchases",
        ("purchases.py",),
        recall.purchases_section,
        best.purchases,
    ),
    Section(
        "Next item on MovieLens-1M",
        "hstu_ml1m hstu_epoch",
        ("hstu_ml1m.py --data FOLDER --minutes 30",),
        next_item.hstu_section,
        next_item.best_of_seeds,
    ),
    Section(
        "Next item on Amazon Beauty",
        "next_item_beauty item_cf_beauty",
        ("next_item.py beauty --data FOLDER",),
        next_item.next_item_section,
        next_item.best,
    ),
    Section(
        "Next category of a household",
        "next_item_category",
        ("next_item.py category --models popularity frequency item_cf hstu",),
        next_item.next_item_section,
        next_item.best,
    ),
    Section(
        "FM, seconds of an epoch",
        "fm_epoch",
        ("fm_epoch.py",),
        speed.epoch_section,
        best.epochs,
    ),
    Section(
        "DeepFM, seconds of an epoch",
        "deepfm_epoch",
        ("deepfm_epoch.py --learning-rates 1e-3",),
        speed.deepfm_epoch_section,
        best.epochs,
    ),
    Section(
        "DIN, seconds of an epoch",
        "din_epoch",
        ("din_epoch.py",),
        speed.din_epoch_section,
        best.epochs,
    ),
    Section(
        "ESMM, seconds of an epoch",
        "esmm_epoch",
        ("esmm_epoch.py --learning-rates 1e-3",),
        speed.esmm_epoch_section,
        best.epochs,
    ),
    Section(
        "Two towers, seconds of an epoch",
        "two_tower_epoch",
        ("two_tower_epoch.py",),
        recall.two_tower_epoch_section,
        best.two_tower_epoch,
    ),
    Section(
        "ItemCF, seconds to fit and recommend",
        "item_cf_speed_ml-1m item_cf_speed_purchases item_cf_speed_zipf",
        (
            "item_cf.py speed --log ml-1m --data FOLDER",
            "item_cf.py speed --log purchases",
            "item_cf.py speed --log zipf",
        ),
        recall.item_cf_speed_section,
        best.item_cf_speed,
    ),
    Section(
        "GBDT+LR, seconds to fit",
        "gbdt_lr_speed",
        ("gbdt_lr_speed.py",),
        speed.gbdt_lr_speed_section,
        best.gbdt_lr_speed,
    ),
    Section("GAUC of ten million rows", "gauc", ("gauc.py",), speed.gauc_section),
    Section("What the foundation costs", "overhead", ("overhead.py",), speed.overhead_section),
)


def page(results):
    """The whole page from the JSON files in a folder; what is missing is named with its command."""
    parts, found = [], []
    for section in SECTIONS:
        commands = ", ".join(f"`python benchmarks/{command}`" for command in section.commands)
        paths = [Path(results) / f"{name}.json" for name in section.names.split()]
        if paths[0].exists():
            read = [json.loads(path.read_text()) if path.exists() else None for path in paths]
            text = f"{section.write(*read).rstrip()}\n\nMade by {commands}."
            if section.best is not None:
                found.append((section.title, section.best(*read)))
        else:
            text = f"Not measured yet: {commands}."
        parts.append(f"## {section.title}\n\n{text}")
    head = [INTRODUCTION.rstrip()]
    if found:
        head += ["## What wins where", SUMMARY.rstrip(), best.summary(found)]
    return "\n\n".join([*head, *parts]) + "\n"


def main():
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=HERE / "results")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    args = parser.parse_args()
    args.output.write_text(page(args.results))


if __name__ == "__main__":
    main()
