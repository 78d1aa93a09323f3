"""A record that this code cannot read is verified with growing pauses, and keeps its state meanwhile."""

import asyncio
from collections import Counter

import pytest
from sqlalchemy import update

from outbox.mirror.tables import mirror_target
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, foreign_put, request_verify, target, verified
from tests.outbox.rigs.relay_rig import Rig

pytestmark = pytest.mark.anyio
LONG = 10.0


def garble(rig: Rig) -> bytes:
    """Make the observed body unreadable; returns what it was."""
    observed: bytes = target(rig).observed_body
    put_back(rig, b"\xff")
    return observed


def put_back(rig: Rig, observed: bytes) -> None:
    with rig.database.write() as connection:
        connection.execute(update(mirror_target).values(observed_body=observed))


async def relayed(rig: Rig) -> Counter[Outcome]:
    """Run the relay once; a relay that polls without end is cut off."""
    async with asyncio.timeout(LONG):
        return await rig.relay_once()


async def test_a_delivered_record_that_cannot_be_read_stays_delivered_and_is_verified_later(
    desk: Rig,
) -> None:
    await delivered(desk)
    observed = garble(desk)
    request_verify(desk)

    assert await relayed(desk) == {Outcome.FAILED: 1}
    assert await relayed(desk) == {}
    assert (desk.mirror().state, target(desk).state) == ("delivered", "idle")
    assert "UnreadableTargetError" in target(desk).last_error

    put_back(desk, observed)  # a release that can read it
    desk.clock.advance(hours=1)
    assert await relayed(desk) == {Outcome.SEEN: 1}
    assert target(desk).last_error is None


async def test_a_held_one_stays_held(desk: Rig) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="foreign")
    await verified(desk)
    before = desk.mirror()
    garble(desk)
    request_verify(desk)

    assert await relayed(desk) == {Outcome.FAILED: 1}

    assert (desk.mirror().state, desk.mirror().reason) == (before.state, before.reason)
    assert desk.mirror().state == "held"
