"""Reads stored media part by part: the store is connected, and a thread is taken, only while it reads one part.

So a client that reads slowly holds neither, and a store that hangs holds only the threads of these reads.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Annotated, Final, TypeVar
from weakref import WeakValueDictionary

from fastapi import Depends, Request

from api.auth.authentication import OptionalCaller
from api.middleware.rate_limits import address_of
from application.errors import MediaNotFoundError
from eventstore.coordination.threads import Threads
from eventstore.errors import ThreadsBusyError
from storage.errors import StoreUnavailableError
from storage.media import Media
from storage.store import CHUNK_BYTES

T = TypeVar("T")

PART_BYTES: Final = 1024 * 1024
MAX_CONCURRENT_READS: Final = 16
MAX_CONCURRENT_READS_OF_ONE_CALLER: Final = 4
MAX_READ_WAIT_SECONDS: Final = 5.0
"""For the caller's turn, and then for a thread."""
READ_TIMEOUT_SECONDS: Final = 30.0
"""For one part."""


class MediaReads:
    """The reads of all callers, of whom none can take all threads."""

    def __init__(self, media: Media, threads: Threads) -> None:
        self._media: Final = media
        self._threads: Final = threads
        self._turns: Final[WeakValueDictionary[str, asyncio.Semaphore]] = WeakValueDictionary()

    def of(self, caller: str) -> "CallerReads":
        """Return the reads of an account (a DID), or of an address."""
        if (turns := self._turns.get(caller)) is None:
            turns = self._turns[caller] = asyncio.Semaphore(MAX_CONCURRENT_READS_OF_ONE_CALLER)
        return CallerReads(self._media, self._threads, turns)


class CallerReads:
    """The reads of one caller, a few at a time."""

    def __init__(self, media: Media, threads: Threads, turns: asyncio.Semaphore) -> None:
        self._media: Final = media
        self._threads: Final = threads
        self._turns: Final = turns

    async def stream(
        self, key: str, start: int, end: int, is_refused: Callable[[], bool]
    ) -> AsyncGenerator[bytes]:
        """Read the first part now, so that missing bytes are an error and no broken stream; return all chunks.

        Before each further part `is_refused` is asked, in a thread: bytes that are taken down meanwhile are sent no more.
        Raises StorageError, and ThreadsBusyError where no thread is free in time.
        """
        first = await self._in_time(lambda: self._part(key, start, end))

        async def chunks() -> AsyncGenerator[bytes]:
            part, position = first, start
            while part:
                for begin in range(0, len(part), CHUNK_BYTES):
                    yield part[begin : begin + CHUNK_BYTES]
                position += len(part)
                part = await self._in_time(partial(self._next, key, position, end, is_refused))

        return chunks()

    async def is_stored(self, cid: str) -> bool:
        """Whether the store has all of these bytes."""
        return await self._in_time(lambda: self._has(cid))

    def _part(self, key: str, start: int, end: int) -> bytes:
        return b"".join(self._media.store.read(key, start, min(start + PART_BYTES, end)))

    def _next(self, key: str, start: int, end: int, is_refused: Callable[[], bool]) -> bytes:
        if start >= end:
            return b""
        if is_refused():
            raise MediaNotFoundError
        return self._part(key, start, end)

    def _has(self, cid: str) -> bool:
        found = self._media.find(cid)
        return found is not None and self._media.store.size(found.key) == found.size

    async def _in_time(self, work: Callable[[], T]) -> T:
        reading = asyncio.create_task(self._in_turn(work))
        # One that is given up keeps its caller's turn until its thread has returned.
        reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(2 * MAX_READ_WAIT_SECONDS + READ_TIMEOUT_SECONDS):
                return await asyncio.shield(reading)
        except TimeoutError:
            raise StoreUnavailableError("it did not return the bytes in time") from None

    async def _in_turn(self, work: Callable[[], T]) -> T:
        try:
            async with asyncio.timeout(MAX_READ_WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise ThreadsBusyError(self._threads.name) from None
        try:
            return await self._threads.run(work)
        finally:
            self._turns.release()


async def reads_of_caller(request: Request, caller: OptionalCaller) -> CallerReads:
    reads: MediaReads = request.app.state.media_reads
    return reads.of(caller.did if caller is not None else address_of(request))


Reads = Annotated[CallerReads, Depends(reads_of_caller)]
