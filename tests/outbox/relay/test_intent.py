"""The intent is recorded before the request, and only by the relay that holds the lane."""

from typing import Any

import pytest
from sqlalchemy import select

from eventstore.errors import LeaseLostError
from outbox.mirror.tables import mirror_target
from outbox.relay.delivery_task import next_task
from outbox.views.deliveries import attempts_of
from tests.outbox.rigs.relay_rig import KINDS, Rig, refused

pytestmark = pytest.mark.anyio


def attempts(rig: Rig, track_id: int = 1) -> list[tuple[str, str | None]]:
    with rig.database.read() as connection:
        return [(row.op, row.outcome) for row in reversed(attempts_of(connection, "track", track_id))]


def target(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return connection.execute(select(mirror_target)).one()


async def test_a_refused_connection_of_a_create_is_known_to_have_sent_nothing(desk: Rig) -> None:
    desk.wire.faults += [refused]
    desk.upload()
    await desk.relay_once()
    assert target(desk).ever_sent is False


async def test_the_intent_is_written_before_the_first_byte(desk: Rig) -> None:
    noted = []

    async def look(send):
        noted.append((attempts(desk), target(desk).ever_sent))
        return await send()

    desk.wire.faults += [look]
    desk.upload()
    await desk.relay_once()
    assert noted == [([("put", None)], True)]


async def test_a_relay_that_lost_the_lease_neither_sends_nor_writes(desk: Rig) -> None:
    desk.upload()
    lane = desk.claim("first", lease=5)
    task = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert task is not None
    desk.clock.advance(seconds=6)
    before = target(desk)

    with pytest.raises(LeaseLostError):  # another relay may claim the lane at any moment
        await desk.delivery.deliver(lane, task, 5)
    result = await desk.delivery.deliver(desk.claim("second"), task, 5)
    sent = len(desk.wire.sent)
    with pytest.raises(LeaseLostError):
        await desk.delivery.deliver(lane, task, 5)
    with pytest.raises(LeaseLostError):
        desk.settle(lane, result)

    assert len(desk.wire.sent) == sent == 1
    assert target(desk).acked_gen == before.acked_gen == 0
