"""Repairs and other jobs as JSON."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import sqlalchemy as sa
from pydantic import BaseModel, Field, StringConstraints

from api.json_response import ListedUri, body_from
from api.requests.parameters import Name
from eventstore.jobs.table import JobState
from outbox.views import overview
from replay.reconcile.drift import Repair
from replay.repair.jobs import WORKED_ON
from replay.repair.plan import PlanCounts, steps_in

MAX_NAMED_STEPS: Final = 50

Reason = Annotated[Name, StringConstraints(min_length=1), Field(description="why; the log keeps it")]


class RepairAction(StrEnum):
    APPLY = "apply"
    CANCEL = "cancel"


class StartRepairBody(BaseModel):
    """The account whose records are compared with the log."""

    did: Name = Field(description="the account")
    reason: Reason


class DecideRepairBody(BaseModel):
    """The plan to apply, by its digest, or the end of the repair."""

    action: RepairAction = Field(description="what to do")
    digest: Name = Field("", description="of the plan to apply: it applies exactly that one")
    max_deletes: int = Field(0, ge=0, description="how many records it may delete")
    reason: Reason


class RepairRow(BaseModel):
    """A repair of an account: `steps` are those of its plan that do something, of which so many were applied or skipped.

    `points` are of the account's rate limit, `seconds` how long the relay takes with a full one.
    """

    id: int
    did: str
    state: str = Field(description="verifying, planned, applying, done, cancelled or failed")
    requested_at: datetime
    by: str = Field(description="the admin who started it or, since then, applied its plan")
    planned_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    problem: str | None
    records: int = Field(description="how many the PDS holds of those that were compared")
    steps: int
    deletes: int
    points: int
    seconds: float
    left_out: int = Field(description="how many differ beyond those of the plan")
    unjudged: int = Field(description="how many were on their way or could not be read, and may differ too")
    applied: int
    skipped: int


class RepairGroupBody(BaseModel):
    """How many records get a repair, and because of what."""

    repair: str = Field(description="restore, rewrite, delete, look (the relay reads it again) or nothing")
    because: str
    records: int
    points: int


class RepairStepBody(BaseModel):
    """What the plan does about one record; `known` differences wait for their owner's decision already."""

    repair: str
    because: str
    track_id: int | None
    uri: ListedUri
    expected_cid: str | None
    found_cid: str | None
    known: bool


class RepairSkipBody(BaseModel):
    """A step that was not applied, and why."""

    track_id: int | None
    uri: ListedUri
    reason: str = Field(description="changed_here, changed_on_pds, not_compared or agrees")


class RepairBody(RepairRow):
    """A repair with its plan: counted in groups, the first 50 steps, and up to 500 that were skipped.

    `waiting` counts what the relay still has to deliver, by state.
    """

    digest: str | None
    groups: list[RepairGroupBody]
    first: list[RepairStepBody]
    skips: list[RepairSkipBody]
    waiting: dict[str, int]


def repair_row(row: sa.Row[Any]) -> RepairRow:
    return body_from(RepairRow, row, **_facts(row))


def repair_body(connection: sa.Connection, row: sa.Row[Any]) -> RepairBody:
    steps = steps_in(row.steps, row.did) if row.steps is not None else ()
    first = [step for step in steps if step.repair is not Repair.NOTHING][:MAX_NAMED_STEPS]
    return body_from(
        RepairBody,
        row,
        **_facts(row),
        groups=row.counts,
        first=[
            body_from(
                RepairStepBody,
                step,
                repair=step.repair.value,
                because=step.kind.value,
                uri=step.key.uri,
                known=step.is_known,
            )
            for step in first
        ],
        waiting=overview.waiting_in(connection, [row.did]).get(row.did, {}),
    )


def _facts(row: sa.Row[Any]) -> dict[str, Any]:
    waits = row.state in WORKED_ON and row.problem is not None and row.lease_owner is None
    counts = vars(PlanCounts.of(row.counts))
    return {**counts, "by": row.actor, "next_attempt_at": row.due if waits else None}


class JobRow(BaseModel):
    """A job. `attempts` are those begun in a row; `failing_since` and `first_error` are null while it does not fail."""

    id: int
    kind: str
    subject: str = Field(
        description="what it works on: an account, a source of media, the name of periodic work"
    )
    account: str = Field(description="whose turns it takes")
    host: str = Field(description="that it sends requests to; empty for none, or several")
    state: JobState
    requested_at: datetime
    due: datetime = Field(description="when it is tried next")
    began_at: datetime | None = Field(description="of its newest attempt")
    began_by: str | None = Field(description="the process that began it")
    attempts: int
    progress: dict[str, int] | None
    failing_since: datetime | None
    first_error: str | None
    problem: str | None = Field(description="why it failed the last time")


def job_row(row: sa.RowMapping) -> JobRow:
    counts = {name: value for name, value in (row["progress"] or {}).items() if isinstance(value, int)}
    return JobRow.model_validate({**row, "progress": counts or None})
