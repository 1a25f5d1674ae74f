"""For every test and doctest: the threads' manners, and no file outside temporary folders."""

import importlib.util
import os
import shutil
import tempfile

# Read when numpy, scipy and torch are loaded, so before any test module: `make test` sets them too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("SCIPY_ARRAY_API", "1")
os.environ.setdefault("MPLBACKEND", "Agg")


# Compiled loops of an extra: there is nothing to collect where it is not installed.
collect_ignore = (
    [] if importlib.util.find_spec("numba") else ["sk_adrec/retrieval/_neighbours/kernels.py"]
)


def pytest_configure(config):
    """Give the loaders a cache of this session, unless the caller has named a folder to keep."""
    if "SK_ADREC_DATA" not in os.environ:
        folder = tempfile.mkdtemp(prefix="sk_adrec_data_")
        os.environ["SK_ADREC_DATA"] = folder
        config.add_cleanup(lambda: _forget(folder))


def _forget(folder):
    os.environ.pop("SK_ADREC_DATA", None)
    shutil.rmtree(folder, ignore_errors=True)
