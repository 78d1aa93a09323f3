"""Many claimers at once, and writers that stop in the middle of a transaction."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, select

from eventstore.database import Database
from outbox.mirror.lanes import Lane, lock_lane, release, resume_lane
from outbox.mirror.tables import mirror_target, pds_host
from outbox.mirror.targets import wake_lane
from tests.eventstore.threads import DEADLINE, together, until
from tests.outbox.rigs.row_locks import row_lock_waits
from tests.outbox.rigs.rows import HOST, add_lane, add_target, claimed, dids, lane_row


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    made = Database(migrated_url)
    yield made
    made.close()


def test_a_change_and_a_release_at_once_never_leave_work_asleep(database: Database) -> None:
    did = add_lane(database, 0)
    for number in range(1, 30):
        [lane] = claimed(database)
        with database.write() as connection:
            connection.execute(mirror_target.update().values(acked_gen=1))

        def change(number: int = number) -> None:
            with database.write() as connection:
                wake_lane(connection, did, database.now(connection))
                add_target(connection, did, number)

        together(change, lambda lane=lane: release(database, lane))
        assert lane_row(database, did).due_at <= datetime.now(UTC)


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
    with postgres.engine.connect() as stopped, stopped.begin():
        stopped.execute(select(pds_host).where(pds_host.c.host == HOST).with_for_update())
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
        other.execute(select(pds_host).where(pds_host.c.host == HOST).with_for_update())
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
