"""Reads the PDS before a command, without a login and for a few seconds at most."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from aggregates.track import Track
from api.services import Services
from application.authorization import require_owned
from application.records.restore_record import OnPds
from outbox.mirror.namespace_moves import Namespaces, is_accounted_for
from outbox.pds.client import RecordKey, RemoteUnknownError
from projections.tracks.view import TrackView

READ_TIMEOUT_SECONDS: Final = 5.0
"""With the wait for a turn."""
MAX_CHECKS_OF_AN_ACCOUNT: Final = 2


@dataclass(frozen=True)
class Place:
    """A track of the caller's, and its PDS."""

    track: TrackView
    host: str | None
    old: RecordKey | None = None
    """Where the old collection may hold the record; None where the log says what is there."""


async def place_of(services: Services, did: str, track_id: int) -> Place:
    """Return the track and its PDS; raises as `require_owned`."""
    return await run_in_threadpool(_place, services, did, track_id)


def _place(services: Services, did: str, track_id: int) -> Place:
    namespaces = Namespaces(services.old_collection, services.collection)
    with services.database.read() as connection:
        view = require_owned(connection, did, track_id)
        account = services.accounts.get(did)
        old = namespaces.old_place(_key_of(view))
        if old is not None and is_accounted_for(connection, old, Track.TOPIC, track_id):
            old = None
    return Place(view, account.pds_url if account is not None else None, old)


async def look(services: Services, place: Place) -> OnPds:
    """Read whether the record exists and, where it does not, whether the old collection has one."""
    return await _first_of(services, place, {_key_of(place.track): OnPds.PRESENT, **_in_old(place)})


async def look_in_old_collection(services: Services, place: Place) -> OnPds:
    """Read whether the old collection has a record that the log does not know of; ABSENT, unread, where there can be none."""
    return await _first_of(services, place, _in_old(place))


def _in_old(place: Place) -> dict[RecordKey, OnPds]:
    return {place.old: OnPds.IN_OLD_COLLECTION} if place.old is not None else {}


async def _first_of(services: Services, place: Place, found: Mapping[RecordKey, OnPds]) -> OnPds:
    """Return what it means that the first of these records exists."""
    if place.host is None:
        return OnPds.UNKNOWN if found else OnPds.ABSENT
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), services.pds_checks.of(place.track.did):
            for key, meaning in found.items():
                if (await services.pds.get(place.host, key)).cid is not None:
                    return meaning
    except (RemoteUnknownError, TimeoutError):
        return OnPds.UNKNOWN
    return OnPds.ABSENT


def _key_of(track: TrackView) -> RecordKey:
    return RecordKey(track.did, track.collection, track.rkey)


async def blob_limit(services: Services, place: Place) -> int | None:
    """Return the largest blob in bytes that the PDS accepts; None if it names none."""
    if place.host is None:
        return None
    try:
        async with asyncio.timeout(READ_TIMEOUT_SECONDS), services.pds_checks.of(place.track.did):
            return await services.pds.blob_limit(place.host)
    except TimeoutError:
        return None
