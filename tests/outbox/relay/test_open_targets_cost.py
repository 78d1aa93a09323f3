"""What a lane run reads does not grow with what was delivered long ago."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import false, select, text, update

from eventstore.event_log import EventLog
from eventstore.sql.database import MAX_COUNTED, Database
from eventstore.streams.buckets import bucket_of
from outbox.mirror.lanes import Lane, release, resume_lane
from outbox.mirror.requeue import wake_stuck_lanes
from outbox.mirror.tables import blob_job, mirror_target
from outbox.relay.delivery_task import next_task
from outbox.views.drain import drains_of_hosts
from outbox.views.failures import failing, undelivered, unfinished_by_reason
from tests.outbox.rigs.relay_rig import KINDS
from tests.outbox.rigs.rows import HOST, add_lane, claimed
from tests.servers.databases import IN_ONE_PART, ON_ONE_NODE, ON_SQLITE
from tests.statements import Statement, before_each_statement

pytestmark = [IN_ONE_PART, ON_ONE_NODE]  # indexes of parts have other names, and empty shards need none
DELIVERED = 2 * MAX_COUNTED
DID = "did:plc:1"
OF_TRACKS = "ix_mirror_target_track_id"
INDEXES = ("ix_mirror_target_next", "ix_mirror_target_due", "uq_mirror_target_track_id")

Statements = list[Statement]


@pytest.fixture(name="lane")
def _lane(database: Database) -> Lane:
    """A lane with one record to send and very many that were delivered."""
    add_lane(database, 1)
    with database.write() as connection:
        rows = "with recursive n(i) as (select 2 union all select i + 1 from n where i <= :last)"
        select = (
            f"{rows} select '{DID}', {bucket_of(DID)}, 'c', 'r' || i, i, 1, 'put', false, 1, 'cid' from n"  # noqa: S608
        )
        columns = "did, bucket, collection, rkey, track_id, desired_gen, desired_op, detached, acked_gen, observed_cid"
        connection.execute(text(f"insert into mirror_target ({columns}) {select}"), {"last": DELIVERED})
        connection.execute(text("analyze mirror_target"))
    [lane] = claimed(database)
    return lane


@pytest.fixture(name="said")
def _said(database: Database) -> Iterator[Statements]:
    """What the database was asked about targets."""
    said: Statements = []

    def note(statement: Statement) -> None:
        if "mirror_target" in statement.sql:
            said.append(statement)

    with before_each_statement(database.engine, note):
        yield said


def look(database: Database, lane: Lane) -> None:
    log = EventLog(database, projections=[])
    task = next_task(log, lane, KINDS, datetime.now(UTC), [])
    assert task is not None
    assert task.fault is not None  # its row was found; it has no events here


def sign_in(database: Database, lane: Lane) -> None:
    with database.write() as connection:
        resume_lane(connection, lane.did, lane.host, datetime.now(UTC))


def forgotten(database: Database, _lane: Lane) -> None:
    wake_stuck_lanes(database)


def test_it_reads_an_index_of_what_is_open(database: Database, lane: Lane, said: Statements) -> None:
    for act in (look, release, sign_in, forgotten):
        said.clear()
        act(database, lane)
        plan = _plan(database, said[0])
        assert plan
        assert all(any(index in part for index in INDEXES) for part in plan), plan


def _plan(database: Database, statement: Statement) -> list[str]:
    reads = ("SCAN ", "SEARCH ", "Seq Scan on ", "Index Scan ", "Index Only Scan ")
    lines = [line for line in statement.plan(database) if "mirror_target" in line]
    return [line for line in lines if any(read in line for read in reads)]


@pytest.mark.usefixtures("lane")
def test_what_fails_is_found_among_very_many_without_reading_them(
    database: Database, said: Statements
) -> None:
    change_one(database, 7, state="rejected", failed_gen=2, desired_gen=2)
    with database.read() as connection:
        found = connection.execute(failing(limit=50)).all()
    assert [row.subject_id for row in found] == [7]
    plan = _plan(database, said[-1])
    assert any("ix_mirror_target_troubled" in part for part in plan), plan
    assert all("ix_mirror_target" in part for part in plan), plan


@ON_SQLITE  # PostgreSQL has no statistics of what is open, and chooses by itself
@pytest.mark.usefixtures("lane")
def test_unfinished_records_are_counted_among_very_many_without_reading_them(
    database: Database, said: Statements
) -> None:
    with database.read() as connection:
        (found,) = unfinished_by_reason(connection)
    assert (found.mirror_state, found.records, found.accounts) == ("pending", 1, 1)
    _assert_reads_no_whole_index_of_tracks(_plan(database, said[-1]))


@ON_SQLITE
@pytest.mark.usefixtures("lane")
def test_undelivered_records_are_listed_among_very_many_without_reading_them(
    database: Database, said: Statements
) -> None:
    nothing = select(blob_job.c.subject_id).where(false())
    with database.read() as connection:
        rows = connection.execute(undelivered(nothing, limit=50)).all()
    assert [row.state for row in rows] == ["pending"]
    _assert_reads_no_whole_index_of_tracks(_plan(database, said[-1]))


@pytest.mark.usefixtures("lane")
def test_what_a_host_drains_is_counted_among_very_many_without_reading_them(
    database: Database, said: Statements
) -> None:
    with database.read() as connection:
        assert drains_of_hosts(connection, [HOST], datetime.now(UTC))[HOST].records == 1
    _assert_reads_no_whole_index_of_tracks(_plan(database, said[-1]))


def _assert_reads_no_whole_index_of_tracks(plan: list[str]) -> None:
    """Partial indexes have what is open alone, and may be scanned; that of tracks has everything."""
    assert plan
    for part in plan:
        if OF_TRACKS in part:
            assert "SEARCH " in part, plan
        else:
            assert any(index in part for index in (*INDEXES, "ix_mirror_target_troubled")), plan


def change_one(database: Database, track_id: int, **columns: Any) -> None:
    with database.write() as connection:
        this = update(mirror_target).where(mirror_target.c.subject_id == track_id)
        connection.execute(this.values(columns))


@pytest.mark.usefixtures("lane")
def test_of_very_many_that_wait_some_are_counted_and_all_that_are_in_trouble(database: Database) -> None:
    change_one(database, 7, state="rejected", failed_gen=1)
    with database.write() as connection:
        connection.execute(update(mirror_target).values(acked_gen=0))
    with database.read() as connection:
        found = {row.mirror_state: row.records for row in unfinished_by_reason(connection)}
    assert found.pop("rejected") == 1
    assert found == {"pending": pytest.approx(MAX_COUNTED, abs=1)}
