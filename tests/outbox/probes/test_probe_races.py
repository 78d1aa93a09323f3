"""Looks at accounts under leases: one relay at a time, and whoever speaks meanwhile counts."""

from datetime import timedelta
from typing import Any

import pytest

from eventstore.errors import LeaseLostError
from outbox.mirror.hosts import PacedPds
from outbox.mirror.lanes import park_lane, resume_lane
from outbox.mirror.tables import NEVER, mirror_lane
from outbox.probes.jobs import AccountLocation, ProbeResult, claim_probes, settle_probe
from outbox.probes.worker import Probes
from outbox.relay.result import Outcome
from service.observability.metrics import Metrics
from tests.outbox.rigs.account_status import after, parked, state, status_of
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import LEASE, claimed, lane_row, set_host

pytestmark = pytest.mark.anyio


def look(desk: Rig) -> Any:
    [probe] = claim_probes(desk.database, owner="one", limit=5, lease=LEASE)
    return probe


async def due_probe(desk: Rig) -> Any:
    await parked(desk, "deactivated")
    desk.clock.advance(minutes=20)
    return look(desk)


async def test_a_lane_is_probed_by_one_relay_at_a_time(desk: Rig) -> None:
    await due_probe(desk)
    assert claim_probes(desk.database, owner="two", limit=5, lease=LEASE) == []
    desk.clock.advance(minutes=2)
    assert claim_probes(desk.database, owner="two", limit=5, lease=LEASE) != []


async def test_a_probe_that_lost_its_lease_changes_nothing(desk: Rig) -> None:
    late = await due_probe(desk)
    desk.clock.advance(minutes=2)
    look(desk)
    with pytest.raises(LeaseLostError):
        settle_probe(desk.database, late, ProbeResult(AccountLocation.ACTIVE))
    assert state(desk) == "account_inactive"


async def test_a_probe_that_lost_its_lease_is_counted_and_logged_as_a_lane_run_is(
    desk: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    await parked(desk, "deactivated")
    desk.clock.advance(minutes=20)
    metrics, pds = Metrics(), PacedPds(desk.wire, desk.wire.http, desk.hosts)
    probes = Probes(desk.database, pds, desk.directory, owner="late", metrics=metrics)

    async def meanwhile(_did: str) -> str:
        desk.clock.advance(minutes=2)
        look(desk)
        return desk.pds.url

    desk.directory.host_of = meanwhile  # type: ignore[method-assign]
    await probes.start_due()
    await probes.drain()

    assert b"mirror_fenced_commits_total 1.0" in metrics.text()
    [told] = [vars(each) for each in caplog.records if each.message == "lease_lost"]
    assert (told["did"], told["host"]) == (desk.did, desk.pds.url)
    assert told["request_id"] == f"late:{told['epoch']}"


async def test_a_sign_in_during_a_probe_makes_the_lane_ready_at_once(desk: Rig) -> None:
    probe = await due_probe(desk)
    status_of(desk, None)
    desk.sign_in()
    settle_probe(desk.database, probe, ProbeResult(AccountLocation.INACTIVE))
    assert state(desk) == "ready"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_sign_out_during_a_probe_counts(desk: Rig) -> None:
    probe = await due_probe(desk)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    settle_probe(desk.database, probe, ProbeResult(AccountLocation.ACTIVE))
    assert (state(desk), lane_row(desk.database, desk.did).probe_at) == ("auth_required", NEVER)


async def test_probes_count_as_lanes_of_their_host(desk: Rig) -> None:
    host = "http://small.test"
    with desk.database.write() as connection:
        for number in range(4):
            resume_lane(connection, f"did:plc:{number}", host, desk.clock())
            connection.execute(
                mirror_lane.update().values(probe_at=desk.clock()).where(mirror_lane.c.host == host)
            )
    set_host(desk.database, host, max_lanes=3)
    probes = claim_probes(desk.database, owner="one", limit=10, lease=LEASE)
    assert len(probes) == 3
    assert [lane for lane in claimed(desk.database) if lane.host == host] == []
    assert claim_probes(desk.database, owner="two", limit=10, lease=LEASE) == []


@pytest.mark.parametrize("table", ["lane", "host"])
async def test_paused_lanes_and_hosts_are_not_probed(desk: Rig, table: str) -> None:
    await parked(desk, "deactivated")
    if table == "host":
        set_host(desk.database, desk.pds.url, paused=True)
    else:
        with desk.database.write() as connection:
            connection.execute(mirror_lane.update().values(paused=True))
    assert await after(desk, timedelta(days=2)) == {}
    assert desk.directory.asked == []
