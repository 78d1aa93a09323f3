"""The fake and the real PDS of the contract suite, each also with its rate limits on."""

from collections.abc import AsyncIterator, Iterator

import pytest

from devpds.server import DevPds, DevPlc
from tests.fake_pds.contract import ContractHost, FakeContractHost, Person, RealContractHost
from tests.servers.atproto import CHEAP

BOTH = ["fake", pytest.param("real", marks=pytest.mark.pds)]


@pytest.fixture(params=BOTH)
async def host(request: pytest.FixtureRequest) -> AsyncIterator[ContractHost]:
    async with _host(request, "pds", limited=False) as made:
        yield made


@pytest.fixture
def person(host: ContractHost) -> Person:
    return host.person()


@pytest.fixture(scope="session")
def limited_pds(plc: DevPlc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevPds]:
    """The real PDS with its limits on, which can't be made smaller."""
    env = {**CHEAP, "PDS_RATE_LIMITS_ENABLED": "true"}
    with DevPds(plc, tmp_path_factory.mktemp("limited-pds"), env=env) as server:
        yield server


@pytest.fixture(params=BOTH)
async def limited_host(request: pytest.FixtureRequest) -> AsyncIterator[ContractHost]:
    async with _host(request, "limited_pds", limited=True) as made:
        yield made


def _host(request: pytest.FixtureRequest, real: str, *, limited: bool) -> ContractHost:
    if request.param == "fake":
        return FakeContractHost(limited=limited)
    server: DevPds = request.getfixturevalue(real)
    server.plc.start()
    server.start()  # another test may have stopped it
    return RealContractHost(server)
