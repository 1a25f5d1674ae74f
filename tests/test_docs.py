"""The site without building it: the reference is complete, and pages find each other."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import sk_adrec
from sk_adrec.utils import all_estimators

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = [info.name for info in pkgutil.iter_modules(sk_adrec.__path__) if info.name[0] != "_"]
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]


def read(page):
    return (DOCS / page).read_text(encoding="utf-8")


def toctrees(page):
    """Documents that a page's toctrees name, relative to docs/."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    entries = [re.sub(r".*<(.*)>$", r"\1", line) for line in lines]  # or: a title <document>
    folder = page.parent.relative_to(DOCS)
    return [str(folder / entry) for entry in entries if not entry.startswith(":")]


def defined_in(module):
    """Public classes and functions of a module or package."""
    names = getattr(module, "__all__", None) or [
        name for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
    ]  # fmt: skip
    values = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {
        name for name, value in values.items() if inspect.isclass(value) or inspect.isroutine(value)
    }


def load_extension():
    """docs/_ext/public_names.py, which writes the reference; it needs Sphinx."""
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    path = DOCS / "_ext" / "public_names.py"
    spec = importlib.util.spec_from_file_location("public_names", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("package", PACKAGES)
def test_api_page_has_every_public_name(package):
    listed = set(re.findall(r"`(\w+)`", read("api.md")))
    missing = defined_in(importlib.import_module(f"sk_adrec.{package}")) - listed
    assert not missing, f"docs/api.md lacks {sorted(missing)}"


def test_api_page_has_every_estimator():
    listed = set(re.findall(r"`(\w+)`", read("api.md")))
    assert len(all_estimators()) >= 10
    assert {name for name, _ in all_estimators()} <= listed


def test_api_page_has_a_reference_of_every_package():
    assert {f"reference/{package}" for package in PACKAGES} == {
        entry for entry in toctrees(DOCS / "api.md") if entry.startswith("reference/")
    }


def test_reference_documents_every_public_name():
    extension = load_extension()
    for package in PACKAGES:
        documented = {path.split(".")[-1] for path in extension.public_names(package)}
        assert defined_in(importlib.import_module(f"sk_adrec.{package}")) <= documented


def test_every_page_is_in_a_toctree():
    named = {entry for page in PAGES for entry in toctrees(page)}
    pages = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    assert pages - {"index"} == {
        name for name in named if not name.startswith(("reference", "gal"))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_have_one_title_and_closed_blocks(page):
    text = page.read_text(encoding="utf-8")
    if page.name != "contributing.md":  # its title comes with what it includes
        code = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
        assert len(re.findall(r"^# ", code.sub("", text), flags=re.MULTILINE)) == 1
    assert text.count("```") % 2 == 0
    assert text.count("<div") == text.count("</div>")


def test_gallery_scripts_are_ready_for_sphinx_gallery():
    scripts = sorted((ROOT / "examples").glob("plot_*.py"))
    assert scripts
    for script in scripts:
        # A docstring that starts with a title and its line, and cells with text between the code.
        text = script.read_text(encoding="utf-8")
        title, line = text.removeprefix('"""\n').splitlines()[:2]
        assert set(line) == {"="}, script.name
        assert len(line) >= len(title), script.name
        assert "\n# %%\n" in text, script.name


def test_nothing_is_fetched_by_a_reader():
    # Fonts, scripts and inventories from elsewhere would be asked for while one builds or reads.
    for path in [DOCS / "conf.py", *(DOCS / "_static").iterdir(), *(DOCS / "_ext").glob("*.py")]:
        assert "://" not in path.read_text(encoding="utf-8"), path.name
