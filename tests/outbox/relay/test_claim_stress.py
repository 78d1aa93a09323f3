"""However many relays claim at once, no host has more leased lanes than its limit; a claim that counts as it locks would break that."""

import os
from collections import Counter

import pytest
from sqlalchemy import Connection, select, text, update

from eventstore.sql.database import Database
from outbox.mirror.lanes import lock_host
from outbox.mirror.tables import PAST, mirror_lane, pds_host
from outbox.relay.claim import claim
from tests.eventstore.threads import together
from tests.outbox.rigs.concurrent_claims import ConcurrentClaims
from tests.outbox.rigs.row_locks import row_lock_waits
from tests.outbox.rigs.rows import add_lane, claimed
from tests.waits import until

pytestmark = pytest.mark.postgres

DEEP = bool(os.environ.get("TEST_DEEP"))
HOSTS, LANES, CLIENTS, ROUNDS = (50, 400, 24, 100) if DEEP else (4, 12, 12, 15)
CAP = 3
HOST = "http://pds0.test"

COUNTED_WHILE_LOCKING = text("""
    WITH h AS (SELECT host, max_lanes FROM pds_host WHERE NOT paused FOR UPDATE),
    room AS MATERIALIZED (
      SELECT h.host, h.max_lanes - (SELECT count(*) FROM mirror_lane b
        WHERE b.host = h.host AND b.lease_until > clock_timestamp()) AS n FROM h),
    pick AS (SELECT l.did FROM room r CROSS JOIN LATERAL (
        SELECT did FROM mirror_lane WHERE host = r.host AND state = 'ready'
          AND due_at <= clock_timestamp() AND lease_until <= clock_timestamp()
        ORDER BY due_at, did LIMIT greatest(r.n, 0) FOR UPDATE SKIP LOCKED) l)
    UPDATE mirror_lane m SET lease_epoch = lease_epoch + 1, lease_until = clock_timestamp() + interval '1 minute'
    FROM pick WHERE m.did = pick.did RETURNING m.did
""")
"""Host lock, count and claim in one statement: it counts what was there before it had the lock."""


def fill(database: Database, hosts: int, lanes: int) -> None:
    for number in range(hosts * lanes):
        add_lane(database, number, host=f"http://pds{number % hosts}.test")
    with database.write() as connection:
        connection.execute(update(pds_host).values(max_lanes=CAP))


def under_way(database: Database) -> Counter[str]:
    with database.read() as connection:
        return Counter(connection.scalars(select(mirror_lane.c.host).where(mirror_lane.c.lease_until > PAST)))


@pytest.mark.timeout(1800 if DEEP else 120)
def test_no_host_has_more_leased_lanes_than_its_limit_and_no_lane_two_holders(postgres: Database) -> None:
    fill(postgres, HOSTS, LANES)
    claims = ConcurrentClaims(CAP)
    claims.claim(postgres, relays=CLIENTS, rounds=ROUNDS, limit=5)
    assert claims.claims > ROUNDS
    assert max(under_way(postgres).values()) <= CAP


def claims_while_another_does(database: Database, statement: object) -> None:
    """One has claimed and not committed; another begins to claim; the first one commits."""

    def other() -> None:
        with database.write() as connection:
            connection.execute(COUNTED_WHILE_LOCKING)

    def first(connection: Connection) -> None:
        lock_host(connection, HOST)
        assert len(connection.execute(COUNTED_WHILE_LOCKING).all()) == CAP

    work = other if statement is COUNTED_WHILE_LOCKING else lambda: claimed(database)
    with database.engine.connect() as connection:
        claiming = connection.begin()
        first(connection)

        def commit() -> None:
            if statement is COUNTED_WHILE_LOCKING:
                until(lambda: row_lock_waits(database) == 1)
            claiming.commit()

        together(work, commit)


def test_a_claim_that_counts_as_it_locks_gives_a_host_too_many(postgres: Database) -> None:
    fill(postgres, 1, 12)
    claims_while_another_does(postgres, COUNTED_WHILE_LOCKING)
    assert under_way(postgres) == {HOST: 2 * CAP}


def test_ours_counts_once_it_has_the_lock(postgres: Database) -> None:
    fill(postgres, 1, 12)
    claims_while_another_does(postgres, claim)
    assert under_way(postgres) == {HOST: CAP}
