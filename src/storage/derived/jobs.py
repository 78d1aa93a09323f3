"""The rows of the work on derived media: what is to be made of which source, and what could not be made.

What has been made has no row here. An attempt is counted when it begins, so that a source which ends the process that
works on it is not tried for ever.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    RowMapping,
    Table,
    Text,
    and_,
    case,
    delete,
    func,
    literal_column,
    select,
    text,
    update,
)

from eventstore.append import upsert
from eventstore.counting import MAX_COUNTED, count_up_to_limit
from eventstore.database import Database
from eventstore.schema import UtcDateTime, metadata
from eventstore.states import State, Transition

MAX_ATTEMPTS: Final = 5
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 6 * 3600.0
LEASE: Final = timedelta(hours=2)
"""Longer than any work takes; a process that stops in an orderly way ends its leases."""
_PAST: Final = text("'1970-01-01 00:00:00.000000'")


class DerivedKind(StrEnum):
    """What is made, and of what."""

    RENDITIONS = "renditions"  # of a stored cover, by its CID
    COVER = "cover"  # renditions of an image elsewhere, by its URL
    WAVEFORM = "waveform"  # of stored audio, by its CID


class DerivedState(State):
    """States of the work on derived media; what has been made has no row."""

    WAITING = "waiting", "waits for a worker, or for the next attempt, or a worker holds the lease"
    FAILED = "failed", "it cannot be made, or the last attempt failed"


TRANSITIONS: Final = (
    Transition(
        before=None,
        after=DerivedState.WAITING,
        by="the worker or the periodic job finds a track whose cover or audio lacks it",
    ),
    Transition(before=DerivedState.WAITING, after=None, by="the worker has made it"),
    Transition(
        before=DerivedState.WAITING,
        after=DerivedState.FAILED,
        by="the worker finds that it cannot be made, or fails at the last attempt",
    ),
    Transition(before=DerivedState.FAILED, after=None, by="the sweep finds that no track has the source"),
)

derived_job = Table(
    "derived_job",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("state", Text, nullable=False, server_default=text(f"'{DerivedState.WAITING}'")),
    Column("host", Text, nullable=False, server_default=text("''")),  # that has the source, unless we have it
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("not_before", UtcDateTime, nullable=False),
    Column("problem", Text),
    Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("lease_epoch", Integer, nullable=False, server_default=text("0")),
)
job: Final = derived_job.c
# Written out, so that PostgreSQL knows the index's condition in a prepared statement too.
_IS_WAITING: Final = job.state == literal_column(f"'{DerivedState.WAITING}'")
Index(
    "ix_derived_job_waiting",
    job.kind,
    job.not_before,
    sqlite_where=_IS_WAITING,
    postgresql_where=_IS_WAITING,
)
_HAS_FAILED: Final = job.state == literal_column(f"'{DerivedState.FAILED}'")
Index("ix_derived_job_failed", job.kind, sqlite_where=_HAS_FAILED, postgresql_where=_HAS_FAILED)


@dataclass(frozen=True)
class Source:
    """What something is to be made of, and the host that has it, if it is not stored here."""

    kind: DerivedKind
    source: str
    host: str = ""


@dataclass(frozen=True)
class DerivedJob:
    """A claimed job; `attempts` counts this one too."""

    kind: DerivedKind
    source: str
    host: str
    attempts: int
    epoch: int


def request(database: Database, sources: Iterable[Source]) -> None:
    """Let the worker make these; what waits or has failed stays as it is."""
    with database.write() as connection:
        rows = [{**vars(each), "not_before": database.now(connection)} for each in sources]
        if rows:
            connection.execute(upsert(connection, derived_job).on_conflict_do_nothing(), rows)


def claim(database: Database, kind: DerivedKind, except_hosts: Collection[str] = ()) -> DerivedJob | None:
    """Claim the job that has been due the longest; None where there is none. One with too many attempts has failed."""
    while True:
        with (
            database.read_committed() as connection
        ):  # most polls find nothing, and need no write transaction
            if connection.scalar(_due(database.now(connection), kind, except_hosts)) is None:
                return None
        with database.write() as connection:
            now = database.now(connection)
            found = connection.execute(
                select(derived_job)
                .where(job.kind == kind, job.source.in_(_due(now, kind, except_hosts)))
                .with_for_update(skip_locked=True)
            ).one_or_none()
            if found is None:
                return None
            claimed = DerivedJob(kind, found.source, found.host, found.attempts + 1, found.lease_epoch + 1)
            is_lost = found.attempts >= MAX_ATTEMPTS
            connection.execute(
                update(derived_job)
                .where(job.kind == kind, job.source == found.source)
                .values(
                    state=DerivedState.FAILED if is_lost else DerivedState.WAITING,
                    attempts=found.attempts if is_lost else claimed.attempts,
                    lease_until=now if is_lost else now + LEASE,
                    lease_epoch=claimed.epoch,
                )
            )
        if not is_lost:
            return claimed


def finish(database: Database, claimed: DerivedJob) -> None:
    """Delete the row of a job whose result is kept."""
    with database.write() as connection:
        connection.execute(delete(derived_job).where(_held(claimed)))


def fail(database: Database, claimed: DerivedJob, problem: str) -> None:
    """Record why it cannot be made; it is not tried again."""
    _change(database, claimed, state=DerivedState.FAILED, problem=problem)


def retry(
    database: Database, claimed: DerivedJob, problem: str, pause: timedelta, *, counted: bool = True
) -> None:
    """Schedule another attempt, unless this was the last one; one that is not `counted` never is."""
    if counted and claimed.attempts >= MAX_ATTEMPTS:
        fail(database, claimed, problem)
        return
    attempts = claimed.attempts if counted else claimed.attempts - 1
    _change(database, claimed, pause, attempts=attempts, problem=problem)


def release(database: Database, claimed: DerivedJob) -> None:
    """End the lease as if the attempt had not begun, so that another process can claim it at once."""
    _change(database, claimed, attempts=claimed.attempts - 1)


def has_failed(connection: Connection, kind: DerivedKind, source: str) -> bool:
    """Whether it is known that this cannot be made."""
    return connection.scalar(select(job.state).where(job.kind == kind, job.source == source)) == (
        DerivedState.FAILED
    )


@dataclass(frozen=True)
class DerivedCounts:
    """How many sources of a kind wait for a worker, have one, or failed; each counted up to MAX_COUNTED."""

    waiting: int
    running: int
    failed: int


def counts(connection: Connection, kind: DerivedKind, now: datetime) -> DerivedCounts:
    # Those that a worker has were due the longest: they are among the first.
    first = (
        select(job.lease_until)
        .where(_IS_WAITING, job.kind == kind)
        .order_by(job.not_before)
        .limit(MAX_COUNTED)
    ).subquery()
    waits = first.c.lease_until <= now
    waiting, running = connection.execute(
        select(func.count(case((waits, 1))), func.count(case((~waits, 1))))
    ).one()
    failed = count_up_to_limit(connection, select(job.source).where(_HAS_FAILED, job.kind == kind))
    return DerivedCounts(waiting, running, failed)


def problems(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """Return why sources failed: `kind`, `problem` and the number of `sources`, the most frequent first."""
    failed = select(job.kind, job.problem).where(_HAS_FAILED).limit(MAX_COUNTED).subquery()
    sources = func.count().label("sources")
    most_first = select(failed, sources).group_by(*failed.c).order_by(sources.desc(), *failed.c)
    return connection.execute(most_first.limit(limit)).mappings().all()


def _change(database: Database, claimed: DerivedJob, pause: timedelta = timedelta(), **values: Any) -> None:
    with database.write() as connection:
        now = database.now(connection)
        ended = {"lease_until": now, "not_before": now + pause}
        connection.execute(update(derived_job).where(_held(claimed)).values({**ended, **values}))


def _due(now: datetime, kind: DerivedKind, except_hosts: Collection[str]) -> Any:
    due = and_(_IS_WAITING, job.kind == kind, job.not_before <= now, job.lease_until <= now)
    if except_hosts:
        due = and_(due, job.host.not_in(sorted(except_hosts)))
    return select(job.source).where(due).order_by(job.not_before, job.source).limit(1)


def _held(claimed: DerivedJob) -> ColumnElement[bool]:
    return and_(
        job.kind == claimed.kind, job.source == claimed.source, job.lease_epoch == claimed.epoch, _IS_WAITING
    )
