"""Compares an honest artist's requests and deliveries beside bad neighbours with the same while nothing else happens."""

import os
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from bench.controlled_proxy import LOOPBACK
from bench.hostile_host import Behaviour, HostileHost
from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import time_operations
from demo.media import tone
from demo.service import Client, Service
from devpds.ports import free_port
from devpds.server import DevPds, DevPlc

SENTENCE: Final = (
    "How long an edit takes, and an edit until the PDS has it, beside bad neighbours,"
    " as a multiple of the same while nothing else happens."
)
MAX_RATIO: Final = 2.0
NEIGHBOURS: Final = 8
STALLED_READS: Final = 48
STREAMS: Final = 500
TRICKLING_CLIENTS: Final = 100
WAIT: Final = {"prefer": "wait=30"}

_numbers: Final = count(1)


@dataclass(frozen=True)
class _Neighbourhood:
    """One service with an honest artist, and bad neighbours at a host of their own."""

    service: Service
    host: HostileHost
    honest: Client
    track_id: int
    bad: Sequence[tuple[Client, int]]
    stalled: tuple[str, Path]
    """The address of audio whose file can be stalled, and that file."""

    def edit(self, **headers: str) -> None:
        body = {"title": f"Take {next(_numbers)}"}
        self.honest.http.patch(
            f"/tracks/{self.track_id}", json=body, headers=headers, timeout=120
        ).raise_for_status()


Nuisance = Callable[[_Neighbourhood], AbstractContextManager[None]]


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    rows: list[Row] = []
    with ExitStack() as stack:
        show_progress("starting two PDSes and the services")
        plc = stack.enter_context(DevPlc(folder / "plc"))
        pds = stack.enter_context(DevPds(plc, folder / "pds"))
        postgres = stack.enter_context(postgres_database())
        for name, url in (("SQLite", None), ("PostgreSQL", postgres)):
            if name == "SQLite" or url is not None:
                with _neighbourhood(folder / name.lower(), plc, pds, url) as here:
                    for what, headers in (("PATCH", {}), ("edit to PDS", WAIT)):
                        rows += compare(
                            Arm(f"{name}: {what}, alone", _alone(here, headers)),
                            [
                                Arm(f"{name}: {what}, {label}", _beside(here, headers, nuisance), MAX_RATIO)
                                for label, nuisance in NUISANCES.items()
                            ],
                            effort,
                            show_progress,
                        )
    return rows


@contextmanager
def _neighbourhood(
    folder: Path, plc: DevPlc, pds: DevPds, database_url: str | None
) -> Iterator[_Neighbourhood]:
    port = free_port()
    with (
        DevPds(plc, folder / "bad-pds", behind=port) as bad_pds,
        HostileHost(port, bad_pds.port, folder / "host.log") as host,
        ExitStack() as stack,
    ):
        env = {"MASTERTAPE_DEV_ORIGINS": f"{pds.url},{bad_pds.url}"}
        if database_url is not None:
            env["MASTERTAPE_DATABASE_URL"] = database_url
        service = Service(folder / "data", pds, env=env)
        stack.callback(service.stop)
        service.start()

        def artist(at: DevPds) -> tuple[Client, dict[str, Any]]:
            did = at.create_account(f"artist{next(_numbers)}.test", secrets.token_urlsafe(12))
            client = Client(service.url, did, at.create_app_password(did))
            stack.enter_context(closing(client.http))
            return client, client.upload(tone(100 + next(_numbers), 0.1), title="Take 0")

        honest, track = artist(pds)
        stalled = _audio_file(folder / "data", honest)
        bad = [artist(bad_pds) for _ in range(NEIGHBOURS)]
        yield _Neighbourhood(
            service, host, honest, track["id"], [(client, their["id"]) for client, their in bad], stalled
        )


def _audio_file(data: Path, client: Client) -> tuple[str, Path]:
    """Upload audio; return its address and its file."""
    before = set(data.rglob("*"))
    track = client.upload(tone(100 + next(_numbers), 0.2), title="Stalled")
    new = set(data.rglob("*")) - before
    (file,) = [path for path in new if path.is_file() and path.read_bytes()[:4] == b"RIFF"]
    return str(track["audio_url"]), file


def _alone(here: _Neighbourhood, headers: dict[str, str]) -> Callable[[int], Seconds]:
    return lambda operations: time_operations(partial(here.edit, **headers), operations)


def _beside(here: _Neighbourhood, headers: dict[str, str], nuisance: Nuisance) -> Callable[[int], Seconds]:
    def run(operations: int) -> Seconds:
        with nuisance(here):
            return time_operations(partial(here.edit, **headers), operations)

    return run


@contextmanager
def _host(behaviour: Behaviour, here: _Neighbourhood) -> Iterator[None]:
    """All bad neighbours have edits to deliver to their host, which misbehaves."""
    here.host.become(behaviour)
    for client, track_id in here.bad:
        client.edit(track_id, title=f"Take {next(_numbers)}")
    try:
        yield
    finally:
        here.host.become(Behaviour.CALM)


@contextmanager
def _connections(requests: Sequence[bytes], here: _Neighbourhood) -> Iterator[None]:
    """Open a connection for each request, send it, and read nothing."""
    with ExitStack() as stack:
        for request in requests:
            connection = stack.enter_context(socket.create_connection((LOOPBACK, here.service.port)))
            connection.sendall(request)
        yield


@contextmanager
def _stalled_reads(here: _Neighbourhood) -> Iterator[None]:
    """A pipe stands in the place of a file: a read of it waits until the pipe has gone."""
    url, file = here.stalled
    aside = file.with_suffix(".aside")
    file.rename(aside)
    os.mkfifo(file)
    path = "/" + url.split("/", 3)[3]
    request = f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
    try:
        with _connections([request] * STALLED_READS, here):
            yield
    finally:
        pipe = os.open(file, os.O_RDWR)
        aside.replace(file)
        os.close(pipe)


def _streams(here: _Neighbourhood) -> AbstractContextManager[None]:
    token = here.bad[0][0].token
    head = f"GET /events HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\r\n"
    return _connections([head.encode()] * STREAMS, here)


def _trickling_clients(here: _Neighbourhood) -> AbstractContextManager[None]:
    token = here.bad[0][0].token
    head = (
        "POST /tracks HTTP/1.1\r\nhost: bench\r\ncontent-length: 100000\r\n"
        f"content-type: multipart/form-data; boundary=b\r\nauthorization: Bearer {token}\r\n\r\n--b\r\n"
    )
    return _connections([head.encode()] * TRICKLING_CLIENTS, here)


NUISANCES: Final[dict[str, Nuisance]] = {
    "a host that hangs": partial(_host, Behaviour.HANGING),
    "a host of huge replies": partial(_host, Behaviour.HUGE),
    "a host that trickles": partial(_host, Behaviour.TRICKLING),
    f"{STALLED_READS} reads of a stalled store": _stalled_reads,
    f"{STREAMS} streams": _streams,
    f"{TRICKLING_CLIENTS} uploads that stall": _trickling_clients,
}
