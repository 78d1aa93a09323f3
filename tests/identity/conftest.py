"""Our tables on both databases, and what to sign in with."""

from datetime import UTC, datetime, timedelta

import pytest

from aggregates.accounts.account import Account
from eventstore.change import Envelope
from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import metadata, stored_event
from eventstore.streams.snapshots import aggregate_snapshot
from identity.accounts.accounts import account
from identity.accounts.credentials import credential
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import pds_session
from projections.profiles import profiles
from tests.identity.sessions.fake_pds import FakePds
from tests.identity.sessions.session_rig import new_sessions, store_session

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
    tables = [account, credential, pds_session, stored_event, aggregate_snapshot, profiles]
    metadata.create_all(database.engine, tables=tables)
    yield database
    database.close()


@pytest.fixture
def log(database):
    return EventLog(database)


def by(did):
    return Envelope(did, "test", "request")


def noted(database, did):
    """The types of an account's events after its first."""
    log = EventLog(database)
    with database.read() as connection:
        events = [each.event for each in log.stream(connection, did, Account.create_id(did))]
    return [type(event).__name__ for event in events[1:]]


@pytest.fixture
def cipher():
    return Cipher([KEY])


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


@pytest.fixture
def fake():
    return FakePds()


@pytest.fixture
def sessions_at(database, cipher, hooks, clock):
    """Make the sessions of an account that has just signed in at a PDS which answers so, with the tokens of `fake`."""

    def made(answer, fake=None):
        sessions = new_sessions(database, cipher, hooks, answer)
        store_session(database, sessions, fake or FakePds(), clock)
        hooks.calls.clear()
        return sessions

    return made


@pytest.fixture
def sessions(sessions_at, fake):
    return sessions_at(fake, fake)
