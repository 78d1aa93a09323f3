"""Lists refer to the newest records of their own account.

1. a delivery that gives a record another CID, or none, refreshes up to MAX_LISTS_AT_ONCE lists in the unit that settles it.
2. a job refreshes the others behind live work: the first time at once, then each at most once in REFERENCE_SECONDS.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from aggregates.published import Subject
from aggregates.track_list import TrackList
from aggregates.values import ListItem
from eventstore.change import Envelope, Via
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import list_item
from outbox.mirror.lanes import hold_lane
from outbox.mirror.requeue import queue_as_backfill
from outbox.mirror.tables import mirror_target, target
from outbox.mirror.targets import DELETE
from outbox.pds.client import RecordKey

MAX_LISTS_AT_ONCE: Final = 3
MAX_ITEMS_AT_ONCE: Final = 800
"""Of these lists: their records fit in one batch with that of a track."""
REFERENCE_SECONDS: Final = 600.0
REFERENCES: Final = "references"
LISTS_IN_A_UNIT: Final = 5
"""The account's other commands wait for such a unit."""
MAX_CONCURRENT_JOBS: Final = 4
MAX_PAUSE_SECONDS: Final = 3600.0

References = Mapping[str, ListItem]
"""What a list is to refer to instead, by the URIs that it has."""

_item: Final = list_item.c
_named: Final = mirror_target.alias("named").c
"""The record that a list names, which may be in a collection that its subject has left."""
_CID: Final = sa.case((target.desired_op != DELETE, target.observed_cid))
"""By which a list refers to a record: none where its PDS has, or is to have, no such record."""
_REFERS_OTHERWISE: Final = sa.and_(
    ~target.former,
    *(_named[name] == target[name] for name in ("did", "kind", "subject_id")),
    _item.did == _named.did,
    _item.uri == "at://" + _named.did + "/" + _named.collection + "/" + _named.rkey,
    _item.written,
    sa.case((_named.former, _CID.is_not(None)), else_=_item.cid.is_distinct_from(_CID)),
)
_STALE: Final = (
    sa.select(_item.list_id, _item.uri, target.collection, target.rkey, _CID.label("cid"))
    .where(_REFERS_OTHERWISE)
    .order_by(_item.list_id)
)
_CONDITION: Final = _REFERS_OTHERWISE.compile(compile_kwargs={"literal_binds": True})
IS_STALE: Final = sa.literal_column(
    f"exists (select 1 from mirror_target named, list_item where {_CONDITION})",  # noqa: S608
    sa.Boolean,
).label("is_stale")
"""Whether lists of its account refer to a record otherwise. As text: of what SQLite returns, SQLAlchemy leaves out the tables."""


def stale_references(
    connection: sa.Connection, did: str, subjects: Iterable[Subject] | None = None
) -> dict[int, References]:
    """Return what the account's lists have to refer to otherwise, by list; of these subjects alone, if they are given."""
    query = _STALE.where(target.did == did)
    if subjects is not None:
        query = query.where(target.subject_id.in_([each.id for each in subjects]))
    found: dict[int, dict[str, ListItem]] = defaultdict(dict)
    for row in connection.execute(query):
        key = RecordKey(did, row.collection, row.rkey)
        found[row.list_id][row.uri] = ListItem(key.uri, row.cid)
    return dict(found)


def cids_of(connection: sa.Connection, uris: Iterable[str]) -> dict[str, str | None]:
    """Return the CIDs by which lists refer to those of these records that are an account's here."""
    return {uri: row.cid for uri, row in _records_at(connection, uris).items()}


def _records_at(connection: sa.Connection, uris: Iterable[str]) -> dict[str, Any]:
    wanted = {RecordKey.of_uri(uri) for uri in uris}
    places = (target.did, target.collection, target.rkey)
    which = [place.in_({getattr(key, place.name) for key in wanted}) for place in places]
    found = sa.select(*places, target.acked_at, _CID.label("cid")).where(~target.former, *which)
    rows = {RecordKey(*row[:3]): row for row in connection.execute(found)} if wanted else {}
    return {key.uri: rows[key] for key in wanted & rows.keys()}


class ReferenceState(StrEnum):
    """How far a list's record is from the records that it refers to."""

    CURRENT = "current"
    BEHIND = "behind"
    UNFOLLOWED = "unfollowed"
    """Records of other accounts have changed, and its owner wants the list to stay as it is."""


class ReferenceStatus(NamedTuple):
    state: ReferenceState
    since: datetime | None = None


def status_of(connection: sa.Connection, made: TrackList) -> ReferenceStatus:
    """Return how far a list is behind the records of accounts here, and since when."""
    found = _records_at(connection, [item.uri for item in made.items]) if made.wants_record else {}
    changed = {
        item.uri: found[item.uri]
        for item in made.items
        if item.uri in found and found[item.uri].cid != item.cid
    }
    own = [row.acked_at for row in changed.values() if row.did == made.did]
    if not changed:
        return ReferenceStatus(ReferenceState.CURRENT)
    times = [at for at in own or (row.acked_at for row in changed.values()) if at is not None]
    state = ReferenceState.BEHIND if own or made.follow else ReferenceState.UNFOLLOWED
    return ReferenceStatus(state, min(times, default=None))


def refresh_at_once(unit: UnitOfWork, did: str, subjects: Iterable[Subject]) -> None:
    """Refresh some of the lists that refer to these subjects, whose records have changed, and request a job for the others."""
    stale = stale_references(unit.connection, did, subjects)
    some = [*stale][:MAX_LISTS_AT_ONCE]
    chosen, size = list[TrackList](), 0
    for made in unit.load_all(TrackList, [TrackList.create_id(each) for each in some]):
        size += len(made.written)
        if size <= MAX_ITEMS_AT_ONCE or not chosen:
            made.refresh_references(stale.pop(made.list_id), at=unit.now)
            chosen.append(made)
    unit.save(*chosen)
    if stale:
        request_refresh(unit, did)


def request_refresh(unit: UnitOfWork, did: str) -> None:
    """Request the job that refreshes what is stale in the account's lists."""
    by_itself = Envelope(did, Via.JOB, unit.envelope.request_id)
    wanted = Wanted(REFERENCES, did, did, envelope=by_itself)
    queue.request(unit.connection, [wanted], unit.now, hurry=True)


def references_kind(log: EventLog, threads: Threads) -> Kind:
    async def work(job: Job) -> Outcome:
        pause = await threads.run(refresh_behind_live, log, job)
        if pause is None:
            return Outcome.DONE
        job.again_after = pause
        return Outcome.LATER

    return Kind(
        REFERENCES,
        work,
        lambda _error: None,
        max_concurrent=MAX_CONCURRENT_JOBS,
        first_pause_seconds=REFERENCE_SECONDS / 10,
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def refresh_behind_live(log: EventLog, job: Job) -> timedelta | None:
    """Refresh the account's lists that may be now; return when to look again, from when this attempt began, or None."""
    again_at: dict[int, datetime] = {}
    while stale := _stale_or_end(log, job):
        if not (some := [each for each in stale if each not in again_at][:LISTS_IN_A_UNIT]):
            return max(timedelta(), min(again_at[each] for each in stale) - job.began_at)
        refresh = partial(_refresh, references={each: stale[each] for each in some})
        again_at |= log.transact(job.account, job.envelope, refresh)
    return None


def _stale_or_end(log: EventLog, job: Job) -> dict[int, References]:
    """Return what is stale; where nothing is, end the job under the lane's lock, so that a settlement can request another one."""
    with log.database.write() as connection:
        hold_lane(connection, job.account)
        stale = stale_references(connection, job.account)
        if not stale:
            queue.cancel(connection, job.kind, job.account)
        return stale


def _refresh(unit: UnitOfWork, references: Mapping[int, References]) -> dict[int, datetime]:
    """Refresh those lists that were not refreshed in REFERENCE_SECONDS; return when each may be again."""
    pause, again_at, due = timedelta(seconds=REFERENCE_SECONDS), dict[int, datetime](), list[TrackList]()
    for made in unit.load_all(TrackList, [TrackList.create_id(each) for each in references]):
        last = made.references_refreshed_at
        if last is None or last + pause <= unit.now:
            made.refresh_references(references[made.list_id], at=unit.now)
            due.append(made)
        again_at[made.list_id] = (made.references_refreshed_at or unit.now) + pause
    unit.save(*due)
    for did in {made.did for made in due}:
        queue_as_backfill(unit.connection, did, [Subject.of(made) for made in due], unit.now)
    return again_at
