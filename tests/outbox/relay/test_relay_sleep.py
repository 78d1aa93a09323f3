"""An idle relay sleeps until a commit wakes it or something is due."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from unittest.mock import patch

import pytest
from sqlalchemy import update

from eventstore.coordination.commit_signals import Announcer, Listener
from eventstore.coordination.due_parts import IDLE_SECONDS, DueParts, parts_of
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of
from outbox.mirror.lanes import change_lane
from outbox.mirror.tables import NEVER, pds_host
from outbox.mirror.targets import MIN_LANE_INTERVAL, MirrorTargets
from outbox.relay.claim import accounts_with_work, seconds_until_due
from outbox.relay.relay import BUSY_POLL_SECONDS, Relay
from outbox.relay.result import Outcome
from tests.dsl import a_track
from tests.outbox.rigs.relay_rig import ARTIST, LONG, Rig, running, until_delivered
from tests.outbox.rigs.rows import add_lane, set_host
from tests.outbox.rigs.wire import refused
from tests.servers.databases import IN_ONE_PART

pytestmark = [pytest.mark.anyio, IN_ONE_PART]
SLEEPS_SECONDS = IDLE_SECONDS / 2


@pytest.fixture
def sleeping(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set once a relay has found nothing to do."""
    found_nothing = asyncio.Event()

    async def start_due(relay: Relay) -> float:
        seconds = await real(relay)
        if seconds > 0:
            asyncio.get_running_loop().call_soon(found_nothing.set)
        return seconds

    real = Relay._start_due  # noqa: SLF001
    monkeypatch.setattr(Relay, "_start_due", start_due)
    return found_nothing


@asynccontextmanager
async def listening(desk: Rig) -> AsyncIterator[None]:
    listens = asyncio.Event()

    def heard(*buckets: int) -> None:
        listens.set()
        desk.relay.wake(*buckets)

    hearing = asyncio.create_task(Listener(desk.database).run(heard))
    await asyncio.wait_for(listens.wait(), LONG)
    try:
        yield
    finally:
        hearing.cancel()
        await asyncio.wait({hearing})


@pytest.mark.usefixtures("_never_polls")
async def test_a_commit_of_another_process_wakes_it(
    desk: Rig, migrated_url: str, sleeping: asyncio.Event
) -> None:
    await desk.relay_once()  # what the sign-in made due
    other = Database(migrated_url, clock=desk.clock)
    log = EventLog(other, projections=[MirrorTargets()])
    announcer = Announcer(other)
    announcer.start()
    track = a_track(1, did=desk.did, audio=desk.bytes.keep(b"audio" * 500))

    def upload() -> None:
        with log.unit_of_work(desk.did, ARTIST) as unit:
            unit.save(track)
            unit.after_commit(partial(announcer.announce, bucket_of(desk.did)))

    async with listening(desk), running(desk):
        await asyncio.wait_for(sleeping.wait(), LONG)
        await asyncio.to_thread(upload)
        await until_delivered(desk)
    await asyncio.to_thread(announcer.stop, LONG)
    other.close()


@pytest.mark.usefixtures("_never_polls")
async def test_it_wakes_when_a_failed_record_is_due_again(desk: Rig) -> None:
    desk.clock.run()
    desk.wire.faults += [refused]
    desk.upload()
    async with running(desk):
        await until_delivered(desk)


async def until_next_look(desk: Rig) -> float:
    desk.relay._parts = DueParts(desk.database, accounts_with_work)  # noqa: SLF001
    with patch("eventstore.coordination.due_parts._now", lambda: 0.0):
        return await desk.relay._start_due()  # noqa: SLF001


def until_due(desk: Rig) -> float:
    found, _ = seconds_until_due(desk.database, parts_of(desk.database))
    return min(found.values())


async def test_it_sleeps_long_with_nothing_to_do_and_not_past_the_time_when_something_is(desk: Rig) -> None:
    desk.upload()
    await desk.relay_once()
    assert await until_next_look(desk) >= SLEEPS_SECONDS

    with desk.database.write() as connection:
        change_lane(connection, desk.did, due_at=desk.clock() + timedelta(seconds=5))
    assert 0 < await until_next_look(desk) <= 5
    with desk.database.write() as connection:
        change_lane(connection, desk.did, paced_until=desk.clock() + timedelta(hours=1))
    assert await until_next_look(desk) >= SLEEPS_SECONDS


async def test_due_work_that_another_relay_holds_is_polled_again_soon(desk: Rig) -> None:
    desk.upload()
    add_lane(desk.database, 2, host=desk.pds.url, due_at=NEVER)
    set_host(desk.database, desk.pds.url, max_lanes=1)
    desk.claim("another relay")
    assert 0 < until_due(desk) <= 60  # its lease may end
    assert await until_next_look(desk) >= SLEEPS_SECONDS

    with desk.database.write() as connection:
        change_lane(connection, "did:plc:2", due_at=desk.clock())
    assert until_due(desk) <= 0
    assert await until_next_look(desk) == BUSY_POLL_SECONDS


async def test_the_relay_does_not_wake_for_parked_or_paused_lanes(desk: Rig) -> None:
    desk.upload()
    for columns in ({"state": "auth_required"}, {"paused": True}):
        with desk.database.write() as connection:
            change_lane(connection, desk.did, **{"state": "ready", "paused": False, **columns})
        assert await until_next_look(desk) >= SLEEPS_SECONDS
    with desk.database.write() as connection:
        change_lane(connection, desk.did, paused=False)
        connection.execute(update(pds_host).values(paused=True))
    assert await until_next_look(desk) >= SLEEPS_SECONDS


async def test_an_edit_is_due_in_a_moment_although_the_clock_was_set_back_since_the_one_before(
    desk: Rig,
) -> None:
    desk.upload()
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}

    desk.clock.advance(hours=-1)
    desk.edit(title="another")
    desk.clock.advance(seconds=MIN_LANE_INTERVAL.total_seconds())

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert desk.mirror().state == "delivered"
