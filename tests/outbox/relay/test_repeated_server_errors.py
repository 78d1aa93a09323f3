"""A record that a PDS keeps answering with the same 500 is rejected, unless the PDS answers all records so."""

from typing import Any

import httpx
import pytest

from outbox.relay.result import Outcome
from tests.dsl import BOB
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import MORE_THAN_ONE, Rig
from tests.outbox.rigs.wire import answered
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
BROKEN = answered(500, "InternalServerError")


async def try_again(rig: Rig, *faults: Any) -> None:
    """The pause is over; the next requests meet these."""
    rig.clock.advance(minutes=10)
    rig.wire.faults[:] = faults
    await rig.relay_once()


async def another_is_taken(rig: Rig, number: int, did: str = f"{BOB}1") -> None:
    rig.sign_in(did)
    rig.upload(number, did=did)
    assert await rig.relay_once() == {Outcome.DELIVERED: 1}


async def test_the_same_500_three_times_while_others_are_taken_rejects_the_record(desk: Rig) -> None:
    desk.upload()
    await try_again(desk, BROKEN)
    await another_is_taken(desk, 2)
    await try_again(desk, BROKEN)
    assert desk.mirror().state == "pending"
    await try_again(desk, BROKEN)
    assert (desk.mirror().state, desk.mirror().reason) == ("rejected", "InternalServerError")

    desk.edit(title="another")
    await try_again(desk)
    assert desk.mirror().state == "delivered"


async def test_a_host_that_takes_nothing_else_is_an_outage_and_goes_on_for_ever(desk: Rig) -> None:
    desk.upload()
    await another_is_taken_before(desk)
    for _ in range(10):
        await try_again(desk, *[BROKEN] * MORE_THAN_ONE)
    assert desk.mirror().state == "pending"
    await try_again(desk)
    assert desk.mirror().state == "delivered"


async def another_is_taken_before(rig: Rig) -> None:
    rig.wire.faults[:] = [BROKEN] * MORE_THAN_ONE
    await rig.relay_once()
    rig.wire.faults.clear()


async def test_what_another_host_takes_says_nothing_of_this_one(desk: Rig) -> None:
    desk.upload()
    await try_again(desk, BROKEN)
    desk.sign_in(f"{BOB}1", "http://elsewhere.test")
    desk.upload(2, did=f"{BOB}1")
    await desk.relay_once()
    assert desk.mirror(2).state == "delivered"
    for _ in range(3):
        await try_again(desk, BROKEN)
    assert desk.mirror().state == "pending"


async def test_answers_that_differ_are_no_sign_of_a_bad_record(desk: Rig) -> None:
    desk.upload()
    for number in range(6):
        await try_again(desk, answered(500, "InternalServerError" if number % 2 else "SomethingElse"))
        await another_is_taken(desk, 10 + number, did=f"{BOB}{number}")
    assert desk.mirror().state == "pending"


async def test_two_bad_records_do_not_close_a_host_that_has_little_else_to_do(desk: Rig) -> None:
    bad = {"one": 1, "other": 2}
    for name, number in bad.items():
        desk.sign_in(f"{BOB}{name}")
        desk.upload(number, did=f"{BOB}{name}")
    break_down_over(desk, [f"{BOB}{name}" for name in bad])
    for _ in range(8):
        desk.clock.advance(minutes=15)
        await desk.relay_once()

    await delivered(desk, 3)

    assert desk.mirror(3).state == "delivered"
    desk.clock.advance(minutes=15)
    await desk.relay_once()
    assert [desk.mirror(number).state for number in bad.values()] == ["rejected", "rejected"]


def break_down_over(rig: Rig, dids: list[str]) -> None:
    """The PDS breaks down over the records of these accounts, each time."""
    send = rig.wire.request

    async def request(did: str, method: str, nsid: str, **given: Any) -> httpx.Response:
        if did in dids:
            return await BROKEN(None)
        return await send(did, method, nsid, **given)

    rig.wire.request = request  # type: ignore[method-assign]
