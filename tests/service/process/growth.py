"""Rows of a service that has grown, and how many of them its database reads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, insert, text

from aggregates.tracks.track import Track
from eventstore.idempotency import idempotency
from eventstore.jobs.kinds import Kind, Wanted
from eventstore.jobs.queue import request
from eventstore.jobs.table import job, job_turn
from eventstore.sql.database import Database
from eventstore.sql.schema import stored_event
from eventstore.streams.snapshots import aggregate_snapshot
from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from outbox.mirror.lanes import enter_host
from outbox.mirror.states import LaneState
from outbox.mirror.tables import (
    NEVER,
    blob_job,
    delivery_attempt,
    mirror_lane,
    mirror_target,
    repo_scan,
)
from projections.history import history

BUSY = "did:plc:busy"
"""Has all of the history, and all attempts."""
HOST = "http://pds.test"
COLLECTION = "fm.plyr.track"
FIRST_POSITION = 1000
STEPS_PER_COUNT = 20
"""Of SQLite's machine, some two or three for a row."""
ROWS_READ = text("""
    select coalesce((select sum(seq_tup_read) from pg_stat_user_tables), 0)
    + coalesce((select sum(idx_tup_read) from pg_stat_user_indexes), 0)
""")


def did_of(kind: str, number: int) -> str:
    return f"did:plc:{kind}{number:06}"


def grow(database: Database, kinds: list[Kind], numbers: range) -> None:
    """Add so many idle accounts, accounts that wait for something, and events, attempts and answers."""
    with database.write() as connection:
        now = database.now(connection)
        enter_host(connection, HOST)
        for table, rows in _rows(numbers, kinds, now).items():
            for at in range(0, len(rows), 500):
                connection.execute(insert(table), rows[at : at + 500])
    _analyze(database)


def _rows(numbers: range, kinds: list[Kind], now: datetime) -> dict[sa.Table, list[dict[str, Any]]]:
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        table: []
        for table in (
            *(account, mirror_lane, mirror_target, repo_scan, blob_job, job, job_turn),
            *(stored_event, history, delivery_attempt, aggregate_snapshot, idempotency, credential),
        )
    }
    by = {"actor": "a", "via": "v", "request_id": "r"}
    later, lately = now + timedelta(days=1), now - timedelta(hours=20)
    for number in numbers:
        idle, parked, failing = (did_of(each, number) for each in ("idle", "parked", "failing"))
        lanes = (
            (idle, LaneState.READY, NEVER),
            (parked, LaneState.AUTH_REQUIRED, lately),
            (failing, LaneState.READY, later),
        )
        for place, (did, state, due_at) in enumerate(lanes):
            of = {"handle": did, "pds_url": HOST, "display_name": "", "created_at": now, "updated_at": now}
            rows[account].append({"did": did, **of})
            rows[mirror_lane].append({"did": did, "host": HOST, "state": state, "due_at": due_at})
            target = {"collection": COLLECTION, "rkey": f"{number}", "desired_op": "put", "detached": False}
            sent = {
                "subject_id": FIRST_POSITION + 3 * number + place,
                "desired_gen": 2,
                "acked_gen": 2 if did == idle else 1,
            }
            rows[mirror_target].append({"did": did, **target, **sent, "not_before": due_at})
            rows[repo_scan].append({"did": did, "rev": "r", "scanned_at": now})
        for did, not_before in ((parked, now), (failing, later)):
            waits = {"audio_cid": "bafy", "requested": True, "not_before": not_before}
            rows[blob_job].append({"did": did, "subject_id": number, **waits, "queue_at": later})
        for kind in kinds:
            waits = {"kind": kind.name, "account": failing, **by, "requested_at": lately, "due": later}
            rows[job].append({**waits, "subject": failing})
            rows[job_turn].append({"kind": kind.name, "account": failing, "served_at": lately})
            rows[job_turn].append({"kind": kind.name, "account": idle, "served_at": lately})
        rows[stored_event].append(
            {
                "did": BUSY,
                "originator_id": str(number // 100),
                "originator_version": number % 100,
                "topic": "t",
            }
            | {"state": b"", **by, "recorded_at": now, "position": FIRST_POSITION + number}
        )
        of_event = {"version": 1, "type": "Edited", "topic": "t", **by, "at": now, "touches_record": True}
        at = {
            "position": FIRST_POSITION + number,
            "did": BUSY,
            "kind": Track.TOPIC,
            "track_id": 1,
            "changes": [],
        }
        rows[history].append({**at, **of_event})
        sent = {"epoch": 1, "started_at": lately, "ended_at": lately, "outcome": "done", "status": 200}
        record = {"did": BUSY, "collection": COLLECTION, "rkey": "1", "gen": number, "op": "put"}
        rows[delivery_attempt].append({**record, **sent, "request_cid": f"bafy{number}"})
    return {table: of for table, of in rows.items() if of}


def add_due_jobs(database: Database, kinds: list[Kind], numbers: range) -> None:
    """Have so many accounts wait for their turn, of each kind, and each of an upload."""
    with database.write() as connection:
        now = database.now(connection)
        enter_host(connection, HOST)
        dids = [did_of("waiting", number) for number in numbers]
        lanes = [{"did": did, "host": HOST, "state": LaneState.READY} for did in dids]
        connection.execute(insert(mirror_lane), lanes)
        waits = {"audio_cid": "bafy", "requested": True, "queue_at": now + timedelta(hours=1)}
        connection.execute(insert(blob_job), [{"did": did, "subject_id": 1, **waits} for did in dids])
        for kind in kinds:
            request(connection, [Wanted(kind.name, did) for did in dids], now)
    _analyze(database)


def _analyze(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("analyze" if database.is_sqlite else "vacuum analyze")


@contextmanager
def counted(database: Database) -> Iterator[Callable[[], int]]:
    """Give the count of rows that the database has read since the block began, on all connections; on SQLite of steps."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += STEPS_PER_COUNT

    def taken(driver: Any, *_more: Any) -> None:
        if database.is_sqlite:
            driver.set_progress_handler(step, STEPS_PER_COUNT)

    def given_back(driver: Any, *_more: Any) -> None:
        if not database.is_sqlite and driver is not None:  # else a second may pass before they are counted
            driver.execute("select pg_stat_force_next_flush()")
            driver.rollback()

    def rows_read() -> int:
        if database.is_sqlite:
            return steps
        with database.read_committed() as connection:
            return int(connection.scalar(ROWS_READ) or 0)

    event.listen(database.engine, "checkout", taken)
    event.listen(database.engine, "checkin", given_back)
    try:
        yield rows_read
    finally:
        event.remove(database.engine, "checkout", taken)
        event.remove(database.engine, "checkin", given_back)
