"""What the log of `serve` says while the database is away."""

import json
from pathlib import Path

import pytest

from tests.servers.databases import migrate, temporary_database
from tests.servers.postgres import PostgresServer
from tests.service.command_line import daemon

REQUESTS = 3


@pytest.mark.postgres
def test_while_the_database_is_away_the_log_says_so_without_a_traceback(
    durable_postgres: PostgresServer, tmp_path: Path
) -> None:
    with temporary_database(durable_postgres.url) as url:
        migrate(url)
        with daemon(tmp_path / "log", "serve", DATA=tmp_path / "data", DATABASE_URL=url) as service:
            service.wait_for("answers on")
            durable_postgres.kill()
            try:
                paths = ["/tracks"] * REQUESTS + ["/readyz"] * 2
                statuses = {service.get(path).status_code for path in paths}
                service.wait_for("relay_claim_failed")
                metrics = service.get("/metrics").text
            finally:
                durable_postgres.start()
            assert statuses == {503}
            assert "database_up 0" in metrics
            assert "mirror_fenced_commits_total 0" in metrics
            assert "disk_free_bytes{" in metrics
    lines = [json.loads(line) for line in service.output.splitlines() if line.startswith("{")]
    failed = [line for line in lines if line["message"] == "request_failed"]
    assert {line["error"].partition(":")[0] for line in failed} == {
        "the database does not answer",
        "not ready",
    }
    assert failed[0]["next"] == "the caller is asked to try again, nothing acknowledged is lost"
    assert "Traceback" not in service.output
