"""A log with the read models, once on each database."""

from collections.abc import Iterator

import pytest

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from tests.projections.track_log import create_tables, track_log


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    database = Database(database_url)
    create_tables(database)
    yield track_log(database)
    database.close()
