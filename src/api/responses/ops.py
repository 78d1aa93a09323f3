"""Bodies of the operators' routes."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Connection

from outbox.mirror.host_state import breaker_state
from outbox.mirror.states import MirrorReason
from outbox.mirror.tables import NEVER, PAST
from outbox.operations.operators import Action
from outbox.pds.client import RecordKey
from outbox.views import overview
from outbox.views.drain import drain_of_host

Name = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]
"""Text that every database can store."""
DRY_RUN: Final[bool] = Field(False, description="whether to count only")


class LaneRow(BaseModel):
    """An account's lane: `waiting` counts its records that are not as the log says, by state."""

    did: str
    host: str | None
    state: str
    due_at: datetime | None
    backfill_at: datetime | None
    not_before: datetime | None
    paced_until: datetime | None
    failures: int
    under_way: bool
    waiting: dict[str, int]


class HostRow(BaseModel):
    """A PDS host: `lanes` counts its accounts by the state of their lanes, `drains_in` is in seconds."""

    host: str
    paused: bool
    breaker: str
    retry_at: datetime | None
    paced_until: datetime | None
    failures: int
    last_error: str | None
    max_lanes: int
    under_way: int
    requests_left: int | None
    uploads_left: int | None
    lanes: dict[str, int]
    waiting: int
    drains_in: float | None


class FailureRow(BaseModel):
    """A record that does not reach its PDS."""

    track_id: int
    did: str
    host: str
    record_uri: str
    state: str
    reason: str | None
    attempts: int
    last_error: str | None
    blob_error: str | None
    generation: int
    acked_generation: int
    next_attempt_at: datetime | None


class LanesBody(BaseModel):
    """Some lanes, and the cursor of the next page when there is one."""

    items: list[LaneRow]
    cursor: str | None


class HostsBody(BaseModel):
    """Some hosts, and the cursor of the next page when there is one."""

    items: list[HostRow]
    cursor: str | None


class FailuresBody(BaseModel):
    """Some failing records, and the cursor of the next page when there is one."""

    items: list[FailureRow]
    cursor: str | None


class OperationBody(BaseModel):
    """An action and its targets; with `dry_run` they are only counted."""

    action: Action = Field(description="what to do")
    did: Name | None = Field(None, description="the account")
    host: Name | None = Field(None, description="the origin of a PDS; `did` wins over it")
    error: Name | None = Field(None, description="only records with this last error, in a redrive")
    reason: Name | None = Field(None, description="why; the log keeps it")
    dry_run: bool = DRY_RUN


class OperatedBody(BaseModel):
    """The number of accounts, or of records in a redrive, that changed or would change."""

    action: Action
    affected: int
    dry_run: bool


class TakedownBody(BaseModel):
    """The reason to hide a track, or with `lift` to show it again; with `dry_run` nothing changes."""

    reason: Annotated[Name, StringConstraints(min_length=1)] = Field(description="why; the log keeps it")
    lift: bool = Field(False, description="whether to show the track again")
    dry_run: bool = DRY_RUN


class TakenDownBody(BaseModel):
    """Whether the track changed, or would, and since when it is hidden."""

    track_id: int
    taken_down_at: datetime | None
    affected: int
    dry_run: bool


def lane_rows(connection: Connection, rows: list[Any], now: datetime) -> list[LaneRow]:
    """Return rows of lanes with the number of records that wait in each."""
    waiting = overview.waiting_in(connection, [row.did for row in rows])
    return [
        LaneRow(
            did=row.did,
            host=row.host or None,
            state=row.mirror_state,
            due_at=_time(row.due_at),
            backfill_at=_time(row.backfill_at),
            not_before=_time(row.not_before),
            paced_until=_time(row.paced_until),
            failures=row.failures,
            under_way=row.lease_until > now,
            waiting=waiting.get(row.did, {}),
        )
        for row in rows
    ]


def host_rows(connection: Connection, rows: list[Any], now: datetime) -> list[HostRow]:
    origins = [row.host for row in rows]
    lanes = overview.lanes_at(connection, origins)
    under_way = overview.under_way_at(connection, origins, now)
    return [_host(row, lanes.get(row.host, {}), under_way.get(row.host, 0), connection, now) for row in rows]


def _host(row: Any, lanes: dict[str, int], under_way: int, connection: Connection, now: datetime) -> HostRow:
    drain = drain_of_host(connection, row.host, now)
    return HostRow(
        host=row.host,
        paused=row.paused,
        breaker=breaker_state(row, now),
        retry_at=_time(row.retry_at),
        paced_until=_time(row.paced_until),
        failures=row.failures,
        last_error=row.last_error,
        max_lanes=row.max_lanes,
        under_way=under_way,
        requests_left=row.budget_left,
        uploads_left=row.blob_left,
        lanes=lanes,
        waiting=drain.records,
        drains_in=drain.seconds,
    )


def failure_row(row: Any) -> FailureRow:
    return FailureRow(
        track_id=row.track_id,
        did=row.did,
        host=row.host,
        record_uri=RecordKey(row.did, row.collection, row.rkey).uri,
        state=row.mirror_state,
        reason=row.mirror_reason,
        attempts=row.attempts,
        last_error=row.last_error,
        blob_error=row.blob_error,
        generation=row.desired_gen,
        acked_generation=row.acked_gen,
        next_attempt_at=_time(row.not_before) if row.mirror_reason == MirrorReason.BACKOFF else None,
    )


def _time(time: datetime) -> datetime | None:
    return time if PAST < time < NEVER else None
