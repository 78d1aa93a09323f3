"""Compares edits over HTTP with those of a bare FastAPI app on stock uvicorn (h11) that makes one UPDATE."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench.postgres import postgres_database
from bench.processes import REQUESTS_PER_OPERATION, HttpServer, beside_bare_app, cpu_per_request
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import Servers, new_title, start_servers
from demo.media import tone

SENTENCE: Final = (
    "The processor time of the service and its database for a PATCH, alone and with a relay beside 16 clients,"
    " as a multiple of that of a bare FastAPI app with one UPDATE."
)
CLIENTS: Final = 16


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory and a PDS")
        servers = stack.enter_context(start_servers(folder))
        rows: list[Row] = []
        for name in ("SQLite", "PostgreSQL"):
            for clients, has_relay in ((1, False), (CLIENTS, True)):
                rows += _compared(servers, name, effort, show_progress, clients, has_relay=has_relay)
        return rows


def _compared(
    servers: Servers,
    name: str,
    effort: Effort,
    show_progress: Callable[[str], None],
    clients: int,
    *,
    has_relay: bool,
) -> list[Row]:
    what = f"{name}: {{}}, {clients} client{'s' * (clients > 1)}, relay {'on' if has_relay else 'off'}"
    with ExitStack() as stack:
        database_url = stack.enter_context(postgres_database()) if name == "PostgreSQL" else None
        if name == "PostgreSQL" and database_url is None:
            return []
        env = {} if has_relay else {"MASTERTAPE_RELAY": "false"}
        ours, bare, client = stack.enter_context(
            beside_bare_app(servers, f"{name}-{clients}".lower(), database_url, env)
        )
        show_progress(f"uploading tracks, {name}")
        count = min(clients, 2) if effort.is_quick else clients
        tracks = [client.upload(tone(100 + n, 0.05), title=new_title())["id"] for n in range(count)]
        signed_in = {"authorization": f"Bearer {client.token}"}
        return compare(
            Arm(what.format("bare app"), partial(_cpu, _Edits(bare, tracks, {}))),
            [Arm(what.format("PATCH"), partial(_cpu, _Edits(ours, tracks, signed_in)))],
            effort,
            show_progress,
        )


@dataclass(frozen=True)
class _Edits:
    """As many clients as there are tracks, each of which edits its own."""

    server: HttpServer
    tracks: list[int]
    headers: dict[str, str]

    def run(self, each: int) -> None:
        with ThreadPoolExecutor(len(self.tracks)) as pool:
            list(pool.map(lambda track_id: self._edit(track_id, each), self.tracks))

    def _edit(self, track_id: int, times: int) -> None:
        with httpx.Client(base_url=self.server.url, headers=self.headers, timeout=60) as http:
            for _ in range(times):
                http.patch(f"/tracks/{track_id}", json={"title": new_title()}).raise_for_status()


def _cpu(edits: _Edits, operations: int) -> Seconds:
    """Return the processor time for each edit, on average."""
    each = max(1, operations * REQUESTS_PER_OPERATION // len(edits.tracks))
    edits.run(1)
    return cpu_per_request(
        edits.server.cpu_seconds_with_database, partial(edits.run, each), each * len(edits.tracks)
    )
