"""A real PDS behind a fault proxy."""

from collections.abc import Iterator

import pytest

from devpds.ports import free_port
from devpds.server import DevPds, DevPlc
from tests.faults.proxy import FaultProxy
from tests.servers.atproto import CHEAP, PdsAccount, new_account


@pytest.fixture(scope="session")
def proxied_pds(plc: DevPlc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevPds]:
    with DevPds(plc, tmp_path_factory.mktemp("proxied-pds"), behind=free_port(), env=CHEAP) as server:
        yield server


@pytest.fixture(scope="session")
def standing_proxy(proxied_pds: DevPds) -> Iterator[FaultProxy]:
    """The proxy, whatever the test before did to it."""
    with FaultProxy(proxied_pds.port, proxied_pds.public_port) as proxy:
        yield proxy


@pytest.fixture
def proxy(standing_proxy: FaultProxy) -> Iterator[FaultProxy]:
    standing_proxy.heal()
    standing_proxy.seen.clear()
    yield standing_proxy
    standing_proxy.heal()


@pytest.fixture
def proxied_account(proxied_pds: DevPds, plc: DevPlc) -> PdsAccount:
    return new_account(proxied_pds, plc)
