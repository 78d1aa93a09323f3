"""Reads hostile files in a process with limited memory: `python -m tests.storage.hostile_worker N SEED`.

Says as JSON how many it looked at, how many were taken, and how much memory and time that took at most.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from storage.cid import cid_of
from storage.errors import RefusedMediaError
from storage.formats.artwork import read_artwork
from storage.formats.audio import read_audio
from storage.uploads.upload import Staged
from tests.media_samples import hostile

MOST_MEMORY = 2 * 2**30


def corpus(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """All hostile files; each is read both as audio and as an image."""
    chance = random.Random(seed)  # noqa: S311 - the same files every time
    whole = hostile.sounds() | hostile.pictures()
    for name, data in whole.items():
        others = [other for each, other in whole.items() if each != name]
        for number, mutant in enumerate(hostile.mutants(data, others, chance, count)):
            yield f"{name} {number}", mutant
    yield from hostile.nested().items()
    yield from hostile.picture_bombs().items()


def look(data: bytes, path: Path) -> int:
    """Read it as audio and as an image; returns how often it was accepted."""
    path.write_bytes(data)
    staged, taken = Staged(path, cid_of(data), len(data)), 0
    for read in (partial(read_audio, staged), partial(read_artwork, data)):
        try:
            read()
            taken += 1
        except RefusedMediaError:
            pass
    return taken


def main(count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    tried = taken = 0
    slowest = (0.0, "")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in corpus(count, seed):
            began = time.process_time()
            try:
                taken += look(data, Path(folder) / "file")
            except Exception as error:
                raise AssertionError(f"{name} of seed {seed}") from error
            slowest = max(slowest, (time.process_time() - began, name))
            tried += 1
    sys.stdout.write(json.dumps({"tried": tried, "taken": taken, "peak": _peak(), "slowest": slowest}))


def _peak() -> int:
    """The peak memory of this process; getrusage would include its parent."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
