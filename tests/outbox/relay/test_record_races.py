"""Two things at once about one record, each stopped at its worst moment."""

import pytest

from eventstore.errors import LeaseLostError
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered, foreign_put, request_verify
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.stepwise_delivery import StepwiseDelivery, delete, restore, undelete, wanted
from tests.outbox.rigs.wire import LateRequest, answered
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]

# Observation against restore-record.


@pytest.mark.parametrize("finder", ["a write", "a verification"])
async def test_a_foreign_delete_is_dropped_if_the_owner_restored_meanwhile(desk: Rig, finder: str) -> None:
    track = await delivered(desk)
    desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    if finder == "a write":
        desk.edit(title="edited")
    else:
        request_verify(desk)
    delivery = StepwiseDelivery(desk)
    assert await delivery.send() is Outcome.MISSING
    track = restore(desk)
    delivery.settle()
    await desk.relay_once()
    assert "RecordMissing" not in desk.types()
    assert (desk.remote(track), desk.mirror().state) == (wanted(desk, track), "delivered")


async def test_a_foreign_edit_found_before_an_edit_of_the_owner_is_found_again_and_held_once(
    desk: Rig,
) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    request_verify(desk)
    delivery = StepwiseDelivery(desk)
    assert await delivery.send() is Outcome.HELD
    desk.edit(album="meanwhile")
    delivery.settle()
    assert "ForeignEditObserved" not in desk.types()
    assert await desk.relay_once() == {Outcome.HELD: 1}
    assert desk.types().count("ForeignEditObserved") == 1


# Scan against first put.


@pytest.mark.parametrize("moment", ["landed", "settled"])
async def test_a_scan_during_the_first_put_finds_nothing_foreign(desk: Rig, moment: str) -> None:
    track = desk.upload()
    delivery = StepwiseDelivery(desk)
    assert await delivery.send() is Outcome.DELIVERED
    if moment == "landed":
        request_verify(desk)
    delivery.settle()
    if moment == "settled":
        request_verify(desk)
    await desk.relay_once()
    assert desk.types() == ["Created"]
    assert (desk.remote(track), desk.mirror().state) == (wanted(desk, track), "delivered")


# A newer command against a request that hangs.


async def test_a_hanging_delete_does_not_remove_what_was_undeleted_since_its_generation_is_another(
    desk: Rig,
) -> None:
    await delivered(desk)
    late = LateRequest()
    desk.wire.faults += [late]
    delete(desk)
    await desk.relay_once()
    track = undelete(desk)
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"
    assert (await late.arrives(), desk.remote(track)) == (400, wanted(desk, track))


async def test_an_unanswered_edit_whose_base_is_on_the_pds_has_not_landed_and_its_swap_stops_it(
    desk: Rig,
) -> None:
    await delivered(desk)
    late = LateRequest()
    desk.wire.faults += [late]
    desk.edit(title="one")
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    desk.clock.advance(minutes=10)
    track = desk.edit(title="two")
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert (await late.arrives(), desk.remote(track)) == (400, wanted(desk, track))


# Wake against settle.


async def test_an_edit_between_the_reading_and_the_settling_of_an_earlier_one_stays_to_be_sent(
    desk: Rig,
) -> None:
    await delivered(desk)
    desk.edit(title="one")
    delivery = StepwiseDelivery(desk)
    await delivery.send()
    track = desk.edit(title="two")
    delivery.settle()
    assert desk.mirror().state == "pending"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)


# A lease that was lost.


async def test_a_foreign_edit_that_a_fenced_delivery_found_is_recorded_once_by_the_next_holder(
    desk: Rig,
) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    request_verify(desk)
    delivery = StepwiseDelivery(desk)
    assert await delivery.send() is Outcome.HELD
    desk.clock.advance(minutes=2)
    assert await desk.relay_once() == {Outcome.HELD: 1}
    with pytest.raises(LeaseLostError):
        delivery.settle()
    assert desk.types().count("ForeignEditObserved") == 1


async def test_a_rejected_answer_that_comes_after_a_newer_edit_stops_only_the_earlier_one(desk: Rig) -> None:
    await delivered(desk)
    desk.wire.faults += [answered(400, "InvalidRecord")]
    desk.edit(title="bad")
    delivery = StepwiseDelivery(desk)
    await delivery.send()
    track = desk.edit(title="good")
    delivery.settle()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)
