"""Inspects, stores and publishes uploaded files, in threads of its own, so that no other request waits for this slow work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec

from starlette.concurrency import run_in_threadpool

from aggregates.values import Artwork, Audio
from api.services import MediaThreads, Services
from eventstore.unit_of_work import UnitOfWork
from storage.artwork import PreparedArtwork
from storage.derived.renditions import keep_artwork
from storage.public.copies import Reservation
from storage.public.publisher import RESERVE_TIMEOUT, Publisher
from storage.stores.store import store_seconds
from storage.uploads.staged_uploads import Upload, append_part, received_bytes
from storage.uploads.upload import Staged, staged_copy

P = ParamSpec("P")

MAX_CONCURRENT_FILES: Final = 8
MAX_CONCURRENT_COPIES: Final = 8
MAX_INTAKE_WAIT_SECONDS: Final = 30.0
"""For a thread, before the upload is refused."""


class MediaIntake:
    """`read_...` checks a file and stores nothing; `keep_...` stores what a command is about to name."""

    def __init__(self, services: Services) -> None:
        self._media = services.media
        self._parsers = services.parsers
        self._threads = services.media_threads

    async def read_audio(self, did: str, staged: Staged) -> Audio:
        return await self._parsers.audio(staged, did)

    async def read_tags(
        self, did: str, staged: Staged, audio: Audio
    ) -> tuple[dict[str, Any], PreparedArtwork | None]:
        return await self._parsers.tags(staged, audio.file_type, did)

    async def read_artwork(self, did: str, staged: Staged) -> PreparedArtwork:
        return await self._parsers.artwork(staged, did)

    async def whole(self, upload: Upload, folder: Path) -> Staged:
        """Put the parts of an upload together in a file, which the caller has to close."""
        parts, size = received_bytes(self._media, upload), upload.received
        return await self._threads.writes.run(store_seconds(size), staged_copy, parts, folder, size)

    async def keep_part(self, upload: Upload, offset: int, staged: Staged) -> Upload:
        seconds = store_seconds(staged.size)
        return await self._threads.writes.run(seconds, append_part, self._media, upload, offset, staged)

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
        seconds = MAX_INTAKE_WAIT_SECONDS + store_seconds(size)
        await self._threads.writes.run(seconds, add, *args, **kwargs)


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
            seconds = MAX_INTAKE_WAIT_SECONDS + RESERVE_TIMEOUT.total_seconds() + store_seconds(audio.size)
            self._reservation = await self._threads.run(
                seconds, reserve, audio.cid, audio.file_type, audio.mime
            )

    def require_kept(self, unit: UnitOfWork) -> None:
        """Raise StoreUnavailableError in the unit that runs the command, unless the copy is there until its commit."""
        if self._publisher is not None and self._reservation is not None:
            self._publisher.require_kept(unit.connection, self._reservation)

    async def aclose(self) -> None:
        if self._publisher is not None and self._reservation is not None:
            await run_in_threadpool(self._publisher.release, self._reservation)
