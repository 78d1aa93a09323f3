"""The relay's loop: fair, isolated, and able to stop and to start again."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from unittest.mock import DEFAULT, AsyncMock, Mock

import httpx
import pytest
from sqlalchemy import delete, select, update

from eventstore.coordination.commit_signals import awaited
from eventstore.errors import LogBusyError
from outbox.mirror.tables import NEVER, mirror_lane, mirror_target, pds_host
from outbox.mirror.targets import MIN_LANE_INTERVAL
from outbox.relay import lane_run
from outbox.relay.claim import claim
from outbox.relay.lane_run import MAX_RECORDS_PER_RUN
from outbox.relay.lease_clock import LeaseClock
from outbox.relay.result import Outcome
from tests.dsl import BOB
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import LONG, Rig, running, until_delivered
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
EDITS = 60


async def test_a_lane_run_ends_after_some_records_so_that_other_lanes_run(desk: Rig) -> None:
    desk.sign_in(BOB)
    for number in range(MAX_RECORDS_PER_RUN + 5):
        desk.upload(number + 1)
    desk.upload(100, did=BOB)
    desk.execute(update(pds_host).values(max_lanes=1))

    await desk.relay_once()

    writers = [body["repo"] for _, body in desk.wire.sent]
    assert writers.index(BOB) == MAX_RECORDS_PER_RUN
    assert len(writers) == MAX_RECORDS_PER_RUN + 6


async def test_a_record_that_this_code_cannot_read_stops_only_itself(desk: Rig) -> None:
    await delivered(desk, 1)
    desk.execute(update(mirror_target).values(observed_body=b"\xff"))
    desk.edit(1, title="unreadable")
    desk.upload(2)

    assert await desk.relay_once() == {Outcome.FAILED: 1, Outcome.DELIVERED: 1}

    assert (desk.mirror(1).state, desk.mirror(1).reason) == ("pending", "backoff")
    assert desk.mirror(1).last_error
    assert desk.mirror(2).state == "delivered"


async def test_a_record_whose_sending_raises_stops_only_itself(desk: Rig) -> None:
    desk.wire.faults += [AsyncMock(side_effect=ZeroDivisionError)]
    desk.upload(1)
    desk.upload(2)

    assert await desk.relay_once() == {Outcome.FAILED: 1, Outcome.DELIVERED: 1}

    assert "ZeroDivisionError" in (desk.mirror(1).last_error or "")
    desk.clock.advance(minutes=10)
    await desk.relay_once()
    assert desk.mirror(1).state == "delivered"


@pytest.mark.parametrize("releases_that_fail", [0, 2])
async def test_a_lane_run_that_fails_releases_its_lane_for_a_little_later(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, releases_that_fail: int
) -> None:
    desk.upload()
    releases = [LogBusyError] * releases_that_fail + [DEFAULT]
    with monkeypatch.context() as patched:
        patched.setattr("outbox.relay.lane_run.settle", Mock(side_effect=LogBusyError))
        release = Mock(wraps=lane_run.release_after_error, side_effect=releases)
        patched.setattr(lane_run, "release_after_error", release)
        patched.setattr(lane_run, "RELEASE_PAUSES_SECONDS", (0.0, 0.0, 0.0))
        await desk.relay_once()
    assert await desk.relay_once() == {}
    desk.clock.advance(seconds=2)

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_stopping_relay_finishes_the_delivery_in_flight_and_starts_no_other(desk: Rig) -> None:
    flying, land = asyncio.Event(), asyncio.Event()

    async def slow(send: Any) -> httpx.Response:
        flying.set()
        await land.wait()
        return await send()

    desk.wire.faults += [slow]
    desk.upload(1)
    desk.upload(2)
    stop = asyncio.Event()
    relay = asyncio.create_task(desk.relay.run(stop))
    await flying.wait()
    stop.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not relay.done()

    land.set()
    await asyncio.wait_for(relay, LONG)

    assert [desk.mirror(number).state for number in (1, 2)] == ["delivered", "pending"]
    row = lane_row(desk.database, desk.did)
    assert (row.lease_owner, row.due_at < NEVER) == (None, True)


async def test_an_account_whose_lane_row_is_gone_fails_no_other(desk: Rig) -> None:
    desk.sign_in(BOB)
    desk.upload(1)
    desk.upload(2, did=BOB)
    lane = desk.claim("first")

    desk.execute(delete(mirror_lane).where(mirror_lane.c.did == lane.did))
    await desk.relay_once()

    acked = dict(desk.rows(select(mirror_target.c.did, mirror_target.c.acked_gen)))
    assert sorted(acked[did] > 0 for did in (desk.did, BOB)) == [False, True]


async def test_a_claim_that_takes_long_has_used_up_part_of_its_lease(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def slow_claim(*args: Any, **named: Any) -> Any:
        now[0] += 31.0
        return claim(*args, **named)

    monkeypatch.setattr(
        "outbox.relay.relay.LeaseClock", lambda length: LeaseClock(length, clock=lambda: now[0])
    )
    monkeypatch.setattr("outbox.relay.relay.claim", slow_claim)
    desk.upload()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("outbox.relay.lane_run.write_release", lambda *_: loop.call_soon_threadsafe(stop.set))

    await desk.relay.run(stop)

    assert desk.wire.sent == []


@pytest.mark.parametrize(("age", "seconds"), [(0.0, 45.0), (29.0, 16.0), (30.0, 0.0)])
def test_requests_end_while_a_quarter_of_the_lease_is_left(age: float, seconds: float) -> None:
    times = iter([0.0, age])
    assert LeaseClock(timedelta(seconds=60), clock=lambda: next(times)).seconds_left_to_send() == seconds


async def test_edits_that_follow_each_other_closely_arrive_as_one_write(desk: Rig) -> None:
    desk.clock.run()
    await delivered(desk)
    desk.wire.sent.clear()
    async with running(desk):
        began = time.monotonic()
        for number in range(EDITS):
            await asyncio.to_thread(desk.edit, title=f"take {number}")
            desk.relay.wake()
        await until_delivered(desk)
        claims_at_most = (time.monotonic() - began) / MIN_LANE_INTERVAL.total_seconds() + 1
    assert 1 <= len(desk.wire.sent) <= claims_at_most


@pytest.mark.parametrize("edited_before", [False, True])
async def test_a_debounced_lane_delays_no_other_and_is_run_at_once_for_a_caller_that_waits(
    desk: Rig, edited_before: bool
) -> None:
    desk.sign_in(BOB)
    await desk.relay_once()  # what the sign-ins made due
    async with running(desk):  # its clock hardly moves
        desk.upload(1)
        desk.relay.wake()
        await until_delivered(desk, 1)

        if edited_before:
            desk.edit(1, title="in no haste")
        desk.upload(2, did=BOB)
        desk.relay.wake()
        await until_delivered(desk, 2)
        assert desk.mirror(1).state == ("pending" if edited_before else "delivered")

        token = awaited.set(True)
        desk.edit(1, title="awaited")
        awaited.reset(token)
        desk.relay.wake()
        await until_delivered(desk, 1)
