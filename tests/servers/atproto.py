"""A real PLC directory and a real PDS, and accounts on it."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from devpds.server import DevPds, DevPlc

CHEAP = {"DEVPDS_CHEAP_PASSWORDS": "true"}
"""Hashing passwords at full cost would take longer than the rest of a test."""


@dataclass(frozen=True)
class PdsAccount:
    did: str
    handle: str
    password: str
    app_password: str


@pytest.fixture(scope="session")
def plc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevPlc]:
    with DevPlc(tmp_path_factory.mktemp("plc")) as server:
        yield server


@pytest.fixture(scope="session")
def pds(plc: DevPlc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevPds]:
    """The PDS; a test may stop or kill it, and `pds_account` starts it again for the next."""
    with DevPds(plc, tmp_path_factory.mktemp("pds"), env=CHEAP) as server:
        yield server


@pytest.fixture
def pds_account(pds: DevPds, plc: DevPlc) -> PdsAccount:
    return new_account(pds, plc)


def new_account(pds: DevPds, plc: DevPlc) -> PdsAccount:
    plc.start()
    pds.start()
    handle, password = f"u{secrets.token_hex(6)}.test", secrets.token_hex(8)
    did = pds.create_account(handle, password)
    return PdsAccount(did, handle, password, pds.create_app_password(did))
