"""Bodies of lanes, hosts and failures, of what is done about them, and of how far that is."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import sqlalchemy as sa
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from api.json_response import body_from
from api.requests.parameters import DRY_RUN, MAX_ID, Name, decoded_cursor
from api.responses.mirror import LaneBody, lane_body
from identity.accounts.accounts import accounts_of
from identity.sessions.session_store import LoginState, login_of
from outbox.mirror.hosts import breaker_state
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import NEVER, PAST
from outbox.operations.operators import Action, UnknownTargetError
from outbox.pds.client import RecordKey
from outbox.pds.verdict import Phase, kind_of_failure
from outbox.views import overview
from outbox.views.causes import CauseCount
from outbox.views.drain import drains_of_hosts
from outbox.views.failures import waiting
from outbox.views.status import next_attempt_at
from projections.history import newest_at
from projections.tracks.queries import titles_of

P = TypeVar("P")

_UPLOAD_REQUESTED: Final = Track.BlobMigrationRequested.__name__
BEGAN_WITH: Final[Mapping[str, str]] = {
    MirrorState.HELD: Track.ForeignEditObserved.__name__,
    MirrorState.DETACHED: Track.RecordMissing.__name__,
}
"""The event with which another client's change was noticed."""


Known = Annotated[datetime | None, BeforeValidator(lambda at: at if at and PAST < at < NEVER else None)]
"""A time of a row, where it has one."""


class LaneRow(BaseModel):
    """An account's lane: `waiting` counts its records that are not as the log says, by state."""

    did: str
    host: str | None
    state: str
    due_at: Known
    backfill_at: Known
    not_before: Known
    paced_until: Known
    failures: int
    failing_since: datetime | None
    first_error: str | None
    last_success_at: datetime | None
    under_way: bool
    waiting: dict[str, int]


class HostRow(BaseModel):
    """A PDS host: `lanes` counts its accounts by the state of their lanes, `drains_in` is in seconds.

    Where records wait and none is delivered, `drains_in` is null, and `stalled_by` is the state of their lanes.
    """

    host: str
    paused: bool
    followed: bool = Field(description="false while an operator has its firehose not read")
    breaker: str
    retry_at: Known
    paced_until: Known
    failures: int
    failing_since: datetime | None
    first_error: str | None
    last_error: str | None
    last_success_at: datetime | None = Field(description="of a delivery to any of its accounts")
    refuted_writes: int = Field(
        description="acknowledged and not there when they were read back, since the host was last resumed"
    )
    max_lanes: int
    under_way: int
    requests_left: int | None = Field(description="points of the budget that all its accounts share")
    requests_limit: int | None
    requests_reset_at: datetime | None
    uploads_left: int | None
    uploads_limit: int | None
    uploads_reset_at: datetime | None
    lanes: dict[str, int]
    waiting: int
    drains_in: float | None
    stalled_by: str | None


class FailureRow(BaseModel):
    """A record that does not reach its PDS; `cause` is the id of why it last failed."""

    kind: str = Field(description="of what the record is: track, or another kind")
    track_id: int | None = Field(description="null where it is of another kind")
    title: str | None = Field(description="null while the read model has no row of the track")
    did: str
    host: str
    record_uri: str
    state: str
    reason: str | None
    attempts: int
    cause: str | None
    since: datetime | None = Field(
        description="since when it is so: the first failure, another client's change, or the newest change"
    )
    failing_since: datetime | None
    first_error: str | None
    last_error: str | None
    blob_error: str | None
    last_success_at: datetime | None = Field(description="when the PDS last confirmed the record")
    generation: int
    acked_generation: int
    next_attempt_at: Known


class SampleBody(BaseModel):
    """The newest failure of a cause; null where its account has been deleted."""

    did: str | None
    kind: str | None = Field(description="of what its record is: track, or another kind")
    track_id: int | None
    error: str | None


class CauseRow(BaseModel):
    """Why requests to a host fail: what they were to do, and the status and error that ended them.

    `failures` counts them since the cause was first seen, `trend` those in each hour of the last day, the current hour
    last; `records` is how many records wait for it now: a redrive of this cause retries as many.
    """

    id: str
    host: str
    phase: str = Field(description="write, upload or read")
    status: int | None
    error: str
    kind: str = Field(description="what the relay makes of it, such as rejected, not_sent or sign_in")
    first_seen_at: datetime
    last_seen_at: datetime
    failures: int
    records: int
    trend: list[int]
    sample: SampleBody


class HitRow(BaseModel):
    """An account, and how many of its records are not delivered."""

    did: str
    records: int


class FailuresBody(BaseModel):
    """Some failing records or, by cause, some `causes`, by account some `accounts`; and the cursor of the next page when there is one."""

    items: list[FailureRow] = []
    causes: list[CauseRow] = []
    accounts: list[HitRow] = []
    cursor: str | None


class OperationBody(BaseModel):
    """An action and its targets; with `dry_run` they are only counted."""

    action: Action = Field(description="what to do")
    did: Name | None = Field(None, description="the account")
    host: Name | None = Field(None, description="the origin of a PDS; `did` wins over it")
    error: Name | None = Field(None, description="only records with this last error, in a redrive")
    cause: Name | None = Field(None, description="only records that fail for this cause, in a redrive")
    record: Name | None = Field(None, description="only this record, by its URI, in a redrive")
    reason: Name | None = Field(None, description="why; the log keeps it")
    expected: int | None = Field(
        None,
        ge=0,
        description="how many a dry run counted: where it would be another number now, nothing is done (409)",
    )
    dry_run: bool = DRY_RUN


class OperatedBody(BaseModel):
    """The number of accounts, of hosts that are followed or not, or of records in a redrive, that changed or would change.

    A resume also sends at once what waits for accounts that were not paused: `sent_at_once` counts them all.
    """

    action: Action
    affected: int
    sent_at_once: int | None
    dry_run: bool


class ProgressBody(BaseModel):
    """What of an action is not done yet: accounts, or records of a redrive."""

    action: Action
    waiting: int
    failing: int = Field(description="records of a redrive that failed again")


def lane_rows(connection: sa.Connection, rows: Sequence[Any], now: datetime) -> list[LaneRow]:
    waiting = overview.waiting_in(connection, [row.did for row in rows])
    return [
        body_from(
            LaneRow,
            row,
            host=row.host or None,
            state=row.mirror_state,
            under_way=row.lease_until > now,
            waiting=waiting.get(row.did, {}),
        )
        for row in rows
    ]


def host_rows(connection: sa.Connection, rows: Sequence[Any], now: datetime) -> list[HostRow]:
    origins = [row.host for row in rows]
    lanes = overview.lanes_at(connection, origins, now)
    drains = drains_of_hosts(connection, origins, now)
    return [
        body_from(
            HostRow,
            row,
            breaker=breaker_state(row, now),
            **vars(lanes[row.host]),
            requests_left=row.budget_left,
            requests_limit=row.budget_limit,
            requests_reset_at=row.budget_reset,
            uploads_left=row.blob_left,
            uploads_limit=row.blob_limit,
            uploads_reset_at=row.blob_reset,
            waiting=drains[row.host].records,
            drains_in=drains[row.host].seconds,
            stalled_by=drains[row.host].stalled_by,
        )
        for row in rows
    ]


def failure_rows(connection: sa.Connection, rows: Sequence[Any], now: datetime) -> list[FailureRow]:
    ids = {row.subject_id for row in rows}
    began = newest_at(connection, ids, (*BEGAN_WITH.values(), _UPLOAD_REQUESTED))
    titles = titles_of(connection, ids)
    found = []
    for row in rows:
        track_id = row.subject_id if row.kind == Track.TOPIC else None
        next_at = next_attempt_at(row, row.state, row.reason)
        body = body_from(
            FailureRow,
            row,
            track_id=track_id,
            title=None if track_id is None else titles.get(track_id),
            record_uri=RecordKey(row.did, row.collection, row.rkey).uri,
            since=_since(row, began),
            next_attempt_at=next_at and max(next_at, now),
        )
        found.append(body)
    return found


def _since(row: Any, began: Mapping[tuple[str, int, str], datetime]) -> datetime | None:
    since: datetime | None
    if (event := BEGAN_WITH.get(row.state)) is not None:
        since = began.get((row.kind, row.subject_id, event), row.changed_at)
    elif row.generation > row.acked_generation:
        since = row.failing_since or row.changed_at
    else:  # its audio alone is missing
        since = row.blob_failing_since or began.get(
            (row.kind, row.subject_id, _UPLOAD_REQUESTED), row.changed_at
        )
    return since


def cause_row(found: CauseCount) -> CauseRow:
    row = found.row
    sample = SampleBody(
        did=row.sample_did,
        kind=row.sample_kind,
        track_id=row.sample_track_id if row.sample_kind == Track.TOPIC else None,
        error=row.sample_error,
    )
    kind = kind_of_failure(Phase[row.phase.upper()], row.status, row.error)
    return body_from(CauseRow, row, kind=kind, records=found.records, trend=list(found.trend), sample=sample)


FOLLOWS_TIME: Final = TypeAdapter(tuple[AwareDatetime, Annotated[str, Field(min_length=1)]])
FOLLOWS_RECORD: Final = TypeAdapter(
    tuple[Annotated[int, Field(ge=0, le=MAX_ID)], str, Annotated[int, Field(ge=0, le=1)]]
)
"""What cursors of several parts name: a time and a name, or a record by id and kind, and whether it is a former one."""


def time_cursor(at: datetime, name: str) -> str:
    return f"{at.isoformat().replace('+00:00', 'Z')}_{name}"


def place_cursor(row: Any) -> str:
    return f"{row.subject_id}_{row.kind}_{int(row.former)}"


def parts_of(cursor: str | None, parts: TypeAdapter[P], count: int) -> P | None:
    """Return what a cursor of so many parts names; raises InvalidFieldError."""
    if (place := decoded_cursor(cursor)) is None:
        return None
    try:
        return parts.validate_python(tuple(place.split("_", count - 1)))
    except ValidationError:
        raise InvalidFieldError("cursor", "must be the `cursor` of the page before") from None


FIRST_RECORDS: Final = 20


class LoginBody(BaseModel):
    """The account's login at its PDS: `signed_in`; `expired`, until it is renewed; `ended`, until its owner signs in; `none`."""

    state: LoginState
    kind: str | None = Field(description="oauth or app_password")
    changed_at: datetime | None = Field(description="when it was renewed, or ended")
    expires_at: datetime | None = Field(description="of the access token, which the service renews by itself")
    problem: str | None = Field(description="why it ended, or was not renewed the last time")


class LaneOfAccountBody(LaneBody):
    """A lane as its owner reads it at /me/mirror, with its login, its host and the first records that wait."""

    handle: str | None
    under_way: bool = Field(description="whether a relay delivers it now")
    login: LoginBody
    pds: HostRow | None = Field(description="its host, as in /ops/hosts")
    records: list[FailureRow] = Field(description=f"the first {FIRST_RECORDS} records that wait")


def lane_of_account(connection: sa.Connection, did: str, now: datetime) -> LaneOfAccountBody:
    lane = overview.lane_of(connection, did)
    if lane is None:
        raise UnknownTargetError(did)
    account = accounts_of(connection, [did]).get(did)
    hosts = host_rows(connection, overview.hosts(connection, named=lane.host, limit=1), now)
    rows = connection.execute(waiting(did, limit=FIRST_RECORDS)).all()
    return LaneOfAccountBody(
        **lane_body(connection, did, now).model_dump(),
        handle=None if account is None else account.handle,
        under_way=lane.lease_until > now,
        login=LoginBody(**login_of(connection, did, now)),
        pds=next(iter(hosts), None),
        records=failure_rows(connection, rows, now),
    )
