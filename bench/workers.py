"""Compares `serve --workers 2` with one process, by the requests that artists send at the same time."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import new_title, signed_in, start_process, start_servers
from demo.media import tone
from demo.service import Client

SENTENCE: Final = (
    "How long a request takes while four artists send theirs to `serve --workers 2`, as a multiple of the same with one"
    " process; two cores, which clients and PostgreSQL share, allow no gain."
)
MAX_RATIO: Final = 1.1
ARTISTS: Final = 4
QUICK_ARTISTS: Final = 2
REQUESTS_PER_OPERATION: Final = 4
WORKERS: Final = ("--workers", "2")
WITHOUT_RELAY: Final = {"MASTERTAPE_RELAY": "off"}


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on PostgreSQL, if it is available: SQLite has no workers."""
    artists = QUICK_ARTISTS if effort.is_quick else ARTISTS
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        loads = []
        for name, options in (("one", ()), ("two", WORKERS)):
            if (url := stack.enter_context(postgres_database())) is None:
                return []
            service, client = stack.enter_context(
                start_process(servers, name, url, options=options, env=WITHOUT_RELAY)
            )
            others = (
                stack.enter_context(signed_in(servers, service.url, f"{name}{number}"))
                for number in range(2, artists + 1)
            )
            loads.append(_Load([client, *others]))
        rows: list[Row] = []
        for method in ("GET", "PATCH"):
            one, two = (load.sends(method) for load in loads)
            rows += compare(
                Arm(f"{method}, one process", one),
                [Arm(f"{method}, 2 workers", two, MAX_RATIO)],
                effort,
                show_progress,
            )
        return rows


class _Load:
    """Artists with a track each, and a connection for each of their rounds: a client library would need a core by itself."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._artists = [
            (client, client.upload(tone(200 + number, 0.05), title=new_title())["id"])
            for number, client in enumerate(clients)
        ]

    def sends(self, method: str) -> Callable[[int], Seconds]:
        """Return what sends these requests from all artists at once, and gives the time of one of all."""

        def run(operations: int) -> Seconds:
            requests = operations * REQUESTS_PER_OPERATION
            with ThreadPoolExecutor(len(self._artists)) as threads:
                began = time.perf_counter()
                for sent in [threads.submit(_send, *each, method, requests) for each in self._artists]:
                    sent.result()
                return [(time.perf_counter() - began) / requests / len(self._artists)]

        return run


def _send(client: Client, track_id: int, method: str, requests: int) -> None:
    url = urlsplit(client.url)
    headers = {"authorization": f"Bearer {client.token}", "content-type": "application/json"}
    with closing(HTTPConnection(url.hostname or "", url.port)) as connection:
        for _ in range(requests):
            body = json.dumps({"title": new_title()}) if method == "PATCH" else None
            connection.request(method, f"/tracks/{track_id}", body, headers)
            response = connection.getresponse()
            text = response.read()
            if response.status != HTTPStatus.OK:
                raise RuntimeError(f"{method} -> {response.status} {text!r}")
