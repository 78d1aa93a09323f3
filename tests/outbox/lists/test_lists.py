"""A list goes the way of a track; what other clients do to its record is merged, or held."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.values import ListItem, Visibility
from outbox.conflicts.conflicts import conflict_of, field_conflicts, keep_ours, keep_theirs
from outbox.mirror.requeue import reverify
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import mirror_target
from outbox.relay.result import Outcome
from service.observability.subscribers import PROJECTIONS
from tests.dsl import LISTS, a_list
from tests.outbox.rigs.relay_rig import ARTIST, Rig, memory_rig_on, rig_on
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
CIDS = [f"bafyrei{letter * 52}" for letter in "abcdefg"]


def item(name: str) -> ListItem:
    """An item of another account; a small letter waits for its record."""
    cid = "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"
    return ListItem(f"at://did:plc:bob/fm.plyr.track/{name.lower()}", cid if name.isupper() else None)


class ListRig(Rig):
    PROJECTIONS = PROJECTIONS
    OF = TrackList

    async def begins(self, names: str = "ABC", **fields: Any) -> TrackList:
        """A list of other people's tracks, delivered."""
        made = self.saves(a_list(did=self.did, items=tuple(map(item, names)), **fields))
        await self.relay_once()
        return made

    def does(self, step: Any) -> TrackList:
        return self.command(1, step, of=TrackList)

    def order(self) -> str:
        """The order in the log; what is not written in small letters."""
        with self.log.unit_of_work(self.did, ARTIST) as unit:
            found = unit.load(TrackList, TrackList.create_id(1))
        keys = [(each.uri[-1], each.cid) for each in found.items]
        return "".join(key.upper() if cid else key for key, cid in keys)

    def written(self, made: TrackList) -> str:
        record = self.remote(made)
        assert record is not None
        return "".join(each["subject"]["uri"][-1].upper() for each in record["items"])

    def client_writes(self, made: TrackList, names: str | None = None, **fields: Any) -> None:
        """Another client writes the record."""
        items = [{"subject": vars(item(each))} for each in names or ""]
        self.edits_elsewhere(made, **({"items": items} if names is not None else {}), **fields)

    async def verified(self) -> dict[Outcome, int]:
        with self.database.write() as connection:
            reverify(connection, [Subject(TrackList.TOPIC, 1)], self.clock())
        return dict(await self.relay_once())

    def targets(self) -> list[Any]:
        return list(self.rows(sa.select(mirror_target)))


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.pds)])
async def both(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[ListRig]:
    """A rig whose PDS is in memory, and a real one."""
    if request.param == "memory":
        rig = memory_rig_on(migrated_url, ListRig)
    else:
        pds, account = map(request.getfixturevalue, ("pds", "pds_account"))
        rig = rig_on(migrated_url, pds, account, ListRig)
    async with rig as made:
        yield made


@pytest.fixture
async def lists(migrated_url: str) -> AsyncIterator[ListRig]:
    async with memory_rig_on(migrated_url, ListRig) as made:
        yield made


async def test_a_list_is_written_edited_deleted_and_undeleted(both: ListRig) -> None:
    made = await both.begins("AbC")
    assert both.written(made) == "AC"
    assert (both.remote(made) or {})["createdAt"] == made.created_at

    both.does(lambda it: it.move(item("A").uri, before=None, at=both.clock()))
    both.does(lambda it: it.edit({"name": "Renamed"}, at=both.clock()))
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    record = both.remote(made) or {}
    assert (both.written(made), record["name"], record["listType"]) == ("CA", "Renamed", "album")
    assert record["createdAt"] == made.created_at

    both.does(lambda it: it.delete(at=both.clock()))
    await both.relay_once()
    assert both.remote(made) is None
    both.does(lambda it: it.undelete(at=both.clock()))
    await both.relay_once()
    assert both.written(made) == "CA"


async def test_a_list_that_wants_no_record_has_none_and_no_target(lists: ListRig) -> None:
    made = await lists.begins(record_requested=False)
    lists.does(lambda it: it.remove(item("B").uri, at=lists.clock()))
    lists.does(lambda it: it.edit({"name": "Other"}, at=lists.clock()))
    assert await lists.relay_once() == {}
    assert (lists.targets(), lists.wire.sent) == ([], [])

    lists.does(lambda it: it.request_record(LISTS, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert lists.written(made) == "AC"


async def test_a_list_that_becomes_private_loses_its_record_and_stays_the_same(both: ListRig) -> None:
    made = await both.begins()
    both.does(lambda it: it.set_visibility(Visibility.PRIVATE, at=both.clock()))
    await both.relay_once()
    assert both.remote(made) is None
    both.does(lambda it: it.move(item("A").uri, before=None, at=both.clock()))
    assert await both.relay_once() == {}
    assert both.mirror().state is MirrorState.DELIVERED

    both.does(lambda it: it.set_visibility(Visibility.PUBLIC, at=both.clock()))
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    assert both.written(made) == "BCA"


async def test_a_list_that_was_private_for_a_moment_keeps_its_record(lists: ListRig) -> None:
    made = await lists.begins()
    lists.does(lambda it: it.set_visibility(Visibility.PRIVATE, at=lists.clock()))
    lists.does(lambda it: it.set_visibility(Visibility.PUBLIC, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert [name for name, _ in lists.wire.sent] == ["putRecord", "putRecord"]
    assert lists.written(made) == "ABC"


async def test_a_private_list_that_is_deleted_and_undeleted_asks_nothing_of_the_pds(lists: ListRig) -> None:
    await lists.begins(visibility="private")
    lists.does(lambda it: it.delete(at=lists.clock()))
    lists.does(lambda it: it.undelete(at=lists.clock()))
    assert await lists.relay_once() == {}
    assert (lists.targets(), lists.wire.sent) == ([], [])


async def test_what_another_client_adds_and_removes_is_taken_over(both: ListRig) -> None:
    made = await both.begins("AbC")
    both.client_writes(made, "XCY", note="theirs")
    assert await both.verified() == {Outcome.TAKEN_OVER: 1}
    assert (both.order(), both.types()[-1]) == ("XbCY", "ItemsTakenOver")
    assert both.mirror().state is MirrorState.DELIVERED
    assert both.written(made) == "XCY", "nothing had to be written"

    both.does(lambda it: it.move(item("Y").uri, before=item("X").uri, at=both.clock()))
    assert await both.relay_once() == {Outcome.DELIVERED: 1}
    record = both.remote(made) or {}
    assert (both.written(made), record["note"]) == ("YXC", "theirs")


async def test_what_another_client_knows_newer_of_another_account_is_kept_as_items_are_taken_over(
    lists: ListRig,
) -> None:
    made = await lists.begins()
    theirs = [{"subject": vars(item(each))} for each in "ABCX"]
    theirs[0]["subject"]["cid"] = CIDS[0]
    lists.edits_elsewhere(made, items=theirs)
    assert await lists.verified() == {Outcome.TAKEN_OVER: 1}, "nothing had to be written"
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert (lists.remote(made) or {})["items"] == theirs


async def test_two_changes_of_the_items_at_once_are_both_kept(both: ListRig) -> None:
    made = await both.begins()
    both.client_writes(made, "ABCX")
    both.does(lambda it: it.move(item("C").uri, before=item("A").uri, at=both.clock()))
    assert await both.relay_once() == {Outcome.TAKEN_OVER: 1, Outcome.DELIVERED: 1}
    assert both.order() == both.written(made) == "CXAB"
    assert both.mirror().state is MirrorState.DELIVERED


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"name": "Theirs"}, ["name"]),
        ({"listType": "playlist"}, ["listType"]),
        ({"createdAt": "2026-11-24T11:00:00.000Z"}, ["createdAt"]),
        ({"names": "CBA"}, ["items"]),
        ({"names": "CBAX", "name": "Theirs"}, ["items", "name"]),
    ],
)
async def test_another_order_name_type_or_date_is_held(
    lists: ListRig, changed: dict[str, Any], fields: list[str]
) -> None:
    made = await lists.begins()
    lists.client_writes(made, **changed)
    assert await lists.verified() == {Outcome.HELD: 1}
    assert lists.mirror().state is MirrorState.HELD
    with lists.log.unit_of_work(lists.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, lists.did, lists.kinds["list"], 1)
        assert conflict is not None
        assert conflict.fields == fields
        keep_ours(unit, unit.load(TrackList, TrackList.create_id(1)), conflict)
    await lists.relay_once()
    record = lists.remote(made) or {}
    assert (lists.written(made), record["name"], record["listType"]) == ("ABC", "List 1", "album")
    assert record["createdAt"] == made.created_at


async def test_their_order_is_adopted_field_by_field(both: ListRig) -> None:
    made = await both.begins("AxBC")
    both.client_writes(made, "CBA", name="Theirs")
    assert await both.verified() == {Outcome.HELD: 1}
    with both.log.unit_of_work(both.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, both.did, both.kinds["list"], 1)
        assert conflict is not None
        subject = unit.load(TrackList, TrackList.create_id(1))
        [items, name] = field_conflicts(conflict, subject)
        assert items.theirs == [item(each).uri for each in "CBA"]
        assert (items.only_ours_because, name.only_ours_because) == (None, None)
        keep_theirs(unit, subject, conflict, fields=["items"])
    await both.relay_once()
    assert (both.written(made), both.order()) == ("CBA", "CBAx")
    assert (both.remote(made) or {})["name"] == "List 1"


async def test_other_cids_alone_are_no_edit(lists: ListRig) -> None:
    made = await lists.begins()
    record = lists.remote(made) or {}
    for each, cid in zip(record["items"], CIDS, strict=False):
        each["subject"]["cid"] = cid
    lists.pds.put_record(lists.did, LISTS, made.rkey, record)
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert lists.types() == ["Created", "Edited"]


async def test_a_record_that_other_clients_have_filled_is_found_before_it_is_sent(lists: ListRig) -> None:
    made = await lists.begins()
    lists.client_writes(made, note="x" * 600_000, more="x" * 600_000)
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    await lists.relay_once()
    assert lists.mirror().state is MirrorState.HELD
    lists.wire.sent.clear()
    lists.retry(1, of=TrackList)
    await lists.relay_once()
    assert "putRecord" not in [name for name, _ in lists.wire.sent]


async def test_a_record_that_was_deleted_elsewhere_waits_for_its_owner(lists: ListRig) -> None:
    made = await lists.begins()
    lists.pds.delete_record(lists.did, LISTS, made.rkey)
    assert await lists.verified() == {Outcome.MISSING: 1}
    assert lists.mirror().state is MirrorState.DETACHED
    lists.does(lambda it: it.restore_record(at=lists.clock()))
    await lists.relay_once()
    assert lists.written(made) == "ABC"
