"""The revisions make exactly the tables that the code declares, on both databases."""

import importlib
import pkgutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, inspect, select, text

from eventstore.database import Database
from eventstore.jobs.table import job, job_turn
from eventstore.schema import metadata
from outbox.mirror.tables import mirror_target
from projections.tracks.queries import TrackFilter, track_page
from projections.tracks.table import row_of, tracks
from projections.tracks.view import TrackView
from service.schema import tables
from service.schema.migrate import OutdatedSchemaError, newest, require_schema, upgrade
from service.schema.tables import is_compared
from tests.dsl import a_track
from tests.servers.databases import KINDS, migrate, revision

PACKAGES = (
    "aggregates",
    "eventstore",
    "projections",
    "outbox",
    "storage",
    "identity",
    "replay",
    "api",
    "service",
)
INDEXES = {
    "sqlite": "select sql from sqlite_master where type = 'index' and tbl_name = :name and sql is not null",
    "postgresql": "select indexdef from pg_indexes where tablename = :name",
}


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrated_database_is_what_the_code_declares(migrated_url: str) -> None:
    database = Database(migrated_url)
    with database.write() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_compared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    database.close()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_alembic_does_not_compare_differs(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    migrated = Database(request.getfixturevalue(f"migrated_{kind}"))
    fresh = f"sqlite:///{tmp_path}/declared.db"
    declared = Database(fresh if kind == "sqlite" else request.getfixturevalue("fresh_postgres"))
    metadata.create_all(declared.engine)
    for name in metadata.tables:
        assert shape(migrated, name) == shape(declared, name)
    declared.close()
    migrated.close()


def shape(database: Database, table: str) -> object:
    """Keys, checks, defaults, what each index holds, and whether SQLite ever gives an id again."""
    inspector = inspect(database.engine)
    columns = {
        column["name"]: (str(column["type"]), column["nullable"], column["default"])
        for column in inspector.get_columns(table)
    }
    counting = "select sql like '%AUTOINCREMENT%' from sqlite_master where name = :name"
    with database.read() as connection:
        indexes = sorted(connection.scalars(text(INDEXES[database.dialect]), {"name": table}))
        counts = database.is_sqlite and connection.scalar(text(counting), {"name": table})
    foreign = inspector.get_foreign_keys(table)
    return (
        columns,
        inspector.get_pk_constraint(table),
        inspector.get_check_constraints(table),
        foreign,
        [without_brackets(each) for each in indexes] if database.is_sqlite else indexes,
        counts,
    )


def without_brackets(definition: str) -> str:
    """SQLite keeps each index as it was written; PostgreSQL writes it anew, and shows if brackets say another thing."""
    return " ".join(definition.translate(str.maketrans("()", "  ")).split())


def test_all_tables_are_known_to_the_migrations() -> None:
    before = set(tables.metadata.tables)
    for package in PACKAGES:
        module = importlib.import_module(package)
        for info in pkgutil.walk_packages(module.__path__, f"{package}."):
            importlib.import_module(info.name)
    assert set(metadata.tables) == before


def test_upgrade_brings_an_empty_database_to_the_newest_revision(database_url: str) -> None:
    assert revision(database_url) is None
    upgrade(database_url)
    assert revision(database_url) == newest()


def test_the_newest_revision_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", "migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [newest()]


def test_old_and_newer_schemas_are_refused(migrated_url: str) -> None:
    database = Database(migrated_url)
    require_schema(database)
    for number, to_do in (("0000", "run `mastertape migrate`"), ("9999", "start that version again")):
        with database.write() as connection:
            connection.execute(text("update alembic_version set version_num = :new"), {"new": number})
        with pytest.raises(OutdatedSchemaError, match=f"at revision {number}.*{to_do}"):
            require_schema(database)
    with pytest.raises(OutdatedSchemaError, match="of a newer version"):
        upgrade(migrated_url)
    database.close()


def test_several_processes_migrate_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [database_url] * 4))
    assert revision(database_url) == newest()


def test_upgrade_that_fails_leaves_nothing(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        connection.execute(text("create table running_request (mine integer)"))
    with pytest.raises(Exception, match="running_request"):
        upgrade(database_url)
    assert inspect(database.engine).get_table_names() == ["running_request"]
    database.close()


def test_migrating_keeps_what_is_there(migrated_url: str) -> None:
    database = Database(migrated_url)
    with database.write() as connection:
        connection.execute(text("insert into projection_state (name, fingerprint) values ('a', 'b')"))
    migrate(migrated_url)
    with database.read() as connection:
        assert connection.scalar(text("select fingerprint from projection_state")) == "b"
    database.close()


def test_a_search_finds_tracks_that_are_older_than_its_index(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", "migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        existing = [column["name"] for column in inspect(connection).get_columns("tracks")]
        row = row_of(TrackView.of(a_track(title="Older")))
        connection.execute(insert(tracks).values({name: row[name] for name in existing}))
    upgrade(database_url)
    with database.read() as connection:
        assert [track.title for track in track_page(connection, TrackFilter(q="olde")).items] == ["Older"]
    database.close()


def test_a_record_that_fails_already_does_so_since_its_first_attempt(database_url: str) -> None:
    """The upgrade says since when; of records that do not fail it says nothing."""
    database = Database(database_url)
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", "migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        for rkey, state in (("fails", "rejected"), ("waits", "idle")):
            row = {"did": "did:plc:a", "collection": "c", "rkey": rkey, "gen": 7}
            connection.execute(
                text(
                    "insert into mirror_target (did, collection, rkey, track_id, desired_gen, desired_op, detached, state, "
                    "failed_gen, last_error) values (:did, :collection, :rkey, :track_id, :gen, 'put', false, :state, :gen, 'x: y')"
                ),
                {**row, "state": state, "track_id": len(state)},
            )
            for started_at in ("2026-01-02 00:00:00.000000", "2026-01-01 00:00:00.000000"):
                connection.execute(
                    text(
                        "insert into delivery_attempt (did, collection, rkey, gen, op, epoch, started_at) "
                        "values (:did, :collection, :rkey, :gen, 'put', 1, :at)"
                    ),
                    {**row, "at": started_at},
                )
    upgrade(database_url)
    with database.read() as connection:
        columns = (mirror_target.c.rkey, mirror_target.c.failing_since, mirror_target.c.first_error)
        found = {row.rkey: tuple(row[1:]) for row in connection.execute(select(*columns))}
    database.close()
    assert found == {"fails": (datetime(2026, 1, 1, tzinfo=UTC), "x: y"), "waits": (None, None)}


def test_work_that_waits_or_has_failed_becomes_jobs(database_url: str) -> None:
    database = Database(database_url)
    then, gone = "2026-01-01 00:00:00.000000", "2026-01-02 00:00:00.000000"
    asked = {"actor": "did:plc:a", "via": "browser", "request_id": "r", "at": then, "none": "[]"}
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", "migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "0017")
        connection.execute(
            text(
                "insert into mirror_lane (did, host, state) values ('did:plc:a', 'https://pds.test', 'ready')"
            )
        )
        for did, ended_at, problem, found in (
            ("did:plc:a", None, None, 3),
            ("did:plc:b", gone, None, 4),
            ("did:plc:c", gone, "away", 5),
        ):
            connection.execute(
                text(
                    "insert into adoption (did, actor, via, request_id, requested_at, not_before, ended_at, attempts, found,"
                    " problems, problem, lease_until) values (:did, :actor, :via, :request_id, :at, :at, :ended_at, 2,"
                    " :found, :none, :problem, :at)"
                ),
                {**asked, "did": did, "ended_at": ended_at, "problem": problem, "found": found},
            )
        for source, state in (("bafy1", "waiting"), ("bafy2", "failed")):
            connection.execute(
                text(
                    "insert into derived_job (kind, source, state, host, attempts, not_before)"
                    " values ('waveform', :source, :state, '', 1, :at)"
                ),
                {"source": source, "state": state, "at": then},
            )
        for did, state in (("did:plc:a", "applying"), ("did:plc:b", "planned")):
            connection.execute(
                text(
                    "insert into repair (did, state, actor, via, request_id, requested_at, not_before, counts, skips,"
                    " lease_until, lease_owner) values (:did, :state, :actor, :via, :request_id, :at, :at, :none, :none, :at, 'x')"
                ),
                {**asked, "did": did, "state": state},
            )
    upgrade(database_url)
    with database.read() as connection:
        rows = connection.execute(select(job).order_by(job.c.kind, job.c.subject)).all()
        turns = {tuple(row) for row in connection.execute(select(job_turn.c.kind, job_turn.c.account))}
    database.close()
    assert [(row.kind, row.subject, row.account, row.state, row.lease_owner) for row in rows] == [
        ("adoption", "did:plc:a", "did:plc:a", "waiting", None),
        ("adoption", "did:plc:b", "did:plc:b", "done", None),
        ("adoption", "did:plc:c", "did:plc:c", "failed", None),
        ("repair", "did:plc:a", "did:plc:a", "waiting", None),
        ("waveform", "bafy1", "", "waiting", None),
        ("waveform", "bafy2", "", "failed", None),
    ]
    assert turns == {("adoption", "did:plc:a"), ("repair", "did:plc:a"), ("waveform", "")}
    first = rows[0]
    assert (first.host, first.attempts, first.actor) == ("https://pds.test", 2, "did:plc:a")
    assert first.progress == {"found": 3, "known": 0, "adopted": 0, "refused": 0, "problems": []}
    assert (first.requested_at, rows[2].problem) == (datetime(2026, 1, 1, tzinfo=UTC), "away")


def test_developers_reach_the_same_schema(fresh_sqlite: str) -> None:
    alembic = [sys.executable, "-m", "alembic", "-x", f"url={fresh_sqlite}"]
    subprocess.run([*alembic, "upgrade", "head"], check=True, capture_output=True)
    subprocess.run([*alembic, "check"], check=True, capture_output=True)
