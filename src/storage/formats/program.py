"""A program of its own: reads one file after the other, each of which may be hostile, and says what it found.

Its limits only end this process. The service imports neither it nor the parsers beside it.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from storage.artwork import RENDITION_SIZES, PreparedArtwork
from storage.errors import InvalidMediaError, RefusedMediaError
from storage.formats.artwork import read_artwork, read_renditions
from storage.formats.audio import read_audio, read_tags
from storage.formats.peaks import read_peaks
from storage.uploads.upload import Staged

MAX_MEMORY_BYTES: Final = 2**30
MAX_OPEN_FILES: Final = 64
BACKGROUND_NICENESS: Final = 10
MAX_PROBLEM_LENGTH: Final = 500

Answer = tuple[Any, list[bytes]]
"""What JSON can say of the file, and the bytes that were made of it."""


def main() -> None:
    """Answer each line of the input, a job, with a line of JSON and the bytes that it announces, until the input ends."""
    _limit()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        _limit_job(**job["limits"])
        file = job["file"]
        staged = Staged(Path(file["path"]), file["cid"], file["size"])
        found, made, refusal = None, list[bytes](), None
        try:
            found, made = WORK[job["work"]](staged, **job["of"])
        except RefusedMediaError as error:
            refusal = type(error).__name__, error.detail
        except Exception as error:  # noqa: BLE001 - a hostile file may make a parser raise anything
            refusal = InvalidMediaError.__name__, f"{type(error).__name__}: {error}"[:MAX_PROBLEM_LENGTH]
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        said = json.dumps({"found": found, "refusal": refusal, "made": list(map(len, made))})
        sys.stdout.buffer.writelines([said.encode(), b"\n", *made])
        sys.stdout.buffer.flush()


def _limit() -> None:
    for what, limit in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_NOFILE, MAX_OPEN_FILES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # of a group: its parent goes on until no upload is under way
        signal.signal(number, signal.SIG_IGN)


def _limit_job(*, cpu_seconds: float, wall_seconds: float, memory_bytes: int, is_background: bool) -> None:
    """Set limits whose signals end this process, even where its parent was killed."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, MAX_MEMORY_BYTES))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, wall_seconds)
    if is_background:
        os.nice(BACKGROUND_NICENESS)


def _audio(staged: Staged) -> Answer:
    return read_audio(staged), []


def _tags(staged: Staged, *, kind: str) -> Answer:
    said, cover = read_tags(staged, kind)
    return (said, cover is not None), []


def _cover(staged: Staged, *, kind: str) -> Answer:
    _, cover = read_tags(staged, kind)
    return _prepared(read_artwork(cover or b""))


def _artwork(staged: Staged) -> Answer:
    return _prepared(read_artwork(staged.path.read_bytes()))


def _renditions(staged: Staged) -> Answer:
    return None, _by_size(read_renditions(staged.path.read_bytes()))


def _waveform(staged: Staged) -> Answer:
    return read_peaks(staged.path), []


def _prepared(made: PreparedArtwork) -> Answer:
    return made.artwork.mime, [made.data, *_by_size(made.renditions)]


def _by_size(renditions: Mapping[int, bytes]) -> list[bytes]:
    return [renditions[size] for size in RENDITION_SIZES]


WORK: Final[Mapping[str, Callable[..., Answer]]] = {
    "audio": _audio,
    "tags": _tags,
    "cover": _cover,
    "artwork": _artwork,
    "renditions": _renditions,
    "waveform": _waveform,
}

if __name__ == "__main__":
    main()
