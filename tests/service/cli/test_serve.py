"""`mastertape serve` and `relay` as processes: how they start, what they refuse, and how they end."""

import signal
import socket
from pathlib import Path
from unittest.mock import AsyncMock

import httpx
import pytest
from sqlalchemy import text

from devpds.ports import free_port
from outbox.mirror.lanes import resume_lane
from outbox.relay.relay import Relay
from service.cli.preparing import prepare
from service.cli.serve import _listener, asgi
from service.config.settings import PREFIX, Settings
from service.schema.migrate import newest
from service.wiring.bootstrap import Container, build
from tests.api.client import TestClient
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_SQLITE, revision, temporary_database
from tests.service.cli.conftest import Type
from tests.service.command_line import Daemon, daemon
from tests.waits import until

SILENT = "http://127.0.0.1:1"


def test_serve_on_sqlite_migrates_answers_where_it_is_told_logs_no_query_and_ends_in_order(
    tmp_path: Path,
) -> None:
    data, at = tmp_path / "new" / "data", ["--host", "localhost", "--port", str(free_port())]
    with daemon(tmp_path / "log", "serve", *at, DATA=data) as service:
        url = f"http://localhost:{at[-1]}"
        service.wait_for(f"mastertape answers on {url}\n")
        assert httpx.get(f"{url}/readyz").is_success
        answer = httpx.get(f"{url}/tracks?q=private", headers={"x-request-id": "mine"})
        assert answer.json() == {"items": [], "cursor": None}
        ends_in_order(service, signal.SIGINT)
        [line] = [line for line in service.output.splitlines() if '"path": "/tracks"' in line]
    assert revision(f"sqlite:///{data}/mastertape.db") == newest()
    assert {each.name for each in data.iterdir()} >= {"mastertape.db", "secret_keys"}
    assert '"request_id": "mine"' in line
    assert '"status": 200' in line
    assert "private" not in service.output


def ends_in_order(started: Daemon, number: int) -> None:
    assert started.end(number) == 0
    assert "Traceback" not in started.output
    assert "Aborted" not in started.output


def test_rows_of_another_version_are_made_again_on_sqlite_and_refused_on_postgres(
    on_tape: Type, tape: Container
) -> None:
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'x' where name = 'tracks'"))
        connection.execute(text("update tracks set title = 'of another version'"))
    if not tape.database.is_sqlite:
        result = on_tape("serve")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: projection 'tracks' is not of this version: run `mastertape rebuild tracks`.\n",
        )
        return
    prepare(tape.settings, relay=False).log.close()
    with tape.database.read() as connection:
        assert connection.scalar(text("select title from tracks")) == "Second"


@pytest.mark.postgres
def test_a_database_that_cannot_hold_every_title_is_refused_in_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    said = "the database stores text as SQL_ASCII, which cannot hold every title: create one with `createdb"
    with temporary_database(postgres_url, options="encoding SQL_ASCII locale 'C'") as url:
        monkeypatch.setenv(f"{PREFIX}DATABASE_URL", url)
        for command in ("serve", "migrate", "doctor"):
            result = typed(command)
            assert (result.exit_code, said in result.output) == (1, True), command
            assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["serve", "relay"])
def test_a_taken_metrics_port_is_reported_in_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv(f"{PREFIX}METRICS", place)
        result = typed(command)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: MASTERTAPE_METRICS: cannot listen on {place}: Address already in use"
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.postgres
def test_on_postgres_an_old_schema_is_refused(
    typed: Type, monkeypatch: pytest.MonkeyPatch, fresh_postgres: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", fresh_postgres)
    result = typed("serve")
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: the database is empty, this version needs {newest()}: run `mastertape migrate`\n"
    )
    assert revision(fresh_postgres) is None


def test_a_taken_port_is_reported_before_the_database_is_touched(typed: Type, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = typed("serve", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not (tmp_path / "data").exists()


@ON_SQLITE
def test_a_relay_answers_at_the_address_on_its_command_line_claims_lanes_and_releases_them(
    tape: Container, tmp_path: Path
) -> None:
    """A lane that a dead process held is free when its lease has ended; one that drained leaves none held."""
    did, at = "did:plc:alice", ["--host", "localhost", "--port", str(free_port())]
    with tape.database.write() as connection:
        resume_lane(connection, did, SILENT, tape.database.now(connection))
    own = {"DATA": tape.settings.data, "DATABASE_URL": tape.settings.database_url}
    with daemon(tmp_path / "log", "relay", *at, **own) as relay:
        relay.wait_for("relay is running")
        assert httpx.get(f"http://localhost:{at[-1]}/readyz").is_success
        until(lambda: lane_row(tape.database, did).lease_epoch > 0)
        ends_in_order(relay, signal.SIGTERM)
    assert lane_row(tape.database, did).lease_owner is None


@ON_SQLITE
@pytest.mark.parametrize("relay", [True, False])
def test_serve_runs_a_relay_unless_it_is_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, relay: bool
) -> None:
    run = AsyncMock()
    monkeypatch.setattr(Relay, "run", run)
    with TestClient(asgi(build(settings.model_copy(update={"relay": relay})))):
        pass
    assert run.called is relay


def test_responses_do_not_wait_for_nagles_algorithm() -> None:
    listener = _listener(Settings(port=free_port()))
    listener.close()
    assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY
