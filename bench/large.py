"""`python -m bench.large [--events N]`: fills PostgreSQL by SQL with N events of 100,000 accounts, and shows what each hot call takes and reads.

50,000 lanes are due at one host. For each call: the wall and CPU time of the fastest of five, and the plan of each of
its statements that took a millisecond. It proves nothing by itself: `growth` has the ratios.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

import click
from sqlalchemy import Connection, event, text

from aggregates.tracks.track import Track
from aggregates.values import tid_of
from application.subjects import On, changes_between_versions, past_of
from bench.logs import COLLECTION, START, did_of, log_at, register, retitle, vacuum
from bench.postgres import postgres_database
from eventstore.event_log import EventLog
from eventstore.sql import prepared
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of
from outbox.mirror.parking import schedule_overdue_probes
from outbox.mirror.requeue import wake_stuck_lanes
from outbox.relay.claim import claim, seconds_until_due
from projections.history import history_page
from service.observability.metrics import gauges

ACCOUNTS: Final = 100_000
DUE: Final = 50_000
HOSTS: Final = 500
BIG: Final = "http://big.bench"
FEW_SECONDS: Final = 0.001
RUNS: Final = 5

FILL: Final[Mapping[str, str]] = {
    "events": """
insert into stored_event (did, bucket, originator_id, originator_version, topic, state, actor, via, request_id, recorded_at)
select s.did, s.bucket, s.stream, e.originator_version, e.topic,
  case when e.originator_version > 1 then e.state else convert_to(replace(replace(replace(convert_from(e.state, 'UTF8'),
    '"track_id":1,', '"track_id":' || s.id || ','), %(did)s, s.did), %(rkey)s, s.rkey), 'UTF8') end,
  e.actor, e.via, e.request_id, e.recorded_at + s.id * interval '1 second'
from stored_event e join subject s on s.id > 1 where e.originator_id = %(stream)s and e.originator_version = %(version)s
order by s.id""",
    "history": """
insert into history (position, did, bucket, kind, track_id, version, type, topic, actor, via, request_id, at, touches_record, changes)
select e.position, e.did, e.bucket, h.kind, s.id, h.version, h.type, h.topic, h.actor, h.via, h.request_id, e.recorded_at, h.touches_record,
  h.changes
from stored_event e join subject s on s.stream = e.originator_id join history h on h.track_id = 1 and h.version = e.originator_version
where s.id > 1""",
    "tracks": """
insert into tracks select (jsonb_populate_record(t, jsonb_build_object('track_id', s.id, 'did', s.did, 'bucket', s.bucket, 'rkey', s.rkey,
  'title', 'Take ' || s.id, 'audio_cid', 'cid' || s.id))).* from tracks t join subject s on s.id > 1 where t.track_id = 1""",
    "hosts": "insert into pds_host (host) select 'http://h' || i || '.bench' from generate_series(1, %(hosts)s) i union select %(big)s",
    "lanes": """
insert into mirror_lane (did, bucket, host, state, due_at)
select s.did, s.bucket, case when s.id <= %(due)s then %(big)s else 'http://h' || 1 + s.id %% %(hosts)s || '.bench' end, 'ready',
  case when s.id <= %(due)s then timestamptz '2026-01-01' + s.id * 7 %% 3600 * interval '1 second' else '9999-01-01' end
from subject s where s.id <= %(accounts)s on conflict (did, bucket) do update set host = excluded.host, state = 'ready', due_at = excluded.due_at""",
    "targets": """
insert into mirror_target (did, bucket, collection, rkey, track_id, desired_gen, desired_op, detached, acked_gen, acked_at, observed_cid, ever_sent)
select s.did, s.bucket, %(collection)s, s.rkey, s.id, e.position, 'put', false, case when s.id <= %(due)s then 0 else e.position end,
  e.recorded_at, 'cid', true
from subject s join stored_event e on e.originator_id = s.stream and e.originator_version = %(last)s where s.id > 1""",
    "attempts": """
insert into delivery_attempt (did, bucket, collection, rkey, gen, op, request_cid, swap_cid, epoch, started_at, ended_at, outcome, status, rev)
select e.did, e.bucket, %(collection)s, s.rkey, e.position, 'put', md5(e.position::text) || 'abcdefghijklmnopqrstuvwxyz0', md5(s.stream), 1,
  e.recorded_at, e.recorded_at, 'done', 200, 'rev'
from stored_event e join subject s on s.stream = e.originator_id where e.originator_version %% 5 <> 0""",
}


def fill(log: EventLog, events: int) -> None:
    """Make one track through the service's own code, and all others of its rows, in SQL."""
    each = max(2, events // (2 * ACCOUNTS))
    register(log, 1, edits=each - 1)
    values = {
        "did": did_of(1),
        "rkey": tid_of(START + timedelta(seconds=1)),
        "stream": str(Track.create_id(1)),
        "last": each,
        "collection": COLLECTION,
        "due": DUE,
        "hosts": HOSTS,
        "big": BIG,
        "accounts": ACCOUNTS,
    }
    with log.database.write() as connection:
        connection.execute(
            text(
                "create table subject (id bigint primary key, did text, bucket smallint, stream text unique, rkey text)"
            )
        )
        driver: Any = connection.connection.driver_connection
        with driver.cursor() as cursor, cursor.copy("copy subject from stdin") as copy:
            for number in range(1, 2 * ACCOUNTS + 1):
                at = START + timedelta(seconds=number)
                account = 1 + (number - 1) % ACCOUNTS
                did = did_of(account)
                copy.write_row((number, did, bucket_of(did), str(Track.create_id(number)), tid_of(at)))
    for name, statement in FILL.items():
        began = time.monotonic()
        with log.database.write() as connection, without_indexes(connection, name):
            connection.exec_driver_sql("set local work_mem = '256MB'")
            for version in range(1, each + 1) if "version)s" in statement else [1]:
                connection.exec_driver_sql(statement, {**values, "version": version})
        click.echo(f"{name}: filled in {time.monotonic() - began:.0f} s", err=True)
    vacuum(log)


@contextmanager
def without_indexes(connection: Connection, name: str) -> Iterator[None]:
    """Make the indexes of a large table afterwards: for each row, random ones would take hours."""
    tables = {
        "events": "stored_event",
        "history": "history",
        "tracks": "tracks",
        "attempts": "delivery_attempt",
    }
    table = tables.get(name, "-")
    index = (
        "select indexname, indexdef from pg_indexes where tablename = :table and indexname not like 'pk_%'"
    )
    unique = "select conname, pg_get_constraintdef(oid) from pg_constraint where conname like 'uq_' || :table || '%'"
    constraints: dict[str, str] = dict(connection.execute(text(unique), {"table": table}).all())
    indexes = connection.execute(text(index), {"table": table}).all()
    for constraint in constraints:
        connection.exec_driver_sql(f"alter table {table} drop constraint {constraint}")
    for each, _ in indexes:
        connection.exec_driver_sql(f"drop index if exists {each}")
    yield
    connection.exec_driver_sql("set local maintenance_work_mem = '512MB'")
    for each, definition in indexes:
        if each not in constraints:
            connection.exec_driver_sql(definition)
    for constraint, definition in constraints.items():
        connection.exec_driver_sql(f"alter table {table} add constraint {constraint} {definition}")


def calls(log: EventLog) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    database = log.database
    numbers = iter(range(60_000, 200_000))

    def read(work: Callable[[Connection], object]) -> Callable[[], object]:
        def call() -> object:
            with database.read() as connection:
                return work(connection)

        return call

    def edit_of_another() -> None:
        number = next(numbers)
        retitle(log, number, "Another take", account=1 + (number - 1) % ACCOUNTS)

    return {
        "an edit of a track that is not cached": edit_of_another,
        "an edit of a track that is": lambda: retitle(log, 1, f"Take {time.monotonic()}"),
        "version 2 of a track": read(
            lambda connection: past_of(log, connection, did_of(77), On(Track, 77), 2)
        ),
        "a difference": read(
            lambda connection: changes_between_versions(log, connection, did_of(77), On(Track, 77), (2, 4))
        ),
        "a page of history": read(lambda connection: history_page(connection, did_of(77), 77, limit=20)),
        "what is due, for a poll": lambda: seconds_until_due(database),
        "a claim": lambda: claim(database, owner="bench", limit=8, lease=timedelta(seconds=0)),
        "forgotten lanes, a pass": lambda: wake_stuck_lanes(database),
        "overdue probes": lambda: schedule_overdue_probes(database),
        "all gauges": lambda: list(gauges(log)),
    }


@contextmanager
def timed_statements(database: Database) -> Iterator[list[tuple[float, str, Any, bool]]]:
    """Yield the list that grows by each statement: its seconds, text and values, and whether it is a prepared one."""
    seen: list[tuple[float, str, Any, bool]] = []
    execute = prepared.execute  # the one door to the driver

    def through_the_door(connection: Any, sql: str, values: Any, **how: Any) -> Any:
        began = time.perf_counter()
        cursor = execute(connection, sql, values, **how)
        seen.append((time.perf_counter() - began, sql, values, True))
        return cursor

    def before(_connection: Any, _cursor: Any, _sql: str, _values: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    def after(_connection: Any, _cursor: Any, sql: str, values: Any, context: Any, _many: bool) -> None:
        seen.append((time.perf_counter() - context.began, sql, values, False))

    event.listen(database.engine, "before_cursor_execute", before)
    event.listen(database.engine, "after_cursor_execute", after)
    try:
        with patch.object(prepared, "execute", through_the_door):
            yield seen
    finally:
        event.remove(database.engine, "before_cursor_execute", before)
        event.remove(database.engine, "after_cursor_execute", after)


def show(log: EventLog, name: str, call: Callable[[], object]) -> None:
    """Measure a call, and print what it took and the plans of its slow statements."""
    best = None
    for _ in range(RUNS):
        with timed_statements(log.database) as seen:
            began, cpu = time.perf_counter(), time.process_time()
            call()
            took = (time.perf_counter() - began, time.process_time() - cpu, seen)
        best = took if best is None or took[0] < best[0] else best
    assert best is not None  # noqa: S101
    wall, cpu, seen = best
    click.echo(f"{name}: {wall * 1000:.1f} ms, {cpu * 1000:.1f} of them our CPU; {len(seen)} statements")
    for seconds, sql, values, is_prepared in seen:
        if seconds >= FEW_SECONDS and sql.lstrip()[:6].upper() in {"SELECT", "WITH R"}:
            click.echo(f"  {seconds * 1000:.1f} ms: {' '.join(sql.split())[:100]}")
            with log.database.write() as connection:
                explained = f"explain (analyze, costs off, timing off, summary off) {sql}"
                if is_prepared:
                    rows = prepared.execute(connection, explained, values).fetchall()
                else:
                    rows = connection.exec_driver_sql(explained, values).all()
            lines = [str(row[0]) for row in rows]
            for line in [line for line in lines if "Scan" in line or "Sort" in line][:14]:
                click.echo(f"      {line.strip()[:110]}")


@click.command()
@click.option("--events", default=10_000_000, show_default=True)
def main(events: int) -> None:
    """Fill a database of its own, and show what the hot calls take."""
    with postgres_database() as url:
        if url is None:
            raise click.ClickException("there is no PostgreSQL here: see docs/performance.md")
        with log_at(url) as log:
            fill(log, events)
            with log.database.read() as connection:
                size = connection.scalar(text("select pg_size_pretty(pg_database_size(current_database()))"))
            click.echo(f"{events} events, {size}")
            for name, call in calls(log).items():
                show(log, name, call)


if __name__ == "__main__":
    main()
