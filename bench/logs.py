"""Logs of many tracks on both databases, for benches that need no HTTP server."""

import hashlib
from base64 import b32encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from aggregates.tid import tid_of
from aggregates.track import Track
from aggregates.transcodings import TRANSCODINGS
from aggregates.values import Audio
from bench.postgres import postgres_database
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from outbox.mirror.targets import MirrorTargets
from projections.read_models import READ_MODELS
from service.schema.migrate import upgrade

ARTIST: Final = Envelope(actor="bench", via="bench", request_id="bench")
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
COLLECTION: Final = "fm.plyr.track"


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
        yield EventLog(database, projections=(*READ_MODELS, MirrorTargets()), transcodings=TRANSCODINGS)


def did_of(number: int) -> str:
    return f"did:plc:bench{number:019d}"


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
        track.update_metadata({"title": f"Take {number}.{edit}"}, at=track.created_on)
    with log.unit_of_work(did_of(account or number), ARTIST) as unit:
        unit.save(track)


def retitle(log: EventLog, number: int, title: str, *, account: int | None = None) -> None:
    """Edit the title of a track of the account with this number, or another one."""
    with log.unit_of_work(did_of(account or number), ARTIST) as unit:
        track = unit.load(Track, Track.create_id(number))
        track.update_metadata({"title": title}, at=unit.now)
        unit.save(track)
