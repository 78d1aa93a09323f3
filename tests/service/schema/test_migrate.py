"""The revisions make exactly the tables that the code declares, on both databases."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from eventstore.streams.buckets import BUCKET
from service.schema import tables
from service.schema.migrate import OutdatedSchemaError, newest, require_schema, upgrade
from service.schema.partitions import TABLES
from service.schema.tables import is_compared
from tests.buckets.checker import OF_ACCOUNTS
from tests.patterns import modules
from tests.servers.databases import KINDS, ON_SQLITE, revision

PART = re.compile(rf"({'|'.join(TABLES)})_\d{{4}}")
INDEXES = {
    "sqlite": "select sql from sqlite_master where type = 'index' and tbl_name = :name and sql is not null",
    "postgresql": "select indexdef from pg_indexes where tablename = :name",
}


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrated_database_is_what_the_code_declares(migrated_url: str) -> None:
    database = Database(migrated_url)
    with database.write() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": _is_compared}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    database.close()


def _is_compared(item: Any, name: str | None, kind: str, *more: object) -> bool:
    return is_compared(item, name, kind, *more) and not (kind == "table" and PART.fullmatch(name or ""))


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
        [
            without_brackets(each) if database.is_sqlite else each.replace(" ON ONLY ", " ON ")
            for each in indexes
        ],
        counts,
    )


def without_brackets(definition: str) -> str:
    """SQLite keeps each index as it was written; PostgreSQL writes it anew, and shows if brackets say another thing."""
    return " ".join(definition.translate(str.maketrans("()", "  ")).split())


@pytest.mark.postgres
def test_on_postgresql_each_unique_key_of_an_accounts_table_has_the_bucket(migrated_postgres: str) -> None:
    columns = text("""
        select relname, indexrelid::regclass::text, array_agg(attname::text) from pg_index
        join pg_class on pg_class.oid = indrelid
        join pg_attribute on attrelid = indrelid and attnum = any(indkey)
        where indisunique group by 1, 2
    """)
    database = Database(migrated_postgres)
    with database.read() as connection:
        keys = [row for row in connection.execute(columns) if row[0] in OF_ACCOUNTS]
    database.close()
    assert {table for table, _, _ in keys} == OF_ACCOUNTS
    assert [index for _, index, names in keys if BUCKET not in names] == []


def test_all_tables_are_known_to_the_migrations() -> None:
    before = set(tables.metadata.tables)
    modules()  # imports all
    assert set(metadata.tables) == before


def test_the_newest_revision_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", "migrations")
    assert ScriptDirectory.from_config(config).get_heads() == [newest()]


@ON_SQLITE
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
