"""Makes what is derived from media: renditions of covers, and waveforms of audio.

1. Find live tracks that lack them, and request jobs. The worker looks at the tracks that changed last, which costs the same
   whatever their number; a periodic job looks at all.
2. Make them: each kind in its own slots, one of an account at a time.
3. In the sweep of all media, forget those that no track needs any more.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import sqlalchemy as sa

from aggregates.tracks.track import Track
from eventstore.coordination.threads import Threads
from eventstore.errors import ThreadsBusyError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.jobs.table import JobState, job
from eventstore.sql.database import Database, pages
from eventstore.untrusted import clean
from identity.errors import FetchRefusedError, UnsafeAddressError
from projections import media_references
from projections.history import history
from projections.tracks.queries import tracks_with_image_urls
from projections.tracks.table import LIVE, tracks
from replay import exports
from replay.adoption.fetcher import Fetcher, OthersAddresses, named
from storage.artwork import MAX_BYTES
from storage.derived.renditions import DerivedKind, forget, keep_renditions, made, rendition, sources_of
from storage.derived.waveforms import DECODED_FILE_TYPES, keep_waveform, measured, waveform
from storage.errors import MediaGoneError, RefusedMediaError, StorageError, StoreUnavailableError
from storage.media import IS_LIVE, Media, media
from storage.parsers import Parsers
from storage.stores.store import in_time
from storage.sweep import SweepReport, sweep
from storage.uploads import staged_uploads
from storage.uploads.upload import Staged, staged_copy

MAX_REQUESTED_AT_ONCE: Final = 1000
MAX_RECENT_CHANGES: Final = 200
_END_OF_HOST: Final = re.compile("[/?#]")
MAX_URL_CHARACTERS: Final = 600
"""As UTF-8, an index of PostgreSQL still takes so many; a cover at a longer address is not fetched."""

track: Final = tracks.c
HAS_URL_ALONE: Final = sa.and_(
    track.artwork_cid.is_(None),
    sa.or_(track.image_url.startswith("https://"), track.image_url.startswith("http://")),
    sa.func.length(track.image_url) <= MAX_URL_CHARACTERS,
)
_RECENT: Final = (
    sa.select(history.c.track_id)
    .where(history.c.kind == Track.TOPIC)
    .order_by(history.c.position.desc())
    .limit(MAX_RECENT_CHANGES)
    .subquery()
)


LACKING: Final = (
    (DerivedKind.RENDITIONS, track.artwork_cid, track.artwork_cid.is_not(None), made.source),
    (DerivedKind.COVER, track.image_url, HAS_URL_ALONE, made.source),
    (DerivedKind.WAVEFORM, track.audio_cid, track.audio_file_type.in_(DECODED_FILE_TYPES), measured.c.cid),
)
"""The kind, its source, whether a track can have it, and the source of what was made."""


def request_recent(database: Database) -> int:
    """Request what the tracks that changed last lack; return how much that is."""
    return request_all(database, track.track_id.in_(sa.select(_RECENT.c.track_id)))


def request_all(database: Database, *which: sa.ColumnElement[bool]) -> int:
    """Request what any of these tracks lacks, up to MAX_REQUESTED_AT_ONCE of each kind; return how much that is."""
    found: list[Wanted] = []
    with database.read_committed() as connection:
        for kind, source, can_have_one, made_of in LACKING:
            lacking = list[tuple[str, str]]()
            named = sa.select(source, sa.func.min(track.did)).where(LIVE, can_have_one, *which)
            named = named.group_by(source).order_by(source).limit(SOURCES_PER_PAGE)
            page = connection.execute(named).all()
            while page and len(lacking) < MAX_REQUESTED_AT_ONCE:
                sources = [subject for subject, _ in page]
                of_jobs = sa.select(job.c.subject).where(job.c.kind == kind, job.c.subject.in_(sources))
                # apart from the tracks: what was made is not where their rows are
                known = {*connection.scalars(sa.select(made_of).where(made_of.in_(sources)).union(of_jobs))}
                lacking += [(subject, did) for subject, did in page if subject not in known]
                is_last = len(page) < SOURCES_PER_PAGE
                page = [] if is_last else connection.execute(named.where(source > sources[-1])).all()
            for subject, did in lacking[:MAX_REQUESTED_AT_ONCE]:
                host = _END_OF_HOST.split(subject)[2].lower() if kind is DerivedKind.COVER else ""
                found.append(Wanted(kind, subject, did, host))
    if found:
        with database.write() as connection:
            queue.request(connection, found, database.now(connection))
    return len(found)


SOURCES_PER_PAGE: Final = 500
_SUBJECTS: Final[sa.BindParameter[Any]] = sa.bindparam("subjects", expanding=True)
_WANTED: Final = (
    sa.select(media.c.cid)
    .where(media.c.cid.in_(_SUBJECTS), IS_LIVE)
    .union(sa.select(tracks.c.image_url).where(LIVE, HAS_URL_ALONE, tracks.c.image_url.in_(_SUBJECTS)))
)
"""Sources of which something may still be made."""


def sweep_media(storage: Media, grace: timedelta) -> SweepReport:
    with storage.database.read() as connection:
        before = storage.database.now(connection) - grace
    forget_unused(storage.database, before)
    exports.forget_expired(storage.database)
    return sweep(storage, _kept, grace)


def _kept(connection: sa.Connection, cids: Sequence[str], released_after: datetime) -> set[str]:
    """Return what tracks, exports and uploads name, and the renditions that `forget_unused` has left."""
    known = media_references.named(connection, cids, released_after) | exports.named(connection, cids)
    known |= staged_uploads.named(connection, cids, released_after)
    return known | sources_of(connection, set(cids) - known).keys()


def forget_unused(database: Database, before: datetime) -> None:
    """Forget renditions of covers that no track has had since `before`, and waveforms and jobs of what is not stored."""
    last = ""
    old = sa.select(made.source).where(made.made_at <= before).distinct().order_by(made.source)
    while True:
        with database.write() as connection:
            page = connection.scalars(old.where(made.source > last).limit(SOURCES_PER_PAGE)).all()
            at_address = {url for url, _ in tracks_with_image_urls(connection, page)}
            used = media_references.named(connection, page, before) | at_address
            forget(connection, set(page) - used, before)
        if not page:
            break
        last = page[-1]
    with database.write() as connection:
        # renditions that the operator's repair, or a lost store, has taken: the plan requests them again
        lost = sa.select(made.source).where(~_is_live(made.cid))
        connection.execute(sa.delete(rendition).where(made.source.in_(lost)))
        connection.execute(sa.delete(waveform).where(~_is_live(waveform.c.cid)))
        failed = sa.select(job.c.id, job.c.account, job.c.kind, job.c.subject).where(
            job.c.state == JobState.FAILED, job.c.kind.in_(list(DerivedKind))
        )
        for some in pages(connection.execute(failed).all()):
            # apart from the jobs: bytes and tracks are not where their rows are
            wanted = {*connection.scalars(_WANTED, {"subjects": [each.subject for each in some]})}
            for each in some:
                if each.subject not in wanted:
                    connection.execute(sa.delete(job).where(*queue.is_job(each)))


def _is_live(cid: Any) -> Any:
    return sa.select(media.c.key).where(media.c.cid == cid, IS_LIVE).exists()


MAX_CONCURRENT: Final[Mapping[DerivedKind, int]] = {
    DerivedKind.RENDITIONS: 1,
    DerivedKind.COVER: 4,
    DerivedKind.WAVEFORM: 1,
}
"""In a process; of covers at other hosts, one a host."""
MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 6 * 3600.0
MAX_PROBLEM_LENGTH: Final = 500
COVER_TIMEOUT_SECONDS: Final = 60.0
"""For an image elsewhere, whatever its host does."""
FINAL_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 414, 451})
"""What another attempt does not change."""


@dataclass(frozen=True)
class DerivedMedia:
    """Makes what is derived from stored media, and from covers at addresses that accounts may name, which `others` allows."""

    storage: Media
    fetcher: Fetcher
    others: OthersAddresses
    parsers: Parsers
    threads: Threads

    def kinds(self) -> Sequence[Kind]:
        """Return the kinds of these jobs; the first requests what the tracks that changed last lack."""
        makers = {
            DerivedKind.RENDITIONS: self.renditions,
            DerivedKind.COVER: self.cover,
            DerivedKind.WAVEFORM: self.waveform,
        }
        return [
            Kind(
                kind,
                work,
                judge=judge,
                max_concurrent=MAX_CONCURRENT[kind],
                max_per_host=1,
                first_pause_seconds=FIRST_PAUSE_SECONDS,
                max_pause_seconds=MAX_PAUSE_SECONDS,
                max_attempts=MAX_ATTEMPTS,
                find_everywhere=request_recent if kind is DerivedKind.RENDITIONS else None,
            )
            for kind, work in makers.items()
        ]

    async def renditions(self, job: Job) -> Outcome:
        with await self._copied(job.subject) as staged:
            made = await self.parsers.renditions(staged)
        return await self._keep(job.subject, made)

    async def cover(self, job: Job) -> Outcome:
        async with asyncio.timeout(COVER_TIMEOUT_SECONDS):
            staged = await self.fetcher.staged(job.subject, MAX_BYTES, self.others)
        with staged:
            artwork = await self.parsers.artwork(staged)
        return await self._keep(job.subject, artwork.renditions)

    async def _keep(self, source: str, renditions: Mapping[int, bytes]) -> Outcome:
        size = sum(map(len, renditions.values()))
        await in_time(self.threads, size, keep_renditions, self.storage, source, renditions)
        return Outcome.DONE

    async def waveform(self, job: Job) -> Outcome:
        with await self._copied(job.subject) as staged:
            made = await self.parsers.waveform(staged)
        await self.threads.run(keep_waveform, self.storage.database, job.subject, made)
        return Outcome.DONE

    async def _copied(self, cid: str) -> Staged:
        """Copy stored bytes to a file, which the caller has to close."""
        found = await self.threads.run(self.storage.find, cid)
        if found is None:
            raise MediaGoneError(cid)

        def copied() -> Staged:
            return staged_copy(self.storage.store.read(found.key), self.fetcher.folder, found.size)

        return await in_time(self.threads, found.size, copied)


def judge(error: Exception) -> Failure | None:
    """A source that is not what it has to be is not tried again; a store that is away is no fault of the source."""
    problem = clean(named(error), MAX_PROBLEM_LENGTH)
    match error:
        case StoreUnavailableError() | ThreadsBusyError():
            return Failure(problem, counted=False)
        case FetchRefusedError():
            return Failure(problem, final=error.status is None or error.status in FINAL_STATUSES)
        case UnsafeAddressError() | httpx.InvalidURL() | RefusedMediaError() | MediaGoneError():
            return Failure(problem, final=True)
        case httpx.HTTPError() | TimeoutError() | StorageError():
            return Failure(problem)
    return None
