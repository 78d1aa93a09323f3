"""What a relay reads for an edit, or for a record of a replay, does not grow with the account's backlog."""

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text, update

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of
from outbox.mirror.lanes import Lane, change_lane, release, resume_lane
from outbox.mirror.tables import NEVER, PAST, mirror_target
from outbox.relay.delivery_task import next_task
from tests.outbox.rigs.relay_rig import KINDS
from tests.outbox.rigs.rows import add_lane, add_target, claimed, lane_row
from tests.servers.databases import AND_CITUS
from tests.statements import effort

WAITING = 40_000 if os.environ.get("TEST_DEEP") else 10_000
LIVE = 1
FEW = 100
"""Rows on PostgreSQL, hundreds of steps on SQLite: all of them would be thousands."""
STATISTICS = ("none", "of before", "of now")
"""What the planner knows of targets. SQLite has no statistics to refresh."""
each_plan = pytest.mark.parametrize(
    ("migrated_url", "lane"),
    [
        *((each, "none") for each in ("sqlite", *AND_CITUS)),
        *(pytest.param("postgres", each, marks=pytest.mark.postgres) for each in STATISTICS),
    ],
    indirect=True,
)


@pytest.fixture(name="lane")
def _lane(request: pytest.FixtureRequest, database: Database) -> Lane:
    """A lane in whose account a replay of very many records is due, and nothing else."""
    statistics = getattr(request, "param", "none")
    did = add_lane(database, LIVE, backfill_at=PAST)
    change_live(database, "acked_gen = 1")
    deliver_many(database, did)
    if statistics == "of before":
        analyze(database)
    let_wait(database, did)
    if statistics == "of now":
        analyze(database)
    [lane] = claimed(database)
    assert lane.backfill
    return lane


def deliver_many(database: Database, did: str) -> None:
    rows = "with recursive n(i) as (select 2 union all select i + 1 from n where i < :last)"
    select = f"{rows} select '{did}', {bucket_of(did)}, 'c', 'r' || i, i, i, 'put', false, i from n"  # noqa: S608
    columns = "did, bucket, collection, rkey, track_id, desired_gen, desired_op, detached, acked_gen"
    with database.write() as connection:
        connection.execute(text(f"insert into mirror_target ({columns}) {select}"), {"last": 1 + WAITING})


def let_wait(database: Database, did: str, **columns: Any) -> None:
    with database.write() as connection:
        these = update(mirror_target).where(mirror_target.c.did == did, mirror_target.c.subject_id != LIVE)
        connection.execute(these.values(acked_gen=0, backfill=True, **columns))
        change_lane(connection, did, due_at=NEVER)


def analyze(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("analyze mirror_target"))


def change_live(database: Database, what: str) -> None:
    with database.write() as connection:
        connection.execute(text(f"update mirror_target set {what} where track_id = {LIVE}"))  # noqa: S608


def look(database: Database, lane: Lane, done: range = range(0)) -> int | None:
    """The track that is next; it has no events here."""
    log = EventLog(database, projections=[])
    task = next_task(log, lane, KINDS, datetime.now(UTC), [f"c/r{each}" for each in done])
    return task.subject_id if task is not None else None


def sign_in(database: Database, lane: Lane) -> None:
    with database.write() as connection:
        resume_lane(connection, lane.did, lane.host, datetime.now(UTC))


@each_plan
def test_the_next_record_of_a_replay_is_found_without_reading_the_others(
    database: Database, lane: Lane
) -> None:
    assert effort(database, "mirror_target", lambda: look(database, lane, range(2, 7))) < FEW
    assert look(database, lane, range(2, 7)) == 7
    assert effort(database, "mirror_target", lambda: release(database, lane)) < FEW


@each_plan
def test_an_edit_is_found_and_its_lane_run_ends_without_reading_the_replay(
    database: Database, lane: Lane
) -> None:
    change_live(database, "desired_gen = 50000")
    live = replace(lane, backfill=False)
    assert effort(database, "mirror_target", lambda: look(database, live)) < FEW
    assert look(database, live) == LIVE
    change_live(database, "acked_gen = 50000")
    assert effort(database, "mirror_target", lambda: look(database, live)) < FEW
    assert look(database, live) is None
    assert effort(database, "mirror_target", lambda: release(database, live)) < FEW


def test_a_sign_in_changes_only_what_waits(database: Database, lane: Lane) -> None:
    with database.write() as connection:
        add_target(connection, lane.did, WAITING + 2, state="backoff", failed_gen=1, not_before=NEVER)
    written = rows_written(database, lambda: sign_in(database, lane))
    assert written < FEW
    with database.read() as connection:
        late = text("select count(*) from mirror_target where not_before > '1970-01-01 00:00:00.000000'")
        assert connection.scalar(late) == 0


def rows_written(database: Database, act: Callable[[], Any]) -> int:
    with database.write() as connection:
        if database.is_sqlite:
            driver: Any = connection.connection.driver_connection
            before = driver.total_changes
            act()
            return driver.total_changes - before
        read = text("select n_tup_upd from pg_stat_xact_user_tables where relname = 'mirror_target'")
        before = connection.execute(read).scalar_one()
        act()
        return connection.execute(read).scalar_one() - before


def test_what_waits_for_its_blob_is_not_read_to_find_an_edit(database: Database, lane: Lane) -> None:
    let_wait(database, lane.did, state="blob", failed_gen=mirror_target.c.desired_gen, not_before=NEVER)
    assert effort(database, "mirror_target", lambda: look(database, lane)) < FEW
    assert look(database, lane) is None
    assert effort(database, "mirror_target", lambda: release(database, lane)) < FEW
    assert lane_row(database, lane.did).backfill_at == NEVER
