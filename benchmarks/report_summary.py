"""The first table of the page of benchmarks: in each section, the best of ours and of the others.

Every function takes what its section takes and returns rows of ``(measure, values, digits,
lower)``: the values by model, how many digits they get, and whether a lower one is better.
"""

from report_tables import BEAUTY_PUBLISHED, mean, table

# What a name begins with that is this library's. All other names are others'.
OURS = (
    "FM",
    "DeepFM",
    "DIN",
    "GBDT+LR",
    "GBDTLRClassifier",
    "ESMM",
    "ItemCF",
    "EASE",
    "EASERetriever",
    "TwoTower",
    "TwoTowerRetriever",
    "HSTUNextItem",
    "SASRecNextItem",
    "sk-adrec",
    "sk_adrec",
)


def summary(found):
    """A table of sections, with the better of both sides in bold.

    Parameters
    ----------
    found : list of tuple (title, rows)
        Rows as the functions below return them.

    Returns
    -------
    str
        Empty where nothing is found.

    Examples
    --------
    >>> print(summary([("An epoch", [("s", {"FM": 1.8, "other": 8.6}, 1, True)])]))
    | what | measure | best here | best of others |
    | --- | --- | --- | --- |
    | [An epoch](#an-epoch) | s | **FM 1.8** | other 8.6 |
    """
    rows = []
    for title, measures in found:
        for measure, values, digits, lower in measures:
            sides = [
                {name: value for name, value in values.items() if _is_ours(name) == ours}
                for ours in (True, False)
            ]
            best = [_best(side, lower) for side in sides]
            link = f"[{title}](#{slug(title)})" if measure == measures[0][0] else ""
            rows.append([link, measure, *_cells(best, digits, lower)])
    header = ["what", "measure", "best here", "best of others"]
    return table(header, rows) if rows else ""


def slug(title):
    """The anchor of a heading, as GitHub and the site make it."""
    kept = (letter for letter in title.lower() if letter.isalnum() or letter in "-_ ")
    return "".join(kept).replace(" ", "-")


def _is_ours(name):
    return name.split(",")[0].split("'")[0].split(" (")[0] in OURS


def _best(values, lower):
    order = min if lower else max
    return order(values.items(), key=lambda one: one[1]) if values else None


def _cells(best, digits, lower):
    """Name and value of both sides; the better value is bold, both where they print alike."""
    printed = [f"{one[1]:.{digits}f}" if one else None for one in best]
    winner = (min if lower else max)((one for one in printed if one), key=float)
    texts = [f"{one[0]} {number}" if one else "" for one, number in zip(best, printed)]
    return [f"**{text}**" if n == winner else text for text, n in zip(texts, printed)]


def impressions(result):
    models = result["models"].items()
    return [
        (
            "AUC of the seeds' mean prediction",
            {name: one["mean_of_seeds"]["auc"] for name, one in models},
            4,
            False,
        ),
        ("log loss", {name: mean(one["by_seed"], "log_loss") for name, one in models}, 5, True),
    ]


def impressions_peers(result):
    models = result["models"].items()
    return [
        ("AUC", {name: one["measured"]["auc"] for name, one in models}, 4, False),
        ("fit, s", {name: one["cost"]["fit_seconds"] for name, one in models}, 1, True),
    ]


def comparison(result):
    models = result["models"].items()
    return [("log loss", {n: mean(one["measured"], "log_loss") for n, one in models}, 4, True)]


def past(result):
    rows = []
    for key, title, digits, lower in (("log_loss", "log loss", 5, True), ("auc", "AUC", 4, False)):
        # A measure by which nothing was chosen says little of who could have been best.
        if f"by_{key}" in result:
            models = result[f"by_{key}"]["models"].items()
            values = {name: mean(one["by_seed"], key) for name, one in models}
            rows.append((title, values, digits, lower))
    return rows


def gbdt_lr_speed(result):
    values = {"GBDTLRClassifier": result["ours"]["same rows, C=1"]["fit_seconds"]}
    values |= {name: result[name]["fit_seconds"] for name in ("saga", "lbfgs")}
    return [("fit, s", values, 1, True)]


def epoch(reports, measure="s an epoch", n_train=None):
    """Seconds of an epoch, the least of each library."""
    values = {}
    for one in reports:
        steps = -(-(n_train or one["n_train"]) // one["config"]["batch_size"])
        seconds = one["seconds_per_step"] * steps
        values[one["peer"]] = min(seconds, values.get(one["peer"], seconds))
    return (measure, values, 1, True)


def auc_after_3(reports, key="auc"):
    """AUC after three epochs, the best of each library that saw all rows."""
    values = {}
    for one in reports:
        if "3" in one.get(key, {}):
            values[one["peer"]] = max(one[key]["3"], values.get(one["peer"], 0.0))
    what = "AUC of pCTCVR" if key == "auc_ctcvr" else "AUC"
    return (f"{what} after 3 epochs", values, 4, False)


def epochs(result):
    sample = result["sample"]
    key = "auc_ctcvr" if "auc_ctcvr" in sample[0] else "auc"
    rows = [epoch(sample, n_train=result["n_train"]), auc_after_3(sample, key)]
    if "many_ids" in result:
        millions = f"{result['n_ids']['many_ids'] / 1e6:.0f} million ids: s an epoch"
        rows.append(epoch(result["many_ids"], millions, result["n_train"]))
    return rows


def two_tower_epoch(result):
    return [epoch(result["dssm"], n_train=result["n_train"]), auc_after_3(result["dssm"])]


ESMM_TITLES = {
    "cvr_excess_log_loss": ("synthetic: excess log loss of pCVR, x 1000", 1000, 2, True),
    "ctcvr_excess_log_loss": ("synthetic: excess log loss of pCTCVR, x 1000", 1000, 2, True),
    "cvr_auc_on_engaged": ("real: AUC of pCVR", 1, 4, False),
    "ctcvr_auc": ("real: AUC of pCTCVR", 1, 4, False),
}


def esmm(result):
    rows = []
    for part in ("synthetic", "funnel"):
        for measure, ways in result[part]["summary"].items():
            title, scale, digits, lower = ESMM_TITLES[measure]
            values = {name: way["mean"] * scale for name, way in ways.items()}
            rows.append((title, values, digits, lower))
    return rows


def lcfn(towers, others):
    values = {"TwoTowerRetriever": towers["mean"]}
    values |= {name: one for name, one in (others or {}).items() if "recall@20" in one}
    rows = []
    for key, title, published in (
        ("recall@20", "recall@20", 0.2787),
        ("ndcg@20", "NDCG@20", 0.2642),
    ):
        scores = {name.split(",")[0]: one[key] for name, one in values.items() if "," not in name}
        rows.append((title, scores | {"UltraGCN, as published": published}, 4, False))
    return rows


def beauty(result):
    published = {name: one["ndcg"] for name, one in BEAUTY_PUBLISHED.items()}
    return [("NDCG@10", {"ItemCF": result["ItemCF"]["ndcg@10"]} | published, 4, False)]


def purchases(result):
    return [
        (
            f"recall@100, {title}",
            {name: one["warm"] for name, one in result[key]["models"].items()},
            4,
            False,
        )
        for key, title in (("new", "new products"), ("all", "all products"))
    ]


def item_cf_speed(*results):
    rows = []
    for name, result in zip(("ml-1m", "purchases", "synthetic"), results):
        if result is not None:
            parts = ("encode_seconds", "fit_seconds", "recommend_seconds")
            values = {
                library: sum(min(run.get(part, 0.0) for run in runs) for part in parts)
                for library, runs in result["runs"].items()
            }
            rows.append((f"{name}: s in all", values, 1, True))
    return rows
