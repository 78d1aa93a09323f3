"""The list of likes of an account that wants one: the newest, in a record of their own, which a job keeps up."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import MAX_ITEMS, ListItem, ListType
from application.errors import ListNotFoundError
from application.lists.albums import new_list
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import conflict_of, keep_ours
from outbox.lists.newest import items_of
from outbox.mirror.lanes import hold_lane
from outbox.record.kind import RecordKind
from projections.lists import liked_list
from projections.reaction_queries import like_page

NAME: Final = "Liked Tracks"
LIKED_LIST: Final = "liked_list"
"""The kind of the jobs."""
DEBOUNCE: Final = timedelta(seconds=30)
"""From the first like to the write, which brings all until then."""
MAX_CONCURRENT_JOBS: Final = 4
MAX_PAUSE_SECONDS: Final = 3600.0


def turn_on(unit: UnitOfWork, collection: str, kind: RecordKind) -> TrackList:
    """Have a record of the newest likes; one that another client has changed or deleted is written again."""
    did = unit.account
    row = liked_list(unit.connection, did)
    if row is None:
        made = new_list(unit, collection, list_type=ListType.LIKED, name=NAME)
    else:
        made = unit.load(TrackList, TrackList.create_id(row.list_id))
        made.undelete(at=unit.now)
    made.reorder(_newest_likes(unit), at=unit.now)
    if (conflict := conflict_of(unit.connection, did, kind, made.list_id)) is not None:
        keep_ours(unit, made, conflict)
    elif made.record_missing_since is not None:
        made.restore_record(at=unit.now)
    unit.save(made)
    return made


def turn_off(unit: UnitOfWork) -> TrackList:
    """Delete the record; raises ListNotFoundError where there was none."""
    row = liked_list(unit.connection, unit.account)
    if row is None:
        raise ListNotFoundError
    made = unit.load(TrackList, TrackList.create_id(row.list_id))
    made.delete(at=unit.now)
    unit.save(made)
    return made


def request_liked_list(log: EventLog, did: str, *, is_found: bool) -> None:
    """Request that the list follows the account's likes, if it has one; of likes that were found, one that was found stays as it is."""
    with log.database.read() as connection:
        row, stays = liked_list(connection, did), False
        if is_found and row is not None:
            events = log.stream(connection, did, TrackList.create_id(row.list_id), upto_version=2)
            stays = len(events) == 1 and isinstance(events[0].event, TrackList.Adopted)
    if row is not None and row.deleted_at is None and not stays:
        with log.database.write() as connection:
            queue.request(connection, [Wanted(LIKED_LIST, did, did)], log.database.now(connection))


def liked_list_kind(log: EventLog, threads: Threads) -> Kind:
    async def work(job: Job) -> Outcome:
        if job.progress is None:
            job.progress, job.again_after = {"waits": True}, DEBOUNCE
            return Outcome.LATER
        while await threads.run(log.transact, job.account, job.envelope, partial(_follow_likes, job=job)):
            pass
        return Outcome.DONE

    return Kind(
        LIKED_LIST,
        work,
        max_concurrent=MAX_CONCURRENT_JOBS,
        first_pause_seconds=DEBOUNCE.total_seconds(),
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def _follow_likes(unit: UnitOfWork, job: Job) -> bool:
    """Have the list be that of the newest likes; where it is, end the job in this unit, so that a like can request another one."""
    row = liked_list(unit.connection, unit.account)
    if row is not None and row.deleted_at is None:
        made = unit.load(TrackList, TrackList.create_id(row.list_id))
        made.reorder(_newest_likes(unit), at=unit.now)
        if unit.save(made):
            return True
    queue.cancel(unit.connection, job.kind, job.account)
    return False


def _newest_likes(unit: UnitOfWork) -> Sequence[ListItem]:
    did = unit.account
    rows: Sequence[sa.Row[Any]] = like_page(unit.connection, did, None, MAX_ITEMS)
    hold_lane(unit.connection, did)
    return [*items_of(unit.connection, did, {row.track_uri: row.track_cid for row in rows}).values()]
