"""Starts the service and a PDS, and edits tracks as clients do."""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.network import SlowNetwork
from bench.rounds import Seconds
from demo.media import tone
from demo.service import Client, Service
from demo.story import COLLECTION
from devpds.ports import free_port
from devpds.server import DevPds, DevPlc

WARM_UP_OPERATIONS: Final = 3
HANDLE_CHARACTERS: Final = 12
"""A PDS takes 18 before its domain, six of which make a handle new."""
DRAIN_TIMEOUT_SECONDS: Final = 120.0
NO_SETTINGS: Final[Mapping[str, str]] = {}

_numbers: Final = count(1)


@dataclass(frozen=True)
class Servers:
    """A PDS, and the folder of the services that write to it."""

    pds: DevPds
    folder: Path


@contextmanager
def start_servers(folder: Path) -> Iterator[Servers]:
    """Yield a PDS that services reach as directly as the bare loops do."""
    with DevPlc(folder / "plc") as plc, DevPds(plc, folder / "pds") as pds:
        yield Servers(pds, folder)


@contextmanager
def start_distant_servers(folder: Path) -> Iterator[tuple[Servers, SlowNetwork]]:
    """Yield a PDS, and the network through which services reach it, without a delay as yet."""
    port = free_port()
    with (
        DevPlc(folder / "plc") as plc,
        DevPds(plc, folder / "pds", behind=port) as pds,
        SlowNetwork(port, pds.port, folder / "network.log") as network,
    ):
        yield Servers(pds, folder), network


@contextmanager
def start_service(
    servers: Servers, name: str, database_url: str | None, *, workers: int = 1
) -> Iterator[Client]:
    """Yield a signed-in client of a service with a database of its own."""
    with start_process(servers, name, database_url, options=[f"--workers={workers}"]) as (_, client):
        yield client


@contextmanager
def start_process(
    servers: Servers,
    name: str,
    database_url: str | None,
    *,
    options: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[tuple[Service, Client]]:
    """Yield a service with a database of its own, and a signed-in client; `options` are those of `serve`."""
    settings = {"MASTERTAPE_RATE_LIMITS": "off", **(env or {})}
    if database_url is not None:
        settings["MASTERTAPE_DATABASE_URL"] = database_url
    service = Service(servers.folder / name, servers.pds, options=options, env=settings)
    service.start()
    try:
        with signed_in(servers, service.url, name) as client:
            yield service, client
    finally:
        service.stop()


@contextmanager
def signed_in(servers: Servers, url: str, name: str) -> Iterator[Client]:
    """Yield a client of the service at this address, with a new account."""
    did = create_account(servers.pds, name)
    client = Client(url, did, servers.pds.create_app_password(did))
    with closing(client.http):
        yield client


def create_account(pds: DevPds, name: str) -> str:
    """Create one whose handle begins like the name, and is new on a PDS that other benches use too."""
    handle = f"{name[:HANDLE_CHARACTERS]}{secrets.token_hex(3)}.test"
    return pds.create_account(handle, secrets.token_urlsafe(12))


def bare_puts(pds: DevPds) -> Callable[[int], Seconds]:
    """Write one record repeatedly to the PDS."""
    put = bare_put(pds)
    return lambda operations: time_operations(put, operations)


def bare_put(pds: DevPds) -> Callable[[], object]:
    """Write one record to the PDS, with a new title each time."""
    did = create_account(pds, "bare")
    return lambda: pds.put_record(did, COLLECTION, "3kbenchbare222", bare_record())


def bare_record() -> dict[str, Any]:
    """Return a record with the fields that the service would write, and a new title."""
    return {
        "$type": COLLECTION,
        "title": new_title(),
        "artist": "bare.test",
        "audioUrl": f"http://127.0.0.1:8000/audio/{'b' * 59}.wav",
        "fileType": "wav",
        "duration": 2,
        "createdAt": "2026-01-01T00:00:00.000000Z",
    }


@contextmanager
def new_track(client: Client) -> Iterator[int]:
    """Yield a delivered track; wait at the end until the relay has caught up, so that it does not slow down the next arm."""
    track_id: int = client.upload(tone(100 + next(_numbers), 0.1), title=new_title())["id"]
    wait_until_delivered(client, track_id)
    try:
        yield track_id
    finally:
        wait_until_delivered(client, track_id)


def time_operations(operation: Callable[[], Any], operations: int) -> Sequence[float]:
    """Time the operation this many times, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP_OPERATIONS + operations):
        began = time.perf_counter()
        operation()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP_OPERATIONS:]


def new_title() -> str:
    """Return a title that no track had before."""
    return f"Take {next(_numbers)}"


def wait_until_delivered(client: Client, track_id: int) -> None:
    deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
    while (mirror := client.mirror(track_id))["state"] != "delivered":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the relay did not catch up: {mirror}")
        time.sleep(0.05)
