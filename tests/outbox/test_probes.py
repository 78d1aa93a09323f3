"""A lane that waits for its account finds out by itself when that is over."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from aggregates.track import Track
from outbox.delivery import Outcome
from outbox.lanes import LeaseLostError, park_lane, resume_lane
from outbox.parking import FIRST_PROBE, LONGEST_PAUSE, pause_before, probe_now
from outbox.probe_jobs import GONE_AFTER, Finding, Found, claim_probes, settle_probe
from outbox.tables import NEVER, mirror_lane, mirror_target, pds_host
from outbox.wishes import retry
from tests.dsl import COLLECTION
from tests.outbox.memory_pds import MemoryPds
from tests.outbox.rig import Rig, answer_lost, answered, refused
from tests.outbox.rows import LEASE, claimed, lane_row, set_host

pytestmark = pytest.mark.anyio
NEW_HOST = "http://new.test"


def status_of(desk: Rig, status: str | None) -> None:
    assert isinstance(desk.pds, MemoryPds)
    if status is None:
        desk.pds.statuses.pop(desk.did, None)
    else:
        desk.pds.statuses[desk.did] = status


async def parked(desk: Rig, status: str) -> Track:
    """A track whose record was refused because of its account."""
    track = desk.upload()
    status_of(desk, status)
    await desk.relay_once()
    assert desk.mirror().state == "parked"
    return track


def move(desk: Rig) -> MemoryPds:
    """The account moves, with its records; its login stays behind."""
    old = desk.pds
    assert isinstance(old, MemoryPds)
    new = MemoryPds(NEW_HOST, records=dict(old.records), blobs=dict(old.blobs))
    desk.places.moved[desk.did] = NEW_HOST
    desk.wire.at = old.url
    transport = {"pds.test": old.transport(), "new.test": new.transport()}
    desk.wire.http._transport = httpx.MockTransport(  # noqa: SLF001 - one network for both
        lambda request: transport[request.url.host].handler(request)
    )
    return new


def sign_in_at(desk: Rig, pds: MemoryPds) -> None:
    desk.pds = desk.wire.pds = pds
    desk.wire.at = pds.url
    desk.sign_in(host=pds.url)


def state(desk: Rig) -> str:
    return str(lane_row(desk.database, desk.did).state)


async def after(desk: Rig, pause: timedelta) -> dict[Outcome, int]:
    desk.clock.advance(seconds=pause.total_seconds() * 1.11)
    return dict(await desk.relay_once())


@pytest.mark.parametrize("status", ["deactivated", "takendown"])
async def test_an_account_that_is_active_again_is_written_to_again(desk: Rig, status: str) -> None:
    track = await parked(desk, status)
    assert (state(desk), desk.mirror().reason) == ("account_inactive", "account_inactive")
    status_of(desk, None)
    assert await desk.relay_once() == {}

    assert await after(desk, FIRST_PROBE) == {Outcome.DELIVERED: 1}

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
    assert pauses[0] >= FIRST_PROBE - timedelta(minutes=1)
    assert pauses[1] > 1.5 * pauses[0]
    assert timedelta(hours=23) < pauses[-1] <= 1.1 * LONGEST_PAUSE
    assert len(desk.places.asked) == 9


async def test_a_probe_shows_no_login(desk: Rig) -> None:
    await parked(desk, "deactivated")
    written = len(desk.wire.sent)
    await after(desk, FIRST_PROBE)
    assert len(desk.wire.sent) == written


@pytest.mark.parametrize("lacking", [{"getRepoStatus"}, {"getRepoStatus", "getLatestCommit"}])
async def test_a_pds_that_is_too_old_to_know_statuses_is_asked_in_another_way(
    desk: Rig, lacking: set[str]
) -> None:
    await parked(desk, "deactivated")
    assert isinstance(desk.pds, MemoryPds)
    desk.pds.lacks |= lacking
    await after(desk, FIRST_PROBE)
    assert state(desk) == "account_inactive"
    status_of(desk, None)
    await after(desk, LONGEST_PAUSE)
    assert state(desk) == ("ready" if len(lacking) == 1 else "account_inactive")


async def test_a_parked_lane_says_when_its_account_is_looked_at_next(desk: Rig) -> None:
    await parked(desk, "deactivated")
    mirror = desk.mirror()
    assert mirror.next_attempt_at == lane_row(desk.database, desk.did).probe_at < NEVER
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    assert (desk.mirror().reason, desk.mirror().next_attempt_at) == ("auth_required", None)


async def test_a_lane_that_waits_for_its_owner_is_not_looked_at(desk: Rig) -> None:
    desk.wire.faults += [answered(401, "AuthMissing")]
    desk.upload()
    await desk.relay_once()
    assert await after(desk, timedelta(days=3)) == {}
    assert (state(desk), desk.places.asked) == ("auth_required", [])


async def test_no_audio_is_uploaded_for_an_account_that_is_away(desk: Rig) -> None:
    """A deactivated account takes uploads, but no record that names them."""
    await parked(desk, "deactivated")
    desk.tell(1, lambda track: track.request_blob_migration(at=desk.clock()))
    await desk.relay_once()
    await after(desk, FIRST_PROBE)
    assert [name for name, _ in desk.wire.sent] == ["putRecord"]

    status_of(desk, None)
    await after(desk, LONGEST_PAUSE)

    assert [name for name, _ in desk.wire.sent].count("uploadBlob") == 1
    assert desk.mirror().state == "delivered"


async def test_an_upload_that_was_claimed_just_before_its_lane_was_parked_is_not_begun(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from outbox import blobs

    def claim_and_park(*args: Any, **options: Any) -> Any:
        jobs = claim_jobs(*args, **options)
        if jobs:
            with desk.database.write() as connection:
                park_lane(connection, desk.did)
        return jobs

    claim_jobs = blobs.claim_jobs
    monkeypatch.setattr(blobs, "claim_jobs", claim_and_park)
    desk.upload()
    await desk.relay_once()
    desk.tell(1, lambda track: track.request_blob_migration(at=desk.clock()))

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
    assert desk.places.asked == [desk.did]


async def test_a_pds_that_says_active_and_refuses_is_asked_ever_more_rarely(desk: Rig) -> None:
    desk.wire.faults += [answered(403, "AccountNotFound")] * 50
    desk.upload()
    await desk.relay_once()
    assert len(desk.wire.sent) == 2
    for _ in range(10):
        await after(desk, timedelta(hours=6))
    assert len(desk.wire.sent) < 12


async def test_an_account_that_moved_is_found_and_goes_on_after_the_next_sign_in(desk: Rig) -> None:
    track = desk.upload()
    await desk.relay_once()
    new = move(desk)
    status_of(desk, "deactivated")  # as the old host keeps it
    desk.edit(title="moved")
    await desk.relay_once()
    assert state(desk) == "account_inactive"

    await after(desk, FIRST_PROBE)

    lane = lane_row(desk.database, desk.did)
    assert (lane.state, lane.host, lane.lease_owner) == ("auth_required", NEW_HOST, None)
    sign_in_at(desk, new)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == {**desk.remote(track), "title": "moved"}
    with desk.database.read() as connection:
        assert NEW_HOST in connection.scalars(select(pds_host.c.host)).all()


async def test_what_was_meant_for_the_old_host_is_not_sent_to_the_new_one(desk: Rig) -> None:
    """The login is for another PDS than the lane: so it is none."""
    desk.wire.at = NEW_HOST
    desk.upload()
    await desk.relay_once()
    assert desk.wire.sent == []
    assert state(desk) == "auth_required"


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

    sign_in_at(desk, new)
    await desk.relay_once()

    assert desk.mirror(1).state == "detached"
    assert desk.mirror(2).state == ("delivered" if loss == "one" else "detached")


async def test_records_that_came_along_are_not_read_one_by_one(desk: Rig) -> None:
    desk.upload()
    await desk.relay_once()
    move(desk)
    status_of(desk, "deleted")
    desk.edit(title="moved")
    await desk.relay_once()
    with desk.database.read() as connection:
        assert connection.scalars(select(mirror_target.c.look_at)).all() == [NEVER]


async def test_an_account_that_moved_away_from_a_dead_host_is_found(desk: Rig) -> None:
    desk.upload()
    await desk.relay_once()
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


async def test_an_account_whose_record_is_only_read_and_not_shown_is_looked_for(desk: Rig) -> None:
    """The read before a delete of what may never have been made: it says that the account is not to be seen."""
    desk.wire.faults += [answer_lost]
    desk.upload()
    await desk.relay_once()
    desk.tell(1, lambda track: track.delete(at=desk.clock()))
    move(desk)
    status_of(desk, "deactivated")
    for _ in range(14):
        await after(desk, timedelta(minutes=5))
    assert lane_row(desk.database, desk.did).host == NEW_HOST


async def test_an_account_whose_uploads_alone_fail_is_looked_for(desk: Rig) -> None:
    desk.upload()
    await desk.relay_once()
    desk.tell(1, lambda track: track.request_blob_migration(at=desk.clock()))
    move(desk)
    desk.wire.faults += [refused] * 100
    for _ in range(14):
        await after(desk, timedelta(minutes=5))
    assert lane_row(desk.database, desk.did).host == NEW_HOST


async def test_a_lane_behind_a_host_that_nobody_may_ask_is_looked_for_too(desk: Rig) -> None:
    desk.upload()
    move(desk)
    set_host(desk.database, desk.places.home, retry_at=desk.clock() + timedelta(days=1))
    desk.relay._look_at = -1.0  # noqa: SLF001 - as after a minute
    await desk.relay._look_for_forgotten()  # noqa: SLF001
    assert await desk.relay_once() == {}
    assert desk.places.asked == []

    desk.clock.advance(hours=1.1)
    desk.relay._look_at = -1.0  # noqa: SLF001
    await desk.relay._look_for_forgotten()  # noqa: SLF001
    await desk.relay_once()

    assert lane_row(desk.database, desk.did).host == NEW_HOST


async def test_a_host_that_is_down_for_days_costs_a_look_an_hour_and_no_delay_once_it_is_back(
    desk: Rig,
) -> None:
    """Our own network may be the one that is down: the directory says nothing either."""
    desk.upload()
    desk.places.away = True
    desk.wire.faults += [refused] * 1000
    for _ in range(100):
        await after(desk, timedelta(minutes=30))
        assert state(desk) == "ready"
    assert len(desk.places.asked) <= 56
    desk.wire.faults.clear()
    assert await after(desk, timedelta(minutes=5)) == {Outcome.DELIVERED: 1}
    assert lane_row(desk.database, desk.did).probe_at == NEVER


async def test_an_account_that_nobody_knows_for_days_is_gone_until_its_owner_signs_in(desk: Rig) -> None:
    track = desk.upload()
    await desk.relay_once()
    status_of(desk, "deleted")
    desk.edit(title="last words")
    await desk.relay_once()
    assert state(desk) == "identity_stale"
    await after(desk, timedelta(hours=24))
    assert state(desk) == "identity_stale"
    await after(desk, GONE_AFTER)
    assert (state(desk), desk.mirror().reason) == ("gone", "gone")
    asked = len(desk.places.asked)
    await after(desk, timedelta(days=30))
    assert len(desk.places.asked) == asked

    with desk.database.write() as connection:
        retry(connection, desk.did, 1, desk.clock())
        park_lane(connection, desk.did)  # as when its session ends
    await desk.relay_once()
    assert state(desk) == "gone"

    status_of(desk, None)
    desk.sign_in()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.remote(track) is not None


async def test_an_operator_has_another_look_taken_at_an_account_that_is_gone(desk: Rig) -> None:
    await parked(desk, "deleted")
    await after(desk, timedelta(hours=1))
    await after(desk, GONE_AFTER)
    assert state(desk) == "gone"
    status_of(desk, None)
    with desk.database.write() as connection:
        probe_now(connection, desk.did, desk.clock(), operator=True)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_an_account_that_is_found_again_in_time_is_not_gone_the_next_time(desk: Rig) -> None:
    await parked(desk, "deleted")
    await after(desk, timedelta(hours=60))
    status_of(desk, "deactivated")
    await after(desk, timedelta(hours=24))
    assert state(desk) == "account_inactive"
    status_of(desk, "deleted")
    await after(desk, timedelta(hours=24))
    assert state(desk) == "identity_stale"


async def test_a_did_that_is_known_no_more_makes_an_account_gone(desk: Rig) -> None:
    desk.places.moved[desk.did] = None
    await parked(desk, "deleted")
    await after(desk, timedelta(hours=1))
    await after(desk, GONE_AFTER)
    assert state(desk) == "gone"


async def test_nobody_is_gone_because_the_directory_is_away(desk: Rig) -> None:
    desk.places.away = True
    await parked(desk, "deleted")
    for _ in range(10):
        await after(desk, timedelta(days=1))
    assert state(desk) == "identity_stale"


async def test_without_the_directory_the_known_host_is_asked(desk: Rig) -> None:
    await parked(desk, "deactivated")
    desk.places.away = True
    status_of(desk, None)
    assert await after(desk, FIRST_PROBE) == {Outcome.DELIVERED: 1}


@pytest.mark.parametrize("status", ["deleted", "nothing"])
async def test_a_lane_does_not_follow_to_a_host_that_does_not_know_the_account(
    desk: Rig, status: str
) -> None:
    await parked(desk, "deactivated")
    new = move(desk)
    if status == "deleted":
        new.statuses[desk.did] = "deleted"
    else:
        new.lacks |= {"getRepoStatus", "getLatestCommit"}
    await after(desk, FIRST_PROBE)
    lane = lane_row(desk.database, desk.did)
    assert (lane.host, lane.state) == (
        desk.pds.url, "identity_stale" if status == "deleted" else "account_inactive",
    )  # fmt: skip


async def test_a_probe_that_breaks_down_is_another_unanswered_one(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_did: str) -> str:
        raise ZeroDivisionError

    await parked(desk, "deactivated")
    monkeypatch.setattr(desk.places, "host_of", broken)
    await after(desk, FIRST_PROBE)
    lane = lane_row(desk.database, desk.did)
    assert (lane.state, lane.lease_owner) == ("account_inactive", None)
    assert desk.clock() < lane.probe_at < NEVER


def look(desk: Rig) -> Any:
    [probe] = claim_probes(desk.database, owner="one", limit=5, lease=LEASE)
    return probe


async def due_probe(desk: Rig) -> Any:
    await parked(desk, "deactivated")
    desk.clock.advance(minutes=20)
    return look(desk)


async def test_a_lane_is_looked_at_by_one_relay_at_a_time(desk: Rig) -> None:
    await due_probe(desk)
    assert claim_probes(desk.database, owner="two", limit=5, lease=LEASE) == []
    desk.clock.advance(minutes=2)
    assert claim_probes(desk.database, owner="two", limit=5, lease=LEASE) != []


async def test_a_look_whose_lease_was_lost_changes_nothing(desk: Rig) -> None:
    late = await due_probe(desk)
    desk.clock.advance(minutes=2)
    look(desk)
    with pytest.raises(LeaseLostError):
        settle_probe(desk.database, late, Found(Finding.ACTIVE))
    assert state(desk) == "account_inactive"


async def test_a_sign_in_while_a_look_goes_on_counts_and_gets_its_lane_at_once(desk: Rig) -> None:
    probe = await due_probe(desk)
    status_of(desk, None)
    desk.sign_in()
    settle_probe(desk.database, probe, Found(Finding.INACTIVE))
    assert state(desk) == "ready"
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_sign_out_while_a_look_goes_on_counts(desk: Rig) -> None:
    probe = await due_probe(desk)
    with desk.database.write() as connection:
        park_lane(connection, desk.did)
    settle_probe(desk.database, probe, Found(Finding.ACTIVE))
    assert (state(desk), lane_row(desk.database, desk.did).probe_at) == ("auth_required", NEVER)


async def test_looks_count_as_lanes_of_their_host(desk: Rig) -> None:
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
async def test_what_is_paused_is_not_looked_at(desk: Rig, table: str) -> None:
    await parked(desk, "deactivated")
    if table == "host":
        set_host(desk.database, desk.pds.url, paused=True)
    else:
        with desk.database.write() as connection:
            connection.execute(mirror_lane.update().values(paused=True))
    assert await after(desk, timedelta(days=2)) == {}
    assert desk.places.asked == []


def test_pauses_grow_from_a_quarter_of_an_hour_to_a_day() -> None:
    assert FIRST_PROBE <= pause_before(0) <= 1.1 * FIRST_PROBE
    assert 2 * FIRST_PROBE <= pause_before(1) <= 2.2 * FIRST_PROBE
    assert LONGEST_PAUSE <= pause_before(10_000) <= 1.1 * LONGEST_PAUSE
