"""The rows of adoptions: who asked for one, how far it is, and which process is at it. An account has one at most."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Row,
    Table,
    Text,
    and_,
    select,
    text,
    update,
)

from eventstore.append import upsert
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.schema import Json, UtcDateTime, metadata
from outbox.backoff import backoff
from replay.adoption.adopt import Progress

FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 3600.0
TRIES: Final = 30
"""About a day: who is away for longer is asked again by whoever wants it."""

adoption = Table(
    "adoption",
    metadata,
    Column("did", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("requested_at", UtcDateTime, nullable=False),
    Column("not_before", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("found", Integer, nullable=False, server_default=text("0")),
    Column("known", Integer, nullable=False, server_default=text("0")),
    Column("adopted", Integer, nullable=False, server_default=text("0")),
    Column("refused", Integer, nullable=False, server_default=text("0")),
    Column("problems", Json, nullable=False),
    Column("problem", Text),
    Column("lease_owner", Text),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("lease_epoch", Integer, nullable=False, server_default=text("0")),
)
job: Final = adoption.c


@dataclass(frozen=True)
class AdoptionJob:
    """A claimed adoption."""

    did: str
    envelope: Envelope
    attempts: int
    epoch: int


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> None:
    """Ask for one; while one is under way, that is it."""
    asked = {
        **vars(envelope),
        **_counts(Progress()),
        **_free(now),
        "requested_at": now,
        "not_before": now,
        "ended_at": None,
        "attempts": 0,
        "problem": None,
    }
    connection.execute(
        upsert(connection, adoption)
        .values(did=did, **asked)
        .on_conflict_do_update(index_elements=["did"], set_=asked, where=job.ended_at.is_not(None))
    )


def adoption_of(connection: Connection, did: str) -> Row[Any] | None:
    """Return the account's newest adoption."""
    return connection.execute(select(adoption).where(job.did == did)).one_or_none()


def claim(database: Database, *, owner: str, lease: timedelta, did: str | None = None) -> AdoptionJob | None:
    """Take one that is due, or the account's at once if nobody is at it."""
    with database.read_committed() as connection:  # who finds nothing writes nothing
        if connection.scalar(_due(database.now(connection), did)) is None:
            return None
    with database.write() as connection:
        now = database.now(connection)
        found = connection.execute(
            select(adoption).where(job.did.in_(_due(now, did))).with_for_update(skip_locked=True)
        ).one_or_none()
        if found is None:
            return None
        epoch = found.lease_epoch + 1
        taken = {"lease_owner": owner, "lease_until": now + lease, "lease_epoch": epoch}
        connection.execute(update(adoption).where(job.did == found.did).values(taken))
    envelope = Envelope(found.actor, found.via, found.request_id)
    return AdoptionJob(found.did, envelope, found.attempts, epoch)


def is_held(connection: Connection, claimed: AdoptionJob) -> bool:
    """Whether nobody else has claimed it since, and it is still wanted: who leaves has nothing more taken over."""
    return connection.scalar(select(job.did).where(_is(claimed))) is not None


def note(database: Database, claimed: AdoptionJob, progress: Progress, lease: timedelta) -> bool:
    """Write down how far it is, and keep it; False when it is another's by now."""
    with database.write() as connection:
        until = database.now(connection) + lease
        return _change(connection, claimed, **_counts(progress), lease_until=until)


def end(database: Database, claimed: AdoptionJob, progress: Progress) -> None:
    """It is done."""
    with database.write() as connection:
        now = database.now(connection)
        _change(connection, claimed, **_counts(progress), **_free(now), ended_at=now, problem=None)


def fail(database: Database, claimed: AdoptionJob, progress: Progress, problem: str, *, final: bool) -> None:
    """It could not go on: some time later it is tried again, unless that cannot help."""
    with database.write() as connection:
        now = database.now(connection)
        is_over = final or claimed.attempts + 1 >= TRIES
        pause = backoff(claimed.attempts, first=FIRST_PAUSE, cap=LONGEST_PAUSE)
        _change(
            connection,
            claimed,
            **_counts(progress),
            **_free(now),
            attempts=claimed.attempts + 1,
            not_before=now + pause,
            ended_at=now if is_over else None,
            problem=problem,
        )


def give_back(database: Database, claimed: AdoptionJob) -> None:
    """Let others go on with it at once."""
    with database.write() as connection:
        _change(connection, claimed, **_free(database.now(connection)))


def _due(now: datetime, did: str | None) -> Any:
    due = and_(job.ended_at.is_(None), job.lease_until <= now)
    which = job.not_before <= now if did is None else job.did == did
    return select(job.did).where(due, which).order_by(job.not_before, job.did).limit(1)


def _change(connection: Connection, claimed: AdoptionJob, **values: Any) -> bool:
    return connection.execute(update(adoption).where(_is(claimed)).values(values)).rowcount == 1


def _is(claimed: AdoptionJob) -> ColumnElement[bool]:
    return and_(job.did == claimed.did, job.lease_epoch == claimed.epoch, job.lease_owner.is_not(None))


def _free(now: datetime) -> dict[str, Any]:
    return {"lease_owner": None, "lease_until": now}


def _counts(progress: Progress) -> dict[str, Any]:
    names = ("found", "known", "adopted", "refused", "problems")
    return {name: getattr(progress, name) for name in names}
