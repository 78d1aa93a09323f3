"""Settling records what an answer says of the account and its budget, whatever it says of the record."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from outbox.mirror.tables import NEVER
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered, foreign_delete, foreign_put
from tests.outbox.rigs.rate_limits import replies_with
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row
from tests.outbox.rigs.wire import answered
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def nearly_used_up(send: Callable[[], Any]) -> httpx.Response:
    """Let the PDS answer as before, with headers that say how little is left of the account's hour."""
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


async def test_the_budget_in_an_invalid_swap_answer_is_recorded(desk: Rig) -> None:
    first, second = desk.upload(1), desk.upload(2)
    await desk.relay_once()
    foreign_put(desk, first, title="theirs")
    desk.edit(1, title="ours")
    desk.edit(2, title="later")
    desk.wire.faults.append(nearly_used_up)

    assert await desk.relay_once() == {Outcome.HELD: 1}
    assert (desk.remote(second) or {})["title"] != "later"
    desk.clock.advance(hours=1)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_pause_for_the_budget_outlasts_a_shorter_one_that_the_read_back_is_asked_for(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = await delivered(desk)
    foreign_put(desk, track, title="theirs")
    desk.edit(title="ours")
    desk.wire.faults.append(nearly_used_up)
    replies_with(desk.pds, monkeypatch, "getRecord", (429, {"retry-after": "30"}))

    await desk.relay_once()

    assert lane_row(desk.database, desk.did).paced_until > desk.clock() + timedelta(minutes=30)


@pytest.mark.parametrize("elsewhere", ["edited", "deleted"])
async def test_an_account_with_a_held_or_detached_record_is_not_probed(desk: Rig, elsewhere: str) -> None:
    track = await delivered(desk)
    if elsewhere == "edited":
        foreign_put(desk, track, title="theirs")
    else:
        foreign_delete(desk, track)
    desk.edit(title="ours")
    desk.wire.faults.append(answered(500, "InternalServerError"))
    await desk.relay_once()
    assert lane_row(desk.database, desk.did).probe_at < NEVER

    desk.clock.advance(minutes=1)
    await desk.relay_once()

    assert desk.mirror().state == {"edited": "held", "deleted": "detached"}[elsewhere]
    lane = lane_row(desk.database, desk.did)
    assert (lane.probe_at, lane.failures) == (NEVER, 0)
