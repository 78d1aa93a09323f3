"""A new connection detects a database other than the one that was known, and only that."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from sqlalchemy import make_url, select, text

from eventstore.coordination import restore_detection
from eventstore.coordination.restore_detection import (
    COMPARE_SECONDS,
    POSITIONS_SKIPPED,
    TRACK_IDS_SKIPPED,
    Workers,
    compare_with_seen,
    detect_on_connect,
    log_incarnation,
    newest_before_restore,
    newest_issued,
    restored_because,
)
from eventstore.errors import LogBusyError
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import metadata, stored_event
from eventstore.streams.buckets import BUCKETS
from eventstore.streams.ids import next_subject_id
from tests.dsl import some_time
from tests.eventstore.counter import ALICE, ENVELOPE, Counter
from tests.servers.databases import connection_to, temporary_database, text_of
from tests.servers.pgbouncer import ROLE_SETTINGS, pooled


def looked_at(url: str) -> Database:
    database = Database(url)
    detect_on_connect(database)
    return database


def because(url: str) -> str | None:
    with closing(looked_at(url)) as database, database.read() as connection:
        return restored_because(connection)


def record_an_event(url: str) -> None:
    row = {
        "did": "did:plc:a", "originator_id": uuid.uuid4().hex, "originator_version": 1, "topic": "t", "state": b"{}",
        "actor": "a", "via": "test", "request_id": "r", "recorded_at": some_time(0),
    }  # fmt: skip
    with closing(looked_at(url)) as database, database.write() as connection:
        connection.execute(stored_event.insert(), row)


def clone_of(url: str) -> Iterator[str]:
    """The same rows in another database: what reading in a dump makes."""
    parsed = make_url(url)
    server = text_of(parsed.set(database="postgres"))
    with temporary_database(server, str(parsed.database)) as clone:
        yield clone


@pytest.mark.postgres
def test_a_database_without_our_tables_can_be_connected_to(fresh_postgres: str) -> None:
    with closing(looked_at(fresh_postgres)) as database, database.read() as connection:
        assert connection.scalar(text("select 1")) == 1


@pytest.mark.postgres
def test_a_copy_with_events_in_it_is_noticed_once_and_numbers_go_on_far_beyond(
    migrated_postgres: str,
) -> None:
    record_an_event(migrated_postgres)
    assert because(migrated_postgres) is None
    for clone in clone_of(migrated_postgres):
        found = because(clone)
        assert found is not None
        assert found.startswith("the database is ")
        with closing(looked_at(clone)) as database, database.read() as connection:
            issued = newest_issued(connection)
        assert because(clone) == found
        record_an_event(clone)
        with closing(looked_at(clone)) as database, database.read() as connection:
            assert newest_issued(connection) == issued + 1


@pytest.mark.postgres
def test_a_copy_of_an_empty_log_has_lost_nothing(migrated_postgres: str) -> None:
    assert because(migrated_postgres) is None
    for clone in clone_of(migrated_postgres):
        assert because(clone) is None


@pytest.mark.postgres
def test_rows_that_were_read_into_other_tables_are_noticed(migrated_postgres: str) -> None:
    record_an_event(migrated_postgres)
    with closing(Database(migrated_postgres)) as database, database.write() as connection:
        rows = connection.execute(select(stored_event)).mappings().all()
        connection.execute(text("drop table stored_event"))
        metadata.create_all(connection, [stored_event])
        connection.execute(stored_event.insert(), [dict(row) for row in rows])
    assert "table of events" in (because(migrated_postgres) or "")


@pytest.mark.postgres
def test_a_role_without_access_to_the_servers_identity_detects_what_it_can(migrated_postgres: str) -> None:
    record_an_event(migrated_postgres)
    role = f"plain_{uuid.uuid4().hex[:8]}"
    plain = text_of(make_url(migrated_postgres).set(username=role))
    say(
        migrated_postgres,
        f"create role {role} login",
        "revoke execute on function pg_control_system() from public",
        f"grant all on all tables in schema public to {role}",
        f"grant all on all sequences in schema public to {role}",
    )
    try:
        assert because(plain) is None  # an unknown part is skipped
        for clone in clone_of(migrated_postgres):
            restored = text_of(make_url(clone).set(username=role))
            assert (because(restored) or "").startswith("the database is ")
            say(clone, f"drop owned by {role}")  # the copy may outlive the role
    finally:
        say(migrated_postgres, f"drop owned by {role}", f"drop role {role}")


def say(url: str, *statements: str) -> None:
    with connection_to(url) as server:
        for statement in statements:
            server.execute(statement.encode())


@pytest.fixture
def promote(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Give the server the timeline of a promoted standby, for connections from now on."""
    timeline = "substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"
    identity = restore_detection._IDENTITY  # noqa: SLF001
    assert timeline in identity
    return lambda: monkeypatch.setattr(
        restore_detection, "_IDENTITY", identity.replace(timeline, "'00000009'")
    )


@pytest.mark.postgres
def test_a_promoted_standby_is_noticed_and_numbers_go_on_far_beyond(
    migrated_postgres: str, promote: Callable[[], None]
) -> None:
    record_an_event(migrated_postgres)
    with closing(looked_at(migrated_postgres)) as database, database.write() as connection:
        before, last_id = newest_issued(connection), next_subject_id(connection, ALICE)
    promote()
    assert because(migrated_postgres) == "the timeline is 00000009, and was 00000001"
    record_an_event(migrated_postgres)
    with closing(looked_at(migrated_postgres)) as database, database.write() as connection:
        assert newest_issued(connection) == before + POSITIONS_SKIPPED + 1
        assert newest_before_restore(connection) == before
        assert next_subject_id(connection, ALICE) == last_id + (TRACK_IDS_SKIPPED + 1) * BUCKETS


@pytest.mark.pgbouncer
@pytest.mark.postgres
def test_behind_a_pooler_each_unit_looks_at_its_server(
    migrated_postgres: str, promote: Callable[[], None]
) -> None:
    with (
        pooled(migrated_postgres, *ROLE_SETTINGS) as url,
        closing(looked_at(url)) as database,
        closing(EventLog(database)) as log,
    ):
        last = add_one(log)
        promote()
        with pytest.raises(LogBusyError):
            add_one(log)
        assert add_one(log) > last + POSITIONS_SKIPPED


def add_one(log: EventLog) -> int:
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        counter = Counter(name=uuid.uuid4().hex)
        counter.add(1)
        return unit.save(counter)[-1].position


def test_a_log_that_ends_before_what_was_seen_is_noticed_and_no_other(migrated_url: str) -> None:
    record_an_event(migrated_url)
    with closing(Database(migrated_url)) as database:
        for seen, is_noticed in ((0, False), (1, False), (2, True)):
            compare_with_seen(database, seen)
            with database.read() as connection:
                assert (restored_because(connection) is not None) is is_noticed
        with database.read() as connection:
            [row] = connection.execute(select(log_incarnation)).all()
        compare_with_seen(database, row.issued_up_to)  # what it has been moved on to is no loss
        with database.read() as connection:
            assert connection.execute(select(log_incarnation)).all() == [row]


@pytest.fixture
def workers(migrated_postgres: str) -> Callable[..., None]:
    """Stand in for Citus: what it says of its nodes. Returns what gives each worker an identity, or none while it is away."""
    say(
        migrated_postgres,
        "create table pg_dist_node (nodeid int, nodename text, nodeport int)",
        "create table worker (nodename text, nodeport int, success boolean, result text)",
        "create function run_command_on_workers(text) returns setof worker language sql as 'select * from worker'",
    )

    def become(**identities: str | None) -> None:
        say(migrated_postgres, "truncate pg_dist_node, worker")
        for number, (name, identity) in enumerate(identities.items(), 1):
            say(
                migrated_postgres,
                f"insert into pg_dist_node values ({number}, '{name}', 5432)",  # noqa: S608
                f"insert into worker values ('{name}', 5432, {identity is not None}, '{identity}')",  # noqa: S608
            )

    return become


@pytest.mark.postgres
def test_a_worker_that_was_put_back_alone_is_noticed_and_one_that_is_away_or_new_is_not(
    migrated_postgres: str, workers: Callable[..., None]
) -> None:
    workers(one="77:00000001")
    record_an_event(migrated_postgres)
    for others in ({"one": "77:00000001", "two": "88:00000001"}, {"one": None, "two": "88:00000001"}):
        workers(**others)
        assert because(migrated_postgres) is None
    workers(one="77:00000002", two="88:00000001")
    assert because(migrated_postgres) == "the worker 1 is 77:00000002, and was 77:00000001"


@pytest.mark.postgres
def test_a_relay_whose_connections_live_on_notices_a_worker_within_a_second(
    migrated_postgres: str, workers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers(one="77:00000001")
    record_an_event(migrated_postgres)
    now = 100.0
    monkeypatch.setattr(restore_detection.time, "monotonic", lambda: now)
    with closing(looked_at(migrated_postgres)) as database:
        relay = Workers(database)
        relay.compare()
        workers(one="77:00000002")
        relay.compare()
        with database.read() as connection:
            assert restored_because(connection) is None
        now += COMPARE_SECONDS
        relay.compare()
        with database.read() as connection:
            assert "worker 1" in str(restored_because(connection))
