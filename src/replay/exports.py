"""Exports: audio, covers and log of an account as one archive, of which only the list of files is stored.

1. List the files of one snapshot; the lines of the log are one of them.
2. Read each once, for its checksum, or for why it is missing. After a crash another process reads the rest.

From then on any process makes any range of the archive, which begins with the checksums.
The sweep spares what an export names until it expires. An account has one: a new one replaces it.
"""

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from sys import maxsize
from typing import Any, Final
from zlib import crc32

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import Artwork, ListType
from eventstore.change import Envelope
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome, Wanted
from eventstore.jobs.table import UNFINISHED, JobState, job, state_of
from eventstore.projection import write_rows
from eventstore.sql.database import Database, pages
from eventstore.sql.schema import metadata
from eventstore.streams.buckets import account_columns
from eventstore.untrusted import file_name
from identity.accounts.accounts import Accounts
from outbox.pds.client import RecordKey
from projections.lists import live_lists, track_list
from projections.tracks.table import LIVE, TrackView, tracks
from replay.dump import EXPORT, account_lines
from replay.errors import ExportNotFoundError, ExportTakenDownError, ExportUnderWayError
from storage.archive import Entry, Part, parts_of
from storage.cid import CidHasher, cid_of, sha256_of
from storage.errors import BytesMissingError, MediaGoneError, StoreUnavailableError
from storage.media import Media, end_grace_period
from storage.parsers import MIME
from storage.stores.store import in_time
from storage.taken_down import taken_down
from storage.uploads.upload import Staged, staged_copy

EXPORT_TTL: Final = timedelta(days=7)
LOG: Final = "mastertape-export.ndjson"
CHECKSUMS: Final = "SHA256SUMS"
MIN_PAUSE: Final = timedelta(minutes=10)
"""Between two exports of an account: each leaves the bytes of its log to the next sweep."""
TURN_BYTES: Final = 256 * 2**20
"""Then other accounts have their turn."""
MAX_CONCURRENT_EXPORTS: Final = 1
MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0
TAKEN_DOWN: Final = "an operator of this service has taken it down"
ELSEWHERE: Final = "it is at another host"
LOST: Final = "its bytes are not stored here, or are damaged"

export_file: Final = sa.Table(
    "export_file",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("cid", sa.Text),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("crc32", sa.BigInteger),
    sa.Column("missing", sa.Text),
    sa.Index("ix_export_file_cid", "cid"),
)
"""The files of exports. One without `crc32` was not read yet, or `missing` says why it is left out."""
_file: Final = export_file.c
_FILES: Final = sa.select(*(each for each in _file if each.name != "bucket")).order_by(_file.number)
Row = dict[str, Any]
_ENDING: Final = re.compile(rf"\.({'|'.join([*MIME, 'jpeg', 'png', 'webp', 'image'])})$", re.IGNORECASE)


@dataclass(frozen=True)
class Export:
    """An account's export: its job, and the files that are listed so far."""

    job: sa.Row[Any]
    files: Sequence[Any]

    @property
    def id(self) -> int:
        return int(self.job.requested_at.timestamp() * 1000)

    @property
    def state(self) -> JobState:
        return state_of(self.job)

    @property
    def checksums(self) -> bytes:
        """The list as `sha256sum --check` reads it; what is missing stands in comments."""
        lines = [
            f"# missing: {each.name}: {each.missing}"
            if each.missing
            else f"{sha256_of(each.cid)}  {each.name}"
            for each in self.files
        ]
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def entries(self) -> list[Entry]:
        """The files of the archive, the first with the checksums of all others, so that its CID is the archive's ETag."""
        sums, read = self.checksums, (each for each in self.files if each.missing is None)
        first = Entry(CHECKSUMS, len(sums), crc32(sums), cid_of(sums), sums)
        return [first, *(Entry(each.name, each.size, each.crc32, each.cid) for each in read)]

    @property
    def parts(self) -> list[Part]:
        return parts_of(self.entries, self.job.requested_at)


def request(connection: sa.Connection, did: str, envelope: Envelope, now: datetime) -> list[str]:
    """Request an export; return the CID of the log of the one it replaces, which no export names any more. Raises ExportUnderWayError.

    Call it under the account's append lock.
    """
    found = export_of(connection, did)
    if found is not None and (found.state in UNFINISHED or now < found.job.requested_at + MIN_PAUSE):
        raise ExportUnderWayError
    logs = [each.cid for each in found.files if each.name == LOG] if found is not None else []
    connection.execute(sa.delete(export_file).where(_file.did == did))
    queue.request(connection, [Wanted(EXPORT, did, envelope=envelope)], now, again=True)
    return logs


def export_of(connection: sa.Connection, did: str) -> Export | None:
    """Return the account's export, whatever its state."""
    row = queue.job_of(connection, EXPORT, did)
    if row is None:
        return None
    return Export(row, files_of(connection, did))


def files_of(connection: sa.Connection, did: str) -> Sequence[Any]:
    return connection.execute(_FILES.where(_file.did == did)).all()


def finished_export(connection: sa.Connection, did: str, export_id: int) -> Export:
    """Return it to be downloaded; raises ExportNotFoundError, ExportUnderWayError or ExportTakenDownError."""
    found = export_of(connection, did)
    if found is None or found.id != export_id or found.state is JobState.FAILED:
        raise ExportNotFoundError
    if found.state in UNFINISHED:
        raise ExportUnderWayError
    since = found.job.requested_at
    hidden = [sa.exists().where(of.did == did, of.taken_down_at >= since) for of in (tracks.c, track_list.c)]
    cids = [each.cid for each in found.files if each.missing is None]
    if connection.scalar(sa.select(sa.or_(*hidden))) or any(
        taken_down(connection, page) for page in pages(cids)
    ):
        raise ExportTakenDownError
    return found


def named(connection: sa.Connection, cids: Collection[str]) -> set[str]:
    return set(connection.scalars(sa.select(_file.cid).where(_file.cid.in_(cids))))


def cids_of(connection: sa.Connection, did: str) -> Sequence[str]:
    return connection.scalars(sa.select(_file.cid).where(_file.did == did, _file.cid.is_not(None))).all()


def forget_expired(database: Database) -> None:
    with database.write() as connection:
        now = database.now(connection)
        expired = (job.c.kind == EXPORT, job.c.ended_at <= now - EXPORT_TTL)
        of_expired = _file.did.in_(sa.select(job.c.account).where(*expired))
        logs = connection.scalars(sa.select(_file.cid).where(of_expired, _file.name == LOG)).all()
        end_grace_period(connection, logs, now)
        connection.execute(sa.delete(export_file).where(of_expired))
        connection.execute(sa.delete(job).where(*expired))


def _row(did: str, number: int, name: str, **known: Any) -> Row:
    file = {"cid": None, "size": 0, "crc32": None, "missing": None}
    return {"did": did, "number": number, "name": name, **file, **known}


def _folder(name: str) -> str:
    """Return a name that no file of the archive has: with a file and a folder of one name it could not be unpacked."""
    return f"{name}_" if _ENDING.search(name) else name


def _missing(taken_down_at: datetime | None) -> Row:
    return {"missing": TAKEN_DOWN} if taken_down_at is not None else {}


class _Listing:
    """The audio and covers of an account, in folders of its albums; no two names are the same, in any case."""

    def __init__(self, did: str, artist: str) -> None:
        self.rows: Final = list[Row]()
        self._did: Final = did
        self._artist: Final = artist
        self._names: Final = set[str]()
        self._numbers: Final = count(2)
        self._places: Final = dict[str, int]()
        self._covers: Final = set[tuple[object, str]]()

    def add_list(self, made: TrackList) -> None:
        if made.list_type == ListType.ALBUM:
            self._places.update({item.uri: place for place, item in enumerate(made.items, 1)})
        if made.artwork is not None:
            path = [made.name or made.word, "cover"]
            self._add_cover(path, made.artwork, made.name, _missing(made.taken_down_at))

    def add_track(self, track: TrackView) -> None:
        """Add its audio and its cover; a cover of several tracks of an album only once."""
        place = self._places.get(RecordKey(self._did, track.collection, track.rkey).uri)
        path = [*filter(None, [track.album]), f"{place:02} {track.title}" if place else track.title]
        missing = _missing(track.taken_down_at)
        audio, cover = track.audio, track.artwork
        self._add(path, audio.file_type, cid=audio.cid, size=audio.size, **missing)
        if cover is not None:
            self._add_cover(path, cover, track.album or track.track_id, missing)
        elif track.image_url is not None:
            self._add(path, "image", missing=ELSEWHERE)

    def _add_cover(self, path: list[str], cover: Artwork, of: object, missing: Row) -> None:
        if (of, cover.cid) not in self._covers:
            if not missing:
                self._covers.add((of, cover.cid))
            self._add(path, cover.mime.rpartition("/")[2], cid=cover.cid, size=cover.size, **missing)

    def _add(self, path: list[str], kind: str, **known: Any) -> None:
        *folders, last = map(file_name, [self._artist, *path])
        stem = "/".join([*map(_folder, folders), last])
        name = f"{stem}.{kind}"
        while name.casefold() in self._names:
            name = f"{stem} ({next(self._numbers)}).{kind}"
        self._names.add(name.casefold())
        self.rows.append(_row(self._did, len(self.rows) + 1, name, **known))


def _listed(log: EventLog, connection: sa.Connection, did: str) -> list[Row]:
    owner = Accounts(log.database).get(did)
    listing = _Listing(did, owner.name if owner is not None else did)
    for list_id in live_lists(connection, did, at_most=maxsize):
        events = log.stream(connection, did, TrackList.create_id(list_id))
        if (made := log.fold(TrackList, events)) is not None:
            listing.add_list(made)
    own = sa.select(tracks).where(LIVE, tracks.c.did == did).order_by(tracks.c.track_id)
    for row in connection.execute(own):
        listing.add_track(TrackView.from_row(row))
    return listing.rows


@dataclass(frozen=True)
class Exports:
    log: EventLog
    storage: Media
    staging: Path
    schema: Callable[[], str]
    threads: Threads

    def kind(self) -> Kind:
        return Kind(
            EXPORT,
            self.work,
            judge=judge,
            max_concurrent=MAX_CONCURRENT_EXPORTS,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            keeps_done=True,
        )

    async def work(self, job: Job) -> Outcome:
        run, left = self.threads.run, TURN_BYTES
        if not await run(self._files, job):
            await self._list(job)
        for file in await run(self._files, job):
            if file.crc32 is not None or file.missing is not None:
                continue
            if left <= 0:
                return Outcome.AGAIN
            found = await in_time(self.threads, file.size, self._read, file.cid)
            await run(self._keep, job, [{**file._asdict(), **found}])
            left -= file.size
        return Outcome.DONE

    async def _list(self, job: Job) -> None:
        rows, lines = await self.threads.run(self._snapshot, job.subject)
        with lines, lines.open() as source:
            add = partial(self.storage.add, lines.cid, source, lines.size, "application/x-ndjson")
            await in_time(self.threads, lines.size, add)
        log = _row(job.subject, len(rows) + 1, LOG, cid=lines.cid, size=lines.size)
        await self.threads.run(self._keep, job, [*rows, log])

    def _snapshot(self, did: str) -> tuple[list[Row], Staged]:
        database = self.log.database
        with database.read() as connection:
            rows = _listed(self.log, connection, did)
            lines = account_lines(database, did, schema=self.schema())
            return rows, staged_copy(lines, self.staging, maxsize)

    def _read(self, cid: str) -> Row:
        """Return the size and the checksum of stored bytes, or why they are missing."""
        with self.log.database.read() as connection:
            if taken_down(connection, [cid]):
                return {"missing": TAKEN_DOWN}
        checksum, hasher = 0, CidHasher()
        with suppress(MediaGoneError, BytesMissingError):
            for chunk in self.storage.read(cid):
                hasher.update(chunk)
                checksum = crc32(chunk, checksum)
        return {"size": hasher.size, "crc32": checksum} if hasher.cid == cid else {"missing": LOST}

    def _files(self, job: Job) -> Sequence[Any]:
        with self.log.database.read() as connection:
            return files_of(connection, job.subject)

    def _keep(self, job: Job, rows: Sequence[Row]) -> None:
        with self.log.database.write() as connection:
            queue.require_held(connection, job)
            write_rows(connection, export_file, rows)


def judge(error: Exception) -> Failure | None:
    return Failure(str(error), counted=False) if isinstance(error, StoreUnavailableError) else None
