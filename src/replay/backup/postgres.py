"""Dumps the tables of PostgreSQL to files and loads them, by COPY: no program of PostgreSQL is needed."""

import gzip
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from psycopg import sql
from sqlalchemy import Connection, Table, text

from eventstore.database import Database
from replay.backup.manifest import DumpedTable, Manifest
from replay.errors import DatabaseInUseError

if TYPE_CHECKING:
    import psycopg

COMPRESSION: Final = 1
"""Of gzip: the fastest."""
CHUNK_BYTES: Final = 2**20
_SEQUENCES: Final = text(
    "select sequencename, last_value from pg_sequences where schemaname = current_schema() and last_value is not null"
)
_OTHERS: Final = text(
    "select count(*) from pg_stat_activity where datname = current_database() and usename = current_user"
    " and backend_type = 'client backend' and pid != pg_backend_pid()"
)
Upgrade = Callable[[Database, str], None]
"""Creates or upgrades the schema, up to a revision."""


def dump_tables(connection: Connection, tables: Iterable[Table], folder: Path) -> Sequence[DumpedTable]:
    """Write the rows of each table in the snapshot of the connection."""
    dumped = []
    for each in tables:
        table = DumpedTable(each.name, [column.name for column in each.columns])
        dumped.append(table)
        (folder / table.file).parent.mkdir(exist_ok=True)
        with (
            gzip.open(folder / table.file, "wb", COMPRESSION) as file,
            _cursor(connection).copy(_copy("copy {} ({}) to stdout", table)) as copy,
        ):
            for rows in copy:
                file.write(rows)
    return dumped


def read_sequences(connection: Connection) -> dict[str, int]:
    """Return the newest number of each sequence. Read it after the tables: sequences are in no snapshot."""
    return {row.sequencename: row.last_value for row in connection.execute(_SEQUENCES)}


def load_tables(
    database: Database, folder: Path, manifest: Manifest, replaced: Iterable[str], upgrade: Upgrade
) -> None:
    """Put the tables in place of those called `replaced`, in one transaction. A process that is still connected is an error."""
    names = {*replaced, *(table.name for table in manifest.tables)}
    with database.write() as connection:
        if others := connection.scalar(_OTHERS):
            raise DatabaseInUseError(f"{others} other connections of its role are open")
        cursor = _cursor(connection)
        for name in names:
            cursor.execute(sql.SQL("drop table if exists {} cascade").format(sql.Identifier(name)))
        upgrade(database, manifest.schema)
        # some revisions insert rows
        every = sql.SQL(", ").join(sql.Identifier(table.name) for table in manifest.tables)
        cursor.execute(sql.SQL("truncate {}").format(every))
        for table in manifest.tables:
            with (
                gzip.open(folder / table.file, "rb") as file,
                cursor.copy(_copy("copy {} ({}) from stdin", table)) as copy,
            ):
                while rows := file.read(CHUNK_BYTES):
                    copy.write(rows)
        for name, value in manifest.sequences.items():
            cursor.execute("select setval(quote_ident(%s)::regclass, %s)", (name, value))
        upgrade(database, "head")


def _cursor(connection: Connection) -> "psycopg.Cursor[Any]":
    driver = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
    return driver.cursor()


def _copy(statement: Any, table: DumpedTable) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return sql.SQL(statement).format(sql.Identifier(table.name), columns)
