"""A list goes the way of a track; what other clients do to its record is merged, or held."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.values import ListItem, Visibility
from outbox.conflicts.conflicts import conflict_of, field_conflicts, keep_ours, keep_theirs
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import mirror_target
from outbox.relay.result import Outcome
from service.observability.subscribers import PROJECTIONS
from tests.dsl import LISTS, NO_INDEX_HOLDS, a_list
from tests.outbox.rigs.foreign_writes import verified
from tests.outbox.rigs.relay_rig import ARTIST, Rig, memory_rig_on
from tests.servers.databases import ON_BOTH, ON_SQLITE

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

    def targets(self) -> list[Any]:
        return list(self.rows(sa.select(mirror_target)))


@pytest.fixture
async def lists(migrated_url: str) -> AsyncIterator[ListRig]:
    async with memory_rig_on(migrated_url, ListRig) as made:
        yield made


async def test_a_list_is_written_edited_deleted_and_undeleted(lists: ListRig) -> None:
    made = await lists.begins("AbC")
    assert lists.written(made) == "AC"
    assert (lists.remote(made) or {})["createdAt"] == made.created_at

    lists.does(lambda it: it.move(item("A").uri, before=None, at=lists.clock()))
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    record = lists.remote(made) or {}
    assert (lists.written(made), record["name"], record["listType"]) == ("CA", "Renamed", "album")
    assert record["createdAt"] == made.created_at

    lists.does(lambda it: it.delete(at=lists.clock()))
    await lists.relay_once()
    assert lists.remote(made) is None
    lists.does(lambda it: it.undelete(at=lists.clock()))
    await lists.relay_once()
    assert lists.written(made) == "CA"


async def test_a_list_that_wants_no_record_has_none_and_no_target(lists: ListRig) -> None:
    made = await lists.begins(record_requested=False)
    lists.does(lambda it: it.remove(item("B").uri, at=lists.clock()))
    lists.does(lambda it: it.edit({"name": "Other"}, at=lists.clock()))
    assert await lists.relay_once() == {}
    assert (lists.targets(), lists.wire.sent) == ([], [])

    lists.does(lambda it: it.request_record(LISTS, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert lists.written(made) == "AC"


async def test_a_list_that_becomes_private_loses_its_record_and_stays_the_same(lists: ListRig) -> None:
    made = await lists.begins()
    lists.does(lambda it: it.set_visibility(Visibility.PRIVATE, at=lists.clock()))
    await lists.relay_once()
    assert lists.remote(made) is None
    lists.does(lambda it: it.move(item("A").uri, before=None, at=lists.clock()))
    assert await lists.relay_once() == {}
    assert lists.mirror().state is MirrorState.DELIVERED

    lists.does(lambda it: it.set_visibility(Visibility.PUBLIC, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert lists.written(made) == "BCA"


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


async def test_what_another_client_adds_and_removes_is_taken_over(lists: ListRig) -> None:
    made = await lists.begins("AbC")
    lists.client_writes(made, "XCY", note="theirs")
    assert await verified(lists, of=TrackList) == {Outcome.TAKEN_OVER: 1}
    assert (lists.order(), lists.types()[-1]) == ("XbCY", "ItemsTakenOver")
    assert lists.mirror().state is MirrorState.DELIVERED
    assert lists.written(made) == "XCY", "nothing had to be written"

    lists.does(lambda it: it.move(item("Y").uri, before=item("X").uri, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    record = lists.remote(made) or {}
    assert (lists.written(made), record["note"]) == ("YXC", "theirs")


async def test_what_another_client_knows_newer_of_another_account_is_kept_as_items_are_taken_over(
    lists: ListRig,
) -> None:
    made = await lists.begins()
    theirs = [{"subject": vars(item(each))} for each in "ABCX"]
    theirs[0]["subject"]["cid"] = CIDS[0]
    lists.edits_elsewhere(made, items=theirs)
    assert await verified(lists, of=TrackList) == {Outcome.TAKEN_OVER: 1}, "nothing had to be written"
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert (lists.remote(made) or {})["items"] == theirs


async def test_two_changes_of_the_items_at_once_are_both_kept(lists: ListRig) -> None:
    made = await lists.begins()
    lists.client_writes(made, "ABCX")
    lists.does(lambda it: it.move(item("C").uri, before=item("A").uri, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.TAKEN_OVER: 1, Outcome.DELIVERED: 1}
    assert lists.order() == lists.written(made) == "CXAB"
    assert lists.mirror().state is MirrorState.DELIVERED


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"listType": "playlist", "createdAt": "2026-11-24T11:00:00.000Z"}, ["createdAt", "listType"]),
        ({"names": "CBAX", "name": "Theirs"}, ["items", "name"]),
    ],
)
async def test_another_order_name_type_or_date_is_held(
    lists: ListRig, changed: dict[str, Any], fields: list[str]
) -> None:
    made = await lists.begins()
    lists.client_writes(made, **changed)
    assert await verified(lists, of=TrackList) == {Outcome.HELD: 1}
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


@ON_BOTH
async def test_an_item_that_no_index_can_hold_is_held_and_stops_no_other_record(lists: ListRig) -> None:
    made = await lists.begins()
    theirs = [{"subject": vars(each)} for each in (*map(item, "ABC"), ListItem(NO_INDEX_HOLDS, CIDS[0]))]
    lists.edits_elsewhere(made, items=theirs)
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    other = lists.saves(a_list(2, did=lists.did, name="Other"))
    assert await lists.relay_once() == {Outcome.HELD: 1, Outcome.DELIVERED: 1}
    assert (lists.remote(made) or {})["items"] == theirs
    assert lists.remote(other) is not None
    assert lists.order() == "ABC"


async def test_their_order_is_adopted_field_by_field(lists: ListRig) -> None:
    made = await lists.begins("AxBC")
    lists.client_writes(made, "CBA", name="Theirs")
    assert await verified(lists, of=TrackList) == {Outcome.HELD: 1}
    with lists.log.unit_of_work(lists.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, lists.did, lists.kinds["list"], 1)
        assert conflict is not None
        subject = unit.load(TrackList, TrackList.create_id(1))
        [items, name] = field_conflicts(conflict, subject)
        assert items.theirs == [item(each).uri for each in "CBA"]
        assert (items.only_ours_because, name.only_ours_because) == (None, None)
        keep_theirs(unit, subject, conflict, fields=["items"])
    await lists.relay_once()
    assert (lists.written(made), lists.order()) == ("CBA", "CBAx")
    assert (lists.remote(made) or {})["name"] == "List 1"


async def test_other_cids_alone_are_no_edit(lists: ListRig) -> None:
    made = await lists.begins()
    record = lists.remote(made) or {}
    for each, cid in zip(record["items"], CIDS, strict=False):
        each["subject"]["cid"] = cid
    lists.pds.put_record(lists.did, LISTS, made.rkey, record)
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    assert await lists.relay_once() == {Outcome.DELIVERED: 1}
    assert lists.types() == ["Created", "Edited"]


async def test_the_cid_that_another_client_gives_an_item_unknown_here_stays(lists: ListRig) -> None:
    made = await lists.begins()
    record = lists.remote(made) or {}
    for cid in CIDS[1:3]:
        record["items"][1]["subject"]["cid"] = cid
        lists.pds.put_record(lists.did, LISTS, made.rkey, record)
        lists.wire.sent.clear()
        assert await verified(lists, of=TrackList) == {Outcome.DELIVERED: 1}
        assert ("putRecord" in dict(lists.wire.sent), lists.remote(made)) == (False, record)
    lists.does(lambda it: it.edit({"name": "Renamed"}, at=lists.clock()))
    await lists.relay_once()
    assert (lists.remote(made) or {})["items"][1]["subject"]["cid"] == CIDS[2]
    record["items"][0]["subject"]["cid"] = CIDS[0]
    lists.pds.put_record(lists.did, LISTS, made.rkey, {**record, "name": "Renamed"})
    lists.does(lambda it: it.remove(item("C").uri, at=lists.clock()))
    await lists.relay_once()
    assert [each["subject"]["cid"] for each in (lists.remote(made) or {})["items"]] == [CIDS[0], CIDS[2]]
    assert lists.types() == ["Created", "Edited", "ItemRemoved"]


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
