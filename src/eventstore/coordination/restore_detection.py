"""Detects that the database was restored to an earlier point, and keeps positions and track ids from being issued twice.

Until `mastertape recovered` was run, nothing is sent to a PDS. A restore is detected

1. on PostgreSQL by every new connection: a point-in-time recovery or a promotion starts a new timeline, another cluster has
   another identifier, and a loaded dump has tables with other ids;
2. on Citus of each worker as well, and once more each second in which a relay claims: one may be put back alone;
3. on SQLite by comparison with the newest position ever seen, which is kept outside of the file.
"""

import logging
import time
from contextlib import closing
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ProgrammingError

from eventstore.jobs.table import job
from eventstore.sql.database import IS_SAME_SERVER, Database
from eventstore.sql.schema import Position, UtcDateTime, metadata, stored_event, track_id_sequence
from eventstore.streams.append import upsert

if TYPE_CHECKING:
    import psycopg

log_incarnation: Final = sa.Table(
    "log_incarnation",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("identity", sa.Text, nullable=False),
    sa.Column("issued_up_to", Position, nullable=False, server_default=sa.text("0")),
    sa.Column("restored_because", sa.Text),  # none unless a restore waits for `mastertape recovered`
    sa.Column("noticed_at", UtcDateTime),
    sa.Column("recovered_at", UtcDateTime),
)
POSITIONS_SKIPPED: Final = 1_000_000_000
"""More events than any log gets between a backup and its loss: 100 a second, day and night, for 115 days."""
TRACK_IDS_SKIPPED: Final = 1_000_000
"""Numbers of the sequence, each of which makes one id."""
JOB_IDS_SKIPPED: Final = 1_000_000
COMPARE_SECONDS: Final = 1.0
UNKNOWN: Final = "-"
UNDEFINED_COLUMN: Final = "42703"
PARTS: Final = ("cluster", "timeline", "database", "table of events")
_WHERE: Final = """
    (select oid from pg_database where datname = current_database()) || ' ' || 'stored_event'::regclass::oid"""
_HAS_CITUS: Final = "to_regclass('pg_dist_node') is not null"
_IDENTITY: Final = f"""
    select (select system_identifier from pg_control_system()) || ' ' ||
        substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || ' ' || {_WHERE}, {_HAS_CITUS}"""  # noqa: S608
_LAST_ISSUED: Final = sa.text(
    "select case when is_called then last_value else 0 end from stored_event_position_seq"
)
_WORKERS: Final = """
    select coalesce(string_agg(concat(' ', nodeid, ':', case when success then result else '-' end), '' order by nodeid), '')
    from run_command_on_workers($$
        select (select system_identifier from pg_control_system()) || ':' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
            || ':' || (select oid from pg_database where datname = current_database())
    $$) join pg_dist_node using (nodename, nodeport)"""
"""Where one does not answer, or has no rights, it is skipped."""
_IDENTITY_AS_FAR_AS_ALLOWED: Final = f"select '{UNKNOWN} {UNKNOWN} ' || {_WHERE}, {_HAS_CITUS}"

logger: Final = logging.getLogger("mastertape.eventstore")
row: Final = log_incarnation.c


def detect_on_connect(database: Database) -> None:
    """Make every new connection to PostgreSQL compare the server's identity with the recorded one."""
    if database.is_sqlite:
        return

    def compare(driver: "psycopg.Connection[Any]", record: Any) -> None:
        if (identity := _compare(database.url, driver)) is not None:
            record.info[IS_SAME_SERVER] = partial(_is_server, identity.split()[: len(PARTS)])

    event.listen(database.engine, "connect", compare)


class Workers:
    """Compares the workers of Citus as a new connection does, once in COMPARE_SECONDS at most."""

    def __init__(self, database: Database) -> None:
        self._database: Final = database
        self._compared_at = -inf
        self.are_any = not database.is_sqlite

    def compare(self) -> None:
        """Mark the database as restored where a worker was put back."""
        if not self.are_any or time.monotonic() < self._compared_at + COMPARE_SECONDS:
            return
        self._compared_at = time.monotonic()
        with self._database.read_committed() as connection:
            identity = _compare(self._database.url, connection.connection.driver_connection)
        self.are_any = identity is not None and len(identity.split()) > len(PARTS)


def _compare(url: str, driver: Any) -> str | None:
    identity, known = _read(driver)
    if identity is not None and (known is None or _merged(known, identity) != known):
        try:
            _record_identity(url, identity)
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != UNDEFINED_COLUMN:
                raise
            # an older schema: the next connection after `mastertape migrate` compares again
    return identity


def _is_server(identity: list[str], connection: sa.Connection) -> bool:
    query = _IDENTITY_AS_FAR_AS_ALLOWED if UNKNOWN in identity else _IDENTITY
    return bool(connection.scalar(sa.text(query)) == " ".join(identity))


def compare_with_seen(database: Database, seen: int) -> None:
    """Mark the database as restored where the log ends before `seen`, the newest position ever seen in it."""
    with database.write() as connection:
        known = _known(connection, "")
        if max(newest_position(connection), known.issued_up_to) < seen:
            mark_restored(database, ends_before(newest_position(connection), seen))


def mark_restored(database: Database, because: str) -> None:
    logger.critical("database_restored", extra={"reason": because})
    with database.write() as connection:
        _known(connection, "")
        base = newest_issued(connection) + POSITIONS_SKIPPED
        skip_numbers(connection, stored_event.c.position, POSITIONS_SKIPPED)
        skip_numbers(connection, track_id_sequence.c.id, TRACK_IDS_SKIPPED)
        skip_numbers(
            connection, job.c.id, JOB_IDS_SKIPPED
        )  # a worker that lived on settles no job of another
        noticed = {"restored_because": because, "noticed_at": database.now(connection), "issued_up_to": base}
        connection.execute(sa.update(log_incarnation).values(noticed))


def ends_before(newest: int, seen: int) -> str:
    return f"the log ends at position {newest}, and {seen} was seen in it"


def newest_position(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.max(stored_event.c.position))) or 0


def last_issued(connection: sa.Connection) -> int:
    """Return the position that PostgreSQL issued last; after a crash it may be ahead of the log by some."""
    issued: int = connection.scalar(_LAST_ISSUED)
    return issued


def newest_issued(connection: sa.Connection) -> int:
    """Return the highest position that may have been issued, before any restore too."""
    return max(newest_position(connection), connection.scalar(sa.select(row.issued_up_to)) or 0)


def newest_before_restore(connection: sa.Connection) -> int:
    """Return the highest position that may have been issued before the restore that waits, if one does."""
    issued = connection.scalar(sa.select(row.issued_up_to).where(is_restored()))
    return newest_issued(connection) if issued is None else issued - POSITIONS_SKIPPED


def restored_because(connection: sa.Connection) -> str | None:
    """Return why the database counts as restored; None once it was recovered."""
    return connection.scalar(sa.select(row.restored_because))


def is_restored() -> sa.ColumnElement[bool]:
    """Return a condition: a restore waits for `mastertape recovered`."""
    return sa.exists(sa.select(row.id).where(row.restored_because.is_not(None)))


def unless_restored(*_: object) -> sa.ColumnElement[bool]:
    """Return the condition of jobs that wait then."""
    return ~is_restored()


def mark_recovered(connection: sa.Connection, database: Database) -> None:
    recovered = {"restored_because": None, "recovered_at": database.now(connection)}
    connection.execute(sa.update(log_incarnation).values(recovered))


def _read(driver: "psycopg.Connection[Any]") -> tuple[str | None, str | None]:
    """Return the server's identity and the one that the log recorded; None where there is no log yet."""
    import psycopg  # noqa: PLC0415 - takes long to load, and SQLite does without

    for query in (_IDENTITY, _IDENTITY_AS_FAR_AS_ALLOWED):
        try:
            with driver.transaction():
                identity = driver.execute(query).fetchone()
                known = driver.execute("select identity from log_incarnation").fetchone()
                workers = driver.execute(_WORKERS).fetchone() if identity and identity[1] else None
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.UndefinedTable):
                break
        else:
            found = identity[0] + (workers[0] if workers else "") if identity else None
            return found, (known[0] if known else None)
    return None, None


def _parts(identity: str) -> dict[str, str]:
    words = identity.split()
    workers = (word.partition(":") for word in words[len(PARTS) :])
    return dict(zip(PARTS, words, strict=False)) | {f"worker {number}": found for number, _, found in workers}


def _merged(known: str, identity: str) -> str:
    """Return the identity, with what is known of parts that it does not know."""
    before = _parts(known)
    parts = {part: before.get(part, now) if now == UNKNOWN else now for part, now in _parts(identity).items()}
    words = [now if part in PARTS else f"{part.split()[1]}:{now}" for part, now in parts.items()]
    return " ".join(words)


def _record_identity(url: str, identity: str) -> None:
    """Compare again in a transaction, on a connection that does not compare itself; record the new identity."""
    with closing(Database(url, pool_size=1)) as database, database.write() as connection:
        known = _known(connection, identity)
        before = _parts(known.identity)
        differences = [
            f"the {part} is {now}, and was {before[part]}"
            for part, now in _parts(identity).items()
            if before.get(part, now) != now and UNKNOWN not in {before[part], now}
        ]
        merged = _merged(known.identity, identity)
        if merged != known.identity:
            connection.execute(sa.update(log_incarnation).values(identity=merged))
        if differences and newest_issued(connection):  # else there was nothing to lose
            mark_restored(database, "; ".join(differences))


def _known(connection: sa.Connection, identity: str) -> Any:
    """Return the row, locked; the first caller inserts it."""
    first = upsert(connection, log_incarnation).values(id=1, identity=identity)
    connection.execute(first.on_conflict_do_nothing())
    return connection.execute(sa.select(log_incarnation).with_for_update()).one()


def skip_numbers(connection: sa.Connection, column: sa.Column[int], numbers: int) -> None:
    """Issue none of the next so many numbers of a column, behind the largest that it has."""
    table, name = column.table.name, column.name
    newest = f"(select coalesce(max({name}), 0) from {table})"  # noqa: S608
    if connection.dialect.name == "sqlite":
        counted = (
            f"select max({newest}, coalesce((select seq from sqlite_sequence where name = '{table}'), 0))"  # noqa: S608
        )
        base = connection.scalar(sa.text(counted)) + numbers
        connection.execute(sa.text("delete from sqlite_sequence where name = :table"), {"table": table})
        connection.execute(
            sa.text("insert into sqlite_sequence (name, seq) values (:table, :base)"),
            {"table": table, "base": base},
        )
        return
    sequence = f"pg_get_serial_sequence('{table}', '{name}')::regclass"
    counted = f"greatest({newest}, coalesce(pg_sequence_last_value({sequence}), 0))"
    connection.execute(sa.text(f"select setval({sequence}, {counted} + {numbers})"))
