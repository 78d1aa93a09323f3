"""Inspects, stores and publishes uploaded files, in threads of its own, so that no other request waits for this slow work."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec

from starlette.concurrency import run_in_threadpool

from aggregates.values import Artwork, Audio
from api.services import MediaThreads
from eventstore.coordination.threads import Turns
from eventstore.unit_of_work import UnitOfWork
from storage.derived.renditions import keep_artwork
from storage.errors import StoreUnavailableError
from storage.formats.artwork import PreparedArtwork, read_artwork
from storage.formats.audio import read_audio, read_tags
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.stores.store import in_time, store_seconds
from storage.uploads.staged_uploads import Upload, append_part, received_bytes
from storage.uploads.upload import Staged, staged_copy

P = ParamSpec("P")

MAX_CONCURRENT_IMAGES: Final = 2
MAX_IMAGES_OF_AN_ACCOUNT: Final = 1
MAX_CONCURRENT_FILES: Final = 8
MAX_CONCURRENT_COPIES: Final = 8
MAX_INTAKE_WAIT_SECONDS: Final = 30.0
"""For a thread, before the upload is refused."""


class MediaIntake:
    """`read_...` checks a file and stores nothing; `keep_...` stores what a command is about to name."""

    def __init__(self, media: Media, threads: MediaThreads) -> None:
        self._media = media
        self._threads = threads
        self._images = Turns(MAX_IMAGES_OF_AN_ACCOUNT)

    async def read_audio(self, staged: Staged) -> Audio:
        return await self._threads.writes.run(read_audio, staged)

    async def read_tags(self, staged: Staged, audio: Audio) -> tuple[dict[str, Any], bytes | None]:
        return await self._threads.writes.run(read_tags, staged, audio.file_type)

    async def whole(self, upload: Upload, folder: Path) -> Staged:
        """Put the parts of an upload together in a file, which the caller has to close."""
        parts, size = received_bytes(self._media, upload), upload.received
        return await in_time(self._threads.writes, size, staged_copy, parts, folder, size)

    async def keep_part(self, upload: Upload, offset: int, staged: Staged) -> Upload:
        return await in_time(
            self._threads.writes, staged.size, append_part, self._media, upload, offset, staged
        )

    async def read_artwork(self, did: str, staged: bytes | Staged) -> PreparedArtwork:
        async with self._images.of(did):
            return await self._threads.images.run(read_artwork, staged)

    async def keep_audio(self, staged: Staged, audio: Audio) -> None:
        def add() -> None:
            with staged.open() as file:
                self._media.add(audio.cid, file, audio.size, audio.mime)

        await self._store(audio.size, add)

    async def keep_artwork(self, prepared: PreparedArtwork) -> Artwork:
        await self._store(prepared.size, keep_artwork, self._media, prepared)
        return prepared.artwork

    async def _store(self, size: int, add: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises StoreUnavailableError where the store takes too long; the sweep deletes what it stores later."""
        try:
            async with asyncio.timeout(MAX_INTAKE_WAIT_SECONDS + store_seconds(size)):
                await self._threads.writes.run(add, *args, **kwargs)
        except TimeoutError:
            raise StoreUnavailableError("it did not take the bytes in time") from None


class PublicCopy:
    """At most one copy, none without a publisher: it stays if a track has it in the end."""

    def __init__(self, publisher: Publisher | None, threads: MediaThreads) -> None:
        self._publisher: Final = publisher
        self._threads: Final = threads.public_copies
        self._reservation: Reservation | None = None

    async def make(self, audio: Audio) -> None:
        """Copy stored audio; raises StoreUnavailableError, before anything names the copy."""
        if self._publisher is not None:
            reserve = self._publisher.reserve
            self._reservation = await self._threads.run(reserve, audio.cid, audio.file_type, audio.mime)

    def require_kept(self, unit: UnitOfWork) -> None:
        """Raise StoreUnavailableError in the unit that runs the command, unless the copy is there until its commit."""
        if self._publisher is not None and self._reservation is not None:
            self._publisher.require_kept(unit.connection, self._reservation)

    async def aclose(self) -> None:
        if self._publisher is not None and self._reservation is not None:
            await run_in_threadpool(self._publisher.release, self._reservation)
