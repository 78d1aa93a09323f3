"""The operators' first look: whether all is well, what waits, and the last day."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from api.auth.authentication import OperatorDep, ServicesDep
from api.json_response import AsciiJsonResponse
from api.openapi import errors
from api.requests.known_names import StrictRoute
from api.responses.pending import oldest_pending
from api.services import Services
from outbox.views.attempt_counts import attempts_by_hour, failures_by_hour
from outbox.views.status import unfinished_records

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class OverviewBody(BaseModel):
    """What waits in all accounts, by the state of its mirror, and the attempts and failures of the last day."""

    problem: str | None = Field(
        description="why the service cannot work, or may send nothing; null if all is well"
    )
    records: dict[str, int]
    oldest_pending_at: datetime | None = Field(
        description="the time of the oldest change that waits only for the relay"
    )
    attempts: list[int] = Field(description="in each hour of the last day, the current hour last")
    failures: list[int] = Field(description="in each hour of the last day, the current hour last")


@router.get("/ops/overview", response_model=OverviewBody, responses=errors(401, 403, 503))
def read_overview(_operator: OperatorDep, services: ServicesDep) -> Response:
    """Read whether all is well, what waits, and since when; attempts and failures by the hour."""
    problem = services.not_ready_because() or services.silent_because()
    with services.database.read() as connection:
        return AsciiJsonResponse(_overview(services, connection, problem))


def _overview(services: Services, connection: Connection, problem: str | None) -> OverviewBody:
    now = services.database.now(connection)
    return OverviewBody(
        problem=problem,
        records=unfinished_records(connection),
        oldest_pending_at=min(oldest_pending(connection).values(), default=None),
        attempts=attempts_by_hour(connection, now),
        failures=list(failures_by_hour(connection, now)),
    )
