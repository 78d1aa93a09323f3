"""A log with one read model, once on each database."""

from collections.abc import Iterator

import pytest
from sqlalchemy import MetaData

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import projection_state, stored_event, track_id_sequence
from eventstore.streams.ids import id_boundary
from eventstore.streams.snapshots import aggregate_snapshot
from tests.eventstore.counter import Totals


def create_tables(database: Database, *others: MetaData) -> None:
    log_tables = [stored_event, projection_state, track_id_sequence, id_boundary, aggregate_snapshot]
    stored_event.metadata.create_all(database.engine, tables=log_tables)
    for metadata in others:
        metadata.create_all(database.engine)


@pytest.fixture
def totals() -> Totals:
    return Totals(MetaData())


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def postgres(fresh_postgres: str) -> Iterator[Database]:
    """PostgreSQL only: what SQLite's single writer makes impossible."""
    database = Database(fresh_postgres)
    create_tables(database)
    yield database
    database.close()


@pytest.fixture
def log(database: Database, totals: Totals) -> EventLog:
    totals.table.metadata.create_all(database.engine)
    return EventLog(database, projections=[totals])
