"""Compares the operators' screens with the JSON of the same, in a large outage."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench.logs import did_of, log_at, token_of
from bench.outage import ERRORS, IN_THE_LOG, Outage, fill
from bench.postgres import databases
from bench.processes import HttpServer
from bench.reads import HTML, cpu_of_gets
from bench.report import Row
from bench.rounds import Arm, Effort, compare
from bench.services import start_process, start_servers
from identity.accounts.credentials import Scope
from outbox.mirror.failure_causes import Cause

SENTENCE: Final = (
    "The CPU time of the service and its database for each of the operators' screens, while 10,000 records fail in 1,000 lanes"
    " at 200 hosts, as a multiple of that for the same JSON: at most 3."
)
AT_MOST: Final = 3.0
LARGE: Final = Outage()
QUICK: Final = Outage(records=100, lanes=20, hosts=10)
ADMIN: Final = "did:plc:" + "admin".ljust(24, "a")
ARTIST: Final = did_of(1)
CAUSE: Final = Cause(Outage().host_of(1), *ERRORS[1]).id
WHO: Final = "&".join(f"did={did_of(number)}" for number in reversed(range(11, IN_THE_LOG + 1)))
"""The accounts of a page of repairs, whose handles are read apart from these."""
SCREENS: Final[Mapping[str, tuple[str, Sequence[str]]]] = {
    "now": (
        "/ops",
        (
            "/ops/overview",
            "/ops/hosts?failing=true&limit=10",
            "/ops/failures?by=cause&limit=5",
            "/audit?type=OperatorActed&limit=10",
        ),
    ),
    "causes": ("/ops/failures", ("/ops/failures?by=cause",)),
    "a cause": (
        f"/ops/failures/{CAUSE}",
        (f"/ops/failures?by=cause&cause={CAUSE}", f"/ops/failures?cause={CAUSE}"),
    ),
    "records": ("/ops/records", ("/ops/failures?undelivered=true",)),
    "hosts": ("/ops/hosts", ("/ops/hosts",)),
    "lanes": ("/ops/lanes", ("/ops/lanes",)),
    "a lane": (f"/ops/lanes/{ARTIST}", (f"/ops/lanes/{ARTIST}",)),
    "background work": ("/ops/work", ("/ops/work",)),
    "repairs": ("/ops/repairs", ("/ops/repairs", f"/artists?{WHO}")),
    "a track": ("/ops/tracks/1", ("/tracks/1", "/tracks/1/mirror", "/tracks/1/history?limit=20")),
    "an account": (
        f"/ops/accounts/{ARTIST}",
        (
            f"/tracks?artist={ARTIST}&limit=20",
            f"/ops/failures?undelivered=true&did={ARTIST}&limit=100",
            f"/audit?did={ARTIST}&limit=20",
        ),
    ),
    "a search": ("/ops/find?q=take", ("/tracks?q=take",)),
    "the audit": ("/ops/audit", ("/audit",)),
}
"""Each screen, and the JSON that it shows."""


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        rows: list[Row] = []
        for name, database_url in stack.enter_context(databases()).items():
            env = {"MASTERTAPE_RELAY": "off", "MASTERTAPE_ADMIN_DIDS": ADMIN}
            service, _ = stack.enter_context(start_process(servers, name.lower(), database_url, env=env))
            url = database_url or f"sqlite:///{servers.folder / name.lower() / 'mastertape.db'}"
            show_progress(f"filling a database, {name}")
            with log_at(url) as log:
                fill(log, QUICK if effort.is_quick else LARGE)
            read = partial(_cpu, HttpServer(service.url, service.pid, url), token_of(url, ADMIN, Scope.ADMIN))
            for what, (page, json) in SCREENS.items():
                rows += compare(
                    Arm(f"{name}: JSON of {what}", partial(read, json)),
                    [Arm(f"{name}: screen of {what}", partial(read, (page,), accept=HTML), AT_MOST)],
                    effort,
                    show_progress,
                )
        return rows


def _cpu(
    server: HttpServer, token: str, paths: Sequence[str], operations: int, *, accept: str = "*/*"
) -> Sequence[float]:
    headers = {"Accept": accept, "Authorization": f"Bearer {token}"}
    clock = server.cpu_seconds_with_database
    return cpu_of_gets(server, paths, operations, headers=headers, times=1, clock=clock)
