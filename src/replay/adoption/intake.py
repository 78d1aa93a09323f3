"""Brings the bytes that a record names into storage, before the unit of work that makes its track."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from aggregates.values import Artwork, Audio
from eventstore.coordination.threads import Threads
from replay.adoption.bytes import ProvenBytes, Wanted
from replay.adoption.progress import Problem, problem_of
from replay.adoption.record import AdoptableRecord
from replay.errors import BytesUnavailableError
from storage.artwork import MAX_BYTES as MAX_IMAGE_BYTES
from storage.artwork import read_artwork
from storage.audio import read_audio
from storage.derived.renditions import keep_artwork
from storage.errors import RefusedMediaError, StoreUnavailableError, TakenDownError
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.store import store_seconds
from storage.upload import Staged

P = ParamSpec("P")
T = TypeVar("T")

BLOB_MISSING: Final = "the PDS lacks the blob; the bytes came from the address"


@dataclass(frozen=True)
class Intake:
    """Fetches audio and artwork of records, and stores them; `publisher` is None where the store has no public copies."""

    bytes: ProvenBytes
    media: Media
    publisher: Publisher | None
    threads: Threads
    """For the database."""
    store_threads: Threads
    """For files and the media store, which may hang."""
    max_audio_bytes: int

    async def audio(self, host: str, record: AdoptableRecord) -> tuple[Audio, list[Problem]]:
        """Store the audio; raises BytesUnavailableError or PdsTroubleError."""
        key, limit = record.key, self.max_audio_bytes
        wanted = Wanted(key.did, host, record.audio_blob, record.audio_url, limit)
        with await self.bytes.fetch(wanted) as staged:
            audio = await self._store(staged.size, self._store_audio, staged)
        if record.audio_cid in {None, audio.cid}:
            return record.completed(audio), []
        return record.completed(audio), [problem_of(key, "blob_missing", BLOB_MISSING, adopted=True)]

    async def artwork(self, host: str, record: AdoptableRecord) -> tuple[Artwork | None, list[Problem]]:
        """Store the cover. Without its bytes a track has none, and its record keeps the address that it names.

        Raises PdsTroubleError: another attempt may get the bytes.
        """
        key = record.key
        if record.image_blob is None and record.image_url is None:
            return None, []
        wanted = Wanted(key.did, host, record.image_blob, record.image_url, MAX_IMAGE_BYTES)
        try:
            with await self.bytes.fetch(wanted) as staged:
                prepared = await self.store_threads.run(read_artwork, staged)
            await self._store(prepared.size, keep_artwork, self.media, prepared)
        except (BytesUnavailableError, RefusedMediaError) as error:
            return None, [problem_of(key, "artwork_unavailable", str(error), adopted=True)]
        return prepared.artwork, []

    @asynccontextmanager
    async def public_copy(self, audio: Audio, record: AdoptableRecord) -> AsyncGenerator[Reservation | None]:
        """Publish the audio before a track names it, unless it is gated; an error in the block releases the copy."""
        publisher = self.publisher
        if publisher is None or record.fields["support_gate"] is not None:
            yield None
            return
        reservation = await self.store_threads.run(publisher.reserve, audio.cid, audio.file_type, audio.mime)
        try:
            yield reservation
        except BaseException:
            await self.threads.run(publisher.cancel, reservation)
            raise

    async def _store(self, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Store bytes in time; raises StoreUnavailableError, since another attempt may succeed."""
        try:
            async with asyncio.timeout(store_seconds(size)) as limit:
                return await self.store_threads.run(work, *args, **kwargs)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreUnavailableError("it did not take the bytes in time") from None

    def _store_audio(self, staged: Staged) -> Audio:
        try:
            audio = read_audio(staged)
        except RefusedMediaError as error:
            raise BytesUnavailableError("invalid_media", str(error)) from None
        try:
            with staged.open() as file:
                self.media.add(audio.cid, file, audio.size, audio.mime)
        except TakenDownError as error:
            raise BytesUnavailableError("taken_down", str(error)) from None
        return audio
