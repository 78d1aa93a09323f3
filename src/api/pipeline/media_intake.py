"""Inspects and stores uploaded files, in threads of its own, so that no other request waits for this slow work."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Final, ParamSpec

from fastapi import Depends, Request

from aggregates.values import Artwork, Audio
from api.services import MediaThreads
from eventstore.coordination.turns import Turns
from storage.artwork import PreparedArtwork, read_artwork
from storage.audio import read_audio
from storage.derived.renditions import keep_artwork
from storage.errors import StoreUnavailableError
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.store import store_seconds
from storage.upload import Staged

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

    async def read_artwork(self, did: str, staged: Staged) -> PreparedArtwork:
        async with self._images.of(did):
            return await self._threads.images.run(read_artwork, staged)

    async def keep_audio(self, staged: Staged, audio: Audio) -> None:
        await self._store(audio.size, self._add_file, staged, audio)

    async def keep_artwork(self, prepared: PreparedArtwork) -> Artwork:
        """Store the cover and its renditions."""
        await self._store(prepared.size, keep_artwork, self._media, prepared)
        return prepared.artwork

    async def publish(self, publisher: Publisher, audio: Audio) -> Reservation:
        """Make the public copy of stored audio."""
        return await self._threads.public_copies.run(
            publisher.reserve, audio.cid, audio.file_type, audio.mime
        )

    def _add_file(self, staged: Staged, audio: Audio) -> None:
        with staged.open() as file:
            self._media.add(audio.cid, file, audio.size, audio.mime)

    async def _store(self, size: int, add: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Raises StoreUnavailableError where the store takes too long; the sweep deletes what it stores later."""
        try:
            async with asyncio.timeout(MAX_INTAKE_WAIT_SECONDS + store_seconds(size)):
                await self._threads.writes.run(add, *args, **kwargs)
        except TimeoutError:
            raise StoreUnavailableError("it did not take the bytes in time") from None


async def media_intake(request: Request) -> MediaIntake:
    intake: MediaIntake = request.app.state.media_intake
    return intake


Intake = Annotated[MediaIntake, Depends(media_intake)]
