"""The audit as it happens: server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import ServicesDep, SignedIn
from api.openapi import errors
from api.requests.pagination import LONGEST_PAGE, cursor_of
from api.requests.preconditions import wait_of
from api.routers.audit import AuditRow, audited_did
from api.services import Services
from projections.audit import AuditFilter, events_after

router = APIRouter(tags=["history"])

STREAM: Final = "text/event-stream"
STAYS: Final = 25
"""Seconds. A browser comes back by itself and goes on; so a session that ended hears no more, and a process may end."""
COMES_BACK: Final = "retry: 1000\n\n"


class EventsQuery(BaseModel):
    """Whose events: your own; an admin may follow anybody, and everybody without `did`."""

    did: str | None = None


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        **errors(400, 401, 403, 422, 503),
        200: {"content": {STREAM: {"schema": {"type": "string"}}}, "description": "one event a change"},
    },
)
async def follow(
    request: Request,
    principal: SignedIn,
    services: ServicesDep,
    wanted: Annotated[EventsQuery, Query()],
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Stream changes as they happen: `id` is the position, `event` the type, `data` the entry as in /audit.

    It starts with the next event, or after `Last-Event-ID`. It ends after 25 seconds, or as `Prefer: wait` says, and
    continues where it left off when you reconnect, as a browser's EventSource does automatically.
    """
    did = audited_did(principal, wanted.did)
    after = cursor_of(last_event_id)
    if after is None:
        after = await run_in_threadpool(services.news.newest, did)
    preferred = wait_of(request.headers.getlist("prefer"))
    seconds = STAYS if preferred is None else min(preferred, STAYS)
    return StreamingResponse(_stream(services, did, after, seconds), media_type=STREAM)


async def _stream(services: Services, did: str | None, after: int, seconds: int) -> AsyncGenerator[str]:
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    yield COMES_BACK
    heard = True
    while heard:
        for row in await run_in_threadpool(_read, services, did, after):
            yield f"id: {row.position}\nevent: {row.type}\ndata: {row.model_dump_json()}\n\n"
            after = row.position
        heard = await services.news.after(did, after, max(0, ends - loop.time()))


def _read(services: Services, did: str | None, after: int) -> list[AuditRow]:
    until = services.news.newest(did)
    if until <= after:
        return []
    with services.database.read() as connection:
        entries = events_after(connection, AuditFilter(did), after=after, until=until, limit=LONGEST_PAGE)
    return [AuditRow.of(entry) for entry in entries]
