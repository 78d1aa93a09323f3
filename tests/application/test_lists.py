"""What owners do to albums and playlists, and that each track is in the album that its text names, and in no other."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.errors import AlreadyInListError, NotInListError, TooManyItemsError
from aggregates.track import Track
from aggregates.track_list import TrackList
from aggregates.values import ListItem, ListType, Visibility
from application.errors import (
    ListNotFoundError,
    NotInAlbumsError,
    NotOwnerError,
    RecordNotReadError,
    TitleTakenError,
    TooManyTracksError,
    TrackNotFoundError,
    VersionMismatchError,
)
from application.lists import albums, texts
from application.lists.albums import follow_album_text
from application.lists.commands import (
    AddItem,
    CreateList,
    EditList,
    Entry,
    MoveItem,
    OnList,
    RemoveItem,
    Reorder,
    change_items,
    create_list,
    delete_list,
    edit_list,
    undelete_list,
)
from application.lists.texts import album_texts_kind
from eventstore.change import Envelope
from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.event_log import EventLog
from eventstore.jobs.queue import claim
from eventstore.jobs.table import job as job_table
from eventstore.streams.buckets import BUCKETS, bucket_of
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import ALBUM_TEXTS, request_album_texts
from outbox.mirror.tables import mirror_target
from projections.lists import track_list
from service.observability.subscribers import PROJECTIONS
from storage.disk import DiskStore
from storage.errors import MediaGoneError
from storage.media import Media, Reserved
from tests.dsl import ALICE, BOB, COLLECTION, LISTS, START, a_track, some_artwork

MINUTE = timedelta(minutes=1)


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

    def uploads(self, number: int, album: str | None = None) -> Track:
        track = a_track(id_of(number, self.did), did=self.did, album=album)

        def work(unit: UnitOfWork) -> None:
            unit.save(track)
            follow_album_text(unit, track, None)

        self.does(work)
        return track

    def sets_text(self, number: int, album: str | None) -> None:
        def work(unit: UnitOfWork) -> None:
            track = unit.load(Track, Track.create_id(id_of(number, self.did)))
            before = track.album
            track.update_metadata({"album": album}, at=unit.now)
            unit.save(track)
            follow_album_text(unit, track, before)

        self.does(work)

    def deletes_track(self, number: int) -> None:
        def work(unit: UnitOfWork) -> None:
            track = unit.load(Track, Track.create_id(id_of(number, self.did)))
            track.delete(at=unit.now)
            unit.save(track)

        self.does(work)

    def undeletes_track(self, number: int) -> None:
        def work(unit: UnitOfWork) -> None:
            track = unit.load(Track, Track.create_id(id_of(number, self.did)))
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

    def edits(self, list_id: int, **metadata: Any) -> TrackList:
        fields = {
            name: metadata.pop(name) for name in ("visibility", "versions", "confirm") if name in metadata
        }
        command = EditList(TrackList, list_id, collection=LISTS, metadata=metadata, **fields)
        made: TrackList = self.names(lambda unit, reserved: edit_list(unit, command, reserved))
        return made

    def adds(self, list_id: int, entry: Entry) -> TrackList:
        return self._changes(AddItem(TrackList, list_id, collection=LISTS, entry=entry))

    def removes(self, list_id: int, entry: Entry) -> TrackList:
        return self._changes(RemoveItem(TrackList, list_id, collection=LISTS, entry=entry))

    def moves(self, list_id: int, entry: Entry, before: Entry | None) -> TrackList:
        return self._changes(MoveItem(TrackList, list_id, collection=LISTS, entry=entry, before=before))

    def orders(self, list_id: int, *entries: Entry, versions: frozenset[int] | None = None) -> TrackList:
        return self._changes(Reorder(TrackList, list_id, versions, collection=LISTS, entries=entries))

    def _changes(self, command: Any) -> TrackList:
        made: TrackList = self.does(lambda unit: change_items(unit, command))
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
        with self.log.database.read() as connection:
            live = (track_list.c.did == self.did, track_list.c.deleted_at.is_(None))
            ids = connection.scalars(sa.select(track_list.c.list_id).where(*live)).all()
        found = [made for made in map(self.loaded, ids) if made.list_type == ListType.ALBUM]
        with self.log.database.read() as connection:
            return {str(made.name): lists_tracks(connection, made) for made in found}

    def texts(self, *numbers: int) -> list[str | None]:
        loaded = [
            self.does(lambda unit, n=n: unit.load(Track, Track.create_id(id_of(n, self.did))))
            for n in numbers
        ]
        return [track.album for track in loaded]


def lists_tracks(connection: sa.Connection, made: TrackList) -> list[int]:
    uris = [item.uri for item in made.items]
    found = albums.tracks_at(connection, uris)
    return [found[uri].track_id // BUCKETS for uri in uris]


def of(*numbers: int, did: str = ALICE) -> list[Entry]:
    return [Entry(track_id=id_of(each, did)) for each in numbers]


@pytest.fixture
def log(migrated_url: str) -> Iterator[EventLog]:
    database = Database(migrated_url)
    yield EventLog(database, projections=PROJECTIONS)
    database.close()


@pytest.fixture
def alice(log: EventLog, tmp_path: Any) -> Account:
    return Account(log, Media(log.database, DiskStore(tmp_path / "media")))


@pytest.fixture
def bob(alice: Account) -> Account:
    return Account(alice.log, alice.media, BOB)


# Albums.


def test_the_tracks_of_a_new_album_get_its_text_in_their_order(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(3, 1))
    assert alice.albums() == {"Album": [3, 1]}
    assert alice.texts(1, 2, 3) == ["Album", None, "Album"]
    assert (made.slug, made.visibility, made.record_requested, made.wants_record) == (
        "album",
        "public",
        True,
        True,
    )
    assert made.created_at.endswith("Z")


def test_a_title_is_taken_once_by_live_albums(alice: Account, bob: Account) -> None:
    first = alice.creates("Album")
    with pytest.raises(TitleTakenError) as refused:
        alice.creates("Album")
    assert refused.value.album_id == first.list_id
    other = alice.creates("Other")
    with pytest.raises(TitleTakenError):
        alice.edits(other.list_id, name="Album")
    assert alice.creates("Album", of=ListType.PLAYLIST).slug == "album-2"
    bob.creates("Album")
    alice.deletes(first.list_id)
    alice.edits(other.list_id, name="Album")
    with pytest.raises(TitleTakenError):
        alice.undeletes(first.list_id)


def test_an_album_has_tracks_of_its_owner_alone(alice: Account, bob: Account) -> None:
    bob.uploads(1)
    alice.uploads(2)
    made = alice.creates("Album", *of(2))
    for entry in (*of(1, did=BOB), Entry(uri=ELSEWHERE, cid="bafy")):
        with pytest.raises(NotInAlbumsError):
            alice.adds(made.list_id, entry)
    with pytest.raises(TrackNotFoundError):
        alice.adds(made.list_id, *of(99))
    alice.deletes_track(2)
    with pytest.raises(TrackNotFoundError):
        alice.creates("Other", *of(2))


def test_a_track_moves_to_the_album_to_which_it_is_added(alice: Account) -> None:
    for number in (1, 2):
        alice.uploads(number)
    first, second = alice.creates("First", *of(1, 2)), alice.creates("Second")
    alice.adds(second.list_id, *of(1))
    assert alice.albums() == {"First": [2], "Second": [1]}
    assert alice.texts(1, 2) == ["Second", "First"]
    alice.orders(first.list_id, *of(1, 2))
    assert alice.albums() == {"First": [1, 2], "Second": []}
    assert alice.texts(1, 2) == ["First", "First"]


def test_a_track_that_leaves_its_album_loses_its_text(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2, 3))
    alice.removes(made.list_id, *of(2))
    assert alice.texts(1, 2, 3) == ["Album", None, "Album"]
    alice.orders(made.list_id, *of(3))
    assert (alice.albums(), alice.texts(1, 3)) == ({"Album": [3]}, [None, "Album"])


def test_a_rename_renames_the_text_of_its_tracks(alice: Account) -> None:
    for number in (1, 2):
        alice.uploads(number)
    made = alice.creates("Old", *of(1, 2))
    renamed = alice.edits(made.list_id, name="New")
    assert (renamed.name, renamed.first_name, renamed.slug) == ("New", "Old", "old")
    assert alice.texts(1, 2) == ["New", "New"]
    assert alice.albums() == {"New": [1, 2]}


def test_more_texts_than_a_unit_may_change_are_refused(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2, 3))
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    with pytest.raises(TooManyTracksError) as refused:
        alice.edits(made.list_id, name="New")
    assert (refused.value.number, refused.value.limit) == (3, 2)
    alice.edits(made.list_id, description="Words")
    assert alice.texts(1) == ["Album"]


def test_a_deleted_album_clears_the_text_of_its_tracks_and_undelete_brings_both_back(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(3, 2, 1))
    alice.deletes(made.list_id)
    assert (alice.albums(), alice.texts(1, 2, 3)) == ({}, [None, None, None])
    alice.sets_text(2, "Elsewhere")
    alice.undeletes(made.list_id)
    assert alice.albums() == {"Elsewhere": [2], "Album": [3, 1]}
    assert alice.texts(1, 2, 3) == ["Album", "Elsewhere", "Album"]
    assert alice.undeletes(made.list_id).version == alice.loaded(made.list_id).version


# The text of tracks.


def test_a_text_puts_its_track_at_the_end_of_an_album_that_is_made_if_need_be(alice: Account) -> None:
    alice.uploads(1, album="Album")
    alice.uploads(2, album="Album")
    alice.uploads(3)
    alice.sets_text(3, "Album")
    assert alice.albums() == {"Album": [1, 2, 3]}
    [made] = [alice.loaded(each) for each in ids_of(alice)]
    assert (made.record_requested, made.wants_record, made.collection) == (False, False, LISTS)


def test_a_text_takes_its_track_out_of_the_album_before(alice: Account) -> None:
    alice.uploads(1)
    alice.uploads(2)
    alice.creates("First", *of(1, 2))
    alice.sets_text(1, "Second")
    assert alice.albums() == {"First": [2], "Second": [1]}
    alice.sets_text(1, "First")
    assert alice.albums() == {"First": [2, 1]}, "what texts made goes with its last track"
    alice.sets_text(1, None)
    alice.sets_text(2, None)
    assert alice.albums() == {"First": []}, "what its owner saved stays"


def test_an_album_of_texts_has_a_record_once_its_owner_saves_it(alice: Account) -> None:
    alice.uploads(1, album="Album")
    alice.confirmed(1, "bafyone")
    [list_id] = ids_of(alice)
    made = alice.edits(list_id, description="Words")
    assert made.wants_record
    assert [item.cid for item in made.items] == ["bafyone"]


def test_a_title_that_no_record_can_have_waits_until_it_is_shortened(alice: Account) -> None:
    alice.uploads(1, album="x" * 65)
    [list_id] = ids_of(alice)
    assert not alice.edits(list_id, description="Words").wants_record
    assert alice.edits(list_id, name="Short").wants_record
    assert alice.texts(1) == ["Short"]


def test_a_deleted_track_comes_back_to_its_place_or_to_an_album_of_its_text(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2, 3))
    alice.deletes_track(2)
    alice.undeletes_track(2)
    assert alice.albums() == {"Album": [1, 2, 3]}
    alice.deletes_track(2)
    alice.deletes(made.list_id)
    alice.undeletes_track(2)
    assert (alice.albums(), alice.texts(1, 2)) == ({"Album": [2]}, [None, "Album"])


def test_an_order_keeps_a_track_that_is_deleted_behind_what_it_followed(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("List", *of(1, 2, 3), of=ListType.PLAYLIST)
    alice.deletes_track(2)
    alice.orders(made.list_id, *of(3, 1))
    assert len(alice.orders(made.list_id, *of(3)).items) == 2, "what was taken out is out"
    alice.orders(made.list_id, *of(3, 1))
    alice.undeletes_track(2)
    found = alice.loaded(made.list_id)
    with alice.log.database.read() as connection:
        assert lists_tracks(connection, found) == [3, 2, 1]


# Playlists.


def test_a_playlist_has_tracks_of_anybody(alice: Account, bob: Account) -> None:
    alice.uploads(1, album="Album")
    track = bob.uploads(2)
    bob.confirmed(2, "bafybob")
    entries = [*of(2, did=BOB), Entry(uri=ELSEWHERE, cid="bafyelsewhere"), *of(1)]
    made = alice.creates("List", *entries, of=ListType.PLAYLIST)
    assert [item.cid for item in made.items] == ["bafybob", "bafyelsewhere", None]
    assert made.items[0].uri == f"at://{BOB}/{track.collection}/{track.rkey}"
    assert alice.texts(1) == ["Album"], "a playlist has nothing to do with texts"
    with pytest.raises(RecordNotReadError):
        alice.adds(made.list_id, Entry(uri=ELSEWHERE + "2"))
    with pytest.raises(AlreadyInListError):
        alice.adds(made.list_id, Entry(uri=made.items[0].uri))


def test_entries_are_named_by_track_or_uri(alice: Account, bob: Account) -> None:
    bob.uploads(1)
    alice.uploads(2)
    made = alice.creates(
        "List", *of(1, did=BOB), *of(2), Entry(uri=ELSEWHERE, cid="bafy"), of=ListType.PLAYLIST
    )
    uris = [item.uri for item in made.items]
    order = alice.moves(made.list_id, Entry(uri=ELSEWHERE), *of(1, did=BOB))
    assert [item.uri for item in order.items] == [uris[2], uris[0], uris[1]]
    order = alice.moves(made.list_id, *of(1, did=BOB), None)
    assert [item.uri for item in order.items] == [uris[2], uris[1], uris[0]]
    order = alice.orders(made.list_id, *of(1, did=BOB), Entry(uri=ELSEWHERE), Entry(uri=uris[1]))
    assert [item.uri for item in order.items] == [uris[0], uris[2], uris[1]]
    assert order.items[1].cid == "bafy"
    order = alice.removes(made.list_id, *of(1, did=BOB))
    with pytest.raises(NotInListError):
        alice.removes(made.list_id, *of(1, did=BOB))
    with pytest.raises(TrackNotFoundError):
        alice.removes(made.list_id, *of(99))


def test_a_private_playlist_is_as_new_when_it_becomes_public(alice: Account) -> None:
    alice.uploads(1)
    made = alice.creates("List", *of(1), of=ListType.PLAYLIST, visibility=Visibility.PRIVATE)
    assert not made.wants_record
    alice.confirmed(1, "bafynewer")
    made = alice.edits(made.list_id, visibility=Visibility.PUBLIC)
    assert made.wants_record
    assert [item.cid for item in made.items] == ["bafynewer"]


def test_a_command_that_was_decided_on_another_version_is_refused(alice: Account) -> None:
    made = alice.creates("List", of=ListType.PLAYLIST)
    alice.edits(made.list_id, description="Words")
    with pytest.raises(VersionMismatchError):
        alice.orders(made.list_id, versions=frozenset({1}))
    alice.orders(made.list_id, versions=frozenset({2}))


def test_the_lists_of_others_are_out_of_reach(alice: Account, bob: Account) -> None:
    public = alice.creates("List", of=ListType.PLAYLIST)
    private = alice.creates("Own", of=ListType.PLAYLIST, visibility=Visibility.PRIVATE)
    for step in (bob.deletes, bob.undeletes, lambda each: bob.edits(each, description="x")):
        with pytest.raises(NotOwnerError):
            step(public.list_id)
        with pytest.raises(ListNotFoundError):
            step(private.list_id)


def test_a_list_that_is_too_long_is_not_made(alice: Account) -> None:
    entries = [Entry(uri=f"at://did:plc:e/fm.plyr.track/{number}", cid="bafy") for number in range(501)]
    with pytest.raises(TooManyItemsError):
        alice.creates("List", *entries, of=ListType.PLAYLIST)
    made = alice.creates("List", *entries[:500], of=ListType.PLAYLIST)
    assert len(made.items) == 500
    with pytest.raises(AlreadyInListError):
        alice.creates("Twice", entries[0], entries[0], of=ListType.PLAYLIST)


def test_a_cover_that_is_gone_is_refused(alice: Account) -> None:
    with pytest.raises(MediaGoneError):
        alice.creates("Album", artwork=some_artwork())


def ids_of(account: Account) -> list[int]:
    with account.log.database.read() as connection:
        live = (track_list.c.did == account.did, track_list.c.deleted_at.is_(None))
        return list(connection.scalars(sa.select(track_list.c.list_id).where(*live)))


# What a job brings together.


def bring_together(account: Account) -> None:
    """Do all jobs that were requested."""
    kind = album_texts_kind(account.log, Threads("t", 1))
    while (job := claim(account.log.database, kind, owner="w", lease=MINUTE)) is not None:
        texts.bring_together(account.log, job)
    assert not rows_of_jobs(account)


def make_albums(account: Account) -> None:
    with account.log.database.write() as connection:
        request_album_texts(connection, account.did, START)
    bring_together(account)


def test_texts_from_before_become_albums_without_a_record(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "TRACKS_IN_A_UNIT", 2)
    for number, album in enumerate(("A", "B", None, "A", "B"), start=1):
        track = a_track(id_of(number), album=album)
        alice.does(lambda unit, track=track: unit.save(track))
    make_albums(alice)
    assert alice.albums() == {"A": [1, 4], "B": [2, 5]}
    assert not any(alice.loaded(each).record_requested for each in ids_of(alice))
    versions = [alice.loaded(each).version for each in ids_of(alice)]
    make_albums(alice)
    assert [alice.loaded(each).version for each in ids_of(alice)] == versions


def test_the_texts_of_many_tracks_follow_in_the_background(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2, 3))
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    renamed = alice.edits(made.list_id, name="New", confirm=True)
    assert (renamed.name, alice.texts(1, 2, 3)) == ("New", ["Album"] * 3)
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == (["New"] * 3, {"New": [1, 2, 3]})

    alice.does(lambda unit: delete_list(unit, OnList(TrackList, made.list_id), confirm=True))
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == ([None] * 3, {})
    alice.undeletes(made.list_id)
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == (["New"] * 3, {"New": [1, 2, 3]})


def test_the_texts_of_many_tracks_that_come_and_go_follow_in_the_background(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        alice.uploads(number, album="Texts")
    first = alice.creates("First")
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    second = alice.creates("Second", *of(3, 2, 1))
    assert (alice.texts(1, 2, 3), alice.albums()) == (["Texts"] * 3, {"First": [], "Second": [3, 2, 1]})
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == (["Second"] * 3, {"First": [], "Second": [3, 2, 1]})

    alice.orders(first.list_id, *of(1, 3, 2))
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == (["First"] * 3, {"First": [1, 3, 2], "Second": []})
    alice.orders(first.list_id)
    bring_together(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == ([None] * 3, {"First": [], "Second": []})
    assert alice.loaded(second.list_id).items == ()


def test_the_history_of_an_album_is_read_once_for_all_that_have_left_it(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2, 3))
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    monkeypatch.setattr(texts, "TRACKS_IN_A_UNIT", 1)
    alice.orders(made.list_id)
    read, stream = list[Any](), EventLog.stream

    def seen(log: EventLog, connection: sa.Connection, did: str, aggregate_id: Any, **how: Any) -> Any:
        read.append(aggregate_id)
        return stream(log, connection, did, aggregate_id, **how)

    monkeypatch.setattr(EventLog, "stream", seen)
    bring_together(alice)
    assert alice.texts(1, 2, 3) == [None] * 3
    assert read.count(made.id) == 1


def takes_over(account: Account, list_id: int, *numbers: int) -> None:
    """Another client has made these the tracks of an album's record."""
    uris = [f"at://{account.did}/{COLLECTION}/{a_track(id_of(each, account.did)).rkey}" for each in numbers]

    def take_over(unit: UnitOfWork) -> None:
        album = unit.load(TrackList, TrackList.create_id(list_id))
        base, theirs = [item.uri for item in album.items], [ListItem(uri, "bafy") for uri in uris]
        album.take_over("bafy", base=base, theirs=theirs, observed_at=unit.now)
        unit.save(album)

    account.does(take_over)


def test_what_another_client_did_to_an_album_changes_no_text(alice: Account) -> None:
    for number in (1, 2, 3):
        alice.uploads(number)
    made = alice.creates("Album", *of(1, 2))
    takes_over(alice, made.list_id, 1, 3)
    make_albums(alice)
    assert (alice.texts(1, 2, 3), alice.albums()) == (["Album", "Album", None], {"Album": [1, 3]})
    alice.sets_text(2, None)
    alice.sets_text(2, "Album")
    assert alice.albums() == {"Album": [1, 3, 2]}


def test_a_track_that_another_client_entered_in_a_second_album_is_in_both_until_its_text_changes(
    alice: Account,
) -> None:
    for number in (1, 2):
        alice.uploads(number)
    alice.creates("First", *of(1, 2))
    takes_over(alice, alice.creates("Second").list_id, 1)
    make_albums(alice)
    assert (alice.texts(1, 2), alice.albums()) == (["First", "First"], {"First": [1, 2], "Second": [1]})
    alice.sets_text(1, "Second")
    assert alice.albums() == {"First": [2], "Second": [1]}


def test_the_texts_of_many_tracks_of_one_album_leave_those_of_others_alone(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3, 4):
        alice.uploads(number)
    found, made = alice.creates("Found"), alice.creates("Album", *of(1, 2, 3))
    takes_over(alice, found.list_id, 4)
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    alice.edits(made.list_id, name="New", confirm=True)
    bring_together(alice)
    assert alice.texts(1, 2, 3, 4) == ["New", "New", "New", None]


def rows_of_jobs(account: Account) -> list[Any]:
    with account.log.database.read() as connection:
        return list(connection.execute(sa.select(job_table).where(job_table.c.kind == ALBUM_TEXTS)))
