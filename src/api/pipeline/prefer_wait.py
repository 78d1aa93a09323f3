"""Waits for the PDS as callers prefer, without holding a thread or a connection."""

import time
from typing import Final

from aggregates.published import Subject
from aggregates.track import Track
from api.responses.read_tracks import one_track
from api.responses.track import is_on_pds
from api.services import Services
from outbox.views.status import is_signed_in, mirrors
from projections.tracks.queries import track_by_id

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
