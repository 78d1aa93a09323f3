"""Records every statement of an engine: SQLAlchemy's own, and those that eventstore/prepared.py gives to the driver."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

from psycopg.pq import Trace
from sqlalchemy import Engine, event

from eventstore import prepared


@contextmanager
def recorded_statements(engine: Engine) -> Iterator[list[str]]:
    """Yield the list that grows with each statement inside, BEGIN and COMMIT aside."""
    seen: list[str] = []
    execute = prepared._execute  # noqa: SLF001 - the one door to the driver

    def listen(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    def through_the_door(connection: Any, sql: str, values: Any, **how: Any) -> Any:
        if connection.engine is engine:
            seen.append(sql)
        return execute(connection, sql, values, **how)

    event.listen(engine, "before_cursor_execute", listen)
    try:
        with patch.object(prepared, "_execute", through_the_door):
            yield seen
    finally:
        event.remove(engine, "before_cursor_execute", listen)


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
