"""Inspects and stores uploaded files, in threads of its own, so that no other request waits for this slow work."""

import io
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from aggregates.values import Artwork, Audio
from storage.artwork import PreparedArtwork, read_artwork
from storage.audio import read_audio
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.upload import Staged

T = TypeVar("T")

MAX_CONCURRENT_IMAGES: Final = 2
MAX_CONCURRENT_FILES: Final = 8


class MediaIntake:
    """`read_...` checks a file and stores nothing; `keep_...` stores what a command is about to name."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._images = anyio.CapacityLimiter(MAX_CONCURRENT_IMAGES)
        self._files = anyio.CapacityLimiter(MAX_CONCURRENT_FILES)

    async def read_audio(self, staged: Staged) -> Audio:
        return await self._in_thread(self._files, lambda: read_audio(staged))

    async def read_artwork(self, staged: Staged) -> PreparedArtwork:
        return await self._in_thread(self._images, lambda: read_artwork(staged))

    async def keep_audio(self, staged: Staged, audio: Audio) -> None:
        await self._in_thread(self._files, lambda: self._add_file(staged, audio))

    async def keep_artwork(self, prepared: PreparedArtwork) -> Artwork:
        """Store the cover and its thumbnail."""
        await self._in_thread(self._files, lambda: self._add_images(prepared))
        return prepared.artwork

    async def publish(self, publisher: Publisher, audio: Audio) -> Reservation:
        """Make the public copy of stored audio."""
        return await self._in_thread(
            self._files, lambda: publisher.reserve(audio.cid, audio.file_type, audio.mime)
        )

    def _add_file(self, staged: Staged, audio: Audio) -> None:
        with staged.open() as file:
            self._media.add(audio.cid, file, audio.size, audio.mime)

    def _add_images(self, prepared: PreparedArtwork) -> None:
        artwork, thumbnail = prepared.artwork, prepared.thumbnail
        self._media.add(artwork.cid, io.BytesIO(prepared.data), artwork.size, artwork.mime)
        self._media.add(artwork.thumbnail_cid, io.BytesIO(thumbnail), len(thumbnail), prepared.thumbnail_mime)

    async def _in_thread(self, limiter: anyio.CapacityLimiter, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=limiter)


def media_intake(request: Request) -> MediaIntake:
    intake: MediaIntake = request.app.state.media_intake
    return intake


Intake = Annotated[MediaIntake, Depends(media_intake)]
