"""A rig with lists, whose PDS is in memory."""

from collections.abc import AsyncIterator

import pytest

from tests.outbox.rigs.list_rigs import ReferenceRig
from tests.outbox.rigs.relay_rig import memory_rig_on


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[ReferenceRig]:
    async with memory_rig_on(migrated_url, ReferenceRig) as made:
        yield made
