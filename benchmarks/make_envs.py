"""Create one virtual environment per peer library under benchmarks/.envs.

The peers' pins conflict (NextRec wants numpy < 2 and pandas < 2), so each has its own
environment. Where a peer needs torch, it is installed first, from peers/constraints.txt, so that
pip takes a local CPU build where there is one instead of the newest build with several GB of CUDA.

    python benchmarks/make_envs.py                  # all peers, a few minutes
    python benchmarks/make_envs.py fuxictr nextrec  # some
    python benchmarks/make_envs.py --check          # only import what is installed
"""

import argparse
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONSTRAINTS = HERE / "peers" / "constraints.txt"

# peer -> what pip installs. The key is the directory's name and the runner's suffix.
PEERS = {
    "torch_rechub": ["torch-rechub==0.9.0"],
    # It imports requests (and asks the package index for newer versions of itself), undeclared.
    "deepctr_torch": ["deepctr-torch==0.3.0", "requests"],
    "nextrec": ["nextrec==0.6.14"],
    "fuxictr": ["fuxictr==2.3.10"],
    "rectools": ["rectools[torch]==0.19.0"],
    # pandas numbers the raw ids for it.
    "implicit": ["implicit==0.7.3", "pandas"],
    "skrecsys": ["skrecsys[nn]==0.9.0"],
}
WITHOUT_TORCH = ("implicit",)


def peer_python(peer, envs):
    """Path of the Python interpreter of a peer's environment."""
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return envs / peer / scripts / "python"


def make_env(peer, envs):
    """Create the peer's environment if it is missing and install the peer into it."""
    python = peer_python(peer, envs)
    if not python.exists():
        venv.create(envs / peer, with_pip=True)
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", CONSTRAINTS]
    if peer not in WITHOUT_TORCH:
        subprocess.run([*pip, "torch"], check=True)
    subprocess.run([*pip, *PEERS[peer]], check=True)


def runner_starts(peer, envs):
    """Whether the peer's runner can import the peer and prints its help."""
    python = peer_python(peer, envs)
    runner = HERE / "peers" / f"run_{peer}.py"
    if not python.exists():
        print(f"{peer}: no environment; run: python benchmarks/make_envs.py {peer}")
        return False
    done = subprocess.run([python, runner, "--help"], capture_output=True, text=True, check=False)
    print(f"{peer}: {'ok' if done.returncode == 0 else 'FAILED'}")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0


def main():
    """Make or check the environments named on the command line; the exit status counts failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", metavar="peer", help=f"of {', '.join(PEERS)}; all")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="where they go")
    parser.add_argument("--recreate", action="store_true", help="remove an environment first")
    parser.add_argument("--check", action="store_true", help="install nothing")
    args = parser.parse_args()
    peers = args.peers or list(PEERS)
    if unknown := sorted(set(peers) - set(PEERS)):
        parser.error(f"unknown peers {unknown}; choose from {list(PEERS)}")

    failures = 0
    for peer in peers:
        if not args.check:
            if args.recreate:
                shutil.rmtree(args.envs / peer, ignore_errors=True)
            try:
                make_env(peer, args.envs)
            except subprocess.CalledProcessError as error:
                # The others are still worth having: go on, and say so in the exit status.
                print(f"{peer}: installation failed: {error}", file=sys.stderr)
                failures += 1
                continue
        failures += not runner_starts(peer, args.envs)
    return failures


if __name__ == "__main__":
    sys.exit(main())
