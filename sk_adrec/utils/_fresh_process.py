"""Fresh Python processes that need not import torch again.

Starting an interpreter takes milliseconds, importing torch, skorch and what they need takes
seconds. Where processes can be forked, one that has imported third-party libraries and done nothing
else is kept; each process is a copy of it. Modules of this library or of the user are imported in
the copy, so nothing of the calling process is there.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

# What an estimator may import, itself left out. torch.optim imports torch._dynamo when the first
# optimizer is built.
_LIBRARIES = ("pandas", "pyarrow", "sklearn", "torch", "torch._dynamo", "skorch", "lightgbm")
_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": ""}

_COPIES = Path(__file__).with_name("_copies.py")
_LOCK = threading.Lock()


def run_fresh(code: str, *arguments: str, timeout: float = 120.0) -> str | None:
    """Run Python code in a new process that sees no CUDA device.

    It finds modules where this process finds them.

    Parameters
    ----------
    code : str
    *arguments : str
        ``sys.argv[1:]`` of the process.
    timeout : float, default=120.0
        Seconds.

    Returns
    -------
    str or None
        What the process wrote to stderr if it failed, otherwise None.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    environ = {**os.environ, **_ENVIRONMENT}
    if sys.platform != "linux":
        environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=environ,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return done.stderr if done.returncode else None
    with _LOCK, tempfile.TemporaryDirectory() as name:
        (errors := Path(name, "errors")).touch()
        request = {
            "code": code,
            "arguments": arguments,
            "path": sys.path,
            "environ": environ,
            "folder": os.getcwd(),
            "errors": str(errors),
        }
        original = _original(os.getpid())
        try:
            status = _answer(original, json.dumps(request), timeout)
        except BaseException:
            # Out of time, interrupted or gone: its answer must not be taken for the next one's.
            _original.cache_clear()
            _end(original)
            raise
        return None if status == "0" else errors.read_text(errors="replace")


def _answer(process: subprocess.Popen, line: str, timeout: float) -> str:
    """Write a line to a process and read one."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    if not select.select([process.stdout], [], [], timeout)[0]:
        raise subprocess.TimeoutExpired(process.args, timeout)
    return process.stdout.readline().strip()


@functools.lru_cache(maxsize=1)
def _original(pid: int) -> subprocess.Popen:
    """The process that is copied; a fork of this process, of another pid, has its own."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(_COPIES), *_LIBRARIES],
        env={**os.environ, **_ENVIRONMENT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen) -> None:
    """End a process and its copies, if they still run."""
    if process.poll() is None:
        os.killpg(process.pid, 9)
        process.communicate()
