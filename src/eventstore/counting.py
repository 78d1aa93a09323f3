"""Counts for screens, which read no more than MAX_COUNTED rows: what waits may be very much, and few want to know how much exactly."""

from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

MAX_COUNTED: Final = 10_000


def count_up_to_limit(connection: Connection, query: Select[Any]) -> int:
    """Count the rows of the query; MAX_COUNTED stands for as many or more."""
    return connection.scalar(select(func.count()).select_from(query.limit(MAX_COUNTED).subquery())) or 0
