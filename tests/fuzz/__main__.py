"""Fuzz the readers of strangers' bytes, guided by coverage: `./dev fuzz [TARGET ...] [--seconds 60] [--keep]`.

1. A process for each target begins with its samples and the inputs that are kept, and ends at the first one that breaks it.
2. With `--keep`, the smallest of those that reach code which no other does become the ones that are kept.
"""

import argparse
import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final

from tests.fuzz.environment import install

INSTRUMENTED: Final = [
    *("aggregates", "api.requests", "eventstore.untrusted", "http.cookies", "outbox", "python_multipart"),
    *("replay.adoption", "starlette.requests", "storage.formats", "tinytag"),
]
MAX_INPUT_BYTES: Final = 4096
MAX_KEPT_BYTES: Final = 1024
MAX_KEPT: Final = 150
INPUT_TIMEOUT_SECONDS: Final = 5
MEMORY_MB: Final = 2048


def run_target(name: str, options: list[str]) -> None:
    """Fuzz in this process, which libFuzzer ends."""
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


def fuzz(name: str, seconds: int, *, keeps: bool) -> bool:
    """Return whether the target took all inputs."""
    from tests.fuzz.corpus import SEEDS, keep, kept

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        seeds = _written(folder / "seeds", SEEDS[name])
        found = _written(folder / "found", kept(name))
        limits = [
            f"-timeout={INPUT_TIMEOUT_SECONDS}",
            f"-rss_limit_mb={MEMORY_MB}",
            f"-artifact_prefix={folder}/",
        ]
        options = [f"-max_total_time={seconds}", f"-max_len={MAX_INPUT_BYTES}", "-print_final_stats=1"]
        child = [sys.executable, "-m", "tests.fuzz", "--in-this-process", name]
        with_fuzzer = {**os.environ, "PYTHONPATH": str(install())}
        ended = subprocess.run([*child, *limits, *options, found, seeds], check=False, env=with_fuzzer)
        if ended.returncode:
            for path in folder.glob("*-*"):
                print(f"{name}: add to {name}.txt: {base64.b64encode(path.read_bytes()).decode()}")  # noqa: T201
            return False
        if keeps:
            inputs = sorted((path.read_bytes() for path in found.iterdir()), key=len)
            keep(name, [each for each in inputs if len(each) <= MAX_KEPT_BYTES][:MAX_KEPT])
    return True


def _written(folder: Path, inputs: Iterable[bytes]) -> Path:
    folder.mkdir()
    for each in inputs:
        (folder / sha256(each).hexdigest()).write_bytes(each)
    return folder


def main() -> int:
    from tests.fuzz.corpus import SEEDS

    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Fuzz the readers of strangers' bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(SEEDS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    took = [fuzz(each, asked.seconds, keeps=asked.keep) for each in asked.targets or SEEDS]
    return int(not all(took))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--in-this-process"]:
        run_target(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main())
