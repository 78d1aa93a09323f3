"""Compares an honest artist's requests and deliveries beside bad neighbours with the same beside a process that burns as much processor time."""

import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count, cycle
from pathlib import Path
from statistics import fmean, median, quantiles
from subprocess import PIPE, Popen
from typing import Final

import httpx

from bench.attacker import ATTACKS, Target
from bench.controlled_proxy import LOOPBACK
from bench.hostile_host import Behaviour, HostileHost
from bench.postgres import postgres_database
from bench.report import Row, Spread
from bench.rounds import Effort, Seconds
from demo.media import tone
from demo.service import Client, Service
from devpds.ports import free_port
from devpds.server import DevPds, DevPlc

SENTENCE: Final = (
    "What an honest artist waits for beside an attacker, as a multiple of the same beside a process"
    " that burns as much processor time."
)
MAX_RATIO: Final = 2.0
HONEST_ACCOUNTS: Final = 8
"""Each keeps to its rate limit."""
BAD_ACCOUNTS: Final = 8
STALLED_READS: Final = 48
TRICKLING_CLIENTS: Final = 100
SILENT_SERVERS: Final = 10
SETTLE_SECONDS: Final = 2.0
"""An attack goes on for this long before anything is measured."""
MAX_BURNERS: Final = 2
TIMEOUT_SECONDS: Final = 60.0

_numbers: Final = count(1)


@dataclass
class _Neighbourhood:
    """One service with honest artists, and bad neighbours at a host of their own."""

    service: Service
    host: HostileHost
    honest: Iterator[tuple[Client, int, str, str]]
    """Clients, each with a track, its handle and a password of the PDS, in turns."""
    bad: Sequence[tuple[Client, int]]
    target: Target
    stalled: tuple[str, Path]
    """The address of audio whose file can be stalled, and that file."""

    def edit(self, **headers: str) -> None:
        client, track_id, *_ = next(self.honest)
        body = {"title": f"Take {next(_numbers)}"}
        client.http.patch(f"/tracks/{track_id}", json=body, headers=headers).raise_for_status()

    def read(self) -> None:
        client, track_id, *_ = next(self.honest)
        client.http.get(f"/tracks/{track_id}").raise_for_status()

    def sign_in(self) -> None:
        _, _, did, password = next(self.honest)
        transport = httpx.HTTPTransport(local_address=_new_address())
        with httpx.Client(base_url=self.service.url, transport=transport, timeout=TIMEOUT_SECONDS) as browser:
            body = {"identifier": did, "password": password}
            browser.post("/auth/app-password", json=body).raise_for_status()


def _new_address() -> str:
    """Return a loopback address that nothing was sent from: each may sign in a few times a minute."""
    number = next(_numbers)
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


OPERATIONS: Final[Mapping[str, Callable[[_Neighbourhood], None]]] = {
    "PATCH": _Neighbourhood.edit,
    "GET": _Neighbourhood.read,
    "sign-in": _Neighbourhood.sign_in,
    "edit to PDS": partial(_Neighbourhood.edit, prefer="wait=30"),
}
PERCENTILES: Final[Mapping[str, Callable[[Seconds], float]]] = {
    "p50": median,
    "p95": lambda seconds: quantiles(seconds, n=20, method="inclusive")[-1],
}
Measured = Mapping[str, Seconds]
"""The durations of each operation."""
Nuisance = Callable[[_Neighbourhood], AbstractContextManager[object]]


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
                    rows += _compare(name, here, effort, show_progress)
    return rows


def _compare(
    name: str, here: _Neighbourhood, effort: Effort, show_progress: Callable[[str], None]
) -> list[Row]:
    """Measure each attack, and just after it the control that burns what the attack took beyond the honest work."""
    alone: list[Measured] = []
    pairs: dict[str, list[tuple[Measured, Measured]]] = {label: [] for label in NUISANCES}
    for number in range(effort.rounds):
        show_progress(f"{name}, round {number + 1} of {effort.rounds}: alone")
        measured, quiet_cores = _measure(here, nullcontext(), effort.count)
        alone.append(measured)
        for label, nuisance in NUISANCES.items():
            show_progress(f"{name}, round {number + 1} of {effort.rounds}: {label}")
            beside, cores = _measure(here, nuisance(here), effort.count)
            control, _ = _measure(here, _burning(here, cores - quiet_cores), effort.count)
            pairs[label].append((beside, control))
    rows = []
    for operation in OPERATIONS:
        for percentile in PERCENTILES:
            arm = f"{name}: {operation} {percentile}"
            rows.append(_row(f"{arm}, alone", operation, percentile, [(each, each) for each in alone], None))
            rows += [
                _row(f"{arm}, {label}", operation, percentile, measured, MAX_RATIO)
                for label, measured in pairs.items()
            ]
    return rows


def _row(
    arm: str,
    operation: str,
    percentile: str,
    pairs: Sequence[tuple[Measured, Measured]],
    below: float | None,
) -> Row:
    of = PERCENTILES[percentile]
    return Row(
        arm=arm,
        milliseconds=Spread.of([1000 * of(beside[operation]) for beside, _ in pairs]),
        per_second=Spread.of([1 / fmean(beside[operation]) for beside, _ in pairs]),
        ratio=Spread.of([of(beside[operation]) / of(control[operation]) for beside, control in pairs]),
        below=below,
    )


def _measure(
    here: _Neighbourhood, nuisance: AbstractContextManager[object], operations: int
) -> tuple[Measured, float]:
    """Return the durations, and how many of the machine's cores were busy meanwhile."""
    seconds: dict[str, list[float]] = {operation: [] for operation in OPERATIONS}
    with nuisance:
        time.sleep(SETTLE_SECONDS)
        began, busy = time.monotonic(), _busy_seconds()
        for _ in range(operations):
            for operation, perform in OPERATIONS.items():
                seconds[operation].append(_time(partial(perform, here)))
        cores = (_busy_seconds() - busy) / (time.monotonic() - began)
    return seconds, cores


def _time(perform: Callable[[], None]) -> float:
    """Return how long it took; what is refused or not answered has taken the longest."""
    began = time.perf_counter()
    try:
        perform()
    except httpx.HTTPError:
        return TIMEOUT_SECONDS
    return time.perf_counter() - began


def _busy_seconds() -> float:
    """Return the processor time of all of the machine: an attack also keeps the database, decoders and its host busy."""
    user, nice, system = Path("/proc/stat").read_text().split()[1:4]
    return (int(user) + int(nice) + int(system)) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _neighbourhood(
    folder: Path, plc: DevPlc, pds: DevPds, database_url: str | None
) -> Iterator[_Neighbourhood]:
    port = free_port()
    silent_ports = [free_port() for _ in range(SILENT_SERVERS)]
    with (
        DevPds(plc, folder / "bad-pds", behind=port) as bad_pds,
        HostileHost(port, bad_pds.port, folder / "host.log") as host,
        ExitStack() as stack,
    ):
        origins = [pds.url, bad_pds.url, *(f"http://localhost:{each}" for each in silent_ports)]
        env = {
            "MASTERTAPE_DEV_ORIGINS": ",".join(origins),
            "MASTERTAPE_RATE_LIMITS": "on",
            "MASTERTAPE_FIREHOSE": "on",
        }
        if database_url is not None:
            env["MASTERTAPE_DATABASE_URL"] = database_url
        service = Service(folder / "data", pds, env=env)
        stack.callback(service.stop)
        service.start()

        def artist(at: DevPds) -> tuple[Client, int, str, str]:
            did = at.create_account(f"artist{next(_numbers)}.test", secrets.token_urlsafe(12))
            password = at.create_app_password(did)
            client = Client(service.url, did, password, address=_new_address())
            stack.enter_context(closing(client.http))
            track = client.upload(tone(100 + next(_numbers), 0.1), title="Take 0")
            return client, track["id"], did, password

        honest = [artist(pds) for _ in range(HONEST_ACCOUNTS)]
        stalled = _audio_file(folder / "data", honest[0][0])
        bad = [artist(bad_pds)[:2] for _ in range(BAD_ACCOUNTS)]
        yield _Neighbourhood(service, host, cycle(honest), bad, _target(service, bad, silent_ports), stalled)


def _target(service: Service, bad: Sequence[tuple[Client, int]], silent_ports: list[int]) -> Target:
    client, track_id = bad[0]
    track = client.track(track_id)
    return Target(
        url=service.url,
        port=service.port,
        tokens=[each.token for each, _ in bad],
        tracks=[each for _, each in bad],
        page=f"/@{track['artist_handle']}/{track_id}",
        audio="/" + track["audio_url"].split("/", 3)[3],
        silent_ports=silent_ports,
        cores=0.0,
    )


def _audio_file(data: Path, client: Client) -> tuple[str, Path]:
    """Upload audio; return its address and its file."""
    track = client.upload(tone(100 + next(_numbers), 0.2), title="Stalled")
    cid = track["audio_url"].rpartition("/")[2].partition(".")[0]
    (file,) = (data / "media").rglob(f"{cid}*")
    return str(track["audio_url"]), file


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


def _trickling_clients(here: _Neighbourhood) -> AbstractContextManager[None]:
    token = here.bad[0][0].token
    head = (
        "POST /tracks HTTP/1.1\r\nhost: bench\r\ncontent-length: 100000\r\n"
        f"content-type: multipart/form-data; boundary=b\r\nauthorization: Bearer {token}\r\n\r\n--b\r\n"
    )
    return _connections([head.encode()] * TRICKLING_CLIENTS, here)


@contextmanager
def _attack(name: str, behaviour: Behaviour, here: _Neighbourhood) -> Iterator[None]:
    """An attacker in a process of its own, while the host of the bad neighbours behaves so."""
    here.host.become(behaviour)
    with _attackers([(name, here.target)]):
        yield
    here.host.become(Behaviour.CALM)


def _burning(here: _Neighbourhood, cores: float) -> AbstractContextManager[None]:
    """Burn this much of the machine's processor time."""
    shares = [min(1.0, max(0.0, cores - number)) for number in range(MAX_BURNERS)]
    return _attackers([("burn", replace(here.target, cores=share)) for share in shares if share > 0])


@contextmanager
def _attackers(plans: Sequence[tuple[str, Target]]) -> Iterator[None]:
    with ExitStack() as stack:
        for name, target in plans:
            process = stack.enter_context(Popen([sys.executable, "-m", "bench.attacker", name], stdin=PIPE))
            stack.callback(process.kill)
            assert process.stdin is not None  # noqa: S101 - it was asked for
            process.stdin.write(json.dumps(asdict(target)).encode())
            process.stdin.close()
        yield


NUISANCES: Final[Mapping[str, Nuisance]] = {
    "a host that hangs": partial(_host, Behaviour.HANGING),
    "a host of huge replies": partial(_host, Behaviour.HUGE),
    "a host that trickles": partial(_host, Behaviour.TRICKLING),
    "a firehose that floods": partial(_attack, "nothing", Behaviour.FLOODING),
    f"{STALLED_READS} reads of a stalled store": _stalled_reads,
    f"{TRICKLING_CLIENTS} uploads that stall": _trickling_clients,
    **{
        name.replace("_", " "): partial(_attack, name, Behaviour.CALM)
        for name in ATTACKS
        if name not in {"burn", "nothing", "verifications"}
    },
    "verifications of a host that trickles": partial(_attack, "verifications", Behaviour.TRICKLING),
}
