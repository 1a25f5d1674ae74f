"""The reference from the packages' public names, and links to it from every page.

A name in code font, such as ``FMClassifier`` or ``gauc_score``, becomes a link wherever it occurs:
Markdown stays readable, and no page needs markup for it.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import sk_adrec

# Package -> what its page is called.
TITLES = {
    "ranking": "Rankers",
    "multitask": "Multi-task models",
    "retrieval": "Retrievers",
    "sequential": "Next item",
    "preprocessing": "Preprocessing",
    "metrics": "Metrics",
    "model_selection": "Splits",
    "inspection": "Inspection",
    "datasets": "Data",
    "losses": "Losses",
    "samplers": "Samplers",
    "nn": "Torch blocks",
    "base": "For models of your own",
    "utils": "For authors of estimators",
}
# Public, but no part of a package's `__all__`.
MORE = {
    "ranking": ["OnlineLogisticRegression"],
    "utils": ["estimator_checks.parametrize_with_checks"],
}


def public_names(package):
    """The names that a page of the reference documents, as after ``import sk_adrec``."""
    module = importlib.import_module(f"sk_adrec.{package}")
    names = getattr(module, "__all__", None) or _defined_in(module)
    found = [*names, *MORE.get(package, [])]
    # Ranges of hyper-parameters are in `__all__` too: types without a page of their own.
    values = {name: _attribute(module, name) for name in found}
    callables = [
        name for name, one in values.items() if inspect.isclass(one) or inspect.isroutine(one)
    ]
    return sorted(
        (name if name in sk_adrec.__all__ else f"{package}.{name}" for name in callables),
        key=str.lower,
    )


def _defined_in(module):
    """Public classes and functions of a module without ``__all__``."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _attribute(module, path):
    for name in path.split("."):
        module = getattr(module, name)
    return module


def write_reference(app, config):
    """Write one page for each package, with a table of its names."""
    found = {info.name for info in pkgutil.iter_modules(sk_adrec.__path__)}
    missing = {name for name in found if not name.startswith("_")} - set(TITLES)
    if missing:
        raise ValueError(f"docs/_ext/public_names.py: TITLES lacks {sorted(missing)}")
    folder = Path(app.srcdir) / "reference"
    folder.mkdir(exist_ok=True)
    for package, title in TITLES.items():
        heading = f"{title}: sk_adrec.{package}"
        summary = inspect.getdoc(importlib.import_module(f"sk_adrec.{package}"))
        lines = [heading, "=" * len(heading), "", summary.splitlines()[0], ""]
        lines += [".. currentmodule:: sk_adrec", "", ".. autosummary::", "   :toctree: generated"]
        lines += ["", *(f"   {name}" for name in public_names(package)), ""]
        _write_if_new(folder / f"{package}.rst", "\n".join(lines))


def _write_if_new(path, text):
    """Leave a file that is right as it is, so that its page is not made anew."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


class LinkPublicNames(SphinxTransform):
    """Turn code that is a public name into a link to its page."""

    default_priority = 450  # before references are resolved

    def apply(self):
        targets = _targets()
        for node in list(self.document.findall(nodes.literal)):
            if isinstance(node.parent, nodes.title | nodes.reference | addnodes.pending_xref):
                continue
            name = re.sub(r"\(.*\)$", "", node.astext()).removeprefix("sk_adrec.")
            target = targets.get(name)
            if target is None or self.env.docname.endswith(target):
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True
            )
            node.replace_self(link)
            link += node


def _targets():
    """Name, alone or after its package -> full name."""
    targets = {}
    for package in TITLES:
        for path in public_names(package):
            targets[path] = targets[path.split(".")[-1]] = f"sk_adrec.{path}"
    return targets


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that scikit-learn and torch define: their own pages describe them."""
    function = inspect.unwrap(getattr(obj, "fget", None) or getattr(obj, "__func__", None) or obj)
    module = getattr(function, "__module__", None) or ""
    return skip or not module.startswith("sk_adrec") or not inspect.isroutine(function)


def setup(app):
    """Connect the above."""
    app.connect("config-inited", write_reference)
    app.connect("autodoc-skip-member", skip_foreign)
    app.add_transform(LinkPublicNames)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
