"""Likes of tracks: by an account, and as the track shows them, which follows in a job (reactions.py)."""

from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from aggregates.like import Like
from aggregates.track import Track
from application.errors import LikeNotFoundError, TrackNotFoundError
from application.subjects import On, find, load_owned, new_record, owner_of
from eventstore.change import Envelope, Via
from eventstore.event_log import EventLog
from eventstore.jobs.kinds import Job, Outcome
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import accounts_of
from outbox.views.status import mirrors
from projections.likes import carry, like_of, locked_like

MAX_WAIT: Final = timedelta(minutes=10)
"""For the record of a track; the longer it was waited for, the more rarely it is looked for."""
WAITED: Final = "waited_seconds"
NO_TRACK: Final = 0
"""An id that no track has."""


def like_track(unit: UnitOfWork, on: On[Track], collection: str) -> Like:
    """Like the track as its record is now; one that is liked already stays as it is. Raises TrackNotFoundError."""
    did, track = owner_of(unit), find(unit.log, unit.connection, on)
    if track is None or track.deleted_at is not None or track.taken_down_at is not None:
        raise TrackNotFoundError
    mirror = mirrors(unit.connection, track.did, on.kind, [on.id])[on.id]
    if (row := like_of(unit.connection, did, on.id)) is not None:
        like = unit.load(Like, Like.create_id(row.like_id))
        like.like_again(mirror.record_cid, at=unit.now)
    else:
        like = Like.register(
            at=unit.now,
            like_id=next_subject_id(unit.connection, did),
            track_id=on.id,
            track_uri=mirror.record_uri,
            track_cid=mirror.record_cid,
            **new_record(unit, collection),
        )
    unit.save(like)
    return like


def unlike_track(unit: UnitOfWork, on: On[Track]) -> Like:
    """Take the like back; a second time is no change. Raises LikeNotFoundError where there was none."""
    row = like_of(unit.connection, owner_of(unit), on.id)
    if row is None:
        raise LikeNotFoundError
    like = unit.load(Like, Like.create_id(row.like_id))
    like.delete(at=unit.now)
    unit.save(like)
    return like


def show_like(log: EventLog, job: Job, like_id: int) -> Outcome:
    """Have the track show and count the like as it is now, and the like name the track's record once there is one."""
    on = On(Like, like_id)

    def show(connection: sa.Connection) -> tuple[bool, str | None]:
        like = locked_like(connection, job.account, on.id)
        track = find(log, connection, On(Track, like.track_id or NO_TRACK)) if like is not None else None
        if track is None or not accounts_of(connection, [track.did]):
            return False, None
        carry(connection, track.did, like)
        mirror = mirrors(connection, track.did, Track.TOPIC, [track.track_id])[track.track_id]
        return like.deleted_at is None and like.track_cid is None, mirror.record_cid

    def name(unit: UnitOfWork) -> None:
        like = load_owned(unit, on, deleted_too=True)
        like.record_subject(cid or "", at=unit.now)
        unit.save(like)

    waits, cid = log.transact_without_events(show)
    if waits and cid is None:
        seconds = 2 * (job.progress or {}).get(WAITED, 1)
        job.progress, job.again_after = {WAITED: seconds}, min(timedelta(seconds=seconds), MAX_WAIT)
        return Outcome.LATER
    if waits:
        log.transact(job.account, Envelope("relay", Via.RELAY, f"like:{on.id}:{job.epoch}"), name)
    return Outcome.DONE
