"""What an answer tells of the account and its budget counts, whatever it says of the record."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from outbox.mirror.tables import NEVER
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.outbox.rigs.relay_rig import Rig, answered
from tests.outbox.rigs.rows import lane_row

pytestmark = pytest.mark.anyio


async def nearly_used_up(send: Callable[[], Any]) -> httpx.Response:
    """The PDS answers as it does, and tells that little is left of the account's hour."""
    reply: httpx.Response = await send()
    reply.headers.update(
        {
            "ratelimit-limit": "5000",
            "ratelimit-remaining": "990",
            "ratelimit-reset": str(int(time.time()) + 3000),
            "ratelimit-policy": "5000;w=3600",
        }
    )
    return reply


async def test_an_answer_that_refuses_a_swap_tells_of_the_budget_too(desk: Rig) -> None:
    first, second = desk.upload(1), desk.upload(2)
    await desk.relay_once()
    record = desk.remote(first) or {}
    desk.pds.put_record(desk.did, COLLECTION, first.rkey, {**record, "title": "somebody else's"})
    desk.edit(1, title="ours")
    desk.edit(2, title="later")
    desk.wire.faults.append(nearly_used_up)

    assert await desk.relay_once() == {Outcome.HELD: 1}
    assert (desk.remote(second) or {})["title"] != "later"
    desk.clock.advance(hours=1)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


@pytest.mark.parametrize("elsewhere", ["edited", "deleted"])
async def test_an_account_whose_record_waits_for_a_person_is_not_in_doubt(desk: Rig, elsewhere: str) -> None:
    track = desk.upload()
    await desk.relay_once()
    if elsewhere == "edited":
        record = desk.remote(track) or {}
        desk.pds.put_record(desk.did, COLLECTION, track.rkey, {**record, "title": "somebody else's"})
    else:
        desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.edit(title="ours")
    desk.wire.faults.append(answered(500, "InternalServerError"))
    await desk.relay_once()
    assert lane_row(desk.database, desk.did).probe_at < NEVER

    desk.clock.advance(minutes=1)
    await desk.relay_once()

    assert desk.mirror().state == {"edited": "held", "deleted": "detached"}[elsewhere]
    lane = lane_row(desk.database, desk.did)
    assert (lane.probe_at, lane.failures) == (NEVER, 0)
