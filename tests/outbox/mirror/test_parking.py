"""What makes a lane wait, and what lets it go on."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select

from aggregates.tracks.track import Track
from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from outbox.mirror import parking
from outbox.mirror.parking import PARKING, schedule_overdue_probes
from outbox.mirror.requeue import tend_lanes
from outbox.mirror.states import PROBED, BreakerState, LaneState
from outbox.mirror.tables import NEVER, mirror_lane, pds_host
from outbox.pds.verdict import PARKS, Kind
from outbox.relay.delivery_task import next_task
from outbox.relay.result import NEXT, Outcome
from tests.outbox.rigs.account_status import after
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import KINDS, Clock, Rig
from tests.outbox.rigs.row_locks import locked
from tests.outbox.rigs.rows import add_lane, set_host
from tests.outbox.rigs.stepwise_delivery import wanted
from tests.outbox.rigs.uploads import request_blob
from tests.outbox.rigs.wire import answered, meanwhile, page, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


async def test_a_login_that_is_dead_parks_no_lane_whose_owner_has_signed_in_since(desk: Rig) -> None:
    desk.wire.faults += [meanwhile(desk.sign_in, answered(401, "AuthMissing"))]
    track = desk.upload()

    await desk.relay_once()

    assert desk.mirror().state == "delivered"
    assert desk.remote(track) == wanted(desk, track)


async def test_a_flight_that_began_at_the_old_pds_ends_when_its_owner_signs_in_at_the_new_one(
    desk: Rig,
) -> None:
    desk.upload()
    lane = desk.claim("old")
    work = next_task(desk.log, lane, KINDS, desk.clock(), [])
    assert work is not None
    desk.sign_in(host="http://new.test")

    with pytest.raises(LeaseLostError):
        await desk.delivery.deliver(lane, work, 5)
    assert desk.claim("new").host == "http://new.test"


async def test_neither_a_sign_in_nor_a_retry_sends_before_a_rate_limit_ends(desk: Rig) -> None:
    desk.wire.faults += [page(429, headers={"retry-after": "120"})]
    desk.upload()
    await desk.relay_once()

    desk.sign_in()
    desk.retry()
    assert await desk.relay_once() == {}

    desk.clock.advance(seconds=121)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.scalars(select(mirror_lane.c.state))[0] == LaneState.READY


async def test_a_retry_tries_a_backing_off_lane_and_a_rejected_record_at_once(desk: Rig) -> None:
    desk.wire.faults += [refused] * 20  # a slow machine may meet it more than once
    desk.upload()
    await desk.relay_once()
    desk.wire.faults[:] = [answered(400, "InvalidRecord")]
    desk.retry()
    assert await desk.relay_once() == {Outcome.FAILED: 1}
    assert desk.mirror().state == "rejected"
    desk.retry()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_a_retry_probes_a_lane_that_waits_for_its_account(desk: Rig) -> None:
    desk.wire.faults += [answered(401, "AccountDeactivated")]
    desk.upload()
    await desk.relay_once()
    assert desk.mirror().state == "parked"
    assert await desk.relay_once() == {}
    desk.retry()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


def test_every_kind_has_its_next_step_and_its_parking_if_it_parks() -> None:
    assert set(PARKING) == set(PARKS)
    assert set(NEXT) == set(Kind)
    assert {state for state, first_pause in PARKING.values() if first_pause is not None} == set(PROBED)


# A full account.

FULL = answered(507, "InsufficientStorage")


def lane_of(rig: Rig) -> Any:
    return rig.rows(select(mirror_lane))[0]


def waits_for_room(rig: Rig) -> bool:
    mirror = rig.mirror()
    return (mirror.state, mirror.reason) == ("parked", "account_full")


async def full(rig: Rig) -> Track:
    """An account with two tracks, whose PDS has no room for an edit of the first."""
    rig.upload()
    await delivered(rig, 2)
    rig.wire.faults += [FULL]
    track = rig.edit(title="longer")
    await rig.relay_once()
    assert waits_for_room(rig)
    assert await rig.relay_once() == {}
    return track


async def test_a_full_account_is_no_failure_of_its_host(desk: Rig) -> None:
    await full(desk)
    [host] = desk.rows(select(pds_host))
    assert (host.breaker, host.failures, host.last_error) == (BreakerState.CLOSED, 0, None)


async def test_a_full_account_is_tried_again_each_day(desk: Rig) -> None:
    track = await full(desk)
    since = lane_of(desk).failing_since
    for _ in range(3):
        desk.wire.faults[:] = [FULL]
        desk.clock.advance(hours=23)
        assert await after(desk, timedelta()) == {}
        assert await after(desk, timedelta(hours=4)) == {Outcome.FAILED: 1}
        assert (waits_for_room(desk), lane_of(desk).failing_since) == (True, since)
    assert await after(desk, timedelta(hours=27)) == {Outcome.DELIVERED: 1}
    assert desk.remote(track) == wanted(desk, track)


async def test_a_full_account_is_sent_its_deletes_which_make_room_for_the_rest(desk: Rig) -> None:
    await full(desk)
    before = len(desk.wire.sent)
    desk.command(2, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    assert [name for name, _ in desk.wire.sent[before:]] == ["deleteRecord", "putRecord"]
    assert [desk.mirror(number).state for number in (1, 2)] == ["delivered", "delivered"]


@pytest.mark.parametrize("found_by", ["edit", "upload"])
async def test_a_delete_that_is_requested_while_an_account_is_found_full_is_sent(
    desk: Rig, found_by: str
) -> None:
    desk.upload()
    await delivered(desk, 2)
    owner_deletes = partial(desk.command, 2, lambda track: track.delete(at=desk.clock()))
    desk.wire.faults[:] = [meanwhile(owner_deletes, FULL)]
    if found_by == "upload":
        request_blob(desk)
    else:
        desk.edit(title="longer")
    await desk.relay_once()
    await desk.relay_once()
    assert [desk.mirror(number).state for number in (1, 2)] == ["delivered", "delivered"]


async def test_accounts_of_an_unreachable_host_are_probed_a_page_at_a_time(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "_OVERDUE_PAGE", parking._OVERDUE_PAGE.limit(2))  # noqa: SLF001
    for number in range(5):
        add_lane(database, number)
    set_host(database, retry_at=clock() + timedelta(days=1))

    assert len(schedule_overdue_probes(database)) == 2
    tend_lanes(database)
    with database.read() as connection:
        assert max(connection.scalars(select(mirror_lane.c.probe_at))) <= clock()


@pytest.mark.postgres
def test_a_locked_lane_delays_the_probe_of_no_other(migrated_postgres: str) -> None:
    database = Database(migrated_postgres)
    did, other = (add_lane(database, number) for number in (1, 2))
    set_host(database, retry_at=NEVER)
    with locked(database, mirror_lane, mirror_lane.c.did == did):
        assert schedule_overdue_probes(database) == [other]
    assert schedule_overdue_probes(database) == [did]
    assert schedule_overdue_probes(database) == []
    database.close()
