"""Records every statement of an engine: SQLAlchemy's own, and those that eventstore/prepared.py gives to the driver."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

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
