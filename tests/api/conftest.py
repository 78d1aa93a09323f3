"""The service in this process, on both databases."""

import asyncio
from functools import cache

import pytest

from eventstore.streams.codec import Codec
from identity.accounts.credentials import Scope
from service.config.settings import Settings
from tests.api.client import TestClient
from tests.api.world import World, did_of

ADMIN = "did:plc:" + "admin".ljust(24, "a")


@cache
def common_settings():
    """Make what the settings of these worlds have in common: to read them costs a third of building the service."""
    return Settings(
        max_upload_bytes=200_000,
        admin_dids=(ADMIN,),
        operator_dids=(did_of("operator"),),
        rate_limits=False,
    )


@pytest.fixture
def world(tmp_path, migrated_url):
    data = tmp_path / "data"
    own = {"data": data, "database_url": migrated_url, "media": f"disk:{data}/media"}
    made = World(common_settings().model_copy(update=own))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def client(world):
    with TestClient(world.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def decoded(monkeypatch):
    """The stored events that were decoded since the test began."""
    seen, decode = [], Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda codec, stored: seen.append(stored) or decode(codec, stored))
    return seen


@pytest.fixture
def alice(world):
    return world.sign_in("alice")


@pytest.fixture
def bob(world):
    return world.sign_in("bob")


@pytest.fixture
def admin(world):
    return world.sign_in("admin", scope=Scope.ADMIN)


@pytest.fixture
def operator(world):
    return world.sign_in("operator", scope=Scope.OPERATOR)
