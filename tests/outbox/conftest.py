"""The rig of the outbox's tests, on both databases."""

from collections.abc import AsyncIterator

import pytest

from devpds.server import DevPds
from tests.outbox.rig import Rig, memory_rig_on, rig_on
from tests.servers.atproto import PdsAccount


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(migrated_url: str, pds: DevPds, pds_account: PdsAccount) -> AsyncIterator[Rig]:
    """A relay and a real PDS."""
    async with rig_on(migrated_url, pds, pds_account) as made:
        yield made


@pytest.fixture
async def desk(migrated_url: str) -> AsyncIterator[Rig]:
    """A relay and a PDS in memory: for what the relay does by itself."""
    async with memory_rig_on(migrated_url) as made:
        yield made
