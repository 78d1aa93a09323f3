"""Lists follow the records that they refer to.

1. a delivery that gives a record another CID takes up to MAX_LISTS_AT_ONCE lists of its account along where all fit one batch (relay/batch.py);
   else, or where the record has none any more, they follow it at once: the unit that settles it refreshes them.
2. a job refreshes the others behind live work: the first time at once, then each at most once in REFERENCE_SECONDS.
3. a job at the record's account tells the accounts whose lists follow it.
4. a job at each of these refreshes such a list, all its stale references together, at most once in FOREIGN_REFERENCE_SECONDS.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from eventstore.change import Change, Envelope, Via
from eventstore.coordination.commit_signals import announce
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import list_follower
from outbox.lists.newest import (
    References,
    followers_to_tell,
    stale_references,
    stale_references_elsewhere,
)
from outbox.mirror.lanes import hold_lane
from outbox.mirror.requeue import queue_as_backfill

MAX_LISTS_AT_ONCE: Final = 3
MAX_ITEMS_AT_ONCE: Final = 800
"""Of these lists: their records fit in one batch with that of a track."""
REFERENCE_SECONDS: Final = 600.0
FOREIGN_REFERENCE_SECONDS: Final = 86_400.0
LISTS_IN_A_UNIT: Final = 5
"""The account's other commands wait for such a unit."""
FOLLOWERS_AT_ONCE: Final = 100
FIRST: Final = ("", 0)
"""Comes before each follower's URI and list."""
MAX_CONCURRENT_JOBS: Final = 4
MAX_PAUSE_SECONDS: Final = 3600.0
FOLLOWERS: Final = "followers"
"""The kind of the jobs that tell other accounts that the account's records have changed."""


@dataclass(frozen=True)
class Following:
    """How lists follow some of the records that they refer to; `kind` is that of the jobs."""

    kind: str
    seconds: float
    """A list is refreshed at most once in so many."""
    stale: Callable[..., dict[int, References]]
    refreshed_at: Callable[[TrackList], datetime | None]


REFERENCES: Final = "references"
OWN: Final = Following(REFERENCES, REFERENCE_SECONDS, stale_references, attrgetter("references_refreshed_at"))
ELSEWHERE: Final = Following(
    "foreign_references",
    FOREIGN_REFERENCE_SECONDS,
    stale_references_elsewhere,
    attrgetter("others_refreshed_at"),
)


def lists_left_behind(connection: sa.Connection, did: str, now: datetime) -> set[int]:
    """Return the account's lists that refer to earlier records for longer than they may."""
    each = ((it.stale, now - timedelta(seconds=it.seconds)) for it in (OWN, ELSEWHERE))
    return {list_id for stale, before in each for list_id in stale(connection, did, before=before)}


def refresh_at_once(
    unit: UnitOfWork, did: str, subjects: Collection[Subject], sent: Collection[int] = ()
) -> list[Change]:
    """Refresh some lists of these subjects, whose records have changed, first those that were sent with them; request jobs for the others."""
    stale = stale_references(unit.connection, did, subjects)
    some = sorted(stale, key=lambda list_id: list_id not in sent)[:MAX_LISTS_AT_ONCE]
    chosen, size = list[TrackList](), 0
    for made in unit.load_all(TrackList, [TrackList.create_id(each) for each in some]):
        size += len(made.written)
        if size <= MAX_ITEMS_AT_ONCE or not chosen or made.list_id in sent:
            made.refresh_references(stale.pop(made.list_id), at=unit.now)
            chosen.append(made)
    changes = unit.save(*chosen)
    if stale:
        request_and_announce(unit.connection, REFERENCES, did, unit.now)
    tell_followers_of(unit.connection, did, unit.now, subjects=subjects)
    return changes


def tell_followers_of(
    connection: sa.Connection,
    did: str,
    now: datetime,
    *which: sa.ColumnElement[bool],
    subjects: Collection[Subject] | None = None,
) -> None:
    """Request that lists of other accounts hear of the account's newest records, if some of these were not told; its lane is held."""
    if followers_to_tell(connection, did, *which, subjects=subjects, at_most=1):
        request_and_announce(connection, FOLLOWERS, did, now)


def request(connection: sa.Connection, kind: str, did: str, now: datetime) -> None:
    """Request a job of the account; the caller holds its lane, or the job may end without having seen what has changed."""
    wanted = Wanted(kind, did, did, envelope=Envelope(did, Via.JOB, kind))
    queue.request(connection, [wanted], now, hurry=True)


def request_and_announce(connection: sa.Connection, kind: str, did: str, now: datetime) -> None:
    """Do what `request` does where a delivery leaves the job behind, which wakes no worker by itself."""
    request(connection, kind, did, now)
    announce(connection, did)


def references_kinds(log: EventLog, threads: Threads) -> list[Kind]:
    def kind(name: str, handle: Callable[[EventLog, Job], timedelta | None]) -> Kind:
        async def work(job: Job) -> Outcome:
            pause = await threads.run(handle, log, job)
            if pause is None:
                return Outcome.DONE
            job.again_after = pause
            return Outcome.LATER

        return Kind(
            name,
            work,
            max_concurrent=MAX_CONCURRENT_JOBS,
            first_pause_seconds=REFERENCE_SECONDS / 10,
            max_pause_seconds=MAX_PAUSE_SECONDS,
        )

    own, elsewhere = (
        kind(each.kind, partial(refresh_behind_live, following=each)) for each in (OWN, ELSEWHERE)
    )
    return [own, elsewhere, kind(FOLLOWERS, tell_followers)]


def refresh_behind_live(log: EventLog, job: Job, following: Following) -> timedelta | None:
    """Refresh the account's lists that may be now; return when to look again, from when this attempt began, or None."""
    again_at: dict[int, datetime] = {}
    while stale := _found_or_ended(log, job, following.stale):
        if not (some := [each for each in stale if each not in again_at][:LISTS_IN_A_UNIT]):
            return max(timedelta(), min(again_at[each] for each in stale) - job.began_at)
        refresh = partial(_refresh, following, references={each: stale[each] for each in some})
        again_at |= log.transact(job.account, job.envelope, refresh)
    return None


def tell_followers(log: EventLog, job: Job) -> None:
    """Have each account whose lists follow records that have changed refresh them; one that is told twice finds nothing to do."""
    last = FIRST

    def find(connection: sa.Connection, did: str) -> list[Any]:
        """Return those after the last ones, and then others again: they may have changed meanwhile."""
        after = partial(followers_to_tell, connection, did, at_most=FOLLOWERS_AT_ONCE)
        return after(after=last) or after(after=FIRST)

    while some := _found_or_ended(log, job, find):
        last = some[-1].uri, some[-1].list_id
        for author in sorted({row.author for row in some}):
            with log.database.write() as connection:
                hold_lane(connection, author)
                request(connection, ELSEWHERE.kind, author, log.database.now(connection))
        with log.database.write() as connection:
            for row in some:
                of = list_follower.c
                this = (of.did == job.account, of.uri == row.uri, of.list_id == row.list_id)
                connection.execute(sa.update(list_follower).where(*this).values(cid=row.cid))


def _found_or_ended(log: EventLog, job: Job, find: Callable[[sa.Connection, str], Any]) -> Any:
    """Return what is found; where that is nothing, under the lane's lock too, end the job, so that a settlement can request another one."""
    with log.database.read() as connection:
        if found := find(connection, job.account):
            return found
    with log.database.write() as connection:
        hold_lane(connection, job.account)
        if not (found := find(connection, job.account)):
            queue.cancel(connection, job.kind, job.account)
        return found


def _refresh(
    following: Following, unit: UnitOfWork, references: Mapping[int, References]
) -> dict[int, datetime]:
    """Refresh those lists that were not refreshed too lately; return when each may be again."""
    pause, again_at, due = timedelta(seconds=following.seconds), dict[int, datetime](), list[TrackList]()
    for made in unit.load_all(TrackList, [TrackList.create_id(each) for each in references]):
        last = following.refreshed_at(made)
        if last is None or last + pause <= unit.now:
            made.refresh_references(references[made.list_id], at=unit.now)
            due.append(made)
        again_at[made.list_id] = (following.refreshed_at(made) or unit.now) + pause
    refresh_behind(unit, due)
    return again_at


def refresh_behind(unit: UnitOfWork, lists: Iterable[TrackList]) -> None:
    """Save refreshed lists of the account, to be written behind live work."""
    unit.save(*lists)
    for did in {made.did for made in lists}:
        queue_as_backfill(unit.connection, did, [Subject.of(made) for made in lists], unit.now)
