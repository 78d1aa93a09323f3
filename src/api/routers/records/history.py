"""The history of a track or another subject, for its owner and admins: who changed what, and how two versions differ."""

from datetime import datetime
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from aggregates.errors import InvalidFieldError
from aggregates.published import Published, Subject
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import Page, body_from, opaque
from api.openapi import errors
from api.pipeline.concurrency import NDJSON, Export, lines
from api.requests.parameters import (
    Id,
    PageOrLines,
    PageQuery,
    StrictRoute,
    cursor_of,
    line_count,
    page_length,
)
from api.responses.mirror import ShownKind
from api.services import Services
from application.subjects import A, changes_between_versions, require_reader
from identity.accounts.accounts import accounts_of
from identity.accounts.credentials import Principal
from outbox.views.deliveries import EventDelivery, deliveries
from outbox.views.status import mirrors
from projections import history


class ChangeBody(BaseModel):
    """One field, before and after."""

    field: str
    before: Any
    after: Any


WayIn = Annotated[
    str,
    Field(description="the way in: browser, token:NAME, operator, cli, relay, or job for a periodic one"),
]


class HistoryRow(BaseModel):
    """One event."""

    position: int
    version: int
    type: str
    actor: str
    actor_handle: str | None = Field(
        description="the actor's handle as of its newest sign-in here; null for the relay and for an account that left"
    )
    via: WayIn
    request_id: str
    at: datetime
    changes: list[ChangeBody]
    delivery: EventDelivery


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


class HistoryQuery(PageQuery):
    limit: PageOrLines = None


def history_routes(kind: ShownKind[A]) -> APIRouter:
    router = APIRouter(prefix=kind.path, tags=["history"], route_class=StrictRoute)

    @router.get(
        "/history",
        response_model=Page[HistoryRow],
        responses={**errors(403), 200: {"content": {NDJSON: {}}}},
    )
    def read_history(
        principal: SignedIn,
        services: ServicesDep,
        subject_id: Annotated[Id, kind.in_path],
        wanted: Annotated[HistoryQuery, Query()],
        accept: Accept = "",
    ) -> Page[HistoryRow] | Response:
        """Read who changed what, newest first. As NDJSON all pages are streamed, unless there is a limit."""
        if NDJSON not in accept:
            return history_page(principal, services, kind, subject_id, wanted)
        with services.database.read() as connection:
            subject = require_reader(services.log, connection, principal, kind.on(subject_id))

        def read(cursor: int | None, limit: int) -> Page[HistoryRow]:
            with services.database.read() as connection:
                return _history(connection, subject, cursor, limit)

        rows = lines(read, cursor_of(wanted.cursor), line_count(wanted.limit))
        return Export(services, principal, rows)

    if kind.kept_because is None:
        return router

    @router.get("/diff", responses=errors(403), name="read_diff")
    def diff(
        principal: SignedIn,
        services: ServicesDep,
        subject_id: Annotated[Id, kind.in_path],
        wanted: Annotated[DiffQuery, Query()],
    ) -> DiffBody:
        """Compare two versions of a track, field by field."""
        return read_diff(principal, services, kind, subject_id, wanted)

    return router


def history_page(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int, wanted: HistoryQuery
) -> Page[HistoryRow]:
    """Return a page of a history, newest first; raises as `require_reader`."""
    with services.database.read() as connection:
        subject = require_reader(services.log, connection, principal, kind.on(subject_id))
        return _history(connection, subject, cursor_of(wanted.cursor), page_length(wanted.limit))


def _history(
    connection: sa.Connection, subject: Published, cursor: int | None, limit: int
) -> Page[HistoryRow]:
    did, kind, subject_id = subject.did, *Subject.of(subject)
    page = history.history_page(connection, did, subject_id, kind=kind, cursor=cursor, limit=limit)
    mirror = mirrors(connection, did, kind, [subject_id])[subject_id]
    events = [(entry.position, entry.touches_record) for entry in page.items]
    delivery_of = deliveries(connection, did, kind, subject_id, events, mirror=mirror)
    actors = accounts_of(connection, {entry.actor for entry in page.items})
    rows = [
        body_from(
            HistoryRow,
            entry,
            actor_handle=actors[entry.actor].handle if entry.actor in actors else None,
            delivery=delivery_of[entry.position],
        )
        for entry in page.items
    ]
    return body_from(Page[HistoryRow], page, items=rows, cursor=opaque(page.cursor))


def read_diff(
    principal: Principal, services: Services, kind: ShownKind[A], subject_id: int, wanted: DiffQuery
) -> DiffBody:
    on = kind.on(subject_id)
    with services.database.read() as connection:
        newest = require_reader(services.log, connection, principal, on)
        to = newest.version if wanted.to is None else wanted.to
        for name, version in (("from", wanted.from_), ("to", to)):
            if version < 0:
                raise InvalidFieldError(name, "must be 0 or more")
        versions = (wanted.from_, to)
        changes = changes_between_versions(services.log, connection, newest.did, on, versions)
    kept_because = kind.kept_because or {}
    differences = [DifferenceBody(**each, kept_because=kept_because.get(each["field"])) for each in changes]
    return DiffBody(from_version=wanted.from_, to_version=to, changes=differences)
