"""A record says why nobody sends it, and until when, also where it is its lane or its host that has to wait."""

from datetime import timedelta

import pytest

from aggregates.track import Track
from outbox.mirror.lanes import change_lane
from outbox.mirror.requeue import queue_as_backfill
from tests.outbox.rigs.relay_rig import Rig, answered, refused
from tests.outbox.rigs.rows import lane_row, set_host

pytestmark = pytest.mark.anyio

MINUTE = timedelta(minutes=1)


def why(rig: Rig, track_id: int) -> tuple[str, str | None]:
    mirror = rig.mirror(track_id)
    return mirror.state, mirror.reason


async def test_a_record_behind_one_that_was_over_a_limit_is_paced_until_the_same_time(desk):
    desk.upload(1)
    desk.upload(2)
    desk.wire.faults = [answered(429, "RateLimitExceeded")]
    await desk.relay_once()
    assert [why(desk, number) for number in (1, 2)] == [("pending", "paced")] * 2
    until = lane_row(desk.database, desk.did).paced_until
    assert [desk.mirror(number).next_attempt_at for number in (1, 2)] == [until] * 2
    desk.clock.advance(minutes=2)
    await desk.relay_once()
    assert why(desk, 2) == ("delivered", None)
    desk.edit(2, title="another")
    assert why(desk, 2) == ("pending", "sending")
    assert desk.mirror(2).next_attempt_at is None


async def test_a_record_behind_one_that_reached_nobody_backs_off_with_its_lane(desk):
    desk.upload(1)
    desk.upload(2)
    desk.wire.faults = [refused] * 100
    await desk.relay_once()
    assert [why(desk, number) for number in (1, 2)] == [("pending", "backoff")] * 2
    assert desk.mirror(2).next_attempt_at == lane_row(desk.database, desk.did).not_before


@pytest.mark.parametrize(("column", "reason"), [("retry_at", "backoff"), ("paced_until", "paced")])
async def test_a_record_at_a_host_that_is_to_be_left_alone_says_until_when(desk, column, reason):
    desk.upload()
    until = desk.clock() + MINUTE
    set_host(desk.database, desk.pds.url, **{column: until})
    assert why(desk, 1) == ("pending", reason)
    assert desk.mirror().next_attempt_at == until


async def test_of_a_host_whose_budget_is_half_used_up_only_backfill_waits(desk):
    desk.upload(1)
    desk.upload(2)
    with desk.database.write() as connection:
        queue_as_backfill(connection, desk.did, Track.subjects([2]), desk.clock())
    set_host(desk.database, desk.pds.url, backfill_after=desk.clock() + MINUTE)
    assert [why(desk, number) for number in (1, 2)] == [("pending", "sending"), ("pending", "paced")]


async def test_a_record_under_way_is_sending(desk):
    desk.upload()
    set_host(desk.database, desk.pds.url, max_lanes=4)
    desk.claim("relay-2")
    with desk.database.write() as connection:
        change_lane(connection, desk.did, not_before=desk.clock() + MINUTE)
    assert why(desk, 1) == ("pending", "sending")
