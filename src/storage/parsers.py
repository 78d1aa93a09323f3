"""Reads files of strangers in a few child processes: a file may make its parser hang, crash or take all memory, so none is loaded here.

1. The caller waits for a turn. Each account has one for its requests, so that its files hold up no other's.
2. A child reads the file; a thread waits for its answer.
3. A child that reached a limit is gone, and its file is refused. The next file gets another child.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Final, cast

from aggregates.values import Audio
from eventstore.coordination.threads import Threads, Turns
from eventstore.errors import ThreadsBusyError
from eventstore.untrusted import clean, parsed
from storage.artwork import MAX_BYTES, RENDITION_SIZES, PreparedArtwork
from storage.derived.waveforms import Waveform
from storage.errors import (
    InvalidMediaError,
    ParserEndedError,
    RefusedMediaError,
    StorageError,
    TooLargeError,
    UnsupportedMediaError,
)
from storage.uploads.upload import Staged

MIME: Final = {
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "aiff": "audio/aiff",
    "webm": "audio/webm",
}


@dataclass(frozen=True)
class Limits:
    """Of the reading of one file; a child that works in the background lets all others go first, and reads no other file."""

    cpu_seconds: float
    wall_seconds: float = 30.0
    memory_bytes: int = 2**30
    is_background: bool = False


LIMITS: Final[dict[str, Limits]] = {
    "audio": Limits(1.0, memory_bytes=2**28),
    "tags": Limits(1.0, memory_bytes=2**28),
    "cover": Limits(4.5),
    "artwork": Limits(4.5),
    "renditions": Limits(4.5),
    "waveform": Limits(60.0, 240.0, is_background=True),
}
"""Audio and its tags take milliseconds; forty megapixels 650 MB and 4 s of CPU as WebP; four and a half hours of sound half a minute."""
MAX_OF_AN_ACCOUNT: Final = 1
MAX_OF_REQUESTS: Final = 2
MAX_CONCURRENT_FILES: Final = MAX_OF_REQUESTS + 2
"""Beside those of requests, a waveform and another one of a job."""
MAX_WAIT_SECONDS: Final = 30.0
"""For a request's turn."""
MAX_SAID_BYTES: Final = 64 * 1024
MAX_MADE_BYTES: Final = 64 * 2**20
SLOW_SECONDS: Final = 60.0
"""So long after a file that took too long its account shares one turn with all such accounts: they leave the others to the rest."""
_SLOW: Final = "slow"
_GRACE_SECONDS: Final = 5.0
"""A child ends by itself before."""

PROGRAM: Final = (sys.executable, "-P", "-B", "-m", "storage.formats.program")
_REFUSALS: Final = {each.__name__: each for each in (InvalidMediaError, UnsupportedMediaError)}
_OUT_OF_TIME: Final = (-signal.SIGPROF, -signal.SIGALRM)
_TOO_LONG: Final = "it takes too long to read"
Answer = tuple[Any, list[bytes]]


class Child:
    """A process that reads one file after the other."""

    def __init__(self, program: Sequence[str]) -> None:
        self._process: Final = subprocess.Popen(  # noqa: S603 - the program is ours
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        self._asked: Final = cast("IO[bytes]", self._process.stdin)
        self._answered: Final = cast("IO[bytes]", self._process.stdout)

    def read(self, work: str, staged: Staged, of: Mapping[str, Any]) -> Answer:
        """Return what it says of a file and the bytes that it made; raises a RefusedMediaError or ParserEndedError."""
        limits = LIMITS[work]
        file = {"path": str(staged.path), "cid": staged.cid, "size": staged.size}
        job = {"work": work, "limits": asdict(limits), "file": file, "of": of}
        timer = threading.Timer(limits.wall_seconds + _GRACE_SECONDS, self._process.kill)
        timer.start()
        try:
            with suppress(BrokenPipeError):  # it has ended, and its status tells why
                self._asked.write(json.dumps(job).encode() + b"\n")
                self._asked.flush()
            return self._answer()
        finally:
            timer.cancel()

    def _answer(self) -> Answer:
        try:
            said: Any = parsed(self._answered.readline(MAX_SAID_BYTES))
            found, refusal, sizes = said["found"], said["refusal"], said["made"]
            if refusal is not None:
                raise _REFUSALS[refusal[0]](clean(refusal[1]))
            is_little = min(sizes, default=0) >= 0 and sum(sizes) <= MAX_MADE_BYTES
            made = [self._answered.read(size) for size in sizes] if is_little else []
        except (ValueError, TypeError, LookupError):
            raise self._ended() from None
        if [*map(len, made)] != sizes:
            raise self._ended()
        return found, made

    def _ended(self) -> StorageError:
        """Tell why there is no answer."""
        status = self.end()
        if status in _OUT_OF_TIME:
            return InvalidMediaError(_TOO_LONG)
        if status < 0 and status != -signal.SIGKILL:
            return InvalidMediaError("its parser crashes")
        return ParserEndedError()

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> int:
        """Return the status with which it ended, if it did so by itself."""
        self._process.kill()
        for pipe in (self._asked, self._answered):
            with suppress(OSError):  # what was not written is of no use
                pipe.close()
        return self._process.wait()


def _environment() -> dict[str, str]:
    """Return no variable of ours: the program reads hostile files."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **threads}


_IDLE: Final[list[Child]] = []
"""Of all Parsers in this process; each child ends when its input does, which is at the end of this process."""


class Parsers:
    """Each method raises a RefusedMediaError, or ParserEndedError where the file is not to blame."""

    def __init__(self, program: Sequence[str] = PROGRAM, idle: list[Child] = _IDLE) -> None:
        self.program = program
        self.idle = idle
        self._working: Final[set[Child]] = set()
        self._requests: Final = Turns(MAX_OF_AN_ACCOUNT, MAX_OF_REQUESTS)
        self._jobs: Final = Turns(1)
        self._slow_until: dict[str, float] = {}
        self._threads: Final = Threads("parsers", MAX_CONCURRENT_FILES)

    async def audio(self, staged: Staged, did: str | None = None) -> Audio:
        """Describe the file; `did` is the account whose request it is, None for a job."""
        (kind, duration), _ = await self._read("audio", staged, did)
        return Audio(staged.cid, staged.size, MIME[kind], kind, duration)

    async def tags(
        self, staged: Staged, kind: str, did: str | None = None
    ) -> tuple[dict[str, Any], PreparedArtwork | None]:
        """Return what the tags of a file that `audio` has described say, and their cover; what cannot be read says nothing."""
        said, cover = dict[str, Any](), None
        with suppress(RefusedMediaError):
            (said, has_cover), _ = await self._read("tags", staged, did, kind=kind)
            if has_cover:
                cover = _artwork(*await self._read("cover", staged, did, kind=kind))
        return said, cover

    async def artwork(self, staged: Staged, did: str | None = None) -> PreparedArtwork:
        if staged.size > MAX_BYTES:
            raise TooLargeError(MAX_BYTES)
        return _artwork(*await self._read("artwork", staged, did))

    async def renditions(self, cover: Staged) -> Mapping[int, bytes]:
        _, made = await self._read("renditions", cover, None)
        return dict(zip(RENDITION_SIZES, made, strict=True))

    async def waveform(self, staged: Staged) -> Waveform:
        said, _ = await self._read("waveform", staged, None)
        return Waveform(bytes.fromhex(said["peaks"]), said["duration"], said["loudness"])

    def close(self) -> None:
        """End the children that work, so that their threads end."""
        for child in self._working.copy():
            child.kill()

    async def _read(self, work: str, staged: Staged, did: str | None, **of: Any) -> Answer:
        if did is None:
            async with self._jobs.of("waveforms" if LIMITS[work].is_background else "others"):
                return await self._threads.run(self._read_in_child, work, staged, of)
        async with AsyncExitStack() as held:
            turn = _SLOW if self._slow_until.get(did, 0.0) > time.monotonic() else did
            try:
                async with asyncio.timeout(MAX_WAIT_SECONDS):
                    await held.enter_async_context(self._requests.of(turn))
            except TimeoutError:
                raise ThreadsBusyError(self._threads.name) from None
            try:
                return await self._threads.run(self._read_in_child, work, staged, of)
            except InvalidMediaError as error:
                if error.detail == _TOO_LONG:
                    self._record_slow(did)
                raise

    def _record_slow(self, did: str) -> None:
        now = time.monotonic()
        self._slow_until = {each: until for each, until in self._slow_until.items() if until > now}
        self._slow_until[did] = now + SLOW_SECONDS

    def _read_in_child(self, work: str, staged: Staged, of: Mapping[str, Any]) -> Answer:
        child = self._child()
        self._working.add(child)
        try:
            return child.read(work, staged, of)
        finally:
            self._working.discard(child)
            if child.is_alive() and not LIMITS[work].is_background:
                self.idle.append(child)
            else:
                child.end()

    def _child(self) -> Child:
        with suppress(IndexError):
            while not (child := self.idle.pop()).is_alive():
                child.end()
            return child
        return Child(self.program)


def _artwork(mime: str, made: Sequence[bytes]) -> PreparedArtwork:
    cover, *renditions = made
    return PreparedArtwork.of(mime, cover, dict(zip(RENDITION_SIZES, renditions, strict=True)))
