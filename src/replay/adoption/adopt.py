"""Adopt: the records that an account's PDS holds already become tracks. Nothing is written to the PDS.

Each record is a unit of its own. What is ours already is passed over, so that a run that was cut off is simply run again.
"""

import asyncio
import io
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection

from aggregates.errors import InvalidFieldError
from aggregates.track import media_cids
from aggregates.values import Artwork, Audio
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.track_ids import next_track_id
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.adopted import acknowledge_as_found, known_records, set_lane_host
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.namespace_moves import is_taken
from outbox.pds.client import RecordKey, Remote
from outbox.record.lexicon import Lexicon
from outbox.record.record import RecordUrls
from outbox.repo.reads import RepoReads
from replay.adoption.bytes import ProvenBytes, Wanted
from replay.adoption.record import AdoptableRecord, read_record
from replay.errors import BytesUnavailableError, PdsBusyError, PdsTroubleError
from replay.reconcile.verify import Repo
from storage.artwork import MAX_BYTES as IMAGE_BYTES
from storage.artwork import read_artwork
from storage.audio import read_audio
from storage.errors import RefusedMediaError
from storage.media import Media
from storage.public.copies import Reservation
from storage.public.publisher import Publisher

AT_ONCE: Final = 4
"""Records of an account; of a PDS's requests others need some too."""
TROUBLE_IN_A_ROW: Final = 5
"""So many records that the PDS gives no bytes for, one after the other, end a run: it is the PDS and not they."""
MOST_PROBLEMS: Final = 500
"""Named in a report; all are counted."""

LACKS_BLOB: Final = "the PDS lacks the blob; the bytes came from the address"

Problem = dict[str, Any]
MayGoOn = Callable[[Connection], bool]
"""Whether the run is still the one that is wanted, asked in the unit of each record."""


@dataclass
class Progress:
    """How far a run is: of the records `found`, so many were known here before, taken over, or not."""

    found: int = 0
    known: int = 0
    adopted: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def seen(self) -> int:
        """Return how many records are finished."""
        return self.known + self.adopted + self.refused

    def note(self, problem: Problem) -> None:
        """Name what is wrong with a record, and with no more than may be named."""
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


@dataclass(frozen=True)
class Sources:
    """Where records and their bytes come from, and where bytes are kept."""

    reads: RepoReads
    bytes: ProvenBytes
    media: Media
    publisher: Publisher | None
    collections: tuple[str, ...]
    max_audio_bytes: int


class Adoption:
    """Takes over the records of one account after the other."""

    def __init__(self, log: EventLog, sources: Sources, urls: RecordUrls, lexicon: Lexicon) -> None:
        self._log = log
        self._from = sources
        self._urls = urls
        self._lexicon = lexicon

    async def run(
        self, repo: Repo, envelope: Envelope, tell: Callable[[Progress], None], may_go_on: MayGoOn
    ) -> Progress:
        """Take over what is not ours yet.

        Raises RemoteUnknownError or PdsTroubleError when the PDS does not tell, and LeaseLostError when it may not go on.
        """
        progress = Progress()
        new = await self._new_records(repo, progress)
        tell(progress)
        await _Run(self, repo, envelope, progress, tell, may_go_on).all_of(new)
        return progress

    async def look(self, repo: Repo) -> Progress:
        """Say what a run would find, without bytes; `adopted` is what it would try."""
        progress = Progress()
        for key, remote in await self._new_records(repo, progress):
            try:
                read_record(key, remote, self._urls, self._lexicon)
                progress.adopted += 1
            except InvalidFieldError as error:
                progress.refused += 1
                progress.note(_invalid(key, error))
        return progress

    async def _new_records(self, repo: Repo, progress: Progress) -> Sequence[tuple[RecordKey, Remote]]:
        known = await asyncio.to_thread(self._known, repo.did)
        new = []
        for collection in self._from.collections:
            async for rkey, remote in self._from.reads.records(repo.host, repo.did, collection):
                progress.found += 1
                if (collection, rkey) in known:
                    progress.known += 1
                else:
                    new.append((RecordKey(repo.did, collection, rkey), remote))
        return new

    def _known(self, did: str) -> set[tuple[str, str]]:
        with self._log.database.read() as connection:
            return known_records(connection, did)

    async def one(
        self, repo: Repo, key: RecordKey, remote: Remote, envelope: Envelope, may_go_on: MayGoOn
    ) -> tuple[bool, list[Problem]]:
        """Take one over: whether it is new here, and what of it could not be had."""
        found = read_record(key, remote, self._urls, self._lexicon)
        audio = await self._audio(repo, found)
        artwork, problems = await self._artwork(repo, found)
        if found.audio_cid not in {None, audio.cid}:
            problems.append(_problem(key, "blob_missing", LACKS_BLOB, adopted=True))
        async with self._public(audio, found) as held:

            def work(unit: UnitOfWork) -> bool:
                if not may_go_on(unit.connection):
                    raise LeaseLostError
                is_new = self._take_over(unit, repo, found, audio, artwork)
                if held is not None and self._from.publisher is not None:
                    self._from.publisher.release(unit.connection, held)
                return is_new

            is_new: bool = await asyncio.to_thread(lambda: self._log.transact(key.did, envelope, work))
            return is_new, problems

    def _take_over(
        self, unit: UnitOfWork, repo: Repo, found: AdoptableRecord, audio: Audio, artwork: Artwork | None
    ) -> bool:
        key = found.key
        if is_taken(unit.connection, key):
            return False  # another run was here
        track_id = next_track_id(unit.connection, key.did)
        elsewhere = found.image_url if artwork is None else None
        track = found.adopted(track_id, audio, unit.now, artwork=artwork, image_url=elsewhere)
        [change] = unit.save(track)
        acknowledge_as_found(unit.connection, key, change.position, (found.cid, found.body), unit.now)
        set_lane_host(unit.connection, key.did, repo.host)
        self._from.media.pin(unit.connection, list(media_cids(track)))
        return True

    async def _audio(self, repo: Repo, found: AdoptableRecord) -> Audio:
        """Have the audio here; raises BytesUnavailableError or PdsTroubleError."""
        limit = self._from.max_audio_bytes
        wanted = Wanted(repo.did, repo.host, found.audio_blob, found.audio_url, limit)
        with await self._from.bytes.fetch(wanted) as staged:
            try:
                audio = await asyncio.to_thread(read_audio, staged)
            except RefusedMediaError as error:
                raise BytesUnavailableError("invalid_media", str(error)) from None

            def keep() -> None:
                with staged.open() as file:
                    self._from.media.add(audio.cid, file, audio.size, audio.mime)

            await asyncio.to_thread(keep)
            return found.completed(audio)

    async def _artwork(self, repo: Repo, found: AdoptableRecord) -> tuple[Artwork | None, list[Problem]]:
        """Have the cover here. A track does without: its record then goes on to name the address that it names.

        Raises PdsTroubleError: what the PDS does not give just now it may give another time.
        """
        if found.image_blob is None and found.image_url is None:
            return None, []
        wanted = Wanted(repo.did, repo.host, found.image_blob, found.image_url, IMAGE_BYTES)
        try:
            with await self._from.bytes.fetch(wanted) as staged:
                prepared = await asyncio.to_thread(read_artwork, staged)
        except (BytesUnavailableError, RefusedMediaError) as error:
            return None, [_problem(found.key, "artwork_unavailable", str(error), adopted=True)]

        def keep() -> None:
            made = prepared.artwork
            self._from.media.add(made.cid, io.BytesIO(prepared.data), made.size, made.mime)
            thumbnail = prepared.thumbnail
            self._from.media.add(
                made.thumbnail_cid, io.BytesIO(thumbnail), len(thumbnail), prepared.thumbnail_mime
            )

        await asyncio.to_thread(keep)
        return prepared.artwork, []

    @asynccontextmanager
    async def _public(self, audio: Audio, found: AdoptableRecord) -> AsyncGenerator[Reservation | None]:
        """Have the public copy there before the track names it, where the store has such and the track may be heard."""
        publisher = self._from.publisher
        if publisher is None or found.fields["support_gate"] is not None:
            yield None
            return
        held = await asyncio.to_thread(publisher.reserve, audio.cid, audio.file_type, audio.mime)
        try:
            yield held
        except BaseException:
            await asyncio.to_thread(publisher.cancel, held)
            raise


@dataclass
class _Run:
    """One run over an account's new records, a few at once."""

    adoption: Adoption
    repo: Repo
    envelope: Envelope
    progress: Progress
    tell: Callable[[Progress], None]
    may_go_on: MayGoOn
    trouble: int = 0

    async def all_of(self, records: Sequence[tuple[RecordKey, Remote]]) -> None:
        """Take them over; the first error that is not a record's own ends all."""
        waiting = iter(records)

        async def some() -> None:
            for key, remote in waiting:
                await self._one(key, remote)
                self.tell(self.progress)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(some())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _one(self, key: RecordKey, remote: Remote) -> None:
        try:
            is_new, problems = await self.adoption.one(self.repo, key, remote, self.envelope, self.may_go_on)
        except InvalidFieldError as error:
            self._refuse(_invalid(key, error))
        except BytesUnavailableError as error:
            self._refuse(_without_bytes(key, error, error.code))
        except PdsTroubleError as error:
            self.trouble += 1
            if isinstance(error, PdsBusyError) or self.trouble >= TROUBLE_IN_A_ROW:
                raise
            self._refuse(_without_bytes(key, error, "pds_trouble"))
        else:
            self.trouble = 0
            self.progress.adopted += is_new
            self.progress.known += not is_new
            for problem in problems:
                self.progress.note(problem)

    def _refuse(self, problem: Problem) -> None:
        self.progress.refused += 1
        self.progress.note(problem)


def _invalid(key: RecordKey, error: InvalidFieldError) -> Problem:
    problem = _problem(key, "invalid_field", str(error), adopted=False)
    return problem | {"field": error.field, "limit": error.limit}


def _without_bytes(key: RecordKey, error: Exception, reason: str) -> Problem:
    return _problem(key, "bytes_unavailable", str(error), adopted=False) | {"reason": reason}


def _problem(key: RecordKey, error: str, message: str, *, adopted: bool) -> Problem:
    return {"uri": key.uri, "error": error, "message": message, "adopted": adopted}
