"""The Python in README.md and CONTRIBUTING.md runs, and the links in all pages lead somewhere."""

import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import sk_adrec

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(text):
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def links(text):
    """Targets of links and pictures that are files of this project."""
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    return [target for target in targets if "://" not in target]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs_in_order(page, capsys):
    namespace = {"__name__": page.stem}
    for number, block in enumerate(python_blocks(page.read_text(encoding="utf-8")), 1):
        exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
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
