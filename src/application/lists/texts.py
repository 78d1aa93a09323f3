"""Brings album texts and albums together where no command could, by a job of an account or of one album.

1. of an account, for texts from before there were albums and those of adopted tracks: a track in no album is put into the one that its
   text names, unless that has a record. Such an album, and all texts, stay as they were found.
2. of an album whose owner has changed those of very many tracks: its tracks get its title, and those that left it lose it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from application.lists.albums import IS_OF_TRACK, ITS_ITEMS, follow_album_text, take_out_of_others, uri_of
from application.subjects import SUBJECTS_IN_A_UNIT
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.streams.buckets import for_account
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import ALBUM_TEXTS, list_item
from projections.lists import IS_ALBUM, LIVE, it
from projections.tracks.table import LIVE as IS_LIVE_TRACK
from projections.tracks.table import tracks

MAX_CONCURRENT_JOBS: Final = 2
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0

_of_track: Final = tracks.c
_IS_OF_ALBUM: Final = (*ITS_ITEMS, IS_ALBUM, LIVE)


def album_texts_kind(log: EventLog, threads: Threads) -> Kind:
    async def work(job: Job) -> Outcome:
        await threads.run(bring_together, log, job)
        return Outcome.DONE

    return Kind(
        ALBUM_TEXTS,
        work,
        max_concurrent=MAX_CONCURRENT_JOBS,
        first_pause_seconds=FIRST_PAUSE_SECONDS,
        max_pause_seconds=MAX_PAUSE_SECONDS,
    )


def bring_together(log: EventLog, job: Job) -> None:
    some: Callable[[UnitOfWork], bool] = _fill_albums
    if job.subject != job.account:
        list_id = int(job.subject)
        some = partial(_set_texts, list_id=list_id, earlier=_ever_in(log, job.account, list_id))

    def bring_some(unit: UnitOfWork) -> bool:
        """Bring some together; where nothing is left, end the job in this unit, so that another one can be requested."""
        if not (is_some := some(unit)):
            queue.cancel(unit.connection, job.kind, job.subject, job.account)
        return is_some

    while log.transact(job.account, job.envelope, bring_some):
        pass


def _fill_albums(unit: UnitOfWork) -> bool:
    alone = unit.connection.scalars(_TO_FILL, for_account(unit.account)).all()
    for track in unit.load_all(Track, [Track.create_id(each) for each in alone]):
        follow_album_text(unit, track, None)
    return bool(alone)


def _set_texts(unit: UnitOfWork, list_id: int, earlier: set[str]) -> bool:
    album = unit.load(TrackList, TrackList.create_id(list_id))
    earlier.update(item.uri for item in album.items)
    of_album = {**for_account(album.did), "list_id": list_id, "title": album.name}
    inside = unit.connection.scalars(_OTHERWISE, of_album).all()
    alone: Sequence[Any] = unit.connection.execute(_LEFT, of_album).all() if not inside else []
    left = [row.track_id for row in alone if uri_of(row) in earlier]
    some = unit.load_all(Track, [Track.create_id(each) for each in (inside or left)[:SUBJECTS_IN_A_UNIT]])
    for track in some:
        track.edit({"album": album.name if inside else None}, at=unit.now)
        take_out_of_others(unit, uri_of(track), but=list_id)
    unit.save(*some)
    return bool(some)


_OF_ACCOUNT: Final = (_of_track.did == sa.bindparam("did"), IS_LIVE_TRACK)
_IS_TITLED: Final = (it.did == _of_track.did, it.name == _of_track.album, IS_ALBUM, LIVE)
_ALONE: Final = (*_OF_ACCOUNT, ~sa.exists().where(*IS_OF_TRACK, *_IS_OF_ALBUM))
_TO_FILL: Final = (
    sa.select(_of_track.track_id)
    .where(*_ALONE, _of_track.album.is_not(None), ~sa.exists().where(*_IS_TITLED, it.record_requested))
    .order_by(_of_track.track_id)
    .limit(SUBJECTS_IN_A_UNIT)
)
_OTHERWISE: Final = (
    sa.select(_of_track.track_id)
    .where(*IS_OF_TRACK, *_OF_ACCOUNT, list_item.c.list_id == sa.bindparam("list_id"))
    .where(_of_track.album.is_distinct_from(sa.bindparam("title")))
    .order_by(_of_track.track_id)
)
_LEFT: Final = (
    sa.select(_of_track.track_id, _of_track.did, _of_track.collection, _of_track.rkey)
    .where(*_ALONE, _of_track.album == sa.bindparam("title"))
    .order_by(_of_track.track_id)
)


def _ever_in(log: EventLog, did: str, list_id: int) -> set[str]:
    """Return what an album has or had: its owner has decided what became of that."""
    state: TrackList | None = None
    uris = set[str]()
    with log.database.read() as connection:
        for each in log.stream(connection, did, TrackList.create_id(list_id)):
            state = each.event.mutate(state)
            uris.update(item.uri for item in (state.items if state is not None else ()))
    return uris
