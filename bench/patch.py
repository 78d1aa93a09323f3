"""Compares PATCH and a bare putRecord loop, at several network delays to the PDS."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.network import SlowNetwork
from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from demo.media import tone
from demo.service import Client, Service
from demo.story import COLLECTION
from devpds.server import DevPds, DevPlc, free_port

SENTENCE: Final = "A sequential PATCH has a p50 under twice that of a bare putRecord loop, whatever delay is put before the PDS."
MAX_RATIO: Final = 2.0
DELAYS_MS: Final = (0, 50, 200)
WARM_UP_OPERATIONS: Final = 3
DRAIN_TIMEOUT_SECONDS: Final = 120.0

_numbers: Final = count(1)


@dataclass(frozen=True)
class _Servers:
    pds: DevPds
    network: SlowNetwork
    folder: Path


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(_servers(folder))
        clients = {"SQLite": stack.enter_context(_service(servers, "sqlite", None))}
        if (url := stack.enter_context(postgres_database())) is not None:
            clients["PostgreSQL"] = stack.enter_context(_service(servers, "postgres", url))
        arms = [
            Arm(f"PATCH, {name}, PDS +{delay} ms", _Patches(servers.network, client, delay), MAX_RATIO)
            for name, client in clients.items()
            for delay in DELAYS_MS
        ]
        return compare(Arm("bare putRecord", _puts(servers.pds)), arms, effort, show_progress)


@contextmanager
def _servers(folder: Path) -> Iterator[_Servers]:
    port = free_port()
    with (
        DevPlc(folder / "plc") as plc,
        DevPds(plc, folder / "pds", behind=port) as pds,
        SlowNetwork(port, pds.port, folder / "network.log") as network,
    ):
        yield _Servers(pds, network, folder)


@contextmanager
def _service(servers: _Servers, name: str, database_url: str | None) -> Iterator[Client]:
    env = {"MASTERTAPE_RATE_LIMITS": "off"}
    if database_url is not None:
        env["MASTERTAPE_DATABASE_URL"] = database_url
    service = Service(servers.folder / name, servers.pds, env=env)
    service.start()
    try:
        did = _account(servers.pds, name)
        client = Client(service.url, did, servers.pds.create_app_password(did))
        with closing(client.http):
            yield client
    finally:
        service.stop()


def _account(pds: DevPds, name: str) -> str:
    return pds.create_account(f"{name}.test", secrets.token_urlsafe(12))


def _puts(pds: DevPds) -> Callable[[int], Seconds]:
    """Write one record repeatedly to the PDS; it has the fields that the service would write."""
    did = _account(pds, "bare")
    record: dict[str, Any] = {
        "$type": COLLECTION,
        "title": "First Take",
        "artist": "bare.test",
        "audioUrl": f"http://127.0.0.1:8000/audio/{'b' * 59}.wav",
        "fileType": "wav",
        "duration": 2,
        "createdAt": "2026-01-01T00:00:00.000000Z",
    }

    def put() -> None:
        pds.put_record(did, COLLECTION, "3kbenchbare222", record | {"title": _title()})

    return lambda operations: time_operations(put, operations)


class _Patches:
    """Edits the title of one track repeatedly, a new track in each round, so that no history grows without limit."""

    def __init__(self, network: SlowNetwork, client: Client, delay_ms: int) -> None:
        self._network = network
        self._client = client
        self._delay = delay_ms / 1000

    def __call__(self, operations: int) -> Seconds:
        track_id = self._client.upload(tone(100 + next(_numbers), 0.1), title=_title())["id"]
        _wait_until_delivered(self._client, track_id)
        self._network.delay(self._delay)
        try:
            return time_operations(lambda: self._client.edit(track_id, title=_title()), operations)
        finally:
            self._network.delay(0)
            _wait_until_delivered(self._client, track_id)


def time_operations(operation: Callable[[], Any], operations: int) -> Sequence[float]:
    """Time the operation this many times, after a warm-up."""
    seconds = []
    for _ in range(WARM_UP_OPERATIONS + operations):
        began = time.perf_counter()
        operation()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP_OPERATIONS:]


def _title() -> str:
    return f"Take {next(_numbers)}"


def _wait_until_delivered(client: Client, track_id: int) -> None:
    """Wait until the relay has caught up, so that it does not slow down the next arm."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
    while (mirror := client.mirror(track_id))["state"] != "delivered":
        if time.monotonic() > deadline:
            raise TimeoutError(f"the relay did not catch up: {mirror}")
        time.sleep(0.05)
