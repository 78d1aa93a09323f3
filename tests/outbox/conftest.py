"""The rig of the outbox's tests, on both databases."""

from collections.abc import AsyncIterator

import pytest

from devpds.server import DevPds
from eventstore.database import Database
from eventstore.schema import metadata
from tests.outbox.rig import Rig, rig_on
from tests.servers.atproto import PdsAccount


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def rig(database_url: str, pds: DevPds, pds_account: PdsAccount) -> AsyncIterator[Rig]:
    database = Database(database_url)
    with database.write() as connection:
        metadata.create_all(connection)
    database.close()
    async with rig_on(database_url, pds, pds_account) as made:
        yield made
