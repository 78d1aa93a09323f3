"""Before a real PDS: what a dead login and a rate limit hold back, and what then arrives."""

import httpx
import pytest

from aggregates.track import Track
from outbox.mirror.lanes import resume_lane
from outbox.relay.result import Outcome
from tests.outbox.rigs.relay_rig import RECORDS, Rig, answered

pytestmark = [pytest.mark.anyio, pytest.mark.pds]


def expected(rig: Rig, track: Track) -> dict:
    return RECORDS.record_of(track, rig.mirror(track.track_id).generation)


async def test_a_dead_login_parks_the_lane_and_keeps_the_edits(rig: Rig) -> None:
    track = rig.upload()
    await rig.relay_once()
    rig.wire.faults += [answered(401, "AuthMissing")]
    rig.edit(title="one")
    await rig.relay_once()
    assert (rig.mirror().state, rig.mirror().reason) == ("parked", "auth_required")
    track = rig.edit(title="two")
    rig.wire.sent.clear()
    assert await rig.relay_once() == {}

    with rig.database.write() as connection:
        resume_lane(connection, rig.did, rig.pds.url, rig.clock())
    await rig.relay_once()

    assert [name for name, _ in rig.wire.sent] == ["putRecord"]
    assert rig.remote(track) == expected(rig, track)


async def test_nothing_is_sent_before_the_time_that_a_rate_limit_names(rig: Rig) -> None:
    async def limited(send):  # noqa: ARG001
        return httpx.Response(429, json={"error": "RateLimitExceeded"}, headers={"retry-after": "120"})

    rig.wire.faults += [limited]
    rig.upload(1)
    rig.upload(2)
    await rig.relay_once()
    rig.clock.advance(seconds=119)
    assert await rig.relay_once() == {}
    rig.clock.advance(seconds=2)

    assert await rig.relay_once() == {Outcome.DELIVERED: 2}
