"""The rows of adoptions, at most one of an account: its request, its progress, and the lease of the worker that runs it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Index,
    Integer,
    Row,
    Select,
    Table,
    Text,
    and_,
    or_,
    select,
    text,
)

from eventstore.append import upsert
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.schema import Json, UtcDateTime, metadata
from outbox.backoff import backoff
from outbox.mirror.tables import mirror_lane
from replay.adoption.progress import Progress
from replay.leased_rows import LeasedRows, unleased

FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_ATTEMPTS: Final = 30
"""About a day: after it, the owner has to request the adoption again."""

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
ROWS: Final = LeasedRows(adoption, job.did)
IS_AT_WORK: Final = or_(job.ended_at.is_(None), job.problem.is_not(None))
"""True for adoptions that wait, run or have failed. A query with this condition reads an index of these."""
Index("ix_adoption_at_work", job.requested_at, sqlite_where=IS_AT_WORK, postgresql_where=IS_AT_WORK)
COUNTED: Final = ("found", "known", "adopted", "refused", "problems")


@dataclass(frozen=True)
class AdoptionJob:
    """A claimed adoption."""

    did: str
    envelope: Envelope
    attempts: int
    epoch: int
    host: str
    """The PDS of the account's lane, or an empty text."""
    progress: Progress
    """Of its earlier turns."""


def request(connection: Connection, did: str, envelope: Envelope, now: datetime) -> None:
    """Request an adoption; an unfinished one stays as it is."""
    requested = {
        **vars(envelope),
        **_counts(Progress()),
        **unleased(now),
        "requested_at": now,
        "not_before": now,
        "ended_at": None,
        "attempts": 0,
        "problem": None,
    }
    connection.execute(
        upsert(connection, adoption)
        .values(did=did, **requested)
        .on_conflict_do_update(index_elements=["did"], set_=requested, where=job.ended_at.is_not(None))
    )


def adoption_of(connection: Connection, did: str) -> Row[Any] | None:
    """Return the account's newest adoption."""
    return connection.execute(select(adoption).where(job.did == did)).one_or_none()


def claim(
    database: Database,
    *,
    owner: str,
    lease: timedelta,
    did: str | None = None,
    except_hosts: Collection[str] = (),
) -> AdoptionJob | None:
    """Claim an adoption that is due, or this account's even before it is due; None where there is none or it is claimed.

    Accounts whose PDS is one of `except_hosts` are left out.
    """
    with database.read_committed() as connection:  # most polls find nothing, and need no write transaction
        due = _due(database.now(connection), did, except_hosts)
        if connection.scalar(due.with_only_columns(job.did).limit(1)) is None:
            return None
    with database.write() as connection:
        now = database.now(connection)
        due = _due(now, did, except_hosts)
        claimed = ROWS.claim(connection, due, owner=owner, until=now + lease)
        if claimed is None:
            return None
        found, epoch = claimed
        host = connection.scalar(select(mirror_lane.c.host).where(mirror_lane.c.did == found.did)) or ""
    envelope = Envelope(found.actor, found.via, found.request_id)
    # After a failure everything is tried again; what a turn refused, the next turn of the same attempt does not.
    progress = _progress_of(found) if found.problem is None else Progress()
    return AdoptionJob(found.did, envelope, found.attempts, epoch, host, progress)


def is_held(connection: Connection, claimed: AdoptionJob) -> bool:
    """Whether the claim still holds: no other worker has claimed it, and the account is not being deleted."""
    return connection.scalar(select(job.did).where(ROWS.held(claimed.did, claimed.epoch))) is not None


def record_progress(database: Database, claimed: AdoptionJob, progress: Progress, lease: timedelta) -> bool:
    """Record the progress and extend the lease; False when the claim was lost."""
    with database.write() as connection:
        until = database.now(connection) + lease
        return _change(connection, claimed, **_counts(progress), lease_until=until)


def finish(database: Database, claimed: AdoptionJob, progress: Progress) -> None:
    """Record that it is done."""
    with database.write() as connection:
        now = database.now(connection)
        _change(connection, claimed, **_counts(progress), **unleased(now), ended_at=now, problem=None)


def end_turn(database: Database, claimed: AdoptionJob, progress: Progress) -> None:
    """Record the progress, and let the adoptions of other accounts go first."""
    with database.write() as connection:
        now = database.now(connection)
        _change(
            connection,
            claimed,
            **_counts(progress),
            **unleased(now),
            attempts=0,
            not_before=now,
            problem=None,
        )


def fail(database: Database, claimed: AdoptionJob, progress: Progress, problem: str, *, final: bool) -> None:
    """Record the problem, and schedule another attempt unless it is `final` or was the last one."""
    with database.write() as connection:
        now = database.now(connection)
        is_over = final or claimed.attempts + 1 >= MAX_ATTEMPTS
        pause = backoff(claimed.attempts, first=FIRST_PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)
        _change(
            connection,
            claimed,
            **_counts(progress),
            **unleased(now),
            attempts=claimed.attempts + 1,
            not_before=now + pause,
            ended_at=now if is_over else None,
            problem=problem,
        )


def release(database: Database, claimed: AdoptionJob, progress: Progress) -> None:
    """Record the progress and end the lease, so that another worker can claim it at once."""
    with database.write() as connection:
        _change(connection, claimed, **_counts(progress), **unleased(database.now(connection)))


def _due(now: datetime, did: str | None, except_hosts: Collection[str]) -> Select[*tuple[Any, ...]]:
    due = and_(job.ended_at.is_(None), job.lease_until <= now)
    if except_hosts:
        elsewhere = select(mirror_lane.c.did).where(mirror_lane.c.host.in_(sorted(except_hosts)))
        due = and_(due, job.did.not_in(elsewhere))
    which = job.not_before <= now if did is None else job.did == did
    return select(adoption).where(due, which).order_by(job.not_before, job.did)


def _change(connection: Connection, claimed: AdoptionJob, **values: Any) -> bool:
    return ROWS.change(connection, claimed.did, claimed.epoch, values)


def _counts(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in COUNTED}


def _progress_of(row: Row[Any]) -> Progress:
    return Progress(**{name: getattr(row, name) for name in COUNTED})
