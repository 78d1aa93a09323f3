"""Carries what an account does to the accounts that read of it: likes and comments to tracks, lists to the records that they follow."""

from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.reactions.reaction import Reaction
from aggregates.tracks.track import Track
from application.errors import TrackNotFoundError
from application.lists.followed import show_followed
from application.lists.liked import request_liked_list
from application.subjects import On, change_owned, find, new_record
from eventstore.change import Envelope, Via
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.streams.ids import next_subject_id
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import accounts_of
from outbox.views.status import Mirror, mirrors
from projections import outsiders
from projections.reactions import FOUND, REACTION, carry, locked, waiting_at
from projections.rebuild.rebuild import RECOUNT, carry_all

MAX_CONCURRENT: Final = 4
FIRST_PAUSE_SECONDS: Final = 1.0
MAX_PAUSE_SECONDS: Final = 60.0
MAX_WAIT_SECONDS: Final = 600.0
"""For the record of a track; the longer it was waited for, the more rarely it is looked for."""
WAITED: Final = "waited_seconds"
NO_TRACK: Final = 0
"""An id that no track has."""
KINDS: Final[dict[str, type[Reaction]]] = {kind.TOPIC: kind for kind in (Like, Comment)}


def shown_track(unit: UnitOfWork, on: On[Track]) -> tuple[Track, Mirror]:
    """Return a track, of any account, that this one may like or comment on, and its mirror; raises TrackNotFoundError."""
    track = find(unit.log, unit.connection, on)
    if track is None or not track.is_public:
        raise TrackNotFoundError
    return track, mirrors(unit.connection, track.did, on.kind, [on.id])[on.id]


def new_reaction(unit: UnitOfWork, track_id: int, mirror: Mirror, collection: str) -> dict[str, Any]:
    """Return what each new reaction begins with, beside its id: the track as its record is now, and its own place."""
    subject = {"track_id": track_id, "track_uri": mirror.record_uri, "track_cid": mirror.record_cid}
    return {**subject, **new_record(unit, collection)}


def new_id(unit: UnitOfWork) -> int:
    return next_subject_id(unit.connection, unit.account)


def reaction_kind(log: EventLog, threads: Threads) -> Kind:
    async def work(job: Job) -> Outcome:
        return await threads.run(carry_over, log, job)

    return Kind(
        REACTION,
        work,
        max_concurrent=MAX_CONCURRENT,
        max_per_account=MAX_CONCURRENT,
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def recount_kind(log: EventLog, threads: Threads) -> Kind:
    """Return the kind of the job that ends a rebuild which was cut off."""

    async def work(_job: Job) -> Outcome:
        await threads.run(carry_all, log, log.projections)
        return Outcome.DONE

    return Kind(
        RECOUNT,
        work,
        max_concurrent=1,
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def carry_over(log: EventLog, job: Job) -> Outcome:
    kind, number, by = job.subject.split("/")
    if kind == TrackList.TOPIC:
        show_followed(log, job, int(number), int(by))
        return Outcome.DONE
    if kind == Track.TOPIC:
        wake_reactions(log, job, int(number))
        return Outcome.DONE
    if kind == Like.TOPIC:
        request_liked_list(log, job.account, is_found=by == FOUND)
    return show_reaction(log, job, On(KINDS[kind], int(number)))


def wake_reactions(log: EventLog, job: Job, track_id: int) -> None:
    """Have what waits for the record of a track that is back look for it again: it ended while the track was deleted."""
    with log.database.read() as connection:
        waiting = waiting_at(connection, job.account, track_id)
    for each in waiting:
        with log.database.write() as connection:
            queue.request(connection, [each], log.database.now(connection), hurry=True)


def show_reaction(log: EventLog, job: Job, on: On[Reaction]) -> Outcome:
    """Have the track show and count the reaction as it is now, and the reaction name the track's record once there is one."""

    def show(connection: sa.Connection) -> tuple[str | None, str | None]:
        """Return whose reaction waits for the CID of the track's record, and that, if it is known."""
        found = find(log, connection, on)
        if found is None:
            if (said := outsiders.locked(connection, outsiders.named(on.kind, on.id))) is not None:
                carry(connection, said.owner, on.kind, said)
            return None, None
        made: Any = locked(connection, on.kind, found.did, on.id)
        track = find(log, connection, On(Track, made.track_id or NO_TRACK)) if made is not None else None
        if track is None or not accounts_of(connection, [track.did]):
            return None, None
        outsiders.remove(connection, outsiders.replaced_by(track.did, on.kind, made))
        carry(connection, track.did, on.kind, made)
        mirror = mirrors(connection, track.did, Track.TOPIC, [track.track_id])[track.track_id]
        waits = made.deleted_at is None and made.track_cid is None
        may_wait = mirror.record_cid is not None or track.deleted_at is None
        return made.did if waits and may_wait else None, mirror.record_cid

    def name(unit: UnitOfWork) -> None:
        change_owned(unit, on, lambda made: made.record_subject(cid or "", at=unit.now), deleted_too=True)

    did, cid = log.transact_without_events(show)
    if did is not None and cid is None:
        seconds = min(2 * (job.progress or {}).get(WAITED, 1), MAX_WAIT_SECONDS)
        job.progress, job.again_after = {WAITED: seconds}, timedelta(seconds=seconds)
        return Outcome.LATER
    if did is not None:
        log.transact(did, Envelope("relay", Via.RELAY, f"{on.kind}:{on.id}:{job.epoch}"), name)
    return Outcome.DONE
