"""A folder with the fuzzer for this Python, made once from a hashed lock file."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "fuzz.lock"
FOLDER = ROOT / ".fuzz" / "{}.{}".format(*sys.version_info)
UV = shutil.which("uv") or ROOT / ".boot" / "bin" / "uv"


def install() -> Path:
    """Install the packages of the lock file, unless they are there; one process at a time. Return their folder."""
    stamp = FOLDER / ".installed"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        digest = hashlib.sha256(lock.read()).hexdigest()
        if stamp.exists() and stamp.read_text() == digest:
            return FOLDER
        print("fuzz: installing atheris (once, a few seconds)", file=sys.stderr)  # noqa: T201
        shutil.rmtree(FOLDER, ignore_errors=True)
        into = ["--python", sys.executable, "--target", FOLDER]
        only = ["--only-binary", ":all:", "--require-hashes", "--requirement", LOCK]
        subprocess.run([UV, "pip", "install", "--quiet", *into, *only], check=True)
        stamp.write_text(digest)
    return FOLDER
