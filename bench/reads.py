"""Compares reads over HTTP with those of a bare FastAPI app on stock uvicorn (h11) that makes one SELECT."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench.postgres import postgres_database
from bench.processes import TICKS_PER_SECOND, HttpServer, bare_app
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import new_title, start_process, start_servers
from demo.media import tone

SENTENCE: Final = (
    "The CPU time of the service's process for a GET of one track and of a page of 50,"
    " as a multiple of that of a bare FastAPI app with one SELECT."
)
TRACKS: Final = 50
REQUESTS_PER_OPERATION: Final = 10
"""A single request is too short for the clock of CPU time."""


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        urls = {"SQLite": f"sqlite:///{folder / 'sqlite' / 'mastertape.db'}"}
        if (url := stack.enter_context(postgres_database())) is not None:
            urls["PostgreSQL"] = url
        rows: list[Row] = []
        for name, database_url in urls.items():
            given = None if name == "SQLite" else database_url
            service, client = stack.enter_context(start_process(servers, name.lower(), given))
            show_progress(f"uploading tracks, {name}")
            for number in range(3 if effort.is_quick else TRACKS):
                newest = client.upload(tone(100 + number, 0.05), title=new_title())["id"]
            bare = stack.enter_context(bare_app(database_url, folder / f"bare-{name}.log"))
            for what, path in (("a track", f"/tracks/{newest}"), ("a page", "/tracks?limit=50")):
                rows += compare(
                    Arm(f"{name}: bare app, {what}", partial(_cpu, bare, path)),
                    [
                        Arm(
                            f"{name}: GET {what}",
                            partial(_cpu, HttpServer(service.url, service.pid, database_url), path),
                        )
                    ],
                    effort,
                    show_progress,
                )
        return rows


def _cpu(server: HttpServer, path: str, operations: int) -> Seconds:
    """Return the server's CPU time for each of these requests, on average."""
    requests = operations * REQUESTS_PER_OPERATION
    with httpx.Client(base_url=server.url) as http:
        http.get(path).raise_for_status()
        began = server.cpu_seconds()
        for _ in range(requests):
            http.get(path).raise_for_status()
        spent = server.cpu_seconds() - began
    return [max(spent, 1 / TICKS_PER_SECOND) / requests]
