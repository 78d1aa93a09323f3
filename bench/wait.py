"""Compares edits that wait for the PDS, one after the other, and a bare putRecord loop."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import bare_puts, new_title, new_track, start_servers, start_service, time_operations
from demo.service import Client

SENTENCE: Final = "A PATCH with `Prefer: wait`, one after the other, has a p50 under four times that of a bare putRecord loop."
MAX_RATIO: Final = 4.0
WAIT: Final = {"prefer": "wait=10"}


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with a relay inside the service, on SQLite, and on PostgreSQL if it is available; there also without."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers = stack.enter_context(start_servers(folder))
        clients = {"SQLite": stack.enter_context(start_service(servers, "sqlite", None))}
        if (url := stack.enter_context(postgres_database())) is not None:
            clients["PostgreSQL"] = stack.enter_context(start_service(servers, "postgres", url))
        if (url := stack.enter_context(postgres_database())) is not None:
            several = start_service(servers, "workers", url, workers=2)
            clients["PostgreSQL, relay in another process"] = stack.enter_context(several)
        arms = [
            Arm(f"PATCH that waits, {name}", partial(_edits, client), MAX_RATIO)
            for name, client in clients.items()
        ]
        return compare(Arm("bare putRecord", bare_puts(servers.pds)), arms, effort, show_progress)


def _edits(client: Client, operations: int) -> Seconds:
    with new_track(client) as track_id:
        return time_operations(lambda: _edit(client, track_id), operations)


def _edit(client: Client, track_id: int) -> None:
    reply = client.http.patch(f"/tracks/{track_id}", json={"title": new_title()}, headers=WAIT)
    if reply.json()["mirror"]["state"] != "delivered":
        raise RuntimeError(f"the wait ended before the delivery: {reply.text}")
