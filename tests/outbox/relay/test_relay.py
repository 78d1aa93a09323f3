"""The PDS agrees with the log, whatever happened on the way."""

import pytest

from aggregates.track import Track
from eventstore.errors import LeaseLostError
from outbox.record.dag_cbor import record_cid
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION, some_artwork
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import KINDS, RECORDS, LateRequest, Rig, answer_lost, answered, refused
from tests.outbox.rigs.stepwise_delivery import wanted

pytestmark = [pytest.mark.anyio, pytest.mark.pds]


async def test_a_new_track_appears_on_the_pds_with_the_cid_computed_here(rig: Rig) -> None:
    track = rig.upload(description="a text", tags=("x",), artwork=some_artwork())

    await rig.relay_once()

    record = rig.pds.get_record(rig.did, COLLECTION, track.rkey)
    assert record is not None
    assert record["value"] == wanted(rig, track)
    assert record["cid"] == record_cid(record["value"]) == rig.mirror().record_cid
    assert rig.mirror().state == "delivered"


async def test_an_edit_leaves_every_other_field_as_it_was(rig: Rig) -> None:
    track = await delivered(
        rig, description="a text", artwork=some_artwork(), self_labels=("nudity",), album="one"
    )
    before = rig.remote(track)

    rig.edit(title="another")
    await rig.relay_once()

    after = rig.remote(track)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"title", "mastertapeGen"}
    assert before.keys() == after.keys()


async def test_edits_made_while_the_pds_is_away_arrive_as_one_write(rig: Rig) -> None:
    track = await delivered(rig)
    rig.wire.faults += [refused]
    rig.edit(title="one")
    assert await rig.relay_once() == {Outcome.FAILED: 1}
    rig.edit(title="two")
    track = rig.edit(album="three")
    rig.clock.advance(minutes=10)
    rig.wire.sent.clear()

    await rig.relay_once()

    assert [name for name, _ in rig.wire.sent] == ["putRecord"]
    assert rig.remote(track) == wanted(rig, track)


async def test_a_track_deleted_before_anything_was_sent_never_reaches_the_pds(rig: Rig) -> None:
    rig.wire.faults += [refused]
    rig.upload()
    await rig.relay_once()
    rig.command(1, lambda track: track.delete(at=rig.clock()))
    rig.clock.advance(minutes=10)
    rig.wire.sent.clear()

    assert await rig.relay_once() == {Outcome.CANCELLED: 1}

    assert rig.wire.sent == []
    assert rig.statuses() == ["cancelled"] * 2


async def test_a_lost_answer_followed_by_an_edit_is_not_taken_for_a_foreign_edit(rig: Rig) -> None:
    track = await delivered(rig)
    rig.wire.faults += [answer_lost]
    rig.edit(title="one")
    await rig.relay_once()
    assert rig.remote(track)["title"] == "one"
    track = rig.edit(title="two")
    rig.clock.advance(minutes=10)

    await rig.relay_once()

    assert rig.remote(track) == wanted(rig, track)
    assert rig.mirror().state == "delivered"


async def test_a_relay_that_died_between_apply_and_settle_leaves_nothing_behind(rig: Rig) -> None:
    track = await delivered(rig)
    rig.edit(title="one")
    lane = rig.claim("dies", lease=5)
    task = next_task(rig.log, lane, KINDS, rig.clock(), [])
    late = await rig.delivery.deliver(lane, task, 5)
    track = rig.edit(title="two")
    rig.clock.advance(seconds=6)

    await rig.relay_once()

    assert rig.remote(track) == wanted(rig, track)
    assert rig.mirror().state == "delivered"
    with pytest.raises(LeaseLostError):
        rig.settle(lane, late)
    assert rig.mirror().acked_generation == rig.mirror().generation


async def test_a_delete_by_another_client_is_respected_until_the_owner_restores_the_record(rig: Rig) -> None:
    track = await delivered(rig, description="kept")
    rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
    rig.edit(title="edited since")

    assert await rig.relay_once() == {Outcome.MISSING: 1}
    assert rig.remote(track) is None
    assert (rig.mirror().state, rig.mirror().reason) == ("detached", "record_missing")
    rig.edit(title="and again")
    await rig.relay_once()
    assert rig.remote(track) is None

    track = rig.command(1, lambda track: track.restore_record(at=rig.clock()))
    await rig.relay_once()

    assert rig.remote(track) == wanted(rig, track)
    assert rig.remote(track)["title"] == "and again"


async def test_a_foreign_edit_of_our_fields_is_held_and_not_overwritten(rig: Rig) -> None:
    track = await delivered(rig)
    foreign = {**rig.remote(track), "title": "by another client"}
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, foreign)
    rig.edit(title="ours")

    assert await rig.relay_once() == {Outcome.HELD: 1}

    assert rig.remote(track) == foreign
    assert (rig.mirror().state, rig.mirror().reason) == ("held", "foreign_edit")


async def test_fields_that_other_clients_keep_in_the_record_survive(rig: Rig) -> None:
    track = await delivered(rig)
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, {**rig.remote(track), "x": {"$bytes": "aGk"}})
    track = rig.edit(title="ours")
    await rig.relay_once()
    assert rig.remote(track) == {**wanted(rig, track), "x": {"$bytes": "aGk"}}

    track = rig.edit(title="again")
    await rig.relay_once()

    assert rig.remote(track) == {**wanted(rig, track), "x": {"$bytes": "aGk"}}


async def test_a_create_that_may_still_land_keeps_its_delete_open(rig: Rig) -> None:
    rig.wire.faults += [LateRequest()]
    track = rig.upload()
    await rig.relay_once()
    rig.command(1, lambda track: track.delete(at=rig.clock()))
    rig.clock.advance(seconds=5)
    assert await rig.relay_once() == {Outcome.SETTLING: 1}
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, expected_create(rig, track))  # it lands after all
    rig.clock.advance(minutes=2)

    await rig.relay_once()

    assert rig.remote(track) is None
    assert rig.mirror().state == "delivered"


def expected_create(rig: Rig, track: Track) -> dict:
    return RECORDS.record_of(track, rig.recorded()[0].position)


async def test_a_bad_record_stops_only_itself(rig: Rig) -> None:
    rig.wire.faults += [answered(400, "InvalidRecord", "no")]
    rig.upload(1)
    good = rig.upload(2)

    await rig.relay_once()

    assert (rig.mirror(1).state, rig.mirror(1).reason) == ("rejected", "InvalidRecord")
    assert rig.remote(good) is not None
    rig.edit(1, title="mended")
    await rig.relay_once()
    assert rig.mirror(1).state == "delivered"


async def test_a_record_that_breaks_the_lexicon_is_not_sent(rig: Rig) -> None:
    rig.upload(artist="x" * 300)

    await rig.relay_once()

    assert rig.wire.sent == []
    assert (rig.mirror().state, rig.mirror().reason) == ("rejected", "invalid_record")
