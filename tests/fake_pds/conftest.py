"""The fake and the real PDS of the contract suite, each also with its rate limits on."""

from collections.abc import AsyncIterator, Iterator

import pytest

from devpds.server import DevPds, DevPlc
from tests.fake_pds.contract import Door, FakeDoor, Person, RealDoor
from tests.servers.atproto import CHEAP

BOTH = ["fake", pytest.param("real", marks=pytest.mark.pds)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=BOTH)
async def door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """A PDS without limits."""
    async with _door(request, "pds", limited=False) as made:
        yield made


@pytest.fixture
def person(door: Door) -> Person:
    """An account of this test alone."""
    return door.person()


@pytest.fixture(scope="session")
def limited_pds(plc: DevPlc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevPds]:
    """The real PDS with its limits on, which can't be made smaller."""
    env = {**CHEAP, "PDS_RATE_LIMITS_ENABLED": "true"}
    with DevPds(plc, tmp_path_factory.mktemp("limited-pds"), env=env) as server:
        yield server


@pytest.fixture(params=BOTH)
async def limited_door(request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """A PDS with limits."""
    async with _door(request, "limited_pds", limited=True) as made:
        yield made


def _door(request: pytest.FixtureRequest, real: str, *, limited: bool) -> Door:
    if request.param == "fake":
        return FakeDoor(limited=limited)
    server: DevPds = request.getfixturevalue(real)
    server.plc.start()
    server.start()  # another test may have stopped it
    return RealDoor(server)
