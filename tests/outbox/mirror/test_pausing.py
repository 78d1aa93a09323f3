"""An operator stops one account or a whole host, and lets it go on."""

from datetime import timedelta

import pytest

from eventstore.sql.database import Database
from outbox.mirror.pausing import pause, resume, would_pause, would_resume
from outbox.mirror.states import BreakerState
from tests.outbox.rigs.relay_rig import Clock, Rig
from tests.outbox.rigs.rows import HOST, add_lane, claimed, dids, set_host
from tests.servers.databases import ON_SQLITE

OTHER = "http://other.test"


def test_a_paused_account_waits_alone(database: Database, clock: Clock) -> None:
    did, other = add_lane(database, 1), add_lane(database, 2)
    with database.write() as connection:
        assert would_pause(connection, did) == pause(connection, did) == 1
        assert would_pause(connection, did) == pause(connection, did) == 0
    [lane] = claimed(database)
    assert lane.did == other
    with database.write() as connection:
        assert would_resume(connection, did) == resume(connection, did, clock()) == 1
        assert would_resume(connection, did) == resume(connection, did, clock()) == 0
    assert dids(claimed(database)) == [did]


def test_a_paused_host_stops_all_of_its_accounts(database: Database, clock: Clock) -> None:
    here = [add_lane(database, number) for number in (1, 2)]
    elsewhere = add_lane(database, 3, host=OTHER)
    with database.write() as connection:
        assert would_pause(connection, HOST) == pause(connection, HOST) == 2
        assert pause(connection, HOST) == 0
    assert dids(claimed(database)) == [elsewhere]
    with database.write() as connection:
        assert would_resume(connection, HOST) == resume(connection, HOST, clock()) == 2
    assert dids(claimed(database)) == here


def test_a_resumed_host_is_tried_at_once_whatever_its_breaker_says(database: Database, clock: Clock) -> None:
    add_lane(database, 1)
    add_lane(database, 2)
    set_host(database, breaker=BreakerState.OPEN, retry_at=clock() + timedelta(minutes=9), paused=True)
    with database.write() as connection:
        resume(connection, HOST, clock())
    assert len(claimed(database)) == 1


@pytest.mark.anyio
@pytest.mark.parametrize("whom", ["account", "host"])
@ON_SQLITE
async def test_a_lane_run_in_flight_ends_after_its_current_record(desk: Rig, whom: str) -> None:
    name = desk.did if whom == "account" else desk.pds.url
    for number in (1, 2, 3):
        desk.upload(number)

    async def paused_meanwhile(send):
        with desk.database.write() as connection:
            pause(connection, name)
        return await send()

    desk.wire.faults += [paused_meanwhile]
    await desk.relay_once()
    assert len(desk.wire.sent) == 1
    with desk.database.write() as connection:
        resume(connection, name, desk.clock())
    await desk.relay_once()
    assert len(desk.wire.sent) == 3
