"""What `import sk_adrec` costs, and that every public name can be had."""

import importlib
import inspect
import pkgutil
import subprocess
import sys
from importlib import resources

import pytest

import sk_adrec

HEAVY = ("torch", "lightgbm", "skorch")
PACKAGES = ["sk_adrec"] + [
    f"sk_adrec.{info.name}"
    for info in pkgutil.iter_modules(sk_adrec.__path__)
    if not info.name.startswith("_")
]


def run_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def seconds_to_import(package):
    return float(
        run_python(
            f"import time; start = time.perf_counter(); import {package}; "
            "print(time.perf_counter() - start)"
        )
    )


def loaded_by(statement):
    code = f"import sys; {statement}; print(*[m for m in {HEAVY} if m in sys.modules])"
    return run_python(code).split()


@pytest.mark.parametrize(
    "statement",
    [
        "import sk_adrec; dir(sk_adrec)",
        "import sk_adrec.datasets, sk_adrec.utils, sk_adrec.ranking, sk_adrec.preprocessing",
        "from sk_adrec import FeatureEncoder",
        "from sk_adrec.datasets import make_ad_log; make_ad_log(10)",
    ],
)
def test_import_loads_no_heavy_library(statement):
    assert loaded_by(statement) == []


def test_an_estimator_loads_torch_on_first_use():
    # The opposite of the test above, so that it cannot pass by looking at the wrong names.
    assert "torch" in loaded_by("from sk_adrec import FMClassifier")


def test_import_takes_no_longer_than_scikit_learn():
    seconds = {"sk_adrec": [], "sklearn": []}
    # Taken in turns: other work on the machine slows both.
    for _ in range(5):
        for package, measured in seconds.items():
            measured.append(seconds_to_import(package))
    assert min(seconds["sk_adrec"]) <= 1.3 * min(seconds["sklearn"])


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names(package):
    module = importlib.import_module(package)
    assert inspect.getdoc(module), f"{package} needs a docstring"
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    assert set(names) <= set(dir(module))
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{package}.{name} needs a docstring"


def test_classes_of_subpackages_are_exported_at_the_top():
    for package in {*PACKAGES[1:]} - {"sk_adrec.base"}:  # bases are no estimators
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            if inspect.isclass(value) and hasattr(value, "get_params"):
                assert getattr(sk_adrec, name) is value


def test_the_top_has_the_classes_of_its_packages_and_no_functions():
    values = {name: getattr(sk_adrec, name) for name in sk_adrec.__all__}
    packages = {name: value for name, value in values.items() if inspect.ismodule(value)}
    # Importing one of these loads torch: their classes stay where they are.
    others = {name.removeprefix("sk_adrec.") for name in PACKAGES[1:]} - set(packages)
    assert others == {"base", "losses", "nn", "samplers"}
    public = {name: getattr(p, name) for p in packages.values() for name in p.__all__}
    classes = {name for name, value in public.items() if inspect.isclass(value)}
    assert set(sk_adrec.__all__) == {*packages, *classes, "__version__"}


def test_star_import():
    names = run_python("from sk_adrec import *; print(FMClassifier.__name__, metrics.__name__)")
    assert names == "FMClassifier sk_adrec.metrics"


def test_unknown_name_raises():
    with pytest.raises(AttributeError, match="FMClasifier"):
        sk_adrec.FMClasifier  # noqa: B018


def test_type_information_is_shipped():
    assert resources.files("sk_adrec").joinpath("py.typed").is_file()
