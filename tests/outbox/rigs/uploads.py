"""Uploads of a track's audio: request one, and read its job and what the record names."""

from typing import Any

from sqlalchemy import select

from aggregates.track import Track
from outbox.mirror.tables import blob_job
from tests.outbox.rigs.relay_rig import Rig


async def uploaded_track(rig: Rig) -> Track:
    """A track on the PDS, without its audio."""
    track = rig.upload()
    await rig.relay_once()
    return track


def request_blob(rig: Rig, track_id: int = 1) -> Track:
    return rig.command(track_id, lambda track: track.request_blob_migration(at=rig.clock()))


def job(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return connection.execute(select(blob_job)).one()


def track_of(rig: Rig, track_id: int = 1) -> Track:
    with rig.database.read() as connection:
        track = rig.log.fold(Track, rig.log.stream(connection, Track.create_id(track_id)))
    assert track is not None
    return track


def blob_cid(rig: Rig, track: Track) -> str | None:
    blob = (rig.remote(track) or {}).get("audioBlob")
    return blob["ref"]["$link"] if blob is not None else None
