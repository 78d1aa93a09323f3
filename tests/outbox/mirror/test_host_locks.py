"""A claim holds no more hosts than it can fill, and what a host asks for waits for who has locked it, though not for long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import insert

from eventstore.coordination.due_parts import parts_of
from eventstore.sql.database import Database
from outbox.mirror.hosts import HostReport, Hosts
from outbox.mirror.tables import NEVER, PAST, blob_job
from tests.eventstore.threads import DEADLINE, lock_waits, together
from tests.outbox.rigs.hosts import ONE, PAUSED, host_row
from tests.outbox.rigs.row_locks import locked, locked_host
from tests.outbox.rigs.rows import HOST, add_lane, claimed, dids
from tests.outbox.rigs.uploads import claim_uploads
from tests.statements import Statement, before_each_statement
from tests.waits import until

if TYPE_CHECKING:
    from outbox.mirror.lanes import Lane

HOSTS = 40
STATEMENTS_OF_A_HOST = 4
"""Lock it, count what is under way, choose, lease; beside them, what is due in each part."""


def one_lane_of_each(database: Database, hosts: int, **columns: Any) -> list[str]:
    return [
        add_lane(database, each, host=f"http://pds{each}.test", **columns) for each in range(1, hosts + 1)
    ]


@contextmanager
def counted(database: Database, table: str) -> Iterator[list[str]]:
    """What the database is asked about this table meanwhile."""
    said: list[str] = []

    def listen(statement: Statement) -> None:
        if table in statement.sql:
            said.append(statement.sql)

    with before_each_statement(database.engine, listen):
        yield said


def test_a_claim_locks_no_more_hosts_than_it_has_room_for(database: Database) -> None:
    lanes = one_lane_of_each(database, HOSTS)
    with counted(database, "mirror_lane") as said:
        assert dids(claimed(database, limit=3)) == lanes[:3]
    assert len(said) <= 3 * STATEMENTS_OF_A_HOST + len(parts_of(database))


def test_hosts_with_nothing_but_backfill_are_left_alone_where_there_is_no_room_for_it(
    database: Database,
) -> None:
    live, *_ = one_lane_of_each(database, 1)
    for number in range(2, HOSTS):
        host = f"http://pds{number}.test"
        add_lane(database, number, host=host, due_at=NEVER, backfill_at=PAST)
    with counted(database, "mirror_lane") as said:
        assert dids(claimed(database, limit=9, backfill=0)) == [live]
    assert len(said) <= STATEMENTS_OF_A_HOST + len(parts_of(database))


@pytest.mark.postgres
def test_two_claim_at_once_and_each_gets_lanes(migrated_postgres: str) -> None:
    one, other = Database(migrated_postgres), Database(migrated_postgres)
    lanes = one_lane_of_each(one, 6)
    meanwhile: list[Lane] = []

    def claim_meanwhile(statement: Statement) -> None:
        if statement.sql.startswith("UPDATE mirror_lane") and not meanwhile:
            meanwhile.extend(claimed(other, owner="other", limit=2))

    with before_each_statement(one.engine, claim_meanwhile):
        mine = claimed(one, limit=2)

    assert len(meanwhile) == len(mine) == 2
    assert len({*dids(meanwhile), *dids(mine)}) == 4
    assert set(lanes) > {*dids(meanwhile), *dids(mine)}
    one.close()
    other.close()


@pytest.mark.postgres
def test_recording_a_pause_waits_for_who_has_locked_its_host(postgres: Database) -> None:
    add_lane(postgres, 1)
    with ThreadPoolExecutor(1) as pool:
        with locked_host(postgres, HOST):
            noting = pool.submit(Hosts(postgres).record, HostReport.of(HOST, ONE, PAUSED))
            until(lambda: lock_waits(postgres) == 1)
        noting.result(DEADLINE)
    assert host_row(postgres).paced_until > PAST


@pytest.mark.postgres
def test_a_pause_whose_host_stays_locked_is_logged_and_dropped(
    postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    add_lane(postgres, 1)
    with locked_host(postgres, HOST):
        together(lambda: Hosts(postgres).record(HostReport.of(HOST, ONE, PAUSED)))
    assert "host_not_noted" in caplog.text
    assert host_row(postgres).paced_until == PAST


@pytest.mark.postgres
def test_claims_of_uploads_wait_for_no_locked_one(postgres: Database) -> None:
    did, other = (add_lane(postgres, number) for number in (1, 2))
    with postgres.write() as connection:
        jobs: list[dict[str, Any]] = [
            {"did": each, "subject_id": number, "audio_cid": "bafy", "requested": True}
            for number, each in enumerate((did, other))
        ]
        connection.execute(insert(blob_job), jobs)
    with locked(postgres, blob_job, blob_job.c.did == did):
        claimed = claim_uploads(postgres)
    assert [upload.did for upload in claimed] == [did, other]
