"""Lists of an account refer to the newest records of its tracks, and a delivery costs an account without lists nothing."""

import pytest
import sqlalchemy as sa

from aggregates.lists.track_list import TrackList
from aggregates.tracks.track import Track
from aggregates.values import ListItem
from outbox.conflicts.conflicts import conflict_of, keep_newer, keep_theirs
from outbox.lists import references
from outbox.lists.references import REFERENCE_SECONDS
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey
from outbox.record.dag_cbor import record_cid
from outbox.relay import batch
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION, a_list
from tests.outbox.rigs.foreign_writes import foreign_put, sent, verified
from tests.outbox.rigs.list_rigs import ReferenceRig, uri_of
from tests.outbox.rigs.relay_rig import ARTIST
from tests.outbox.rigs.wire import meanwhile
from tests.servers.databases import ON_BOTH, ON_POSTGRES, ON_SQLITE
from tests.statements import of_one_part, recorded_statements

pytestmark = [pytest.mark.anyio, ON_SQLITE]
REFRESH_STATEMENTS = {"sqlite": 130, "postgresql": 140}
"""At most, of a track, three lists at once, and two by a job, all of 20 items."""


async def test_a_track_joins_its_list_when_its_pds_has_it(rig: ReferenceRig) -> None:
    first, second = rig.upload(1), rig.upload(2)
    made = rig.saves(
        a_list(101, did=rig.did, items=tuple(ListItem(uri_of(each), None) for each in (second, first)))
    )
    await rig.relay_once()
    assert [each["uri"] for each in rig.written(made)] == [uri_of(second), uri_of(first)]
    assert rig.puts()["list"] <= 2, "not once for each track"


async def test_a_record_that_is_gone_leaves_the_list_until_it_is_restored(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists()
    track = rig.edit(title="Edited")
    await rig.relay_once()
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
    assert (await verified(rig))[Outcome.MISSING] == 1
    assert rig.written(made) == []
    rig.command(1, lambda it: it.restore_record(at=rig.clock()))
    await rig.relay_once()
    assert rig.written(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]


async def test_a_list_follows_another_clients_field_in_a_track(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists()
    track = rig.edit(title="Edited")
    await rig.relay_once()
    foreign_put(rig, track, note="theirs")
    await verified(rig)
    assert rig.written(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]


async def test_a_list_follows_a_track_as_another_client_wrote_it(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists()
    track = rig.edit(title="Edited")
    await rig.relay_once()
    foreign_put(rig, track, title="Theirs")
    assert (await verified(rig))[Outcome.HELD] == 1
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        conflict = conflict_of(unit.connection, rig.did, rig.kinds[Track.TOPIC], 1)
        assert conflict is not None
        keep_theirs(unit, unit.load(Track, Track.create_id(1)), conflict)
    await rig.relay_once()
    assert rig.written(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]


async def test_a_list_follows_a_record_that_is_newer_than_a_restored_log(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists()
    track = rig.edit(title="Edited")
    await rig.relay_once()
    record, key = foreign_put(rig, track, note="theirs"), RecordKey.of_uri(uri_of(track))
    with rig.log.unit_of_work(rig.did, ARTIST) as unit:
        keep_newer(unit, key, rig.cid(track), record, rig.kinds)
    await rig.relay_once()
    assert rig.written(made) == [{"uri": uri_of(track), "cid": rig.cid(track)}]


async def test_a_list_follows_a_track_to_another_collection(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists()
    before = rig.written(made)
    track = rig.command(1, lambda it: it.migrate_namespace("new.collection.track", at=rig.clock()))
    await rig.relay_once()
    await rig.relay_once()
    found = rig.pds.get_record(rig.did, "new.collection.track", track.rkey)
    assert found is not None
    assert rig.written(made) == [{"uri": uri_of(track), "cid": found["cid"]}] != before
    rig.edit(title="Edited")
    await rig.relay_once()
    assert rig.loaded().version == 3


async def test_a_list_that_a_track_enters_while_it_is_written_is_not_left_behind(rig: ReferenceRig) -> None:
    await rig.with_lists(lists=0)
    track = rig.edit(title="Edited")
    old = ListItem(uri_of(track), rig.cid(track))
    rig.wire.faults += [meanwhile(lambda: rig.saves(a_list(101, did=rig.did, items=(old,))))]
    await rig.relay_once()
    assert rig.written(rig.loaded()) == [{"uri": uri_of(track), "cid": rig.cid(track)}]
    assert rig.cid(track) != old.cid


async def test_lists_without_a_record_and_deleted_ones_are_left_alone(rig: ReferenceRig) -> None:
    [private] = await rig.with_lists(visibility="private")
    deleted = rig.saves(a_list(102, did=rig.did, items=private.items, name="Deleted"))
    rig.command(102, lambda it: it.delete(at=rig.clock()), of=TrackList)
    await rig.relay_once()
    rig.edit(title="Edited")
    assert await rig.relay_once() == {Outcome.DELIVERED: 1}
    assert [rig.loaded(each.list_id).version for each in (private, deleted)] == [1, 2]


async def test_lists_in_lists_are_not_followed(rig: ReferenceRig) -> None:
    made = await rig.with_lists(lists=2)
    uris = [RecordKey(rig.did, each.collection, each.rkey).uri for each in made]
    cids = [record_cid(rig.remote(each) or {}) for each in made]
    for each in made:
        for uri, cid in zip(uris, cids, strict=True):
            item = ListItem(uri, cid)
            rig.command(each.list_id, lambda it, item=item: it.add(item, at=rig.clock()), of=TrackList)
    assert await rig.relay_once() == {Outcome.DELIVERED: 2}
    assert await rig.relay_once() == {}
    for each in made:
        assert [item["cid"] for item in rig.written(each)[1:]] == cids, "those of then"


@ON_BOTH
async def test_three_lists_go_at_once_and_the_others_by_a_job(rig: ReferenceRig) -> None:
    made = await rig.with_lists(lists=5)
    track = rig.edit(title="Edited")
    assert await rig.relay_once() == {Outcome.DELIVERED: 4}
    stale = [each for each in made if rig.written(each)[0]["cid"] != rig.cid(track)]
    assert len(stale) == 2
    [row] = rig.jobs()
    assert (row.subject, row.account) == (rig.did, rig.did)

    await rig.work()
    waiting = rig.rows(sa.select(mirror_target).where(mirror_target.c.backfill))
    assert {each.subject_id for each in waiting} == {each.list_id for each in stale}
    assert await rig.relay_once() == {Outcome.DELIVERED: 2}
    assert {rig.written(each)[0]["cid"] for each in made} == {rig.cid(track)}
    assert not rig.jobs()


@ON_BOTH
async def test_a_refresh_takes_few_statements_however_long_the_lists_are(rig: ReferenceRig) -> None:
    made = await rig.with_lists(lists=5, tracks=20)
    track = rig.edit(title="Edited")
    with recorded_statements(rig.database.engine) as seen:
        await rig.relay_once()
        await rig.work()
        await rig.relay_once()
    assert {rig.written(each)[0]["cid"] for each in made} == {rig.cid(track)}
    asked = len(of_one_part(seen, rig.did))
    assert asked <= REFRESH_STATEMENTS[rig.database.dialect], asked


@ON_POSTGRES
async def test_a_delivery_that_leaves_lists_to_a_job_announces_it(rig: ReferenceRig) -> None:
    await rig.with_lists(lists=4)
    rig.edit(title="Edited")
    with recorded_statements(rig.database.engine) as seen:
        await rig.relay_once()
    assert [sql for sql in seen if "pg_notify" in sql]


async def test_the_others_are_refreshed_at_most_once_in_ten_minutes(rig: ReferenceRig) -> None:
    made = await rig.with_lists(lists=5)
    for title in ("once", "twice", "three times"):
        track = rig.edit(title=title)
        await rig.relay_once()
        await rig.work()
        await rig.relay_once()
    behind = [each for each in made if rig.written(each)[0]["cid"] != rig.cid(track)]
    assert [rig.loaded(each.list_id).version for each in behind] == [2, 2]

    rig.clock.advance(seconds=REFERENCE_SECONDS / 2)
    await rig.work()
    assert [rig.loaded(each.list_id).version for each in behind] == [2, 2]
    rig.clock.advance(seconds=REFERENCE_SECONDS / 2 + 1)
    await rig.work()
    await rig.relay_once()
    assert {rig.written(each)[0]["cid"] for each in made} == {rig.cid(track)}
    assert [rig.loaded(each.list_id).version for each in behind] == [3, 3]
    assert not rig.jobs()


async def test_lists_that_fit_no_batch_with_the_track_wait(
    rig: ReferenceRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.with_lists(lists=3, tracks=2)
    monkeypatch.setattr(references, "MAX_ITEMS_AT_ONCE", 5)
    monkeypatch.setattr(batch, "MAX_BATCH_BYTES", 700)
    rig.edit(title="Edited")
    assert await rig.relay_once() == {Outcome.DELIVERED: 3}
    assert sent(rig) == ["putRecord"] * 3
    assert len(rig.jobs()) == 1


async def test_edits_of_many_tracks_refresh_their_list_together(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists(tracks=6)
    for number in range(6):
        rig.edit(number + 1, title="Edited")
    await rig.relay_once()
    assert sent(rig) == ["applyWrites"]
    assert [each["cid"] for each in rig.written(made)] == [
        each.cid for each in rig.loaded().items if each.cid is not None
    ]


async def test_what_another_client_enters_refers_to_the_newest_record(rig: ReferenceRig) -> None:
    [made] = await rig.with_lists(tracks=2)
    second = rig.written(made)[1]
    rig.command(101, lambda it: it.remove(second["uri"], at=rig.clock()), of=TrackList)
    rig.edit(2, title="Edited")
    await rig.relay_once()
    record = rig.remote(made) or {}
    record["items"].append({"subject": second})
    rig.pds.put_record(rig.did, made.collection, made.rkey, record)
    assert (await rig.verified_lists())[Outcome.TAKEN_OVER] == 1
    await rig.work()
    await rig.relay_once()
    found = rig.pds.get_record(rig.did, COLLECTION, second["uri"].rpartition("/")[2])
    assert found is not None
    assert rig.written(made)[1] == {"uri": second["uri"], "cid": found["cid"]}
