"""Concurrent work in tests: every wait is bounded, every error comes out."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import text

from eventstore.sql.database import Database

DEADLINE = 60.0


def together(*works: Callable[[], object], within: float = DEADLINE) -> None:
    """Run all at once; raise what any of them raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(within)


def lock_waits(database: Database) -> int:
    """How many transactions wait for an advisory lock, seen from outside of all of them."""
    waiting = """
        select count(*) from pg_locks join pg_database on pg_database.oid = database
        where locktype = 'advisory' and not granted and datname = current_database()
    """
    with database.engine.connect() as connection:
        count: int = connection.execute(text(waiting)).scalar_one()
        return count
