"""A script: import libraries, then run code in copies of this process, one after the other.

``python -P _copies.py torch pandas`` reads a request in JSON from each line of stdin, and writes
the exit status of its copy. It imports nothing of this library.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
import warnings


def run(code, arguments, path, environ, folder, errors):
    """Run code as a script; what it prints goes to the file `errors`. Return its exit status."""
    file = os.open(errors, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    sys.path[:], sys.argv[1:] = path, arguments
    importlib.invalidate_caches()
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main(libraries):
    """Serve requests until stdin is closed."""
    for name in libraries:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # BLAS has threads, which are idle, and started again in a copy.
    warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
    for line in sys.stdin:
        copy = os.fork()
        if copy == 0:
            status = 1
            try:
                warnings.resetwarnings()
                status = run(**json.loads(line))
                sys.stderr.flush()
            finally:
                os._exit(status)
        sys.stdout.write(f"{os.waitpid(copy, 0)[1]}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
