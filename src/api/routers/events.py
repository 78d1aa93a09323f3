"""The audit as server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import body_from
from api.openapi import errors
from api.pipeline.concurrency import open_stream
from api.requests.parameters import StrictRoute, WaitPreference, cursor_of
from api.routers.history import AuditRow, audited_did
from api.services import Services
from application.event_poller import AccountState
from identity.accounts.credentials import Principal
from projections.history import HistoryEntry

router = APIRouter(tags=["history"], route_class=StrictRoute)

STREAM: Final = "text/event-stream"
STREAM_SECONDS: Final = 25
"""Then a browser reconnects by itself, so a process can stop."""
RECONNECT: Final = "retry: 1000\n\n"
HINT: Final = 'event: mirror\ndata: {{"did": {did}}}\n\n'
"""Without an id: nothing is kept of it, and a client goes on after the last event that it received."""
EVENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
    "required": ["event", "data"],
}
"""How the OpenAPI document describes one event; `itemSchema` is its keyword for what a stream repeats."""
HINT_SECONDS: Final = 0.5
"""The shortest time between two hints: changes in between share one."""


class EventsQuery(BaseModel):
    """The account whose events to follow: your own; an admin may follow any account, and all of them without `did`."""

    did: str | None = Field(None, description="the account; your own when absent, all of them for an admin")


@router.get(
    "/events",
    response_class=StreamingResponse,
    dependencies=[Depends(open_stream)],
    responses={
        **errors(400, 401, 403, 422, 503),
        200: {"content": {STREAM: {"itemSchema": EVENT}}, "description": "one event a change"},
    },
)
async def follow(
    principal: SignedIn,
    services: ServicesDep,
    wanted: Annotated[EventsQuery, Query()],
    preferred_seconds: WaitPreference,
    last_event_id: Annotated[str | None, Header(description="the `id` after which to go on")] = None,
) -> Response:
    """Stream changes as they happen: `id` is the position, `event` the type, `data` the entry as in /audit.

    The stream of one account also has `event: mirror`, without an `id`: read its mirrors again, since they may have
    changed. One hint stands for any number of changes, and each stream begins with one.

    It starts with the next event, or after `Last-Event-ID`. It ends with the token, and after 25 seconds, or as `Prefer: wait` says, and
    continues where it left off when you reconnect, as a browser's EventSource does automatically.
    """
    did = audited_did(principal, wanted.did)
    after, state = cursor_of(last_event_id), await services.event_poller.state(did)
    seconds = STREAM_SECONDS if preferred_seconds is None else min(preferred_seconds, STREAM_SECONDS)
    # without a mark: what changed before this stream is unknown to its client, too
    known = AccountState(state.newest if after is None else after)
    changes = _stream(services, principal, did, state, known=known, seconds=seconds)
    return StreamingResponse(changes, media_type=STREAM)


async def _stream(
    services: Services,
    principal: Principal,
    did: str | None,
    state: AccountState | None,
    *,
    known: AccountState,
    seconds: int,
) -> AsyncGenerator[str]:
    loop, poller = asyncio.get_running_loop(), services.event_poller
    ends, may_hint_at = loop.time() + seconds, loop.time()
    yield RECONNECT
    while state is not None and await poller.may_follow(principal, state.newest):
        while known.newest < state.newest:
            page = await poller.page(did, known.newest, state.newest, _shown)
            yield page.text
            known = replace(known, newest=page.until)
        if state.mark != known.mark and loop.time() >= may_hint_at:
            yield HINT.format(did=json.dumps(did))
            known, may_hint_at = replace(known, mark=state.mark), loop.time() + HINT_SECONDS
        state = await poller.after(did, known, max(0, ends - loop.time()), marks_from=may_hint_at)


def _shown(entry: HistoryEntry) -> str:
    row = body_from(AuditRow, entry)
    return f"id: {row.position}\nevent: {row.type}\ndata: {row.model_dump_json()}\n\n"
