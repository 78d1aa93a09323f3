"""The reference of a save: the event-sourcing library's own application, on its own recorders, as it comes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import Transcoder
from sqlalchemy import make_url

from eventstore.sql.database import Database
from eventstore.streams.codec import json_transcoder


class Stock(Application[UUID]):
    """Saves our tracks in the library's own table; it keeps nothing else."""

    def construct_transcoder(self) -> Transcoder:
        return json_transcoder()


@contextmanager
def stock_on(database: Database, folder: Path) -> Iterator[Stock]:
    """Yield the library's application on a file beside the SQLite file, or in the same PostgreSQL database."""
    with closing(Stock(env=_sqlite(folder) if database.is_sqlite else _postgres(database.url))) as stock:
        yield stock


def _sqlite(folder: Path) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(folder / "stock.db"),
        "SQLITE_LOCK_TIMEOUT": "60",
    }


def _postgres(url: str) -> dict[str, Any]:
    parsed = make_url(url)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parsed.database,
        "POSTGRES_HOST": parsed.host or parsed.query["host"],
        "POSTGRES_PORT": str(parsed.port or 5432),
        "POSTGRES_USER": parsed.username,
        "POSTGRES_PASSWORD": parsed.password or "",
        "POSTGRES_MAX_OVERFLOW": "40",
    }
