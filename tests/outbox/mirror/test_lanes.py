"""A lane is in one hand at a time, comes when it is due, and is fenced by its epoch; who stops in the middle holds up no other."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from outbox.mirror.lanes import (
    Lane,
    lock_host,
    lock_lane,
    park_lane,
    release,
    release_after_error,
    resume_lane,
)
from outbox.mirror.requeue import wake_stuck_lanes
from outbox.mirror.tables import NEVER, mirror_target
from outbox.mirror.targets import wake_lane
from tests.eventstore.threads import DEADLINE, together
from tests.outbox.rigs.relay_rig import Clock
from tests.outbox.rigs.row_locks import locked_host, row_lock_waits
from tests.outbox.rigs.rows import (
    HOST,
    LEASE,
    add_lane,
    add_target,
    change_target,
    claimed,
    dids,
    lane_row,
    set_host,
)
from tests.waits import until

OTHER = "http://other.test"


def test_a_claimed_lane_is_not_claimed_again_until_its_lease_ends(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    [first] = claimed(database)
    assert claimed(database) == []

    clock.advance(seconds=LEASE.total_seconds() + 1)
    [second] = claimed(database)

    assert (first.did, second.did, second.epoch) == (did, did, first.epoch + 1)
    with database.write() as connection:
        lock_lane(database, connection, second)
        with pytest.raises(LeaseLostError):
            lock_lane(database, connection, first)


def test_a_stale_epoch_neither_releases_nor_gives_up(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    [first] = claimed(database)
    clock.advance(minutes=2)
    claimed(database)
    before = lane_row(database, did)

    for ending in (release, release_after_error):
        with pytest.raises(LeaseLostError):
            ending(database, first)

    assert lane_row(database, did) == before


def test_a_lane_is_due_when_the_later_of_its_two_times_has_come(database: Database, clock: Clock) -> None:
    soon, later = clock() + timedelta(seconds=10), clock() + timedelta(seconds=20)
    add_lane(database, 1, due_at=soon, not_before=later)
    add_lane(database, 2, due_at=later, not_before=soon)
    for seconds, number in ((11, 0), (10, 2)):
        clock.advance(seconds=seconds)
        assert len(claimed(database)) == number


def test_a_host_has_no_more_lanes_at_once_than_it_may(database: Database) -> None:
    for number in range(6):
        add_lane(database, number)
    other = add_lane(database, 9, host=OTHER)
    set_host(database, max_lanes=2)

    first = claimed(database)
    assert sorted(dids(first)) == ["did:plc:0", "did:plc:1", other]
    assert claimed(database) == []
    release(database, next(lane for lane in first if lane.did == "did:plc:0"))
    assert dids(claimed(database)) == ["did:plc:2"]


def test_a_lane_with_a_backlog_goes_behind_those_that_wait(database: Database) -> None:
    add_lane(database, 1)
    add_lane(database, 2)
    set_host(database, max_lanes=1)

    [first] = claimed(database)
    release(database, first)  # its target is still open
    [second] = claimed(database)

    assert (first.did, second.did) == ("did:plc:1", "did:plc:2")


def test_a_wake_while_the_lane_is_held_is_not_lost(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    change_target(database, did, acked_gen=1)
    [lane] = claimed(database)
    with database.write() as connection:
        wake_lane(connection, did, clock())
        add_target(connection, did, 2)
    release(database, lane)
    assert dids(claimed(database)) == [did]


def test_a_wake_never_makes_a_lane_later(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    with database.write() as connection:
        wake_lane(connection, did, clock())
    assert lane_row(database, did).due_at < clock() - timedelta(days=1)


def test_a_turn_that_broke_down_is_tried_again_a_little_later_each_time(
    database: Database, clock: Clock
) -> None:
    did = add_lane(database, 1)
    pauses = []
    for _ in range(6):
        [lane] = claimed(database)
        release_after_error(database, lane)
        assert claimed(database) == []
        pauses.append(lane_row(database, did).not_before - clock())
        clock.advance(minutes=5)
    assert pauses[-1] > pauses[0] * 4


def test_a_lane_that_was_parked_in_flight_stays_parked(database: Database) -> None:
    did = add_lane(database, 1)
    [lane] = claimed(database)
    with database.write() as connection:
        park_lane(connection, did)
    release(database, lane)
    assert claimed(database) == []
    assert lane_row(database, did).state == "auth_required"


def test_a_lane_that_sleeps_over_open_work_is_woken(database: Database) -> None:
    forgotten = add_lane(database, 1, due_at=NEVER)
    asleep = add_lane(database, 2, due_at=NEVER)
    change_target(database, asleep, acked_gen=1)
    add_lane(database, 3)

    assert wake_stuck_lanes(database) == [forgotten]

    assert set(dids(claimed(database))) == {forgotten, "did:plc:3"}
    assert wake_stuck_lanes(database) == []


def test_an_idle_claim_asks_for_no_write(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add_lane(database, 1, due_at=NEVER)
    change_target(database, "did:plc:1", acked_gen=1)
    monkeypatch.setattr(database, "write", None)
    assert claimed(database) == []
    assert wake_stuck_lanes(database) == []


@pytest.fixture
def live(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    yield made
    made.close()


def test_a_change_and_a_release_at_once_never_leave_work_asleep(live: Database) -> None:
    did = add_lane(live, 0)
    for number in range(1, 30):
        [lane] = claimed(live)
        with live.write() as connection:
            connection.execute(mirror_target.update().values(acked_gen=1))

        def change(number: int = number) -> None:
            with live.write() as connection:
                wake_lane(connection, did, live.now(connection))
                add_target(connection, did, number)

        together(change, lambda lane=lane: release(live, lane))
        assert lane_row(live, did).due_at <= datetime.now(UTC)


@pytest.mark.postgres
@pytest.mark.parametrize(
    "stop",
    [
        lock_lane,
        lambda _, connection, lane: wake_lane(connection, lane.did, lane.lease_until),
        lambda _, connection, lane: resume_lane(connection, lane.did, lane.host, lane.lease_until),
        lambda _, connection, lane: resume_lane(connection, "did:plc:new", lane.host, lane.lease_until),
    ],
    ids=["settle", "append", "sign-in", "first-sign-in"],
)
def test_a_writer_that_stopped_holds_up_only_its_own_account(
    postgres: Database, stop: Callable[[Database, Connection, Lane], object]
) -> None:
    add_lane(postgres, 1)
    [mine] = claimed(postgres)
    release(postgres, mine)
    other = add_lane(postgres, 2)
    with postgres.engine.connect() as stopped, stopped.begin():
        stop(postgres, stopped, mine)
        lanes = [lane for lane in claimed(postgres) if lane.did == other]
        assert dids(lanes) == [other]
        with postgres.write() as connection:
            lock_lane(postgres, connection, lanes[0])
        release(postgres, lanes[0])


@pytest.mark.postgres
def test_a_claimer_that_stopped_holds_up_only_claims_of_its_hosts(postgres: Database) -> None:
    add_lane(postgres, 1)
    other = add_lane(postgres, 2, host="http://other.test")
    with locked_host(postgres, HOST):
        assert dids(claimed(postgres)) == [other]
        with postgres.write() as connection:
            resume_lane(connection, "did:plc:new", HOST, postgres.now(connection))


@pytest.mark.postgres
def test_a_claim_that_met_only_locked_hosts_tries_again_at_once(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    did = add_lane(postgres, 1)
    with postgres.engine.connect() as other:
        claiming = other.begin()
        lock_host(other, HOST)
        monkeypatch.setattr("outbox.relay.claim.time.sleep", lambda _seconds: claiming.rollback())
        assert dids(claimed(postgres)) == [did]


@pytest.mark.postgres
def test_locking_a_lane_reads_the_time_after_the_wait_for_the_lock(postgres: Database) -> None:
    add_lane(postgres, 1)
    [mine] = claimed(postgres)

    def held_at() -> datetime:
        with postgres.write() as connection:
            return lock_lane(postgres, connection, mine).now

    with ThreadPoolExecutor(1) as pool:
        with postgres.engine.connect() as other, other.begin():
            lock_lane(postgres, other, mine)
            waiting = pool.submit(held_at)
            until(lambda: row_lock_waits(postgres) == 1)
            let_go_at = postgres.now(other)
        assert waiting.result(DEADLINE) > let_go_at
