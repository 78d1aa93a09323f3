"""What makes a lane wait, and what lets it go on."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aggregates.track import Track
from eventstore.errors import LeaseLostError
from outbox.mirror.states import LaneState
from outbox.mirror.tables import mirror_lane
from outbox.record.record import record_for
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome
from tests.outbox.rigs.relay_rig import URLS, Rig, answered, refused

pytestmark = pytest.mark.anyio


def wanted(rig: Rig, track: Track) -> dict[str, Any]:
    return record_for(track, rig.mirror(track.track_id).generation, URLS)


def page(status: int, **reply: Any):
    async def fault(send):  # noqa: ARG001
        return httpx.Response(status, **reply)

    return fault


async def test_a_login_that_is_dead_parks_no_lane_whose_owner_has_signed_in_since(desk: Rig) -> None:
    async def signs_in_meanwhile(send):  # noqa: ARG001
        desk.sign_in()
        return httpx.Response(401, json={"error": "AuthMissing"})

    desk.wire.faults += [signs_in_meanwhile]
    track = desk.upload()

    await desk.relay_once()

    assert desk.mirror().state == "delivered"
    assert desk.remote(track) == wanted(desk, track)


async def test_a_flight_that_began_at_the_old_pds_ends_when_its_owner_signs_in_at_the_new_one(
    desk: Rig,
) -> None:
    desk.upload()
    lane = desk.claim("old")
    work = next_task(desk.log, lane, URLS, desk.clock(), [])
    assert work is not None
    desk.sign_in(host="http://new.test")

    with pytest.raises(LeaseLostError):
        await desk.delivery.deliver(lane, work, 5)
    assert desk.claim("new").host == "http://new.test"


async def test_neither_a_sign_in_nor_a_retry_sends_before_a_rate_limit_ends(desk: Rig) -> None:
    desk.wire.faults += [page(429, headers={"retry-after": "120"})]
    desk.upload()
    await desk.relay_once()

    desk.sign_in()
    desk.retry()
    assert await desk.relay_once() == {}

    desk.clock.advance(seconds=121)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    with desk.database.read() as connection:
        assert connection.scalar(select(mirror_lane.c.state)) == LaneState.READY


async def test_a_retry_tries_a_backing_off_lane_and_a_rejected_record_at_once(desk: Rig) -> None:
    desk.wire.faults += [refused] * 20  # a slow machine may meet it more than once
    desk.upload()
    await desk.relay_once()
    desk.wire.faults[:] = [answered(400, "InvalidRecord")]
    desk.retry()
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    assert desk.mirror().state == "rejected"
    desk.retry()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


@pytest.mark.parametrize("error", ["AccountDeactivated", "AccountTakedown"])
async def test_a_retry_probes_a_lane_that_waits_for_its_account(desk: Rig, error: str) -> None:
    desk.wire.faults += [answered(401, error)]
    desk.upload()
    await desk.relay_once()
    assert desk.mirror().state == "parked"
    assert await desk.relay_once() == {}
    desk.retry()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
