"""The rows of lists, and of what they refer to, say what the fold of the log says."""

import os
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.errors import TrackError
from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem, Visibility
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.unit_of_work import UnitOfWork
from outbox.lists.items import ListItems, list_item
from projections.lists import Lists, album_titled, free_slug, row_of, track_list
from projections.media_references import MediaReferences, named
from projections.rebuild.rebuild import differences, rebuild
from tests.dsl import ALICE, START, a_list, some_artwork, some_item, some_time
from tests.projections.track_log import ENVELOPE
from tests.servers.databases import ON_SQLITE

EXAMPLES = 100 if os.environ.get("TEST_DEEP") else 15
PROJECTIONS = (Lists(), MediaReferences(), ListItems())
IDS = count(1)
NAMES = st.sampled_from("AbCdE")


STEPS = st.one_of(
    st.builds(lambda n: lambda it: it.add(some_item(n), at=some_time(1)), NAMES),
    st.builds(lambda n: lambda it: it.remove(some_item(n).uri, at=some_time(2)), NAMES),
    st.builds(lambda n: lambda it: it.move(some_item(n).uri, before=None, at=some_time(3)), NAMES),
    st.builds(
        lambda names: lambda it: it.reorder([some_item(n) for n in names], at=some_time(4)),
        st.lists(NAMES, unique=True),
    ),
    st.builds(
        lambda n, cid: (
            lambda it: it.refresh_references(
                {some_item(n).uri: ListItem(some_item(n).uri, cid)}, at=some_time(5)
            )
        ),
        NAMES,
        st.sampled_from([None, "bafyother"]),
    ),
    st.builds(
        lambda names: (
            lambda it: it.take_over(
                "bafy",
                base=[each.uri for each in it.items],
                theirs=[some_item(n) for n in names],
                observed_at=START,
            )
        ),
        st.lists(NAMES, max_size=4),
    ),
    st.builds(lambda on: lambda it: it.set_visibility(on, at=some_time(6)), st.sampled_from(Visibility)),
    st.builds(lambda n: lambda it: it.set_artwork(some_artwork(n), at=some_time(7)), st.integers(1, 2)),
    st.sampled_from(
        [
            lambda it: it.edit({"description": "Words"}, at=some_time(8)),
            lambda it: it.set_artwork(None, at=some_time(9)),
            lambda it: it.delete(at=some_time(10)),
            lambda it: it.undelete(at=some_time(11)),
        ]
    ),
)


@pytest.fixture
def log(migrated_url: str) -> Iterator[EventLog]:
    database = Database(migrated_url)
    yield EventLog(database, projections=PROJECTIONS)
    database.close()


def save(log: EventLog, made: TrackList) -> TrackList:
    log.transact(made.did, ENVELOPE, lambda unit: unit.save(made))
    return made


def change(log: EventLog, list_id: int, steps: list[Any]) -> TrackList:
    def work(unit: UnitOfWork) -> TrackList:
        made = unit.load(TrackList, TrackList.create_id(list_id))
        for each in steps:
            try:
                each(made)
            except TrackError:
                continue
        unit.save(made)
        return made

    return log.transact(ALICE, ENVELOPE, work)


def rows(log: EventLog) -> dict[str, list[Any]]:
    with log.database.read() as connection:
        return {
            table.name: connection.execute(sa.select(table).order_by(*table.primary_key.columns)).all()
            for each in PROJECTIONS
            for table in (projected.live for projected in each.tables)
        }


@settings(max_examples=EXAMPLES, deadline=None)
@given(units=st.lists(st.lists(STEPS, min_size=1, max_size=4), max_size=6), page=st.integers(1, 9))
def test_after_any_commands_the_rows_are_the_fold(log: EventLog, units: list[Any], page: int) -> None:
    made = save(log, a_list(next(IDS), items=(some_item("A"), some_item("b"))))
    for steps in units:
        made = change(log, made.list_id, steps)
    with log.database.read() as connection:
        row = connection.execute(sa.select(track_list).where(track_list.c.list_id == made.list_id)).one()
        assert {name: getattr(row, name) for name in row_of(made)} == row_of(made)
        of_list = sa.select(list_item).where(list_item.c.list_id == made.list_id)
        found = {each.uri: (each.cid, each.written) for each in connection.execute(of_list)}
    live = made.items if made.deleted_at is None else ()
    cids = {uri: {each.cid for each in live if each.uri == uri} for uri in (each.uri for each in live)}
    assert found == {
        uri: (cid.pop() if len(cid) == 1 else None, made.wants_record) for uri, cid in cids.items()
    }
    before = rows(log)
    rebuild(log, PROJECTIONS, page=page)
    assert rows(log) == before
    assert differences(log, PROJECTIONS, page=page) == []


def test_a_title_names_one_live_album_of_an_account(log: EventLog) -> None:
    save(log, a_list(next(IDS), name="Same", slug="same", list_type="playlist"))
    album = save(log, a_list(next(IDS), name="Same", slug="same-2"))
    save(log, a_list(next(IDS), name="Same", did="did:plc:bob"))
    with pytest.raises(sa.exc.IntegrityError):
        save(log, a_list(next(IDS), name="Same"))
    with log.database.read() as connection:
        assert album_titled(connection, ALICE, "Same") == album.list_id
        assert free_slug(connection, ALICE, "Same") == "same-3"
    change(log, album.list_id, [lambda it: it.delete(at=START)])
    save(log, a_list(next(IDS), name="Same"))


@ON_SQLITE
def test_the_bytes_of_a_cover_are_kept_while_a_list_names_them(log: EventLog) -> None:
    made = save(log, a_list(next(IDS), artwork=some_artwork(7)))
    cids = [some_artwork(7).cid, some_artwork(7).thumbnail_cid]
    with log.database.read() as connection:
        assert named(connection, cids, START) == {*cids}
    change(log, made.list_id, [lambda it: it.set_artwork(None, at=START)])
    with log.database.read() as connection:
        assert named(connection, cids, some_time(10**9)) == set()
