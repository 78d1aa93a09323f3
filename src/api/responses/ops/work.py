"""What waits, and the background work of all processes, as JSON. It is counted up to MAX_COUNTED, and few rows of each kind are named."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from pydantic import BaseModel, Field

from aggregates.states import State
from api.json_response import body_from
from api.responses.ops.deliveries import BEGAN_WITH
from api.services import Services
from eventstore.jobs.table import JobState
from eventstore.jobs.views import count_jobs
from eventstore.projection import outdated
from eventstore.sql.database import MAX_COUNTED
from eventstore.sql.schema import stored_event
from outbox.firehose.cursors import streams
from outbox.mirror.due import is_open
from outbox.mirror.states import LaneState, MirrorState, TargetState
from outbox.mirror.tables import IS_TROUBLED, target
from outbox.views.overview import CLASS
from outbox.views.status import IS_SAMPLED, STATE, TARGETS_AT_WORK
from projections.history import history
from projections.rebuild.rebuild import run_under_way
from replay.reconcile.scan import scan_progress, unread_repos

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


class JobCountRow(BaseModel):
    """The jobs of a kind in a state."""

    kind: str
    state: JobState
    jobs: int


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
    jobs: list[JobCountRow] = Field(description="those that wait, run or have failed; `/ops/jobs` lists them")
    scan: ScanBody
    firehose: FirehoseBody


def work_body(services: Services, connection: sa.Connection) -> WorkBody:
    now = services.database.now(connection)
    head = connection.scalar(sa.select(sa.func.max(stored_event.c.position))) or 0
    old, replay = outdated(connection, services.log.projections), run_under_way(connection)
    scan, firehose = scan_progress(connection, now, services.scan_interval), FirehoseBody(enabled=False)
    unread = unread_repos(connection, limit=NAMED) if scan["unread"] else ()
    if services.follows_firehose:
        found = streams(connection, now, limit=NAMED_STREAMS)
        items = list(map(dict, found.rows))
        firehose = body_from(FirehoseBody, found, enabled=True, streams=found.by_state, items=items)
    return WorkBody(
        at=now,
        head=head,
        read_models=[
            ReadModelRow(name=each.name, state=ReadModelState.OUTDATED, position=None)
            if each in old
            else ReadModelRow(name=each.name, state=ReadModelState.CURRENT, position=head)
            for each in services.log.projections
        ],
        replay=replay and body_from(ReplayBody, replay, read_models=replay.read_models.split()),
        jobs=[JobCountRow(kind=kind, state=state, jobs=jobs) for kind, state, jobs in count_jobs(connection)],
        scan=ScanBody(
            **scan,
            interval_seconds=services.scan_interval.total_seconds(),
            unread_repos=[UnreadRepoRow(**row) for row in unread],
        ),
        firehose=firehose,
    )


NEEDED: Final[Mapping[str, sa.ColumnElement[bool]]] = {
    MirrorState.HELD: target.state == TargetState.HELD,
    MirrorState.DETACHED: target.detached,
}
"""What these states need at least: cheaper to ask of very many targets that fail than the whole state."""


class WaitRow(BaseModel):
    """Records that wait for a person or, where `state` is pending, that failed and are tried again."""

    state: str
    reason: str | None = Field(description="of parked records: why their lanes are sent nothing")
    records: int
    accounts: int
    since: datetime | None = Field(description="since when the first of them waits")


def wait_rows(connection: sa.Connection, unfinished: Sequence[Any]) -> list[WaitRow]:
    """Return those of the rows of `unfinished_by_reason` that do not just wait for their turn."""
    found: list[WaitRow] = []
    for row in unfinished:
        state, reason, since = row.mirror_state, row.mirror_reason, row.since
        records, accounts = row.records, row.accounts
        if state == MirrorState.PENDING:
            records, accounts, since = row.failing, row.failing_accounts, row.failing_since
        elif state in BEGAN_WITH:
            is_in_state = (IS_TROUBLED, NEEDED[state], STATE.in_((state,)))
            since = earliest_event(connection, BEGAN_WITH[state], *is_in_state)
        if records and reason != LaneState.STALE:  # the relay looks for such an account by itself
            found.append(WaitRow(state=state, reason=reason, records=records, accounts=accounts, since=since))
    return found


_IS_OF_TARGET: Final = sa.and_(
    history.c.bucket == target.bucket, history.c.track_id == target.subject_id, history.c.kind == target.kind
)


def earliest_event(
    connection: sa.Connection, event: str, *is_counted: sa.ColumnElement[bool]
) -> datetime | None:
    """Return the earliest of the times at which each record that is counted had its newest event of this type."""
    newest = (
        sa.select(sa.func.max(history.c.at).label("at"))
        .select_from(TARGETS_AT_WORK)
        .join(history, _IS_OF_TARGET)
        .where(*is_counted, history.c.type == event)
        .group_by(target.subject_id, target.kind)
        .subquery()
    )
    at: datetime | None = connection.scalar(sa.select(sa.func.min(newest.c.at)))
    return at


def oldest_pending(connection: sa.Connection) -> dict[str, datetime]:
    """Return the time of the oldest change that waits only for the relay, by class of work; of many, among a sample."""
    waits = (IS_SAMPLED, is_open(), STATE == MirrorState.PENDING)
    is_unsent = (history.c.touches_record, history.c.position > target.acked_gen)
    changes = sa.select(CLASS.label("work"), sa.func.min(history.c.at)).select_from(TARGETS_AT_WORK)
    found = changes.join(history, _IS_OF_TARGET).where(*waits, *is_unsent)
    return dict(connection.execute(found.group_by("work")).all())
