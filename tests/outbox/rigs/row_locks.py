"""Row locks, and those of hosts: hold one, and count the transactions that wait for one of a row."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Table, select, text

from eventstore.sql.database import Database
from outbox.mirror.lanes import lock_host


@contextmanager
def locked(database: Database, table: Table, which: ColumnElement[bool]) -> Iterator[None]:
    with database.engine.connect() as stopped, stopped.begin():
        assert stopped.execute(select(table).where(which).with_for_update()).all()
        yield


@contextmanager
def locked_host(database: Database, host: str) -> Iterator[None]:
    with database.engine.connect() as stopped, stopped.begin():
        lock_host(stopped, host)
        yield


def row_lock_waits(database: Database) -> int:
    waiting = """
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'transactionid'
    """
    with database.engine.connect() as connection:
        count: int = connection.execute(text(waiting)).scalar_one()
        return count
