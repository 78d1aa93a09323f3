"""Rebuilds read models from the log, beside live traffic.

1. Replay the log page by page into scratch tables, up to a stable position.
2. Compare in a snapshot, and replay what was appended meanwhile. No writer waits for it.
3. In one transaction that locks the log: replay the rest, write what differed and still does, and what differs of the
   subjects of the events since; record the fingerprint of the code.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from eventstore.append import lock_log
from eventstore.event_log import EventLog
from eventstore.projection import Projection, write_rows
from eventstore.schema import projection_state
from projections.rebuild.difference import (
    Difference,
    Scope,
    differences_of,
    remove_surplus,
    subjects_that_differ,
    write_difference,
)
from projections.rebuild.scratch import EVENTS_PER_PAGE, Progress, ReplayWork, scratch_of


def rebuild(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Make the live rows what the log makes of them, and return by table how many differed; readers see the change in one step.

    Raises LogBusyError, PooledConnectionError, and NestedUnitError in a transaction.
    """
    with scratch_of(log, projections, ReplayWork.REBUILD, page, progress) as scratch:
        connection, tables = scratch.connection, scratch.tables
        scratch.catch_up()
        scratch.settle()
        with _snapshot(log, connection):
            differing = {table: subjects_that_differ(connection, table) for table in tables}
        scratch.catch_up()
        with _locked(connection):
            scratch.finish()
            scopes: dict[object, Scope] = {
                table: None if subjects is None else subjects | scratch.subjects[table]
                for table, subjects in differing.items()
            }
            rows = {
                table.live.name: remove_surplus(connection, table, scopes[table])
                for table in reversed(tables)
            }
            for table in tables:
                rows[table.live.name] += write_difference(connection, table, scopes[table])
            made = [{"name": each.name, "fingerprint": each.fingerprint} for each in projections]
            write_rows(connection, projection_state, made)
    return rows


def differences(
    log: EventLog,
    projections: Sequence[Projection],
    *,
    page: int = EVENTS_PER_PAGE,
    progress: Progress | None = None,
) -> list[Difference]:
    """Name every live row that is not what the log makes of it, and change nothing. No writer waits for it."""
    with scratch_of(log, projections, ReplayWork.COMPARISON, page, progress) as scratch:
        scratch.catch_up()
        scratch.settle()
        with _snapshot(log, scratch.connection):
            scratch.finish()
            return [each for table in scratch.tables for each in differences_of(scratch.connection, table)]


@contextmanager
def _locked(connection: sa.Connection) -> Generator[None]:
    # No unit of work: it refuses rows that other code made, and a rebuild exists to replace those.
    connection.execution_options(sqlite_immediate=True)
    with connection.begin():
        lock_log(connection)
        yield


@contextmanager
def _snapshot(log: EventLog, connection: sa.Connection) -> Generator[None]:
    with connection.begin():
        if not log.database.is_sqlite:
            connection.execute(sa.text("set transaction isolation level repeatable read"))
        yield
