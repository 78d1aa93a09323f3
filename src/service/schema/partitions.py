"""Divides the tables that grow with the accounts into parts by bucket, so that a vacuum or a restore handles one part at a time."""

import time
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from aggregates.errors import ServiceError
from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from eventstore.streams.append import lock_log
from eventstore.streams.buckets import (
    BUCKET,
    CONSTRAINTS,
    INDEXES,
    PARTS,
    create_statistics,
    did_column,
    divided,
)

TABLES: Final = (
    "stored_event",
    "history",
    "delivery_attempt",
    "mirror_target",
    "mirror_lane",
    "blob_job",
    "job",
    "job_turn",
    "tracks",
    "track_tags",
    "media_references",
    "public_audio",
)
"""Nearly all bytes are theirs, or polls read them."""

LEAVE_SECONDS: Final = 2
_OTHERS: Final = sa.text(
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and pid <> pg_backend_pid() and backend_type = 'client backend' and application_name not like 'citus%'"
)
_SEQUENCE: Final = sa.text("select pg_get_serial_sequence(:table, :column)")


class NoPartitionsError(ServiceError):
    """SQLite has no partitions: they are for PostgreSQL."""


@dataclass(eq=False)
class DatabaseInUseError(ServiceError):
    """{connections} other connections use the database: end its processes, and run this again; it goes on where it was."""

    connections: int


@dataclass(eq=False)
class OtherPartsError(ServiceError):
    """{table} has {parts} parts: for another number, export and import into an empty database that has it. Nothing was changed."""

    table: str
    parts: int


def parts_of(database: Database) -> dict[str, int]:
    """Return how many parts each table has, 0 of one that is whole; raises NoPartitionsError."""
    if database.is_sqlite:
        raise NoPartitionsError
    with database.read() as connection:
        return {table: connection.scalar(PARTS, {"table": table}) or 0 for table in TABLES}


def partition(database: Database, parts: int) -> list[str]:
    """Divide the tables that are whole, each in one transaction, and return them.

    Raises NoPartitionsError, DatabaseInUseError and OtherPartsError.
    """
    found = parts_of(database)
    for table, there in found.items():
        if there not in {0, parts}:
            raise OtherPartsError(table, there)
    whole = [table for table, there in found.items() if there == 0]
    for table in whole:
        with database.write() as connection:
            require_alone(connection)
            lock_log(connection)
            divide_table(connection, table, parts)
    return whole


def require_alone(connection: sa.Connection) -> None:
    """Raise DatabaseInUseError where there are other connections; those of processes that have just ended take a moment to go."""
    for _ in range(LEAVE_SECONDS * 10):
        if not connection.scalar(_OTHERS):
            return
        time.sleep(0.1)
        connection.execute(sa.select(sa.func.pg_stat_clear_snapshot()))  # it stays the same in a transaction
    if others := connection.scalar(_OTHERS):
        raise DatabaseInUseError(others)


def divide_table(connection: sa.Connection, table: str, parts: int) -> None:
    old, this = f"{table}_whole", {"table": table}
    constraints = connection.execute(CONSTRAINTS, this).all()
    indexes = connection.execute(INDEXES, this).all()
    columns = [each.name for each in metadata.tables[table].columns]
    counters = {each: connection.scalar(_SEQUENCE, {**this, "column": each}) for each in columns}
    run = connection.exec_driver_sql
    run(f"alter table {table} rename to {old}")
    for name, _ in constraints:
        run(f"alter table {old} drop constraint {name}")
    for name, _, _ in indexes:
        run(f"drop index {name}")
    run(f"create table {table} (like {old} including defaults) partition by range ({BUCKET})")
    for number, part in enumerate(divided(parts)):
        bounds = f"from ({part.start}) to ({part.stop})"
        run(f"create table {table}_{number:04} partition of {table} for values {bounds}")
    run(f"insert into {table} select * from {old}")  # noqa: S608
    for name, definition in constraints:
        run(f"alter table {table} add constraint {name} {definition}")
    for _, definition, _ in indexes:
        run(definition.replace("%", "%%"))
    for column, sequence in counters.items():
        if sequence is not None:
            run(f"alter sequence {sequence} owned by {table}.{column}")
    run(f"drop table {old}")
    for number in range(parts):  # a statement about one account is planned by those of its part
        create_statistics(connection, f"{table}_{number:04}", did_column(metadata.tables[table]))
    run(f"analyze {table}")
