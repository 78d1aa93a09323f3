"""A replay of any size delays no live work: not in the claim, in a lane run or in the rate-limit points."""

import os
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from sqlalchemy import update

from aggregates.tracks.track import Track
from eventstore.sql.database import Database
from outbox.mirror.lanes import change_lane, release
from outbox.mirror.requeue import queue_as_backfill, wake_stuck_lanes
from outbox.mirror.tables import NEVER, PAST, mirror_target
from outbox.relay.result import Outcome
from tests.dsl import a_track
from tests.outbox.rigs.relay_rig import ARTIST, Clock, Rig
from tests.outbox.rigs.rows import add_lane, add_target, change_target, claimed, dids, lane_row, set_host

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG = 40_000 if os.environ.get("TEST_DEEP") else 40
FIRST = 40
"""So many are sent at least, where not all are."""
IN_A_UNIT = 500


def let_wait(database: Database, number: int) -> str:
    """A lane whose only work can wait, and which is known to have no other."""
    did = add_lane(database, number)
    with database.write() as connection:
        queue_as_backfill(connection, did, Track.subjects([number]), PAST + timedelta(seconds=number))
        change_lane(connection, did, due_at=NEVER)
    return did


def test_live_work_is_claimed_before_backfill_that_has_waited_for_longer(database: Database) -> None:
    let_wait(database, 1)
    live = add_lane(database, 2)
    set_host(database, max_lanes=1)
    assert dids(claimed(database)) == [live]


def test_a_relay_keeps_lanes_free_for_live_work(database: Database) -> None:
    for number in range(1, 4):
        let_wait(database, number)
    assert len(claimed(database, backfill=2)) == 2
    assert claimed(database, backfill=0) == []


def test_accounts_take_turns_in_a_replay_too(database: Database) -> None:
    for number in (3, 1, 2):
        let_wait(database, number)
    set_host(database, max_lanes=1)
    turns = []
    for _ in range(6):
        [lane] = claimed(database)
        turns.append(lane.did[-1])
        release(database, lane)
    assert turns == ["1", "2", "3", "1", "2", "3"]


def test_a_lane_that_sleeps_over_backfill_is_woken(database: Database) -> None:
    did = let_wait(database, 1)
    with database.write() as connection:
        change_lane(connection, did, backfill_at=NEVER)
    assert wake_stuck_lanes(database) == [did]
    assert dids(claimed(database)) == [did]


@pytest.mark.parametrize("where", ["account", "host"])
def test_backfill_waits_for_its_share_and_live_work_does_not(
    database: Database, clock: Clock, where: str
) -> None:
    did = let_wait(database, 1)
    then = clock() + timedelta(minutes=5)
    if where == "host":
        set_host(database, backfill_after=then)
    else:
        with database.write() as connection:
            change_lane(connection, did, backfill_after=then)
    assert claimed(database) == []
    with database.write() as connection:
        add_target(connection, did, 2)
        change_lane(connection, did, due_at=clock())
    [lane] = claimed(database)
    assert not lane.backfill
    change_target(database, did, acked_gen=1)
    with database.write() as connection:
        connection.execute(update(mirror_target).where(mirror_target.c.subject_id == 1).values(acked_gen=0))
    release(database, lane)
    assert lane_row(database, did).due_at == NEVER
    clock.advance(minutes=6)
    assert [lane.backfill for lane in claimed(database)] == [True]


def replay(rig: Rig, count: int) -> None:
    audio = rig.bytes.keep(b"audio" * 500)
    for first in range(1, count + 1, IN_A_UNIT):
        numbers = range(first, min(first + IN_A_UNIT, count + 1))
        with rig.log.unit_of_work(rig.did, ARTIST) as unit:
            unit.save(*(a_track(number, did=rig.did, audio=audio) for number in numbers))
    with rig.database.write() as connection:
        assert (
            queue_as_backfill(connection, rig.did, Track.subjects(range(1, count + 1)), rig.clock()) == count
        )


class Meter:
    """A PDS that counts an account's points over an hour, and does something after some of its answers."""

    def __init__(self, rig: Rig, *, points: int = 10**6) -> None:
        self.rig, self.limit, self.left = rig, points, points
        self.reset = rig.clock() + timedelta(hours=1)
        self.sent: list[str] = []
        self.after: dict[int, Callable[[], object]] = {}
        rig.wire.faults += [self] * (BACKLOG + 1000)

    async def __call__(self, send: Any) -> httpx.Response:
        now = self.rig.clock()
        if now >= self.reset:
            self.left, self.reset = self.limit, now + timedelta(hours=1)
        self.left -= 3
        assert self.left >= 0, "it was sent more than it takes"
        reply = await send()
        self.sent.append(self.rig.wire.sent[-1][1]["rkey"])
        self.after.pop(len(self.sent), lambda: None)()
        headers = {
            "RateLimit-Limit": f"{self.limit}",
            "RateLimit-Remaining": f"{self.left}",
            "RateLimit-Reset": f"{self.reset.timestamp():.0f}",
            "RateLimit-Policy": f"{self.limit};w=3600",
            "Date": format_datetime(now, usegmt=True),
        }
        return httpx.Response(reply.status_code, json=reply.json(), headers=headers)


@pytest.mark.anyio
async def test_an_edit_is_the_next_thing_sent_whatever_the_backlog_of_its_account(desk: Rig) -> None:
    replay(desk, BACKLOG)
    meter = Meter(desk, points=8 * FIRST)
    meter.after[7] = lambda: desk.edit(BACKLOG, title="now")
    await desk.relay_once()
    assert meter.sent[7] == rkey(desk, BACKLOG)
    assert FIRST <= len(meter.sent) <= BACKLOG
    assert all(desk.mirror(number).state == "delivered" for number in (1, 2, BACKLOG))


@pytest.mark.anyio
async def test_a_newer_event_or_a_retry_makes_a_record_live(desk: Rig) -> None:
    replay(desk, 6)
    desk.retry(5)
    desk.edit(6, title="now")
    meter = Meter(desk)
    await desk.relay_once()
    assert meter.sent[:2] == [rkey(desk, 5), rkey(desk, 6)]


@pytest.mark.anyio
async def test_a_replay_stops_at_half_of_the_points_and_an_edit_has_the_rest(desk: Rig) -> None:
    replay(desk, BACKLOG)
    meter = Meter(desk, points=60)
    while await desk.relay_once():  # a run ends after ten seconds, on a busy machine before its points
        pass
    assert meter.left >= 30
    delivered = len(meter.sent)

    desk.edit(BACKLOG, title="now")
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert meter.sent[-1] == rkey(desk, BACKLOG)

    desk.clock.advance(hours=1, seconds=5)
    await desk.relay_once()
    assert delivered + 1 < len(meter.sent) < BACKLOG


@pytest.mark.anyio
async def test_live_work_leaves_a_fifth_of_the_points_to_other_apps(desk: Rig) -> None:
    for number in range(1, 30):
        desk.upload(number)
    meter = Meter(desk, points=60)
    await desk.relay_once()
    assert 12 <= meter.left < 18
    assert await desk.relay_once() == {}
    assert all(desk.mirror(number).attempts == 0 for number in range(1, 30))
    desk.clock.advance(hours=1, seconds=5)
    await desk.relay_once()
    assert all(desk.mirror(number).state == "delivered" for number in range(1, 30))


def rkey(rig: Rig, track_id: int) -> str:
    return rig.mirror(track_id).record_uri.rsplit("/", 1)[1]
