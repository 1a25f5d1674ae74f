"""The Python in all pages runs, and their links lead somewhere."""

import importlib
import pkgutil
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import sklearn

import sk_adrec

plt.switch_backend("Agg")

ROOT = Path(__file__).resolve().parent.parent
# What Sphinx has made is no page of ours.
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"] + [
    page for page in sorted((ROOT / "docs").rglob("*.md")) if "_build" not in page.parts
]


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


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
        for number, block in enumerate(python_blocks(page.read_text(encoding="utf-8")), 1):
            exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
    plt.close("all")


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
    listed = set(re.findall(r"`([A-Za-z_]+)`", text))
    for module in pkgutil.iter_modules(sk_adrec.__path__):
        if module.ispkg and module.name != "utils":
            names = getattr(importlib.import_module(f"sk_adrec.{module.name}"), "__all__", [])
            public = {name for name in names if not name.startswith("_")}
            assert public <= listed, f"docs/api.md lacks {sorted(public - listed)}"
