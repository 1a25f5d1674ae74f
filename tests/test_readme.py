"""The Python in all pages runs, and their links lead somewhere."""

import importlib
import importlib.util
import math
import pkgutil
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import sklearn

import sk_adrec
from sk_adrec.utils import estimator_checks as checks

plt.switch_backend("Agg")

ROOT = Path(__file__).resolve().parent.parent
# What Sphinx has made is no page of ours.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"] + [
    page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts
]


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


# A number, and not the end of a name such as user_1.
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?![\w.])")


def check_output(block, printed):
    """Each comment "# -> text" of a block is a line that it prints, but for the last digits.

    Numbers may differ by 0.02 or 5 %: another processor sums in another order.
    """
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    for wanted in re.findall(r"^ *# -> (.*)$", block, flags=re.MULTILINE):
        wanted = " ".join(wanted.split())
        assert any(agree(wanted, line) for line in lines), f"{wanted!r} is not in {lines}"


def agree(wanted, line):
    if NUMBER.sub("0", wanted) != NUMBER.sub("0", line):
        return False
    pairs = zip(*(map(number, NUMBER.findall(text)) for text in (wanted, line)))
    return all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.02) for a, b in pairs)


def number(text):
    return float(text.replace(",", ""))


def name_of(page):
    """The page in the name of its test."""
    return str(page.relative_to(ROOT))


def links(text):
    """Targets of links and pictures that are files of this project."""
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    return [target for target in targets if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_runs_in_order(page, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # what pages write goes with the test
    namespace = {"__name__": page.stem}
    with sklearn.config_context():  # what pages switch on ends with the page
        for place, block in enumerate(python_blocks(page.read_text(encoding="utf-8")), 1):
            exec(compile(block, f"{page.name}, block {place}", "exec"), namespace)
            check_output(block, capsys.readouterr().out)
    plt.close("all")


def test_output_in_comments_is_compared():
    block = "print(name, auc)\n# -> FM  AUC 0.746 of 1,000 rows\n"
    check_output(block, "other\nFM AUC   0.751 of 1,000 rows\n")
    for printed in ("", "FM AUC 0.70 of 1,000 rows", "DIN AUC 0.746 of 1,000 rows"):
        with pytest.raises(AssertionError, match=r"FM AUC 0\.746"):
            check_output(block, printed)


# The page itself runs the check of the level; `tests/test_common.py` runs all on the library's own.
@pytest.mark.parametrize(
    "check",
    [
        checks.check_parameters_are_documented,
        checks.check_parameters_are_read,
        checks.check_clone_and_set_params,
        checks.check_pickle_round_trip,
    ],
    ids=lambda check: check.__name__,
)
def test_own_model_passes_checks_from_a_file(check, tmp_path, monkeypatch):
    page = ROOT / "docs" / "guide" / "own_model.md"
    model, *_ = python_blocks(page.read_text(encoding="utf-8"))
    file = tmp_path / "fwfm.py"
    file.write_text(model, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("fwfm", file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fwfm", module)
    spec.loader.exec_module(module)
    check(module.FwFMClassifier())


def test_the_guide_is_linked_and_runs():
    guide = ROOT / "docs" / "guide.md"
    assert "docs/guide.md" in links((ROOT / "README.md").read_text(encoding="utf-8"))
    chapters = [guide.parent / target for target in links(guide.read_text(encoding="utf-8"))]
    assert set(chapters) >= set(guide.with_suffix("").glob("*.md"))
    for chapter in guide.with_suffix("").glob("*.md"):
        assert python_blocks(chapter.read_text(encoding="utf-8")), f"{chapter.name} shows nothing"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page):
    missing = [
        target
        for target in links(page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert not missing


def test_readme_shows_a_model():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert any("predict_proba" in block for block in python_blocks(text))


def test_api_page_lists_every_public_name():
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([A-Za-z_]\w*)`", text))
    for module in pkgutil.iter_modules(sk_adrec.__path__):
        if module.ispkg and module.name != "utils":
            names = getattr(importlib.import_module(f"sk_adrec.{module.name}"), "__all__", [])
            public = {name for name in names if not name.startswith("_")}
            assert public <= listed, f"docs/api.md lacks {sorted(public - listed)}"
