"""Reads the PDS before a command, without a login and for a few seconds at most."""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from aggregates.track import Track
from api.services import Services
from application.authorization import require_owned
from application.records import OnPds
from outbox.mirror.namespace_moves import old_place
from outbox.pds.client import RecordKey, RemoteUnknownError
from projections.tracks.table import TrackView

READ_TIMEOUT_SECONDS: Final = 5.0
"""With the wait for a turn."""
MAX_CHECKS_OF_AN_ACCOUNT: Final = 2


@dataclass(frozen=True)
class Place:
    track: TrackView
    host: str | None
    old: RecordKey | None = None
    """Where the old collection may hold the record; None where the log says what is there."""


async def place_of(services: Services, did: str, track_id: int) -> Place:
    """Return the track and its PDS; raises as `require_owned`."""

    def read() -> Place:
        kind = services.kinds[Track.TOPIC]
        with services.database.read() as connection:
            view = require_owned(connection, did, track_id)
            account = services.accounts.get(did)
            old = old_place(connection, RecordKey(did, view.collection, view.rkey), kind, track_id)
        return Place(view, account.pds_url if account is not None else None, old)

    return await run_in_threadpool(read)


async def look(services: Services, place: Place, *, in_old_alone: bool = False) -> OnPds:
    """Read whether the record exists and, where it does not, whether the old collection has one that the log does not know of.

    ABSENT, unread, where there can be none.
    """
    track, places = place.track, [] if place.old is None else [(place.old, OnPds.IN_OLD_COLLECTION)]
    if not in_old_alone:
        places.insert(0, (RecordKey(track.did, track.collection, track.rkey), OnPds.PRESENT))
    if place.host is None:
        return OnPds.UNKNOWN if places else OnPds.ABSENT
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), services.pds_checks.of(track.did):
            for key, meaning in places:
                if (await services.pds.get(place.host, key)).cid is not None:
                    return meaning
    except (RemoteUnknownError, TimeoutError):
        return OnPds.UNKNOWN
    return OnPds.ABSENT


async def blob_limit(services: Services, place: Place) -> int | None:
    """Return the largest blob in bytes that the PDS accepts; None if it names none."""
    if place.host is None:
        return None
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), services.pds_checks.of(place.track.did):
            return await services.pds.blob_limit(place.host)
    except TimeoutError:
        return None
