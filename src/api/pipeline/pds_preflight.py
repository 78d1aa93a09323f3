"""A look at the PDS before a command: without a login, and not for long."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from api.services import Services
from application.authorization import require_owned
from application.records.restore_record import OnPds
from outbox.pds.client import RecordKey, RemoteUnknownError
from projections.track_view import TrackView

LOOK_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Place:
    """A track of the caller's, and the PDS its record is on."""

    track: TrackView
    host: str | None


async def place_of(services: Services, did: str, track_id: int) -> Place:
    """Find where the record belongs."""
    return await run_in_threadpool(_place, services, did, track_id)


def _place(services: Services, did: str, track_id: int) -> Place:
    with services.database.read() as connection:
        view = require_owned(connection, did, track_id)
        account = services.accounts.get(did)
    return Place(view, account.pds_url if account is not None else None)


async def look(services: Services, place: Place) -> OnPds:
    """Ask whether the record is there."""
    if place.host is None:
        return OnPds.UNKNOWN
    track = place.track
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            remote = await services.pds.get(place.host, RecordKey(track.did, track.collection, track.rkey))
    except (RemoteUnknownError, TimeoutError):
        return OnPds.UNKNOWN
    return OnPds.ABSENT if remote.cid is None else OnPds.PRESENT


async def blob_limit(services: Services, place: Place) -> int | None:
    """Ask for the largest blob that the PDS takes; None when it does not say."""
    if place.host is None:
        return None
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            return await services.pds.blob_limit(place.host)
    except TimeoutError:
        return None
