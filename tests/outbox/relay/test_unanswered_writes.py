"""Unanswered writes, and what the PDS holds afterwards: each row of the table."""

from typing import Any

import pytest

from aggregates.tracks.track import Track
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, foreign_put
from tests.outbox.rigs.namespace_move import event_statuses
from tests.outbox.rigs.relay_rig import LateRequest, Rig, answer_lost
from tests.outbox.rigs.stepwise_delivery import wanted
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]

LONG = {"minutes": 10}


async def doubtful(rig: Rig, fault: Any, **changes: Any) -> Track:
    """An edit whose put ends like this, and the time that the relay waits then."""
    rig.wire.faults += [fault]
    track = rig.edit(**(changes or {"title": "one"}))
    assert await rig.relay_once() == {Outcome.FAILED: 1}
    rig.clock.advance(**LONG)
    return track


async def test_an_unanswered_delete_of_a_record_that_is_absent_landed(each_desk: Rig) -> None:
    track = await delivered(each_desk)
    each_desk.wire.faults += [answer_lost]
    each_desk.command(1, lambda track: track.delete(at=each_desk.clock()))
    await each_desk.relay_once()
    each_desk.clock.advance(**LONG)
    assert await each_desk.relay_once() == {Outcome.DELIVERED: 1}
    assert (each_desk.remote(track), each_desk.mirror().state) == (None, "delivered")
    assert event_statuses(each_desk) == [("Created", "delivered"), ("Deleted", "delivered")]


async def test_an_unanswered_edit_whose_base_is_on_the_pds_has_not_landed_and_its_swap_stops_it(
    each_desk: Rig,
) -> None:
    late = LateRequest()
    await delivered(each_desk)
    await doubtful(each_desk, late)
    track = each_desk.edit(title="two")
    assert await each_desk.relay_once() == {Outcome.DELIVERED: 1}
    assert await late.arrives() == 400
    assert each_desk.remote(track) == wanted(each_desk, track)


async def test_an_earlier_attempt_that_is_on_the_pds_landed_late_and_is_the_new_base(desk: Rig) -> None:
    late = LateRequest()
    await delivered(desk)
    await doubtful(desk, late)
    track = desk.edit(title="two")
    assert await late.arrives() == 200
    assert (desk.remote(track) or {})["title"] == "one"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)
    assert event_statuses(desk)[1:] == [("MetadataUpdated", "superseded"), ("MetadataUpdated", "delivered")]


async def test_each_attempt_says_how_it_ended(desk: Rig) -> None:
    track = await delivered(desk)
    await doubtful(desk, LateRequest())
    foreign_put(desk, track, x=1)
    await desk.relay_once()
    assert [row.outcome for row in desk.attempts()] == ["done", "ambiguous", "read_back", "done"]
