"""Compares PATCH and a bare putRecord loop, at several network delays to the PDS."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.network import SlowNetwork
from bench.postgres import databases
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import (
    bare_puts,
    new_title,
    new_track,
    start_distant_servers,
    start_service,
    time_operations,
)
from demo.service import Client

SENTENCE: Final = "A sequential PATCH has a p50 under twice that of a bare putRecord loop, whatever delay is put before the PDS."
MAX_RATIO: Final = 2.0
DELAYS_MS: Final = (0, 50, 200)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure on SQLite, and on PostgreSQL if it is available."""
    with ExitStack() as stack:
        show_progress("starting a PLC directory, a PDS and the services")
        servers, network = stack.enter_context(start_distant_servers(folder))
        clients = {
            name: stack.enter_context(start_service(servers, name.lower(), url))
            for name, url in stack.enter_context(databases()).items()
        }
        arms = [
            Arm(f"PATCH, {name}, PDS +{delay} ms", _Patches(network, client, delay), MAX_RATIO)
            for name, client in clients.items()
            for delay in DELAYS_MS
        ]
        return compare(Arm("bare putRecord", bare_puts(servers.pds)), arms, effort, show_progress)


class _Patches:
    """Edits the title of one track repeatedly, a new track in each round, so that no history grows without limit."""

    def __init__(self, network: SlowNetwork, client: Client, delay_ms: int) -> None:
        self._network = network
        self._client = client
        self._delay = delay_ms / 1000

    def __call__(self, operations: int) -> Seconds:
        with new_track(self._client) as track_id:
            self._network.delay(self._delay)
            try:
                return time_operations(lambda: self._client.edit(track_id, title=new_title()), operations)
            finally:
                self._network.delay(0)
