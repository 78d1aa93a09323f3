"""Looking at files and storing them: slow work, with threads of its own so that no other request waits for one."""

import io
from collections.abc import Callable
from typing import Final, TypeVar

import anyio
import anyio.to_thread

from aggregates.values import Artwork, Audio
from storage.artwork import PreparedArtwork, read_artwork
from storage.audio import read_audio
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.upload import Staged

T = TypeVar("T")

IMAGES_AT_ONCE: Final = 2
FILES_AT_ONCE: Final = 8


class MediaWork:
    """Checks come first and store nothing; `keep_...` stores what a command is about to name."""

    def __init__(self, media: Media) -> None:
        self._media = media
        self._images = anyio.CapacityLimiter(IMAGES_AT_ONCE)
        self._files = anyio.CapacityLimiter(FILES_AT_ONCE)

    async def read_audio(self, staged: Staged) -> Audio:
        """Say what the file is, or refuse it."""
        return await self._in_thread(self._files, lambda: read_audio(staged))

    async def read_artwork(self, staged: Staged) -> PreparedArtwork:
        """Make of the image what we keep, or refuse it."""
        return await self._in_thread(self._images, lambda: read_artwork(staged))

    async def keep_audio(self, staged: Staged, audio: Audio) -> None:
        """Store the sound."""
        await self._in_thread(self._files, lambda: self._add_file(staged, audio))

    async def keep_artwork(self, prepared: PreparedArtwork) -> Artwork:
        """Store the cover and its thumbnail."""
        await self._in_thread(self._files, lambda: self._add_images(prepared))
        return prepared.artwork

    async def publish(self, publisher: Publisher, audio: Audio) -> Reservation:
        """Have a public copy of stored sound."""
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
