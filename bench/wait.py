"""Compares edits that wait for the PDS, and edits on their way there, one after the other, with a bare putRecord loop."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import (
    WARM_UP_OPERATIONS,
    bare_put,
    bare_puts,
    new_title,
    new_track,
    start_servers,
    start_service,
    time_operations,
    wait_until_delivered,
)
from demo.service import Client
from devpds.server import DevPds

SENTENCE: Final = (
    "A client that sends one PATCH with `Prefer: wait` after the other waits less than four times as long as a bare putRecord"
    " loop takes; beside it, how long the relay takes to bring an edit that no caller waits for to the PDS."
)
MAX_RATIO: Final = 4.0
WAIT: Final = {"prefer": "wait=10"}
IDLE_SECONDS: Final = 0.15
"""Longer than a lane is debounced."""


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
        journeys = [
            arm
            for name in ("SQLite", "PostgreSQL")
            if (client := clients.get(name)) is not None
            for arm in (
                Arm(f"commit to the PDS, {name}", partial(_journeys, client)),
                Arm(f"commit to the PDS, the slowest, {name}", partial(_slowest, client)),
            )
        ]
        return [
            *compare(Arm("bare putRecord", bare_puts(servers.pds)), arms, effort, show_progress),
            *compare(
                Arm("bare putRecord now and then", _puts_now_and_then(servers.pds)),
                journeys,
                effort,
                show_progress,
            ),
        ]


def _edits(client: Client, operations: int) -> Seconds:
    with new_track(client) as track_id:
        return time_operations(lambda: _edit(client, track_id), operations)


def _edit(client: Client, track_id: int) -> None:
    reply = client.http.patch(f"/tracks/{track_id}", json={"title": new_title()}, headers=WAIT)
    if reply.json()["mirror"]["state"] != "delivered":
        raise RuntimeError(f"the wait ended before the delivery: {reply.text}")


def _journeys(client: Client, operations: int) -> Seconds:
    with new_track(client) as track_id:
        return _warmed_up(lambda: _journey(client, track_id), operations)


def _slowest(client: Client, operations: int) -> Seconds:
    return [max(_journeys(client, operations))]


def _puts_now_and_then(pds: DevPds) -> Callable[[int], Seconds]:
    put = bare_put(pds)

    def timed() -> float:
        time.sleep(IDLE_SECONDS)
        began = time.perf_counter()
        put()
        return time.perf_counter() - began

    return lambda operations: _warmed_up(timed, operations)


def _warmed_up(timed: Callable[[], float], operations: int) -> Seconds:
    return [timed() for _ in range(WARM_UP_OPERATIONS + operations)][WARM_UP_OPERATIONS:]


def _journey(client: Client, track_id: int) -> float:
    """Edit while nothing else is to be done, and return what the history says: the time from the edit to its delivery."""
    time.sleep(IDLE_SECONDS)
    client.edit(track_id, title=new_title())
    wait_until_delivered(client, track_id)
    entry = client.http.get(f"/tracks/{track_id}/history", params={"limit": 1}).json()["items"][0]
    began, ended = (datetime.fromisoformat(at) for at in (entry["at"], entry["delivery"]["at"]))
    return (ended - began).total_seconds()
