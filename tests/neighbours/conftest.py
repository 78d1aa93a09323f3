"""A relay with a PDS in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.outbox.rigs.relay_rig import Rig, memory_rig_on


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[Rig]:
    """A relay and a PDS in memory."""
    async with memory_rig_on(migrated_url) as made:
        yield made
