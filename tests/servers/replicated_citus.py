"""A cluster of Citus of our own, one of whose nodes has a synchronous standby that a test may promote after the primary was killed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.servers.citus import distributed
from tests.servers.postgres import PostgresServer, system_binaries
from tests.servers.replicated_postgres import ReplicatedPostgres, asks

WORKERS = 2
PORT = 5432
SETTINGS = {
    "shared_preload_libraries": "citus",
    "max_prepared_transactions": "100",
    "max_worker_processes": "20",
}


def binaries_with_citus() -> Path | None:
    found = (each for each in system_binaries() if (each.parent / "lib/citus.so").exists())
    return next(found, None)


class ReplicatedNode:
    """Does for a node of a cluster what ReplicatedPostgres does for a database; Citus then learns where the node is."""

    def __init__(self, wait: Callable[[Callable[[], bool]], None], *, is_worker: bool) -> None:
        make = partial(PostgresServer, durable=True, binaries=binaries_with_citus(), more=SETTINGS)
        self._nodes = [make() for _ in range(1 + WORKERS)]
        for node in self._nodes:
            node.start()
            asks(node, "create extension citus")
        self._coordinator, *workers = self._nodes
        asks(self._coordinator, f"select citus_set_coordinator_host('{self._coordinator.folder}', {PORT})")
        for worker in workers:
            asks(self._coordinator, f"select citus_add_node('{worker.folder}', {PORT})")
        distributed(self._coordinator.url)
        self._is_worker = is_worker
        self._replicated = ReplicatedPostgres(workers[0] if is_worker else self._coordinator, wait, make)
        self._replicated.make_synchronous()

    @property
    def url(self) -> str:
        return self._coordinator.url if self._is_worker else self._replicated.url

    def kill_primary(self) -> None:
        self._replicated.kill_primary()

    def promote(self) -> None:
        self._replicated.promote()
        primary, standby = self._replicated.primary.folder, self._replicated.standby.folder
        if self._is_worker:
            this = f"select citus_update_node(nodeid, '{standby}', {PORT}) from pg_dist_node"  # noqa: S608
            asks(self._coordinator, f"{this} where nodename = '{primary}'")
        else:
            asks(self._replicated.standby, f"select citus_set_coordinator_host('{standby}', {PORT})")

    def remove(self) -> None:
        self._replicated.remove()
        for node in self._nodes:
            node.remove()
