"""An account that nobody knows any more is gone in time, and no sooner; its owner or an operator brings it back."""

from datetime import timedelta

import pytest

from outbox.mirror.lanes import park_lane
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import retry
from outbox.operations.operators import Action, Operator, Selector, perform
from outbox.probes.jobs import GONE_AFTER
from outbox.relay.result import Outcome
from tests.outbox.rigs.account_status import after, parked, state, status_of
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import ARTIST, Rig
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.mark.parametrize("probed_for", ["its owner, who signs in", "an operator"])
async def test_an_account_that_no_directory_knows_for_days_is_gone_until_it_is_asked_for_again(
    desk: Rig, probed_for: str
) -> None:
    track = await delivered(desk)
    status_of(desk, "deleted")
    desk.edit(title="last words")
    await desk.relay_once()
    assert state(desk) == "identity_stale"
    await after(desk, timedelta(hours=24))
    assert state(desk) == "identity_stale"
    await after(desk, GONE_AFTER)
    assert (state(desk), desk.mirror().reason) == ("gone", "gone")
    asked = len(desk.directory.asked)
    await after(desk, timedelta(days=30))
    assert len(desk.directory.asked) == asked

    with desk.database.write() as connection:
        retry(connection, desk.did, "track", 1, desk.clock())
        park_lane(connection, desk.did)  # as when its session ends
    await desk.relay_once()
    assert state(desk) == "gone"

    status_of(desk, None)
    if probed_for == "an operator":
        perform(desk.log, Action.PROBE, Selector(did=desk.did), Operator(ARTIST))
    else:
        desk.sign_in()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) is not None


async def test_an_account_that_is_found_again_in_time_is_not_gone_the_next_time(desk: Rig) -> None:
    await parked(desk, "deleted")
    await after(desk, timedelta(hours=60))
    status_of(desk, "deactivated")
    await after(desk, timedelta(hours=24))
    assert state(desk) == "account_inactive"
    status_of(desk, "deleted")
    await after(desk, timedelta(hours=24))
    assert state(desk) == "identity_stale"


async def test_no_account_is_gone_because_the_directory_is_down(desk: Rig) -> None:
    desk.directory.away = True
    await parked(desk, "deleted")
    for _ in range(10):
        await after(desk, timedelta(days=1))
    assert state(desk) == "identity_stale"


async def test_an_account_whose_login_has_ended_is_gone_in_time_too(desk: Rig) -> None:
    """Otherwise it would wait for ever for a sign-in, and its deletion here for its records to be removed."""
    await delivered(desk)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    status_of(desk, "deleted")
    with desk.database.write() as connection:
        request_probe(connection, desk.did, desk.clock())  # as a scan does
    await desk.relay_once()
    assert state(desk) == "identity_stale"
    await after(desk, GONE_AFTER)
    assert state(desk) == "gone"


@pytest.mark.parametrize("status", [None, "deactivated"])
async def test_a_probe_does_not_replace_a_sign_in(desk: Rig, status: str | None) -> None:
    await delivered(desk)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    status_of(desk, status)
    with desk.database.write() as connection:
        retry(connection, desk.did, "track", 1, desk.clock())
    await desk.relay_once()
    assert (state(desk), desk.directory.asked) == ("auth_required", [desk.did])
