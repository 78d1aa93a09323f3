"""An account that has moved is found where it is now, and its lane follows."""

from datetime import timedelta

import pytest

from outbox.mirror.parking import FIRST_PROBE_PAUSE, schedule_overdue_probes
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.fake_pds.signed_in_pds import DELETED
from tests.outbox.rigs.account_status import NEW_HOST, after, move, parked, sign_in_at, status_of
from tests.outbox.rigs.foreign_writes import delivered, target
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row, set_host
from tests.outbox.rigs.wire import answer_lost, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.mark.parametrize("loss", ["one", "all"])
async def test_records_that_did_not_come_along_are_found_missing_after_the_sign_in(
    desk: Rig, loss: str
) -> None:
    tracks = [desk.upload(number) for number in (1, 2)]
    await desk.relay_once()
    new = move(desk)
    for track in tracks[: 1 if loss == "one" else 2]:
        new.delete_record(desk.did, COLLECTION, track.rkey)
    status_of(desk, "deleted")
    desk.edit(2, title="moved")
    await desk.relay_once()
    assert lane_row(desk.database, desk.did).host == NEW_HOST
    assert target(desk, 1).backfill  # of thousands nobody waits for one

    sign_in_at(desk, new)
    await desk.relay_once()

    assert desk.mirror(1).state == "detached"
    assert desk.mirror(2).state == ("delivered" if loss == "one" else "detached")


async def test_an_account_that_moved_away_from_a_dead_host_is_found(desk: Rig) -> None:
    await delivered(desk)
    new = move(desk)
    desk.wire.faults += [refused] * 100
    desk.edit(title="moved")
    for _ in range(13):
        await after(desk, timedelta(minutes=5))
    lane = lane_row(desk.database, desk.did)
    assert (lane.state, lane.host) == ("auth_required", NEW_HOST)

    desk.wire.faults.clear()
    sign_in_at(desk, new)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_an_account_whose_reads_before_a_delete_alone_fail_is_probed(desk: Rig) -> None:
    """The read before a delete of what may never have been made: it says that the account is not to be seen."""
    desk.wire.faults += [answer_lost]
    desk.upload()
    await desk.relay_once()
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    move(desk)
    status_of(desk, "deactivated")
    for _ in range(14):
        await after(desk, timedelta(minutes=5))
    assert lane_row(desk.database, desk.did).host == NEW_HOST


async def test_an_account_whose_uploads_alone_fail_is_probed(desk: Rig) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    move(desk)
    desk.wire.faults += [refused] * 100
    for _ in range(14):
        await after(desk, timedelta(minutes=5))
    assert lane_row(desk.database, desk.did).host == NEW_HOST


async def test_an_account_whose_host_is_down_is_probed(desk: Rig) -> None:
    desk.upload()
    move(desk)
    set_host(desk.database, desk.directory.home, retry_at=desk.clock() + timedelta(days=1))
    schedule_overdue_probes(desk.database)
    assert await desk.relay_once() == {}
    assert desk.directory.asked == []

    desk.clock.advance(hours=1.1)
    schedule_overdue_probes(desk.database)
    await desk.relay_once()

    assert lane_row(desk.database, desk.did).host == NEW_HOST


@pytest.mark.parametrize("status", ["deleted", "nothing"])
async def test_a_lane_does_not_follow_to_a_host_that_does_not_know_the_account(
    desk: Rig, status: str
) -> None:
    await parked(desk, "deactivated")
    new = move(desk)
    if status == "deleted":
        new.let_stand(desk.did, DELETED)
    else:
        new.lacks |= {"getRepoStatus"}
    await after(desk, FIRST_PROBE_PAUSE)
    lane = lane_row(desk.database, desk.did)
    assert (lane.host, lane.state) == (
        desk.pds.url, "identity_stale" if status == "deleted" else "account_inactive",
    )  # fmt: skip
