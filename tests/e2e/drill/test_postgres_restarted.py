"""PostgreSQL is stopped and started again while artists edit."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from demo.service import Service
from devpds.server import DevPds
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.e2e.eventually import eventually
from tests.servers.databases import migrate
from tests.servers.postgres import PostgresServer

pytestmark = [*DRILL, pytest.mark.postgres]


SAYS = ("request_failed", "relay_claim_failed", "listener_disconnected")
WHAT_WAS_AT_WORK = (
    "turn_failed",
    "lane_not_given_back",
    "derived_claim_failed",
    "adoption_claim_failed",
    "repair_claim_failed",
    "announcer_disconnected",
    "running_request_not_ended",
    "running_request_not_renewed",
    "failover_not_examined",
    "newest_position_not_kept",
    "host_not_noted",
    "not_written_yet",
)


@pytest.fixture
def service(durable_postgres: PostgresServer, pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    """On a server that commits durably."""
    migrate(durable_postgres.url)
    made = Service(tmp_path / "service", pds, env={"MASTERTAPE_DATABASE_URL": durable_postgres.url})
    yield made
    made.stop()


def test_a_restart_of_postgresql_loses_no_edit(
    service: Service, durable_postgres: PostgresServer, begin: Begin
) -> None:
    drill = begin(service, POSTGRES=str(durable_postgres.folder))

    durable_postgres.stop()
    # gauges that took long to read are read again later
    eventually(lambda: "database_up 0" in httpx.get(f"{service.url}/metrics", timeout=30).text, seconds=60)
    drill.looks("while it is down", says=SAYS, at_times=WHAT_WAS_AT_WORK)
    durable_postgres.start()
    drill.edits_are_acknowledged()
    drill.looks("when it is back", at_times=(*SAYS, *WHAT_WAS_AT_WORK))

    drill.ends("postgres_restarted", "PostgreSQL restarts")
