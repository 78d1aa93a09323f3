"""The service, a relay and a database of their own, on SQLite and on Citus where there is one; TEST_DEEP adds PostgreSQL."""

import asyncio
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from service.config.settings import Settings
from tests.api.conftest import alice, bob
from tests.api.world import World
from tests.outbox.conftest import desk as rig
from tests.servers.databases import AND_CITUS, KINDS
from tests.simulation.memory_database import memory_database
from tests.simulation.virtual_time import VirtualLoop

__all__ = ["alice", "bob", "rig"]


@pytest.fixture(params=[*(KINDS if os.environ.get("TEST_DEEP") else KINDS[:1]), *AND_CITUS])
def migrated_url(request):
    return str(request.getfixturevalue(f"migrated_{request.param}"))


@pytest.fixture
def world(tmp_path, migrated_url):
    made = World(Settings(data=tmp_path / "data", database_url=migrated_url, rate_limits=False))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.end()


@pytest.fixture
def database(loop):
    return memory_database(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=loop.time()))


@pytest.fixture
def go_on():
    made = threading.Event()
    yield made
    made.set()
