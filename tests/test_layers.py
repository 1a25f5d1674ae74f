"""Imports point downwards: no circles, no arrow from a lower layer to a higher one.

All imports count, those inside functions and for types only as well. The names that a package's
``__init__`` loads lazily are no imports of it; who imports such a name imports the module that
holds it.
"""

import ast
import importlib
import inspect
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import sk_adrec

ROOT = Path(sk_adrec.__file__).parent
# From the lowest to the highest: a part imports of the layers below its own. "_" stands for what is
# private at the top and not named here: the estimators' base, whose files import one another. The
# top itself, "__init__", holds lazy names only, so it lies low.
LAYERS = [
    {"_lazy", "_warnings"},
    {"__init__", "_validation", "_target", "_docs", "_state"},
    {"_hyperparameters"},
    {"preprocessing"},
    {"nn"},
    {"losses", "samplers"},
    {"_"},
    {"metrics", "datasets"},
    {"model_selection", "inspection", "ranking", "multitask", "retrieval", "sequential", "utils"},
    {"recommenders", "base"},
    {"export", "distributed"},
]
# Torch is for the base, the blocks and the models: these work on plain arrays.
WITHOUT_TORCH = (
    *LAYERS[0] | LAYERS[1] | LAYERS[2] | LAYERS[3] | LAYERS[7],
    "model_selection", "inspection", "ranking._gbdt", "ranking._downsampled", "multitask._target",
    "retrieval._log", "retrieval._lists", "retrieval._neighbours", "sequential._log",
)  # fmt: skip


def module_name(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def imported(module):
    """(Name, line) of what a module imports, as absolute names: "numpy", "sk_adrec._base"."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, package)
            found += [(f"{base}.{alias.name}", node.lineno) for alias in node.names]
    return found


def holder(name):
    """The module of this package that holds an imported name; None for other libraries."""
    if name.partition(".")[0] != "sk_adrec":
        return None
    if name in FILES:
        return name
    base, _, attribute = name.rpartition(".")
    if FILES[base].name != "__init__.py":
        return base
    value = getattr(importlib.import_module(base), attribute, None)
    return value.__module__ if inspect.isclass(value) or inspect.isfunction(value) else base


@cache
def arrows():
    """(Importing module, imported module, line)."""
    return [
        (module, target, line)
        for module in FILES
        for name, line in imported(module)
        if (target := holder(name)) is not None
    ]


def part(module):
    """The package of a module, or the module itself where it lies at the top."""
    return [*module.split("."), "__init__"][1]


def layer(module):
    name = part(module)
    for names in (name, "_" if name.startswith("_") else name):
        for level, parts in enumerate(LAYERS):
            if names in parts:
                return level
    raise AssertionError(f"LAYERS of {Path(__file__).name} lacks {name!r}: say what it may import")


def test_no_arrow_points_upwards_or_sideways():
    wrong = []
    for module, target, line in arrows():
        if part(module) == part(target) or layer(module) == layer(target) == layer("sk_adrec._"):
            continue
        # The top asks its packages, which hold lazy names only, for these.
        asks = module == "sk_adrec" and FILES[target].name == "__init__.py"
        if layer(target) >= layer(module) and not asks:
            wrong.append(f"{module}:{line} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_no_circles():
    graph = {module: set() for module in FILES}
    for module, target, _ in arrows():
        # To import a module runs the files of the packages around it first.
        around = {".".join(target.split(".")[:k]) for k in range(2, target.count(".") + 1)}
        graph[module] |= {name for name in around if not f"{module}.".startswith(f"{name}.")}
        graph[module] |= {target} - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" <- ".join(error.args[1])) from None


def importers(library):
    return {
        module
        for module in FILES
        for name, _ in imported(module)
        if name.partition(".")[0] == library
    }


def test_torch_stays_in_the_base_the_blocks_and_the_models():
    found = importers("torch")
    assert {"sk_adrec.nn.embedding", "sk_adrec.ranking._fm", "sk_adrec._base"} <= found
    without = tuple(f"sk_adrec.{name}" for name in WITHOUT_TORCH)
    assert not {module for module in found if module == "sk_adrec" or module.startswith(without)}


def test_blocks_losses_and_samplers_know_no_scikit_learn():
    parts = {part(module) for module in importers("sklearn")}
    assert "metrics" in parts
    assert not parts & {"nn", "losses", "samplers"}


def test_skorch_is_imported_in_one_file():
    # The checks hand a callback over, as a user would.
    assert {name for name in importers("skorch") if part(name) != "utils"} == {"sk_adrec._net"}
