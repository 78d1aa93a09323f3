"""Our tables on both databases, and what to sign in with."""

from datetime import UTC, datetime, timedelta

import pytest

from eventstore.database import Database
from eventstore.schema import metadata
from identity.accounts import account
from identity.credentials import credential
from identity.seal import Seal
from identity.session_rows import pds_session

KEY = "a secret that only this test knows, k1"


class Clock:
    def __init__(self):
        self.now = datetime.now(UTC)

    def __call__(self):
        return self.now

    def advance(self, **by):
        self.now += timedelta(**by)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(database_url, clock):
    database = Database(database_url, clock=clock)
    metadata.create_all(database.engine, tables=[account, credential, pds_session])
    yield database
    database.close()


@pytest.fixture
def seal():
    return Seal([KEY])


class Hooks:
    """What the composition root would wire to the outbox."""

    def __init__(self):
        self.calls = []
        self.park = lambda *_: None

    def on_reauth(self, connection, did):
        assert connection.in_transaction()
        self.calls.append(("reauth", did))
        self.park(connection, did)

    def on_signed_in(self, connection, did, pds_url):
        assert connection.in_transaction()
        self.calls.append(("signed_in", did, pds_url))


@pytest.fixture
def hooks():
    return Hooks()
