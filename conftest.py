"""For every test and doctest: the threads' manners, and no file outside temporary folders."""

import gc
import importlib.util
import os
import re
import shutil
import tempfile

import pytest

# Read when numpy, scipy and torch are loaded, so before any test module: `make test` sets them too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


# Compiled loops of an extra: there is nothing to collect where it is not installed.
collect_ignore = (
    [] if importlib.util.find_spec("numba") else ["sk_adrec/retrieval/_neighbours/kernels.py"]
)


# Tests that start processes, which import torch: one worker starts them once for all.
STARTS_PROCESSES = re.compile(
    "check_grid_search_in_pipeline|check_predicts_in_fresh_process|training_device|loky"
)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config, log):
    """With `--dist loadscope`, what shares fixtures, caches and processes stays in one worker.

    That is a file's tests, or the checks of one estimator. A page of the documentation shares
    nothing with the others.
    """
    if config.getvalue("dist") != "loadscope":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class LoadSharedScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, test = nodeid.partition("::")
            if STARTS_PROCESSES.search(test):
                return "processes"
            if file.endswith("test_readme.py"):
                return nodeid
            if file.endswith("test_common.py") and (estimator := re.search(r"\[(\w+)", test)):
                return estimator[1]
            return file

    return LoadSharedScheduling(config, log)


def pytest_collection_finish():
    """Let the garbage collector pass over what lives as long as the tests: modules, the tests."""
    gc.collect()
    gc.freeze()


def pytest_configure(config):
    """Give the loaders a cache of this session, unless the caller has named a folder to keep."""
    if "SK_ADREC_DATA" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sk_adrec_data_")
        os.environ["SK_ADREC_DATA"] = folder
        config.add_cleanup(lambda: _forget(folder))


def _forget(folder):
    os.environ.pop("SK_ADREC_DATA", None)
    shutil.rmtree(folder, ignore_errors=True)
