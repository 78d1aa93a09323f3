"""Logs of many tracks on both databases, for benches that need no HTTP server."""

import hashlib
from base64 import b32encode
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, insert, text

from aggregates.tracks.track import Track
from aggregates.values import Audio, tid_of
from bench.postgres import postgres_database
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import track_id_sequence
from eventstore.streams.append import append_rows, event_row, upsert
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import account
from identity.accounts.credentials import CredentialKind, Credentials, Scope
from outbox.mirror.targets import MirrorTargets
from service.schema.migrate import upgrade
from service.schema.tables import READ_MODELS

ARTIST: Final = Envelope(actor="bench", via="bench", request_id="bench")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
COLLECTION: Final = "fm.plyr.track"
EVENTS_PER_TRACK: Final = 20
TRACKS_AT_ONCE: Final = 1_000
"""So many are edited in turns: fewer than the states that a rebuild keeps, since there are few artists at work at a time."""


def logs(folder: Path) -> Iterator[tuple[str, EventLog]]:
    """Yield an empty log on SQLite, then one on PostgreSQL if it is available."""
    url = f"sqlite:///{folder / 'bench.db'}"
    upgrade(url)
    with log_at(url) as log:
        yield "SQLite", log
    with postgres_database() as postgres:
        if postgres is not None:
            with log_at(postgres) as log:
                yield "PostgreSQL", log


@contextmanager
def log_at(url: str) -> Iterator[EventLog]:
    """Open the log of a database that has the schema."""
    with closing(Database(url)) as database:
        yield EventLog(database, projections=(*READ_MODELS, MirrorTargets()))


def did_of(number: int) -> str:
    return f"did:plc:bench{number:019d}"


def vacuum(log: EventLog) -> None:
    """Do at once what PostgreSQL does by itself some time after a table was filled."""
    if not log.database.is_sqlite:
        with log.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("vacuum analyze"))


def token_of(url: str, did: str, scope: Scope) -> str:
    """Register an account, and issue it a token."""
    with closing(Database(url)) as database, database.write() as connection:
        names = {"handle": "bench.test", "display_name": "Bench", "pds_url": ""}
        times = {"created_at": START, "updated_at": START}
        connection.execute(insert(account).values(did=did, **names, **times))
        issued = Credentials(database).issue(
            connection, did=did, kind=CredentialKind.API, name="bench", scope=scope
        )
        return issued.token.get_secret_value()


def track_of(number: int, account: int | None = None, *, did: str | None = None) -> Track:
    """Make the track of the account with this number, or of another one."""
    at = START + timedelta(seconds=number)
    digest = b"\x01\x55\x12\x20" + hashlib.sha256(str(number).encode()).digest()
    cid = "b" + b32encode(digest).decode().lower().rstrip("=")
    return Track.register(
        at=at,
        did=did or did_of(account or number),
        track_id=number,
        title=f"Take {number}",
        artist="Bench",
        audio=Audio(cid, size=1_000_000, mime="audio/mpeg", file_type="mp3", duration=180),
        album=None,
        features=(),
        tags=("bench",),
        description=None,
        artwork=None,
        support_gate=None,
        unlisted=False,
        self_labels=(),
        created_at=at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        collection=COLLECTION,
        rkey=tid_of(at),
    )


def register(log: EventLog, number: int, *, account: int | None = None, edits: int = 0) -> None:
    """Upload a track of the account with this number, or another one, and edit it, in one unit of work."""
    track = track_of(number, account)
    for edit in range(edits):
        track.edit({"title": f"Take {number}.{edit}"}, at=track.created_on)
    with log.unit_of_work(did_of(account or number), ARTIST) as unit:
        unit.save(track)
        enter(unit.connection, [number], account)


def enter(connection: Connection, numbers: Iterable[int], account: int | None = None) -> None:
    """Enter the numbers as ids of an older version: they carry no bucket."""
    entries = [{"id": number, "did": did_of(account or number)} for number in numbers]
    connection.execute(upsert(connection, track_id_sequence).on_conflict_do_nothing(), entries)


def retitle(log: EventLog, number: int, title: str, *, account: int | None = None) -> None:
    """Edit the title of a track of the account with this number, or another one."""

    def edit(unit: UnitOfWork) -> None:
        track = unit.load(Track, Track.create_id(number))
        track.edit({"title": title}, at=unit.now)
        unit.save(track)

    log.transact(did_of(account or number), ARTIST, edit)


def fill(log: EventLog, present: int, wanted: int) -> None:
    """Write events of more tracks, one of each account, until there are so many; to the log alone: a rebuild makes all else."""
    numbers = range(present // EVENTS_PER_TRACK + 1, wanted // EVENTS_PER_TRACK + 1)
    edits = [_row(log, event) for event in _events(1)][1:]
    for start in range(numbers.start, numbers.stop, TRACKS_AT_ONCE):
        block = range(start, min(start + TRACKS_AT_ONCE, numbers.stop))
        uploads = {number: _row(log, next(_events(number))) for number in block}
        own = {
            number: {"did": did_of(number), "originator_id": upload["originator_id"]}
            for number, upload in uploads.items()
        }
        rows = [upload | own[number] for number, upload in uploads.items()]
        rows += [edit | own[number] for edit in edits for number in block]
        with log.database.write() as connection:
            append_rows(connection, rows)
            enter(connection, block)


def _events(number: int) -> Iterator[Any]:
    track = track_of(number)
    for edit in range(EVENTS_PER_TRACK - 1):
        track.edit({"title": f"Take {number}.{edit}"}, at=track.created_on)
    return iter(track.collect_events())


def _row(log: EventLog, event: Any) -> dict[str, Any]:
    return event_row(log.codec.encode(event), did_of(1), ARTIST, START)
