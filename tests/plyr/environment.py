"""The environment of `plyrfm`, made once from a hashed lock file: `python -m tests.plyr.environment`."""

import fcntl
import hashlib
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "plyrfm.lock"
FOLDER = ROOT / ".venv-plyrfm"
PYTHON = FOLDER / "bin" / "python"
PLYRFM = FOLDER / "bin" / "plyrfm"


def install() -> None:
    """Install the packages of the lock file, unless they are there; one process at a time."""
    stamp = FOLDER / ".installed"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(lock.read()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return
        print("plyrfm: installing the client of plyr.fm (once, half a minute)", file=sys.stderr)  # noqa: T201
        venv.create(FOLDER, clear=True, with_pip=True)
        pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        subprocess.run([*pip, "--require-hashes", "-r", LOCK], check=True)
        stamp.write_text(digest)


if __name__ == "__main__":
    install()
