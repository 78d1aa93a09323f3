"""The history of a track as JSON: actor, change, time, and delivery to the PDS."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection

from aggregates.track import Track
from aggregates.track_events import NOT_IN_RECORD
from api.json_response import body_from
from application.tracks.revert import FIELDS
from identity.accounts.accounts import accounts_of
from outbox.views.deliveries import deliveries
from outbox.views.status import mirrors
from projections.history import HistoryPage, history_page

KEPT_HERE: Final = NOT_IN_RECORD
REVERTIBLE: Final = frozenset(FIELDS)
"""Fields of changes, for pages: those that no record has, and those that a revert sets back."""


class ChangeBody(BaseModel):
    """One field, before and after."""

    field: str
    before: Any
    after: Any


class DeliveryBody(BaseModel):
    """The delivery of an event; `by_generation` is the position whose record carries it, `reason` says why it waits."""

    status: str = Field(
        description="delivered, superseded, cancelled, pending, parked, held, detached, rejected or none"
    )
    at: datetime | None
    rev: str | None
    cid: str | None
    by_generation: int | None
    reason: str | None


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
    delivery: DeliveryBody


class HistoryBody(BaseModel):
    """Some events, newest first, and the cursor of the next page when there is one."""

    items: list[HistoryRow]
    cursor: str | None


def read_page(connection: Connection, track_id: int, cursor: int | None, limit: int) -> HistoryBody:
    page = history_page(connection, track_id, cursor=cursor, limit=limit)
    return HistoryBody(
        items=_rows(connection, track_id, page), cursor=None if page.cursor is None else str(page.cursor)
    )


def _rows(connection: Connection, track_id: int, page: HistoryPage) -> list[HistoryRow]:
    mirror = mirrors(connection, Track.TOPIC, [track_id])[track_id]
    events = [(entry.position, entry.touches_record) for entry in page.items]
    delivery_of = deliveries(connection, Track.TOPIC, track_id, events, mirror)
    actors = accounts_of(connection, {entry.actor for entry in page.items})
    return [
        body_from(
            HistoryRow,
            entry,
            actor_handle=actors[entry.actor].handle if entry.actor in actors else None,
            changes=[ChangeBody(**change) for change in entry.changes],
            delivery=DeliveryBody(**vars(delivery_of[entry.position])),
        )
        for entry in page.items
    ]
