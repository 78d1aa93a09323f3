"""Uploads of a track's audio: request one, and read its job and what the record names."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from aggregates.track import Track
from eventstore.database import Database
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Outcome
from eventstore.jobs.table import job as job_table
from outbox.blobs.claim import Upload, next_upload, request_due, upload_kind
from outbox.mirror.tables import UPLOAD, blob_job
from tests.outbox.rigs.relay_rig import Rig


async def uploaded_track(rig: Rig) -> Track:
    track = rig.upload()
    await rig.relay_once()
    return track


async def _nothing(_job: Job) -> Outcome:
    return Outcome.DONE


KIND = upload_kind(_nothing)


def claim_uploads(
    database: Database, owner: str = "relay", *, limit: int = 8, lease: timedelta = timedelta(seconds=60)
) -> Sequence[Upload]:
    """Claim as the worker of this relay does."""
    request_due(database)
    uploads: list[Upload] = []
    while len(uploads) < limit and (claimed := queue.claim(database, KIND, owner=owner, lease=lease)):
        upload = next_upload(database, claimed)
        assert upload is not None
        uploads.append(upload)
    return uploads


def request_blob(rig: Rig, track_id: int = 1) -> Track:
    return rig.command(track_id, lambda track: track.request_blob_migration(at=rig.clock()))


def job(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return connection.execute(select(blob_job)).one()


def lease(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return connection.execute(select(job_table).where(job_table.c.kind == UPLOAD)).one_or_none()


def track_of(rig: Rig, track_id: int = 1) -> Track:
    with rig.database.read() as connection:
        track = rig.log.fold(Track, rig.log.stream(connection, Track.create_id(track_id)))
    assert track is not None
    return track


def blob_cid(rig: Rig, track: Track) -> str | None:
    blob = (rig.remote(track) or {}).get("audioBlob")
    return blob["ref"]["$link"] if blob is not None else None
