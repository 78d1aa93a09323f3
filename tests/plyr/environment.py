"""The environment of `plyrfm`, made once from a hashed lock file: `python -m tests.plyr.environment`."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "plyrfm.lock"
FOLDER = ROOT / ".venv-plyrfm"
PYTHON = FOLDER / "bin" / "python"
PLYRFM = FOLDER / "bin" / "plyrfm"
UV = shutil.which("uv") or ROOT / ".boot" / "bin" / "uv"
"""The one that `./dev` has made our own environment with."""


def install() -> None:
    """Install the packages of the lock file, unless they are there; one process at a time."""
    stamp = FOLDER / ".installed"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(lock.read()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return
        print("plyrfm: installing the client of plyr.fm (once, a few seconds)", file=sys.stderr)  # noqa: T201
        subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER], check=True)
        sync = [UV, "pip", "sync", "--quiet", "--python", PYTHON, "--require-hashes"]
        subprocess.run([*sync, "--compile-bytecode", LOCK], check=True)
        stamp.write_text(digest)


if __name__ == "__main__":
    install()
