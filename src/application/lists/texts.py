"""Brings album texts and albums together where no command could.

So it is with texts from before there were albums, with adopted records, albums that another client has changed, and those of very
many tracks. A track in an album gets its title; one in none is put into the album that its text names, unless it was taken out of that.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

import sqlalchemy as sa

from aggregates.track import Track
from aggregates.track_list import TrackList
from application.lists.albums import IS_OF_TRACK, follow_album_text, take_out_of_others, uri_of
from application.subjects import owner_of
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.streams.buckets import for_account
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import ALBUM_TEXTS, list_item
from projections.lists import IS_ALBUM, LIVE, it, track_list
from projections.tracks.table import LIVE as IS_LIVE_TRACK
from projections.tracks.table import tracks

TRACKS_IN_A_UNIT: Final = 25
"""The account's other commands wait for such a unit."""
MAX_CONCURRENT_JOBS: Final = 2
FIRST_PAUSE_SECONDS: Final = 60.0
MAX_PAUSE_SECONDS: Final = 3600.0

_of_track: Final = tracks.c
_IS_OF_ALBUM: Final = (list_item.c.did == it.did, list_item.c.list_id == it.list_id, IS_ALBUM, LIVE)


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
    while log.transact(job.account, job.envelope, partial(_bring_some, job=job)):
        pass


def _bring_some(unit: UnitOfWork, job: Job) -> bool:
    """Change some tracks; where none differs, end the job in this unit, so that another one can request it again."""
    did = owner_of(unit)
    albums = {row.track_id: row for row in unit.connection.execute(_OTHERWISE, for_account(did))}
    renamed = unit.load_all(Track, [Track.create_id(each) for each in albums])
    for track in renamed:
        album = albums[track.track_id]
        track.update_metadata({"album": album.name}, at=unit.now)
        take_out_of_others(unit, uri_of(track), but=album.list_id)
    unit.save(*renamed)
    alone = unit.connection.scalars(_ALONE, for_account(did)).all() if not renamed else []
    outside = unit.load_all(Track, [Track.create_id(each) for each in alone])
    earlier = {title: set(_ever_in(unit, title)) for title in {track.album for track in outside}}
    for track in outside:
        if uri_of(track) in earlier[track.album]:
            track.update_metadata({"album": None}, at=unit.now)
            unit.save(track)
        else:
            follow_album_text(unit, track, None)
    if not (renamed or alone):
        queue.cancel(unit.connection, job.kind, job.account)
    return bool(renamed or alone)


_OF_ACCOUNT: Final = (_of_track.did == sa.bindparam("did"), IS_LIVE_TRACK)
_OTHERWISE: Final = (
    sa.select(_of_track.track_id, it.list_id, it.name)
    .select_from(tracks.join(list_item, sa.and_(*IS_OF_TRACK)).join(track_list, sa.and_(*_IS_OF_ALBUM)))
    .where(*_OF_ACCOUNT, _of_track.album.is_distinct_from(it.name))
    .order_by(_of_track.track_id, it.list_id)
    .limit(TRACKS_IN_A_UNIT)
)
"""Tracks that are in an album of another name, and those albums; of several, the last one is theirs."""
_ALONE: Final = (
    sa.select(_of_track.track_id)
    .where(*_OF_ACCOUNT, _of_track.album.is_not(None))
    .where(~sa.exists().where(*IS_OF_TRACK, *_IS_OF_ALBUM))
    .order_by(_of_track.track_id)
    .limit(TRACKS_IN_A_UNIT)
)
"""Tracks whose text names an album, and that are in none."""


def _ever_in(unit: UnitOfWork, title: str | None) -> Iterator[str]:
    """Yield what the albums with this title, deleted ones too, have or had: who took it out, or deleted the album, has decided."""
    did = owner_of(unit)
    ids = unit.connection.scalars(sa.select(it.list_id).where(it.did == did, it.name == title, IS_ALBUM))
    for list_id in ids.all():
        state: TrackList | None = None
        for each in unit.log.stream(unit.connection, did, TrackList.create_id(list_id)):
            state = each.event.mutate(state)
            yield from (item.uri for item in (state.items if state is not None else ()))
