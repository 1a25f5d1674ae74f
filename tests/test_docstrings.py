"""Docstrings of public names: parameters and their defaults, what is returned, an example.

numpydoc's own validator reads them; that the examples run is shown by the doctests of sk_adrec/.
"""

import ast
import importlib
import inspect
import pkgutil
from functools import cache

import pytest
from numpydoc.docscrape import NumpyDocString, get_doc_object
from numpydoc.validate import validate
from sklearn.base import BaseEstimator

import sk_adrec
from sk_adrec.utils import all_estimators

# What numpydoc's validator may find; it also knows matters of taste.
FAULTS = {
    "GL03": "two blank lines in a row",
    "GL06": "a section that numpydoc does not know",
    "GL07": "sections out of order",
    "GL08": "no docstring",
    "GL10": "a directive with one colon",
    "PR01": "a parameter of the signature that is not documented",
    "PR02": "a documented parameter that does not exist",
    "PR03": "parameters in another order than in the signature",
    "PR04": "a parameter without a type",
    "PR05": "a type that ends in a full stop",
    "PR06": "a type such as 'integer' or 'boolean'",
    "PR10": "no space before a colon",
    "RT01": "no section on what is returned",
    "SS01": "no summary",
    "SS02": "a summary that starts in lower case",
    "YD01": "no section on what is yielded",
}
# Types that say where the description is, or that there is nothing to describe.
DESCRIBED_ELSEWHERE = ("as in ", "as for ", "as `", "ignored")


def is_defined_in(module, value):
    name = getattr(value, "__module__", None) or ""
    return name == module.__name__ or name.startswith(f"{module.__name__}.")


@cache
def public_names():
    """Path -> value of every public class and function, those beside an `__all__` included.

    Of `estimator_checks` only what it defines itself: its checks all take an estimator and
    raise AssertionError, and the example of `check_estimator` runs two of them.
    """
    found = {}
    packages = [info.name for info in pkgutil.iter_modules(sk_adrec.__path__)]
    for package in [*packages, "utils.estimator_checks"]:
        if package.startswith("_"):
            continue
        module = importlib.import_module(f"sk_adrec.{package}")
        for name in dir(module):
            value = getattr(module, name)
            is_name = inspect.isclass(value) or inspect.isfunction(value)
            if is_name and not name.startswith("_") and is_defined_in(module, value):
                found[f"{package}.{name}"] = value
    return found


def public_methods(cls):
    """Path -> method that this library defines; not what scikit-learn or torch hand down."""
    found = {}
    for name in dir(cls):
        value = getattr(cls, name)
        function = inspect.unwrap(getattr(value, "__func__", value))
        is_method = inspect.isfunction(function) and not name.startswith("_")
        if is_method and is_defined_in(sk_adrec, function):
            found[f"{cls.__name__}.{name}"] = value
    return found


def faults_of(value):
    """What is wrong with one docstring, an example aside."""
    if inspect.isclass(value) and not is_defined_in(sk_adrec, value.__init__):
        return []  # the constructor is torch's, without parameters of its own
    errors = validate(get_doc_object(value))["errors"]
    found = [f"{code}: {text}" for code, text in errors if code in FAULTS]
    signature = inspect.signature(value).parameters
    for names, type_, description in NumpyDocString(inspect.getdoc(value) or "")["Parameters"]:
        if type_.startswith(DESCRIBED_ELSEWHERE):
            continue
        if not description:
            found.append(f"parameter {names} says nothing")
        known = [name for name in names.replace("*", "").split(", ") if name in signature]
        defaults = tuple(signature[name].default for name in known)
        default = defaults[0] if len(set(defaults)) == 1 else defaults
        if known and documented_default(type_) != default:
            found.append(f"the default of {names} is {default!r}")
    return found


def documented_default(type_):
    """Of a type such as "int, default=3"; several names may have one each: "default=1, 2"."""
    _, equals, text = type_.partition("default=")
    return ast.literal_eval(text) if equals else inspect.Parameter.empty


def has_example(value):
    doc = NumpyDocString(inspect.getdoc(value) or "")
    return any(line.startswith(">>> ") for line in doc["Examples"])


def test_names_are_found():
    expected = {"ranking.FMClassifier", "ranking.OnlineLogisticRegression", "metrics.gauc_score"}
    expected |= {"nn.MLP", "losses.LogLoss", "utils.estimator_checks.parametrize_with_checks"}
    assert expected <= set(public_names())
    found = {name.split(".")[-1] for name in public_names()}
    assert {name for name, _ in all_estimators()} <= found
    methods = public_methods(sk_adrec.FMClassifier)
    assert {"FMClassifier.fit", "FMClassifier.embeddings"} <= set(methods)
    assert "FMClassifier.get_params" not in methods


@pytest.mark.parametrize("path", sorted(public_names()))
def test_docstring_is_complete(path):
    value = public_names()[path]
    found = {path: faults_of(value)}
    if inspect.isclass(value):
        found |= {name: faults_of(method) for name, method in public_methods(value).items()}
    assert not {name: faults for name, faults in found.items() if faults}


@pytest.mark.parametrize("path", sorted(public_names()))
def test_docstring_has_an_example(path):
    assert has_example(public_names()[path]), f"{path} has no example: add one that runs (>>> )"


@pytest.mark.parametrize("path", sorted(public_names()))
def test_attributes_are_described(path):
    value = public_names()[path]
    attributes = NumpyDocString(inspect.getdoc(value))["Attributes"]
    assert not [attribute.name for attribute in attributes if not attribute.desc]
    if inspect.isclass(value) and issubclass(value, BaseEstimator):
        assert attributes, f"{path} has no Attributes section"


def faulty(x, y, *, times=2):
    """Add y to x.

    Parameters
    ----------
    x : int
    z : int
        Not there.
    times : int, default=3
        How often.
    """
    return x + times * y


def test_faults_are_found():
    found = " ".join(faults_of(faulty))
    assert "PR01: Parameters {'y'} not documented" in found
    assert "PR02: Unknown parameters {'z'}" in found
    assert "RT01: No Returns section found" in found
    assert "parameter x says nothing" in found
    assert "the default of times is 2" in found
    assert not has_example(faulty)
