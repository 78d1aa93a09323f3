"""What a job brings together: texts of many tracks, and those from before."""

from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem
from application.lists import albums, texts
from application.lists.commands import (
    OnList,
    delete_list,
)
from application.lists.texts import album_texts_kind
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.table import job as job_table
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import ALBUM_TEXTS, request_album_texts
from tests.application.lists.account import Account, id_of, ids_of, of
from tests.dsl import COLLECTION, START, a_track
from tests.eventstore.jobs.rig import claim_anywhere


def rows_of_jobs(account: Account) -> list[Any]:
    with account.log.database.read() as connection:
        return list(connection.execute(sa.select(job_table).where(job_table.c.kind == ALBUM_TEXTS)))


def bring_together(account: Account) -> None:
    """Do all jobs that were requested."""
    kind = album_texts_kind(account.log, Threads("t", 1))
    while (job := claim_anywhere(account.log.database, kind, "w")) is not None:
        texts.bring_together(account.log, job)
    assert not rows_of_jobs(account)


def make_albums(account: Account) -> None:
    with account.log.database.write() as connection:
        request_album_texts(connection, account.did, START)
    bring_together(account)


def test_texts_from_before_become_albums_without_a_record(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "SUBJECTS_IN_A_UNIT", 2)
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
    alice.uploads(1, 2, 3)
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
    alice.uploads(1, 2, 3, album="Texts")
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
    alice.uploads(1, 2, 3)
    made = alice.creates("Album", *of(1, 2, 3))
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    monkeypatch.setattr(texts, "SUBJECTS_IN_A_UNIT", 1)
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
    alice.uploads(1, 2, 3)
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
    alice.uploads(1, 2)
    alice.creates("First", *of(1, 2))
    takes_over(alice, alice.creates("Second").list_id, 1)
    make_albums(alice)
    assert (alice.texts(1, 2), alice.albums()) == (["First", "First"], {"First": [1, 2], "Second": [1]})
    alice.sets_text(1, "Second")
    assert alice.albums() == {"First": [2], "Second": [1]}


def test_the_texts_of_many_tracks_of_one_album_leave_those_of_others_alone(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice.uploads(1, 2, 3, 4)
    found, made = alice.creates("Found"), alice.creates("Album", *of(1, 2, 3))
    takes_over(alice, found.list_id, 4)
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    alice.edits(made.list_id, name="New", confirm=True)
    bring_together(alice)
    assert alice.texts(1, 2, 3, 4) == ["New", "New", "New", None]
