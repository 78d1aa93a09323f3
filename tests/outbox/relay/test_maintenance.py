"""Maintenance wakes stuck lanes and schedules probes, and no delivery waits for it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update

from aggregates.published import Subject
from eventstore.database import Database
from outbox.mirror.lanes import LANES_PER_PAGE, change_lane
from outbox.mirror.parking import schedule_overdue_probes
from outbox.mirror.tables import NEVER, mirror_lane
from outbox.relay import maintenance
from outbox.relay.maintenance import Maintenance, wake_stuck_lanes
from outbox.views.waits import MirrorWaits
from tests.dsl import BOB
from tests.outbox.rigs.relay_rig import Clock, Rig, memory_rig_on
from tests.outbox.rigs.row_locks import locked
from tests.outbox.rigs.rows import HOST, add_lane, add_target, lane_row, set_host

pytestmark = pytest.mark.anyio
AWAY = "http://away.test"
SOON = 8.0
"""A lock wait ends after ten seconds: a delivery within this time has not waited."""


def many_lanes(database: Database, count: int, *, due_at: str) -> None:
    """Lanes of a host, each with an open target."""
    add_lane(database, 1)
    with database.write() as connection:
        numbers = "with recursive n(i) as (select 2 union all select i + 1 from n where i <= :last)"
        values = f"{numbers} select 'did:plc:' || i, '{HOST}', 'ready', '{due_at}' from n"  # noqa: S608
        connection.execute(
            text(f"insert into mirror_lane (did, host, state, due_at) {values}"), {"last": count - 1}
        )
        for number in range(2, count + 1):
            add_target(connection, f"did:plc:{number}", number)


def unanswered(database: Database) -> int:
    """How many accounts have no probe scheduled."""
    with database.read() as connection:
        return len(connection.scalars(select(mirror_lane.c.did).where(mirror_lane.c.probe_at >= NEVER)).all())


async def test_accounts_of_an_unreachable_host_are_probed_a_page_at_a_time(
    database: Database, clock: Clock
) -> None:
    many_lanes(database, 2 * LANES_PER_PAGE + 30, due_at="2020-01-01 00:00:00.000000")
    set_host(database, retry_at=clock() + timedelta(days=1))
    page = Maintenance(database, lambda: None)

    assert await page.run_page()
    assert unanswered(database) == LANES_PER_PAGE + 30
    assert await page.run_page()
    assert unanswered(database) == 30
    assert not await page.run_page()
    assert unanswered(database) == 0


async def test_lanes_that_were_forgotten_are_woken_a_page_at_a_time(database: Database) -> None:
    many_lanes(database, LANES_PER_PAGE + 20, due_at="9999-01-01 00:00:00.000000")
    page = Maintenance(database, lambda: None)

    assert await page.run_page()
    assert not await page.run_page()

    assert wake_stuck_lanes(database) == []


@pytest.mark.postgres
def test_a_locked_lane_is_left_to_the_next_pass(migrated_postgres: str) -> None:
    database = Database(migrated_postgres)
    did, other = (add_lane(database, number) for number in (1, 2))
    set_host(database, retry_at=NEVER)
    with locked(database, mirror_lane, mirror_lane.c.did == did):
        assert schedule_overdue_probes(database) == [other]
    assert schedule_overdue_probes(database) == [did]
    assert schedule_overdue_probes(database) == []
    database.close()


@pytest.fixture
async def on_postgres(migrated_postgres: str) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_postgres) as made:
        yield made


async def is_delivered_meanwhile(rig: Rig) -> bool:
    """Whether a relay that has just started soon delivers the account's record."""
    stop = asyncio.Event()
    running = asyncio.create_task(rig.relay.run(stop))
    waits = MirrorWaits(rig.database)
    delivered = await waits.wait_delivered(Subject("track", 1), SOON)
    stop.set()
    await waits.finish()
    await running
    return delivered


@pytest.mark.postgres
async def test_no_delivery_waits_for_a_locked_lane_of_maintenance(
    on_postgres: Rig,
) -> None:
    on_postgres.sign_in(BOB, AWAY)
    set_host(on_postgres.database, AWAY, retry_at=NEVER)
    with on_postgres.database.write() as connection:
        long_due = on_postgres.clock() - timedelta(hours=2)
        connection.execute(update(mirror_lane).where(mirror_lane.c.did == BOB).values(due_at=long_due))
    on_postgres.upload()
    with locked(on_postgres.database, mirror_lane, mirror_lane.c.did == BOB):
        assert await is_delivered_meanwhile(on_postgres)


async def test_no_delivery_waits_for_maintenance_that_fails(
    desk: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_database: Database) -> list[str]:
        raise ZeroDivisionError

    monkeypatch.setattr("outbox.relay.maintenance.wake_stuck_lanes", broken)
    desk.upload()
    assert await is_delivered_meanwhile(desk)
    assert "safety_net_failed" in caplog.text
    assert lane_row(desk.database, desk.did).lease_owner is None


async def test_each_pass_looks_at_the_next_lanes_for_those_that_were_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "_END_OF_LOOK", maintenance._END_OF_LOOK.offset(1))  # noqa: SLF001 - two lanes
    dids = sorted(add_lane(database, number, due_at=NEVER) for number in range(5))
    passes = Maintenance(database, lambda: None)
    woken = []
    for _ in range(3):
        await passes.run_page()
        woken.append([did for did in dids if lane_row(database, did).due_at < NEVER])
    assert woken == [dids[:2], dids[:4], dids]
    with database.write() as connection:
        change_lane(connection, dids[0], due_at=NEVER)
    await passes.run_page()
    assert lane_row(database, dids[0]).due_at < NEVER
