"""Two accounts."""

from collections.abc import Iterator
from typing import Any

import pytest

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from service.observability.subscribers import PROJECTIONS
from storage.media import Media
from storage.stores.disk import DiskStore
from tests.application.lists.account import Account
from tests.dsl import BOB


@pytest.fixture
def log(migrated_url: str) -> Iterator[EventLog]:
    database = Database(migrated_url)
    yield EventLog(database, projections=PROJECTIONS)
    database.close()


@pytest.fixture
def alice(log: EventLog, tmp_path: Any) -> Account:
    return Account(log, Media(log.database, DiskStore(tmp_path / "media")))


@pytest.fixture
def bob(alice: Account) -> Account:
    return Account(alice.log, alice.media, BOB)
