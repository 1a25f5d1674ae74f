"""Fresh processes: as a new interpreter is, with nothing of this process or of the last one."""

import functools
import subprocess
import sys

import pytest

from sk_adrec.utils import _fresh_process
from sk_adrec.utils._fresh_process import run_fresh


@pytest.fixture(autouse=True)
def _of_their_own(monkeypatch):
    """Processes without torch, which start at once."""
    original = functools.lru_cache(maxsize=1)(_fresh_process._original.__wrapped__)
    monkeypatch.setattr(_fresh_process, "_original", original)
    monkeypatch.setattr(_fresh_process, "_LIBRARIES", ("json", "not_installed"))


def test_nothing_of_this_process_or_of_the_last_one_is_there():
    code = (
        "import sys; assert not hasattr(sys, 'left'); sys.left = 1\n"
        "assert not [name for name in sys.modules if name.startswith('sk_adrec')]\n"
        "import sk_adrec"
    )
    assert run_fresh(code) is None
    assert run_fresh(code) is None


def test_arguments_environment_and_places_are_those_of_now(monkeypatch, tmp_path):
    code = (
        "import os, sys, fresh_module\n"
        "assert sys.argv[1:] == ['a', 'é b']\n"
        "assert os.environ['FRESH'] == '1' and os.environ['CUDA_VISIBLE_DEVICES'] == ''\n"
        f"assert os.getcwd() == {str(tmp_path)!r}\n"
        "assert __name__ == '__main__'"
    )
    assert run_fresh("pass") is None
    (tmp_path / "fresh_module.py").write_text("")
    monkeypatch.setenv("FRESH", "1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_fresh(code, "a", "é b") is None


def test_a_failure_is_told_as_python_tells_it():
    error = run_fresh("import sys; print('out'); raise ValueError('here')")
    assert error.rstrip().endswith("ValueError: here")
    assert "Traceback" in error
    assert run_fresh("import os; os._exit(3)") == ""
    assert run_fresh("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") == ""
    assert run_fresh("pass") is None


def test_time_runs_out():
    with pytest.raises(subprocess.TimeoutExpired):
        run_fresh("import time; time.sleep(60)", timeout=0.5)
    assert run_fresh("pass") is None


def test_without_fork(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "win32")
    (tmp_path / "fresh_module.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert run_fresh("import sys, fresh_module; assert sys.argv[1:] == ['a']", "a") is None
    assert "ValueError: here" in run_fresh("raise ValueError('here')")
