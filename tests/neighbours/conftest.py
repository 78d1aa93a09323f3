"""The service in this process, with two artists, and a database in memory."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import pytest

from service.config.settings import PREFIX, Settings
from tests.api.world import World
from tests.simulation.memory_database import memory_database
from tests.simulation.virtual_time import VirtualLoop


@pytest.fixture
def world(tmp_path, migrated_sqlite, monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    made = World(Settings(data=tmp_path / "data", database_url=migrated_sqlite))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def alice(world):
    return world.sign_in("alice")


@pytest.fixture
def bob(world):
    return world.sign_in("bob")


@pytest.fixture
def loop():
    made = VirtualLoop()
    yield made
    made.end()


@pytest.fixture
def database(loop):
    return memory_database(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=loop.time()))
