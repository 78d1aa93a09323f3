"""A lane that waits for its account finds out by itself when that is over."""

from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock

import pytest

from eventstore.errors import LeaseLostError
from eventstore.jobs.kinds import Job
from outbox.mirror.hosts import LONGEST_PAUSE_SECONDS
from outbox.mirror.lanes import lock_lane, park_lane
from outbox.mirror.parking import FIRST_PROBE_PAUSE, LONGEST_PROBE_PAUSE, request_probe
from outbox.mirror.tables import NEVER, mirror_lane
from outbox.pds.client import AccountStatus
from outbox.probes.jobs import settle_probe
from outbox.relay.result import Outcome
from tests.outbox.rigs.account_status import after, claim_probes, parked, state, status_of
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row, set_host
from tests.outbox.rigs.wire import answered, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_an_account_that_is_active_again_is_written_to_again(desk: Rig) -> None:
    track = await parked(desk, "deactivated")
    assert (state(desk), desk.mirror().reason) == ("account_inactive", "account_inactive")
    status_of(desk, None)
    assert await desk.relay_once() == {}

    assert await after(desk, FIRST_PROBE_PAUSE) == {Outcome.DELIVERED: 1}

    assert desk.remote(track) is not None
    assert (state(desk), lane_row(desk.database, desk.did).probes) == ("ready", 0)


async def test_an_account_that_stays_away_is_asked_for_ever_more_rarely_and_at_least_daily(desk: Rig) -> None:
    await parked(desk, "deactivated")
    pauses = []
    for _ in range(9):
        pause = lane_row(desk.database, desk.did).probe_at - desk.clock()
        pauses.append(pause)
        assert await after(desk, pause) == {}
        assert state(desk) == "account_inactive"
    assert pauses[0] >= FIRST_PROBE_PAUSE - timedelta(minutes=1)
    assert pauses[1] > 1.5 * pauses[0]
    assert timedelta(hours=23) < pauses[-1] <= 1.1 * LONGEST_PROBE_PAUSE
    assert len(desk.directory.asked) == 9


async def test_a_parked_lane_shows_when_its_account_is_probed_next(desk: Rig) -> None:
    await parked(desk, "deactivated")
    mirror = desk.mirror()
    assert mirror.next_attempt_at == lane_row(desk.database, desk.did).probe_at < NEVER
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    assert (desk.mirror().reason, desk.mirror().next_attempt_at) == ("auth_required", None)


async def test_a_lane_that_waits_for_a_sign_in_is_not_probed(desk: Rig) -> None:
    desk.wire.faults += [answered(401, "AuthMissing")]
    desk.upload()
    await desk.relay_once()
    assert await after(desk, timedelta(days=3)) == {}
    assert (state(desk), desk.directory.asked) == ("auth_required", [])


async def test_no_audio_is_uploaded_for_an_account_that_is_away(desk: Rig) -> None:
    """A deactivated account takes uploads, but no record that names them."""
    await parked(desk, "deactivated")
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    await desk.relay_once()
    await after(desk, FIRST_PROBE_PAUSE)
    assert [name for name, _ in desk.wire.sent] == ["putRecord"]

    status_of(desk, None)
    await after(desk, LONGEST_PROBE_PAUSE)

    assert [name for name, _ in desk.wire.sent].count("uploadBlob") == 1
    assert desk.mirror().state == "delivered"


async def test_an_upload_that_was_claimed_just_before_its_lane_was_parked_is_not_begun(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outbox.blobs import worker as blobs

    def claim_and_park(*args: Any, **options: Any) -> Any:
        upload = next_upload(*args, **options)
        with desk.database.write() as connection:
            park_lane(connection, desk.did)
        return upload

    next_upload = blobs.next_upload
    monkeypatch.setattr(blobs, "next_upload", claim_and_park)
    desk.upload()
    await desk.relay_once()
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))

    await desk.relay_once()

    assert [name for name, _ in desk.wire.sent] == ["putRecord"]
    monkeypatch.undo()
    desk.sign_in()
    await desk.relay_once()
    assert desk.mirror().state == "delivered"


async def test_an_account_that_its_host_did_not_know_for_a_moment_goes_on_at_once(desk: Rig) -> None:
    desk.wire.faults += [answered(403, "AccountNotFound")]
    track = desk.upload()
    assert await desk.relay_once() == {Outcome.FAILED: 1, Outcome.DELIVERED: 1}
    assert desk.remote(track) is not None
    assert desk.directory.asked == [desk.did]


async def test_a_pds_that_says_active_and_refuses_is_asked_ever_more_rarely(desk: Rig) -> None:
    desk.wire.faults += [answered(403, "AccountNotFound")] * 50
    desk.upload()
    await desk.relay_once()
    assert len(desk.wire.sent) == 2
    for _ in range(10):
        await after(desk, timedelta(hours=6))
    assert len(desk.wire.sent) < 12


async def test_a_host_that_is_down_for_days_costs_a_probe_an_hour_and_no_delay_once_it_is_back(
    desk: Rig,
) -> None:
    """Our own network may be the one that is down: the directory says nothing either."""
    desk.upload()
    desk.directory.away = True
    desk.wire.faults += [refused] * 1000
    for _ in range(50):
        await after(desk, timedelta(hours=1))
        assert state(desk) == "ready"
    assert len(desk.directory.asked) <= 56
    desk.wire.faults.clear()
    assert await after(desk, timedelta(seconds=LONGEST_PAUSE_SECONDS)) == {Outcome.DELIVERED: 1}
    assert lane_row(desk.database, desk.did).probe_at == NEVER


async def test_without_the_directory_the_known_host_is_asked(desk: Rig) -> None:
    await parked(desk, "deactivated")
    desk.directory.away = True
    status_of(desk, None)
    assert await after(desk, FIRST_PROBE_PAUSE) == {Outcome.DELIVERED: 1}


async def test_a_probe_that_breaks_down_is_another_unanswered_one(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(desk, "deactivated")
    monkeypatch.setattr(desk.directory, "host_of", AsyncMock(side_effect=ZeroDivisionError))
    await after(desk, FIRST_PROBE_PAUSE)
    lane = lane_row(desk.database, desk.did)
    assert (lane.state, lane.lease_owner) == ("account_inactive", None)
    assert desk.clock() < lane.probe_at < NEVER


async def due_probe(desk: Rig) -> tuple[Job, Any]:
    await parked(desk, "deactivated")
    desk.clock.advance(minutes=20)
    [found] = claim_probes(desk.database)
    return found


async def test_a_probe_that_lost_its_lease_changes_nothing(desk: Rig) -> None:
    late = await due_probe(desk)
    desk.clock.advance(minutes=2)
    claim_probes(desk.database)
    with pytest.raises(LeaseLostError):
        settle_probe(desk.database, *late, AccountStatus.ACTIVE)
    assert state(desk) == "account_inactive"


async def test_a_sign_in_during_a_probe_makes_the_lane_ready_at_once(desk: Rig) -> None:
    probe = await due_probe(desk)
    status_of(desk, None)
    desk.sign_in()
    settle_probe(desk.database, *probe, AccountStatus.INACTIVE)
    assert state(desk) == "ready"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_sign_out_during_a_probe_counts(desk: Rig) -> None:
    probe = await due_probe(desk)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    settle_probe(desk.database, *probe, AccountStatus.ACTIVE)
    assert (state(desk), lane_row(desk.database, desk.did).probe_at) == ("auth_required", NEVER)


@pytest.mark.parametrize("table", ["lane", "host"])
async def test_paused_lanes_and_hosts_are_not_probed(desk: Rig, table: str) -> None:
    await parked(desk, "deactivated")
    if table == "host":
        set_host(desk.database, desk.pds.url, paused=True)
    else:
        desk.execute(mirror_lane.update().values(paused=True))
    assert await after(desk, timedelta(days=2)) == {}
    assert desk.directory.asked == []


async def test_a_run_beside_a_probe_is_not_held_up_and_goes_to_no_host_that_the_account_has_left(
    desk: Rig,
) -> None:
    desk.upload()
    with desk.database.write() as connection:
        request_probe(connection, desk.did, desk.clock())
    [found] = claim_probes(desk.database)
    lane = desk.claim("relay")
    settle_probe(desk.database, *found, AccountStatus.MOVED, "http://new.test")
    with desk.database.write() as connection, pytest.raises(LeaseLostError):
        lock_lane(desk.database, connection, lane)
