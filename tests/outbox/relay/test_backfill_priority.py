"""A replay of any size delays no live work: not in the claim, in a lane run or in the rate-limit points."""

import os
from datetime import timedelta

import pytest
from sqlalchemy import update

from aggregates.tracks.track import Track
from eventstore.sql.database import Database
from outbox.mirror.lanes import change_lane, release
from outbox.mirror.requeue import queue_as_backfill, wake_stuck_lanes
from outbox.mirror.tables import NEVER, PAST, mirror_target
from outbox.pds.verdict import PUT_POINTS
from outbox.relay.result import Outcome
from tests.dsl import a_track
from tests.fake_pds.limits import WRITES_AN_HOUR
from tests.outbox.rigs.rate_limits import limits
from tests.outbox.rigs.relay_rig import ARTIST, Clock, Rig
from tests.outbox.rigs.rows import add_lane, add_target, change_target, claimed, dids, lane_row, set_host
from tests.outbox.rigs.wire import as_it_is, meanwhile
from tests.servers.databases import ON_SQLITE

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


def written(rig: Rig) -> list[str]:
    """The keys of the records that were written, in that order."""
    return [body["rkey"] for _, body in rig.wire.sent]


@pytest.mark.anyio
async def test_an_edit_is_the_next_thing_sent_whatever_the_backlog_of_its_account(desk: Rig) -> None:
    replay(desk, BACKLOG)
    limits(desk, WRITES_AN_HOUR, 8 * FIRST)
    desk.wire.faults += [as_it_is] * 6 + [meanwhile(lambda: desk.edit(BACKLOG, title="now"))]
    await desk.relay_once()
    assert written(desk)[7] == rkey(desk, BACKLOG)
    assert FIRST <= len(written(desk)) <= BACKLOG
    assert all(desk.mirror(number).state == "delivered" for number in (1, 2, BACKLOG))


@ON_SQLITE
@pytest.mark.anyio
async def test_a_newer_event_or_a_retry_makes_a_record_live(desk: Rig) -> None:
    replay(desk, 6)
    desk.retry(5)
    desk.edit(6, title="now")
    await desk.relay_once()
    assert written(desk)[:2] == [rkey(desk, 5), rkey(desk, 6)]


@ON_SQLITE
@pytest.mark.anyio
async def test_a_replay_stops_at_half_of_the_points_and_an_edit_has_the_rest(desk: Rig) -> None:
    replay(desk, BACKLOG)
    limits(desk, WRITES_AN_HOUR, 60)
    while await desk.relay_once():  # a run ends after ten seconds, on a busy machine before its points
        pass
    delivered = len(written(desk))
    assert delivered * PUT_POINTS <= 30

    desk.edit(BACKLOG, title="now")
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert written(desk)[-1] == rkey(desk, BACKLOG)

    desk.clock.advance(hours=1, seconds=5)
    await desk.relay_once()
    assert delivered + 1 < len(written(desk)) < BACKLOG


def rkey(rig: Rig, track_id: int) -> str:
    return rig.mirror(track_id).record_uri.rsplit("/", 1)[1]
