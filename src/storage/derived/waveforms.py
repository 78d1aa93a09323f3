"""Waveforms of audio: a few hundred peaks of a byte each, computed in a process that may hang, crash or be killed."""

import asyncio
import json
import math
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from eventstore.streams.append import upsert
from eventstore.untrusted import clean
from storage.errors import InvalidMediaError

PROGRAM: Final = Path(__file__).with_name("peaks.py")
DECODED_FILE_TYPES: Final = ("wav", "flac", "ogg", "mp3", "aiff")
"""The others have no waveform."""
PEAKS_TIMEOUT_SECONDS: Final = 240.0
MAX_ANSWER_BYTES: Final = 64 * 1024
# No variable of ours: the program reads hostile files.
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

waveform = sa.Table(
    "waveform",
    metadata,
    sa.Column("cid", sa.Text, primary_key=True),
    sa.Column("peaks", sa.LargeBinary, nullable=False),
    sa.Column("duration", sa.Float, nullable=False),
    sa.Column("loudness", sa.Float),
)
measured: Final = sa.select(waveform.c.cid).where(waveform.c.loudness.is_not(None)).subquery()
"""Waveforms whose loudness was measured: older ones lack it, and are made again."""


class DecoderFailedError(Exception):
    """The decoder ended without an answer: it was killed, reached a limit, or crashed."""


@dataclass(frozen=True)
class Waveform:
    """The loudest moments of equal parts of the audio, 0 to 255, its duration in seconds, and its loudness in dB below full scale."""

    peaks: bytes
    duration: float
    loudness: float | None


async def read_waveform(path: Path, program: Path = PROGRAM) -> Waveform:
    """Decode a file in a process of its own; raises InvalidMediaError or DecoderFailedError."""
    process, decoder = await asyncio.get_running_loop().subprocess_exec(
        _Decoder,
        *(sys.executable, "-I", "-B", str(program), str(path)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    try:
        async with asyncio.timeout(PEAKS_TIMEOUT_SECONDS):
            await decoder.ended.wait()
    except TimeoutError:
        raise DecoderFailedError("the decoder did not end in time") from None
    finally:
        process.close()  # kills it, where it runs
        await decoder.ended.wait()
    if len(decoder.answer) > MAX_ANSWER_BYTES:
        raise DecoderFailedError("the decoder says too much")
    if (status := process.get_returncode()) == -signal.SIGXCPU:
        raise InvalidMediaError("it takes too long to decode")
    if status:
        raise DecoderFailedError(f"the decoder ended with {status}")
    try:
        said: Any = json.loads(decoder.answer)
        if "problem" in said:
            raise InvalidMediaError(clean(said["problem"]))
        peaks, numbers = bytes.fromhex(said["peaks"]), (float(said["duration"]), float(said["loudness"]))
    except (ValueError, TypeError, KeyError) as error:
        raise DecoderFailedError("the decoder's answer cannot be read") from error
    if not all(map(math.isfinite, numbers)):  # SQLite would store none, and it would be made again and again
        raise DecoderFailedError("the decoder's numbers are none")
    return Waveform(peaks, *numbers)


class _Decoder(asyncio.SubprocessProtocol):
    """Keeps what the decoder says, as long as it is little.

    asyncio's `Process.wait()` would not do: it returns only at the end of the pipe, and asyncio never reads to the end of a pipe
    that has too much in it.
    """

    def __init__(self) -> None:
        self.answer = b""
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._process = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:  # noqa: ARG002 - there is one pipe
        self.answer += data
        if len(self.answer) > MAX_ANSWER_BYTES:
            self._process.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the status tells it
        self.ended.set()


def keep_waveform(database: Database, cid: str, found: Waveform) -> None:
    with database.write() as connection:
        row = upsert(connection, waveform).values(cid=cid, **vars(found))
        connection.execute(row.on_conflict_do_update(index_elements=["cid"], set_=vars(found)))


def waveform_of(connection: sa.Connection, cid: str) -> Waveform | None:
    row = connection.execute(sa.select(waveform).where(waveform.c.cid == cid)).one_or_none()
    return None if row is None else Waveform(row.peaks, row.duration, row.loudness)
