"""The operators' first look: whether all is well, what waits, the last day, and the work in the background."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.auth.authentication import OperatorDep, ServicesDep
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.responses.ops.waits import WaitRow, oldest_pending, wait_rows
from api.responses.ops.work import WorkBody, work_body
from api.services import Services
from outbox.views.attempt_counts import (
    attempts_between,
    deliveries_between,
    failed_attempts_between,
    failures_by_hour,
    first_ids,
    hours_of_day,
    parts_of_hour,
    waiting_since,
)
from outbox.views.overview import count_failing_hosts, count_ready_lanes
from outbox.views.unfinished import unfinished_by_reason

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class LastHourBody(BaseModel):
    """The last hour, in parts of five minutes, the current part last."""

    attempts: list[int] = Field(description="writes that were attempted")
    deliveries: list[int] = Field(description="of these, those that the PDS took")
    failures: list[int] = Field(description="of these, those that failed")
    waiting: list[int] = Field(description="records that wait now, by the time of their newest change")


class ReleaseBody(BaseModel):
    """The release of the process that answered, and since when that process runs."""

    version: str
    started_at: datetime


class OverviewBody(BaseModel):
    """What waits in all accounts, by the state of its mirror, and the attempts, deliveries, failures and waits of the last day and hour."""

    problem: str | None = Field(
        description="why the service cannot work, or may send nothing; null if all is well"
    )
    records: dict[str, int]
    accounts: dict[str, int] = Field(description="how many accounts those records are of, by the same states")
    waits: list[WaitRow] = Field(description="what waits for a person or, after a failure, to be tried again")
    ready_accounts: int = Field(description="accounts whose lane is ready and not paused")
    failing_hosts: int = Field(description="PDS hosts that fail, or that an operator paused")
    oldest_pending_at: datetime | None = Field(
        description="the time of the oldest change that waits only for the relay"
    )
    attempts: list[int] = Field(description="in each hour of the last day, the current hour last")
    deliveries: list[int] = Field(
        description="those that the PDS took, in each hour of the last day; of very many, an estimate"
    )
    failures: list[int] = Field(description="in each hour of the last day, the current hour last")
    waiting: list[int] = Field(
        description="records that wait now, by the hour of their newest change, the current hour last"
    )
    last_hour: LastHourBody
    release: ReleaseBody


@router.get("/ops/overview", responses=errors(401, 403, 503))
def read_overview(_operator: OperatorDep, services: ServicesDep) -> OverviewBody:
    """Read whether all is well, what waits, and since when; attempts, deliveries, failures and waits of the last day and hour."""
    problem = services.not_ready_because() or services.silent_because()
    with services.database.read() as connection:
        return _overview(services, connection, problem)


def _overview(services: Services, connection: Connection, problem: str | None) -> OverviewBody:
    now = services.database.now(connection)
    hours, parts = hours_of_day(now), parts_of_hour(now)
    of_last_day, of_last_hour = first_ids(connection, hours), first_ids(connection, parts)
    unfinished = unfinished_by_reason(connection)
    return OverviewBody(
        problem=problem,
        records=_by_state(unfinished, "records"),
        accounts=_by_state(unfinished, "accounts"),
        waits=wait_rows(connection, unfinished),
        ready_accounts=count_ready_lanes(connection),
        failing_hosts=count_failing_hosts(connection),
        oldest_pending_at=min(oldest_pending(connection).values(), default=None),
        attempts=attempts_between(of_last_day),
        deliveries=deliveries_between(connection, of_last_day),
        failures=list(failures_by_hour(connection, now)),
        waiting=waiting_since(connection, hours),
        last_hour=LastHourBody(
            attempts=attempts_between(of_last_hour),
            deliveries=deliveries_between(connection, of_last_hour),
            failures=failed_attempts_between(connection, of_last_hour),
            waiting=waiting_since(connection, parts),
        ),
        release=ReleaseBody(version=version("mastertape"), started_at=services.started_at),
    )


def _by_state(unfinished: Sequence[Any], what: str) -> dict[str, int]:
    """Add up the rows of each state: an account's parked records have one reason."""
    counted: Counter[str] = Counter()
    for row in unfinished:
        counted[row.mirror_state] += getattr(row, what)
    return dict(counted)


@router.get("/ops/work", responses=errors(401, 403, 503))
def read_work(_operator: OperatorDep, services: ServicesDep) -> WorkBody:
    """Read how far read models, jobs, adoptions, uploads, derived media, the scan and the firehose are, and what failed."""
    with services.database.read() as connection:
        return work_body(services, connection)
