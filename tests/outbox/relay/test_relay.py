"""The PDS agrees with the log, whatever happened on the way."""

import pytest

from aggregates.published import Published
from eventstore.errors import LeaseLostError
from outbox.record.dag_cbor import record_cid
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION, some_artwork
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.stepwise_delivery import wanted
from tests.outbox.rigs.wire import LateRequest, answer_lost, answered, refused
from tests.servers.databases import ON_SQLITE

pytestmark = pytest.mark.anyio


@ON_SQLITE
@pytest.mark.pds
async def test_a_new_track_appears_on_the_pds_with_the_cid_computed_here(rig: Rig) -> None:
    track = rig.upload(description="a text", tags=("x",), artwork=some_artwork())

    await rig.relay_once()

    record = rig.pds.get_record(rig.did, COLLECTION, track.rkey)
    assert record is not None
    assert record["value"] == wanted(rig, track)
    assert record["cid"] == record_cid(record["value"]) == rig.mirror().record_cid
    assert rig.mirror().state == "delivered"


async def test_edits_made_while_the_pds_is_away_arrive_as_one_write(any_kind: Rig) -> None:
    track = await delivered(any_kind)
    any_kind.wire.faults += [refused]
    any_kind.edit(title="one")
    assert await any_kind.relay_once() == {Outcome.FAILED: 1}
    any_kind.edit(title="two")
    track = any_kind.edit(title="three")
    any_kind.clock.advance(minutes=10)
    any_kind.wire.sent.clear()

    await any_kind.relay_once()

    assert [name for name, _ in any_kind.wire.sent] == ["putRecord"]
    assert any_kind.remote(track) == wanted(any_kind, track)


async def test_a_subject_deleted_before_anything_was_sent_never_reaches_the_pds(any_kind: Rig) -> None:
    any_kind.wire.faults += [refused]
    any_kind.upload()
    await any_kind.relay_once()
    any_kind.command(1, lambda track: track.delete(at=any_kind.clock()))
    any_kind.clock.advance(minutes=10)
    any_kind.wire.sent.clear()

    assert await any_kind.relay_once() == {Outcome.CANCELLED: 1}

    assert any_kind.wire.sent == []
    assert any_kind.statuses() == ["cancelled"] * 2


async def test_a_lost_answer_followed_by_an_edit_is_not_taken_for_a_foreign_edit(any_kind: Rig) -> None:
    track = await delivered(any_kind)
    any_kind.wire.faults += [answer_lost]
    any_kind.edit(title="one")
    await any_kind.relay_once()
    assert any_kind.remote(track)[any_kind.TEXT] == "one"
    track = any_kind.edit(title="two")
    any_kind.clock.advance(minutes=10)

    await any_kind.relay_once()

    assert any_kind.remote(track) == wanted(any_kind, track)
    assert any_kind.mirror().state == "delivered"


async def test_a_relay_that_died_between_apply_and_settle_leaves_nothing_behind(any_kind: Rig) -> None:
    track = await delivered(any_kind)
    any_kind.edit(title="one")
    lane = any_kind.claim("dies", lease=5)
    task = next_task(any_kind.log, lane, any_kind.kinds, any_kind.clock(), [])
    late = await any_kind.delivery.deliver(lane, task, 5)
    track = any_kind.edit(title="two")
    any_kind.clock.advance(seconds=6)

    await any_kind.relay_once()

    assert any_kind.remote(track) == wanted(any_kind, track)
    assert any_kind.mirror().state == "delivered"
    with pytest.raises(LeaseLostError):
        any_kind.settle(lane, late)
    assert any_kind.mirror().acked_generation == any_kind.mirror().generation


async def test_a_delete_by_another_client_is_respected_until_the_owner_restores_the_record(
    any_kind: Rig,
) -> None:
    track = await delivered(any_kind)
    any_kind.pds.delete_record(any_kind.did, track.collection, track.rkey)
    any_kind.edit(title="edited since")

    assert await any_kind.relay_once() == {Outcome.MISSING: 1}
    assert any_kind.remote(track) is None
    assert (any_kind.mirror().state, any_kind.mirror().reason) == ("detached", "record_missing")
    any_kind.edit(title="and again")
    await any_kind.relay_once()
    assert any_kind.remote(track) is None

    track = any_kind.command(1, lambda track: track.restore_record(at=any_kind.clock()))
    await any_kind.relay_once()

    assert any_kind.remote(track) == wanted(any_kind, track)
    assert any_kind.remote(track)[any_kind.TEXT] == "and again"


async def test_a_foreign_edit_of_our_fields_is_held_and_not_overwritten(any_kind: Rig) -> None:
    track = await delivered(any_kind)
    any_kind.edits_elsewhere(track, title="by another client")
    foreign = any_kind.remote(track)
    any_kind.edit(title="ours")

    assert await any_kind.relay_once() == {Outcome.HELD: 1}

    assert any_kind.remote(track) == foreign
    assert (any_kind.mirror().state, any_kind.mirror().reason) == ("held", "foreign_edit")


async def test_fields_that_other_clients_keep_in_the_record_survive(any_kind: Rig) -> None:
    track = await delivered(any_kind)
    any_kind.pds.put_record(
        any_kind.did, track.collection, track.rkey, {**any_kind.remote(track), "x": {"$bytes": "aGk"}}
    )
    track = any_kind.edit(title="ours")
    await any_kind.relay_once()
    assert any_kind.remote(track) == {**wanted(any_kind, track), "x": {"$bytes": "aGk"}}

    track = any_kind.edit(title="again")
    await any_kind.relay_once()

    assert any_kind.remote(track) == {**wanted(any_kind, track), "x": {"$bytes": "aGk"}}


async def test_a_create_that_may_still_land_keeps_its_delete_open(any_kind: Rig) -> None:
    any_kind.wire.faults += [LateRequest()]
    track = any_kind.upload()
    await any_kind.relay_once()
    any_kind.command(1, lambda track: track.delete(at=any_kind.clock()))
    any_kind.clock.advance(seconds=5)
    assert await any_kind.relay_once() == {Outcome.SETTLING: 1}
    any_kind.pds.put_record(
        any_kind.did, track.collection, track.rkey, expected_create(any_kind, track)
    )  # it lands after all
    any_kind.clock.advance(minutes=2)

    await any_kind.relay_once()

    assert any_kind.remote(track) is None
    assert any_kind.mirror().state == "delivered"


def expected_create(any_kind: Rig, track: Published) -> dict:
    return any_kind.kinds[track.TOPIC].record_of(track, any_kind.recorded()[0].position)


async def test_a_bad_record_stops_only_itself(any_kind: Rig) -> None:
    any_kind.wire.faults += [answered(400, "InvalidRecord", "no")]
    any_kind.upload(1)
    good = any_kind.upload(2)

    await any_kind.relay_once()

    assert (any_kind.mirror(1).state, any_kind.mirror(1).reason) == ("rejected", "InvalidRecord")
    assert any_kind.remote(good) is not None
    any_kind.edit(1, title="mended")
    await any_kind.relay_once()
    assert any_kind.mirror(1).state == "delivered"


@ON_SQLITE
async def test_a_record_that_breaks_the_lexicon_is_not_sent(desk: Rig) -> None:
    desk.upload(artist="x" * 300)

    await desk.relay_once()

    assert desk.wire.sent == []
    assert (desk.mirror().state, desk.mirror().reason) == ("rejected", "invalid_record")
