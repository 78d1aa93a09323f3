"""Any number of requests to verify a record make one verification, and none is lost."""

import pytest
from sqlalchemy import func, select

from outbox.mirror.lanes import release
from outbox.mirror.tables import delivery_attempt
from outbox.relay.delivery_task import next_task
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, foreign_put, reads, request_verify, target, verified
from tests.outbox.rigs.relay_rig import KINDS, Rig

pytestmark = pytest.mark.anyio


async def test_a_request_to_verify_an_open_record_changes_nothing(desk: Rig) -> None:
    await delivered(desk)
    desk.edit(title="waits")
    before = target(desk)
    request_verify(desk)
    assert target(desk) == before


async def test_many_requests_to_verify_a_record_make_one_verification(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await delivered(desk)
    keys = reads(desk, monkeypatch)
    for _ in range(3):
        request_verify(desk)
    await desk.relay_once()
    assert keys == [track.rkey]


async def test_a_request_during_a_verification_makes_another_verification(desk: Rig) -> None:
    track = await delivered(desk)
    request_verify(desk)
    lane = desk.claim("looks")
    task = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert task is not None
    result = await desk.delivery.deliver(lane, task, 30)
    foreign_put(desk, track, title="foreign")
    request_verify(desk)
    desk.settle(lane, result)
    release(desk.database, lane)
    assert await desk.relay_once() == {Outcome.HELD: 1}


async def test_a_request_after_a_write_had_landed_survives_the_settling(
    desk: Rig,
) -> None:
    track = desk.upload()
    lane = desk.claim("writes")
    task = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert task is not None
    result = await desk.delivery.deliver(lane, task, 30)
    foreign_put(desk, track, title="foreign")
    request_verify(desk)
    desk.settle(lane, result)
    release(desk.database, lane)
    assert await desk.relay_once() == {Outcome.HELD: 1}


async def test_requests_to_verify_records_of_many_accounts_wake_each_lane(desk: Rig) -> None:
    other = "did:plc:other"
    desk.sign_in(other)
    await delivered(desk, 1)
    desk.upload(2, did=other)
    await desk.relay_once()
    assert await verified(desk, 1, 2) == {Outcome.SEEN: 2}


async def test_a_verification_leaves_no_attempt_in_the_journal_unless_it_writes(desk: Rig) -> None:
    await delivered(desk)
    await verified(desk)
    with desk.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(delivery_attempt)) == 1
