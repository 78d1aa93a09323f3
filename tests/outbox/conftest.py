"""The rig of the outbox's tests, on each kind of database."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from devpds.server import DevPds
from eventstore.coordination import due_parts
from eventstore.sql.database import Database
from outbox.relay import relay
from tests.outbox.rigs.kinds import any_kind, each, each_desk
from tests.outbox.rigs.relay_rig import FOR_EVER, Clock, Rig, memory_rig_on, rig_on
from tests.outbox.rigs.working_relay import WorkingRelay
from tests.servers.atproto import PdsAccount

__all__ = ["any_kind", "each", "each_desk"]


@pytest.fixture
async def rig(migrated_url: str, pds: DevPds, pds_account: PdsAccount) -> AsyncIterator[Rig]:
    async with rig_on(migrated_url, pds, pds_account) as made:
        yield made


@pytest.fixture
async def desk(migrated_url: str) -> AsyncIterator[Rig]:
    """A relay and a PDS in memory: for what the relay does by itself."""
    async with memory_rig_on(migrated_url) as made:
        yield made


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.pds)])
async def one(request: pytest.FixtureRequest, migrated_url: str) -> AsyncIterator[Rig]:
    if request.param == "memory":
        rig = memory_rig_on(migrated_url)
    else:
        rig = rig_on(migrated_url, request.getfixturevalue("pds"), request.getfixturevalue("pds_account"))
    async with rig as made:
        yield made


@pytest.fixture
def _never_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that does not look by itself, and is not woken each minute."""
    monkeypatch.setattr(due_parts, "IDLE_SECONDS", FOR_EVER)
    monkeypatch.setattr(relay, "BUSY_POLL_SECONDS", FOR_EVER)
    monkeypatch.setattr(WorkingRelay, "_tend", lambda _: asyncio.Event().wait())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(migrated_url: str, clock: Clock) -> Iterator[Database]:
    made = Database(migrated_url, clock=clock)
    yield made
    made.close()


@pytest.fixture
def postgres(migrated_postgres: str) -> Iterator[Database]:
    made = Database(migrated_postgres)
    yield made
    made.close()
