"""An account with tracks and lists, and what it does to them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from aggregates.values import ListType
from application.lists import albums
from application.lists.albums import follow_album_text
from application.lists.commands import (
    AddItem,
    CreateList,
    EditList,
    Entry,
    ListChange,
    MoveItem,
    OnList,
    RemoveItem,
    Reorder,
    change_list,
    create_list,
    delete_list,
    undelete_list,
)
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.streams.buckets import BUCKETS, bucket_of
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.tables import mirror_target
from projections.lists import track_list
from storage.media import Media, Reserved
from tests.dsl import ALICE, LISTS, a_track


def id_of(number: int, did: str = ALICE) -> int:
    """The id of a track of an account, which carries the bucket of that."""
    return number * BUCKETS + bucket_of(did)


ELSEWHERE = "at://did:plc:elsewhere/fm.plyr.track/3k"


class Account:
    """An account with tracks, and what it does to its lists."""

    def __init__(self, log: EventLog, media: Media, did: str = ALICE) -> None:
        self.log, self.media, self.did = log, media, did

    def does(self, work: Callable[[UnitOfWork], Any]) -> Any:
        return self.log.transact(self.did, Envelope(self.did, "test", "r"), work)

    def names(self, work: Callable[[UnitOfWork, Reserved], Any]) -> Any:
        """Do what may name stored bytes."""
        reserved = Reserved(self.media)
        return reserved.run(lambda: self.does(lambda unit: work(unit, reserved)))

    def uploads(self, *numbers: int, album: str | None = None) -> None:
        def work(unit: UnitOfWork, number: int) -> None:
            track = a_track(id_of(number, self.did), did=self.did, album=album)
            unit.save(track)
            follow_album_text(unit, track, None)

        for each in numbers:
            self.does(partial(work, number=each))

    def track(self, unit: UnitOfWork, number: int) -> Track:
        return unit.load(Track, Track.create_id(id_of(number, self.did)))

    def sets_text(self, number: int, album: str | None) -> None:
        def work(unit: UnitOfWork) -> None:
            track = self.track(unit, number)
            before = track.album
            track.edit({"album": album}, at=unit.now)
            unit.save(track)
            follow_album_text(unit, track, before)

        self.does(work)

    def deletes_track(self, number: int) -> None:
        def work(unit: UnitOfWork) -> None:
            track = self.track(unit, number)
            track.delete(at=unit.now)
            unit.save(track)

        self.does(work)

    def undeletes_track(self, number: int) -> None:
        def work(unit: UnitOfWork) -> None:
            track = self.track(unit, number)
            track.undelete(at=unit.now)
            unit.save(track)
            follow_album_text(unit, track, None)

        self.does(work)

    def confirmed(self, number: int, cid: str) -> None:
        """Its PDS has the track with this CID."""
        of_track = sa.update(mirror_target).where(mirror_target.c.subject_id == id_of(number, self.did))
        with self.log.database.write() as connection:
            connection.execute(of_track.values(observed_cid=cid))

    def creates(self, name: str, *entries: Entry, of: ListType = ListType.ALBUM, **fields: Any) -> TrackList:
        command = CreateList(of, name, LISTS, entries=entries, **fields)
        made: TrackList = self.names(lambda unit, reserved: create_list(unit, command, reserved))
        return made

    def edits(self, list_id: int, *, confirm: bool = False, **changes: Any) -> TrackList:
        return self._changes(list_id, EditList(changes, confirm))

    def adds(self, list_id: int, entry: Entry) -> TrackList:
        return self._changes(list_id, AddItem(entry))

    def removes(self, list_id: int, entry: Entry) -> TrackList:
        return self._changes(list_id, RemoveItem(entry))

    def moves(self, list_id: int, entry: Entry, before: Entry | None) -> TrackList:
        return self._changes(list_id, MoveItem(entry, before))

    def orders(self, list_id: int, *entries: Entry, versions: frozenset[int] | None = None) -> TrackList:
        return self._changes(list_id, Reorder(entries), versions)

    def _changes(self, list_id: int, change: ListChange, versions: frozenset[int] | None = None) -> TrackList:
        on = OnList(TrackList, list_id, versions)
        made: TrackList = self.names(
            lambda unit, reserved: change_list(
                unit, on, change, collection=LISTS, reserved=reserved, known={}
            )
        )
        return made

    def deletes(self, list_id: int) -> TrackList:
        made: TrackList = self.does(lambda unit: delete_list(unit, OnList(TrackList, list_id)))
        return made

    def undeletes(self, list_id: int) -> TrackList:
        on = OnList(TrackList, list_id)
        made: TrackList = self.names(lambda unit, reserved: undelete_list(unit, on, reserved))
        return made

    def loaded(self, list_id: int) -> TrackList:
        made: TrackList = self.does(lambda unit: unit.load(TrackList, TrackList.create_id(list_id)))
        return made

    def albums(self) -> dict[str, list[int]]:
        """The tracks of each live album, by title; and that text and album of each track agree."""
        found = [made for made in map(self.loaded, ids_of(self)) if made.list_type == ListType.ALBUM]
        with self.log.database.read() as connection:
            return {str(made.name): lists_tracks(connection, made) for made in found}

    def texts(self, *numbers: int) -> list[str | None]:
        return [self.does(partial(self.track, number=each)).album for each in numbers]


def lists_tracks(connection: sa.Connection, made: TrackList) -> list[int]:
    uris = [item.uri for item in made.items]
    found = albums.tracks_at(connection, uris)
    return [found[uri].track_id // BUCKETS for uri in uris]


def of(*numbers: int, did: str = ALICE) -> list[Entry]:
    return [Entry(track_id=id_of(each, did)) for each in numbers]


def ids_of(account: Account) -> list[int]:
    with account.log.database.read() as connection:
        live = (track_list.c.did == account.did, track_list.c.deleted_at.is_(None))
        return list(connection.scalars(sa.select(track_list.c.list_id).where(*live)))
