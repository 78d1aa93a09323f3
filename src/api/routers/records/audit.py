"""The audit: every change of an account, or of all accounts for operators, as pages, as a file, and as they happen."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from aggregates.accounts.account import Account
from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.published import event_classes
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.releases.release import Release
from aggregates.tracks.track import Track
from api.auth.authentication import ServicesDep, SignedIn
from api.errors import NotYourAuditError
from api.json_response import Page, body_from, opaque
from api.openapi import TEXT, errors
from api.pipeline.concurrency import NDJSON, Export, lines, open_stream
from api.requests.parameters import (
    Moment,
    OneOf,
    StrictRoute,
    WaitPreference,
    cursor_of,
    line_count,
    page_length,
)
from api.routers.records.history import Accept, ChangeBody, HistoryQuery, WayIn
from api.services import Services
from application.event_poller import AccountState
from eventstore.sql.database import Database
from identity.accounts.credentials import Principal
from projections.history import AuditFilter, HistoryEntry, audit_page

router = APIRouter(tags=["history"], route_class=StrictRoute)

TYPES: Final = tuple(
    dict.fromkeys(
        each.__name__
        for kind in (Track, Like, Comment, Profile, TrackList, Release, Account)
        for each in event_classes(kind)
    )
)


class AuditQuery(HistoryQuery):
    did: str | None = Field(
        None, description="the account; your own when absent, all of them for an operator"
    )
    actor: str | None = Field(None, description="the DID of the account that made the change")
    type: Annotated[str, OneOf(TYPES)] | None = Field(None, description="the type of the event")
    since: Moment | None = Field(None, description="not before this time, with its offset")
    until: Moment | None = Field(None, description="before this time, with its offset")


class AuditRow(BaseModel):
    """One event, and what it changed: of `kind`, such as account or track, with this id among its kind; an account has none."""

    position: int
    did: str
    kind: str
    subject_id: int | None
    track_id: int | None = Field(description="`subject_id`, where that is of a track")
    version: int
    type: str
    actor: str
    via: WayIn
    request_id: str
    at: datetime
    changes: list[ChangeBody]


@router.get(
    "/audit",
    response_model=Page[AuditRow],
    responses={**errors(403), 200: {"content": {NDJSON: {}}}},
)
def read_audit(
    principal: SignedIn,
    services: ServicesDep,
    wanted: Annotated[AuditQuery, Query()],
    accept: Accept = "",
) -> Page[AuditRow] | Response:
    """Read who changed what, newest first: in your own account, or as an operator in any or all.

    `since` is inclusive, `until` is not. As NDJSON all pages are streamed, unless there is a limit.
    """
    return (_streamed if NDJSON in accept else audit_entries)(principal, services, wanted)


@router.get(
    "/audit.ndjson",
    response_class=StreamingResponse,
    responses={
        **errors(403),
        200: {"content": {NDJSON: {"schema": {"type": "string"}}}, "description": "one event a line"},
    },
)
def export_audit(
    principal: SignedIn, services: ServicesDep, wanted: Annotated[AuditQuery, Query()]
) -> Response:
    """Read the same as lines of JSON, as a file to save. It is for links, which cannot set Accept."""
    return _streamed(principal, services, wanted, file="audit.ndjson")


def audited_did(principal: Principal, wanted: str | None) -> str | None:
    """Return the requested account, or None for all of them; raises NotYourAuditError."""
    if principal.operator:
        return wanted
    if wanted not in {None, principal.did}:
        raise NotYourAuditError
    return principal.did


def audit_entries(principal: Principal, services: Services, wanted: AuditQuery) -> Page[AuditRow]:
    """Return a page of the audit, newest first; raises NotYourAuditError."""
    which, cursor = _asked(principal, services, wanted)
    return _read(services.database, which, cursor, page_length(wanted.limit))


def _asked(principal: Principal, services: Services, wanted: AuditQuery) -> tuple[AuditFilter, int | None]:
    did = audited_did(principal, wanted.did)
    cursor = cursor_of(wanted.cursor)
    which = AuditFilter(did, wanted.actor, wanted.type, wanted.since, wanted.until)
    if cursor is None and did is None:  # below the stable position, so that no page misses an event
        cursor = services.log.stable_position() + 1
    return which, cursor


def _streamed(
    principal: Principal, services: Services, wanted: AuditQuery, file: str | None = None
) -> Response:
    which, cursor = _asked(principal, services, wanted)
    rows = lines(partial(_read, services.database, which), cursor, line_count(wanted.limit))
    return Export(services, principal, rows, file)


def _read(database: Database, which: AuditFilter, cursor: int | None, limit: int) -> Page[AuditRow]:
    with database.read() as connection:
        page = audit_page(connection, which, cursor=cursor, limit=limit)
        return body_from(Page[AuditRow], page, cursor=opaque(page.cursor))


STREAM: Final = "text/event-stream"
STREAM_SECONDS: Final = 25
"""Then a browser reconnects by itself, so a process can stop."""
RECONNECT: Final = "retry: 1000\n\n"
HINT: Final = 'event: mirror\ndata: {{"did": {did}}}\n\n'
"""Without an id: nothing is kept of it, and a client goes on after the last event that it received."""
EVENT: Final = {
    "type": "object",
    "properties": {"id": TEXT, "event": TEXT, "data": {**TEXT, "contentMediaType": "application/json"}},
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
        **errors(403),
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
    """Stream changes as they happen: `id` is opaque, `event` the type, `data` the entry as in /audit.

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
    return f"id: {opaque(row.position)}\nevent: {row.type}\ndata: {row.model_dump_json()}\n\n"
