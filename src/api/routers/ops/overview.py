"""The operators' first look: whether all is well, what waits, the last day, and the work in the background."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, func, select

from api.auth.authentication import OperatorDep, ServicesDep
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.responses.ops.work import WaitRow, WorkBody, oldest_pending, wait_rows, work_body
from outbox.mirror.states import LaneState
from outbox.mirror.tables import mirror_lane
from outbox.views.causes import failures_by_hour
from outbox.views.overview import NEEDS_LOOK
from outbox.views.unfinished import unfinished_by_reason

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class ReleaseBody(BaseModel):
    """The release of the process that answered, and since when that process runs."""

    version: str
    started_at: datetime


class OverviewBody(BaseModel):
    """What waits in all accounts, by the state of its mirror, and how often requests failed in the last day."""

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
    failures: list[int] = Field(
        description="requests that failed in each hour of the last day, the current hour last"
    )
    release: ReleaseBody


@router.get("/ops/overview", responses=errors(401, 403, 503))
def read_overview(_operator: OperatorDep, services: ServicesDep) -> OverviewBody:
    """Read whether all is well, what waits, and since when; and how often requests failed in each hour of the last day."""
    problem = services.not_ready_because() or services.silent_because()
    with services.database.read() as connection:
        now = services.database.now(connection)
        unfinished = unfinished_by_reason(connection)
        return OverviewBody(
            problem=problem,
            records=_by_state(unfinished, "records"),
            accounts=_by_state(unfinished, "accounts"),
            waits=wait_rows(connection, unfinished),
            ready_accounts=_count(connection, mirror_lane.c.state == LaneState.READY, ~mirror_lane.c.paused),
            failing_hosts=_count(connection, NEEDS_LOOK),
            oldest_pending_at=min(oldest_pending(connection).values(), default=None),
            failures=failures_by_hour(connection, now),
            release=ReleaseBody(version=version("mastertape"), started_at=services.started_at),
        )


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count()).where(*conditions)) or 0


def _by_state(unfinished: Sequence[Any], what: str) -> dict[str, int]:
    """Add up the rows of each state: an account's parked records have one reason."""
    counted: Counter[str] = Counter()
    for row in unfinished:
        counted[row.mirror_state] += getattr(row, what)
    return dict(counted)


@router.get("/ops/work", responses=errors(401, 403, 503))
def read_work(_operator: OperatorDep, services: ServicesDep) -> WorkBody:
    """Read how far read models, uploads, the scan and the firehose are, how many jobs there are, and what failed."""
    with services.database.read() as connection:
        return work_body(services, connection)
