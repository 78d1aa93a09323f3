"""Reads the PDS before a command, without a login and for a few seconds at most."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from api.services import Services
from application.authorization import require_owned
from application.records.restore_record import OnPds
from outbox.pds.client import RecordKey, RemoteUnknownError
from projections.track_view import TrackView

READ_TIMEOUT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Place:
    """A track of the caller's, and its PDS."""

    track: TrackView
    host: str | None


async def place_of(services: Services, did: str, track_id: int) -> Place:
    """Return the track and its PDS; raises as `require_owned`."""
    return await run_in_threadpool(_place, services, did, track_id)


def _place(services: Services, did: str, track_id: int) -> Place:
    with services.database.read() as connection:
        view = require_owned(connection, did, track_id)
        account = services.accounts.get(did)
    return Place(view, account.pds_url if account is not None else None)


async def look(services: Services, place: Place) -> OnPds:
    """Read whether the record exists."""
    if place.host is None:
        return OnPds.UNKNOWN
    track = place.track
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            remote = await services.pds.get(place.host, RecordKey(track.did, track.collection, track.rkey))
    except (RemoteUnknownError, TimeoutError):
        return OnPds.UNKNOWN
    return OnPds.ABSENT if remote.cid is None else OnPds.PRESENT


async def blob_limit(services: Services, place: Place) -> int | None:
    """Return the largest blob in bytes that the PDS accepts; None if it names none."""
    if place.host is None:
        return None
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS):
            return await services.pds.blob_limit(place.host)
    except TimeoutError:
        return None
