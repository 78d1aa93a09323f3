"""The history of a track, for its owner and admins."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, SignedIn
from api.openapi import errors
from api.pipeline.exports import NDJSON, Export
from api.requests.known_names import StrictRoute
from api.requests.parameters import Cursor, PageOrLines, TrackId, cursor_of, line_count, page_length
from api.responses.history import ChangeBody, HistoryBody, lines, read_page
from api.services import Services
from application.authorization import require_reader
from application.tracks.as_of import changes_between
from application.tracks.revert import KEPT_BECAUSE
from identity.accounts.credentials import Principal

router = APIRouter(tags=["history"], route_class=StrictRoute)

Accept = Annotated[str, Header(description=f"`{NDJSON}` for lines of JSON")]
NOT_NEGATIVE: Final[dict[str, Any]] = {"minimum": 0}


class DiffQuery(BaseModel):
    """Two versions of a history; 0 is before the track was there, and without `to` it is the newest."""

    model_config = ConfigDict(populate_by_name=True)

    from_: int = Field(
        alias="from", description="a version; 0 is before the track was there", json_schema_extra=NOT_NEGATIVE
    )
    to: int | None = Field(
        default=None, description="a version; the newest when absent", json_schema_extra=NOT_NEGATIVE
    )


class DifferenceBody(ChangeBody):
    """One field at `from`, before, and at `to`, after."""

    kept_because: str | None = Field(description="why revert does not set it back; null when it does")


class DiffBody(BaseModel):
    """The fields that differ."""

    from_version: int
    to_version: int
    changes: list[DifferenceBody]


class HistoryQuery(BaseModel):
    """Which part of a history."""

    cursor: Cursor = None
    limit: PageOrLines = None


@router.get(
    "/tracks/{track_id}/history",
    response_model=HistoryBody,
    responses={**errors(400, 401, 403, 404, 422, 503), 200: {"content": {NDJSON: {}}}},
)
def read_history(
    principal: SignedIn,
    services: ServicesDep,
    track_id: TrackId,
    wanted: Annotated[HistoryQuery, Query()],
    accept: Accept = "",
) -> HistoryBody | Response:
    """Read who changed what, newest first. As NDJSON all pages are streamed, unless there is a limit."""
    if NDJSON not in accept:
        return history_page(principal, services, track_id, wanted)
    with services.database.read() as connection:
        require_reader(connection, principal, track_id)
        after = cursor_of(wanted.cursor)
    rows = lines(services.database, track_id, after, line_count(wanted.limit))
    return Export(services, principal, rows)


def history_page(
    principal: Principal, services: Services, track_id: int, wanted: HistoryQuery
) -> HistoryBody:
    """Return a page of a history, newest first; raises as `require_reader`."""
    with services.database.read() as connection:
        require_reader(connection, principal, track_id)
        return read_page(connection, track_id, cursor_of(wanted.cursor), page_length(wanted.limit))


@router.get("/tracks/{track_id}/diff", responses=errors(400, 401, 403, 404, 422, 503))
def read_diff(
    principal: SignedIn, services: ServicesDep, track_id: TrackId, wanted: Annotated[DiffQuery, Query()]
) -> DiffBody:
    """Compare two versions of a track, field by field."""
    with services.database.read() as connection:
        newest = require_reader(connection, principal, track_id).version
        to = newest if wanted.to is None else wanted.to
        for name, version in (("from", wanted.from_), ("to", to)):
            if version < 0:
                raise InvalidFieldError(name, "must be 0 or more")
        changes = changes_between(services.log, connection, track_id, wanted.from_, to)
    differences = [DifferenceBody(**each, kept_because=KEPT_BECAUSE.get(each["field"])) for each in changes]
    return DiffBody(from_version=wanted.from_, to_version=to, changes=differences)
