"""The gallery, without running it (`make docs` does): scripts that stand alone and draw."""

import ast
import re
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))
LOCAL = {path.stem for path in EXAMPLES.glob("*.py")}
MAX_LINES = 300


def parse(script):
    return ast.parse(script.read_text(encoding="utf-8"), filename=str(script))


def title(script):
    """The docstring's first line, which must be underlined."""
    heading, underline, *_ = ast.get_docstring(parse(script)).splitlines()
    assert set(underline) == {"="}, f"{script.name} has no title underlined with ="
    assert len(underline) >= len(heading), f"{script.name}: the underline is too short"
    return heading


def imported(tree):
    """Top-level packages that are imported anywhere in a script."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module.split(".")[0]


def calls(tree, name):
    """Calls of a function or method of that name."""
    functions = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [f for f in functions if name in (getattr(f, "attr", None), getattr(f, "id", None))]


def test_there_are_about_ten_scripts():
    assert len(SCRIPTS) >= 8


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
class TestScript:
    def test_compiles(self, script):
        compile(parse(script), str(script), "exec")

    def test_has_a_title(self, script):
        assert title(script)

    def test_imports_no_helper_module(self, script):
        assert not LOCAL & set(imported(parse(script)))

    def test_draws_and_shows_a_picture(self, script):
        tree = parse(script)
        assert calls(tree, "subplots"), "no figure"
        assert len(calls(tree, "show")) == len(calls(tree, "subplots")), "show each figure"

    def test_leaves_routing_as_it_was(self, script):
        # All scripts of a build run in one process.
        settings = [
            keyword.value.value
            for node in ast.walk(parse(script))
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "set_config"
            for keyword in node.keywords
        ]
        assert settings in ([], [True, False])

    def test_is_short(self, script):
        assert len(script.read_text(encoding="utf-8").splitlines()) <= MAX_LINES

    def test_writes_no_file(self, script):
        tree = parse(script)
        assert not any(calls(tree, name) for name in ("savefig", "open", "to_csv", "to_parquet"))


def test_no_two_share_a_title():
    titles = [title(script) for script in SCRIPTS]
    assert len(set(titles)) == len(titles)


def test_no_two_share_a_name_in_any_case():
    assert len({script.stem.lower() for script in SCRIPTS}) == len(SCRIPTS)


def test_pages_link_to_scripts_that_exist():
    docs = EXAMPLES.parent / "docs"
    pages = [page for page in docs.rglob("*.md") if "_build" not in page.parts]
    named = {
        name
        for page in pages
        for name in re.findall(r"gallery/(plot_\w+)", page.read_text(encoding="utf-8"))
    }
    assert named <= {script.stem for script in SCRIPTS}
