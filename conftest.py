"""For every test and doctest: the threads' manners, and no file outside temporary folders."""

import importlib.util
import os
import shutil
import tempfile

import pytest

# Read when numpy, scipy and torch are loaded, so before any test module: `make test` sets them too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


# Compiled loops of an extra: there is nothing to collect where it is not installed.
collect_ignore = [] if importlib.util.find_spec("numba") else ["sk_adrec/retrieval/_kernels.py"]


# Checks that start processes, which import torch: in one worker they start them once.
STARTS_PROCESSES = ("check_grid_search_in_pipeline", "check_predicts_in_fresh_process")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """Keep together, in `--dist loadgroup`, what shares fixtures, caches and processes.

    That is a file's tests, or the checks of one estimator. A page of the documentation shares
    nothing with the others.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None and (name := _group(item)):
            item.add_marker(pytest.mark.xdist_group(name))


def _group(item):
    params = item.callspec.params if hasattr(item, "callspec") else {}
    check = params.get("check")
    if getattr(check, "__name__", check) in STARTS_PROCESSES:
        return "processes"
    if "page" in params:
        return None
    if item.path.name == "test_common.py" and "estimator" in params:
        return type(params["estimator"]).__name__
    return item.path.stem


def pytest_configure(config):
    """Give the loaders a cache of this session, unless the caller has named a folder to keep."""
    if "SK_ADREC_DATA" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sk_adrec_data_")
        os.environ["SK_ADREC_DATA"] = folder
        config.add_cleanup(lambda: _forget(folder))


def _forget(folder):
    os.environ.pop("SK_ADREC_DATA", None)
    shutil.rmtree(folder, ignore_errors=True)
