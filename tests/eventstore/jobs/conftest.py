from collections.abc import Iterator

import pytest

from eventstore.sql.database import Database
from tests.eventstore.jobs.rig import Rig, Time


@pytest.fixture
def rig(migrated_url: str) -> Iterator[Rig]:
    time = Time()
    database = Database(migrated_url, clock=time)
    yield Rig(database, time)
    database.close()
