"""Compares reads over HTTP with those of a bare FastAPI app on stock uvicorn (h11) that makes one SELECT."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench.postgres import databases
from bench.processes import REQUESTS_PER_OPERATION, HttpServer, beside_bare_app, cpu_per_request
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import new_title, start_servers
from demo.media import tone

SENTENCE: Final = (
    "The CPU time of the service's process for a GET of one track and of a page of 50,"
    " as a multiple of that of a bare FastAPI app with one SELECT."
)
TRACKS: Final = 50
HTML: Final = "text/html"
NO_HEADERS: Final[Mapping[str, str]] = {}


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        rows: list[Row] = []
        for name, database_url in stack.enter_context(databases()).items():
            ours, bare, client = stack.enter_context(beside_bare_app(servers, name.lower(), database_url))
            show_progress(f"uploading tracks, {name}")
            for number in range(3 if effort.is_quick else TRACKS):
                newest = client.upload(tone(100 + number, 0.05), title=new_title())["id"]
            for what, path in (("a track", f"/tracks/{newest}"), ("a page", "/tracks?limit=50")):
                rows += compare(
                    Arm(f"{name}: bare app, {what}", partial(cpu_of_gets, bare, (path,))),
                    [Arm(f"{name}: GET {what}", partial(cpu_of_gets, ours, (path,)))],
                    effort,
                    show_progress,
                )
        return rows


def cpu_of_gets(
    server: HttpServer,
    paths: Sequence[str],
    operations: int,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    times: int = REQUESTS_PER_OPERATION,
    clock: Callable[[], float] | None = None,
) -> Seconds:
    """Return the server's CPU time, or what `clock` tells, for a GET of each of these paths; the average of `times` for each operation."""
    requests = operations * times
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:

        def get(times: int) -> None:
            for _ in range(times):
                for path in paths:
                    http.get(path).raise_for_status()

        get(1)
        return cpu_per_request(clock or server.cpu_seconds, partial(get, requests), requests)
