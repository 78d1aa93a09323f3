"""Uploads of a track's audio: request one, and read its job and what the record names."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from aggregates.tracks.track import Track
from aggregates.values import Audio
from eventstore.coordination.due_parts import parts_of
from eventstore.jobs.kinds import Job, Outcome
from eventstore.jobs.queue import due_kinds
from eventstore.jobs.table import job as job_table
from eventstore.sql.database import Database
from outbox.blobs.claim import Upload, next_upload, upload_kind
from outbox.mirror.tables import UPLOAD, blob_job
from tests.eventstore.jobs.rig import claim_anywhere
from tests.outbox.rigs.relay_rig import Rig


async def uploaded_track(rig: Rig) -> Track:
    track = rig.upload()
    await rig.relay_once()
    return track


async def requested(rig: Rig) -> Track:
    """A track whose audio its owner wants on the PDS, which has its record."""
    track = await uploaded_track(rig)
    request_blob(rig)
    return track


async def migrated(rig: Rig) -> Track:
    """The audio is on the PDS."""
    track = await requested(rig)
    await rig.relay_once()
    return track


def replace_audio(rig: Rig) -> Audio:
    new = rig.bytes.keep(b"new audio" * 400)
    rig.command(1, lambda track: track.replace_audio(new, at=rig.clock()))
    return new


async def _nothing(_job: Job) -> Outcome:
    return Outcome.DONE


KIND = upload_kind(_nothing)


def claim_uploads(database: Database, owner: str = "relay", *, limit: int = 8) -> Sequence[Upload]:
    """Claim as the worker of this relay does."""
    due_kinds(database, [KIND], parts_of(database))
    uploads: list[Upload] = []
    while len(uploads) < limit and (claimed := claim_anywhere(database, KIND, owner)):
        upload = next_upload(database, claimed)
        assert upload is not None
        uploads.append(upload)
    return uploads


def request_blob(rig: Rig, track_id: int = 1) -> Track:
    return rig.command(track_id, lambda track: track.request_blob_migration(at=rig.clock()))


def job(rig: Rig) -> Any:
    return rig.rows(select(blob_job))[0]


def lease(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return connection.execute(select(job_table).where(job_table.c.kind == UPLOAD)).one_or_none()


def track_of(rig: Rig, track_id: int = 1) -> Track:
    with rig.database.read() as connection:
        track = rig.log.fold(Track, rig.log.stream(connection, rig.did, Track.create_id(track_id)))
    assert track is not None
    return track


def blob_cid(rig: Rig, track: Track) -> str | None:
    blob = (rig.remote(track) or {}).get("audioBlob")
    return blob["ref"]["$link"] if blob is not None else None
