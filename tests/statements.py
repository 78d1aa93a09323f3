"""Sees every statement of an engine: SQLAlchemy's own, and those that eventstore/sql/prepared.py gives to the driver."""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from psycopg.pq import Trace
from sqlalchemy import Engine, event, text

from eventstore.sql import prepared
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of

_PART = re.compile(r"\.bucket BETWEEN (\d+) AND (\d+)")
_SHARD = re.compile(r"\.bucket = ANY \('\{([\d,]+)\}'")


@dataclass(frozen=True)
class Statement:
    sql: str
    values: Any
    is_prepared: bool

    def plan(self, database: Database) -> list[str]:
        explained = f"{'explain query plan' if database.is_sqlite else 'explain'} {self.sql}"
        with database.write() as connection:
            if self.is_prepared:
                rows = prepared.execute(connection, explained, self.values).fetchall()
            else:
                rows = connection.exec_driver_sql(explained, self.values).all()
        return [str(row[-1]) for row in rows]


@contextmanager
def before_each_statement(engine: Engine, act: Callable[[Statement], None]) -> Iterator[None]:
    """Act before each statement inside, BEGIN and COMMIT aside; what it raises takes the statement's place."""
    execute = prepared.execute  # the one door to the driver

    def listen(_connection: Any, _cursor: Any, sql: str, values: Any, *_more: Any) -> None:
        if not sql.startswith("BEGIN"):
            act(Statement(sql, values, is_prepared=False))

    def through_the_door(connection: Any, sql: str, values: Any, **how: Any) -> Any:
        if connection.engine is engine and sql.split(maxsplit=1)[0] not in {"begin", "commit"}:
            act(Statement(sql, values, is_prepared=True))
        return execute(connection, sql, values, **how)

    event.listen(engine, "before_cursor_execute", listen)
    try:
        with patch.object(prepared, "execute", through_the_door):
            yield
    finally:
        event.remove(engine, "before_cursor_execute", listen)


@contextmanager
def recorded_statements(engine: Engine) -> Iterator[list[str]]:
    """Yield the list that grows with each statement inside, BEGIN and COMMIT aside."""
    seen: list[str] = []
    with before_each_statement(engine, lambda statement: seen.append(statement.sql)):
        yield seen


def of_one_part(seen: list[str], did: str) -> list[str]:
    """Leave out what polls have asked about parts in which the account is not."""
    bucket = bucket_of(did)
    return [
        sql
        for sql in seen
        if all(int(first) <= bucket <= int(last) for first, last in _PART.findall(sql))
        and all(str(bucket) in buckets.split(",") for buckets in _SHARD.findall(sql))
    ]


@contextmanager
def traced_round_trips(engine: Engine) -> Iterator[Callable[[], int]]:
    """Yield what counts the round trips to PostgreSQL since it was called before; a pipeline is one."""
    with tempfile.NamedTemporaryFile() as trace, Path(trace.name).open() as written:

        def begin(driver: Any, *_pooled: Any) -> None:
            driver.pgconn.trace(trace.fileno())
            driver.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)

        def end(driver: Any, _record: Any) -> None:
            driver.pgconn.untrace()

        def count() -> int:
            senders = [line[0] for line in written.read().splitlines() if line[:1] in {"F", "B"}]
            return sum(pair == ("F", "B") for pair in pairwise(senders))

        event.listen(engine, "checkout", begin)
        event.listen(engine, "checkin", end)
        try:
            yield count
        finally:
            event.remove(engine, "checkout", begin)
            event.remove(engine, "checkin", end)


@contextmanager
def remote_commands(engine: Engine) -> Iterator[list[str]]:
    """Yield the list that grows with each command inside that a coordinator of Citus sends to a worker, with the worker."""
    seen: list[str] = []

    def hear(notice: Any) -> None:
        if (notice.message_primary or "").startswith("issuing "):
            seen.append(f"{notice.message_detail}: {notice.message_primary.removeprefix('issuing ')}")

    def begin(driver: Any, _record: Any) -> None:
        driver.execute("set client_min_messages to notice; set citus.log_remote_commands to on")
        driver.commit()
        driver.add_notice_handler(hear)

    engine.dispose()
    event.listen(engine, "connect", begin)
    try:
        yield seen
    finally:
        event.remove(engine, "connect", begin)


def effort(database: Database, table: str, act: Callable[[], Any]) -> int:
    """How many rows of the table are read on PostgreSQL, how many hundreds of steps are made on SQLite."""
    with database.write() as connection:
        if not database.is_sqlite:
            read = text(
                "select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)"
                " from pg_stat_xact_user_tables where relname = :relname"
            ).bindparams(relname=table)
            before = connection.execute(read).scalar_one()
            act()
            return connection.execute(read).scalar_one() - before
        steps = []
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: steps.append(1), 100)
        act()
        driver.set_progress_handler(None, 0)
        return len(steps)
