"""The background work of all processes as JSON. What waits is counted up to MAX_COUNTED, and few rows of each kind are named."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, RowMapping, func, select

from api.json_response import body_from
from api.responses.uploads import UploadsBody, uploads_body
from api.services import Services
from eventstore.database import MAX_COUNTED
from eventstore.jobs import queue
from eventstore.jobs.table import JobState
from eventstore.projection_state import all_outdated
from eventstore.states import State
from outbox.firehose.cursors import streams
from projections.rebuild.scratch import run_under_way
from replay.adoption.jobs import ADOPTION, progress_of
from replay.reconcile.scan_progress import scan_progress, unread_repos
from storage.derived.jobs import DerivedKind, problems

NAMED: Final = 10
"""Rows of each kind that are named."""
NAMED_STREAMS: Final = 20
MOST_COUNTED: Final = MAX_COUNTED
"""Stands for as many or more."""


class ReadModelState(State):
    """States of a read model."""

    CURRENT = "current", "at the head of the log: each append applies its events at once"
    OUTDATED = "outdated", "another version made its rows: no edit is taken before `mastertape rebuild`"


class ReadModelRow(BaseModel):
    """A read model; `position` is null where another version made its rows."""

    name: str
    state: str
    position: int | None


class ReplayBody(BaseModel):
    """A replay of the log, for a rebuild or a comparison: `position` is how far, `head` how far it has to go.

    The last step shows no progress. A run that a crash cut off stays, and its `moved_at` with it.
    """

    work: str
    read_models: list[str]
    position: int
    head: int
    began_at: datetime
    moved_at: datetime


class JobRow(BaseModel):
    """The newest run of a periodic job; `ended_at` and `problem` are of the last one that ended."""

    name: str
    state: str = Field(description="new, running, done, failed or cut_off")
    began_at: datetime | None
    ended_at: datetime | None
    problem: str | None
    failing_since: datetime | None
    next_at: datetime | None = Field(description="when it is due; null while it runs")
    holder: str | None = Field(
        description="the process that holds its lease: it runs the job, or ran it last"
    )


class AdoptionRow(BaseModel):
    """An account's adoption: of the records `found` at the PDS, so many were known before, became tracks, or cannot."""

    did: str
    state: str = Field(description="running, waiting or failed")
    requested_at: datetime
    ended_at: datetime | None
    next_attempt_at: datetime | None
    found: int
    known: int
    adopted: int
    refused: int
    problem: str | None


class AdoptionsBody(BaseModel):
    """The adoptions that are not done, and the newest of each state."""

    waiting: int
    running: int
    failed: int
    items: list[AdoptionRow]


class DerivedRow(BaseModel):
    """What is made of media, by kind."""

    kind: str
    waiting: int
    running: int
    failed: int


class DerivedFailureRow(BaseModel):
    """Why something could not be made, and of how many sources."""

    kind: str
    problem: str | None
    sources: int


class DerivedBody(BaseModel):
    """Work on what is derived from media; what has been made is not counted."""

    kinds: list[DerivedRow]
    failures: list[DerivedFailureRow]


class UnreadRepoRow(BaseModel):
    """A repo that the scan could not read the last time."""

    did: str
    host: str
    scanned_at: datetime
    problem: str


class ScanBody(BaseModel):
    """The scan of the repos of all accounts: how many are `due`, and how many the last one could not read.

    All of it is of the first 10,000 repos, by the DIDs of their accounts.
    """

    interval_seconds: float
    repos: int
    due: int
    unread: int
    last_at: datetime | None
    oldest_at: datetime | None = Field(description="the oldest of their last scans")
    unread_repos: list[UnreadRepoRow]


class StreamRow(BaseModel):
    """A host's firehose, as the process that follows it has recorded."""

    host: str
    state: str = Field(description="followed, disconnected or unfollowed")
    connected_at: datetime | None
    heard_at: datetime | None = Field(description="when the host sent the last message that was processed")
    lag_seconds: float | None = Field(description="how late that message was")
    problem: str | None
    holder: str | None


class FirehoseBody(BaseModel):
    """The firehoses: `streams` counts them by state."""

    enabled: bool = Field(description="whether FIREHOSE is on; nothing is counted where it is not")
    streams: dict[str, int] = {}
    heard_at: datetime | None = None
    lag_seconds: float | None = Field(None, description="the worst of those that are followed")
    items: list[StreamRow] = []


class WorkBody(BaseModel):
    """All background work, at one time. A count of 10,000 stands for as many or more."""

    at: datetime
    head: int = Field(description="the position of the newest event")
    read_models: list[ReadModelRow]
    replay: ReplayBody | None
    jobs: list[JobRow]
    adoptions: AdoptionsBody
    uploads: UploadsBody
    derived: DerivedBody
    scan: ScanBody
    firehose: FirehoseBody


def work_body(services: Services, connection: Connection) -> WorkBody:
    now = services.database.now(connection)
    head = connection.scalar(select(func.max(services.log.table.c.position))) or 0
    return WorkBody(
        at=now,
        head=head,
        read_models=_read_models(services, connection, head),
        replay=_replay(connection),
        jobs=[JobRow(**vars(each)) for each in services.jobs(connection)],
        adoptions=_adoptions(connection),
        uploads=uploads_body(connection, now),
        derived=_derived(connection),
        scan=_scan(services, connection, now),
        firehose=_firehose(services, connection, now),
    )


def _read_models(services: Services, connection: Connection, head: int) -> list[ReadModelRow]:
    old = all_outdated(connection, services.log.projections, services.log.table)
    return [
        ReadModelRow(name=each.name, state=ReadModelState.OUTDATED, position=None)
        if each.name in old
        else ReadModelRow(name=each.name, state=ReadModelState.CURRENT, position=head)
        for each in services.log.projections
    ]


def _replay(connection: Connection) -> ReplayBody | None:
    run = run_under_way(connection)
    if run is None:
        return None
    return body_from(ReplayBody, run, read_models=run.read_models.split())


def _adoptions(connection: Connection) -> AdoptionsBody:
    counts = queue.counts(connection, ADOPTION)
    return AdoptionsBody(
        waiting=counts[JobState.WAITING],
        running=counts[JobState.RUNNING],
        failed=counts[JobState.FAILED],
        items=[_adoption(row) for row in queue.newest(connection, ADOPTION, of_each=NAMED)],
    )


def _adoption(row: RowMapping) -> AdoptionRow:
    waits = row["state"] == JobState.WAITING
    return AdoptionRow(
        **{**row, **vars(progress_of(row))}, did=row["subject"], next_attempt_at=row["due"] if waits else None
    )


def _derived(connection: Connection) -> DerivedBody:
    return DerivedBody(
        kinds=[DerivedRow(kind=kind, **queue.counts(connection, kind)) for kind in DerivedKind],
        failures=[DerivedFailureRow(**row) for row in problems(connection, limit=NAMED)],
    )


def _scan(services: Services, connection: Connection, now: datetime) -> ScanBody:
    progress = scan_progress(connection, now, services.scan_interval)
    unread = unread_repos(connection, limit=NAMED) if progress.unread else ()
    return ScanBody(
        interval_seconds=services.scan_interval.total_seconds(),
        **vars(progress),
        unread_repos=[UnreadRepoRow(**row) for row in unread],
    )


def _firehose(services: Services, connection: Connection, now: datetime) -> FirehoseBody:
    if not services.follows_firehose:
        return FirehoseBody(enabled=False)
    found = streams(connection, now, limit=NAMED_STREAMS)
    return FirehoseBody(
        enabled=True,
        streams=dict(found.by_state),
        heard_at=found.heard_at,
        lag_seconds=found.lag_seconds,
        items=[StreamRow(**row) for row in found.rows],
    )
