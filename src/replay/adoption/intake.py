"""Brings the bytes that a record names into storage, before the unit of work that makes its track.

They come from the account's own PDS, which proves a blob, or from an address. One of our own addresses proves nothing, since any
record may name it: its bytes are taken only where the account already has them here.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from aggregates.tracks.track import Track
from aggregates.values import Artwork, Audio
from eventstore.coordination.threads import Threads
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.resolution.address_policy import origin_of
from outbox.pds.client import RecordKey, Remote
from outbox.record.dag_cbor import Record
from outbox.record.kind import RecordKind
from projections.media_references import was_named_by
from replay.adoption.adopt import Adoptee
from replay.adoption.fetcher import Fetcher, OthersAddresses, named
from replay.adoption.record import AdoptableRecord, Problem, problem_of, read_record
from replay.errors import BytesUnavailableError, PdsTroubleError
from storage.artwork import MAX_BYTES as MAX_IMAGE_BYTES
from storage.derived.renditions import keep_artwork
from storage.errors import BytesMissingError, MediaGoneError, RefusedMediaError, TakenDownError
from storage.media import Media, Reserved
from storage.parsers import Parsers
from storage.public.copies import Reservation
from storage.public.publisher import Publisher
from storage.stores.store import in_time
from storage.uploads.upload import Staged, staged_copy

RECORD_TIMEOUT_SECONDS: Final = 900.0
"""For the bytes of one record, from all places that it names."""


@dataclass(frozen=True)
class Intake:
    """Adopts records of tracks, with their audio and artwork; `publisher` is None where the store has no public copies."""

    kind: RecordKind
    fetcher: Fetcher
    others: OthersAddresses
    media: Media
    parsers: Parsers
    publisher: Publisher | None
    threads: Threads
    """For the database."""
    store_threads: Threads
    """For files and the media store, which may hang."""
    max_audio_bytes: int

    def read(self, key: RecordKey, remote: Remote) -> AdoptableRecord:
        return read_record(key, remote, self.kind)

    @asynccontextmanager
    async def brought(self, host: str, record: AdoptableRecord) -> AsyncGenerator[Adoptee]:
        """Store the record's audio and cover, and publish the audio; until the end of the block its public copy stays."""
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_SECONDS):
                audio, audio_problems = await self.audio(host, record)
                artwork, artwork_problems = await self.artwork(host, record)
        except TimeoutError:
            reason = f"its audio and cover did not come within {RECORD_TIMEOUT_SECONDS:.0f} seconds"
            raise BytesUnavailableError("too_slow", reason) from None
        image_url = record.image_url if artwork is None else None
        cids = [audio.cid, *(artwork.cids if artwork is not None else ())]

        def track(unit: UnitOfWork) -> Track:
            track_id = next_subject_id(unit.connection, record.key.did)
            return record.adopted(track_id, audio, unit.now, artwork=artwork, image_url=image_url)

        reserved = Reserved(self.media)
        async with self.public_copy(audio, record) as reservation:
            await self.threads.run(reserved.reserve, cids)

            def keep(unit: UnitOfWork) -> None:
                reserved.require(cids, unit.now)
                if reservation is not None and self.publisher is not None:
                    self.publisher.require_kept(unit.connection, reservation)

            yield Adoptee(track, keep, (*artwork_problems, *audio_problems))

    async def audio(self, host: str, record: AdoptableRecord) -> tuple[Audio, list[Problem]]:
        fetched = self._fetched(
            host, record.key.did, record.audio_blob, record.audio_url, self.max_audio_bytes
        )
        with await fetched as staged:
            try:
                audio = await self.parsers.audio(staged)
            except RefusedMediaError as error:
                raise BytesUnavailableError("invalid_media", str(error)) from None
            await in_time(self.store_threads, staged.size, self._store_audio, staged, audio)
        if record.audio_cid in {None, audio.cid}:
            return record.completed(audio), []
        lacks = "the PDS lacks the blob; the bytes came from the address"
        return record.completed(audio), [problem_of(record.key, "blob_missing", lacks, adopted=True)]

    async def artwork(self, host: str, record: AdoptableRecord) -> tuple[Artwork | None, list[Problem]]:
        """Store the cover. Without its bytes a track has none, and its record keeps the address that it names.

        Raises PdsTroubleError: another attempt may get the bytes.
        """
        key = record.key
        if record.image_blob is None and record.image_url is None:
            return None, []
        try:
            fetched = self._fetched(host, key.did, record.image_blob, record.image_url, MAX_IMAGE_BYTES)
            with await fetched as staged:
                prepared = await self.parsers.artwork(staged)
            await in_time(self.store_threads, prepared.size, keep_artwork, self.media, prepared)
        except (BytesUnavailableError, RefusedMediaError) as error:
            return None, [problem_of(key, "artwork_unavailable", str(error), adopted=True)]
        return prepared.artwork, []

    @asynccontextmanager
    async def public_copy(self, audio: Audio, record: AdoptableRecord) -> AsyncGenerator[Reservation | None]:
        """Publish the audio before a track names it, unless it is gated; after the block the copy stays if one does."""
        publisher = self.publisher
        if publisher is None or record.fields["support_gate"] is not None:
            yield None
            return
        reservation = await self.store_threads.run(publisher.reserve, audio.cid, audio.file_type, audio.mime)
        try:
            yield reservation
        finally:
            await self.threads.run(publisher.release, reservation)

    async def _fetched(self, host: str, did: str, blob: Record | None, url: str | None, limit: int) -> Staged:
        """Return the blob's bytes, or those at the URL.

        While the PDS only fails to answer, bytes at the URL count only if they have the blob's CID.
        """
        if blob is None:
            return await self._at_address(did, url, limit)
        cid = blob["ref"]["$link"]
        try:
            return await self.fetcher.blob(host, did, cid, limit, size=blob["size"])
        except (BytesUnavailableError, PdsTroubleError) as of_pds:
            if url is None:
                raise
            error = of_pds
        try:
            staged = await self._at_address(did, url, limit)
        except BytesUnavailableError as too:
            if isinstance(error, PdsTroubleError):
                raise error from None
            raise BytesUnavailableError(too.code, f"{error}; {too}") from None
        if isinstance(error, PdsTroubleError) and staged.cid != cid:
            staged.close()
            raise error
        return staged

    async def _at_address(self, did: str, url: str | None, limit: int) -> Staged:
        if url is None:
            raise BytesUnavailableError("nowhere", "the record names neither a blob nor an audio URL")
        try:
            if origin_of(url) not in self.others.ours:
                return await self.fetcher.staged(url, limit, self.others)
        except UnsafeAddressError as error:
            raise BytesUnavailableError("unsafe_address", str(error)) from None
        except (FetchRefusedError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            reason = f"fetching the audio URL failed: {named(error)}"
            raise BytesUnavailableError("not_fetched", reason) from None
        return await self.store_threads.run(self._own, did, url, limit)

    def _own(self, did: str, url: str, limit: int) -> Staged:
        cid = urlsplit(url).path.rpartition("/")[2].partition(".")[0]
        with self.media.database.read() as connection:
            if not was_named_by(connection, did, cid):
                raise BytesUnavailableError(
                    "not_owned", "the address is ours, but the bytes are not this account's"
                )
        try:
            return staged_copy(self.media.read(cid), self.fetcher.folder, limit)
        except (MediaGoneError, BytesMissingError):
            raise BytesUnavailableError("gone", "the audio URL is ours, and the bytes are gone") from None

    def _store_audio(self, staged: Staged, audio: Audio) -> None:
        try:
            with staged.open() as file:
                self.media.add(audio.cid, file, audio.size, audio.mime)
        except TakenDownError as error:
            raise BytesUnavailableError("taken_down", str(error)) from None
