"""The service in this process, on SQLite: what is shared here are threads, not rows."""

import asyncio

import pytest

from service.config.settings import Settings
from tests.api.world import World


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def migrated_url(migrated_sqlite):
    return migrated_sqlite


@pytest.fixture
def world(tmp_path, migrated_url):
    made = World(Settings(data=tmp_path / "data", database_url=migrated_url, rate_limits=False))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def alice(world):
    return world.sign_in("alice")


@pytest.fixture
def bob(world):
    return world.sign_in("bob")
