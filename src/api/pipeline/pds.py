"""Reads the PDS before a command, without a login and for a few seconds at most; waits for it after one, without a thread or a connection."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from starlette.concurrency import run_in_threadpool

from aggregates.published import Subject
from aggregates.track import Track
from api.responses.track import is_on_pds, one_track
from api.services import Services
from application.authorization import require_owned
from application.records.restore_record import OnPds
from outbox.mirror.namespace_moves import old_place
from outbox.pds.client import RecordKey, RemoteUnknownError
from outbox.views.status import is_signed_in, mirrors
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView

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


POLL_SECONDS: Final = 1.0


async def wait_for_mirror(services: Services, track_id: int, generation: int, seconds: float) -> None:
    """Wait until the PDS has this generation or a newer one, or the record waits for a person."""
    await services.waits.wait(Subject(Track.TOPIC, track_id), generation, seconds)


async def wait_for_all(services: Services, track_id: int, _generation: int, seconds: float) -> None:
    """Wait until nothing is left to do for the record, at its earlier place included."""
    await services.waits.wait_delivered(Subject(Track.TOPIC, track_id), seconds)


async def wait_for_blob(services: Services, track_id: int, _generation: int, seconds: float) -> None:
    """Wait until the record names the blob; its generation is known only after the upload."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        acked = await services.threads.run(_acked_unless_decided, services, track_id)
        if acked is None:
            return
        await services.waits.wait(Subject(Track.TOPIC, track_id), acked + 1, min(left, POLL_SECONDS))


def _acked_unless_decided(services: Services, track_id: int) -> int | None:
    with services.database.read() as connection:
        track = one_track(connection, track_id, services.urls)
        view = track_by_id(connection, track_id)
        mirror = mirrors(connection, Track.TOPIC, [track_id])[track_id]
        decided = (
            is_on_pds(track)
            or view is None
            or (not view.blob_requested and view.blob is None)
            or mirror.needs_intervention
            or not is_signed_in(connection, track.artist_did)
        )
    return None if decided else mirror.acked_generation
