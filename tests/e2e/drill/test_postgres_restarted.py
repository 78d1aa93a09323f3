"""PostgreSQL is stopped and started again while artists edit."""

from collections.abc import Mapping

import httpx
import pytest

from demo.service import Service
from service.observability.expected import Expected
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin
from tests.servers.databases import migrate
from tests.servers.postgres import PostgresServer
from tests.waits import until

pytestmark = [*DRILL, pytest.mark.postgres]


SAYS = ("request_failed", "relay_claim_failed", "listener_disconnected")
WRITTEN_LATER = ("not_written_yet",)
"""Where a PDS session was renewed just then."""


@pytest.fixture
def settings(durable_postgres: PostgresServer) -> Mapping[str, str]:
    """The service's database is on a server that commits durably."""
    migrate(durable_postgres.url)
    return {"MASTERTAPE_DATABASE_URL": durable_postgres.url}


def test_a_restart_of_postgresql_loses_no_edit(
    service: Service, durable_postgres: PostgresServer, begin: Begin
) -> None:
    drill = begin(service, POSTGRES=str(durable_postgres.folder))

    durable_postgres.stop()
    # gauges that took long to read are read again later
    until(lambda: "database_up 0" in httpx.get(f"{service.url}/metrics", timeout=30).text, within=60)
    drill.looks("while it is down", says=SAYS, passing=(Expected.AWAY,), at_times=WRITTEN_LATER)
    durable_postgres.start()
    drill.edits_are_acknowledged()
    drill.skips_the_log()
    drill.looks("when it is back")

    drill.ends("postgres_restarted", "PostgreSQL restarts")
